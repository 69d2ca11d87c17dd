"""Questions in a terminal, and the conversations that are kept: by title or id, with their history."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import copilot.__main__ as command_line
from copilot.__main__ import main
from copilot.assistant import Reply, Source
from copilot.conversations import Conversations
from tests.copilot.fakes import WordEmbedder, Words, write_corpus

CLIP = Source(1, "PPO", "Why clip?", "papers/ppo.md", "PPO clips the ratio.", 0.9, "https://arxiv.org/abs/1707.06347")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a corpus, as the command line finds it."""
    write_corpus(tmp_path / "corpus")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("copilot.assistant.SentenceEmbedder", WordEmbedder)
    return tmp_path


@pytest.fixture
def kept(here) -> Conversations:
    return Conversations(here / "conversations.sqlite")


def talk(kept: Conversations, question: str, answer: str = "It bounds updates [1].") -> str:
    key = kept.create()
    kept.add(key, question, Reply(answer, (CLIP,), False, True))
    return key


class Keyboard(io.StringIO):
    """What somebody types at a terminal; `Ctrl-C` and the end of the lines are the keys."""

    def isatty(self) -> bool:
        return True


def types(monkeypatch, *lines: str) -> None:
    left = list(lines)

    def typed(_prompt: str) -> str:
        if not left:
            raise EOFError
        if left[0] == "Ctrl-C":
            raise KeyboardInterrupt
        return left.pop(0)

    monkeypatch.setattr("sys.stdin", Keyboard())
    monkeypatch.setattr("builtins.input", typed)


def test_a_conversation_is_begun_gone_on_with_and_kept(here, capsys):
    assert main(["ask", "--conversation", "Thesis", "When should I use PPO?"]) == 0
    capsys.readouterr()
    assert main(["ask", "--conversation", "thesis", "And SAC?"]) == 0
    assert "papers/sac.md · " in capsys.readouterr().out
    (one,) = Conversations(here / "conversations.sqlite").recent()
    assert (one.title, one.turns) == ("Thesis", 2)
    first, second = Conversations(here / "conversations.sqlite").turns(one.id)
    assert (first.question, second.question, second.answerer) == ("When should I use PPO?", "And SAC?", "builtin")
    # Alone "And SAC?" asks nothing: the answer says when to use it because of the question before.
    assert "environment steps are expensive" in second.answer and second.sources[0].path == "papers/sac.md"
    assert main(["ask", "--conversation", one.id[:6], "Why does PPO clip?"]) == 0
    assert Conversations(here / "conversations.sqlite").recent()[0].turns == 3


def test_elsewhere_the_program_s_own_corpus_and_index_are_used(here, monkeypatch, capsys):
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert (command_line._PROJECT / "corpus" / "docs").is_dir()
    monkeypatch.setattr(command_line, "_PROJECT", here)
    assert main(["ask", "Why does PPO clip the ratio?"]) == 0
    assert "papers/ppo.md" in capsys.readouterr().out
    assert (here / ".index" / "current").exists() and not list(elsewhere.iterdir())
    monkeypatch.setattr(command_line, "_PROJECT", here / "nothing")
    assert main(["ask", "Why does PPO clip the ratio?"]) == 2
    assert "'corpus' does not exist. Give the folder" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_measuring_compares_the_recipes_on_the_benchmark_s_questions_if_nothing_else_is_said(monkeypatch):
    asked = []
    monkeypatch.setattr(command_line, "open_embedder", lambda _spec: WordEmbedder())
    monkeypatch.setattr(command_line, "ablation", lambda *given: asked.append(given))
    monkeypatch.setattr(command_line, "table", lambda _results: "")
    assert main(["measure"]) == 0
    ((_, _, _, questions, out, _, recipes, *_),) = asked
    assert questions.is_file() and questions.parts[-2:] == ("benchmarks", "questions.jsonl")
    assert (out, recipes) == (Path("results"), ())


@pytest.mark.usefixtures("here")
def test_a_request_is_answered_with_the_script_and_names_no_button(capsys):
    assert main(["ask", "train PPO on CartPole"]) == 0
    said = capsys.readouterr().out
    assert 'rl.train("ppo", "CartPole-v1"' in said and "python train.py" in said and "Open it" not in said


def test_without_a_name_nothing_is_kept(here):
    assert main(["ask", "Why does PPO clip the ratio?"]) == 0
    assert not (here / "conversations.sqlite").exists()


@pytest.mark.usefixtures("here")
def test_what_a_model_s_prompt_took_stands_beside_the_answer(monkeypatch, capsys):
    monkeypatch.setattr("copilot.__main__.open_answerer", lambda _spec: Words(4096, 500, 1800))
    assert main(["ask", "--llm", "gguf:m.gguf", "Why does PPO clip the ratio?"]) == 0
    said = capsys.readouterr()
    assert re.search(r"^\d+ of 4,096 tokens of context · (\d+) of \1 passages$", said.err, re.MULTILINE)
    assert "tokens of context" not in said.out     # who pipes the answer elsewhere gets the answer alone


@pytest.mark.usefixtures("here")
def test_the_built_in_answerer_has_no_window_to_speak_of(capsys):
    assert main(["ask", "Why does PPO clip the ratio?"]) == 0
    assert "tokens of context" not in capsys.readouterr().err


def test_conversations_are_listed_searched_and_shown(kept, capsys):
    first, second = talk(kept, "Why does PPO clip?"), talk(kept, "What is a replay buffer?", "Old transitions.")
    assert main(["conversations", "list"]) == 0
    newest, oldest = capsys.readouterr().out.splitlines()
    assert newest.startswith(second[:8]) and "What is a replay buffer?  (1 question)" in newest
    assert oldest.startswith(first[:8])
    assert main(["conversations", "search", "updates"]) == 0
    found = capsys.readouterr().out
    assert found.startswith(first[:8]) and "**updates**" in found and second[:8] not in found
    assert main(["conversations", "show", first[:8]]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("> Why does PPO clip?\n\nIt bounds updates [1].\n[1] papers/ppo.md · Why clip?")


def test_a_conversation_is_renamed_exported_and_deleted(kept, here, monkeypatch, capsys):
    key = talk(kept, "Why does PPO clip?")
    assert main(["conversations", "rename", "why does ppo clip?", "Clipping"]) == 0
    assert main(["conversations", "export", "Clipping"]) == 0
    printed = capsys.readouterr().out
    assert printed == kept.export(key) and printed.startswith("# Clipping\n\n## Why does PPO clip?")
    assert main(["conversations", "export", "Clipping", "--to", "clipping.md"]) == 0
    assert (here / "clipping.md").read_text() == printed
    assert main(["conversations", "export", "Clipping", "--to", "clipping.md"]) == 2     # it overwrites nothing
    assert "'clipping.md' cannot be written" in capsys.readouterr().err
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    assert main(["conversations", "delete", "Clipping"]) == 2 and len(kept.recent()) == 1
    assert main(["conversations", "delete", "Clipping", "--yes"]) == 0 and kept.recent() == []
    capsys.readouterr()
    assert main(["conversations", "list"]) == 0 and capsys.readouterr().out == "None.\n"


def test_a_name_that_means_none_or_several_costs_one_sentence(kept, capsys):
    keys = [talk(kept, "Why does PPO clip?"), talk(kept, "Why does PPO clip?")]
    for words, said in ((["show", "Why does PPO clip?"], f"names 2 conversations. Give an id: {keys[1]}, {keys[0]}."),
                        (["show", "Why does PPO flip?"], "did you mean 'Why does PPO clip?'?"),
                        (["delete", "x", "--yes"], "There is no conversation 'x'."),
                        (["rename", " ", "x"], "not by nothing"),
                        (["list", "--conversations", "nowhere.sqlite"], "'nowhere.sqlite' does not exist.")):
        assert main(["conversations", *words]) == 2
        assert said in capsys.readouterr().err
    assert len(kept.recent()) == 2


def test_a_terminal_asks_on_until_an_empty_line_and_remembers(here, monkeypatch, capsys):
    types(monkeypatch, "When should I use PPO?", "And SAC?", "", "never read")
    assert main(["ask"]) == 0
    out = capsys.readouterr().out
    assert out.index("environment steps are cheap") < out.index("environment steps are expensive")
    assert not (here / "conversations.sqlite").exists()


def test_a_terminal_keeps_what_was_asked_if_it_gets_a_name(kept, monkeypatch):
    types(monkeypatch, "When should I use PPO?", "And SAC?")         # and then Ctrl-D
    assert main(["ask", "--conversation", "Thesis"]) == 0
    (one,) = kept.recent()
    assert [turn.question for turn in kept.turns(one.id)] == ["When should I use PPO?", "And SAC?"]


@pytest.mark.usefixtures("here")
def test_ctrl_c_at_the_prompt_ends(monkeypatch):
    types(monkeypatch, "Why does PPO clip the ratio?", "Ctrl-C")
    assert main(["ask"]) == 0


@pytest.mark.usefixtures("here")
def test_an_error_costs_a_sentence_and_not_the_conversation(monkeypatch, capsys):
    types(monkeypatch, "Why does PPO clip the ratio?", "Why does PPO clip the ratio?")
    failures = iter([True, False])
    whole = main.__globals__["Assistant"].reply

    def reply(self, *args):
        if next(failures):
            from rlcore.config import ConfigError
            raise ConfigError("The server is down.")
        return whole(self, *args)

    monkeypatch.setattr("copilot.assistant.Assistant.reply", reply)
    assert main(["ask"]) == 0
    said = capsys.readouterr()
    assert "The server is down." in said.err and "PPO clips the probability ratio" in said.out


@pytest.mark.usefixtures("here")
def test_a_pipe_asks_one_question(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("Why does PPO\nclip the ratio?\n"))
    assert main(["ask"]) == 0
    assert "PPO clips the probability ratio" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert main(["ask"]) == 2
    assert "ask needs a question" in capsys.readouterr().err


SLOW = """
import fcntl, signal, sys, termios, time
fcntl.ioctl(0, termios.TIOCSCTTY, 0)       # so that Ctrl-C reaches this process
signal.signal(signal.SIGINT, signal.default_int_handler)       # also if whoever runs the tests ignores it
import copilot.assistant, copilot.__main__
from tests.copilot.fakes import WordEmbedder

class Slow:
    def stream(self, found, history=()):
        yield "First words.\\n\\nAnd"
        if not history:
            time.sleep(60)
        yield "First words.\\n\\nAnd last ones."
    def stop(self):
        print("told to stop")

copilot.assistant.SentenceEmbedder = WordEmbedder
copilot.__main__.open_answerer = lambda _spec: Slow()
sys.exit(copilot.__main__.main(["ask", "--conversation", "Typed"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_ctrl_c_in_a_real_terminal_stops_the_answer_and_the_next_question_is_answered(here):
    import pty

    ours, theirs = pty.openpty()
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with subprocess.Popen([sys.executable, "-c", SLOW], stdin=theirs, stdout=theirs, stderr=theirs,
                          start_new_session=True, cwd=here, env={**os.environ, "PYTHONPATH": root}) as process:
        os.close(theirs)
        seen = bytearray()

        def listen() -> None:
            try:
                while piece := os.read(ours, 1000):
                    seen.extend(piece)
            except OSError:                # the other side has closed
                return

        def until(text: bytes, times: int = 1) -> None:
            end = time.monotonic() + 60
            while seen.count(text) < times:
                assert time.monotonic() < end and process.poll() is None, seen.decode()
                time.sleep(0.02)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            until(b"> ")
            os.write(ours, b"Why does PPO clip the ratio?\n")
            until(b"First words.")
            os.write(ours, b"\x03")
            until(b"told to stop")
            os.write(ours, b"Why are losses NaN?\n")
            until(b"And last ones.")
            until(b"> ", 3)
            os.write(ours, b"\x04")
            assert process.wait(60) == 0
        finally:
            process.kill()
    listener.join()
    os.close(ours)
    kept = Conversations(here / "conversations.sqlite")
    (one,) = kept.recent()
    assert [turn.answer for turn in kept.turns(one.id)] == [
        "First words.\n\nAnd", "First words.\n\nAnd last ones."]
