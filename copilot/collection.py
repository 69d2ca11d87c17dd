"""People's own files as a collection beside the corpus: added, kept up to date, removed.

    index_dir/collections/NAME/sources.json         what was added; all else can be made again from it
    index_dir/collections/NAME/collection.sqlite    see `store`
    index_dir/collections/NAME/chroma-…/

Whatever ends an update, the next one goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from copilot import store
from copilot.embed import Embedder, Progress
from copilot.index import Busy, alone
from copilot.ingest.child import Read, Reader
from copilot.ingest.text import Unreadable
from copilot.ingest.walk import Seen, walk
from copilot.store import File
from rlcore.config import ConfigError

_FILES = 32                        # in one transaction
_READING = 0.3                     # share of the progress bar until all files are read
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# Reasons of `ingest.child` that a faster or larger computer, or the same one when it is less busy, would not give.
_PASSING = re.compile(r"took longer|needs more than .* of memory|ended the process|\(MemoryError\)")


@dataclass(frozen=True)
class Sources:
    """What was added to a collection, and what of it was removed by hand."""

    paths: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What an update did."""

    read: int                      # files that are new or have changed
    removed: int
    unchanged: int
    passages: int                  # in the collection now
    left: tuple[File, ...]         # the files that are not taken, each with its reason
    seconds: float

    def __str__(self) -> str:
        return (f"{self.read:,} files read, {self.removed:,} removed, {self.unchanged:,} unchanged, "
                f"{len(self.left):,} not taken; {self.passages:,} passages ({self.seconds:.1f} s)")


def collections(index_dir: Path) -> list[str]:
    """The names of the collections in an index folder."""
    return sorted(path.parent.name for path in (index_dir / "collections").glob("*/sources.json")
                  if _NAME.fullmatch(path.parent.name))


def collection(index_dir: Path, name: str, *, new: bool = False) -> Collection:
    """The collection of this name.

    Raises:
        ConfigError: there is none, or a new one cannot have this name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"A collection cannot be called '{name}'. Use up to 64 letters, digits, - and _.")
    if not new and name not in collections(index_dir):
        known = ", ".join(collections(index_dir)) or "none yet"
        raise ConfigError(f"There is no collection '{name}' in {index_dir}: there is {known}. "
                          f"Make it with: rl-copilot index add PATH --collection {name}")
    return Collection(index_dir / "collections" / name)


class Collection:
    """One collection. Only one process at a time changes it; others may read it meanwhile."""

    def __init__(self, folder: Path, reader: Callable[[], Reader] = Reader):
        self.folder, self._reader = folder, reader

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name

    @property
    def sources(self) -> Sources:
        """What was added.

        Raises:
            ConfigError: the list cannot be read.
        """
        path = self.folder / "sources.json"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return Sources(tuple(stored["paths"]), tuple(stored["excluded"]))
        except FileNotFoundError:
            return Sources()
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} cannot be read ({error}). Remove the collection and add it again.") from None

    def add(self, paths: Sequence[Path], embedder: Embedder, progress: Progress | None = None) -> Outcome:
        """Take in files and folders, and bring the collection up to date.

        Raises:
            ConfigError: a path does not exist.
        """
        missing = next((path for path in paths if not path.exists()), None)
        if missing is not None:
            raise ConfigError(f"'{missing}' does not exist. Give files or folders that are there.")
        new = [path.resolve().as_posix() for path in paths]
        with alone(self.folder):
            excluded = tuple(path for path in self.sources.excluded if path not in new)
            self._write(Sources(tuple(dict.fromkeys([*self.sources.paths, *new])), excluded))
            return self._updated(embedder, progress or _silent)

    def update(self, embedder: Embedder, progress: Progress | None = None) -> Outcome:
        """Take in what has changed on disk, and finish what an earlier update left."""
        with alone(self.folder):
            return self._updated(embedder, progress or _silent)

    def ready(self, embedder: Embedder, progress: Progress | None = None) -> None:
        """Make the vectors that are missing, all of them if another embedder made them. Files are not looked at.

        While somebody else makes them, those that are there have to do.

        Raises:
            Busy: somebody else changes it, and its vectors are another embedder's.
        """
        with store.opened(self.folder) as sql:
            ours = store.meta(sql, "embedder") in ("", embedder.identity)
            if ours and not store.pending(sql):
                return
        try:
            with alone(self.folder, wait_s=0):
                self._finish(embedder, progress or _silent)
        except Busy:
            if not ours:
                raise

    def remove(self, paths: Sequence[Path]) -> int:
        """Remove files or folders, and take them in no more; how many files that were.

        Raises:
            ConfigError: the collection has nothing there.
        """
        removed = 0
        with alone(self.folder), store.opened(self.folder) as sql:
            for path in (path.resolve().as_posix() for path in paths):
                sources = self.sources
                own = [name for name in store.files(sql) if _within(name, path)]
                if not own and path not in sources.paths:
                    raise ConfigError(f"The collection '{self.name}' has nothing at '{path}'. "
                                      f"See what it has with: rl-copilot index list --collection {self.name}")
                kept = tuple(source for source in sources.paths if not _within(source, path))
                inner = any(_within(path, source) for source in kept)
                self._write(Sources(kept, (*sources.excluded, path) if inner else sources.excluded))
                with store.changing(sql):
                    for name in own:
                        store.drop(sql, name)
                removed += len(own)
        return removed

    def delete(self) -> None:
        """Remove the whole collection, unless somebody else changes it now; the files that it was made from stay."""
        with alone(self.folder, wait_s=0):
            gone = self.folder.with_name(f".removed-{uuid.uuid4().hex[:12]}")
            self.folder.rename(gone)       # one step: it is there, or it is not
        shutil.rmtree(gone, ignore_errors=True)

    def rebuild(self, embedder: Embedder, progress: Progress | None = None) -> Outcome:
        """Make all but the list of sources again."""
        with alone(self.folder):
            for stale in [*self.folder.glob("collection.sqlite*"), *self.folder.glob("chroma-*")]:
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
            return self._updated(embedder, progress or _silent)

    def files(self) -> list[File]:
        """The files that it knows, also those that are not taken, in order."""
        with store.opened(self.folder) as sql:
            return list(store.files(sql).values())

    def on_disk(self) -> dict[str, Seen]:
        """What there is now at its sources, by path, without what was removed by hand."""
        sources, found = self.sources, dict[str, Seen]()
        for source in sources.paths:
            for seen in walk(Path(source)):
                if not any(_within(seen.path, path) for path in sources.excluded):
                    found[seen.path] = seen
        return found

    def _write(self, sources: Sources) -> None:
        draft = self.folder / "sources.new"
        draft.write_text(json.dumps({"paths": sources.paths, "excluded": sources.excluded}, indent=1), encoding="utf-8")
        os.replace(draft, self.folder / "sources.json")

    def _updated(self, embedder: Embedder, progress: Progress) -> Outcome:
        began = time.perf_counter()
        with store.opened(self.folder) as sql:
            store.begin(sql)
            before, seen = store.files(sql), self.on_disk()
            planned = [file for file in _planned(seen, before) if file != before.get(file.path)]
            new = [file for file in planned if not file.state]
            lost = [source for source in self.sources.paths if not Path(source).exists()]
            gone = [path for path in before.keys() - seen.keys() if not any(_within(path, source) for source in lost)]
            with store.changing(sql):
                for file in planned:
                    if file.state == "left":
                        store.put(sql, file)
                    elif file.state:           # only its time has changed
                        store.touch(sql, file)
            for batch in _read(self._reader, new, lambda done, text: progress(_READING * done, text)):
                with store.changing(sql):
                    for file, read in batch:
                        store.put(sql, file, read)
            with store.changing(sql):          # at last, so that the vectors of a file that was moved serve again
                for path in gone:
                    store.drop(sql, path)
            self._finish(embedder, lambda done, text: progress(_READING + (1 - _READING) * done, text))
            after, passages = store.files(sql), store.size(sql)
        progress(1.0, f"The collection '{self.name}' is up to date")
        taken = {path for path, file in after.items() if file.state == "taken"}
        left = tuple(file for path, file in after.items() if path not in taken)
        unchanged = len(taken - {file.path for file in new})
        return Outcome(len(new), len(gone), unchanged, passages, left, time.perf_counter() - began)

    def _finish(self, embedder: Embedder, progress: Progress) -> None:
        with store.opened(self.folder) as sql:
            store.fill(sql, embedder, lambda done, text: progress(0.9 * done, text))
            store.renew_snapshot(sql, self.folder, lambda _, text: progress(0.9, text))


def _planned(seen: Mapping[str, Seen], known: Mapping[str, File]) -> Iterator[File]:
    """What is to become of every file on disk; one without a state is to be read."""
    originals: dict[str, str] = {}
    for one in seen.values():
        old = known.get(one.path)
        file = File(one.path, one.size, one.mtime_ns, "", "left", one.reason)
        if not one.reason:
            same = old and old.hash and (old.size, old.mtime_ns) == (one.size, one.mtime_ns)
            file = replace(file, hash=old.hash) if old and same else _hashed(file)
        original = originals.setdefault(file.hash, one.path) if file.hash else one.path
        if original != one.path:
            file = replace(file, reason=f"has the same content as {original}")
        elif old and file.hash and file.hash == old.hash and _settled(old):
            file = replace(file, state=old.state, reason=old.reason)
        elif file.hash:
            file = replace(file, state="")
        yield file


def _settled(file: File) -> bool:
    """Whether a file would fare the same if it were read again."""
    return file.state == "taken" or (file.state == "refused" and not _PASSING.search(file.reason))


def _hashed(file: File) -> File:
    try:
        with open(file.path, "rb") as content:
            return replace(file, hash=hashlib.file_digest(content, "sha256").hexdigest())
    except OSError as error:
        return replace(file, reason=f"cannot be opened ({error.strerror})")


def _read(
    opened: Callable[[], Reader], files: Sequence[File], progress: Progress,
) -> Iterator[list[tuple[File, Read | None]]]:
    """What the files hold, some at a time; of those that cannot be taken the reason."""
    total, done = sum(file.size for file in files) or 1, 0
    batch: list[tuple[File, Read | None]] = []
    with opened() as reader:
        for number, file in enumerate(files, start=1):
            try:
                read = reader.read(file.path)
                batch.append((replace(file, state="taken", reason=read.note), read))
            except Unreadable as error:
                batch.append((replace(file, state="refused", reason=str(error)), None))
            done += file.size
            progress(done / total, f"Reading: {number:,} of {len(files):,} files")
            if len(batch) == _FILES or number == len(files):
                yield batch
                batch = []


def _within(path: str, folder: str) -> bool:
    """Whether a path is a folder or in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _silent(_done: float, _text: str) -> None:
    """Shows nothing."""
