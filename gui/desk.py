"""What the pages work with once the index is open: one answerer, the corpus, and people's own collections beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from copilot import about_run
from copilot.answer import BuiltinAnswerer
from copilot.assistant import Assistant, Reply, Stops
from copilot.collection import Outcome, collection
from copilot.embed import Embedder, SentenceEmbedder
from copilot.index import Index, open_index
from copilot.library import Library, open_collection
from copilot.llms.base import Answerer, History
from copilot.llms.choose import open_answerer
from copilot.llms.gguf import GGUFAnswerer
from copilot.retrieve import Retriever

Progress = Callable[[float, str], None]


class Desk:
    """Answers from the corpus and whatever collections a question chooses.

    spec        the line of text that names the answerer in use
    """

    def __init__(self, index: Index, embedder: Embedder, documents: Path, runs: Path):
        self._index, self._embedder, self._documents, self._runs = index, embedder, documents, runs
        self.answerer: Answerer = BuiltinAnswerer()
        self.spec = "builtin"
        self._opening, self._stops = threading.Lock(), Stops()
        self._retrievers: dict[tuple[str, ...], Retriever] = {}

    @classmethod
    def open(cls, corpus: Path, index_dir: Path, documents: Path, runs: Path, *, progress: Progress) -> Desk:
        """Open the corpus and load the embedder, so that the first question waits for neither."""
        embedder = SentenceEmbedder()
        desk = cls(open_index(corpus, index_dir, embedder, progress), embedder, documents, runs)
        desk.assistant().warm()
        return desk

    def assistant(self, collections: Sequence[str] = ()) -> Assistant:
        """The assistant that searches these collections beside the corpus.

        Raises:
            ConfigError: there is no such collection.
        """
        names = tuple(sorted(collections))
        with self._opening:
            if names not in self._retrievers:
                parts = [open_collection(collection(self._documents, name), self._embedder) for name in names]
                self._retrievers[names] = Retriever(Library(self._index, parts) if parts else self._index,
                                                    self._embedder)
            return Assistant(self._retrievers[names], self.answerer, self._stops)

    def ask(self, question: str, history: History = (), collections: Sequence[str] = ()) -> Iterator[Reply]:
        """The reply as it grows: about the run that the question names, or else from what is searched."""
        return about_run.ask(self.assistant(collections), question, history, self._runs)

    def explain(self, run: Path) -> Iterator[Reply]:
        """Why a run stopped improving, from its own files and the corpus."""
        return about_run.explain(self.assistant(), run)

    def stop(self) -> None:
        """End the answer that is being searched for or written; returns at once."""
        self._stops.count += 1
        self.answerer.stop()

    def choose(self, spec: str) -> None:
        """Have another answerer write from now on; if it cannot, the one in use stays.

        Raises:
            ConfigError: the line names nothing that can answer here.
            MissingExtra: an optional part is not installed.
        """
        before, self.answerer = self.answerer, open_answerer(spec)
        self.spec = spec.strip()
        before.stop()
        if isinstance(before, GGUFAnswerer):
            before.close()                 # its memory is needed now

    def add(self, name: str, paths: Sequence[Path], progress: Progress) -> Outcome:
        """Take files and folders into a collection, which is made if there is none of this name."""
        return collection(self._documents, name, new=True).add(paths, self._embedder, progress)

    def update(self, name: str, progress: Progress) -> Outcome:
        """Take in what has changed on disk."""
        return collection(self._documents, name).update(self._embedder, progress)

    def remove(self, name: str) -> None:
        """Remove a collection; the files that it was made from stay."""
        with self._opening:
            self._retrievers = {names: open for names, open in self._retrievers.items() if name not in names}
        collection(self._documents, name).delete()
