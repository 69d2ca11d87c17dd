"""Citations that hold: every sentence is tied to the passage that supports it, and to no other.

A mark `[n]` names the n-th passage. Code and mathematics are left alone: `x[1]` is not a citation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from copilot.chunk import blocks, sentences
from copilot.words import content_words, stem, stems

_SUPPORTED = 0.6                   # share of a sentence's content words that its passage must have
_UNSTATED = " *(number not in the sources)*"

_APART = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|\\\(.*?\\\)|\\\[.*?\\\])", re.DOTALL)
_MARK = re.compile(r"\s?\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\](?!\()")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w])")


def renumbered(text: str, count: int) -> tuple[str, list[int]]:
    """The text with its marks numbered as they appear, and the passage (1 … count) behind each new number.

    Marks of passages that do not exist are dropped.
    """
    order: list[int] = []

    def renumber(match: re.Match[str]) -> str:
        known = [int(number) for number in match.group(1).split(",") if 1 <= int(number) <= count]
        order.extend(number for number in known if number not in order)
        space = match.group()[:match.group().index("[")]
        return space + "".join(f"[{order.index(number) + 1}]" for number in known) if known else ""

    return _prose(text, lambda plain: _MARK.sub(renumber, plain)), order


def marks(text: str) -> list[int]:
    """The passages a text cites, in order, code and mathematics aside."""
    plain = " ".join(_APART.split(text)[::2])
    return list(dict.fromkeys(int(number) for found in _MARK.findall(plain) for number in found.split(",")))


def literal(text: str) -> str:
    """A quotation whose own bracketed numbers, such as `[64, 64]`, are code, so that nobody takes them for marks."""
    return _prose(text, lambda plain: _MARK.sub(
        lambda match: f"{' ' * match.group()[0].isspace()}`{match.group().strip()}`", plain))


def verified(text: str, passages: Sequence[str]) -> str:
    """The text with marks that hold.

    Those that do not are dropped; a sentence without one gets it if a passage supports the sentence; a sentence with
    a number that none of the passages states says so.
    """
    known = [stems(passage) for passage in passages]
    stated = {number for passage in passages for number in _numbers(passage)}
    parts: list[str] = []
    for block in blocks(text):
        piece = text[block.start:block.end]
        if block.kind not in ("paragraph", "item"):
            parts.append(piece)
            continue
        tail = piece[len(piece.rstrip()):]
        parts.append(" ".join(_tied(sentence, known, stated) for sentence in _joined(sentences(piece))) + tail)
    return "".join(parts)


def _tied(sentence: str, known: Sequence[set[str]], stated: set[float]) -> str:
    """A sentence with the marks that it deserves."""
    plain = _prose(sentence, lambda part: _MARK.sub("", part))
    own = {stem(word) for word in content_words(plain)}
    if not own:
        return sentence
    shares = [len(own & words) / len(own) for words in known]
    kept = [number for number in marks(sentence) if 1 <= number <= len(known) and shares[number - 1] >= _SUPPORTED]
    best = max(range(len(shares)), key=lambda place: shares[place], default=0)
    if not kept and shares and shares[best] >= _SUPPORTED:
        kept = [best + 1]
    doubt = _UNSTATED if any(number not in stated for number in _numbers(plain)) else ""
    return plain.rstrip() + doubt + (" " + "".join(f"[{number}]" for number in kept) if kept else "")


def _joined(split: Sequence[str]) -> list[str]:
    """Sentences, each with the marks that stand behind its full stop."""
    whole: list[str] = []
    for sentence in split:
        leading = re.match(r"(?:\[\d{1,2}(?:\s*,\s*\d{1,2})*\]\s*)+", sentence)
        if leading and whole:
            whole[-1] += " " + leading.group().strip()
            sentence = sentence[leading.end():]
        if sentence:
            whole.append(sentence)
    return whole


def _numbers(text: str) -> set[float]:
    """The numbers in a text that say something: not the single digits that count steps and networks."""
    found = {float(number.replace(",", "")) for number in _NUMBER.findall(text)}
    return {number for number in found if not (number.is_integer() and abs(number) < 10)}


def _prose(text: str, change: Callable[[str], str]) -> str:
    """The text with its prose changed; code and mathematics stay."""
    parts = _APART.split(text)
    parts[::2] = [change(part) for part in parts[::2]]
    return "".join(parts)
