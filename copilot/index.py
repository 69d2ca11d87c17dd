"""The index of a corpus: SQLite holds chunks, words and vectors; Chroma finds near vectors and can be remade from it.

    index_dir/current          the name of the folder in use, replaced in one step
    index_dir/<build>/         index.sqlite (the truth) and chroma/ (derived)

A build writes a new folder and then names it in `current`: a build that is killed leaves the old index, or none.
Only texts that the last index does not hold are embedded again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from copilot.chunk import Chunk, split, statements
from copilot.corpus import Document, load, strings
from copilot.embed import Embedder, Progress, Vectors

FORMAT = 2                         # raise it when what a build writes changes
_WAIT_S = 900                      # how long to wait for another process that builds the same index
_STATEMENT = 300                   # characters of a table or a listing that say what it is about
_BATCH = 1000                      # vectors per Chroma call
_CJK = re.compile(r"([\u3400-\u9fff])")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE documents (path TEXT PRIMARY KEY, title TEXT, meta TEXT);
CREATE TABLE chunks (place INTEGER PRIMARY KEY, id TEXT UNIQUE, doc_path TEXT, heading_path TEXT, text TEXT, start INTEGER, end INTEGER);
CREATE TABLE vectors (hash TEXT PRIMARY KEY, vector BLOB);
CREATE TABLE entries (place INTEGER, slot INTEGER, hash TEXT, PRIMARY KEY (place, slot));
CREATE VIRTUAL TABLE words USING fts5(title, heading, aliases, body, tokenize = 'porter unicode61 remove_diacritics 2');
"""
_WEIGHTS = "3.0, 4.0, 2.0, 1.0"    # of the columns of `words`


class Damaged(Exception):
    """A stored index that cannot be used. It is rebuilt; nobody outside this file sees it."""


@dataclass(frozen=True)
class Built:
    """What an index was made from; it is fresh as long as this is the same."""

    format: int
    embedder: str
    corpus: str                    # hash of all pages

    @staticmethod
    def of(documents: Sequence[Document], embedder: Embedder) -> Built:
        pages = [[page.path, page.title, page.text, page.meta] for page in documents]
        return Built(FORMAT, embedder.identity, _hash(json.dumps(pages, sort_keys=True, default=str)))


@dataclass(frozen=True)
class Closeness:
    """How near a chunk is to a query: cosine similarities."""

    passage: float
    heading: float
    statements: tuple[float, ...]  # of `chunk.statements(text)`, in order


class Index:
    """An open index: its chunks, and the two ways to search them. Chunks are named by their place in `chunks`."""

    def __init__(self, folder: Path, collection: Any):
        self._sql = sqlite3.connect(folder / "index.sqlite", check_same_thread=False)
        self._lock = threading.Lock()  # one connection, many visitors
        self._collection = collection
        self.documents = {
            path: Document(path, title, "", json.loads(meta))
            for path, title, meta in self._rows("SELECT path, title, meta FROM documents")
        }
        self.chunks = [
            Chunk(id, path, tuple(json.loads(trail)), text, start, end) for id, path, trail, text, start, end in
            self._rows("SELECT id, doc_path, heading_path, text, start, end FROM chunks ORDER BY place")
        ]

    def match(self, expression: str, limit: int) -> dict[int, float]:
        """BM25 of the chunks that match an FTS5 expression, best first; higher is better."""
        return dict(self._rows(f"SELECT rowid, -bm25(words, {_WEIGHTS}) AS score FROM words WHERE words MATCH ? "
                               "ORDER BY score DESC LIMIT ?", expression, limit))

    def containing(self, word: str) -> set[int]:
        """The chunks with this word, or another form of it."""
        return {place for place, in self._rows("SELECT rowid FROM words WHERE words MATCH ?", quoted(word))}

    def near(self, vector: Vectors, limit: int) -> list[int]:
        """The chunks that own the `limit` entries nearest to a query, best first."""
        count = min(limit, self._collection.count())
        found = self._collection.query(query_embeddings=vector[None], n_results=count, include=[])
        return list(dict.fromkeys(int(entry.split(".")[0]) for entry in found["ids"][0]))

    def closeness(self, vector: Vectors, places: Iterable[int]) -> dict[int, Closeness]:
        """The exact cosine similarities of given chunks to a query."""
        wanted = list(places)
        marks = ",".join("?" * len(wanted))
        rows = self._rows("SELECT place, vector FROM entries JOIN vectors USING (hash) "
                          f"WHERE place IN ({marks}) ORDER BY place, slot", *wanted)
        matrix = np.frombuffer(b"".join(blob for _, blob in rows), np.float32).reshape(len(rows), -1)
        values = (matrix @ vector).tolist() if rows else []
        found: dict[int, list[float]] = {}
        for (place, _), value in zip(rows, values, strict=True):
            found.setdefault(place, []).append(value)
        return {place: Closeness(own[0], own[1], tuple(own[2:])) for place, own in found.items()}

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._sql.execute(sql, values).fetchall()


def quoted(word: str) -> str:
    """A word or phrase as an FTS5 string, whatever characters it has; Chinese character by character."""
    return '"' + spaced(word).replace('"', '""').strip() + '"'


def spaced(text: str) -> str:
    """The text with every Chinese character a word of its own: FTS5 knows no Chinese word boundaries."""
    return _CJK.sub(r" \1 ", text)


def open_index(corpus: Path, folder: Path, embedder: Embedder, progress: Progress | None = None) -> Index:
    """The index of the corpus as it is now; built or brought up to date if need be.

    Raises:
        ConfigError: the corpus is missing or a page cannot be read.
    """
    documents = load(corpus)
    built = Built.of(documents, embedder)
    with _alone(folder):
        current = _current(folder)
        if current and _stamp(current) == asdict(built):
            try:
                return _attach(current)
            except Damaged:
                pass                   # what is derived is made again from what is known
        fresh = _build(documents, built, folder, current, embedder, progress or (lambda _done, _text: None))
        index = _attach(fresh)
        _point(folder, fresh, keep=current)
        return index


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time. SQLite's lock is let go by the system when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "lock", timeout=_WAIT_S, isolation_level=None)) as gate:
        gate.execute("BEGIN EXCLUSIVE")
        yield


def _current(folder: Path) -> Path | None:
    pointer = folder / "current"
    current = folder / pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else None
    return current if current and (current / "index.sqlite").is_file() else None


def _point(folder: Path, fresh: Path, keep: Path | None) -> None:
    """Make a finished build the current one. The one before stays, another process may still read it."""
    pointer = folder / "current.new"
    pointer.write_text(fresh.name, encoding="utf-8")
    os.replace(pointer, folder / "current")
    for stale in folder.glob("build-*"):
        if stale not in (fresh, keep):
            shutil.rmtree(stale, ignore_errors=True)


def _stamp(build: Path) -> dict[str, Any]:
    """What a stored index says it was made from; empty if it cannot say."""
    try:
        with closing(sqlite3.connect(build / "index.sqlite")) as sql:
            found = sql.execute("SELECT value FROM meta WHERE key = 'built'").fetchone()
    except sqlite3.DatabaseError:
        return {}
    stamp: dict[str, Any] = json.loads(found[0]) if found else {}
    return stamp


def _build(documents: Sequence[Document], built: Built, folder: Path, old: Path | None, embedder: Embedder,
           progress: Progress) -> Path:
    """Write a whole index into a new folder."""
    build = folder / f"build-{uuid.uuid4().hex[:12]}"
    build.mkdir()
    chunks = [(page, chunk) for page in documents for chunk in [*split(page), *facts(page)] if chunk.text]
    texts = {(place, slot): text for place, (page, chunk) in enumerate(chunks)
             for slot, text in enumerate(embedded_texts(page, chunk))}
    known = _known_vectors(old) if old and _stamp(old).get("embedder") == built.embedder else {}
    missing = sorted({text for text in texts.values() if _hash(text) not in known})
    vectors = embedder.encode_documents(missing, lambda done, text: progress(0.95 * done, text)) if missing else []
    known |= {_hash(text): vector.tobytes() for text, vector in zip(missing, vectors, strict=True)}
    progress(0.95, "Writing the index")
    with closing(sqlite3.connect(build / "index.sqlite")) as sql, sql:
        sql.executescript(_SCHEMA)
        sql.executemany("INSERT INTO documents VALUES (?, ?, ?)", [
            (page.path, page.title, json.dumps(page.meta, default=str)) for page in documents])
        sql.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)", [
            (place, chunk.id, chunk.doc_path, json.dumps(chunk.heading_path), chunk.text, chunk.start, chunk.end)
            for place, (_, chunk) in enumerate(chunks)])
        sql.executemany("INSERT INTO words (rowid, title, heading, aliases, body) VALUES (?, ?, ?, ?, ?)", [
            (place, *map(spaced, (page.title, " ".join(chunk.heading_path), " ".join(aliases(page)), chunk.text)))
            for place, (page, chunk) in enumerate(chunks)])
        used = {place: _hash(text) for place, text in texts.items()}
        sql.executemany("INSERT INTO vectors VALUES (?, ?)", [(key, known[key]) for key in sorted(set(used.values()))])
        sql.executemany("INSERT INTO entries VALUES (?, ?, ?)", [(*place, key) for place, key in used.items()])
        sql.execute("INSERT INTO meta VALUES ('built', ?)", (json.dumps(asdict(built)),))
    _fill_chroma(build)
    progress(1.0, "Index ready")
    return build


def embedded_texts(page: Document, chunk: Chunk) -> list[str]:
    """What of a chunk is embedded: the passage below its titles, its heading alone, and each thing that it says.

    People often ask in the words of a heading, or for one fact in a passage on something wider.
    """
    trail = " > ".join((page.title, *chunk.heading_path))
    also = f" ({', '.join(page.names)})" if page.names else ""
    body = re.sub(r"^#+ .*$", "", chunk.text, flags=re.MULTILINE).strip()
    return [f"{trail}{also}\n{body}", (page.title, *chunk.heading_path)[-1], *(said[:_STATEMENT] for said in statements(chunk.text))]


def aliases(page: Document) -> tuple[str, ...]:
    """Other words under which a page is looked for."""
    return page.names + strings(page.meta.get("topics"))


def facts(page: Document) -> list[Chunk]:
    """A paper's front matter as a passage that can be found and cited."""
    if not page.meta.get("year"):
        return []
    rows = [f"- {label(key)}: {shown(value)}" for key, value in page.meta.items() if key not in ("title", "aliases")]
    name = page.names[0] if page.names else page.title
    return [Chunk(f"{page.path}#facts", page.path, (f"{name}: key facts",), "\n".join([f"**{page.title}**", "", *rows]), 0, 0)]


def label(key: str) -> str:
    """`action_spaces` as people read it."""
    return key.replace("_", " ").capitalize().replace("Arxiv", "arXiv").replace("On off policy", "On- or off-policy")


def shown(value: Any) -> str:
    """A front matter value as people read it."""
    if isinstance(value, Mapping):
        return "; ".join(f"`{key}` {shown(item)}" for key, item in value.items())
    return ", ".join(strings(value))


def _known_vectors(build: Path) -> dict[str, bytes]:
    try:
        with closing(sqlite3.connect(build / "index.sqlite")) as sql:
            return dict(sql.execute("SELECT hash, vector FROM vectors").fetchall())
    except sqlite3.DatabaseError:
        return {}                      # it only saves time


def _client(build: Path) -> Any:
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(path=str(build / "chroma"), settings=Settings(anonymized_telemetry=False))


def _fill_chroma(build: Path) -> None:
    """Give Chroma the vectors that SQLite holds. Always explicit: Chroma's own embedder would go to the network."""
    collection = _client(build).create_collection(
        "entries", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    with closing(sqlite3.connect(build / "index.sqlite")) as sql:
        rows = sql.execute("SELECT place, slot, vector FROM entries JOIN vectors USING (hash) ORDER BY 1, 2").fetchall()
    for start in range(0, len(rows), _BATCH):
        batch = rows[start:start + _BATCH]
        collection.add(ids=[f"{place}.{slot}" for place, slot, _ in batch],
                       embeddings=np.stack([np.frombuffer(blob, np.float32) for _, _, blob in batch]))


def _attach(build: Path) -> Index:
    """Open a stored index and try it.

    Raises:
        Damaged: it cannot be read, or Chroma no longer holds what SQLite says.
    """
    trying = build / "trying"          # still there if the process died here: damaged vectors can end a process
    if trying.exists():
        raise Damaged(build)
    trying.touch()
    try:
        index = Index(build, _client(build).get_collection("entries", embedding_function=None))
        _check(index, build)
    except (KeyboardInterrupt, SystemExit):
        trying.unlink()
        raise
    except BaseException as error:     # a panic in Chroma's Rust part is no Exception
        raise Damaged(build) from error
    trying.unlink()
    return index


def _check(index: Index, build: Path) -> None:
    """Chroma holds as many vectors as SQLite and finds some of them."""
    with closing(sqlite3.connect(build / "index.sqlite")) as sql:
        count = sql.execute("SELECT count(*) FROM entries").fetchone()[0]
        probes = sql.execute("SELECT place, vector FROM entries JOIN vectors USING (hash) WHERE slot = 0 LIMIT 3").fetchall()
    if index._collection.count() != count:
        raise Damaged(build)
    for place, blob in probes:
        if place not in index.near(np.frombuffer(blob, np.float32), 3):
            raise Damaged(build)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
