"""What the pages work with once the index is open: one answerer, the corpus, and people's own collections beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from copilot import about_run
from copilot.answer import BuiltinAnswerer
from copilot.assistant import Assistant, Reply, Stops
from copilot.collection import Outcome, collection
from copilot.embed import Embedder
from copilot.index import Index, open_index
from copilot.library import CollectionIndex, Library, open_collection
from copilot.llms.base import Answerer, History
from copilot.llms.choose import open_answerer
from copilot.llms.gguf import GGUFAnswerer
from copilot.rerank import Reranker
from copilot.retrieve import Retriever
from rlcore.config import ConfigError

_KEPT = 2                          # choices of collections that stay open

Progress = Callable[[float, str], None]


class Desk:
    """Answers from the corpus and whatever collections a question chooses.

    spec        the line of text that names the answerer in use
    """

    def __init__(self, index: Index, embedder: Embedder, documents: Path, runs: Path,
                 reranker: Reranker | None = None, answerer: Answerer | None = None, spec: str = "builtin"):
        self._index, self._embedder, self._reranker = index, embedder, reranker
        self._documents, self._runs = documents, runs
        self.answerer, self.spec = answerer or BuiltinAnswerer(), spec
        self._opening, self._stops = threading.Lock(), Stops()
        self._parts: dict[str, CollectionIndex] = {}
        self._retrievers: dict[tuple[str, ...], Retriever] = {}    # the one that was used last comes last

    @classmethod
    def open(cls, corpus: Path, index_dir: Path, documents: Path, runs: Path, embedder: Embedder,
             reranker: Reranker | None = None, answerer: Answerer | None = None, spec: str = "builtin", *,
             progress: Progress) -> Desk:
        """Open the corpus and load the embedder, so that the first question waits for neither.

        Raises:
            ConfigError: the corpus cannot be read, or another process does not let go of its index.
        """
        index = open_index(corpus, index_dir, embedder, progress)
        desk = cls(index, embedder, documents, runs, reranker, answerer, spec)
        desk.assistant().warm()
        return desk

    def assistant(self, collections: Sequence[str] = ()) -> Assistant:
        """The assistant that searches these collections beside the corpus.

        Raises:
            ConfigError: there is no such collection, or it cannot be searched now.
        """
        names = tuple(sorted(collections))
        parts = [self._part(name) for name in names]
        with self._opening:
            retriever = self._retrievers.pop(names, None) or Retriever(
                Library(self._index, parts) if parts else self._index, self._embedder, reranker=self._reranker)
            self._retrievers = dict([*self._retrievers.items(), (names, retriever)][-_KEPT:])
            return Assistant(retriever, self.answerer, self._stops)

    def _part(self, name: str) -> CollectionIndex:
        """A collection, open; opened again if another process has given it another embedder's vectors."""
        own, part = collection(self._documents, name), self._parts.get(name)
        with suppress(ConfigError):
            if part:
                part.refresh()
                return part
        part = open_collection(own, self._embedder)    # may take its time, in which others ask
        self._forget(name)
        self._parts[name] = part
        return part

    def _forget(self, name: str) -> None:
        """Search no longer what is open of a collection."""
        with self._opening:
            self._parts.pop(name, None)
            self._retrievers = {names: one for names, one in self._retrievers.items() if name not in names}

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
        self.answerer.stop()
        if isinstance(self.answerer, GGUFAnswerer):
            self.answerer.close()          # the next may need its memory; it loads again when it is asked
        self.answerer, self.spec = open_answerer(spec), spec.strip()

    def add(self, name: str, paths: Sequence[Path], progress: Progress) -> Outcome:
        """Take files and folders into a collection, which is made if there is none of this name."""
        return collection(self._documents, name, new=True).add(paths, self._embedder, progress)

    def update(self, name: str, progress: Progress) -> Outcome:
        """Take in what has changed on disk."""
        return collection(self._documents, name).update(self._embedder, progress)

    def remove(self, name: str) -> None:
        """Remove a collection; the files that it was made from stay."""
        self._forget(name)
        collection(self._documents, name).delete()
