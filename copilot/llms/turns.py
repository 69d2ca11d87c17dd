"""A model works for one at a time, and whoever listens can stop it at once: what all language models have in common."""

from __future__ import annotations

import queue
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from copilot.llms.base import Answerer, Draft, History, Use, prompt, room_for, verified

if TYPE_CHECKING:
    from copilot.retrieve import Found

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

    def begin(self) -> Turn:
        """A turn that hears every stop from now on; `generate` takes it, or `end` takes it back."""
        turn = Turn()
        self._running.add(turn)
        return turn

    def end(self, turn: Turn) -> None:
        """Nobody waits for this turn any more."""
        turn.stop()
        self._running.discard(turn)

    def generate(self, text: str, turn: Turn | None = None) -> Iterator[str]:
        """What is said to a prompt, piece by piece. Ends early when stopped, or when nobody reads on."""
        turn = turn or self.begin()
        pieces: queue.SimpleQueue[str | Exception | None] = queue.SimpleQueue()
        turn.on_stop(lambda: pieces.put(None))
        threading.Thread(target=self._work, args=(text, turn, pieces), name="answer", daemon=True).start()
        try:
            while (piece := pieces.get()) is not None and not turn.stopped:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.end(turn)

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


class ModelAnswerer(ABC):
    """A language model as an answerer: of each kind of model it remains to say how it speaks and how it counts.

    window: the model's context window, in tokens.
    room: tokens that a prompt may have, so that prompt and answer fit the window.
    """

    def __init__(self, window: int, max_tokens: int, source_tokens: int):
        self.window, self.room = window, room_for(window, max_tokens, source_tokens)
        self._turns = Turns(self._speak)

    def stream(self, found: Found, history: History = ()) -> Iterator[str]:
        """The answer as it grows; at its end with citations that hold."""
        for draft in self.drafts(found, history):
            yield draft.text

    def drafts(self, found: Found, history: History = ()) -> Iterator[Draft]:
        """The answer as it grows, each time with what its prompt takes of the context window."""
        turn = self._turns.begin()         # to make the prompt takes its time, and a stop may come in it
        try:
            asked = prompt(found, history, self.count, self.room)
            use = Use(self.count(asked.text), self.window, asked.passages, len(found.passages))
            for text in verified(self._turns.generate(asked.text, turn), found, asked.passages):
                yield Draft(text, use)
        finally:
            self._turns.end(turn)

    def generate(self, text: str) -> Iterator[str]:
        """What the model says to a prompt, piece by piece. Ends early when stopped, or when nobody reads on."""
        return self._turns.generate(text)

    def stop(self) -> None:
        """End what is being generated; returns at once, and the model lets go as soon as its kind can."""
        self._turns.stop()

    @abstractmethod
    def count(self, text: str) -> int:
        """Tokens of a text: exact where the tokenizer is at hand, too many rather than too few where it is not."""

    @abstractmethod
    def _speak(self, text: str, turn: Turn) -> Generator[str]:
        """Generate in this thread, and tell the turn what to do when it is stopped."""


def drafts(answerer: Answerer, found: Found, history: History) -> Iterator[Draft]:
    """Any answerer's answer as it grows; a language model's with what its prompt takes of the context window."""
    if isinstance(answerer, ModelAnswerer):
        yield from answerer.drafts(found, history)
    else:
        for text in answerer.stream(found, history):
            yield Draft(text)


def _silence(running: set[Turn], busy: threading.Lock) -> None:
    """Stop everything and wait: native code that still computes when the interpreter goes aborts the process."""
    for turn in list(running):
        turn.stop()
    if running and busy.acquire(timeout=_LAST_S):
        busy.release()
