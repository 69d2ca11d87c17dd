"""What a language model wrote, held against the passages it was given.

Citations are `cite.verified`'s task. Beyond that: sentences that no passage supports, names in code, and numbers in
tables and listings that no passage has are marked, and nothing in an answer may lead a reader, or a page that shows
it, to an address that no passage names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from copilot import cite
from copilot.chunk import blocks, sentences
from copilot.words import content_words

_UNSTATED = " *(name not in the sources)*"
_UNSUPPORTED = " *(not in the sources)*"
_CLAIM = 5                         # content words from which a sentence says something about the subject

_CODE = re.compile(r"(```.*?(?:```|\Z))", re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_IDENTIFIER = re.compile(r"[A-Za-z]\w*(?:[._-]\w+)*")
_IMAGE = re.compile(r"!\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])|<img\b[^>]*>", re.IGNORECASE)
_LINK = re.compile(r"\[([^\]]+)\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_ADDRESS = re.compile(r"<?\b((?:https?|ftp|file|data|javascript):[^\s<>)\]\"'`]+)>?", re.IGNORECASE)
_MARKED = re.compile(r"\[\d{1,2}\]|\*\((?:number |name |address )?not in the sources\)\*")
_LEADING = re.compile(r"\A(?:\[\d{1,2}\]\s*)+")
_TAG = re.compile(r"</?[a-zA-Z][^>\n]*>")


def checked(text: str, passages: Sequence[str]) -> str:
    """The answer with citations that hold, what is doubtful marked, and no way out of this machine."""
    source = "\n".join(passages)
    return _doubted(_named(cite.verified(harmless(text, source), passages), source), passages)


def harmless(text: str, source: str) -> str:
    """The text without images and markup; a link or an address stays only if the source has it too."""
    parts = _CODE.split(text)
    for place in range(0, len(parts), 2):
        plain = _IMAGE.sub(lambda match: match.group(1) or "", parts[place])
        plain = _LINK.sub(lambda match: match.group() if match.group(2) in source else match.group(1), plain)
        plain = _ADDRESS.sub(lambda match: match.group() if match.group(1).rstrip(".,;:") in source
                             else "*(address not in the sources)*", plain)
        parts[place] = _TAG.sub("", plain) if "<" in plain else plain
    return "".join(parts)


def _doubted(text: str, passages: Sequence[str]) -> str:
    """The text with a remark behind each claim that has neither a citation nor a remark yet."""
    numbers = [cite.stated(passage) for passage in passages]
    parts: list[str] = []
    for block in blocks(text):
        piece = text[block.start:block.end]
        tail = piece[len(piece.rstrip()):]
        if block.kind in ("paragraph", "item"):
            said = sentences(piece)
            following = [*said[1:], ""]    # a mark may stand behind the full stop
            piece = " ".join(one + (_UNSUPPORTED if _is_bare(one, after) else "")
                             for one, after in zip(said, following, strict=True)) + tail
        elif block.kind in ("table", "fence") and (unknown := _unknown(block.kind, piece, numbers)):
            piece = f"{piece.rstrip()}\n\n*(not in the sources: {', '.join(unknown)})*{tail}"
        parts.append(piece)
    return "".join(parts)


def _is_bare(sentence: str, after: str) -> bool:
    """Whether a sentence claims something without a citation; a lead-in claims nothing."""
    own = _LEADING.sub("", sentence)       # these belong to the sentence before
    return (len(content_words(_SPAN.sub("", own))) >= _CLAIM and not own.rstrip().endswith((":", "?"))
            and not _MARKED.search(own) and not _LEADING.match(after))


def _unknown(kind: str, piece: str, numbers: Sequence[cite.Readings]) -> list[str]:
    """The numbers in a listing, or in the rows of a table, that what they cite does not state, as they are written."""
    found: dict[str, None] = {}        # in order, each once
    for row in [piece] if kind == "fence" else piece.splitlines():
        claimed = cite.claims(row)
        if kind == "table":            # behind a row's first cell all are values
            for cell in row.strip().strip("|").split("|")[1:]:
                claimed |= cite.claims(f"_: {cell.strip()}")
        cited = [numbers[number - 1] for number in cite.marks(row) if 1 <= number <= len(numbers)]
        found |= {written: None for written, one in claimed.items() if cite.unstated([one], cited or numbers)}
    return list(found)


def _named(text: str, source: str) -> str:
    """The text with a remark behind each name in code that the source does not have."""
    known = set(_IDENTIFIER.findall(source)) | {word for name in _IDENTIFIER.findall(source)
                                                for word in re.split(r"[._-]", name)}
    parts = _CODE.split(text)
    for place in range(0, len(parts), 2):
        parts[place] = _SPAN.sub(lambda span: span.group() + ("" if _stated(span.group(1), known, source)
                                                              else _UNSTATED), parts[place])
    return "".join(parts)


def _stated(code: str, known: set[str], source: str) -> bool:
    """Whether the source has the code, or at least every name in it that is longer than a variable's."""
    return code in source or all(name in known for name in _IDENTIFIER.findall(code) if len(name) > 2)
