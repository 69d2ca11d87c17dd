"""Writes the index of a corpus into a new folder."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from copilot.chunk import Chunk, facts, split, statements
from copilot.corpus import Document
from copilot.embed import Embedder, Progress
from copilot.words import spaced
from rlcore.config import ConfigError

FORMAT = 3                         # raise it when what a build writes changes
_BATCH = 4096                      # texts that get their vectors in one transaction
SEARCHED = 2                       # of a chunk's vectors, those that are searched: the passage's and its heading's
_STATEMENT = 300                   # characters of a table or a listing that say what it is about

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE documents (path TEXT PRIMARY KEY, title TEXT, meta TEXT);
CREATE TABLE chunks (place INTEGER PRIMARY KEY, id TEXT UNIQUE, doc_path TEXT, heading_path TEXT, text TEXT,
                     start INTEGER, end INTEGER);
CREATE TABLE vectors (hash TEXT PRIMARY KEY, vector BLOB);
CREATE TABLE entries (place INTEGER, slot INTEGER, hash TEXT, PRIMARY KEY (place, slot));
CREATE VIRTUAL TABLE words USING fts5(title, heading, aliases, body, tokenize = 'porter unicode61 remove_diacritics 2');
"""

Paged = list[tuple[Document, Chunk]]


@dataclass(frozen=True)
class Stamp:
    """What an index was made from; it is fresh as long as this is the same."""

    format: int
    embedder: str
    corpus: str                    # hash of all pages

    @classmethod
    def of(cls, documents: Sequence[Document], embedder: Embedder) -> Stamp:
        """The stamp that a fresh index of these pages has."""
        pages = [[page.path, page.title, page.text, page.meta] for page in documents]
        return cls(FORMAT, embedder.identity, _hash(json.dumps(pages, sort_keys=True, default=str)))

    @classmethod
    def read(cls, build: Path) -> Stamp | None:
        """The stamp of a stored index; None if it cannot say."""
        try:
            with closing(sqlite3.connect(build / "index.sqlite")) as sql:
                return cls(**json.loads(sql.execute("SELECT value FROM meta WHERE key = 'stamp'").fetchone()[0]))
        except (sqlite3.DatabaseError, TypeError, ValueError):
            return None


def build_index(
    documents: Sequence[Document], embedder: Embedder, build: Path, progress: Progress,
) -> None:
    """Write the whole index into the new folder `build`; texts that an index beside it holds are not embedded again.

    So what a build that was killed has embedded is not lost, nor is it by another embedder's build in between.

    Raises:
        ConfigError: the pages have no text.
    """
    chunks = [(page, chunk) for page in documents for chunk in [*split(page), *facts(page)] if chunk.text]
    if not chunks:
        raise ConfigError("The corpus has no text: all its pages are empty. Write something into one of them.")
    stamp = Stamp.of(documents, embedder)
    entries = {(place, slot): text for place, (page, chunk) in enumerate(chunks)
               for slot, text in enumerate(embedded_texts(page, chunk))}
    texts = {_hash(text): text for text in entries.values()}
    held = {key: vector for other in build.parent.glob("build-*") for key, vector in _held(other, embedder).items()
            if key in texts}
    build.mkdir()
    with closing(sqlite3.connect(build / "index.sqlite")) as sql:
        sql.executescript(_SCHEMA)
        with sql:
            _write_stamp(sql, replace(stamp, corpus=""))       # what follows may be cut off
            sql.executemany("INSERT INTO vectors VALUES (?, ?)", held.items())
        _write_vectors(sql, {key: text for key, text in texts.items() if key not in held}, embedder, progress)
        progress(0.95, "Writing the index")
        with sql:
            _write_chunks(sql, documents, chunks)
            sql.executemany("INSERT INTO entries VALUES (?, ?, ?)", [
                (*key, _hash(text)) for key, text in entries.items()])
            _write_stamp(sql, stamp)
    progress(1.0, "Index ready")


def embedded_texts(page: Document, chunk: Chunk) -> list[str]:
    """What of a chunk is embedded: the passage below its titles, its heading alone, and each thing that it says.

    People often ask in the words of a heading, or for one fact in a passage on something wider.
    """
    trail = " > ".join((page.title, *chunk.heading_path))
    also = f" ({', '.join(page.names)})" if page.names else ""
    body = re.sub(r"^#+ .*$", "", chunk.text, flags=re.MULTILINE).strip()
    said = [statement[:_STATEMENT] for statement in statements(chunk.text)]
    return [f"{trail}{also}\n{body}", (page.title, *chunk.heading_path)[-1], *said]


def _write_vectors(sql: sqlite3.Connection, texts: dict[str, str], embedder: Embedder, progress: Progress) -> None:
    """The vectors of texts by their hash, some at a time, so that little is lost if the process is killed."""
    hashes, parts = list(texts), -(-len(texts) // _BATCH)
    for part in range(parts):
        some = hashes[part::parts]     # of all lengths, so that all parts take about the same time

        def told(done: float, _text: str, part: int = part) -> None:
            share = (part + done) / parts
            progress(0.95 * share, f"Reading the corpus: {share:.0%} of {len(hashes):,} texts")

        vectors = embedder.encode_documents([texts[key] for key in some], told)
        with sql:
            sql.executemany("INSERT INTO vectors VALUES (?, ?)", [
                (key, vector.tobytes()) for key, vector in zip(some, vectors, strict=True)])


def _held(build: Path, embedder: Embedder) -> dict[str, bytes]:
    """The vectors that a build has of this embedder, by the hash of their text; it may be unfinished or damaged."""
    stamp = Stamp.read(build)
    if stamp and stamp.embedder == embedder.identity:
        with closing(sqlite3.connect(build / "index.sqlite")) as sql, suppress(sqlite3.DatabaseError):
            return dict(sql.execute("SELECT hash, vector FROM vectors"))       # they only save time
    return {}


def _write_stamp(sql: sqlite3.Connection, stamp: Stamp) -> None:
    sql.execute("INSERT OR REPLACE INTO meta VALUES ('stamp', ?)", (json.dumps(asdict(stamp)),))


def _write_chunks(sql: sqlite3.Connection, documents: Sequence[Document], chunks: Paged) -> None:
    sql.executemany("INSERT INTO documents VALUES (?, ?, ?)", [
        (page.path, page.title, json.dumps(page.meta, default=str)) for page in documents])
    sql.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)", [
        (place, chunk.id, chunk.doc_path, json.dumps(chunk.heading_path), chunk.text, chunk.start, chunk.end)
        for place, (_, chunk) in enumerate(chunks)])
    sql.executemany("INSERT INTO words (rowid, title, heading, aliases, body) VALUES (?, ?, ?, ?, ?)", [
        (place, *map(spaced, (page.title, " ".join(chunk.heading_path), " ".join(page.subjects), chunk.text)))
        for place, (page, chunk) in enumerate(chunks)])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
