"""Quotations from a passage: what it says on a question, in its own words and order, with its citation.

A quotation never tears apart what only makes sense together: a lead-in and its list, an equation and its `where`.
Code, tables and equations are whole or absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from copilot.chunk import blocks, sentences
from copilot.cite import literal

# A sentence that starts so rests on the one before it.
_RESTS = re.compile(r"(?:It|Its|This|That|These|Those|They|Their|Such|But|However|Then|So|Therefore|Hence|Otherwise|"
                    r"Instead|Here|There|Both|Also|In exchange|For that|As a result)\b")
# Sentences that only point elsewhere, and what the glossary says a term is called.
_ASIDE = re.compile(r"See\b|\*{0,2}(?:Sources?|References?|Further reading|Chinese|Also)\b[^.]{0,20}:", re.IGNORECASE)
_FULL_STOP = re.compile(r"[.!?。！？]\W*$")


@dataclass(frozen=True)
class Piece:
    """One block of a passage."""

    kind: str                      # paragraph, item, fence, math or table
    text: str

    @property
    def size(self) -> int:
        """Words."""
        return len(self.text.split())


Group = tuple[Piece, ...]          # what must not be torn apart


def chosen(found: Sequence[Group], words: int, relevance: Mapping[str, float], first: float = 0.0) -> list[Group]:
    """What of a passage says most about a question, within a number of words, in the passage's order.

    relevance   of each statement in the passage
    first       what it counts to be the passage's beginning: pages answer first and explain later
    """
    value = [worth(group, relevance) + first * (place == 0) for place, group in enumerate(found)]
    kept: dict[int, Group] = {}
    for place in sorted(range(len(found)), key=lambda place: -value[place]):
        if fitted := clipped(found[place], words - sum(map(size, kept.values())), relevance):
            kept[place] = fitted
    return [kept[place] for place in sorted(kept)]


def groups(text: str) -> list[Group]:
    """The blocks of a passage, together where they belong together; without headings, sources and cross-references."""
    found: list[list[Piece]] = []
    for block in blocks(text):
        piece = _piece(block.kind, text[block.start:block.end])
        if piece.kind == "heading" or not piece.text:
            continue
        if found and _belongs(found[-1][-1], piece):
            found[-1].append(piece)
        else:
            found.append([piece])
    return [tuple(group) for group in found]


def opening(found: Sequence[Group]) -> bool:
    """Whether a passage begins with a paragraph, which is where it answers its heading."""
    return bool(found) and found[0][0].kind == "paragraph"


def _piece(kind: str, raw: str) -> Piece:
    text = raw.strip("\n").rstrip()
    if kind == "paragraph" and not text.startswith(" "):
        text = " ".join(said for said in sentences(text) if not _ASIDE.match(said))
    return Piece(kind, text)


def _belongs(last: Piece, piece: Piece) -> bool:
    """Whether a block needs the one before it."""
    if piece.kind == "paragraph":
        return piece.text[0].islower() or piece.text[0] == " "     # `where …`, or the rest of a list item
    if last.kind == "paragraph":
        return last.text.endswith(":") or piece.kind in ("math", "fence") or not _FULL_STOP.search(last.text)
    return piece.kind == last.kind == "item" or piece.text[0] == " "


def worth(group: Group, relevance: Mapping[str, float]) -> float:
    """The relevance of the best that a group says."""
    return max(relevance.get(said, 0.0) for piece in group
               for said in (sentences(piece.text) if piece.kind == "paragraph" else [piece.text.strip()]))


def size(group: Group) -> int:
    """Words."""
    return sum(piece.size for piece in group)


def clipped(group: Group, words: int, relevance: Mapping[str, float]) -> Group:
    """As much of a group as the words allow; nothing where the rest would not make sense."""
    kinds = {piece.kind for piece in group}
    if size(group) <= words:
        return group
    if kinds == {"paragraph"} and len(group) == 1:
        return _sentences(group[0].text, words, relevance)
    return _items(group, words, relevance) if kinds <= {"paragraph", "item"} else ()


def _sentences(text: str, words: int, relevance: Mapping[str, float]) -> Group:
    """The run of sentences around the best one; it does not start with one that rests on another."""
    said = sentences(text)
    best = max(range(len(said)), key=lambda place: relevance.get(said[place], 0.0))
    start = next(place for place in range(best, -1, -1) if place == 0 or not _RESTS.match(said[place]))
    end = next((end for end in range(len(said), best, -1) if len(" ".join(said[start:end]).split()) <= words), 0)
    return (Piece("paragraph", " ".join(said[start:end])),) if end else ()


def _items(group: Group, words: int, relevance: Mapping[str, float]) -> Group:
    """A list with its best items; numbers go where items are missing."""
    left = words - sum(piece.size for piece in group if piece.kind != "item")
    kept: set[int] = set()
    for place in sorted(range(len(group)), key=lambda place: -worth((group[place],), relevance)):
        if group[place].kind == "item" and group[place].size <= left:
            kept.add(place)
            left -= group[place].size
    if len(kept) < 2:
        return ()                  # one item is no list
    return tuple(Piece(piece.kind, re.sub(r"^(\s*)\d+[.)]", r"\1-", piece.text))
                 for place, piece in enumerate(group) if place in kept or piece.kind != "item")


def cited(group: Sequence[Piece], number: int) -> str:
    """A group as Markdown; its paragraphs and items carry the mark, other blocks follow a line that does."""
    lines = [] if group[0].kind in ("paragraph", "item") else [f"From the source [{number}]:\n"]
    for place, piece in enumerate(group):
        apart = place > 0 and not piece.kind == group[place - 1].kind == "item"
        text = _marked(piece.text, number) if piece.kind in ("paragraph", "item") else piece.text
        lines.append("\n" * apart + text)
    return "\n".join(lines)


def _marked(text: str, number: int) -> str:
    """One paragraph or item on one line, with its mark before a final colon or else at its end."""
    text = text[:len(text) - len(text.lstrip())] + literal(" ".join(text.split()))
    return f"{text[:-1]} [{number}]:" if text.endswith(":") else f"{text} [{number}]"
