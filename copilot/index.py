"""The index of a corpus, open: SQLite finds words, and all vectors that it keeps are compared with a question's.

    index_dir/current              the name of the folder in use, replaced in one step
    index_dir/build-…/index.sqlite

A build writes a new folder and then names it in `current`: a build that is killed leaves the old index, or none.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from copilot.build import SEARCHED, Stamp, build_index
from copilot.chunk import Chunk
from copilot.corpus import Document, load
from copilot.embed import Embedder, Progress, Vectors, give_back
from copilot.words import spaced
from rlcore.config import ConfigError

_MANY = 500                        # values in one SQL statement
_WAIT_S = 3600                     # for another process that changes the same index or collection; many minutes if slow
ELSEWHERE = "Another window or command is making the index; this one waits for it"
FIELDS = (1.0, 1.0, 1.0, 1.0)      # weights of title, heading, aliases and body in BM25; others gained nothing

_Value = TypeVar("_Value")


class Damaged(ConfigError):
    """A stored index that cannot be used."""


class Busy(ConfigError):
    """Another process changes an index or a collection."""


@dataclass(frozen=True)
class Closeness:
    """How near a chunk is to a query: cosine similarities."""

    passage: float
    heading: float
    statements: tuple[float, ...]  # of `chunk.statements(text)`, in order


class Words:
    """The chunks' words in an SQLite database, which has them in the full-text table `words`, a row for each chunk."""

    def __init__(self, sql: sqlite3.Connection):
        self._sql = sql
        self._lock = threading.RLock()     # one connection, many visitors
        self._counts: dict[str, int] = {}

    def match(self, expression: str, limit: int, fields: Sequence[float] = FIELDS) -> dict[int, float]:
        """BM25 of the chunks that match an FTS5 expression, best first; higher is better."""
        return dict(self._rows("SELECT rowid, -bm25(words, ?, ?, ?, ?) AS score FROM words WHERE words MATCH ? "
                               "ORDER BY score DESC LIMIT ?", *fields, expression, limit))

    def having(self, phrases: Sequence[str]) -> list[int]:
        """How many chunks match each of these FTS5 phrases."""
        with self._lock:
            new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._counts]
            for some in runs(new):
                count = "(SELECT count(*) FROM words WHERE words MATCH ?)"
                (row,) = self._rows(f"SELECT {', '.join([count] * len(some))}", *some)
                self._counts.update(zip(some, row, strict=True))
            return [self._counts[phrase] for phrase in phrases]

    def among(self, phrase: str, places: Sequence[int]) -> bool:
        """Whether one of these chunks matches an FTS5 phrase."""
        return bool(self._rows(f"SELECT 1 FROM words WHERE words MATCH ? AND rowid IN ({','.join('?' * len(places))}) "
                               "LIMIT 1", phrase, *places))

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._sql.execute(sql, values).fetchall()


class Index(Words):
    """An open index: its chunks, and the two ways to search them. Chunks are named by their place in `chunks`."""

    def __init__(self, folder: Path):
        super().__init__(sqlite3.connect(folder / "index.sqlite", check_same_thread=False))
        weakref.finalize(self, self._sql.close)
        self.documents = {         # by path, without their texts
            path: Document(path, title, "", json.loads(meta))
            for path, title, meta in self._rows("SELECT path, title, meta FROM documents")
        }
        self.chunks = [
            Chunk(id, path, tuple(json.loads(trail)), text, start, end) for id, path, trail, text, start, end in
            self._rows("SELECT id, doc_path, heading_path, text, start, end FROM chunks ORDER BY place")
        ]
        rows = self._rows("SELECT place, vector FROM entries JOIN vectors USING (hash) ORDER BY place, slot")
        self._vectors = np.stack([np.frombuffer(blob, np.float32) for _, blob in rows])        # [entries, dim]
        if len(rows) != self._rows("SELECT count(*) FROM entries")[0][0]:
            raise Damaged(f"{folder} has lost vectors.")
        self._starts = np.searchsorted([place for place, _ in rows], range(len(self.chunks) + 1)).tolist()
        self._places = np.repeat(np.arange(len(self.chunks)), SEARCHED)    # of each vector that is searched
        del rows
        give_back()                    # they were as large as the vectors

    @property
    def corpus(self) -> Index:
        """What gives terms their names: all of it."""
        return self

    @property
    def size(self) -> int:
        """How many chunks it has."""
        return len(self.chunks)

    def refresh(self) -> None:
        """It never changes: a new build is another index."""

    def match_added(self, expression: str, limit: int, fields: Sequence[float] = FIELDS) -> dict[int, float]:
        """As `match`, of what people have added: an index of one corpus has nothing."""
        del expression, limit, fields
        return {}

    def near(self, vector: Vectors, limit: int) -> list[int]:
        """The chunks that own the `limit` passages and headings nearest to a query, best first."""
        return list(self.nearest(vector, limit))

    def nearest(self, vector: Vectors, limit: int) -> dict[int, float]:
        """The same with their similarity."""
        return nearest(self._searched, self._places, vector, limit)

    @cached_property
    def _searched(self) -> Any:
        """[2 · chunks, dim], made when the first question comes: to import torch takes its time."""
        import torch

        entries = np.array(self._starts[:-1])[:, None] + np.arange(SEARCHED)
        return torch.from_numpy(self._vectors[entries.ravel()]).bfloat16()

    def closeness(self, vector: Vectors, places: Iterable[int]) -> dict[int, Closeness]:
        """The exact cosine similarities of given chunks to a query."""
        spans = [(place, self._starts[place], self._starts[place + 1]) for place in places]
        if not spans:
            return {}
        products = [self._vectors[start:end] @ vector for _, start, end in spans]      # quicker than to copy the rows
        return by_place([(place, end - start) for place, start, end in spans], np.concatenate(products))


def nearest(vectors: Any, places: NDArray[np.int64], vector: Vectors, limit: int) -> dict[int, float]:
    """The places that own the `limit` vectors most similar to a query, best first, each with its best similarity.

    All are compared, as bfloat16: half the memory, and near enough to find candidates. Up to some hundred thousand this
    takes no longer than an approximate search.
    """
    import torch

    if not len(places):
        return {}
    similar = torch.mv(vectors, torch.from_numpy(vector).to(vectors.dtype)).float()
    values, entries = similar.topk(min(limit, len(places)))
    best: dict[int, float] = {}
    for entry, value in zip(entries.tolist(), values.tolist(), strict=True):
        best.setdefault(int(places[entry]), value)
    return best


def by_place(counts: Iterable[tuple[int, int]], similarities: Vectors) -> dict[int, Closeness]:
    """The similarities of one chunk after the other, of which each has so many."""
    values = iter(similarities.tolist())
    return {place: Closeness(next(values), next(values), tuple(islice(values, count - 2))) for place, count in counts}


def runs(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """As many as fit into one SQL statement."""
    return (values[start:start + _MANY] for start in range(0, len(values), _MANY))


def quoted(word: str) -> str:
    """A word or phrase as an FTS5 string, whatever characters it has; Chinese character by character."""
    return '"' + spaced(word).replace('"', '""').strip() + '"'


def open_index(corpus: Path, folder: Path, embedder: Embedder, progress: Progress | None = None) -> Index:
    """The index of the corpus as it is now; built, repaired or brought up to date if need be.

    Raises:
        ConfigError: the corpus is missing or empty, a page cannot be read, or another process does not let go of it.
    """
    documents, report = load(corpus), progress or (lambda _done, _text: None)
    with alone(folder, waiting=lambda: report(0.0, ELSEWHERE)):
        current = current_build(folder)
        if current and Stamp.read(current) == Stamp.of(documents, embedder):
            with suppress(Damaged):    # then it is built again, from the vectors that SQLite still has
                return _attach(current)
        fresh = folder / f"build-{uuid.uuid4().hex[:12]}"
        build_index(documents, embedder, fresh, report)
        index = _attach(fresh)
        _point(folder, fresh, keep=current)
        return index


@contextmanager
def alone(folder: Path, wait_s: float = _WAIT_S, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """One process at a time changes a folder; `waiting` is called if another one has to be waited for.

    The system lets go of SQLite's lock when its holder dies.

    Raises:
        Busy: another one has not let go in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "lock", timeout=0, isolation_level=None)) as gate:
        try:
            with suppress(sqlite3.OperationalError):
                gate.execute("BEGIN EXCLUSIVE")
            if not gate.in_transaction:
                if waiting:
                    waiting()
                gate.execute(f"PRAGMA busy_timeout = {wait_s * 1000:.0f}")
                gate.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise Busy(f"'{folder.name}' is being changed by somebody else ({error}). "
                       "Try again when that has ended.") from None
        yield


def current_build(folder: Path) -> Path | None:
    """The build in use; None if there is none."""
    pointer = folder / "current"
    current = folder / pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else None
    return current if current and (current / "index.sqlite").is_file() else None


def _point(folder: Path, fresh: Path, keep: Path | None) -> None:
    """Make a finished build the current one. The one before stays: another process may still read it."""
    pointer = folder / "current.new"
    pointer.write_text(fresh.name, encoding="utf-8")
    os.replace(pointer, folder / "current")
    for stale in folder.glob("build-*"):
        if stale not in (fresh, keep):
            shutil.rmtree(stale, ignore_errors=True)


def _attach(build: Path) -> Index:
    """Open a stored index.

    Raises:
        Damaged: it cannot be read, or lacks vectors.
    """
    try:
        return Index(build)
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        raise Damaged(f"{build} cannot be read: {error}") from error
