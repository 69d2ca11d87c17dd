"""Looks whether the index and every collection hold what they should, and makes again what does not."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from copilot import store
from copilot.build import SEARCHED, Stamp
from copilot.collection import Collection, collection, collections
from copilot.corpus import load
from copilot.embed import Embedder, Progress
from copilot.index import current_build, open_index
from rlcore.config import ConfigError

_CHROMA_S = 300.0                  # a check of Chroma that takes longer hangs
_BATCH = 5000                      # vectors compared at a time
_CLOSE = 1e-3                      # how far a vector may be from its stored one
_SHOWN = 5                         # names in one complaint

Vector = tuple[str, bytes]         # Chroma's id of a vector, and its float32 values


@dataclass(frozen=True)
class Report:
    """What was found of one part of the index."""

    name: str
    contents: str                  # what it has, in words
    problems: tuple[str, ...]      # sentences; empty if it is well


def examine(corpus: Path, index_dir: Path, embedder: Embedder) -> list[Report]:
    """Reports on the index of the corpus and on all collections, in order."""
    return [examine_corpus(corpus, index_dir, embedder),
            *(examine_collection(collection(index_dir, name), embedder) for name in collections(index_dir))]


def repair(report: Report, corpus: Path, index_dir: Path, embedder: Embedder, progress: Progress) -> Report:
    """Make again what a report complains about; how it is then. Vectors that are whole serve again."""
    if report.name not in collections(index_dir):
        build = current_build(index_dir)
        if build and not _is_sound(build / "index.sqlite"):
            shutil.rmtree(build)
        elif build:
            with closing(sqlite3.connect(build / "index.sqlite")) as sql, sql:     # so it is not taken for fresh
                sql.execute("UPDATE meta SET value = json_set(value, '$.corpus', '') WHERE key = 'stamp'")
        open_index(corpus, index_dir, embedder, progress)
        return examine_corpus(corpus, index_dir, embedder)
    own = collection(index_dir, report.name)
    if _is_sound(own.folder / "collection.sqlite") and not _is_torn(own):
        with store.opened(own.folder) as sql:
            store.rewrite_words(sql)
            sql.execute("DELETE FROM vectors WHERE place NOT IN (SELECT place FROM chunks)")
        own.update(embedder, progress)
        with store.opened(own.folder) as sql:
            store.renew_snapshot(sql, own.folder, progress, anyway=True)
    else:
        own.rebuild(embedder, progress)
    return examine_collection(own, embedder)


def _is_torn(own: Collection) -> bool:
    with store.opened(own.folder) as sql:
        return any(_spans(sql, "file", _lengths(sql)))


def examine_corpus(corpus: Path, index_dir: Path, embedder: Embedder) -> Report:
    """Whether the index of the corpus is whole and as new as its pages."""
    build = current_build(index_dir)
    if build is None:
        return Report("corpus", "no index", ("There is no index of the corpus yet.",))
    problems = list(_database(build / "index.sqlite"))
    contents = "unreadable"
    if not problems:
        with closing(sqlite3.connect(build / "index.sqlite")) as sql:
            size, vectors = _counted(sql, "SELECT count(*) FROM chunks"), _counted(sql, "SELECT count(*) FROM entries")
            contents = f"{size:,} passages, {vectors:,} vectors"
            problems += _words(sql)
            problems += _spans(sql, "doc_path", {})
            bare = _counted(sql, "SELECT count(*) FROM chunks WHERE place NOT IN (SELECT place FROM entries) OR "
                                 "place IN (SELECT place FROM entries WHERE hash NOT IN (SELECT hash FROM vectors))")
            problems += [f"{bare:,} passages lack vectors."] if bare else []
        problems += _stale(corpus, build, embedder)
    return Report("corpus", contents, tuple(problems))


def _stale(corpus: Path, build: Path, embedder: Embedder) -> Iterator[str]:
    stored = Stamp.read(build)
    try:
        now = Stamp.of(load(corpus), embedder)
    except ConfigError as error:
        yield str(error)
        return
    if stored is None or stored.format != now.format:
        yield "It was made by another version of this program."
    elif stored.embedder != now.embedder:
        yield f"Its vectors are those of {stored.embedder}, not of {now.embedder}."
    elif stored.corpus != now.corpus:
        yield "Pages have changed since it was made."


def examine_collection(own: Collection, embedder: Embedder) -> Report:
    """Whether a collection is whole and as new as its files."""
    path = own.folder / "collection.sqlite"
    problems = list(_database(path))
    if problems:
        return Report(own.name, "unreadable", tuple(problems))
    with store.opened(own.folder) as sql:
        files = store.files(sql)
        taken = [file for file in files.values() if file.state == "taken"]
        snapshot = store.snapshot(sql)
        contents = (f"{len(taken):,} files, {len(files) - len(taken):,} not taken, {store.size(sql):,} passages, "
                    f"{'Chroma' if snapshot else 'exact'} search")
        problems += _words(sql)
        problems += _spans(sql, "file", _lengths(sql))
        if bare := store.pending(sql):
            problems.append(f"{bare:,} passages have no vectors: an update was ended.")
        if (made := store.meta(sql, "embedder")) not in ("", embedder.identity):
            problems.append(f"Its vectors are those of {made}, not of {embedder.identity}.")
        lost = _counted(sql, "SELECT count(*) FROM vectors WHERE place NOT IN (SELECT place FROM chunks)")
        problems += [f"{lost:,} vectors belong to no passage."] if lost else []
    if snapshot:
        problems += _chroma(own.folder, snapshot.folder)
    problems += _changed(own, files)
    return Report(own.name, contents, tuple(problems))


def _changed(own: Collection, files: Mapping[str, store.File]) -> Iterator[str]:
    """Where the disk is no longer what the collection has."""
    seen = own.on_disk()
    changed = {path for path, file in files.items()
               if path in seen and (seen[path].size, seen[path].mtime_ns) != (file.size, file.mtime_ns)}
    for what, paths in ("new", seen.keys() - files.keys()), ("gone", files.keys() - seen.keys()), ("changed", changed):
        if paths:
            yield f"{len(paths):,} files are {what} on disk: {_named(paths)}."


def _database(path: Path) -> Iterator[str]:
    if not path.is_file():
        yield f"{path.name} is missing."
    elif not _is_sound(path):
        yield f"{path.name} is damaged."


def _is_sound(path: Path) -> bool:
    """Whether SQLite finds its file whole."""
    try:
        with closing(sqlite3.connect(path)) as sql:
            return path.is_file() and sql.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        return False


def _words(sql: sqlite3.Connection) -> Iterator[str]:
    """Whether the full-text table holds the words of every passage."""
    try:
        sql.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        missing = _counted(sql, "SELECT count(*) FROM chunks WHERE place NOT IN (SELECT rowid FROM words)")
        extra = _counted(sql, "SELECT count(*) FROM words WHERE rowid NOT IN (SELECT place FROM chunks)")
    except sqlite3.DatabaseError as error:
        yield f"The full-text table is damaged ({error})."
        return
    if missing or extra:
        yield f"The full-text table lacks {missing:,} passages and has {extra:,} that are gone."


def _spans(sql: sqlite3.Connection, file: str, lengths: Mapping[str, int]) -> Iterator[str]:
    """Whether the passages of each file cover it, from its first character to its last, and none is there twice."""
    own: dict[str, list[tuple[int, int]]] = {path: [] for path in lengths}
    for path, start, end in sql.execute(f"SELECT {file}, start, end FROM chunks WHERE end > start ORDER BY 1, 2"):
        own.setdefault(path, []).append((start, end))
    torn = [path for path, spans in own.items() if not spans or spans[0][0] != 0
            or spans[-1][1] != lengths.get(path, spans[-1][1]) or any(one[1] != two[0] for one, two in pairwise(spans))]
    if torn:
        yield f"The passages of {len(torn):,} files do not cover them: {_named(torn)}."


def _lengths(sql: sqlite3.Connection) -> dict[str, int]:
    return dict(sql.execute("SELECT path, characters FROM files WHERE state = 'taken'").fetchall())


def _chroma(folder: Path, snapshot: str) -> Iterator[str]:
    """Whether a collection's Chroma holds its vectors. Damaged ones can end a process, so another one looks."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_look, args=(theirs, folder, snapshot), daemon=True)
    process.start()
    theirs.close()
    try:
        problem = ours.recv_bytes().decode() if ours.poll(_CHROMA_S) else f"Chroma is silent for {_CHROMA_S:.0f} s."
    except EOFError:
        problem = "Chroma ends the process that opens it."
    process.kill()
    process.join()
    ours.close()
    if problem:
        yield problem


def _look(pipe: Connection[Any, Any], folder: Path, snapshot: str) -> None:
    """In the other process: says what is wrong, or nothing."""
    try:
        with closing(store.chroma(folder / snapshot)) as client:
            entries = client.get_collection("entries", embedding_function=None)
            missing = wrong = 0
            for batch in _snapshot(folder):
                found = entries.get(ids=[name for name, _ in batch], include=["embeddings"])
                held = dict(zip(found["ids"], found["embeddings"], strict=True))
                missing += len(batch) - len(held)
                wrong += sum(float(np.abs(held[name] - np.frombuffer(vector, np.float32)).max()) > _CLOSE
                             for name, vector in batch if name in held)
        said = f"Chroma lacks {missing:,} vectors and has {wrong:,} others." if missing or wrong else ""
    except BaseException as error:     # a panic in Chroma's Rust part is no Exception
        said = f"Chroma cannot be read ({error})."
    pipe.send_bytes(said.encode())


def _snapshot(folder: Path) -> Iterator[list[Vector]]:
    """The vectors that Chroma should have: those up to the snapshot."""
    with store.opened(folder) as sql:
        taken, dim = store.snapshot(sql), int(store.meta(sql, "dim"))
        rows = sql.execute("SELECT place, vectors FROM vectors WHERE place <= ?", (taken.last if taken else 0,))
        while batch := rows.fetchmany(_BATCH):
            yield [(f"{place}.{slot}", vector.tobytes()) for place, blob in batch
                   for slot, vector in enumerate(store.vectors_of(blob, dim)[:SEARCHED])]


def _counted(sql: sqlite3.Connection, query: str) -> int:
    return int(sql.execute(query).fetchone()[0])


def _named(paths: Iterable[str]) -> str:
    """The first few names."""
    first, *more = sorted(paths)
    named = ", ".join([first, *more[:_SHOWN - 1]])
    return named + (f" and {len(more) + 1 - _SHOWN:,} more" if len(more) >= _SHOWN else "")
