"""Plain text, and what every loader of text needs: bytes into characters, code into fences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from charset_normalizer import from_bytes

from copilot.corpus import Document, visible

_CONTROL = b"\x00\x01\x02\x03\x04\x05\x06\x07\x0b\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1c\x1d\x1e\x1f"
_BINARY = 0.02                     # share of control characters from which bytes are no text
_BOMS = {b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
         b"\xef\xbb\xbf": "utf-8-sig"}
_FENCED = 60                       # lines of code in one fence: a longer listing becomes several


class Unreadable(Exception):
    """A file that cannot be taken, and why, in words that follow its name: `is encrypted`."""


def load(raw: bytes, path: str) -> Document:
    """A text file as it is."""
    text, note = decoded(raw)
    return Document(path, name_of(path), text, {"note": note} if note else {}, is_plain=True)


def name_of(path: str) -> str:
    """The file's name, which is the title of what has none."""
    return path.rsplit("/", 1)[-1]


def decoded(raw: bytes) -> tuple[str, str]:
    """The visible text, and what was odd about its encoding.

    Raises:
        Unreadable: the bytes are no text, or nobody can tell in which encoding.
    """
    mark = next((mark for mark in _BOMS if raw.startswith(mark)), None)
    if mark is None and (b"\0" in raw or len(raw.translate(None, _CONTROL)) < (1 - _BINARY) * len(raw)):
        raise Unreadable("is a binary file, whatever its name says")
    try:
        return visible(raw.decode(_BOMS[mark] if mark else "utf-8")), ""
    except UnicodeDecodeError:
        pass                       # the next best guesses follow
    lossy = raw.decode("utf-8", errors="replace")
    broken, other = lossy.count("\ufffd"), sum(not character.isascii() for character in lossy)
    if broken < other - broken:    # mostly UTF-8, damaged here and there
        return visible(lossy), f"{broken} characters are not UTF-8 and were lost"
    best = from_bytes(raw).best()
    if best is None:
        raise Unreadable("is in no encoding that can be recognised; save it as UTF-8")
    return visible(str(best)), f"read as {best.encoding}"


def fenced(code: str, language: str) -> str:
    """Code as Markdown, in fences of a length that can be found, read and cited; nothing in it can close them."""
    mark = "`" * max(3, 1 + max(map(len, re.findall(r"`+", code)), default=0))
    return "".join(f"{mark}{language}\n{part}\n{mark}\n\n" for part in _listings(code) if part.strip())


def _listings(code: str) -> Iterator[str]:
    """Code in runs of lines, cut at blank lines where it can be."""
    lines = code.strip("\n").split("\n")
    while len(lines) > _FENCED:
        blank = (place for place in range(_FENCED, _FENCED // 2, -1) if not lines[place - 1].strip())
        end = next(blank, _FENCED)
        yield "\n".join(lines[:end]).rstrip()
        lines = lines[end:]
    yield "\n".join(lines).rstrip()
