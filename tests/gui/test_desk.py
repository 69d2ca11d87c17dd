"""The desk: one answerer, the corpus, and the collections that a question chooses."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from page_fakes import write_run

import app
from copilot.answer import BuiltinAnswerer
from copilot.collection import collection
from copilot.embed import SentenceEmbedder
from copilot.index import alone, open_index
from gui import desk as gui_desk
from gui.desk import Desk
from gui.service import Library
from rlcore.config import ConfigError
from tests.copilot.fakes import WordEmbedder, write_corpus

QUESTION = "Which reward does the zephyr gripper use?"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    embedder = WordEmbedder()
    index = open_index(write_corpus(tmp_path / "corpus"), tmp_path / "index", embedder)
    return Desk(index, embedder, tmp_path / "documents", tmp_path / "runs")


def paths(desk: Desk, question: str, *collections: str) -> set[str]:
    *_, last = desk.ask(question, (), collections)
    return {Path(source.path).name for source in last.sources}


def report(_fraction: float, _text: str) -> None:
    """Nobody watches."""


def test_a_question_searches_only_the_collections_that_it_names(desk: Desk, tmp_path: Path) -> None:
    page = tmp_path / "zephyr.md"
    page.write_text(f"# Zephyr gripper\n\n## {QUESTION}\n\nThe zephyr gripper uses a reward of 7.5 for a lifted cup.\n")
    assert desk.add("mine", [page], report).read == 1
    assert "zephyr.md" in paths(desk, QUESTION, "mine")
    assert "zephyr.md" not in paths(desk, QUESTION)
    page.write_text(page.read_text().replace("7.5", "8.25"))
    assert desk.update("mine", report).read == 1
    *_, last = desk.ask(QUESTION, (), ["mine"])
    assert "8.25" in last.text
    desk.remove("mine")
    with pytest.raises(ConfigError, match="There is no collection 'mine'"):
        desk.assistant(["mine"])


def note(folder: Path, number: int = 1) -> Path:
    """A page on a subject of its own."""
    page = folder / f"note{number}.md"
    page.write_text(f"# Note {number}\n\n## {QUESTION}\n\nThe zephyr gripper of arm {number} uses a reward of 7.5.\n")
    return page


def test_a_collection_that_another_process_gave_another_embedder_s_vectors_is_opened_again(
    desk: Desk, tmp_path: Path,
) -> None:
    desk.add("mine", [note(tmp_path)], report)
    assert "note1.md" in paths(desk, QUESTION, "mine")
    assistant = desk.assistant(["mine"])
    collection(tmp_path / "documents", "mine").ready(WordEmbedder("words-2"))
    with pytest.raises(ConfigError, match="the vectors of words-2"):
        assistant.retriever.find(QUESTION)
    assert "note1.md" in paths(desk, QUESTION, "mine")
    assert desk.assistant(["mine"]).retriever is not assistant.retriever


def test_a_question_does_not_wait_for_a_collection_that_is_being_read(desk: Desk, tmp_path: Path) -> None:
    desk.add("mine", [note(tmp_path)], report)
    with closing(sqlite3.connect(tmp_path / "documents/collections/mine/collection.sqlite")) as sql, sql:
        sql.execute("DELETE FROM vectors WHERE place = 1")
    with closing(sqlite3.connect(tmp_path / "documents/collections/mine/lock", isolation_level=None)) as gate:
        gate.execute("BEGIN EXCLUSIVE")
        assert paths(desk, "Why does PPO clip the ratio?", "mine") >= {"ppo.md"}


def test_each_collection_is_open_once_and_few_choices_of_them_stay(desk: Desk, tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        desk.add(name, [note(tmp_path, number)], report)
    choices: list[Sequence[str]] = [[], ["a"], ["b", "a"], ["a", "b"], ["c"], ["a", "b"]]
    used = [desk.assistant(names).retriever for names in choices]
    assert used[2] is used[3] is used[5]
    assert list(desk._retrievers) == [("c",), ("a", "b")]
    assert sorted(desk._parts) == ["a", "b", "c"]
    desk.remove("c")
    assert list(desk._retrievers) == [("a", "b")]


class Shortest:
    """Prefers short passages."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return [-float(len(text)) for text in texts]


def test_what_was_found_is_ordered_by_the_reranker_that_the_desk_was_opened_with(tmp_path: Path) -> None:
    model = BuiltinAnswerer()
    other = Desk.open(write_corpus(tmp_path / "corpus"), tmp_path / "index", tmp_path / "documents", tmp_path / "runs",
                      WordEmbedder(), Shortest(), model, "ollama:x", progress=report)
    found = other.assistant().retriever.find("Why does PPO clip the ratio?").passages
    assert [len(one.text) for one in found] == sorted(len(one.text) for one in found)
    assert (other.answerer, other.spec) == (model, "ollama:x")


def test_an_index_that_another_process_does_not_let_go_of_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("copilot.index.alone.__wrapped__.__defaults__", (0.0, None))
    corpus, folder = write_corpus(tmp_path / "corpus"), tmp_path / "index"
    with alone(folder), pytest.raises(ConfigError, match=r"'index' is being changed by somebody else .* Try again"):
        Desk.open(corpus, folder, tmp_path, tmp_path, WordEmbedder(), progress=report)


def test_the_app_opens_the_desk_with_what_its_command_line_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[object] = []

    def run(library: Library, *_: object, **__: object) -> None:
        opened.extend(library._opener.args[4:])        # type: ignore[attr-defined]

    monkeypatch.setattr("gui.server.run", run)
    model = SentenceEmbedder().folder
    monkeypatch.setattr(sys, "argv", ["app.py", "--embedder", f"{model}?query=ask: ", "--llm", "ollama:tiny"])
    monkeypatch.setattr("copilot.llms.choose.open_answerer", lambda spec: f"answers by {spec}")
    app.main()
    embedder, *others = opened
    assert isinstance(embedder, SentenceEmbedder)
    assert embedder.prompts.query == "ask: "
    assert others == [None, "answers by ollama:tiny", "ollama:tiny"]
    for option, what in (("--embedder", "no modules.json"), ("--reranker", "no config.json")):
        monkeypatch.setattr(sys, "argv", ["app.py", option, str(tmp_path)])
        with pytest.raises(SystemExit, match=what):
            app.main()


def test_a_model_s_memory_is_free_before_the_next_one_is_loaded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []

    class Model(BuiltinAnswerer):
        def __init__(self, spec: str):
            self.spec = spec
            loaded.append(spec)
            assert len(loaded) == 1
            if spec == "gguf:broken":
                loaded.clear()
                raise ConfigError("It is damaged.")

        def close(self) -> None:
            loaded.remove(self.spec)

    monkeypatch.setattr(gui_desk, "GGUFAnswerer", Model)
    monkeypatch.setattr(gui_desk, "open_answerer", Model)
    desk.choose("gguf:a")
    desk.choose("gguf:b")
    assert loaded == ["gguf:b"]
    with pytest.raises(ConfigError, match="damaged"):
        desk.choose("gguf:broken")
    assert (desk.spec, desk.answerer.spec) == ("gguf:b", "gguf:b")     # type: ignore[attr-defined]


def test_an_answerer_that_cannot_be_opened_leaves_the_one_in_use(desk: Desk) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.gguf"):
        desk.choose("gguf:nowhere.gguf")
    assert desk.spec == "builtin"
    assert isinstance(desk.answerer, BuiltinAnswerer)
    desk.choose(" builtin ")
    assert desk.spec == "builtin"


def test_a_run_is_explained_and_can_be_named_in_a_question(desk: Desk, tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs", "ppo-demo")
    *_, last = desk.explain(run)
    assert "ppo-demo" in last.text
    *_, last = desk.ask("Why did ppo-demo stop improving?")
    assert "ppo-demo" in last.text


def test_stop_reaches_a_question_that_is_still_searched_for(desk: Desk) -> None:
    class Model(BuiltinAnswerer):
        def stream(self, found, history=()):
            raise AssertionError("it was stopped before")

    desk.answerer = Model()
    retriever = desk.assistant().retriever
    search = retriever.find
    retriever.find = lambda *args: (desk.stop(), search(*args))[1]     # type: ignore[method-assign]
    (reply,) = desk.ask("Why does PPO clip the ratio?")
    assert reply.text == "*Stopped before the first word.*"
