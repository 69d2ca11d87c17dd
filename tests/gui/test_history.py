"""Past conversations: the list, what is kept of an answer, and what the reader thought of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_fakes import CLIP, reply

from copilot.conversations import Conversation, Conversations, Feedback
from copilot.llms.base import Use
from copilot.plan import TrainingPlan
from gui import answers, history
from gui.answers import Turn
from rlcore.config import ConfigError


@pytest.fixture
def store(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "conversations.sqlite")


def asked(store: Conversations, question: str, text: str = "PPO clips [1].") -> tuple[str, Turn]:
    return history.keep(store, "", Turn(question, reply(text, CLIP), answerer="gguf:m.gguf"))


def test_a_turn_comes_back_as_it_was(store: Conversations) -> None:
    conversation, turn = asked(store, "Why does PPO clip?")
    (again,) = history.opened(store, conversation)
    assert (again.id, again.question, again.text, again.answerer) == (
        turn.id, "Why does PPO clip?", "PPO clips [1].", "gguf:m.gguf")
    assert again.reply is not None
    assert again.reply.sources == (CLIP,)


def test_what_an_answer_s_prompt_took_is_shown_again_when_its_conversation_is_opened(store: Conversations) -> None:
    conversation, _ = history.keep(store, "", Turn("Why?", reply("PPO clips.", context=Use(1840, 4096, 6, 8))))
    said = answers.messages(history.opened(store, conversation))
    assert said[1]["content"] == ["PPO clips.", "1,840 of 4,096 tokens of context · 6 of 8 passages"]


def test_an_answer_that_broke_off_is_not_kept(store: Conversations) -> None:
    turn = Turn("Why?", reply("PPO clips the", done=False), error="The server broke off.")
    assert history.keep(store, "", turn) == ("", turn)
    assert store.recent() == []


def test_a_plan_is_offered_again_when_its_conversation_is_opened(store: Conversations) -> None:
    plan = TrainingPlan("ppo", "CartPole-v1", 100_000, 1, {"num_envs": 16})
    turn = Turn("with 16 envs", reply("A plan.", plan=plan))       # which says so only together with earlier messages
    conversation, _ = history.keep(store, "", turn)
    assert answers.plan_in(history.opened(store, conversation)) == plan
    conversation, _ = asked(store, "Implement MuZero on CartPole from scratch")    # was explained, not refused
    assert answers.plan_in(history.opened(store, conversation)) is None


def test_later_turns_join_their_conversation(store: Conversations) -> None:
    conversation, _ = asked(store, "Why?")
    same, _ = history.keep(store, conversation, Turn("And then?", reply("Then this.")))
    assert same == conversation
    assert [turn.question for turn in history.opened(store, conversation)] == ["Why?", "And then?"]


def test_a_turn_without_a_reply_is_not_kept(store: Conversations) -> None:
    assert history.keep(store, "", Turn("Why?", error="No index.")) == ("", Turn("Why?", error="No index."))
    assert store.recent() == []


def test_a_turn_in_a_conversation_that_is_gone_begins_a_new_one(store: Conversations) -> None:
    conversation, _ = asked(store, "Why?")
    store.delete(conversation)
    assert history.opened(store, conversation) == []
    new, _ = history.keep(store, conversation, Turn("And then?", reply("Then this.")))
    assert new != conversation
    assert [turn.question for turn in history.opened(store, new)] == ["And then?"]


def test_the_list_has_the_newest_first_and_marks_the_open_one(store: Conversations) -> None:
    asked(store, "Old <question>?")
    conversation, _ = asked(store, "New question?")
    html = history.listed(store, "", conversation)
    assert html.index("New question?") < html.index("Old &lt;question&gt;?")
    assert f'data-pick="{conversation}" aria-current="true"' in html
    assert "just now · 1 question<" in html


def test_what_is_searched_is_marked_and_markup_in_it_stays_text() -> None:
    found = Conversation("a", "<b>Clip</b>", 0.0, 0.0, 1, "the **ratio** <script>")
    html = history.list_html([found], "", "ratio", 0.0)
    assert "the <mark>ratio</mark> &lt;script&gt;" in html
    assert "<b>" not in html
    assert "No conversation has these words" in history.list_html([], "", "ratio", 0.0)


def test_a_thumb_and_its_note_are_kept_and_can_be_taken_back(store: Conversations) -> None:
    conversation, turn = asked(store, "Why?")
    rated = history.rate(store, [turn], 0, "down", " too short ")
    assert rated[0].feedback == Feedback("down", "too short")
    again = history.opened(store, conversation)
    assert again[0].feedback == Feedback("down", "too short")
    assert answers.thumbs(again) == ["Dislike"]
    assert answers.thumbs(history.rate(store, again, 0, None)) == [None]
    assert history.opened(store, conversation)[0].feedback is None


def test_an_answer_that_was_not_kept_cannot_be_rated(store: Conversations) -> None:
    with pytest.raises(ConfigError, match="no turn 0"):
        history.rate(store, [Turn("Why?", error="No index.")], 0, "up")


def test_an_export_has_a_name_and_the_text(store: Conversations) -> None:
    conversation, _ = asked(store, "Why does PPO clip?")
    file = json.loads(history.exported(store, conversation))
    assert file["name"] == "why-does-ppo-clip.md"
    assert "PPO clips [1]." in file["text"]


def test_a_window_that_turned_away_is_noticed() -> None:
    seat, said = history.Seat(stayed=True), [Turn("Why?")]
    seat.move("a", said)
    assert (seat.conversation, seat.said, seat.moves, seat.stayed) == ("a", said, 1, False)
