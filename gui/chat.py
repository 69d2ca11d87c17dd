"""Chat: ask, read a cited answer beside its sources, and open a request as a training plan."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr

from copilot.answer import BuiltinAnswerer
from copilot.assistant import Reply, Source
from copilot.llms.gguf import GGUFAnswerer
from copilot.plan import Refusal, TrainingPlan, plan_from_text
from gui.parts import count, icon, notice
from gui.service import Library, Status
from gui.theme import pane

EXAMPLES = (
    "Why does PPO clip the ratio?",
    "What is the difference between terminated and truncated?",
    "My DQN's Q-values explode. What should I check first?",
    "Train PPO on CartPole with 8 envs",
)
WELCOME = """<div class="welcome">
<h2>Ask about reinforcement learning</h2>
<p>Every answer cites the passage it rests on: click a number to read it.<br>
Or describe a run in your own words and open it as a training plan.</p>
</div>"""

MATH: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "$", "right": "$", "display": False},
]

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

    @property
    def text(self) -> str:
        """The answer as Markdown, before citations become links."""
        if self.error:
            return f"**I could not answer.** {self.error}"
        if self.reply is None:
            return f"_{self.waiting or 'Searching the corpus…'}_"
        return self.reply.text


def linked(text: str, turn: int) -> str:
    """The answer with every citation [n] turned into a link that opens source n of this turn."""
    parts = _APART.split(text)
    parts[::2] = [_CITATION.sub(rf"[\1](#source-{turn}-\1)", plain) for plain in parts[::2]]
    return "".join(parts)


def messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """The conversation as the chat component shows it."""
    shown: list[dict[str, Any]] = []
    for place, turn in enumerate(turns):
        shown.append({"role": "user", "content": turn.question})
        shown.append({"role": "assistant", "content": linked(turn.text, place)})
    return shown


def history(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """Finished turns as the assistant takes them: question and answer."""
    return [(turn.question, turn.reply.text) for turn in turns if turn.reply is not None]


def preparing(status: Status) -> str:
    """What to read while the index is prepared: `Preparing the index… 42 %`."""
    return f"Preparing the index… {status.fraction:.0%}".replace("%", " %")


def answer(question: str, turns: Sequence[Turn], library: Library) -> Iterator[Turn]:
    """The turn as it grows: waits for the index, then streams the reply. Every reason not to answer is said."""
    turn, halts = Turn(question), library.halts
    if library.status.state == "failed":
        library.start()                    # whatever was in the way may be gone
    for status in library.wait():
        if status.state == "failed":
            yield replace(turn, error=f"The index could not be opened: {status.message} Ask again to try again.")
            return
        yield replace(turn, waiting="" if status.state == "ready" else preparing(status))
    if library.halts != halts:
        yield replace(turn, waiting="Stopped before the index was ready.")
        return
    try:
        for reply in library.assistant.ask(question, history(turns)):
            turn = replace(turn, reply=reply)
            yield turn
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        yield replace(turn, error=str(error))


def sources_html(turns: Sequence[Turn], place: int, number: int = 0) -> str:
    """The list of one turn's sources; the one that is open is marked."""
    reply = turns[place].reply if 0 <= place < len(turns) else None
    if reply is None or not reply.sources:
        return ('<div class="sources-none">The passages an answer rests on are listed here. '
                "Click a number in an answer to read one.</div>")
    rows = "".join(_source_row(source, place, source.number == number) for source in reply.sources)
    return f'<div class="sources" role="list">{rows}</div>'


def _source_row(source: Source, place: int, is_open: bool) -> str:
    name = source.heading.split(" › ")[-1] or source.title
    of = source.title if source.heading else source.path
    return (f'<button type="button" role="listitem" class="source" data-source="{place}-{source.number}" '
            f'aria-current="{"true" if is_open else "false"}"><span class="source-number">{source.number}</span>'
            f'<span class="source-name"><span>{escape(name)}</span><span class="source-of">{escape(of)}</span></span>'
            f"</button>")


def passage(turns: Sequence[Turn], place: int, number: int) -> str:
    """One source as Markdown: where it is from, then the passage itself, set off so that it is seen at once."""
    reply = turns[place].reply if 0 <= place < len(turns) else None
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


def choose_answerer(kind: str, path: str, library: Library) -> str:
    """Switch who writes the answers; the result is a notice that says what happened."""
    for status in library.wait():
        if status.state == "failed":
            return notice(status.message, "bad")
    if library.status.state == "opening":
        return ""
    try:
        if kind == "gguf":
            library.assistant.answerer = GGUFAnswerer(path.strip())
            return notice(f"Answers are now written by {path.strip()}.", "good")
        library.assistant.answerer = BuiltinAnswerer()
        return notice("Answers are composed from the corpus itself, without a model.", "good")
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        return notice(str(error), "bad", "The model was not loaded.")


def chosen_answerer(library: Library) -> tuple[str, str]:
    """Who writes the answers now: its kind, and the path of its file if it has one."""
    answerer = library.assistant.answerer if library.status.state == "ready" else None
    return ("gguf", str(answerer.path)) if isinstance(answerer, GGUFAnswerer) else ("builtin", "")


@dataclass(frozen=True)
class ChatPage:
    """What other pages connect to."""

    turns: gr.State
    open_plan: gr.Button


_KEYS = '<span class="keys"><kbd>/</kbd> write <kbd>Enter</kbd> send <kbd>Esc</kbd> stop</span>'
_SIDE_HEAD = (f'<div class="side-head">{icon("book")}<span>Sources</span><button type="button" class="side-close" '
              'data-close-sources aria-label="Close sources">×</button></div>')
_OPEN_SOURCE = """
element.addEventListener('click', (event) => {
  const row = event.target.closest('[data-source]');
  if (row) window.copilot.openSource(row.dataset.source);
});
window.copilot.openSource = (id) => {
  document.documentElement.dataset.sources = 'open';
  const [turn, number] = id.split('-').map(Number);
  trigger('open', {turn, number});
};
"""


def build(app: gr.Blocks, library: Library) -> ChatPage:
    """Lay the page out and connect it."""
    turns = gr.State([])
    with gr.Row(elem_id="chat-row"):
        with gr.Column(elem_id="chat-main"):
            chatbot = gr.Chatbot(
                elem_id="chat-log", show_label=False, container=False, layout="bubble", height="100%",
                latex_delimiters=MATH, buttons=["copy"], placeholder=WELCOME, line_breaks=False,
                allow_tags=False, feedback_options=None, examples=[{"text": text} for text in EXAMPLES],
            )
            with gr.Row(elem_id="chat-offer", visible=False) as offer_row:
                offer_html = pane("", "chat-offer-text")
                open_plan = gr.Button("Open as training plan", variant="primary", elem_id="open-plan", scale=0,
                                      min_width=190)
            with gr.Row(elem_id="chat-dock"):
                question = gr.Textbox(
                    elem_id="question", show_label=False, container=False, lines=1, max_lines=6, autofocus=True,
                    placeholder="Ask a question, or describe a run: train SAC on Pendulum", scale=1,
                )
                send = gr.Button("Send", variant="primary", elem_id="send", scale=0, min_width=84)
                stop = gr.Button("Stop", variant="stop", elem_id="stop-answer", scale=0, min_width=84, visible=False)
            with gr.Row(elem_id="chat-answerer"):
                kind = gr.Dropdown(
                    [("Built-in answerer", "builtin"), ("GGUF model file", "gguf")], value="builtin",
                    elem_id="answerer", show_label=False, container=False, scale=0, min_width=190, filterable=False,
                )
                path = gr.Textbox(elem_id="gguf-path", show_label=False, container=False, visible=False, scale=1,
                                  placeholder="Path of a .gguf file on this computer")
                load = gr.Button("Load", elem_id="gguf-load", scale=0, min_width=84, visible=False)
                new = gr.Button("New chat", elem_id="new-chat", scale=0, min_width=96)
                pane(_KEYS, "chat-keys")
            answerer_note = pane("", "answerer-note")
        with gr.Column(elem_id="chat-side"):
            pane(_SIDE_HEAD, "sources-head")
            sources = pane(sources_html([], 0), "sources", _OPEN_SOURCE)
            shown = gr.Markdown(elem_id="passage", latex_delimiters=MATH)

    stages = [chatbot, turns, question, send, stop, offer_row, offer_html, sources, shown]

    def respond(text: str, before: list[Turn]) -> Iterator[tuple[Any, ...]]:
        if not text.strip():
            yield tuple(gr.skip() for _ in stages)
            return
        turn = Turn(text.strip())
        for turn in answer(text.strip(), before, library):
            yield (messages([*before, turn]), gr.skip(), "", gr.update(visible=False), gr.update(visible=True),
                   gr.update(visible=False), "", gr.skip(), gr.skip())
        after = [*before, turn]
        what = offer(after)
        yield (messages(after), after, gr.skip(), gr.update(visible=True), gr.update(visible=False),
               gr.update(visible=bool(what)), what, sources_html(after, len(after) - 1), "")

    asked = {"inputs": [question, turns], "outputs": stages, "concurrency_id": "llm", "concurrency_limit": 1,
             "show_progress": "hidden"}
    gr.on([question.submit, send.click], respond, **asked)

    def example(before: list[Turn], event: gr.SelectData) -> Iterator[tuple[Any, ...]]:
        yield from respond(event.value["text"], before)

    chatbot.example_select(example, inputs=[turns], outputs=stages, concurrency_id="llm", show_progress="hidden")

    stop.click(library.halt, None, None, queue=False)
    new.click(lambda: ([], [], "", gr.update(visible=False), sources_html([], 0), ""), None,
              [chatbot, turns, question, offer_row, sources, shown], show_progress="hidden")

    def open_source(said: list[Turn], event: gr.EventData) -> tuple[str, str]:
        return sources_html(said, event.turn, event.number), passage(said, event.turn, event.number)

    sources.open(open_source, inputs=[turns], outputs=[sources, shown], show_progress="hidden", queue=False,
                 trigger_mode="always_last")

    def switch(choice: str) -> tuple[Any, ...]:
        gguf = choice == "gguf"
        note = "" if gguf else choose_answerer("builtin", "", library)
        return gr.update(visible=gguf), gr.update(visible=gguf), note

    def show_answerer() -> tuple[Any, ...]:
        now, where = chosen_answerer(library)
        return now, gr.update(value=where, visible=now == "gguf"), gr.update(visible=now == "gguf")

    app.load(show_answerer, None, [kind, path, load], show_progress="hidden")
    kind.input(switch, inputs=[kind], outputs=[path, load, answerer_note], show_progress="hidden")
    gr.on([load.click, path.submit], lambda where: choose_answerer("gguf", where, library), inputs=[path],
          outputs=[answerer_note], concurrency_id="llm")
    return ChatPage(turns, open_plan)
