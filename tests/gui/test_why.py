"""Why did it stop improving? The diagnosis as a turn, and as the tab shows it."""

from __future__ import annotations

from pathlib import Path

from page_fakes import CLIP, FakeDesk, failing_library, library, reply, write_run

from copilot.llms.base import Use
from gui import why


def test_the_diagnosis_of_a_run_is_a_turn_that_chat_can_go_on_from(tmp_path: Path) -> None:
    run, desk = write_run(tmp_path, "a"), FakeDesk(reply("The return fell [1].", CLIP))
    waiting, turn = why.diagnosed(run, library(desk))
    assert waiting.text == "_Reading the run…_"
    assert (turn.question, turn.text) == ("Why did a stop improving?", "The return fell [1].")
    assert desk.asked == [("a", (), ())]


def test_citations_open_the_sources_of_the_diagnosis(tmp_path: Path) -> None:
    *_, turn = why.diagnosed(write_run(tmp_path, "a"), library(FakeDesk(reply("It fell [1].", CLIP))))
    shown, text, used, sources, passage, _ = why.show(turn)
    assert shown == turn
    assert text == "It fell [1](#source-run-1)."
    assert 'data-source="run-1"' in sources
    assert "Written by Built-in answerer" in sources
    assert (used, passage) == ("", "")
    assert why.show(None)[:3] == (None, "", "")


def test_what_a_model_s_prompt_took_stands_below_the_diagnosis(tmp_path: Path) -> None:
    desk = FakeDesk(reply("It fell [1].", CLIP, context=Use(1840, 4096, 6, 8)))
    *_, turn = why.diagnosed(write_run(tmp_path, "a"), library(desk))
    assert "1,840 of 4,096 tokens of context · 6 of 8 passages" in why.show(turn)[2]


def test_before_its_first_word_a_model_is_said_to_read(tmp_path: Path) -> None:
    desk = FakeDesk(reply("It fell."))
    desk.spec = "ollama:qwen3:4b"
    waiting = next(why.diagnosed(write_run(tmp_path, "a"), library(desk)))
    assert waiting.text == "_Reading the run; then qwen3:4b · Ollama reads what was found…_"


def test_why_there_is_no_diagnosis_is_said(tmp_path: Path) -> None:
    class Broken(FakeDesk):
        def explain(self, run: Path) -> object:  # type: ignore[override]
            raise ValueError(f"{run.name} has no metrics.")

    run = write_run(tmp_path, "a")
    *_, turn = why.diagnosed(run, library(Broken()))
    assert "a has no metrics." in turn.text
    *_, turn = why.diagnosed(run, failing_library(ValueError("disk full")))
    assert "disk full" in turn.text
