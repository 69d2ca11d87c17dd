"""Answers without a language model, in the words of the passages, each statement with its citation.

Nothing is invented: every sentence stands in the passage whose number follows it. A mark at the end of a paragraph
or a list item covers all of it. What is not quoted are a few fixed words that say how an answer is built.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from copilot.chunk import sentences
from copilot.corpus import label, shown
from copilot.llms.base import History
from copilot.quote import (
    Group,
    Piece,
    asks_whether,
    chosen,
    cited,
    clipped,
    foreign,
    groups,
    opening,
    replies,
    rows,
    same,
    share,
    size,
    unreplied,
    worth,
)
from copilot.retrieve import Found, Passage
from copilot.vocabulary import Term, without
from copilot.words import has_chinese, stems

_LEAD, _STEPS, _CODE, _OTHER, _SIDE = 80, 200, 120, 120, 50     # words of the lead, of its list, of code, of others
_LISTING = 300                     # words of code where that is what was asked for
_TOTAL = 360                       # words of all that is quoted
_SIGN = 0.1                        # what it counts for a heading to ask the same, and against it to name other things
_RELEVANT = 0.65                   # another passage is quoted from this share of the best one's score
_FIRST = 0.1                       # what it counts for a statement to begin its passage
_TELLS = 0.35                      # relevance from which a listing is about the question
_TELLING = 0.5                     # of a passage's best statement against its score, for the order of quotations
_SAID = 0.7                        # share of its words from which a quotation only repeats what was quoted
_SURE = 0.75                       # evidence below this: the corpus covers the question in part
_READ_ON = 2                       # passages named but not quoted
_UNKNOWN = 3                       # names that it admits not to know
_COMPARED = ("year", "on_off_policy", "action_spaces", "topics")       # front matter that comparisons show

_HOW_TO = re.compile(r"\bhow (?:do|can|to|could|should|would) |\bcommand\b|\bcode\b|\bscript\b|\bexample\b|"
                     r"怎么|怎样|如何|代码|命令", re.IGNORECASE)
_DEFINES = re.compile(
    r"^\W*(?:what(?:'s| is| are| does)|define|explain|describe|introduce|meaning of)\b(?:\W+[\w-]+){1,5}\W*$|"
    r"^\W*[\w-]+(?:\W+[\w-]+)?\W*$|什么是|是什么", re.IGNORECASE)
_CODING = re.compile(r"\b(?:code|python|torch|pytorch|numpy|implement\w*|write|snippet|script)\b|代码|脚本|实现|写",
                     re.IGNORECASE)

_DEFAULT = re.compile("default|默认", re.IGNORECASE)
_PUBLISHED = re.compile(r"- (?:Authors|Year|Venue)\b")

_WORDS = {                         # fixed words, in English and Chinese
    "english": ("", "> 语料库是英文的，以下引用原文。"),
    "part": ("> My sources cover this only in part. The nearest that they say:", "> 语料库只涵盖一部分，最接近的是："),
    "unknown": ("> My sources do not mention", "> 语料库没有提到"),
    "each": ("On each side", "双方要点"),
    "read on": ("Read on:", "延伸阅读："),
    "missing": ("My corpus does not cover this.", "我的语料库没有涵盖这个问题。"),
    "nearest": ("The nearest that it does cover:", "最接近的内容："),
}


class BuiltinAnswerer:
    """Composes the answer from the passages themselves."""

    def stream(self, found: Found, history: History = ()) -> Iterator[str]:
        """The whole answer at once; it takes milliseconds. `[n]` cites the n-th passage found."""
        del history                # the question that was searched for already stands on its own
        yield compose(found)

    def stop(self) -> None:
        """There is never anything to wait for."""


@dataclass
class _Draft:
    """An answer that grows: what it has said, from which passages, and the room that is left."""

    found: Found
    left: int = _TOTAL
    parts: list[str] = field(default_factory=list)
    quoted: set[int] = field(default_factory=set)
    said: set[str] = field(default_factory=set)

    @property
    def chinese(self) -> bool:
        return has_chinese(self.found.question)

    def words(self, key: str) -> str:
        """Fixed words in the reader's language."""
        return _WORDS[key][self.chinese]

    def readable(self, passage: Passage) -> list[Group]:
        """What a passage says in a language of the reader: the glossary says everything in Chinese as well."""
        return [group for group in groups(passage.chunk.text)
                if self.chinese or not all(has_chinese(piece.text) for piece in group)]

    def repeats(self, group: Group) -> bool:
        """Whether a quotation says nothing new."""
        own = stems(_text(group))
        return len(own & self.said) > _SAID * len(own)

    def take(self, place: int, group: Group) -> str:
        """Quote a group from a passage: its Markdown, entered as said."""
        self.quoted.add(place)
        self.said |= stems(_text(group))
        self.left -= size(group)
        return cited(group, place + 1)


def compose(found: Found) -> str:
    """The whole answer in Markdown: the answer itself first, then what else matters, then where to read on."""
    draft = _Draft(found)
    _begin(draft)
    if not _publication(draft):
        _explain(draft)
    if more := nearby(found, draft.quoted):
        draft.parts.append(f"**{draft.words('read on')}** {more}")
    return "\n\n".join(draft.parts)


def _explain(draft: _Draft) -> None:
    """The answer proper: what the question needs beside a paragraph depends on its kind."""
    found = draft.found
    told = _values(draft) or (bool(found.asked.get("formula")) and _formula(draft))
    lead = _lead(found)
    rest = [] if lead is None or lead in draft.quoted else _answer(draft, lead, named=told)
    if "formula" in found.asked:
        _formula(draft)
    if found.facts:
        draft.parts.append(table := _table(found))
        draft.left -= len(table.replace("|", " ").split())
        draft.quoted |= set(found.facts)
        _sides(draft)
    coding = bool(_CODING.search(found.question))
    if coding and lead is not None:
        _code(draft, lead, [lead], _LISTING)
    if lead is not None and not found.sides and not _DEFINES.search(found.question):
        _steps(draft, lead, rest)
    if coding:
        _code(draft, lead, range(len(found.passages)), _LISTING)
    elif lead is not None and _HOW_TO.search(found.question):
        page = found.passages[lead].page
        _code(draft, lead, [place for place, passage in enumerate(found.passages) if passage.page == page], _CODE)
    _others(draft)


def not_covered(found: Found) -> str:
    """What to say when the evidence is too weak, and what the corpus does have nearby."""
    near, chinese = nearby(found), has_chinese(found.question)
    missing, nearest = (_WORDS[key][chinese] for key in ("missing", "nearest"))
    return f"**{missing}**" + (f"\n\n{nearest} {near}" if near else "")


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


def _begin(draft: _Draft) -> None:
    """What the reader has to know before the answer; a Chinese one also gets what its terms mean."""
    found = draft.found
    if found.unknown:
        names = ", ".join(f"*{word}*" for word in found.unknown[:_UNKNOWN])
        draft.parts.append(f"{draft.words('unknown')} {names}{'。' if draft.chinese else '.'}")
    if found.evidence < _SURE and not any(found.asked.values()):
        draft.parts.append(draft.words("part"))
    if draft.chinese:
        draft.parts.append(draft.words("english"))
    for place in found.definitions:
        passage = found.passages[place]
        own = [group for group in groups(passage.chunk.text) if all(has_chinese(piece.text) for piece in group)]
        draft.parts += [f"**{passage.chunk.heading_path[-1]}**：{draft.take(place, group)}" for group in own[:1]]


def _lead(found: Found) -> int | None:
    """The passage that answers: the best that begins with a paragraph, and with no yes or no to another question.

    A follow-up is answered by what has not been said, if there is any; a comparison by one on both sides, and by None
    if it has none of those, but a table.
    """
    question = found.wording
    able = [place for place, passage in enumerate(found.passages) if not passage.chunk.is_facts
            and opening(own := groups(passage.chunk.text))
            and (_may_begin(passage, question) or not replies(_text(unreplied(own)[0])))]
    if found.sides:
        both = [place for place in able if all(_mentions(found.passages[place], side) for side in found.sides)]
        able = both if both or found.facts else able
    if found.before:
        able = [place for place in able if not _heard(found, place)] or able
    return max(able, key=lambda place: _value(found, place), default=None if found.sides else 0)


def _heard(found: Found, place: int) -> bool:
    """Whether the answer that a follow-up comes after has said how a passage begins."""
    begins = sentences(_text(groups(found.passages[place].chunk.text)[0]))[-1]
    return _bare(begins) in _bare(found.before)


def _bare(text: str) -> str:
    return re.sub(r"\[\d+\]|[*\s]", "", text)


def _value(found: Found, place: int) -> float:
    """How well a passage may answer: by its score, and by two signs of its heading."""
    passage, question = found.passages[place], found.wording
    strange = foreign(question, name(passage)) and not _has(question, passage.page.names)
    return passage.score + _SIGN * (_asks_same(passage, question) - strange)


def _asks_same(passage: Passage, question: str) -> bool:
    """Whether a passage's heading asks nearly what was asked."""
    return any(same(question, heading, " ".join(passage.page.names)) for heading in passage.chunk.heading_path[-1:])


def _may_begin(passage: Passage, question: str) -> bool:
    """Whether an answer may begin as the passage does: with yes or no only if the question asks that of the same."""
    return not any(replies(_text(group)) for group in groups(passage.chunk.text)[:1]) or (
        asks_whether(question) and _asks_same(passage, question))


def _mentions(passage: Passage, side: Term) -> bool:
    """Whether a passage has all words of a name: `dueling` may stand apart from `DQN`."""
    own = stems(f"{name(passage)} {passage.chunk.text}")
    return any(form in passage.chunk.text if has_chinese(form) else set() < stems(form) <= own for form in side.forms)


def _has(question: str, names: Sequence[str]) -> bool:
    """Whether a question has one of the names as words of its own."""
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", question, re.IGNORECASE) for one in names)


def _answer(draft: _Draft, lead: int, *, named: bool) -> list[Group]:
    """Quote the beginning of the passage that answers; the groups that are left of it.

    Its first sentence is in bold if its heading asks what was asked. If not, or if `named`, the heading goes first.
    """
    passage, question = draft.found.passages[lead], draft.found.wording
    every = draft.readable(passage)
    if not every:
        return []
    if not (begins := _may_begin(passage, question)):
        every = unreplied(every)
    first, rest = every[0], every[1:]
    told = draft.take(lead, clipped(first, _LEAD if len(first) == 1 else _STEPS, draft.found.relevance) or first)
    if named or not begins or not _asks_same(passage, question):
        draft.parts += [f"**{name(passage)}**", told]
    else:
        draft.parts.append(_bold(told))
    return rest


def _values(draft: _Draft) -> bool:
    """The settings that the question asks for, from the tables of their algorithms; whether there are any."""
    found = draft.found
    question = found.wording
    for place in found.asked.get("value", ()):
        passage = found.passages[place]
        plain = without(question, Term("", passage.page.names))
        for table in (piece.text for group in groups(passage.chunk.text) for piece in group if piece.kind == "table"):
            if kept := rows(table, plain, described=bool(_DEFAULT.search(question))):
                draft.parts += [f"**{name(passage)}**", draft.take(place, (Piece("table", kept),))]
    return bool(draft.quoted.intersection(found.asked.get("value", ())))


def _publication(draft: _Draft) -> bool:
    """Who published what is asked for, and when; whether there is anything on that."""
    found = draft.found
    for place in found.asked.get("publication", ()):
        passage = found.passages[place]
        for group in groups(passage.chunk.text):
            kept = tuple(piece for piece in group if piece.kind != "item" or _PUBLISHED.match(piece.text))
            draft.parts += [f"**{name(passage)}**", draft.take(place, kept)]
    return bool(found.asked.get("publication"))


def _formula(draft: _Draft) -> bool:
    """The displayed mathematics of the passage whose heading has most of the question; whether there is now any."""
    found = draft.found
    if any("$$" in part for part in draft.parts):
        return True
    shown = {place: [group for group in groups(passage.chunk.text) if any(piece.kind == "math" for piece in group)]
             for place, passage in enumerate(found.passages)}

    def value(place: int) -> tuple[float, float]:
        passage = found.passages[place]
        return share(found.wording, " ".join([*passage.page.names, name(passage)])), passage.score

    for place in sorted(shown, key=value, reverse=True):
        if told := chosen(shown[place], _CODE, found.relevance):
            draft.parts += [f"**{name(found.passages[place])}**", *(draft.take(place, group) for group in told)]
            return True
    return False


def _steps(draft: _Draft, lead: int, rest: Sequence[Group]) -> None:
    """What else the passage that answers says: all of it if its heading asks what was asked, as far as there is room;
    otherwise its list, and for who asks how, also what it says of rlcore."""
    question = draft.found.wording
    told = [group for group in rest if {piece.kind for piece in group} <= {"paragraph", "item"}]
    first = [group for group in told if any(piece.kind == "item" for piece in group)][:1]
    if _HOW_TO.search(draft.found.question):
        first += [group for group in told if group not in first and "rlcore" in _text(group)][:1]
    fitting: dict[int, Group] = {}
    left = min(_STEPS, draft.left)
    for group in (first if not _asks_same(draft.found.passages[lead], question) else
                  sorted(told, key=lambda group: group not in first)):
        if fitted := clipped(group, left, draft.found.relevance):
            fitting[told.index(group)] = fitted
            left -= size(fitted)
    draft.parts += [draft.take(lead, fitting[place]) for place in sorted(fitting)]


def _code(draft: _Draft, lead: int | None, places: Iterable[int], words: int) -> None:
    """The listing of some passages that has most to do with the question, with its lead-in.

    That of the passage that answers belongs to it; another's is short and about the question.
    """
    found = draft.found
    if any("```" in part for part in draft.parts):
        return
    listings = [(worth(group, found.relevance) + found.passages[place].score, place, group)
                for place in places for group in groups(found.passages[place].chunk.text)
                if any(piece.kind == "fence" for piece in group) and (
                    size(group) <= _LISTING if place == lead else
                    size(group) <= words and worth(group, found.relevance) >= _TELLS)]
    if listings:
        _, place, group = max(listings, key=lambda item: item[:2])
        draft.parts += [f"**{name(found.passages[place])}**"] * (place != lead)
        draft.parts.append(draft.take(place, group))


def _sides(draft: _Draft) -> None:
    """What decides for each side, from its own page."""
    told = [text for place in draft.found.decisive if (text := _best(draft, place, _SIDE))]
    if told:
        draft.parts.append(_headed(draft.words("each"), told))


def _others(draft: _Draft) -> None:
    """What other passages add, as far as there is room: under its name, what each says most on the question."""
    found = draft.found
    for place in _order(found):
        passage = found.passages[place]
        if draft.left < _OTHER // 2:
            break
        if place in draft.quoted or passage.chunk.is_facts or passage.score < _RELEVANT * found.passages[0].score:
            continue               # a list of facts answers only who asks for it
        own = [group for group in draft.readable(passage) if group[0].kind != "fence"]     # code needs its lead-in
        told = [group for group in chosen(own, min(draft.left, _OTHER), found.relevance, _FIRST)
                if not draft.repeats(group)]
        if told:
            draft.parts.append(f"**{name(passage)}**")
            draft.parts += [draft.take(place, group) for group in told]


def _order(found: Found) -> list[int]:
    """The passages by their scores and by the best that they say."""
    defines = bool(_DEFINES.search(found.question))

    def value(place: int) -> float:
        passage = found.passages[place]
        told = max((worth(group, found.relevance) for group in groups(passage.chunk.text)), default=0.0)
        begins = defines and passage.chunk.id.endswith("#0")       # a page begins by saying what its subject is
        return passage.score + _TELLING * told + _TELLING * begins

    return sorted(range(len(found.passages)), key=lambda place: -value(place))


def _best(draft: _Draft, place: int, words: int) -> str:
    """The statement of a passage that says most on the question and is not said yet, as a list item; or nothing."""
    passage = draft.found.passages[place]
    fitting = [(worth(group, draft.found.relevance), clipped(group, words, draft.found.relevance))
               for group in draft.readable(passage) if {piece.kind for piece in group} <= {"paragraph"}]
    fresh = [(value, group) for value, group in fitting if group and not draft.repeats(group)]
    if not fresh:
        return ""
    return f"- *{name(passage)}:* {draft.take(place, max(fresh, key=lambda item: item[0])[1])}"


def _headed(heading: str, items: Iterable[str]) -> str:
    return "\n".join([f"**{heading}**", "", *items])


def _bold(text: str) -> str:
    """The text with its first sentence in bold, if that can be."""
    first = sentences(text)[0]
    plain = re.sub(r"\s*\[\d+\]:?$", "", first)
    return text if "*" in plain or "\n" in plain or not plain[:1].isalnum() else f"**{plain}**{text[len(plain):]}"


def _text(group: Group) -> str:
    return " ".join(piece.text for piece in group)


def _table(found: Found) -> str:
    """The front matter of what is compared, one column each."""
    pages: list[Mapping[str, object]] = [found.passages[place].page.meta for place in found.facts]
    head = ["", *(f"{side.name} [{place + 1}]" for side, place in zip(found.sides, found.facts, strict=True))]
    rows = [[label(key), *(shown(meta.get(key)) or "–" for meta in pages)]
            for key in _COMPARED if any(meta.get(key) for meta in pages)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
                     for row in [head, ["---"] * len(head), *rows])
