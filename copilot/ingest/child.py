"""Files are read in a process of their own: one that hangs, eats memory or crashes costs that one file."""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from copilot.chunk import Chunk, facts, split
from copilot.corpus import Document
from copilot.ingest.load import load
from copilot.ingest.text import Unreadable

TIME_S = 60.0                      # for one file
MEMORY = 1_000_000_000             # bytes, for the process that reads
_LOOK_S = 0.05                     # how often a busy process is looked at
_SHOWN = 200                       # characters of a reason


@dataclass(frozen=True)
class Read:
    """A file as it goes into a collection."""

    page: Document                 # without its text
    characters: int
    chunks: tuple[Chunk, ...]
    note: str                      # what was odd about it; empty if nothing


class Reader:
    """Reads one file after the other. Use it in a `with`: it ends its process."""

    def __init__(self, time_s: float = TIME_S, memory: int = MEMORY):
        self._time_s, self._memory = time_s, memory
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection[Any, Any] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def read(self, path: str) -> Read:
        """A file's page and chunks.

        Raises:
            Unreadable: it cannot be taken, took too long or too much memory, or ended the process that read it.
        """
        pipe = self._started()
        try:
            pipe.send_bytes(json.dumps([path, self._time_s]).encode())
            self._wait(pipe)
            answer = json.loads(pipe.recv_bytes())
        except (EOFError, ConnectionError):
            self._end()
            raise Unreadable("ended the process that read it") from None
        if isinstance(answer, str):
            raise Unreadable(answer)
        chunks = tuple(Chunk(**chunk | {"heading_path": tuple(chunk["heading_path"])}) for chunk in answer["chunks"])
        page = Document(path, answer["title"], "", answer["meta"])
        return Read(page, answer["characters"], chunks, str(answer["meta"].get("note", "")))

    def _wait(self, pipe: Connection[Any, Any]) -> None:
        """Until there is an answer; a process that breaks a limit is killed."""
        deadline = time.monotonic() + self._time_s
        while not pipe.poll(_LOOK_S):
            assert self._process is not None and self._process.pid is not None
            if time.monotonic() > deadline:
                self._end()
                raise Unreadable(f"took longer than {self._time_s:.0f} s to read")
            try:
                used = psutil.Process(self._process.pid).memory_info().rss
            except psutil.NoSuchProcess:
                raise EOFError from None
            if used > self._memory:
                self._end()
                raise Unreadable(f"needs more than {self._memory / 1e6:,.0f} MB of memory to read")

    def _started(self) -> Connection[Any, Any]:
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipe, self._process = ours, process
        return self._pipe

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def serve(pipe: Connection[Any, Any]) -> None:
    """The child: reads what it is asked for until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)       # the parent ends it
    logging.disable(logging.CRITICAL)
    while True:
        try:
            path, time_s = json.loads(pipe.recv_bytes())
        except (EOFError, ConnectionError):
            return
        _alarm(int(2 * time_s) + 1)                    # should the parent die, nobody else would end it
        pipe.send_bytes(json.dumps(_answer(path), default=str).encode(errors="replace"))
        _alarm(0)                                      # who waits for the next file hears that the parent died


def _alarm(seconds: int) -> None:
    """End this process in so many seconds; 0: not any more."""
    if sys.platform != "win32":        # which has no such signal
        signal.alarm(seconds)


def once(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks without those that only repeat an earlier one below the same headings: all that is said stays."""
    first: dict[tuple[tuple[str, ...], str], Chunk] = {}
    for chunk in chunks:
        first.setdefault((chunk.heading_path, chunk.text), chunk)
    return list(first.values())


def _answer(path: str) -> Any:
    """All of a page but its text, or the reason why there is none."""
    try:
        document = load(Path(path))
        chunks = [chunk for chunk in [*split(document), *facts(document)] if chunk.text]
        return {"title": document.title, "meta": dict(document.meta), "characters": len(document.text),
                "chunks": [asdict(chunk) for chunk in once(chunks)]}
    except Unreadable as error:
        return str(error)[:_SHOWN]
    except (MemoryError, RecursionError) as error:
        return f"is too large or nested too deeply ({type(error).__name__})"
    except Exception as error:         # a file can break a parser in any way, and must not break the rest
        return f"cannot be parsed ({type(error).__name__}: {error})"[:_SHOWN]
