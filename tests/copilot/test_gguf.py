"""The GGUF answerer on a model of a few thousand random weights: it loads, streams and really stops."""

import os
import threading
import time

import pytest

from copilot.assistant import Assistant
from copilot.llms.gguf import GGUFAnswerer, GGUFSettings
from rlcore.config import ConfigError
from tests.copilot.fakes import WordEmbedder, write_corpus, write_gguf

if not os.environ.get("CI"):  # there it must be installed
    pytest.importorskip("llama_cpp", reason="optional: make gguf")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Slow enough that reading a long prompt takes seconds."""
    return write_gguf(tmp_path_factory.mktemp("model") / "wide.gguf", width=512, layers=12, context=8192)


def test_it_streams_an_answer_piece_by_piece(model, tmp_path):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=40, n_threads=1))
    assistant = Assistant.open(write_corpus(tmp_path / "c"), tmp_path / "i", answerer, embedder=WordEmbedder())
    replies = list(assistant.ask("Why does PPO clip the probability ratio?"))
    assert len(replies) > 10 and replies[-1].done and len(replies[-1].text) > 10


def test_what_the_corpus_does_not_cover_never_reaches_the_model(model, tmp_path):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=40, n_threads=1))
    assistant = Assistant.open(write_corpus(tmp_path / "c"), tmp_path / "i", answerer, embedder=WordEmbedder())
    (reply,) = assistant.ask("How do I bake sourdough bread?")
    assert reply.abstained


def test_stop_ends_decoding_within_half_a_second(model):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=3500, n_threads=1))
    pieces = answerer.generate("a")
    for _ in range(20):
        next(pieces)
    started = time.monotonic()
    answerer.stop()
    assert sum(1 for _ in pieces) <= 2 and time.monotonic() - started < 0.5


def test_stop_ends_the_reading_of_a_long_prompt_and_the_next_question_works(wide):
    answerer = GGUFAnswerer(wide, GGUFSettings(n_ctx=8192, max_tokens=16, n_threads=1))
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(answerer.generate("long words " * 600)))
    reader.start()
    time.sleep(0.5)
    assert reader.is_alive() and not heard  # still reading the prompt
    started = time.monotonic()
    answerer.stop()
    reader.join(5)
    assert not reader.is_alive() and not heard
    assert list(answerer.generate("again"))  # waits until the model itself has let go
    assert time.monotonic() - started < 5


def test_two_generations_take_turns(model):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=30, n_threads=1))
    together = [0]
    most = [0]
    speak = answerer._spoken

    def counted(text):
        together[0] += 1
        most[0] = max(most[0], together[0])
        yield from speak(text)
        together[0] -= 1

    answerer._spoken = counted  # type: ignore[method-assign]
    threads = [threading.Thread(target=lambda: list(answerer.generate("hello"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1]


@pytest.mark.parametrize(("content", "said"), [
    (b"PK\x03\x04 a zip", "not a GGUF"), (b"GGUF" + b"\x00" * 64, "could not be loaded"),
])
def test_a_file_that_is_no_model_costs_one_sentence(tmp_path, content, said):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        GGUFAnswerer(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.gguf"):
        GGUFAnswerer(tmp_path / "nothing.gguf")
