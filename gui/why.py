"""Why did it stop improving? A run's diagnosis beside its curves, with citations, and the way from there into Chat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from gui.answers import MATH, Turn, context, linked, meanwhile, passage, sources_html
from gui.chat import OPEN_SOURCE
from gui.parts import empty
from gui.service import Library
from gui.theme import hide, pane

_PLACE = "run"                     # what the links of the diagnosis call it
_NONE = "Reads this run's own files and the corpus, and says what may be wrong, with the evidence for it."


def question_about(run: Path) -> str:
    """The question that the button asks."""
    return f"Why did {run.name} stop improving?"


def diagnosed(run: Path, library: Library) -> Iterator[Turn]:
    """The diagnosis as a turn of a conversation, as it grows; every reason why there is none is said."""
    turn = Turn(question_about(run))
    for status in library.wait():
        if status.state == "failed":
            yield replace(turn, error=f"The index could not be opened: {status.message}")
            return
        yield replace(turn, waiting=meanwhile(status, "Reading the run", library))
    if library.status.state != "ready":    # somebody asked to stop
        yield replace(turn, waiting="Stopped before the index was ready.")
        return
    turn = replace(turn, answerer=library.desk.spec)
    try:
        for reply in library.desk.explain(run):
            turn = replace(turn, reply=reply)
            yield turn
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        yield replace(turn, error=str(error))


@dataclass(frozen=True)
class Why:
    """What the Runs page connects to."""

    turn: gr.State                 # the diagnosis as a turn, or None
    text: gr.Markdown
    shown: list[Any]               # outputs of `show`
    to_chat: gr.Button


def show(turn: Turn | None, cited: Any = "") -> tuple[Any, ...]:
    """A diagnosis and the passage that is open beside it, for `Why.shown`; none clears what is there."""
    if turn is None:
        return None, "", "", empty("Not asked yet", _NONE), "", hide()
    used = context(turn)
    below = f'<div class="context">{used}</div>' if used else ""
    return (turn, linked(turn.text, _PLACE), below, sources_html(turn.reply, _PLACE, 0, turn.answerer), cited,
            gr.update(visible=turn.reply is not None and turn.reply.done))


def build() -> Why:
    """Lay out the tab."""
    turn = gr.State(None)
    with gr.Row(elem_id="why-row"):
        with gr.Column(elem_id="why-main"):
            text = gr.Markdown(elem_id="why-text", latex_delimiters=MATH)
            used = pane("", "why-context")
            to_chat = gr.Button("Ask more about it in Chat", elem_id="why-to-chat", scale=0, min_width=200,
                                visible=False)
        with gr.Column(elem_id="why-side"):
            sources = pane(empty("Not asked yet", _NONE), "why-sources", OPEN_SOURCE % _PLACE)
            cited = gr.Markdown(elem_id="why-passage", latex_delimiters=MATH)

    def open_source(said: Turn | None, event: gr.EventData) -> tuple[str, str]:
        reply, writer = (said.reply, said.answerer) if said else (None, "")
        return sources_html(reply, _PLACE, event.number, writer), passage(reply, event.number)

    sources.open(open_source, [turn], [sources, cited], queue=False, show_progress="hidden", trigger_mode="always_last")
    return Why(turn, text, [turn, text, used, sources, cited, to_chat], to_chat)
