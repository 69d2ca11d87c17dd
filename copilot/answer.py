"""Answers without a language model: the best passages in their own words, each with its citation.

Nothing is invented: every sentence stands in the passage whose number follows it. A mark at the end of a paragraph
or a list item covers all of it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from copilot.corpus import label, shown
from copilot.llms.base import History
from copilot.quote import quote
from copilot.retrieve import Found, Passage
from copilot.words import has_chinese, stems

_FIRST, _OTHER, _TOTAL = 100, 80, 250      # words: of the best passage, of each other one, of the whole answer
_RELEVANT = 0.5                    # another passage is quoted from this share of the best one's score
_SAID = 0.7                        # share of its words from which a quotation only repeats what was quoted
_READ_ON = 3                       # passages named but not quoted
_COMPARED = ("year", "on_off_policy", "action_spaces", "topics")       # front matter that comparisons show


class BuiltinAnswerer:
    """Composes the answer from the passages themselves."""

    def stream(self, found: Found, history: History = ()) -> Iterator[str]:
        """The whole answer at once; it takes milliseconds. `[n]` cites the n-th passage found."""
        del history                # the question that was searched for already stands on its own
        yield compose(found)

    def stop(self) -> None:
        """There is never anything to wait for."""


def compose(found: Found) -> str:
    """The whole answer in Markdown: the best passage first, then what others add, then where to read on."""
    quoted, parts = _quotations(found)
    if found.facts:
        parts.insert(1, _table(found))
        quoted |= set(found.facts)
    if has_chinese(found.question):
        parts.insert(0, "> 语料库是英文的。以下是与问题最相关的原文。")
    more = nearby(found, quoted)
    return "\n\n".join([*parts, *([f"**Read on:** {more}"] if more else [])])


def not_covered(found: Found) -> str:
    """What to say when the evidence is too weak, and what the corpus does have nearby."""
    near = nearby(found)
    if has_chinese(found.question):
        return "**我的语料库没有涵盖这个问题。**" + (f"\n\n最接近的内容：{near}" if near else "")
    return "**My corpus does not cover this.**" + (f"\n\nThe nearest that it does cover: {near}" if near else "")


def nearby(found: Found, quoted: Container[int] = ()) -> str:
    """The names of the best passages that are not quoted, each with its citation; no name twice."""
    seen = {name(passage) for place, passage in enumerate(found.passages) if place in quoted}
    named: list[str] = []
    for number, passage in enumerate(found.passages, start=1):
        if name(passage) not in seen:
            seen.add(name(passage))
            named.append(f"{name(passage)} [{number}]")
    return " · ".join(named[:_READ_ON])


def name(passage: Passage) -> str:
    """A passage as a reader would call it: its heading, with the page's subject unless the heading has it."""
    trail, names = passage.chunk.heading_path, passage.page.names
    if not trail:
        return passage.page.title
    return trail[-1] if not names or names[0].lower() in trail[-1].lower() else f"{names[0]}: {trail[-1]}"


def _quotations(found: Found) -> tuple[set[int], list[str]]:
    """Which passages are quoted, and the quotations in Markdown, all but the first under their name."""
    quoted: set[int] = set()
    parts: list[str] = []
    said: set[str] = set()
    left, heading = _TOTAL, name(found.passages[0])
    for place, passage in enumerate(found.passages):
        if left < _OTHER // 2 or passage.score < _RELEVANT * found.passages[0].score:
            break
        if place and passage.chunk.is_facts:
            continue               # a list of facts answers only who asks for it
        text = quote(passage.chunk.text, place + 1, min(left, _OTHER if place else _FIRST), found.relevance,
                     opening=place == 0, chinese=has_chinese(found.question))
        own = stems(text)
        if not text or len(own & said) > _SAID * len(own):
            continue
        if name(passage) != heading:
            heading = name(passage)
            parts.append(f"**{heading}**")
        parts.append(text)
        quoted.add(place)
        said |= own
        left -= len(text.split())
    return quoted, parts


def _table(found: Found) -> str:
    """The front matter of what is compared, one column each."""
    pages = [found.passages[place].page.meta for place in found.facts]
    head = ["", *(f"{side.name} [{place + 1}]" for side, place in zip(found.sides, found.facts, strict=True))]
    rows = [[label(key), *(shown(meta.get(key)) or "–" for meta in pages)]
            for key in _COMPARED if any(meta.get(key) for meta in pages)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
                     for row in [head, ["---"] * len(head), *rows])
