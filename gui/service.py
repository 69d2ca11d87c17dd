"""What all pages and visitors share: the desk, opened in the background, and the folders that they work in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from gui.desk import Desk, Progress

logger = logging.getLogger(__name__)

_SURE = 0.02                       # of the index, after which its pace says when it will be ready


@dataclass(frozen=True)
class Places:
    """Where the pages find and keep things."""

    runs: Path
    models: Path
    documents: Path                # holds the collections
    conversations: Path            # one SQLite file


class Opener(Protocol):
    """Opens the desk and reports how far it is. May take minutes the first time."""

    def __call__(self, *, progress: Progress) -> Desk:
        """The open desk; `progress` gets fractions and what is being done."""
        ...


@dataclass(frozen=True)
class Status:
    """How far the desk is."""

    state: Literal["opening", "ready", "failed"]
    fraction: float = 0.0          # of the index that is prepared
    message: str = ""
    left_s: float | None = None    # until it is ready, as soon as that can be said


class _Pace:
    """How long something still takes, by its pace since the first look: it may go on where an earlier one stopped."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def left_s(self, done: float) -> float | None:
        now = time.monotonic()
        start, first = self._first = self._first or (now, done)
        return (now - start) / (done - first) * (1 - done) if done - first > _SURE else None


class Library:
    """The desk behind a door that opens by itself: the page is there first, the index follows.

    `start` returns at once; `wait` yields the status until the door is open or has failed.
    """

    def __init__(self, opener: Opener):
        self._opener = opener
        self._desk: Desk | None = None
        self._status = Status("opening", 0.0, "Starting")
        self._halts = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def status(self) -> Status:
        """How far it is now."""
        return self._status

    @property
    def desk(self) -> Desk:
        """The open desk.

        Raises:
            RuntimeError: it is not open (yet); `status` says why.
        """
        if self._desk is None:
            raise RuntimeError(self._status.message)
        return self._desk

    @property
    def halts(self) -> int:
        """How often somebody asked to stop: whoever waits for an answer compares before and after."""
        return self._halts

    def halt(self) -> None:
        """Stop the answer that is being written, and everybody who waits for the index to write one."""
        with self._changed:
            self._halts += 1
            self._changed.notify_all()
        if self._desk is not None:
            self._desk.stop()

    def start(self) -> None:
        """Open the desk in a thread of its own, once; also the way to try again after a failure."""
        with self._changed:
            if self._desk is not None or (self._thread is not None and self._thread.is_alive()):
                return
            self._set(Status("opening", 0.0, "Starting"))
            self._thread = threading.Thread(target=self._open, name="library", daemon=True)
            self._thread.start()

    def wait(self) -> Iterator[Status]:
        """The status now and at every change, until the desk is open, has failed or somebody asks to stop."""
        halts = self._halts
        while halts == self._halts:
            seen = self._status
            yield seen
            if seen.state != "opening":
                return
            with self._changed:
                while self._status is seen and halts == self._halts:
                    self._changed.wait()

    def _open(self) -> None:
        pace = _Pace()
        try:
            self._desk = self._opener(progress=lambda done, text: self._set(
                Status("opening", done, text, pace.left_s(done))))
        except Exception as error:  # whatever went wrong, the page must say so: nobody else reads this thread
            logger.exception("The index could not be opened")
            self._set(Status("failed", 0.0, f"{type(error).__name__}: {error}"))
            return
        self._set(Status("ready", 1.0, "Index ready"))

    def _set(self, status: Status) -> None:
        with self._changed:
            self._status = status
            self._changed.notify_all()
