"""Who writes the answers: the menu, switching, and what is said if a choice cannot work."""

from __future__ import annotations

from pathlib import Path

from page_fakes import FakeDesk, closed_library, failing_library, library

from gui import picker


def test_the_menu_has_what_is_here_and_what_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "small.gguf").write_bytes(b"GGUF" + bytes(996))
    menu = picker.options(library(FakeDesk()), tmp_path)
    assert menu[:2] == [("Built-in answerer", "builtin"), ("small.gguf · 1 kB", f"gguf:{tmp_path / 'small.gguf'}")]
    assert [picker.asked_kind(value) for _, value in menu[-5:]] == list(picker.TYPED)
    assert all(picker.example(kind) for kind in picker.TYPED)


def test_the_menu_has_the_answerer_in_use_wherever_it_comes_from(tmp_path: Path) -> None:
    desk = FakeDesk()
    desk.spec = "openai:http://127.0.0.1:8080/v1#big"
    assert ("big · 127.0.0.1:8080", desk.spec) in picker.options(library(desk), tmp_path)
    assert "Answers by </i><b>big · 127.0.0.1:8080" in picker.chip_html(library(desk))


def test_a_choice_that_cannot_work_is_explained_and_the_one_in_use_stays() -> None:
    desk = FakeDesk()
    loading, said = picker.choose("gguf:nowhere.gguf", library(desk))
    assert "Loading nowhere.gguf" in loading
    assert "nowhere.gguf&#x27; does not exist" in said
    assert "Built-in answerer goes on answering" in said
    assert desk.spec == "builtin"


def test_what_is_typed_may_be_the_whole_line_or_in_quotation_marks() -> None:
    assert picker.line("ollama", " qwen3:4b ") == "ollama:qwen3:4b"
    assert picker.line("ollama", "ollama:qwen3:4b") == "ollama:qwen3:4b"
    assert picker.line("gguf", '"/my models/a.gguf"') == "gguf:/my models/a.gguf"
    assert picker.line("gguf", "") == "gguf:"
    *_, said = picker.choose(picker.line("gguf", ""), library(FakeDesk()))
    assert "Write it as gguf:MODEL.gguf. Built-in answerer" in said


def test_each_reason_is_a_sentence_of_its_own() -> None:
    class Empty(FakeDesk):
        def choose(self, spec: str) -> None:
            raise ValueError(f"Fetch it with: ollama pull {spec}")

    *_, said = picker.choose("tiny", library(Empty()))
    assert "ollama pull tiny. Built-in answerer goes on answering." in said


def test_a_server_elsewhere_is_refused() -> None:
    *_, said = picker.choose("openai:http://192.0.2.1/v1", library(FakeDesk()))
    assert "not on this machine" in said


def test_the_built_in_answerer_can_be_chosen_again() -> None:
    desk = FakeDesk()
    desk.spec = "gguf:m.gguf"
    *_, said = picker.choose("builtin", library(desk))
    assert "without a model" in said
    assert desk.spec == "builtin"


def test_before_the_index_is_open_a_choice_waits_for_it_or_says_why_not() -> None:
    assert "disk full" in next(picker.choose("builtin", failing_library(ValueError("disk full"))))
    shelf = closed_library(FakeDesk())
    assert picker.spec_in_use(shelf) == "builtin"
    shelf.start()
    *_, said = picker.choose("builtin", shelf)
    assert "without a model" in said
