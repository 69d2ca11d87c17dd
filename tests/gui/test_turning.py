"""A window that turns to something else while an answer or a diagnosis is being written keeps what it turned to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from page_fakes import FakeDesk, library, places, reply, write_run

from copilot.conversations import Conversations
from gui import history, page
from gui.answers import Turn
from gui.runs import Look

pytestmark = pytest.mark.usefixtures("builds_gradio")


def handlers(folder: Path, *answers: str) -> dict[str, Callable[..., Any]]:
    """What the built app calls, by name."""
    app = page.build_app(library(FakeDesk(*[reply(text) for text in answers])), places(folder))
    return {str(listener.name): listener.fn for listener in app.fns.values() if listener.fn}


def texts(values: tuple[Any, ...]) -> str:
    return str([value for value in values if value != gr.skip()])


def kept(folder: Path, question: str) -> str:
    store = Conversations(folder / "conversations.sqlite")
    return history.keep(store, "", Turn(question, reply("About it.")))[0]


def test_what_a_finished_answer_sends_again_is_nothing_but_its_text(tmp_path: Path) -> None:
    does, seat = handlers(tmp_path, "PPO", "PPO clips."), history.Seat()
    *_, last = does["respond"]("Why?", seat, [])
    text, *rest = last
    assert "PPO clips." in str(text)
    assert all(value.keys() <= {"__type__", "visible"} for value in rest)     # and which buttons there are
    settled = does["settled"](seat)
    assert "PPO clips." in texts(settled)
    assert seat.conversation in texts(settled)


def test_what_was_opened_meanwhile_is_shown_again_after_an_answer(tmp_path: Path) -> None:
    does, seat, other = handlers(tmp_path, "PPO clips."), history.Seat(), kept(tmp_path, "What is GAE?")
    list(does["respond"]("Why?", seat, []))
    does["pick"](seat, gr.EventData(None, {"value": other}))
    settled = does["settled"](seat)                       # Gradio has shown the answer's last text once more
    assert "What is GAE?" in texts(settled)
    assert "PPO clips." not in texts(settled)


def test_an_answer_on_its_way_yields_to_the_conversation_that_was_opened(tmp_path: Path) -> None:
    does, seat, other = handlers(tmp_path, "PPO", "PPO clips."), history.Seat(), kept(tmp_path, "What is GAE?")
    answering: Iterator[tuple[Any, ...]] = does["respond"]("Why?", seat, [])
    assert "Searching" in texts(next(answering))
    next(answering)                                        # its sources, before its first word
    assert "PPO" in texts(next(answering))
    does["pick"](seat, gr.EventData(None, {"value": other}))
    assert list(answering) == []
    assert "What is GAE?" in texts(does["settled"](seat))
    assert seat.conversation == other
    titles = {one.title for one in Conversations(tmp_path / "conversations.sqlite").recent()}
    assert titles == {"What is GAE?", "Why?"}             # what it had got so far is kept where it was asked


def test_the_end_of_an_answer_leaves_the_next_one_alone(tmp_path: Path) -> None:
    does, seat = handlers(tmp_path, "PPO clips."), history.Seat()
    list(does["respond"]("Why?", seat, []))
    following: Iterator[tuple[Any, ...]] = does["respond"]("And TRPO?", seat, [])
    next(following)
    assert all(value == gr.skip() for value in does["settled"](seat))
    list(following)
    assert "And TRPO?" in texts(does["settled"](seat))


@pytest.mark.parametrize("part", ["talk-list", "chat-title", "answerer", "settings", "launch", "shelf-progress",
                                  "shelf-list", "model-progress", "why-text", "curves"])
def test_what_shows_one_thing_is_written_in_turns(tmp_path: Path, part: str) -> None:
    """Two handlers at once would let what was computed first arrive last: a search's list undone by an older one."""
    app = page.build_app(library(FakeDesk()), places(tmp_path))
    writers = [listener for listener in app.fns.values() if listener.fn
               and part in [getattr(output, "elem_id", "") for output in listener.outputs]]
    assert len(writers) > 1
    turns = {listener.concurrency_id for listener in writers if not inspect.isgeneratorfunction(listener.fn)}
    assert len(turns) == 1
    assert {listener.concurrency_limit for listener in writers} == {1}


def test_a_diagnosis_is_shown_beside_its_own_run_only(tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path / "runs", name)
    does, look = handlers(tmp_path, "It", "It fell."), Look("a")
    diagnosing = does["diagnose"](look)
    assert "a stop improving" in texts(next(diagnosing))
    does["chosen"](look, gr.EventData(None, {"value": "b"}))
    assert look.run_id == "b"
    assert list(diagnosing) == []
    *_, shown = does["diagnose"](look)
    assert "It fell." in texts(shown)


def test_curves_are_drawn_anew_for_the_run_that_is_open(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "a")
    look = Look("a")
    handlers(tmp_path)["redraw"](look, {}, 0.9, "time", ["loss/value"])
    assert look == Look("a", 0.9, "time", ("loss/value",))
