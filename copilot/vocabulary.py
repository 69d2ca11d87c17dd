"""What the corpus has names for, and how a question uses them: terms, comparisons, Chinese into English."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from copilot.chunk import Chunk
from copilot.corpus import Document
from copilot.words import CHINESE, CHINESE_STOPWORDS, STOPWORDS, has_chinese
from rlcore.catalog import ENVIRONMENTS

_COMPARES = re.compile(
    r"\b(?:vs|versus|differ\w*|compar\w*|distin\w*|better|worse|prefer\w*|choose|which|should|instead)\b|"
    r"区别|不同|差异|相比|比较|对比|还是|哪个|更好", re.IGNORECASE)
# What may stand between the two names of a comparison: `PPO and SAC`, `double DQN over the plain DQN`.
_BETWEEN = re.compile(
    r"\W*(?:\w+\W+){0,2}(?:and|or|vs|versus|over|than|to|from|with|of|和|与|跟|还是|比|、|,|/)(?:\W+\w+){0,2}?\W*",
    re.IGNORECASE)
_LISTED = re.compile(r"[\s,/、]*(?:and|or|vs\.?|versus|和|与|跟|还是|比)?[\s,/、]*", re.IGNORECASE)   # before a third
_SIDES = 4                         # as many columns can be read side by side
_CALLED = re.compile(r"\*(?:Chinese|Also):\*([^*·\n]+)")


@dataclass(frozen=True)
class Term:
    """Something the corpus has a name for."""

    name: str                      # in English, as a heading has it
    forms: tuple[str, ...]         # all that people write for it, English and Chinese


@dataclass(frozen=True)
class Asked:
    """A question as the search needs it."""

    english: str                   # Chinese that nothing translates is still in it
    terms: tuple[Term, ...]
    subjects: frozenset[str]       # what else it names that pages are about, such as `tensorboard`
    sides: tuple[Term, ...]        # the two to four that it compares; empty if it does not compare


class Vocabulary:
    """Knows the terms of one corpus: its papers, its glossary's entries and the catalogue's environments."""

    def __init__(self, documents: Collection[Document], chunks: Iterable[Chunk]):
        glossary = [Term(chunk.heading_path[-1], _forms([chunk.heading_path[-1], *_called(chunk.text)]))
                    for chunk in chunks if chunk.doc_path.endswith("glossary.md") and chunk.heading_path]
        papers = [Term(page.names[0], _forms(page.names)) for page in documents if page.names and page.meta.get("year")]
        places = [Term(place.title, _forms([place.title, place.id, place.id.rsplit("-", 1)[0]]))
                  for place in ENVIRONMENTS.values()]
        terms = [*papers, *glossary, *places]
        self._by_form = {form.lower(): term for term in reversed(terms) for form in term.forms}
        self._by_form |= {term.name.lower(): term for term in reversed(terms)}     # its own name before another's alias
        self._subjects = {subject.lower() for page in documents for subject in page.subjects}
        chinese = {form: term.name for form, term in self._by_form.items() if has_chinese(form)}
        self._translated = dict.fromkeys(CHINESE_STOPWORDS, "") | CHINESE | chinese
        known = "|".join(map(re.escape, sorted(self._translated, key=len, reverse=True)))
        self._segments = re.compile(rf"{known}|[A-Za-z0-9][A-Za-z0-9_.+-]*|.", re.IGNORECASE)

    def read(self, question: str) -> Asked:
        """What a question asks for."""
        mentions = [(self._by_form[match.group().lower()], match) for match in _found(self._by_form, question)
                    if match.group().lower() not in STOPWORDS or match.group().isupper()]
        english, terms = self.english(question), tuple(dict.fromkeys(term for term, _ in mentions))
        subjects = {match.group().lower() for match in _found(self._subjects, english)}
        subjects -= {form.lower() for term in terms for form in term.forms}
        return Asked(english, terms, frozenset(subjects), _sides(question, mentions))

    def english(self, question: str) -> str:
        """The question itself; a Chinese one in English, word for word."""
        if not has_chinese(question):
            return question
        words = (match.group() for match in self._segments.finditer(question))
        return " ".join(self._translated.get(word.lower(), word) for word in words)


def without(text: str, term: Term) -> str:
    """The text without the names of a term."""
    return _any_of(term.forms).sub(" ", text)


def _sides(question: str, mentions: Sequence[tuple[Term, re.Match[str]]]) -> tuple[Term, ...]:
    """The first two that are set against each other, and those listed with them."""
    sides: list[Term] = []
    for (one, before), (other, after) in pairwise(mentions):
        between = question[before.end():after.start()]
        if not sides and one != other and _BETWEEN.fullmatch(between) and _compares(question, before, between):
            sides = [one, other]
        elif sides and _LISTED.fullmatch(between):
            sides.append(other)
        elif sides:
            break
    return tuple(dict.fromkeys(sides))[:_SIDES]


def _compares(question: str, first: re.Match[str], between: str) -> bool:
    """Whether it says so, or begins with a choice: `MAPPO or QMIX for SMAC?`."""
    begins = not re.search(r"\w", question[:first.start()])
    return bool(_COMPARES.search(question)) or (begins and bool(re.search(r",|\bor\b", between)))


def _called(text: str) -> list[str]:
    """The other names that a glossary entry gives: `*Chinese:* 价值函数 · *Also:* critic, V`."""
    return [form for line in _CALLED.findall(text) for form in re.split(r"[,;/，、；]", line)]


def _forms(names: Iterable[str]) -> tuple[str, ...]:
    """The names; of `name (abbreviation)` both."""
    found: list[str] = []
    for name in names:
        both = re.fullmatch(r"(.+?)\s*[(（](.+?)[)）]\s*", name)
        found += both.groups() if both else [name]
    return tuple(dict.fromkeys(form.strip(" .*_`") for form in found if len(form.strip(" .*_`")) > 1))


def _found(forms: Iterable[str], text: str) -> list[re.Match[str]]:
    """Where a text has forms, the longest of those that overlap; a pattern for each is quicker than one of all."""
    lowered = text.lower()
    matches = [match for form in forms if form in lowered for match in _any_of((form,)).finditer(text)]
    found: list[re.Match[str]] = []
    for match in sorted(matches, key=lambda match: (match.start(), -match.end())):
        if not found or match.start() >= found[-1].end():
            found.append(match)
    return found


@lru_cache(maxsize=4096)
def _any_of(forms: tuple[str, ...]) -> re.Pattern[str]:
    """What matches any form, the longest first; ASCII ones as whole words or plurals, Chinese has no word edges."""
    parts = [
        (r"(?<![\w-])" if form[0].isascii() else "") + re.escape(form)
        + (r"(?=(?:s|'s)?(?![\w-]))" if form[-1].isascii() else "")
        for form in sorted(forms, key=len, reverse=True)
    ]
    return re.compile("|".join(parts) or "(?!)", re.IGNORECASE | re.ASCII)
