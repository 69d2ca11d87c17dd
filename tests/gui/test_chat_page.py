"""A conversation, its citations, its plans; no index and no model needed."""

from __future__ import annotations

import pytest
from page_fakes import CLIP, EPOCHS, FakeAssistant, closed_library, failing_library, library, reply

from copilot.answer import BuiltinAnswerer
from copilot.plan import TrainingPlan, plan_from_text
from gui import chat
from gui.chat import Turn
from gui.service import Status
from rlcore.config import MissingExtra


def test_citations_become_links_to_their_own_turn() -> None:
    assert chat.linked("Clipped [1]. Four epochs [2][1].", 3) == (
        "Clipped [1](#source-3-1). Four epochs [2](#source-3-2)[1](#source-3-1).")


@pytest.mark.parametrize("text", [
    "`x[1]`", "```python\nx[1]\n```", "$x[1]$", "$$\nx[1]\n$$", "\\(x[1]\\)", "[1](already)", "[1 − ε, 2]",
])
def test_brackets_that_are_no_citations_are_left_alone(text: str) -> None:
    assert chat.linked(text, 0) == text


def test_an_answer_grows_and_keeps_what_was_said_before() -> None:
    assistant = FakeAssistant(reply("PPO", done=False), reply("PPO clips [1].", CLIP))
    before = [Turn("Hello?", reply("Hello."))]
    turns = list(chat.answer("Why?", before, library(assistant)))
    assert [turn.text for turn in turns] == ["_Searching the corpus…_", "PPO", "PPO clips [1]."]
    assert assistant.asked == [("Why?", [("Hello?", "Hello.")])]


def test_a_question_waits_for_the_index_and_says_how_far_it_is() -> None:
    shelf = closed_library(FakeAssistant(reply("Here.")))
    shelf._set(Status("opening", 0.42, "Embedding"))
    turns = chat.answer("Why?", [], shelf)
    assert next(turns).text == "_Preparing the index… 42 %_"
    shelf.start()
    assert list(turns)[-1].text == "Here."


def test_stop_ends_waiting_for_the_index_too() -> None:
    shelf = closed_library(FakeAssistant())
    turns = chat.answer("Why?", [], shelf)
    assert next(turns).text == "_Preparing the index… 0 %_"
    shelf.halt()
    assert [turn.text for turn in turns] == ["_Stopped before the index was ready._"]


def test_stop_reaches_the_assistant() -> None:
    assistant = FakeAssistant()
    library(assistant).halt()
    assert assistant.stopped


def test_an_index_that_cannot_be_opened_is_explained() -> None:
    *_, last = chat.answer("Why?", [], failing_library(ValueError("The corpus is missing.")))
    assert last.text == ("**I could not answer.** The index could not be opened: ValueError: The corpus is missing. "
                         "Ask again to try again.")


def test_asking_again_tries_the_index_again() -> None:
    shelf = failing_library(ValueError("The disk is full."))
    shelf._opener = closed_library(FakeAssistant(reply("Here.")))._opener
    assert list(chat.answer("Why?", [], shelf))[-1].text == "Here."


def test_an_answerer_that_fails_is_explained() -> None:
    class Broken(FakeAssistant):
        def ask(self, *_: object) -> object:  # type: ignore[override]
            raise RuntimeError("the model ran out of memory")

    *_, last = chat.answer("Why?", [], library(Broken()))
    assert "the model ran out of memory" in last.text


def test_sources_are_listed_and_the_open_one_is_marked() -> None:
    turns = [Turn("Why?", reply("PPO clips [1][2].", CLIP, EPOCHS))]
    html = chat.sources_html(turns, 0, number=2)
    assert html.count('class="source"') == 2
    assert 'data-source="0-2" aria-current="true"' in html
    assert 'data-source="0-1" aria-current="false"' in html
    assert "The clip" in html
    assert 'class="source"' not in chat.sources_html([], 0)


def test_a_citation_opens_its_passage_with_where_it_is_from() -> None:
    text = chat.passage([Turn("Why?", reply("[1]", CLIP))], 0, 1)
    assert "PPO › Idea" in text
    assert "<strong>The clip</strong>" in text
    assert "The ratio is clipped at $1 \\pm \\epsilon$." in text
    assert "## The clip" not in text                 # its heading is shown once
    assert "`papers/ppo.md` · `arXiv:1707.06347`" in text
    assert "http" not in text
    assert chat.passage([], 0, 1) == ""


def test_a_plan_is_offered_with_what_it_would_do() -> None:
    plan = TrainingPlan("ppo", "CartPole-v1", 100_000, 1, {"num_envs": 8})
    turns = [Turn("Train it", reply("A plan.", plan=plan))]
    assert chat.plan_in(turns) == plan
    assert "PPO on CartPole-v1" in chat.offer(turns)
    assert "100,000 steps · 8 envs · seed 1" in chat.offer(turns)
    assert chat.offer([Turn("Why?", reply("Because."))]) == ""
    assert chat.offer([]) == ""


def test_a_run_that_cannot_work_offers_one_that_can() -> None:
    refused = plan_from_text("train DQN on Pendulum")
    turns = [Turn("Train it", reply("It cannot.", plan=refused))]
    offered = chat.plan_in(turns)
    assert offered is not None
    assert (offered.algo, offered.env) == ("sac", "Pendulum-v1")
    assert "Instead: SAC on Pendulum-v1" in chat.offer(turns)


def test_a_model_that_cannot_be_loaded_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_path: str) -> object:
        raise MissingExtra("Answering with a GGUF model", "gguf")

    monkeypatch.setattr(chat, "GGUFAnswerer", missing)
    assistant = FakeAssistant()
    said = chat.choose_answerer("gguf", "model.gguf", library(assistant))
    assert "pip install" in said
    assert "[gguf]" in said
    assert assistant.answerer == "none yet"


def test_a_model_file_that_is_not_there_is_named() -> None:
    assert "nowhere.gguf" in chat.choose_answerer("gguf", "nowhere.gguf", library(FakeAssistant()))


def test_the_built_in_answerer_can_be_chosen_again() -> None:
    assistant = FakeAssistant()
    chat.choose_answerer("builtin", "", library(assistant))
    assert isinstance(assistant.answerer, BuiltinAnswerer)


def test_a_reloaded_page_shows_who_writes_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        path = "model.gguf"

    assistant = FakeAssistant()
    assert chat.chosen_answerer(library(assistant)) == ("builtin", "")
    monkeypatch.setattr(chat, "GGUFAnswerer", Model)
    assistant.answerer = Model()
    assert chat.chosen_answerer(library(assistant)) == ("gguf", "model.gguf")


def test_each_example_question_is_a_question_or_a_plan() -> None:
    assert isinstance(plan_from_text(chat.EXAMPLES[-1]), TrainingPlan)
    assert all(text.endswith("?") for text in chat.EXAMPLES[:-1])
