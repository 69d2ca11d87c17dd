"""A GGUF model in this process, through llama-cpp-python.

A generation runs in a thread of its own: who reads it can stop at once, also while the model still reads the
prompt, and a model never works for two at a time.
"""

from __future__ import annotations

import ctypes
import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copilot.cite import verified
from copilot.llms.base import History, prompt, unthought
from rlcore.config import ConfigError, MissingExtra, check_ranges, setting

if TYPE_CHECKING:
    from copilot.retrieve import Found

_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class GGUFSettings:
    """How a model is run."""

    n_ctx: int = setting(4096, "context window", low=512, unit="tokens")
    n_gpu_layers: int = setting(0, "layers on the GPU; -1: all", low=-1)
    n_threads: int = setting(0, "CPU threads; 0: one per core", low=0)
    max_tokens: int = setting(500, "longest answer", low=16, unit="tokens")
    source_tokens: int = setting(1800, "longest prompt; a CPU reads some 70 tokens a second", low=128, unit="tokens")
    temperature: float = setting(0.2, "randomness of the wording", low=0.0, high=2.0)

    def __post_init__(self) -> None:
        check_ranges(self)


class GGUFAnswerer:
    """Lets a GGUF model write the answers.

    Raises:
        MissingExtra: llama-cpp-python is not installed.
        ConfigError: the file is missing, no GGUF file, or damaged.
    """

    def __init__(self, path: Path | str, settings: GGUFSettings | None = None):
        self.path, self.settings = Path(path), settings or GGUFSettings()
        self._model = _load(self.path, self.settings)
        self._busy = threading.Lock()
        self._running: set[threading.Event] = set()
        self._current: threading.Event | None = None       # of the generation that has the model
        self._abort = _abort_flag(self._model)

    def stream(self, found: Found, history: History = ()) -> Iterator[str]:
        """The answer as it grows; at its end with citations that hold."""
        room = self.settings.n_ctx - self.settings.max_tokens - 64
        text = ""
        for piece in self.generate(prompt(found, history, self.count, min(room, self.settings.source_tokens))):
            text += piece
            yield unthought(text)
        yield verified(unthought(text), [passage.text for passage in found.passages])

    def generate(self, text: str) -> Iterator[str]:
        """What the model says to a prompt, piece by piece. Ends early when stopped, or when nobody reads on."""
        pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
        stopped = threading.Event()
        self._running.add(stopped)
        threading.Thread(target=self._work, args=(text, pieces, stopped), name="gguf", daemon=True).start()
        try:
            while not stopped.is_set():
                try:
                    piece = pieces.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if piece is None:
                    return
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self._end(stopped)

    def stop(self) -> None:
        """End what is being generated; returns at once."""
        for stopped in list(self._running):
            self._end(stopped)

    def count(self, text: str) -> int:
        """Tokens of a text, by the model's own tokenizer."""
        return len(self._model.tokenize(text.encode(), add_bos=False))

    def _end(self, stopped: threading.Event) -> None:
        stopped.set()
        self._running.discard(stopped)
        if self._current is stopped:
            self._abort[0] = b"!"

    def _work(self, text: str, pieces: queue.SimpleQueue[str | BaseException | None], stopped: threading.Event) -> None:
        """Generate into the queue: text, then None or what went wrong."""
        with self._busy:
            self._current, self._abort[0] = stopped, b"\0"
            try:
                for piece in self._spoken(text) if not stopped.is_set() else ():
                    if stopped.is_set():
                        break
                    pieces.put(piece)
                pieces.put(None)
            except Exception as error:     # raised again where the answer is read
                pieces.put(None if stopped.is_set() else error)    # an aborted decode is no failure
            finally:
                if stopped.is_set():
                    self._model.reset()    # half a prompt may be in its memory
                    self._model._ctx.kv_cache_clear()
                self._current = None

    def _spoken(self, text: str) -> Iterator[str]:
        """The model's words, with its own chat template (rendered in a sandbox by llama-cpp-python)."""
        messages = [{"role": "user", "content": text}]      # not every template knows a system role
        limits = {"max_tokens": self.settings.max_tokens, "temperature": self.settings.temperature}
        for event in self._model.create_chat_completion(messages, stream=True, **limits):
            yield event["choices"][0]["delta"].get("content") or ""


def _load(path: Path, settings: GGUFSettings) -> Any:
    if not path.is_file():
        raise ConfigError(f"'{path}' does not exist. Give the path of a .gguf file.")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise ConfigError(f"'{path}' is not a GGUF model: it starts with {magic!r}. Give a .gguf file.")
    try:
        import llama_cpp
    except ImportError:
        raise MissingExtra("Answering with a GGUF model", "gguf") from None
    threads = settings.n_threads or os.cpu_count() or 1
    try:
        return llama_cpp.Llama(str(path), n_ctx=settings.n_ctx, n_gpu_layers=settings.n_gpu_layers, n_threads=threads,
                               n_threads_batch=threads, verbose=False)
    except (ValueError, AssertionError, RuntimeError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' could not be loaded: it is damaged, no text model, or too new for "
                          f"llama-cpp-python {llama_cpp.__version__} ({error}).") from None


def _abort_flag(model: Any) -> Any:
    """A buffer of two bytes: while the first is not zero, llama.cpp aborts what it computes.

    It asks after every operation of the network. A Python callback would need the interpreter's lock each time and
    slow the model down whenever other Python threads work, so it asks C's `strlen`: of an empty string 0, false.
    """
    import llama_cpp

    library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    flag = ctypes.create_string_buffer(2)
    callback = ctypes.cast(library.strlen, llama_cpp.ggml_abort_callback)
    llama_cpp.llama_set_abort_callback(model.ctx, callback, ctypes.cast(flag, ctypes.c_void_p))
    return flag
