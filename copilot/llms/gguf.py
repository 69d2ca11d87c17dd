"""A GGUF model through llama-cpp-python, in a process of its own.

The parsers of model files are written in C++ and have had holes: a file that crashes one costs a sentence here and
never the app. The two processes exchange JSON, one message a line, so that nothing the child says can do more than
be text.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from copilot.llms.turns import ModelAnswerer, Turn
from rlcore.config import ConfigError, MissingExtra, check_ranges, setting

_ROOT = Path(__file__).resolve().parents[2]
_COMMAND = ["-P", "-m", "copilot.llms.gguf_process"]
_LAST_WORDS = 300                  # characters of what a process printed before it died

Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class GGUFSettings:
    """How a model is run."""

    n_ctx: int = setting(4096, "context window", low=512, unit="tokens")
    n_gpu_layers: int = setting(0, "layers on the GPU; -1: all", low=-1)
    n_threads: int = setting(0, "CPU threads; 0: one per core", low=0)
    max_tokens: int = setting(500, "longest answer", low=16, unit="tokens")
    source_tokens: int = setting(1800, "longest prompt; a CPU reads some 70 tokens a second", low=128, unit="tokens")
    temperature: float = setting(0.2, "randomness of the wording", low=0.0, high=2.0)
    chat_template: str = setting("", "a name that llama-cpp-python knows, such as chatml, or a Jinja file; "
                                     "empty: the model's own")

    def __post_init__(self) -> None:
        check_ranges(self)


class GGUFAnswerer(ModelAnswerer):
    """Lets a GGUF model write the answers.

    Raises:
        MissingExtra: llama-cpp-python is not installed.
        ConfigError: the file is missing, no GGUF file, or damaged.
    """

    def __init__(self, path: Path | str, settings: GGUFSettings | None = None):
        self.path, self.settings = Path(path), settings or GGUFSettings()
        super().__init__(self.settings.n_ctx, self.settings.max_tokens, self.settings.source_tokens)
        _check(self.path)
        self._process = _Process(self.path, self.settings)
        self._starting = threading.Lock()

    def count(self, text: str) -> int:
        """Tokens of a text, by the model's own tokenizer."""
        return self._living().count(text)

    def close(self) -> None:
        """Give the model's memory back; the next question loads it again."""
        self._process.end()

    def _speak(self, text: str, turn: Turn) -> Generator[str]:
        return self._living().speak(text, turn)

    def _living(self) -> _Process:
        """The process that has the model; a new one if the last has ended."""
        with self._starting:
            if self._process.ended:
                self._process = _Process(self.path, self.settings)
            return self._process


class _Process:
    """The process that has the model, seen from here. It ends with this object, and with this process."""

    def __init__(self, path: Path, settings: GGUFSettings):
        self._path = path
        self._printed = tempfile.TemporaryFile()       # noqa: SIM115  # what llama.cpp prints before it dies
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])}
        command = [sys.executable, *_COMMAND, str(path), json.dumps(asdict(settings))]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed,
                                       env=environment, start_new_session=True)    # Ctrl-C is for the answer
        assert self._popen.stdin and self._popen.stdout
        self._spoken: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._counted: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._writing, self._counting = threading.Lock(), threading.Lock()
        self._numbers = itertools.count(1)
        listener = threading.Thread(target=_listen, args=(self._popen.stdout, self._spoken, self._counted), daemon=True)
        listener.start()
        self.end = weakref.finalize(self, _end, self._popen, self._printed, listener)
        first = self._spoken.get()
        if "ready" not in first:
            reason = first.get("failed") or self._last_words()
            self.end()
            raise ConfigError(f"'{path}' could not be loaded: {reason}")

    @property
    def ended(self) -> bool:
        """Whether there is nobody to ask."""
        return not self.end.alive or self._popen.poll() is not None

    def speak(self, text: str, turn: Turn) -> Generator[str]:
        """What the model says, until it has let go; a stop reaches it also while it still reads the prompt."""
        number = next(self._numbers)
        self._send({"generate": number, "prompt": text})
        turn.on_stop(lambda: self._send({"stop": number}, quietly=True))
        said: Message = {}
        try:
            while "piece" in (said := self._spoken.get()):
                yield said["piece"]
        finally:
            while "piece" in said:         # whoever listened has left: only the last message says that it is free
                said = self._spoken.get()
        if "died" in said or "failed" in said:
            raise ConfigError(f"The answer broke off: {said.get('failed') or self._last_words()}")

    def count(self, text: str) -> int:
        """Tokens of a text."""
        with self._counting:
            self._send({"count": text})
            answer = self._counted.get()
        if "counted" not in answer:
            raise ConfigError(f"The model's process has ended: {self._last_words()}")
        return int(answer["counted"])

    def _send(self, message: Message, *, quietly: bool = False) -> None:
        assert self._popen.stdin
        try:
            with self._writing:
                self._popen.stdin.write(json.dumps(message).encode() + b"\n")
                self._popen.stdin.flush()
        except (OSError, ValueError):      # a broken pipe, or one that is closed already
            if not quietly:
                raise ConfigError(f"The model's process has ended: {self._last_words()}") from None

    def _last_words(self) -> str:
        """Why the process died, as far as it said so."""
        if not self.end.alive:
            return "it was closed."
        code = self._popen.wait()          # it has closed its pipe: it is ending
        size = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(0, size - _LAST_WORDS))
        said = " ".join(self._printed.read().decode(errors="replace").split())
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return (f"its process {ended}. Perhaps the file is damaged, too large for the memory, or of a kind that "
                f"llama-cpp-python does not know. {said}").rstrip()


def _listen(stdout: IO[bytes], spoken: queue.SimpleQueue[Message], counted: queue.SimpleQueue[Message]) -> None:
    """Hand on what the process says, until it ends."""
    with suppress(ValueError):             # the pipe was closed here
        for line in stdout:
            message = json.loads(line)
            (counted if "counted" in message else spoken).put(message)
    for waiting in (spoken, counted):
        waiting.put({"died": True})


def _end(popen: subprocess.Popen[bytes], printed: IO[bytes], listener: threading.Thread) -> None:
    popen.kill()
    popen.wait()
    if listener is not threading.current_thread():
        listener.join()
    for pipe in (popen.stdin, popen.stdout, printed):
        with suppress(OSError):            # what it could not be told any more
            if pipe:
                pipe.close()


def _check(path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"'{path}' does not exist. Give the path of a .gguf file.")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise ConfigError(f"'{path}' is not a GGUF model: it starts with {magic!r}. Give a .gguf file.")
    if importlib.util.find_spec("llama_cpp") is None:
        raise MissingExtra("Answering with a GGUF model", "gguf")
