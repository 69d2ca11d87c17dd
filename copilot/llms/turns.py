"""A model works for one at a time, and whoever listens can stop it at once."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

_LAST_S = 5.0                      # how long a program that ends waits for a model that does not


class Turn:
    """One generation: whether it was stopped, and what to do in that moment."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._actions: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        """Whether nobody waits for the rest any more."""
        return self._stopped.is_set()

    def on_stop(self, action: Callable[[], None]) -> None:
        """Do this when the turn is stopped, or now if it was; it should be harmless after the turn's end."""
        with self._lock:
            self._actions.append(action)
            late = self.stopped
        if late:
            action()

    def stop(self) -> None:
        """End the turn; returns at once."""
        with self._lock:
            actions = [] if self.stopped else list(self._actions)
            self._stopped.set()
        for action in actions:
            action()


class Turns:
    """Generations in threads of their own, one after the other.

    `speak` does the work and yields the pieces; a reader who stops or goes away returns at once, and the next
    generation waits until `speak` itself has ended.
    """

    def __init__(self, speak: Callable[[str, Turn], Generator[str]]):
        self._speak = speak
        self._busy = threading.Lock()
        self._running: set[Turn] = set()
        weakref.finalize(self, _silence, self._running, self._busy)    # also when the program ends

    def generate(self, text: str) -> Iterator[str]:
        """What is said to a prompt, piece by piece. Ends early when stopped, or when nobody reads on."""
        turn = Turn()
        pieces: queue.SimpleQueue[str | Exception | None] = queue.SimpleQueue()
        turn.on_stop(lambda: pieces.put(None))
        self._running.add(turn)
        threading.Thread(target=self._work, args=(text, turn, pieces), name="answer", daemon=True).start()
        try:
            while (piece := pieces.get()) is not None and not turn.stopped:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            turn.stop()
            self._running.discard(turn)

    def stop(self) -> None:
        """End everything that is being generated; returns at once."""
        for turn in list(self._running):
            turn.stop()

    def _work(self, text: str, turn: Turn, pieces: queue.SimpleQueue[str | Exception | None]) -> None:
        """Generate into the queue: text, then None or what went wrong."""
        with self._busy:
            try:
                if not turn.stopped:
                    with closing(self._speak(text, turn)) as spoken:
                        for piece in spoken:
                            if turn.stopped:
                                break
                            pieces.put(piece)
                pieces.put(None)
            except Exception as error:     # raised again where the answer is read
                pieces.put(None if turn.stopped else error)    # what a stop broke off is no failure


def _silence(running: set[Turn], busy: threading.Lock) -> None:
    """Stop everything and wait: native code that still computes when the interpreter goes aborts the process."""
    for turn in list(running):
        turn.stop()
    if running and busy.acquire(timeout=_LAST_S):
        busy.release()
