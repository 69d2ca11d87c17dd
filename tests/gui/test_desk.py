"""The desk: one answerer, the corpus, and the collections that a question chooses."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_fakes import write_run

from copilot.answer import BuiltinAnswerer
from copilot.index import open_index
from gui.desk import Desk
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
