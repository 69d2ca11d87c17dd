"""Which files of a folder are taken, and why the others are not."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from copilot.ingest.load import LOADERS

MAX_BYTES = 50_000_000             # of one file

_UNSHOWN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

# Folders that hold copies, or what programs made.
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "__macosx", "venv", "dist-packages"}


@dataclass(frozen=True)
class Seen:
    """A file or folder on disk."""

    path: str                      # absolute, with forward slashes
    size: int = 0                  # bytes
    mtime_ns: int = 0
    reason: str = ""               # why it is not taken, in words that follow its name; empty if it may be


def walk(source: Path) -> Iterator[Seen]:
    """What there is at a path, in order: the file itself, or all in the folder and the folders in it."""
    if not source.is_dir():
        yield _seen(source.as_posix(), lambda: os.stat(source))
        return
    folders = [source.as_posix()]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Seen(folder, reason=f"cannot be opened ({error.strerror})")
            continue
        below: list[str] = []
        for entry in found:
            path = f"{folder.rstrip('/')}/{entry.name}"
            if _is_folder(entry):
                if reason := _folder_reason(entry):
                    yield Seen(path, reason=reason)
                else:
                    below.append(path)
            else:
                yield _seen(path, entry.stat)
        folders += reversed(below)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:                    # a link to itself; as a file it is told why it cannot be opened
        return False


def _folder_reason(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "is a link to a folder; add that folder itself"
    if entry.name.startswith("."):
        return "is a hidden folder"
    if entry.name.lower() in _SKIPPED or os.path.exists(f"{entry.path}/pyvenv.cfg"):
        return "holds what programs install or make"
    return ""


def _seen(path: str, look: Callable[[], os.stat_result]) -> Seen:
    """A file, with the reason if its name or size already tells that it is not taken."""
    try:
        status = look()
    except OSError as error:
        return Seen(path, reason=f"cannot be opened ({error.strerror})")
    name = path.rsplit("/", 1)[-1]
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith("."):
        reason = "is a hidden file"
    elif not stat.S_ISREG(status.st_mode):
        reason = "is no ordinary file"
    elif suffix not in LOADERS:
        reason = f"is of a kind that is not read ({suffix or 'no suffix'}); those are {', '.join(LOADERS)}"
    elif status.st_size > MAX_BYTES:
        reason = f"has {status.st_size / 1e6:,.0f} MB; at most {MAX_BYTES / 1e6:.0f} are taken, so split it"
    else:
        reason = "has a name with characters that cannot be shown" if _UNSHOWN.search(path) else ""
    return Seen(path.encode(errors="replace").decode(), status.st_size, status.st_mtime_ns, reason)
