"""Answers without a language model: the best passages, shortened, in their own words, each with its citation.

Nothing is invented: every sentence stands in the passage whose number follows it. A mark at the end of a
paragraph or list item covers all of that paragraph or item. Code, tables and equations are kept whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from copilot.chunk import blocks, sentences
from copilot.index import label, shown
from copilot.llms.base import History
from copilot.retrieve import Found, Passage, has_chinese, stems

_FIRST, _OTHER, _TOTAL = 150, 60, 250      # words: of the best passage, of each other one, of the whole answer
_RELEVANT = 0.5                    # an other passage is quoted from this share of the best one's score
_SAID = 0.7                        # share of its words from which a quotation only repeats what was quoted
_READ_ON = 3                       # passages named but not quoted
_BACKWARDS = re.compile(r"(?:It|Its|This|That|These|Those|They|Their|Such|But|However|Then|So|Therefore|Hence|Otherwise|Instead|"
                        r"Here|There|Both|Also|In exchange|For that|As a result)\b")
_CREDITS = re.compile(r"\*{0,2}(?:Sources?|References?|See also|Further reading)\*{0,2}\s*:", re.IGNORECASE)
_COMPARED = ("year", "on_off_policy", "action_spaces", "topics")


@dataclass(frozen=True)
class Piece:
    """One block of a passage."""

    kind: str                      # paragraph, item, fence, math or table
    text: str

    @property
    def size(self) -> int:
        """Words."""
        return len(self.text.split())


Group = tuple[Piece, ...]          # blocks that only make sense together: a lead-in with its list, an equation with its `where`


class BuiltinAnswerer:
    """Composes the answer from the passages themselves."""

    def stream(self, found: Found, history: History = ()) -> Iterator[str]:
        """The whole answer at once; it takes milliseconds. `[n]` cites the n-th passage found."""
        del history                # the question that was searched for already stands on its own
        yield compose(found)

    def stop(self) -> None:
        """There is never anything to wait for."""


def compose(found: Found) -> str:
    """The whole answer in Markdown."""
    note = ["> 语料库是英文的。以下是与问题最相关的原文。"] if has_chinese(found.question) else []
    shown_places, parts = _compare(found) if found.sides and found.facts else _explain(found)
    rest = [place for place in range(len(found.passages)) if place not in shown_places][:_READ_ON]
    more = ["**Read on:** " + " · ".join(f"{name(found.passages[place])} [{place + 1}]" for place in rest)] if rest else []
    return "\n\n".join([*note, *parts, *more])


def not_covered(found: Found) -> str:
    """What to say when the evidence is too weak, and what the corpus does have nearby."""
    near = " · ".join(f"{name(passage)} [{place + 1}]" for place, passage in enumerate(found.passages[:_READ_ON]))
    if has_chinese(found.question):
        return "**我的语料库没有涵盖这个问题。**" + (f"\n\n最接近的内容：{near}" if near else "")
    return "**My corpus does not cover this.**" + (f"\n\nThe nearest that it does cover: {near}" if near else "")


def name(passage: Passage) -> str:
    """A passage as a reader would call it."""
    trail, page = passage.chunk.heading_path, passage.page
    subject = page.names[0] if page.names else ""
    if not trail:
        return page.title
    return trail[-1] if subject.lower() in trail[-1].lower() else f"{subject}: {trail[-1]}"


def _explain(found: Found) -> tuple[set[int], list[str]]:
    """The best passage first, then what others add; which passages were quoted."""
    parts: list[str] = []
    places: set[int] = set()
    left = _TOTAL
    said: set[str] = set()
    title = name(found.passages[0])
    for place, passage in enumerate(found.passages):
        if left < _OTHER // 2 or passage.score < _RELEVANT * found.passages[0].score:
            break
        if place and passage.is_facts:
            continue               # a table of facts answers only what asks for it
        text = quote(passage, place + 1, min(left, _OTHER if place else _FIRST), found.relevance, opening=not place)
        own = stems(text)
        if not text or len(own & said) > _SAID * len(own):
            continue
        if name(passage) != title:
            parts.append(f"**{(title := name(passage))}**")
        parts.append(text)
        places.add(place)
        said |= own
        left -= len(text.split())
    return places, parts


def _compare(found: Found) -> tuple[set[int], list[str]]:
    """The passage on both sides if there is one, the facts side by side, then each side's own best passage."""
    places, parts = _explain(found)
    table = _table(found)
    return places | {found.passages.index(fact) for fact in found.facts}, [*parts[:1], table, *parts[1:]]


def _table(found: Found) -> str:
    """The sides' front matter, one column each, cited."""
    columns = [(side.name, found.passages.index(fact) + 1, fact.page.meta) for side, fact in zip(found.sides, found.facts, strict=True)]
    rows = [[label(key), *(shown(meta.get(key)) or "–" for _, _, meta in columns)] for key in _COMPARED
            if any(meta.get(key) for _, _, meta in columns)]
    head = ["", *(f"{title} [{number}]" for title, number, _ in columns)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [head, ["---"] * len(head), *rows])


def quote(passage: Passage, number: int, words: int, relevance: Mapping[str, float], opening: bool) -> str:
    """The part of a passage that says most about the question, in the passage's order.

    With `opening` its first group comes along: pages answer first and explain later.
    """
    found = groups(passage.chunk.text)
    order = sorted(range(len(found)), key=lambda place: (not (opening and place == 0), -_worth(found[place], relevance), place))
    chosen: dict[int, Group] = {}
    left = words
    for place in order:
        fitted = _fit(found[place], left, relevance)
        if fitted:
            chosen[place] = fitted
            left -= sum(piece.size for piece in fitted)
    return "\n\n".join(_cited(chosen[place], number) for place in sorted(chosen))


def groups(text: str) -> list[Group]:
    """The blocks of a passage in groups that must not be torn apart; without headings and lists of sources."""
    found: list[list[Piece]] = []
    for block in blocks(text):
        piece = Piece(block.kind, text[block.start:block.end].strip("\n").rstrip())
        if piece.kind == "heading" or not piece.text or _CREDITS.match(piece.text):
            continue
        last = found[-1][-1] if found else None
        if last and (_leads_in(last, piece) or (piece.kind == last.kind == "item") or
                     (piece.kind == "paragraph" and piece.text[0].islower())):
            found[-1].append(piece)
        else:
            found.append([piece])
    return [tuple(group) for group in found]


def _leads_in(last: Piece, piece: Piece) -> bool:
    """Whether a paragraph announces the block behind it."""
    return last.kind == "paragraph" and piece.kind != "paragraph" and (
        last.text.endswith(":") or piece.kind in ("math", "fence") or not re.search(r"[.!?:。！？]\W*$", last.text))


def _worth(group: Group, relevance: Mapping[str, float]) -> float:
    """The relevance of the best that a group says."""
    said = [one for piece in group for one in (sentences(piece.text) if piece.kind == "paragraph" else [piece.text.strip()])]
    return max((relevance.get(one, 0.0) for one in said), default=0.0)


def _fit(group: Group, words: int, relevance: Mapping[str, float]) -> Group:
    """As much of a group as the words allow; empty if what is left would not make sense."""
    if sum(piece.size for piece in group) <= words:
        return group
    if len(group) == 1 and group[0].kind == "paragraph":
        return _shortened(group[0].text, words, relevance)
    if not any(piece.kind == "item" for piece in group) or {piece.kind for piece in group} - {"paragraph", "item"}:
        return ()
    left = words - sum(piece.size for piece in group if piece.kind != "item")
    kept: set[int] = set()
    items = [place for place, piece in enumerate(group) if piece.kind == "item"]
    for place in sorted(items, key=lambda place: (-_worth((group[place],), relevance), place)):
        if group[place].size <= left:
            kept.add(place)
            left -= group[place].size
    return tuple(_unnumbered(piece) for place, piece in enumerate(group) if place in kept or piece.kind != "item") if kept else ()


def _unnumbered(piece: Piece) -> Piece:
    """An item of a list with gaps: its number would mislead."""
    return Piece(piece.kind, re.sub(r"^(\s*)\d+[.)]", r"\1-", piece.text))


def _shortened(text: str, words: int, relevance: Mapping[str, float]) -> Group:
    """The run of sentences with the best one in it, within the words; it never starts with `It` or `However`."""
    said = sentences(text)
    best = max(range(len(said)), key=lambda place: (relevance.get(said[place], 0.0), -place))
    start = best
    while start > 0 and _BACKWARDS.match(said[start]):
        start -= 1
    end = best + 1
    def size() -> int:
        return len(" ".join(said[start:end]).split())
    if size() > words:
        return ()
    while end < len(said) and len(" ".join(said[start:end + 1]).split()) <= words:
        end += 1
    return (Piece("paragraph", " ".join(said[start:end])),)


def _cited(group: Group, number: int) -> str:
    """A group as Markdown, every paragraph and item with its mark; blocks that cannot carry one follow a line that does."""
    lines: list[str] = []
    if group[0].kind in ("fence", "math", "table"):
        lines.append(f"As the source has it [{number}]:")
    for place, piece in enumerate(group):
        gap = "" if place == 0 or (piece.kind == "item" and group[place - 1].kind == "item") else "\n"
        lines.append(gap + (_marked(piece.text, number) if piece.kind in ("paragraph", "item") else piece.text))
    return "\n".join(lines)


def _marked(text: str, number: int) -> str:
    text = re.sub(r"\s*\n\s*", " ", text) if "\n" in text and "```" not in text else text
    body, colon = (text[:-1], ":") if text.endswith(":") else (text, "")
    return f"{body} [{number}]{colon}"
