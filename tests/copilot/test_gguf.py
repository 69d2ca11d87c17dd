"""The GGUF answerer on a model of a few thousand random weights: it loads, streams and really stops."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from types import SimpleNamespace

import psutil
import pytest

from copilot.assistant import Assistant
from copilot.llms.base import prompt
from copilot.llms.gguf import GGUFAnswerer, GGUFSettings
from copilot.llms.gguf_process import _leave_weights_as_they_are, _load
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


def test_it_says_how_many_of_its_own_tokens_the_prompt_took(model, tmp_path):
    answerer = GGUFAnswerer(model, GGUFSettings(n_ctx=2048, max_tokens=16, source_tokens=1500, n_threads=1))
    assistant = Assistant.open(write_corpus(tmp_path / "c"), tmp_path / "i", answerer, embedder=WordEmbedder())
    found = assistant.find("Why does PPO clip the probability ratio?")
    asked = prompt(found, (), answerer.count, answerer.room)
    *_, reply = assistant.reply(found.question, found)
    assert reply.context.window == 2048 and reply.context.found == len(found.passages)
    assert reply.context.passages == asked.passages == asked.text.count("<<source ") > 0
    # Nearly a token per character: the mark around the passages differs from prompt to prompt, in letters and digits.
    assert abs(reply.context.tokens - answerer.count(asked.text)) < 20 * asked.passages


def test_what_the_corpus_does_not_cover_never_reaches_the_model(model, tmp_path):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=40, n_threads=1))
    assistant = Assistant.open(write_corpus(tmp_path / "c"), tmp_path / "i", answerer, embedder=WordEmbedder())
    (reply,) = assistant.ask("How do I bake sourdough bread?")
    assert reply.abstained


def test_a_stop_frees_the_model_that_writes_within_half_a_second(model):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=3500, n_threads=1))
    pieces = answerer.generate("a")
    for _ in range(20):
        next(pieces)
    started = time.monotonic()
    answerer.stop()
    with answerer._turns._busy:            # the model itself has let go
        assert time.monotonic() - started < 0.5
    assert list(pieces) == []


def test_a_stop_frees_the_model_that_reads_a_long_prompt_within_half_a_second(wide):
    answerer = GGUFAnswerer(wide, GGUFSettings(n_ctx=8192, max_tokens=16, n_threads=1))
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(answerer.generate("long words " * 600)))
    reader.start()
    time.sleep(0.5)
    assert reader.is_alive() and not heard  # still reading the prompt
    started = time.monotonic()
    answerer.stop()
    with answerer._turns._busy:            # the model itself has let go
        assert time.monotonic() - started < 0.5
    reader.join(5)
    assert not reader.is_alive() and not heard
    assert list(answerer.generate("again"))


def test_two_generations_take_turns(model):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=30, n_threads=1))
    heard: dict[int, list[str]] = {number: [] for number in range(3)}
    threads = [threading.Thread(target=lambda own=own: own.extend(answerer.generate("hello")))
               for own in heard.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all("".join(own) for own in heard.values())     # each its own whole answer


def test_a_stop_also_reaches_what_still_waits_for_its_turn(model):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=3500, n_threads=1))
    first, heard = answerer.generate("a"), []
    next(first)
    second = threading.Thread(target=lambda: heard.extend(answerer.generate("b")))
    second.start()
    while len(answerer._turns._running) < 2:
        second.join(0.01)
    answerer.stop()
    second.join(5)
    assert not second.is_alive() and not heard and sum(1 for _ in first) <= 2


def test_a_process_that_is_killed_costs_one_sentence_and_the_next_question_works(model):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=3500, n_threads=1))
    pieces = answerer.generate("a")
    next(pieces)
    os.kill(answerer._process._popen.pid, signal.SIGKILL)
    with pytest.raises(ConfigError, match="broke off: its process was killed by signal 9"):
        list(pieces)
    assert next(answerer.generate("again"))


def test_its_process_ends_when_the_answerer_is_dropped_or_closed(model):
    answerer = GGUFAnswerer(model, GGUFSettings(max_tokens=3500, n_threads=1))
    pieces = answerer.generate("a")
    next(pieces)
    process = answerer._process._popen
    answerer.close()
    assert process.poll() is not None
    with pytest.raises(ConfigError, match="broke off"):
        list(pieces)
    assert answerer.count("abc") > 0       # loads again
    process = answerer._process._popen
    del answerer, pieces
    gc.collect()
    assert process.poll() is not None


def test_its_process_does_not_outlive_the_app(model):
    code = ("import os, sys; from copilot.llms.gguf import GGUFAnswerer as G; g = G(sys.argv[1]); "
            "next(g.generate('a')); print(g._process._popen.pid, flush=True); os._exit(9)")
    done = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=False)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(5)   # raises TimeoutExpired if it goes on


def test_tokens_are_counted_by_the_model_s_own_tokenizer(model):
    answerer = GGUFAnswerer(model, GGUFSettings(n_threads=1))
    assert answerer.count("abc\n") == 5     # a mark for the beginning of a word, three letters, one byte


@pytest.mark.parametrize(("template", "asked"), [
    ("", "[INST]Why?"), ("chatml", "<|im_start|>user\nWhy?<|im_end|>"),
    ("{% for m in messages %}ASKED {{ m['content'] }}{% endfor %}", "ASKED Why?"),
])
def test_a_prompt_is_written_by_the_chat_template_that_is_chosen(model, tmp_path, monkeypatch, template, asked):
    if template.startswith("{"):
        (tmp_path / "own.jinja").write_text(template)
        template = str(tmp_path / "own.jinja")
    llama = _load(str(model), asdict(GGUFSettings(n_threads=1, chat_template=template)))
    prompts = []
    monkeypatch.setattr(llama, "create_completion", lambda prompt, **_: prompts.append(prompt) or iter(()))
    list(llama.create_chat_completion([{"role": "user", "content": "Why?"}], stream=True))
    assert asked in llama.detokenize(prompts[0]).decode()
    llama.close()


def test_window_gpu_layers_and_threads_reach_llama_cpp(monkeypatch):
    made = []
    monkeypatch.setitem(sys.modules, "llama_cpp", SimpleNamespace(
        Llama=lambda *args, **kwargs: made.append((args, kwargs)), llama_print_system_info=bytes))
    _load("m.gguf", asdict(GGUFSettings(n_ctx=2048, n_gpu_layers=-1, n_threads=3)))
    _load("m.gguf", asdict(GGUFSettings()))
    ((path,), chosen), (_, default) = made
    assert path == "m.gguf" and (chosen["n_ctx"], default["n_ctx"]) == (2048, 4096)
    assert (chosen["n_gpu_layers"], default["n_gpu_layers"]) == (-1, 0)
    assert (chosen["n_threads"], default["n_threads"]) == (3, os.cpu_count())
    assert all(one["n_threads_batch"] == one["n_threads"] for one in (chosen, default))


def test_an_unknown_chat_template_is_named_with_those_that_are_known(model):
    with pytest.raises(ConfigError, match=r"chattml.*chatml"):
        GGUFAnswerer(model, GGUFSettings(chat_template="chattml"))


def test_a_prompt_longer_than_the_window_is_an_error_and_never_cut(model):
    with pytest.raises(ConfigError, match="exceed context window"):
        list(GGUFAnswerer(model, GGUFSettings(n_ctx=1024, n_threads=1)).generate("long words " * 500))


@pytest.mark.parametrize("damage", ["short", "flipped", "lying"])
def test_a_damaged_model_takes_nothing_down(model, tmp_path, damage):
    raw = bytearray(model.read_bytes())
    if damage == "short":
        raw = raw[:len(raw) // 2]
    elif damage == "flipped":
        raw[8:4000] = bytes(byte ^ 0xA5 for byte in raw[8:4000])
    else:
        raw[8:16] = (2**62).to_bytes(8, "little")      # the number of tensors
    path = tmp_path / "damaged.gguf"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=r"damaged\.gguf' could not be loaded"):
        GGUFAnswerer(path)


def test_a_parser_that_crashes_costs_one_sentence(model, monkeypatch):
    """As a hole in the C++ parser would: the process dies of a segmentation fault while it loads."""
    monkeypatch.setattr("copilot.llms.gguf._COMMAND", ["-c", "import ctypes; ctypes.string_at(0)"])
    with pytest.raises(ConfigError, match="killed by signal 11"):
        GGUFAnswerer(model)


def test_weights_are_not_repacked_where_that_would_crash():
    library = SimpleNamespace(llama_model_default_params=lambda: SimpleNamespace(use_extra_bufts=True, n_gpu_layers=3))
    _leave_weights_as_they_are(library)
    assert vars(library.llama_model_default_params()) == {"use_extra_bufts": False, "n_gpu_layers": 3}


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
