"""A conversation, its citations, its plans; no index and no model needed."""

from __future__ import annotations

import pytest
from page_fakes import CLIP, EPOCHS, FakeDesk, closed_library, failing_library, library, reply

from copilot.llms.base import Use
from copilot.plan import TrainingPlan, plan_from_text
from gui import answers
from gui.answers import Turn
from gui.chat import EXAMPLES
from gui.service import Status


def test_citations_become_links_to_their_own_turn() -> None:
    assert answers.linked("Clipped [1]. Four epochs [2][1].", 3) == (
        "Clipped [1](#source-3-1). Four epochs [2](#source-3-2)[1](#source-3-1).")


@pytest.mark.parametrize("text", [
    "`x[1]`", "```python\nx[1]\n```", "$x[1]$", "$$\nx[1]\n$$", "\\(x[1]\\)", "[1](already)", "[1 − ε, 2]",
])
def test_brackets_that_are_no_citations_are_left_alone(text: str) -> None:
    assert answers.linked(text, 0) == text


def test_an_answer_grows_and_keeps_what_was_said_before() -> None:
    desk = FakeDesk(reply("PPO", done=False), reply("PPO clips [1].", CLIP))
    before = [Turn("Hello?", reply("Hello."))]
    turns = list(answers.answer("Why?", before, library(desk), ["notes"]))
    assert [turn.text for turn in turns] == ["_Searching the corpus…_", "PPO", "PPO clips [1]."]
    assert desk.asked == [("Why?", [("Hello?", "Hello.")], ["notes"])]


def test_a_question_waits_for_the_index_and_says_how_far_it_is() -> None:
    shelf = closed_library(FakeDesk(reply("Here.")))
    shelf._set(Status("opening", 0.42, "Embedding"))
    turns = answers.answer("Why?", [], shelf)
    assert next(turns).text == "_Preparing the index… 42 %_"
    shelf._set(Status("opening", 0.43, "Embedding", 200.0))
    assert next(turns).text == (
        "_Preparing the index… 43 %, about 3 min left. It is made once; after that, answers come at once._")
    shelf.start()
    assert list(turns)[-1].text == "Here."


def test_stop_ends_waiting_for_the_index_too() -> None:
    shelf = closed_library(FakeDesk())
    turns = answers.answer("Why?", [], shelf)
    assert next(turns).text == "_Preparing the index… 0 %_"
    shelf.halt()
    assert [turn.text for turn in turns] == ["_Stopped before the index was ready._"]


def test_stop_reaches_the_desk() -> None:
    desk = FakeDesk()
    library(desk).halt()
    assert desk.stopped == 1


def test_an_answer_that_began_after_stop_is_stopped_at_its_first_word() -> None:
    desk = FakeDesk(reply("PPO", done=False), reply("PPO clips."))
    shelf = library(desk)
    turns = answers.answer("Why?", [], shelf)
    assert next(turns).text == "_Searching the corpus…_"
    assert next(turns).text == "PPO"
    shelf.halt()
    assert desk.stopped == 1
    next(turns)
    assert desk.stopped == 2


def test_an_index_that_cannot_be_opened_is_explained() -> None:
    *_, last = answers.answer("Why?", [], failing_library(ValueError("The corpus is missing.")))
    assert last.text == ("**I could not answer.** The index could not be opened: ValueError: The corpus is missing. "
                         "Ask again to try again.")


def test_asking_again_tries_the_index_again() -> None:
    shelf = failing_library(ValueError("The disk is full."))
    shelf._opener = closed_library(FakeDesk(reply("Here.")))._opener
    assert list(answers.answer("Why?", [], shelf))[-1].text == "Here."


def test_an_answerer_that_fails_is_explained() -> None:
    class Broken(FakeDesk):
        def ask(self, *_: object) -> object:  # type: ignore[override]
            raise RuntimeError("the model ran out of memory")

    *_, last = answers.answer("Why?", [], library(Broken()))
    assert "the model ran out of memory" in last.text


def test_sources_are_listed_and_the_open_one_is_marked() -> None:
    turns = [Turn("Why?", reply("PPO clips [1][2].", CLIP, EPOCHS))]
    html = answers.sources_html(answers.reply_at(turns, 0), 0, number=2, answerer="gguf:/models/small.gguf")
    assert html.count('class="source"') == 2
    assert 'data-source="0-2" aria-current="true"' in html
    assert 'data-source="0-1" aria-current="false"' in html
    assert "The clip" in html
    assert "Written by small.gguf" in html
    assert answers.reply_at(turns, 1) is None
    assert 'class="source"' not in answers.sources_html(None, 0)


def test_what_a_model_s_prompt_took_stands_below_its_answer_and_is_no_part_of_it() -> None:
    turns = [Turn("Why?", reply("PPO clips.", context=Use(1840, 4096, 6, 8))), Turn("And?", reply("Words."))]
    first, second = (message["content"] for message in answers.messages(turns)[1::2])
    assert first == ["PPO clips.", "1,840 of 4,096 tokens of context · 6 of 8 passages"]
    assert second == ["Words."]                      # the built-in answerer has no window
    assert answers.history(turns) == [("Why?", "PPO clips."), ("And?", "Words.")]


def test_before_its_first_word_a_model_is_said_to_read() -> None:
    desk = FakeDesk(reply("Because [1].", CLIP))
    assert next(answers.answer("Why?", [], library(desk))).text == "_Searching the corpus…_"
    desk.spec = "ollama:qwen3:4b"
    first = next(answers.answer("Why?", [], library(desk)))
    assert first.text == "_Searching the corpus; then qwen3:4b · Ollama reads what was found…_"


def test_an_answer_that_broke_off_says_why_and_not_what_it_took() -> None:
    turn = Turn("Why?", reply("PPO", context=Use(1840, 4096, 6, 8)), error="The model ended.")
    assert answers.messages([turn])[1]["content"] == ["**I could not answer.** The model ended."]


def test_a_question_with_half_a_character_is_refused_in_words() -> None:
    (turn,) = answers.answer("What is PPO \ud83d?", [], library(FakeDesk()))
    assert turn == Turn("What is PPO ??", error="The question has half of a character, such as of an emoji. "
                                                "Ask again without it.")


def test_a_citation_opens_its_passage_with_where_it_is_from() -> None:
    text = answers.passage(reply("[1]", CLIP), 1)
    assert "PPO › Idea" in text
    assert "<strong>The clip</strong>" in text
    assert "The ratio is clipped at $1 \\pm \\epsilon$." in text
    assert "## The clip" not in text                 # its heading is shown once
    assert "`papers/ppo.md` · `arXiv:1707.06347`" in text
    assert "http" not in text
    assert answers.passage(None, 1) == ""


def test_a_plan_is_offered_with_what_it_would_do() -> None:
    plan = TrainingPlan("ppo", "CartPole-v1", 100_000, 1, {"num_envs": 8})
    turns = [Turn("Train it", reply("A plan.", plan=plan))]
    assert answers.plan_in(turns) == plan
    assert "PPO on CartPole-v1" in answers.offer(turns)
    assert "100,000 steps · 8 envs · seed 1" in answers.offer(turns)
    assert answers.offer([Turn("Why?", reply("Because."))]) == ""
    assert answers.offer([]) == ""


def test_a_run_that_cannot_work_offers_one_that_can() -> None:
    refused = plan_from_text("train DQN on Pendulum")
    turns = [Turn("Train it", reply("It cannot.", plan=refused))]
    offered = answers.plan_in(turns)
    assert offered is not None
    assert (offered.algo, offered.env) == ("sac", "Pendulum-v1")
    assert "Instead: SAC on Pendulum-v1" in answers.offer(turns)


def test_each_example_question_is_a_question_or_a_plan() -> None:
    assert isinstance(plan_from_text(EXAMPLES[-1]), TrainingPlan)
    assert all(text.endswith("?") for text in EXAMPLES[:-1])
