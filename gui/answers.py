"""How an answer is shown: its citations as links, its sources as a list, the passage of the one that is open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from copilot.assistant import Reply, Source
from copilot.conversations import Feedback, Thumb
from copilot.conversations import Turn as Kept
from copilot.index import ELSEWHERE
from copilot.llms.found import title
from copilot.plan import Refusal, TrainingPlan, plan_from_text
from gui.parts import count, icon
from gui.service import Library, Status

MATH: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "$", "right": "$", "display": False},
]
THUMBS: dict[Thumb, str] = {"up": "Like", "down": "Dislike"}     # as the chat component calls them

# Code and mathematics are left alone when citations become links: `x[1]` is not a citation.
_APART = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|\\\(.*?\\\)|\\\[.*?\\\])", re.DOTALL)
_CITATION = re.compile(r"\[(\d{1,2})\](?!\()")


@dataclass(frozen=True)
class Turn:
    """One question and what is known of its answer so far."""

    question: str
    reply: Reply | None = None
    waiting: str = ""              # what the person reads while there is no reply yet
    error: str = ""                # why there is none
    id: int = 0                    # in the store of conversations; 0: not kept
    answerer: str = ""             # who wrote the reply
    feedback: Feedback | None = None

    @property
    def text(self) -> str:
        """The answer as Markdown, before citations become links."""
        if self.error:
            return f"**I could not answer.** {self.error}"
        if self.reply is None:
            return f"_{self.waiting or 'Searching the corpus…'}_"
        return self.reply.text


def told(kept: Kept) -> Turn:
    """A turn as it was kept."""
    reply = Reply(kept.answer, kept.sources, kept.abstained, True, kept.plan, kept.context)
    return Turn(kept.question, reply, id=kept.id, answerer=kept.answerer, feedback=kept.feedback)


def answer(question: str, turns: Sequence[Turn], library: Library, collections: Sequence[str] = ()) -> Iterator[Turn]:
    """The turn as it grows: waits for the index, then streams the reply. Every reason not to answer is said."""
    text = question.encode(errors="replace").decode()
    turn, halts = Turn(text), library.halts
    if text != question:
        yield replace(turn, error="The question has half of a character, such as of an emoji. Ask again without it.")
        return
    if library.status.state == "failed":
        library.start()                    # whatever was in the way may be gone
    for status in library.wait():
        if status.state == "failed":
            yield replace(turn, error=f"The index could not be opened: {status.message} Ask again to try again.")
            return
        yield replace(turn, waiting=meanwhile(status, "Searching the corpus", library))
    if library.halts != halts:
        yield replace(turn, waiting="Stopped before the index was ready.")
        return
    turn = replace(turn, answerer=library.desk.spec)
    try:
        for reply in library.desk.ask(question, history(turns), collections):
            turn = replace(turn, reply=reply)
            yield turn
            if library.halts != halts:     # perhaps it was asked a moment too early to hear it
                library.desk.stop()
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        yield replace(turn, error=str(error))


def history(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """Finished turns as the assistant takes them: question and answer."""
    return [(turn.question, turn.reply.text) for turn in turns if turn.reply is not None]


def preparing(status: Status) -> str:
    """What to read while the index is prepared: `Preparing the index… 42 %, about 3 min left`."""
    if status.message == ELSEWHERE:
        return f"{ELSEWHERE}…"
    left = "" if status.left_s is None else f", about {max(1, round(status.left_s / 60))} min left"
    return f"Preparing the index… {status.fraction:.0%}".replace("%", " %") + left


def meanwhile(status: Status, what: str, library: Library) -> str:
    """What to read before the first word: how far the index is, then what is done and who will read what was found."""
    if status.state != "ready":
        once = "" if status.left_s is None else ". It is made once; after that, answers come at once."
        return preparing(status) + once
    spec = library.desk.spec
    return f"{what}…" if spec == "builtin" else f"{what}; then {title(spec)} reads what was found…"


def linked(text: str, place: int | str) -> str:
    """The answer with every citation [n] turned into a link that opens source n of the answer at this place."""
    parts = _APART.split(text)
    parts[::2] = [_CITATION.sub(rf"[\1](#source-{place}-\1)", plain) for plain in parts[::2]]
    return "".join(parts)


def messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """The conversation as the chat component shows it."""
    shown: list[dict[str, Any]] = []
    for place, turn in enumerate(turns):
        shown.append({"role": "user", "content": turn.question})
        shown.append({"role": "assistant", "content": [linked(turn.text, place), *filter(None, [context(turn)])]})
    return shown


def context(turn: Turn) -> str:
    """What an answer's prompt took of a language model's context window, in one line; empty if nothing."""
    use = turn.reply.context if turn.reply and not turn.error else None
    return str(use) if use else ""


def thumbs(turns: Sequence[Turn]) -> list[str | None]:
    """What the reader thought of each answer, as the chat component takes it."""
    return [THUMBS[turn.feedback.thumb] if turn.feedback else None for turn in turns]


def reply_at(turns: Sequence[Turn], place: int) -> Reply | None:
    """The reply of one turn, if there is one."""
    return turns[place].reply if 0 <= place < len(turns) else None


def sources_html(reply: Reply | None, place: int | str, number: int = 0, answerer: str = "") -> str:
    """The list of one answer's sources; the one that is open is marked."""
    if reply is None or not reply.sources:
        return ('<div class="sources-none">The passages an answer rests on are listed here. '
                "Click a number in an answer to read one.</div>")
    rows = "".join(_source_row(source, place, source.number == number) for source in reply.sources)
    by = f'<div class="written-by">Written by {escape(title(answerer))}</div>' if answerer else ""
    return f'<div class="sources" role="list">{rows}</div>{by}'


def _source_row(source: Source, place: int | str, is_open: bool) -> str:
    name = source.heading.split(" › ")[-1] or source.title
    of = source.title if source.heading else source.path
    return (f'<button type="button" role="listitem" class="source" data-source="{place}-{source.number}" '
            f'aria-current="{"true" if is_open else "false"}"><span class="source-number">{source.number}</span>'
            f'<span class="source-name"><span>{escape(name)}</span><span class="source-of">{escape(of)}</span></span>'
            f"</button>")


def passage(reply: Reply | None, number: int) -> str:
    """One source as Markdown: where it is from, then the passage itself, set off so that it is seen at once."""
    source = next((item for item in reply.sources if item.number == number), None) if reply else None
    if source is None:
        return ""
    *above, last = [source.title, *filter(None, source.heading.split(" › "))]
    text = re.sub(rf"\A\s*#+\s*{re.escape(last)}\s*\n", "", source.text)     # the heading is shown above already
    trail = f'<span class="passage-above">{escape(" › ".join(above))}</span>' if above else ""
    paper = source.url.replace("https://arxiv.org/abs/", "arXiv:")
    origin = f"`{source.path}`" + (f" · `{paper}`" if paper else "")     # as text: nothing here leads outside
    return (f'<div class="passage-head">{trail}<strong>{escape(last)}</strong></div>\n\n'
            f'<div class="passage">\n\n{text.strip()}\n\n</div>\n\n'
            f'<div class="passage-origin">\n\n{origin}\n\n</div>')


def plan_in(turns: Sequence[Turn]) -> TrainingPlan | None:
    """The plan that the last reply offers: its own, or for a run that cannot work the one that can."""
    plan = turns[-1].reply.plan if turns and turns[-1].reply else None
    if isinstance(plan, Refusal):
        other = plan_from_text(plan.alternative)
        return other if isinstance(other, TrainingPlan) else None
    return plan


def offer(turns: Sequence[Turn]) -> str:
    """The plan that can be opened, in one line; empty if there is none."""
    plan = plan_in(turns)
    if plan is None:
        return ""
    instead = "Instead: " if turns[-1].reply and isinstance(turns[-1].reply.plan, Refusal) else ""
    envs = plan.params.get("num_envs")
    facts = [f"{count(plan.env_steps)} steps", *([f"{envs} envs"] if envs else []), f"seed {plan.seed}"]
    notes = "".join(f"<span>{escape(note)}</span>" for note in plan.notes)
    return (f'<div class="offer"><span class="offer-icon">{icon("plan")}</span><div>'
            f"<strong>{instead}{escape(plan.title)} on {escape(plan.env)}</strong>"
            f"<span>{escape(' · '.join(facts))}</span>{notes}</div></div>")
