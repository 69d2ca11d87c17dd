"""The corpus and chosen collections as one index. What gives terms their names is the corpus alone.

A collection is read where it lies: only the vectors that are searched are in memory, texts are fetched when they are
needed, and what another process changes is seen at the next question.
"""

from __future__ import annotations

import json
import re
import sqlite3
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from heapq import nlargest
from math import log
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from copilot import store
from copilot.build import SEARCHED
from copilot.chunk import Chunk, statements
from copilot.collection import Collection
from copilot.corpus import Document
from copilot.embed import Embedder, Progress, Vectors
from copilot.index import FIELDS, Closeness, Damaged, Index, Words, by_place, nearest, runs
from rlcore.config import ConfigError

_SPAN = 2**40                      # places of one part of the library
_PHRASE = re.compile(r'"(?:[^"]|"")*"')
_CACHED = 10_000                   # chunks in memory


class Chunks(Protocol):
    """Chunks by their place."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Chunk: ...


class CollectionIndex(Words):
    """An open collection, searched like an `Index`. Chunks are named by their place, which is never used again.

    embedder    identity of the one that encodes the questions
    """

    def __init__(self, folder: Path, embedder: str):
        self._folder, self._embedder = folder, embedder
        super().__init__(store.connect(folder))
        self._version = -1
        self._last = 0                 # the place behind which vectors are in memory
        self._fresh: Any = None        # [entries, dim], bfloat16
        self._fresh_places = np.zeros(0, np.int64)     # of each entry
        self._chunks: dict[int, Chunk] = {}    # those read so far: a place never gets another chunk
        self._opened: Path | None = None
        self._chroma: Any = None
        self._held = 0
        self._client = ExitStack()
        weakref.finalize(self, _close, self._sql, self._client)
        self.refresh()

    def refresh(self) -> None:
        """See the collection as it is now; until the next call it stays so.

        Raises:
            ConfigError: its vectors are another embedder's by now.
        """
        with self._lock:
            if self._sql.in_transaction:
                self._sql.execute("COMMIT")
            version = self._sql.execute("PRAGMA data_version").fetchone()[0]
            self._sql.execute("BEGIN")
            if len(self._chunks) > _CACHED:
                self._chunks = {}
            if version != self._version:
                self._load()
                self._version = version

    @property
    def size(self) -> int:
        """How many chunks it has."""
        return self._size

    def chunk(self, place: int) -> Chunk:
        """The chunk at a place."""
        if place not in self._chunks:
            (row,) = self._rows("SELECT id, file, heading, text, start, end, found FROM chunks WHERE place = ?", place)
            self._chunks[place] = store.chunk_of(row)
        return self._chunks[place]

    def document(self, path: str) -> Document | None:
        """A file's page without its text; None if the collection does not have it."""
        rows = self._rows("SELECT title, meta FROM files WHERE path = ? AND state = 'taken'", path)
        return Document(path, rows[0][0], "", json.loads(rows[0][1])) if rows else None

    def nearest(self, vector: Vectors, limit: int) -> dict[int, float]:
        """The chunks whose passage or heading is nearest to a query, with their similarity, best first."""
        with self._lock:
            fresh, places = self._fresh, self._fresh_places
        near = nearest(fresh, places, vector, limit)
        if self._chroma is not None:
            with self._lock:
                found = self._chroma.query(query_embeddings=vector[None], n_results=min(limit, self._held),
                                           include=["distances"])
            old = [(int(entry.split(".")[0]), 1.0 - distance)
                   for entry, distance in zip(found["ids"][0], found["distances"][0], strict=True)]
            if self._gone:
                alive = self._alive([place for place, _ in old])
                old = [one for one in old if one[0] in alive]
            near = _best([*near.items(), *old], limit)
        return near

    def near(self, vector: Vectors, limit: int) -> list[int]:
        """The places alone."""
        return list(self.nearest(vector, limit))

    def closeness(self, vector: Vectors, places: Iterable[int]) -> dict[int, Closeness]:
        """The exact cosine similarities of given chunks to a query; 0 for one that has no vectors yet."""
        wanted = list(places)
        rows = [row for some in runs(wanted) for row in self._rows(
            f"SELECT place, vectors FROM vectors WHERE place IN ({','.join('?' * len(some))})", *some)]
        vectors, size = store.vectors_of(b"".join(blob for _, blob in rows), len(vector)), 2 * len(vector)
        close = by_place([(place, len(blob) // size) for place, blob in rows], vectors @ vector)
        return close | {place: Closeness(0.0, 0.0, tuple(0.0 for _ in statements(self.chunk(place).text)))
                        for place in wanted if place not in close}

    def _load(self) -> None:
        """What is kept in memory: the vectors that Chroma lacks, and from now on how many chunks have which word."""
        made = store.meta(self._sql, "embedder")
        if made not in ("", self._embedder):
            raise ConfigError(f"The collection '{self._folder.name}' now has the vectors of {made}, and questions are "
                              f"encoded by {self._embedder}. Open it again to have its vectors made again.")
        self._size, self._counts = store.size(self._sql), {}
        snapshot = store.snapshot(self._sql)
        self._load_fresh(snapshot.last if snapshot else 0)
        self._gone = 0                 # passages that only Chroma still has
        if snapshot:
            self._gone = snapshot.passages - self._sql.execute(
                "SELECT count(*) FROM vectors WHERE place <= ?", (snapshot.last,)).fetchone()[0]
        folder = self._folder / snapshot.folder if snapshot else None
        if folder != self._opened:
            self._client.close()
            self._chroma, self._opened = self._attached(folder) if folder else None, folder
            self._held = self._chroma.count() if folder else 0     # entries; Chroma takes its time to count them

    def _load_fresh(self, last: int) -> None:
        """The vectors behind a place: those that are already here stay, the others are read."""
        import torch

        now = np.array(self._sql.execute("SELECT place FROM vectors WHERE place > ?", (last,)).fetchall(), np.int64)
        held = np.isin(self._fresh_places, now) if last == self._last else np.zeros(len(self._fresh_places), bool)
        new = np.setdiff1d(now, self._fresh_places[held]).tolist()
        places, dim = self._fresh_places[held], int(store.meta(self._sql, "dim") or 1)
        fresh = torch.empty(len(places) + SEARCHED * len(new), dim, dtype=torch.bfloat16)
        if len(places):
            fresh[:len(places)] = self._fresh[torch.from_numpy(held)]
        end = len(places)
        for some in runs(new):
            marks = ",".join("?" * len(some))
            rows = self._sql.execute(
                f"SELECT substr(vectors, 1, ?) FROM vectors WHERE place IN ({marks}) ORDER BY place",
                (2 * dim * SEARCHED, *some)).fetchall()
            start, end = end, end + SEARCHED * len(some)
            fresh[start:end] = torch.from_numpy(store.vectors_of(b"".join(blob for blob, in rows), dim))
        self._last, self._fresh = last, fresh
        self._fresh_places = np.concatenate([places, np.repeat(np.array(new, np.int64), SEARCHED)])

    def _attached(self, folder: Path) -> Any:
        """Chroma's vectors.

        Raises:
            Damaged: it cannot be read.
        """
        try:
            client = store.chroma(folder)
            self._client.callback(client.close)
            return client.get_collection("entries", embedding_function=None)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:         # a panic in Chroma's Rust part is no Exception
            raise Damaged(f"The vectors of the collection '{self._folder.name}' are damaged ({error}). "
                          "Make them again with: rl-copilot doctor --fix") from error

    def _alive(self, places: Sequence[int]) -> set[int]:
        return {place for some in runs(places) for place, in self._rows(
            f"SELECT place FROM vectors WHERE place IN ({','.join('?' * len(some))})", *some)}


def open_collection(collection: Collection, embedder: Embedder, progress: Progress | None = None) -> CollectionIndex:
    """A collection to search; passages without vectors of this embedder get them first.

    Raises:
        Damaged: it cannot be read.
        ConfigError: somebody gives it another embedder's vectors.
    """
    collection.ready(embedder, progress)
    try:
        return CollectionIndex(collection.folder, embedder.identity)
    except sqlite3.DatabaseError as error:
        raise store.damaged(collection.folder, error) from error


class Library:
    """An index and collections, searched together. The index keeps its places; those of collections follow."""

    def __init__(self, corpus: Index, collections: Sequence[CollectionIndex]):
        self.corpus = corpus
        self._parts: tuple[Index | CollectionIndex, ...] = (corpus, *collections)
        self.chunks, self.documents = _Chunks(corpus, collections), _Documents(corpus, collections)
        self._threads = ThreadPoolExecutor(len(self._parts))

    def refresh(self) -> None:
        """See the collections as they are now."""
        for part in self._parts:
            part.refresh()

    def match(self, expression: str, limit: int, fields: Sequence[float] = FIELDS) -> dict[int, float]:
        """BM25 of the chunks that match an FTS5 expression, best first, as if all were in one index.

        BM25 weighs a word by how rare it is, and in a small collection on one subject its words are not rare. So each
        part's scores are scaled by how rare the words are in the whole library.
        """
        phrases = _PHRASE.findall(expression)
        counts = [part.having(phrases) for part in self._parts]
        everywhere = _rarity(len(self.chunks), [sum(own) for own in zip(*counts, strict=True)])
        found: list[tuple[int, float]] = []
        for number, (part, own) in enumerate(zip(self._parts, counts, strict=True)):
            here = _rarity(part.size, own)
            known = [place for place, count in enumerate(own) if count]
            scale = sum(everywhere[place] for place in known) / (sum(here[place] for place in known) or 1.0)
            found += [(number * _SPAN + place, scale * score)
                      for place, score in part.match(expression, limit, fields).items()]
        return _best(found, limit)

    def match_added(self, expression: str, limit: int, fields: Sequence[float] = FIELDS) -> dict[int, float]:
        """As `match`, of the collections alone, each with its own scores."""
        return _best(((number * _SPAN + place, score) for number, part in enumerate(self._parts) if number
                      for place, score in part.match(expression, limit, fields).items()), limit)

    def having(self, phrases: Sequence[str]) -> list[int]:
        """How many chunks match each of these FTS5 phrases."""
        return [sum(own) for own in zip(*(part.having(phrases) for part in self._parts), strict=True)]

    def among(self, phrase: str, places: Sequence[int]) -> bool:
        """Whether one of these chunks matches an FTS5 phrase."""
        return any(self._parts[number].among(phrase, some) for number, some in _by_part(places).items())

    def near(self, vector: Vectors, limit: int) -> list[int]:
        """The chunks that own the `limit` entries nearest to a query, best first."""
        found = self._threads.map(lambda part: part.nearest(vector, limit), self._parts)       # Chroma lets others run
        return list(_best(((number * _SPAN + place, score) for number, own in enumerate(found)
                           for place, score in own.items()), limit))

    def closeness(self, vector: Vectors, places: Iterable[int]) -> dict[int, Closeness]:
        """The exact cosine similarities of given chunks to a query."""
        return {number * _SPAN + place: close for number, some in _by_part(places).items()
                for place, close in self._parts[number].closeness(vector, some).items()}


class _Chunks:
    """The chunks of a library by place; those of collections are read when they are asked for."""

    def __init__(self, corpus: Index, collections: Sequence[CollectionIndex]):
        self._corpus, self._collections = corpus, collections

    def __len__(self) -> int:
        return self._corpus.size + sum(part.size for part in self._collections)

    def __getitem__(self, place: int, /) -> Chunk:
        number, own = divmod(place, _SPAN)
        return self._collections[number - 1].chunk(own) if number else self._corpus.chunks[own]


class _Documents:
    """The pages of a library by path, without their texts."""

    def __init__(self, corpus: Index, collections: Sequence[CollectionIndex]):
        self._corpus, self._collections = corpus, collections

    def __getitem__(self, path: str) -> Document:
        if path in self._corpus.documents:
            return self._corpus.documents[path]
        return next(page for part in self._collections if (page := part.document(path)))


def _by_part(places: Iterable[int]) -> dict[int, list[int]]:
    """The places within each part of a library."""
    own: dict[int, list[int]] = {}
    for place in places:
        own.setdefault(place // _SPAN, []).append(place % _SPAN)
    return own


def _rarity(size: int, counts: Sequence[int]) -> list[float]:
    """What FTS5 weighs a phrase by in an index of this size, if so many of its rows have it."""
    return [max(log((size - count + 0.5) / (count + 0.5)), 1e-6) for count in counts]


def _best(scored: Iterable[tuple[int, float]], limit: int) -> dict[int, float]:
    """The best score of each, best first."""
    best: dict[int, float] = {}
    for place, score in nlargest(limit, scored, key=lambda one: one[1]):
        best.setdefault(place, score)
    return best


def _close(sql: sqlite3.Connection, client: ExitStack) -> None:
    sql.close()
    client.close()
