"""A collection's database: files, passages, words and vectors; of a huge one also a snapshot of the vectors in Chroma.

Passages are written first and get their vectors afterwards, in batches: those without are what is left to do. Vectors
are searched exactly as long as their number allows it. Chroma is never changed, only replaced: what came after it is
searched exactly, what has gone from it is passed over.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copilot.build import SEARCHED, embedded_texts
from copilot.chunk import Chunk
from copilot.corpus import Document
from copilot.embed import Embedder, Progress
from copilot.index import Damaged
from copilot.ingest.child import Read
from copilot.words import spaced

FORMAT = 2                         # raise it when what an update writes changes
_BATCH = 256                       # passages that get their vectors in one transaction
_KNOWN = 20_000                    # texts whose vectors are remembered until then
_EXACT, _SHARE = 200_000, 0.25     # passages, or share of them, that Chroma may lack or have too many
_VECTORS = 1000                    # per Chroma call
_WAIT_S = 30                       # for another process that writes

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, hash TEXT, state TEXT,
    reason TEXT, title TEXT DEFAULT '', meta TEXT DEFAULT '{}', characters INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS chunks (place INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT, id TEXT UNIQUE, heading TEXT,
    text TEXT, start INTEGER, end INTEGER, found TEXT);
CREATE INDEX IF NOT EXISTS chunks_of_file ON chunks (file);
CREATE TABLE IF NOT EXISTS vectors (place INTEGER PRIMARY KEY, said TEXT, vectors BLOB);
CREATE INDEX IF NOT EXISTS vectors_of_text ON vectors (said);
"""
_WORDS = """
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(title, heading, aliases, body,
    tokenize = 'porter unicode61 remove_diacritics 2');
"""
_CHUNK = "id, file, heading, text, start, end, found"


@dataclass(frozen=True)
class File:
    """A file that a collection knows."""

    path: str
    size: int
    mtime_ns: int
    hash: str
    state: str                     # taken; refused, once it was read; or left, without reading it
    reason: str                    # why it is not taken, or what is odd about it


@dataclass(frozen=True)
class Snapshot:
    """What Chroma holds."""

    folder: str
    last: int                      # the place of its newest passage
    passages: int


@contextmanager
def opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """A collection's database, made if there is none.

    Raises:
        Damaged: it cannot be read.
    """
    try:
        with closing(connect(folder)) as sql:
            yield sql
    except sqlite3.DatabaseError as error:
        raise damaged(folder, error) from error


def damaged(folder: Path, error: Exception) -> Damaged:
    """A collection that cannot be read, and what helps."""
    return Damaged(f"The collection '{folder.name}' is damaged ({error}). Make it again with: rl-copilot doctor --fix")


def connect(folder: Path) -> sqlite3.Connection:
    """The database, where every statement stands alone unless it is within `changing`."""
    sql = sqlite3.connect(folder / "collection.sqlite", timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    sql.execute("PRAGMA journal_mode = WAL")       # who reads never waits for who writes
    sql.execute("PRAGMA synchronous = NORMAL")
    sql.executescript(_SCHEMA + _WORDS)
    return sql


@contextmanager
def changing(sql: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        sql.execute("ROLLBACK")
        raise
    sql.execute("COMMIT")


def begin(sql: sqlite3.Connection) -> None:
    """Make sure that what an update finds is of this format: what another one wrote goes."""
    if meta(sql, "format") != str(FORMAT):
        with changing(sql):
            for table in ("files", "chunks", "vectors", "words", "meta"):
                sql.execute(f"DELETE FROM {table}")
            sql.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))


def meta(sql: sqlite3.Connection, key: str) -> str:
    """A stored fact; empty if there is none."""
    row = sql.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row else ""


def files(sql: sqlite3.Connection) -> dict[str, File]:
    """All files that it knows, in order."""
    return {row[0]: File(*row) for row in
            sql.execute("SELECT path, size, mtime_ns, hash, state, reason FROM files ORDER BY path")}


def size(sql: sqlite3.Connection) -> int:
    """How many passages it has."""
    return int(sql.execute("SELECT count(*) FROM chunks").fetchone()[0])


def touch(sql: sqlite3.Connection, file: File) -> None:
    """Note a file's new time and size; its content is the same."""
    sql.execute("UPDATE files SET size = ?, mtime_ns = ? WHERE path = ?", (file.size, file.mtime_ns, file.path))


def drop(sql: sqlite3.Connection, path: str) -> None:
    """Forget a file and its passages."""
    for place, in sql.execute("SELECT place FROM chunks WHERE file = ?", (path,)).fetchall():
        sql.execute("DELETE FROM words WHERE rowid = ?", (place,))
        sql.execute("DELETE FROM vectors WHERE place = ?", (place,))
    sql.execute("DELETE FROM chunks WHERE file = ?", (path,))
    sql.execute("DELETE FROM files WHERE path = ?", (path,))


def put(sql: sqlite3.Connection, file: File, read: Read | None = None) -> None:
    """Write a file, and its passages if it was read; vectors of texts that were there before are kept."""
    old: dict[str, bytes] = dict(sql.execute(
        "SELECT said, vectors FROM vectors JOIN chunks USING (place) WHERE file = ?", (file.path,)).fetchall())
    drop(sql, file.path)
    page = read.page if read else Document(file.path, "", "", {})
    sql.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (
        file.path, file.size, file.mtime_ns, file.hash, file.state, file.reason, page.title,
        json.dumps(page.meta), read.characters if read else 0))
    for chunk in read.chunks if read else ():
        place = sql.execute(f"INSERT INTO chunks ({_CHUNK}) VALUES (?, ?, ?, ?, ?, ?, ?)", (
            chunk.id, file.path, json.dumps(chunk.heading_path), chunk.text, chunk.start, chunk.end, chunk.where),
        ).lastrowid
        assert place is not None
        _put_words(sql, place, page, chunk)
        said = _said(page, chunk)
        moved = sql.execute("SELECT vectors FROM vectors WHERE said = ?", (said,)).fetchone()
        if vectors := old.get(said) or (moved and moved[0]):
            sql.execute("INSERT INTO vectors VALUES (?, ?, ?)", (place, said, vectors))


def fill(sql: sqlite3.Connection, embedder: Embedder, progress: Progress) -> None:
    """Give every passage its vectors; none stays that another embedder made. A text that recurs is embedded once."""
    if meta(sql, "embedder") != embedder.identity:
        with changing(sql):
            sql.execute("DELETE FROM vectors")
            sql.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [
                ("embedder", embedder.identity), ("snapshot", "")])
    total, began = pending(sql), time.monotonic()
    done, vectors = 0, dict[str, NDArray[np.float16]]()
    while rows := sql.execute(
            f"SELECT place, title, meta, {_CHUNK} FROM chunks JOIN files ON path = file "
            "WHERE place NOT IN (SELECT place FROM vectors) ORDER BY place LIMIT ?", (_BATCH,)).fetchall():
        paged = [(Document(row[4], row[1], "", json.loads(row[2])), chunk_of(row[3:])) for row in rows]
        texts = [embedded_texts(page, chunk) for page, chunk in paged]
        if len(vectors) > _KNOWN:
            vectors.clear()
        if fresh := list(dict.fromkeys(text for own in texts for text in own if text not in vectors)):
            vectors |= zip(fresh, embedder.encode_documents(fresh).astype(np.float16), strict=True)
        with changing(sql):
            sql.execute("INSERT OR REPLACE INTO meta VALUES ('dim', ?)", (str(vectors[texts[0][0]].size),))
            for (place, *_), (page, chunk), own in zip(rows, paged, texts, strict=True):
                stacked = np.stack([vectors[text] for text in own])
                sql.execute("INSERT INTO vectors VALUES (?, ?, ?)", (place, _said(page, chunk), stacked.tobytes()))
        done += len(rows)
        left = (time.monotonic() - began) / done * (total - done)
        progress(done / total, f"Indexing: {done:,} of {total:,} passages, {left:.0f} s left")


def pending(sql: sqlite3.Connection) -> int:
    """How many passages have no vectors."""
    row = sql.execute("SELECT count(*) FROM chunks WHERE place NOT IN (SELECT place FROM vectors)").fetchone()
    return int(row[0])


def chunk_of(row: Sequence[Any]) -> Chunk:
    """The chunk in a row of `chunks`, from its `id` on."""
    id, path, heading, text, start, end, found = row
    return Chunk(id, path, tuple(json.loads(heading)), text, start, end, found)


def vectors_of(blob: bytes, dim: int) -> NDArray[np.float32]:
    """[vectors, dim]."""
    return np.frombuffer(blob, np.float16).reshape(-1, dim).astype(np.float32)


def snapshot(sql: sqlite3.Connection) -> Snapshot | None:
    """What Chroma holds; None if the collection needs none."""
    stored = meta(sql, "snapshot")
    return Snapshot(**json.loads(stored)) if stored else None


def renew_snapshot(sql: sqlite3.Connection, folder: Path, progress: Progress, *, anyway: bool = False) -> None:
    """Put all vectors into a new Chroma, if the present one lacks many, or has many that have gone."""
    old = snapshot(sql)
    count, newer = sql.execute("SELECT count(*), coalesce(sum(place > ?), 0) FROM vectors",
                               (old.last if old else 0,)).fetchone()
    gone = old.passages - (count - newer) if old else 0
    if not anyway and newer + gone <= max(_EXACT, _SHARE * count):
        return
    new = None
    if count > _EXACT:
        progress(0.0, f"Arranging {count:,} passages for the search")
        new = Snapshot(f"chroma-{uuid.uuid4().hex[:12]}", *sql.execute(
            "SELECT max(place), count(*) FROM vectors").fetchone())
        _fill_chroma(sql, folder / new.folder)
    sql.execute("INSERT OR REPLACE INTO meta VALUES ('snapshot', ?)", (json.dumps(asdict(new)) if new else "",))
    for stale in folder.glob("chroma-*"):
        if stale.name not in {one.folder for one in (old, new) if one}:    # another process may still read the old one
            shutil.rmtree(stale, ignore_errors=True)


def rewrite_words(sql: sqlite3.Connection) -> None:
    """Make the full-text table again from the passages."""
    with changing(sql):
        sql.execute("DROP TABLE IF EXISTS words")
        sql.execute(_WORDS)
        for row in sql.execute(f"SELECT place, title, meta, {_CHUNK} FROM chunks JOIN files ON path = file").fetchall():
            _put_words(sql, row[0], Document(row[4], row[1], "", json.loads(row[2])), chunk_of(row[3:]))


def _put_words(sql: sqlite3.Connection, place: int, page: Document, chunk: Chunk) -> None:
    """The file's name counts like another name of the page."""
    also = " ".join([*page.subjects, Path(page.path).stem])
    sql.execute("INSERT INTO words (rowid, title, heading, aliases, body) VALUES (?, ?, ?, ?, ?)", (
        place, *map(spaced, (page.title, " ".join(chunk.heading_path), also, chunk.text))))


def _said(page: Document, chunk: Chunk) -> str:
    """What tells whether vectors are still right: a hash of the texts that they stand for."""
    return hashlib.sha256("\0".join(embedded_texts(page, chunk)).encode()).hexdigest()


def chroma(folder: Path) -> Any:
    """The embedded Chroma in a folder: in this process, without telemetry."""
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(path=str(folder), settings=Settings(anonymized_telemetry=False))


def _fill_chroma(sql: sqlite3.Connection, folder: Path) -> None:
    with closing(chroma(folder)) as client:
        collection = client.create_collection(
            "entries", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
        rows = sql.execute("SELECT place, vectors FROM vectors ORDER BY place")
        dim = int(meta(sql, "dim"))
        while batch := rows.fetchmany(_VECTORS // SEARCHED):
            searched = [(place, vectors_of(blob, dim)[:SEARCHED]) for place, blob in batch]
            collection.add(ids=[f"{place}.{slot}" for place, own in searched for slot in range(len(own))],
                           embeddings=np.concatenate([own for _, own in searched]))
