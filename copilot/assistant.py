"""The copilot as the pages and the command line use it: open it once, then ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from copilot import cite
from copilot.answer import BuiltinAnswerer, nearby, not_covered
from copilot.collection import collection
from copilot.embed import Embedder, SentenceEmbedder
from copilot.followup import ASKS, BUILDS, CODE, standalone
from copilot.index import open_index
from copilot.library import Library, open_collection
from copilot.llms.base import Answerer, Draft, Use
from copilot.llms.turns import drafts
from copilot.plan import Refusal, TrainingPlan, amended, plan_for, plan_from_text
from copilot.request import handles_run
from copilot.rerank import Reranker
from copilot.retrieve import Found, Passage, Retriever
from copilot.script import render
from rlcore.catalog import algorithm

_RECALLED = 8     # messages back that an order may have been begun
_STOPPED = "*Stopped before the first word.*"
# Where to do what is asked to be done to a run that is there.
_WHERE = {
    "stop": "Stop a run with the Stop button on the Runs page, or with Ctrl-C in its terminal.",
    "resume": "Resume a run with the Resume button on the Runs page, or with `python -m rlcore resume {run}`.",
    "evaluate": "Evaluate a run with the Evaluate button on the Runs page, or with `python -m rlcore evaluate {run}`.",
    "delete": "Delete a run with the Delete button on the Runs page, or delete its folder `{run}`.",
    "open": "The Runs page shows every run with its curves and videos; `python -m rlcore list` lists them.",
    "play": "Play a trained agent with `rl.Player(\"{run}\")`, or film it with `python -m rlcore video {run}`.",
}


@dataclass(frozen=True)
class Source:
    """A passage that an answer rests on."""

    number: int                    # as cited: [1], [2], …
    title: str                     # of its page
    heading: str
    path: str                      # of its page, relative to the corpus
    text: str                      # the passage, Markdown
    score: float                   # in [0, 1], relative to the other passages found
    url: str                       # of the paper behind the page, or empty


@dataclass(frozen=True)
class Reply:
    """An answer, or as much of it as there is yet."""

    text: str                      # Markdown with citations [1][2]
    sources: tuple[Source, ...]
    abstained: bool
    done: bool
    plan: TrainingPlan | Refusal | None = None
    context: Use | None = None     # of a finished answer that a language model wrote


class Stops:
    """How often somebody has asked to stop: who searches for an answer compares before and after."""

    def __init__(self) -> None:
        self.count = 0


class Assistant:
    """Answers from one corpus. `answerer` says who writes the answers and may be changed at any time.

    stops       shared by assistants that are stopped together
    has_page    whether a page can open the plans of its replies; where none can, a reply shows the script itself
    """

    def __init__(self, retriever: Retriever, answerer: Answerer | None = None, stops: Stops | None = None):
        self.retriever = retriever
        self.answerer: Answerer = answerer or BuiltinAnswerer()
        self.has_page = True
        self._stops = stops or Stops()

    @classmethod
    def open(
        cls,
        corpus: Path = Path("corpus"),
        index_dir: Path = Path(".index"),
        answerer: Answerer | None = None,
        progress: Callable[[float, str], None] | None = None,
        embedder: Embedder | None = None,
        collections: Sequence[str] = (),
        reranker: Reranker | None = None,
    ) -> Assistant:
        """An assistant on the corpus as it is now, and on collections; builds or refreshes the index if need be.

        Raises:
            ConfigError: the corpus is missing, a page cannot be read, or there is no such collection.
        """
        embedder = embedder or SentenceEmbedder()
        own = [collection(index_dir, name) for name in collections]
        index = open_index(corpus, index_dir, embedder, progress)
        library = Library(index, [open_collection(one, embedder, progress) for one in own]) if own else index
        return cls(Retriever(library, embedder, reranker=reranker), answerer)

    def warm(self) -> None:
        """Load the embedder now, so that the first question does not wait for it."""
        self.retriever.find("warm")

    def stop(self) -> None:
        """End the answer that is being searched for or written; returns at once."""
        self._stops.count += 1
        self.answerer.stop()

    @property
    def stops(self) -> int:
        """How often somebody has asked to stop so far."""
        return self._stops.count

    def ask(self, question: str, history: Sequence[tuple[str, str]] = ()) -> Iterator[Reply]:
        """The reply as it grows; the last one is done."""
        if not question.strip():
            yield Reply("Ask a question about reinforcement learning, or describe a run to train.", (), True, True)
            return
        stops = self.stops
        found = self.find(question, history)
        if self.stops != stops:
            yield Reply(_STOPPED, (), False, True)
            return
        yield from self.reply(question, found, history)

    def find(self, question: str, history: Sequence[tuple[str, str]] = ()) -> Found:
        """What the corpus has on a question that may follow up on earlier ones."""
        whole = standalone(question, history, self.retriever.named)
        found = self.retriever.find(whole)
        return found if whole == question else replace(found, before=history[-1][1])

    def reply(self, question: str, found: Found, history: Sequence[tuple[str, str]] = ()) -> Iterator[Reply]:
        """The reply to a question from what was found; the last one is done."""
        # `show me the code` and `and TD3?` order what they say only together with the question before.
        order = question if question in found.question and not CODE.search(question) else found.question
        plan = plan_from_text(order)
        if changed := self._changed(question, history):
            order, plan = changed, plan_for(changed)
        about = self._about(plan, order) if plan else where_to(question)
        explains = found.covered and bool(ASKS.search(question) or BUILDS.search(question))
        if explains and isinstance(plan, Refusal) and BUILDS.search(question):
            plan, about = None, ""     # what cannot be trained here can be explained
        if about and not explains:
            yield _reply(about + _reading(found), found, plan=plan)
        elif not found.covered:
            yield _reply(not_covered(found), found, abstained=True)
        else:
            text, draft = "", Draft("")
            for draft in drafts(self.answerer, found, history):
                text = f"{about}\n\n{draft.text}".strip()
                yield _reply(text, found, done=False, plan=plan)
            yield _reply(text or _STOPPED, found, plan=plan, context=draft.use if draft.text else None)

    def _changed(self, question: str, history: Sequence[tuple[str, str]]) -> str | None:
        """The order of earlier messages with this one's changes; None if they did not order or it changes nothing."""
        order = None
        for said in (earlier for earlier, _ in history[-_RECALLED:]):
            order = said if plan_from_text(said) else amended(order, said) if order else None
        return amended(order, question) if order and not plan_from_text(question) else None

    def _about(self, plan: TrainingPlan | Refusal, order: str) -> str:
        """What a request for training came to, in words; with the script if that is asked for or no page shows it."""
        if isinstance(plan, Refusal):
            return f"**This run cannot work.** {plan.reason} {plan.alternative}".strip()
        of_run = {name: getattr(plan, name) for name in ("hindsight", "target_return", "evaluate_every", "patience")}
        changed = {**plan.params, **plan.env_options} | {
            name: value for name, value in of_run.items() if value is not None}
        changes = ", ".join(f"`{key}` {value}" for key, value in changed.items())
        what = (f"**Train {algorithm(plan.algo).title} on {plan.env}** for {plan.env_steps:,} environment steps, "
                f"seed {plan.seed}{', with ' + changes if changes else ''}.")
        script = f"\n\n```python\n{render(plan)}```"
        if not self.has_page:
            start = "Save this as `train.py` and start it with `python train.py`."
            return " ".join([what, *plan.notes, start]) + script
        wanted = ASKS.search(order) or CODE.search(order)
        return f"{what} Open it as a training plan to review its settings and its script.{script if wanted else ''}"


def where_to(question: str, run: str = "runs/NAME") -> str:
    """Where to do to a run what a message asks for; empty if it asks for nothing of the kind."""
    what = handles_run(question)
    return f"The chat plans new runs and changes none that is there. {_WHERE[what].format(run=run)}" if what else ""


def _reply(text: str, found: Found, *, abstained: bool = False, done: bool = True,
           plan: TrainingPlan | Refusal | None = None, context: Use | None = None) -> Reply:
    """A reply whose citations are numbered as they appear, with the sources they name."""
    text, order = cite.renumbered(text, len(found.passages))
    sources = tuple(_source(number, found.passages[place - 1]) for number, place in enumerate(order, start=1))
    return Reply(text, sources, abstained, done, plan, context)


def _source(number: int, passage: Passage) -> Source:
    page, chunk = passage.page, passage.chunk
    trail = " › ".join(filter(None, (*chunk.heading_path, chunk.where)))
    return Source(number, page.title, trail, page.path, chunk.text, round(passage.score, 3), page.url)


def _reading(found: Found) -> str:
    """What the corpus has on a run that was asked for."""
    return f"\n\n**Read on:** {nearby(found)}" if found.covered else ""
