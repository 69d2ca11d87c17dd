"""Pages into chunks that can be found, read and cited on their own.

A chunk never breaks a code fence, a table, a displayed equation or a list item, and never crosses a heading or the
end of a PDF's page. Only what is far too long for a chunk is cut. The chunks of a page cover it without a gap: what is
in the corpus can be found.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from copilot.corpus import Document, label, shown

TARGET = 220                       # tokens; MiniLM reads 256, and the titles before a chunk need some of them
_SLACK = 1.5                       # a section this much over the target is not worth breaking
_HOLDS = 4                         # targets from which nothing more is held together
_LONGEST = 6000                    # characters that a fence, table, equation, item or entry may have
_SENTENCED = 50_000                # characters of a paragraph that is still worth reading sentence by sentence
_CUT = 1000                        # characters of a piece of what is too long

_BLANK = re.compile(r"\n[ \t]*\n\s*")
_TOKEN = re.compile(r"[A-Za-z]+|\d+|[^\sA-Za-z\d]")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ #]*$", re.MULTILINE)
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+\S")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_MATH_ENDS = {"$$": "$$", "\\[": "\\]"}
# A sentence ends at . ! ? before a space, or at Chinese marks; never inside code, mathematics or a link.
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*_]{0,2}\s+(?=[\"'(*_`$\[]{0,2}[A-Z0-9`$\\\u4e00-\u9fff])|(?<=[。！？；])")
_WHOLE = re.compile(               # what looks like a sentence's end in here is none
    r"`[^`]+`|\$\$.+?\$\$|\$[^$\n]+\$|\\\(.+?\\\)|\[[^\]]*\]\([^)]*\)|"
    r"\b(?:Eq|Fig|Sec|(?i:e\.g|i\.e|et al|cf|vs|approx|resp))\.|"
    r"\b(?i:eqs?|figs?|secs?|ch|nos?|pp|vol)\.(?=\s*[(\[$]?\d)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One Markdown block; `end` includes the blank lines behind it, so that blocks leave no gap."""

    kind: str                      # heading, fence, math, table, item or paragraph
    start: int
    end: int


@dataclass(frozen=True)
class Chunk:
    """A passage of one page: `text` is `document.text[start:end]` without the blank edges."""

    id: str                        # page and position: papers/ppo.md#3
    doc_path: str
    heading_path: tuple[str, ...]  # outermost first; without a first heading that repeats the title
    text: str
    start: int                     # characters
    end: int
    where: str = ""                # in its file: `page 3`, `cells 4–6`; empty where the headings say it

    @property
    def is_facts(self) -> bool:
        """Whether it is a page's front matter in words."""
        return self.id.endswith("#facts")


Span = tuple[tuple[str, ...], int, int]    # heading path, start and end of a chunk


def tokens(text: str) -> int:
    """About how many tokens an embedder makes of the text: words, numbers and signs, slightly rounded up."""
    return ceil(1.1 * len(_TOKEN.findall(text)))


def split(document: Document) -> list[Chunk]:
    """The chunks of a page, in order and without a gap."""
    text = document.text
    spans = [
        (path, part[0].start, part[-1].end)
        for path, body in _sections(document)
        for part in ([body] if _is_entry(document, path, body) else _parts(text, body))
    ] or [((), 0, len(text))]
    spans = _without_blank(text, spans)
    assert spans[0][1] == 0 and spans[-1][2] == len(text), f"{document.path}: the chunks do not reach its ends"
    assert all(one[2] == two[1] for one, two in pairwise(spans)), f"{document.path}: the chunks leave a gap"
    return [
        Chunk(f"{document.path}#{place}", document.path, path, text[start:end].strip(), start, end,
              _where(document, start, end))
        for place, (path, start, end) in enumerate(spans)
    ]


def _without_blank(text: str, spans: Sequence[Span]) -> list[Span]:
    """The spans, those of blank text joined to the one before, or at the beginning to the one behind."""
    found: list[Span] = []
    for path, start, end in spans:
        if found and not text[found[-1][1]:found[-1][2]].strip():
            found[-1] = (path, found[-1][1], end)
        elif found and not text[start:end].strip():
            found[-1] = (*found[-1][:2], end)
        else:
            found.append((path, start, end))
    return found


def facts(document: Document) -> list[Chunk]:
    """A paper's front matter as a chunk of its own, so that it can be found and cited; none for other pages."""
    if not document.meta.get("year"):
        return []
    told = {key: value for key, value in document.meta.items() if key not in ("title", "aliases")}
    rows = [f"- {label(key)}: {shown(value)}" for key, value in told.items()]
    heading = f"{(*document.names, document.title)[0]}: key facts"
    text = "\n".join([f"**{document.title}**", "", *rows])
    return [Chunk(f"{document.path}#facts", document.path, (heading,), text, 0, 0)]


def _entry_level(document: Document) -> int:
    """The heading level of what is looked up as one: a question of the FAQ, a term of the glossary. 0: neither."""
    return 2 if document.path.startswith("faq/") else 3 if document.path.endswith("glossary.md") else 0


def _is_entry(document: Document, path: tuple[str, ...], body: Sequence[Block]) -> bool:
    return bool(path) and _entry_level(document) > 0 and body[-1].end - body[0].start <= _LONGEST


def _where(document: Document, start: int, end: int) -> str:
    """The places that a stretch of text comes from, blank edges aside."""
    text = document.text
    start += len(text[start:end]) - len(text[start:end].lstrip())
    first = bisect_right(document.places, start, key=lambda place: place.start) - 1
    last = bisect_left(document.places, max(end, start + 1), key=lambda place: place.start) - 1
    if first < 0:
        return ""
    one, other = document.places[first], document.places[last]
    both = f"{one.unit}s {one.number}–{other.number}"
    return both if one.unit == other.unit != "line" and one.number < other.number else f"{one.unit} {one.number}"


def _pages(document: Document) -> list[tuple[tuple[str, ...], list[Block]]]:
    """The pages of a text without Markdown, each in paragraphs."""
    starts = [place.start for place in document.places] or [0]
    trails = [place.trail for place in document.places] or [()]
    return [(trail, _paragraphs(document.text, start, end))
            for trail, (start, end) in zip(trails, pairwise([*starts, len(document.text)]), strict=True) if start < end]


def _paragraphs(text: str, start: int, end: int) -> list[Block]:
    """Paragraphs, each with the blank lines behind it."""
    edges = [start, *(match.end() for match in _BLANK.finditer(text, start, end) if match.end() < end), end]
    return [Block("paragraph", one, two) for one, two in pairwise(edges)]


def _sections(document: Document) -> list[tuple[tuple[str, ...], list[Block]]]:
    """Heading path and blocks of every section; a heading without a body joins the section behind it."""
    if document.is_plain:
        return _pages(document)
    deepest = _entry_level(document) or 6
    trail: list[tuple[int, str]] = []
    found: list[tuple[tuple[str, ...], list[Block]]] = []
    for block in blocks(document.text):
        heading = _HEADING.search(document.text, block.start, block.end) if block.kind == "heading" else None
        if heading and len(heading.group(1)) <= deepest:
            level, title = len(heading.group(1)), heading.group(2)
            trail = [item for item in trail if item[0] < level] + [(level, title)]
            path = tuple(title for _, title in trail if title != document.title)
            bodiless = found and all(other.kind == "heading" for other in found[-1][1])
            found.append((path, (found.pop()[1] if bodiless else []) + [block]))
        elif found:
            found[-1][1].append(block)
        else:
            found.append(((), [block]))
    return found


def _parts(text: str, body: Sequence[Block]) -> list[list[Block]]:
    """A section's blocks in groups of about the target, as even as the blocks allow."""
    atoms = [atom for block in body for atom in _atoms(text, block)]
    sizes = [tokens(text[atom.start:atom.end]) for atom in atoms]
    total = sum(sizes)
    goal = total / ceil(total / TARGET) if total > TARGET * _SLACK else total
    parts: list[list[Block]] = []
    size = 0
    for atom, own in zip(atoms, sizes, strict=True):
        held = parts and size <= _HOLDS * TARGET and (
            _holds_next(text, parts[-1][-1])
            or (atom.kind == "paragraph" and text[atom.start].islower()))  # `where $d_t$ is …`
        if parts and (held or (size + own / 2 <= goal and size + own <= TARGET * _SLACK)):
            parts[-1].append(atom)
            size += own
        else:
            parts.append([atom])
            size = own
    return parts


def _holds_next(text: str, block: Block) -> bool:
    """Whether a reader needs the next block to make sense of this one: a heading, or `… as follows:`."""
    leads_in = block.kind == "paragraph" and text[block.start:block.end].rstrip().endswith(":")
    return leads_in or block.kind == "heading"


def _atoms(text: str, block: Block) -> list[Block]:
    """The block itself, a paragraph too long for one chunk as its sentences, what is far too long in pieces."""
    length = block.end - block.start
    if length > (_SENTENCED if block.kind == "paragraph" else _LONGEST):
        return _cut(text, block)
    if block.kind != "paragraph" or tokens(text[block.start:block.end]) <= TARGET * _SLACK:
        return [block]
    said = [Block("paragraph", block.start + start, block.start + end)
            for start, end in sentence_spans(text[block.start:block.end])]
    return [piece for one in said
            for piece in (_cut(text, one) if tokens(text[one.start:one.end]) > TARGET * _SLACK else [one])]


def _cut(text: str, block: Block) -> list[Block]:
    """Pieces that end with a line if they can, or else with a word, or else anywhere."""
    found: list[Block] = []
    start = block.start
    while start < block.end:
        end = min(start + _CUT, block.end)
        if end < block.end:
            edge = text.rfind("\n", start + _CUT // 2, end)
            edge = edge if edge > 0 else text.rfind(" ", start + _CUT // 2, end)
            end = edge + 1 if edge > 0 else end
        found.append(Block("piece", start, end))
        start = end
    return found


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a paragraph start and end, without a gap."""
    masked = _WHOLE.sub(lambda match: "x" * len(match.group()), text)
    ends = [match.end() for match in _SENTENCE_END.finditer(masked)]
    edges = [0, *(end for end in ends if 0 < end < len(text)), len(text)]
    return list(pairwise(edges))


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, without blank edges."""
    return [text[start:end].strip() for start, end in sentence_spans(text) if text[start:end].strip()]


def statements(text: str) -> list[str]:
    """What a passage says, one thing at a time: sentences of paragraphs; items, tables, code, equations whole."""
    found: list[str] = []
    for block in blocks(text):
        piece = text[block.start:block.end].strip()
        found += sentences(piece) if block.kind == "paragraph" else [] if block.kind == "heading" else [piece]
    return found


def blocks(text: str) -> list[Block]:
    """The Markdown blocks of a text, without a gap. A fence or equation that never closes is plain text."""
    lines = text.splitlines(keepends=True)
    found: list[Block] = []
    line, offset = 0, 0
    while line < len(lines):
        blank = next((place for place, row in enumerate(lines) if row.strip()), 0) if line == 0 else 0
        kind, count = _next_block(lines, blank + line)
        count += blank             # blank lines before the first block belong to it
        while line + count < len(lines) and not lines[line + count].strip():
            count += 1             # the blank lines behind a block are its own
        end = offset + sum(map(len, lines[line:line + count]))
        found.append(Block(kind, offset, end))
        line, offset = line + count, end
    return found


def _next_block(lines: Sequence[str], line: int) -> tuple[str, int]:
    """Kind and number of lines of the block that starts here, without the blank lines behind it."""
    for kind, length in (("fence", _fence_length), ("math", _math_length), ("table", _table_length)):
        if count := length(lines, line):
            return kind, count
    if _HEADING.match(lines[line]):
        return "heading", 1
    kind = "item" if _ITEM.match(lines[line]) else "paragraph"
    count = 1
    while line + count < len(lines) and lines[line + count].strip() and not _opens(lines, line + count):
        count += 1
    return kind, count


def _opens(lines: Sequence[str], line: int) -> bool:
    """Whether a block starts here even without a blank line before it."""
    return bool(_HEADING.match(lines[line]) or _ITEM.match(lines[line]) or _fence_length(lines, line)
                or _math_length(lines, line) or _table_length(lines, line))


def _fence_length(lines: Sequence[str], line: int) -> int:
    """Lines from this opening fence to its closing one; 0 if there is no such pair."""
    fence = _FENCE.match(lines[line])
    if not fence:
        return 0
    mark = fence.group(1)
    for place in range(line + 1, len(lines)):
        closing = lines[place].strip()
        if len(closing) >= len(mark) and closing == mark[0] * len(closing):
            return place - line + 1
    return 0


def _math_length(lines: Sequence[str], line: int) -> int:
    """Lines of the displayed equation that starts here; 0 if none does or it never ends."""
    start = lines[line].strip()
    mark = start[:2]
    if mark not in _MATH_ENDS:
        return 0
    closing = _MATH_ENDS[mark]
    if closing in start[2:]:
        return 1 if start.rstrip(".,;").endswith(closing) else 0
    for place in range(line + 1, len(lines)):
        if closing in lines[place]:
            return place - line + 1
        if _HEADING.match(lines[place]):
            return 0
    return 0


def _table_length(lines: Sequence[str], line: int) -> int:
    """Lines of the table that starts here; 0 if there is none."""
    if line + 1 >= len(lines) or "|" not in lines[line] or "|" not in lines[line + 1]:
        return 0
    if not _TABLE_RULE.match(lines[line + 1]):
        return 0
    count = 2
    while line + count < len(lines) and "|" in lines[line + count]:
        count += 1
    return count
