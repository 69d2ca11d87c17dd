"""Conversations on disk: kept, found, renamed, deleted, exported and rated, by several processes at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from copilot.assistant import Reply, Source
from copilot.conversations import Conversations, Feedback
from copilot.llms.base import Use
from copilot.plan import TrainingPlan, plan_for
from rlcore.config import ConfigError

CLIP = Source(1, "PPO", "Why clip?", "papers/ppo.md", "PPO clips the ratio.", 0.9, "https://arxiv.org/abs/1707.06347")


@pytest.fixture
def kept(tmp_path) -> Conversations:
    return Conversations(tmp_path / "data" / "conversations.sqlite")


def reply(text: str, *sources: Source) -> Reply:
    return Reply(text, sources, abstained=False, done=True)


def talk(kept: Conversations, *turns: tuple[str, str]) -> str:
    key = kept.create()
    for question, answer in turns:
        kept.add(key, question, reply(answer, CLIP))
    return key


def test_a_turn_comes_back_as_it_was(kept):
    key = kept.create()
    turn = kept.add(key, "Why does PPO clip?", Reply("It bounds updates [1].", (CLIP,), True, True), "ollama:tiny")
    (back,) = Conversations(kept.path).turns(key)
    assert (back.id, back.question, back.answer) == (turn, "Why does PPO clip?", "It bounds updates [1].")
    assert back.sources == (CLIP,) and back.abstained and back.answerer == "ollama:tiny" and back.feedback is None
    assert kept.history(key) == [("Why does PPO clip?", "It bounds updates [1].")]


def test_what_a_prompt_took_is_kept_and_exported(kept):
    key, use = kept.create(), Use(1840, 4096, 6, 8)
    kept.add(key, "Why clip?", Reply("…", (), False, True, context=use), "ollama:tiny")
    kept.add(key, "And in DQN?", reply("…"))
    assert [turn.context for turn in Conversations(kept.path).turns(key)] == [use, None]
    by_model, built_in = [line for line in kept.export(key).splitlines() if line.startswith("*20")]
    assert by_model.endswith(" · ollama:tiny · 1,840 of 4,096 tokens of context · 6 of 8 passages*")
    assert built_in.endswith(" · builtin*")


@pytest.mark.parametrize("order", [
    "train PPO on CartPole with hidden sizes 32, 32 and 16 envs", "train DQN on Pendulum",
    "train DQN with HER on BitFlip with 10 bits", "train SAC on Pendulum with alpha 0.1 on the GPU",
])
def test_the_plan_that_an_answer_came_with_is_kept(kept, order):
    key, plan = kept.create(), plan_for(order)
    kept.add(key, "with that", Reply("…", (), False, True, plan))
    assert Conversations(kept.path).turns(key)[0].plan == plan
    with sqlite3.connect(kept.path) as sql:
        sql.execute("""UPDATE turns SET plan = replace(plan, '"algo": "', '"algo": "un')""")
    sql.close()
    if isinstance(plan, TrainingPlan):     # one that a later version cannot run
        assert kept.turns(key)[0].plan is None


def test_conversations_kept_without_what_prompts_took_open_as_they_are(kept):
    key = talk(kept, ("Why clip?", "It bounds updates [1]."))
    kept.rate(kept.turns(key)[0].id, "up")
    before = kept.turns(key), kept.recent()
    with sqlite3.connect(kept.path) as sql:
        for column in ("context", "plan"):
            sql.execute(f"ALTER TABLE turns DROP COLUMN {column}")     # as the first version made them
    sql.close()
    opened = Conversations(kept.path)
    assert (opened.turns(key), opened.recent()) == before
    opened.add(key, "And?", Reply("…", (), False, True, context=Use(1, 2, 3, 4)))
    assert Conversations(kept.path).turns(key)[1].context == Use(1, 2, 3, 4)
    with sqlite3.connect(kept.path) as sql:
        assert sql.execute("PRAGMA user_version").fetchone() == (1,)   # whoever made it goes on to read it
    sql.close()


def test_the_first_question_names_a_conversation_and_the_latest_comes_first(kept):
    first = talk(kept, ("What is GAE?", "…"))
    second = talk(kept, ("Why " + "very " * 40 + "long?", "…"))
    assert [one.id for one in kept.recent()] == [second, first]
    kept.add(first, "And lambda?", reply("…"))
    assert (kept.recent()[0].title, kept.recent()[0].turns) == ("What is GAE?", 2)
    assert len(kept.recent()[1].title) <= 62 and kept.recent()[1].title.endswith("…")


@pytest.mark.parametrize(("asked", "found"), [
    ("clipping", ["a"]), ("replay buffers", ["b"]), ("截断", ["c"]), ("ratio surrogate", ["a"]), ("bananas", []),
    ("ratio replay", []), ('"; DROP TABLE turns', []), ("NEAR(", []), ("*", []),
])
def test_conversations_are_found_by_their_words(kept, asked, found):
    keys = {"a": talk(kept, ("Why does PPO clip?", "Clip the ratio in the surrogate.")),
            "b": talk(kept, ("What is a replay buffer?", "Old transitions.")),
            "c": talk(kept, ("什么是截断?", "由时钟结束。"))}
    assert [one.id for one in kept.search(asked)] == [keys[name] for name in found]


def test_a_find_shows_its_place_and_titles_are_searched_too(kept):
    key = talk(kept, ("Why does PPO clip?", "One update cannot move the policy far."))
    assert "**policy**" in kept.search("policy")[0].excerpt
    kept.rename(key, "My thesis, chapter two")
    assert [one.id for one in kept.search("thesis")] == [key]
    assert kept.recent()[0].title == "My thesis, chapter two"


def test_deleting_leaves_nothing_behind(kept):
    key = talk(kept, ("What is xylophone?", "A xylophone secret."))
    (turn,) = kept.turns(key)
    kept.rate(turn.id, "up")
    other = talk(kept, ("Why clip?", "…"))
    kept.delete(key)
    assert kept.search("xylophone") == [] and [one.id for one in kept.recent()] == [other]
    with sqlite3.connect(kept.path) as sql:
        assert sql.execute("SELECT count(*) FROM feedback").fetchone() == (0,)
    sql.close()
    assert not [path for path in kept.path.parent.iterdir() if b"xylophon" in path.read_bytes()]


def test_an_answer_can_be_rated_again_and_not_at_all(kept):
    key = talk(kept, ("Why clip?", "…"))
    (turn,) = kept.turns(key)
    kept.rate(turn.id, "down", "the number is wrong")
    assert kept.turns(key)[0].feedback == Feedback("down", "the number is wrong")
    kept.rate(turn.id, "up")
    assert [(where, one.feedback) for where, one in kept.rated()] == [(key, Feedback("up"))]
    kept.rate(turn.id, None)
    assert kept.turns(key)[0].feedback is None and not list(kept.rated())


def test_a_conversation_is_exported_with_its_sources(kept):
    key = talk(kept, ("Why does\nPPO clip?", "It bounds updates [1]."))
    kept.rate(kept.turns(key)[0].id, "up", "clear")
    text = kept.export(key)
    assert text.startswith("# Why does PPO clip?\n\n## Why does PPO clip?\n\n*20")
    assert "It bounds updates [1].\n\n1. PPO › Why clip? (`papers/ppo.md`) <https://arxiv.org/abs/1707.06347>" in text
    assert text.endswith("*Rated up: clear*\n")


@pytest.mark.parametrize("call", [
    lambda kept: kept.turns("x"), lambda kept: kept.rename("x", "y"), lambda kept: kept.delete("x"),
    lambda kept: kept.export("x"), lambda kept: kept.add("x", "q", reply("a")), lambda kept: kept.rate(99, "up"),
])
def test_what_is_not_there_is_said_to_be_missing(kept, call):
    with pytest.raises(ConfigError, match="may have been deleted"):
        call(kept)


def test_a_file_that_is_something_else_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes " * 200)
    with pytest.raises(ConfigError, match="holds no conversations"):
        Conversations(path)
    assert path.read_text() == "my notes " * 200
    later = Conversations(tmp_path / "later.sqlite")
    with sqlite3.connect(later.path) as sql:
        sql.execute("PRAGMA user_version = 99")
    sql.close()
    with pytest.raises(ConfigError, match="format 99"):
        Conversations(later.path)


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path):
    path = tmp_path / "shared.sqlite"          # neither finds it made
    code = """if True:
        import sys
        from pathlib import Path
        from copilot.assistant import Reply
        from copilot.conversations import Conversations
        sys.stdin.readline()
        kept = Conversations(Path(sys.argv[1]))
        key = kept.create(sys.argv[2])
        for number in range(40):
            kept.add(key, f"question {number}", Reply("answer", (), False, True))
    """
    workers = [subprocess.Popen([sys.executable, "-c", code, str(path), name], stdin=subprocess.PIPE)
               for name in ("one", "two")]
    threads = [threading.Thread(target=worker.communicate, args=(b"go\n",)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [worker.returncode for worker in workers] == [0, 0]
    kept = Conversations(path)
    assert sorted((one.title, one.turns) for one in kept.recent()) == [("one", 40), ("two", 40)]
    assert len(kept.search("question 39")) == 2


def test_a_write_that_fails_halfway_leaves_no_trace(kept, monkeypatch):
    key = kept.create()
    monkeypatch.setattr("copilot.conversations.spaced", lambda _text: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kept.add(key, "Why?", reply("…"))
    assert kept.turns(key) == []
