"""What the corpus has names for, and how a question uses them: terms, comparisons, Chinese into English."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from copilot.chunk import Chunk
from copilot.corpus import Document
from copilot.lexicon import CALLED, SETTINGS
from copilot.words import CHINESE, CHINESE_STOPWORDS, STOPWORDS, content_words, has_chinese, meant, spelt_out, stems
from rlcore.catalog import ENVIRONMENTS

_COMPARES = re.compile(
    r"\b(?:vs|versus|differ\w*|compar\w*|distin\w*|better|worse|prefer\w*|choose|which|should|instead)\b|"
    r"区别|不同|差异|相比|比较|对比|还是|哪个|更好", re.IGNORECASE)
# What may stand between the two names of a comparison: `PPO and SAC`, `double DQN over the plain DQN`.
_BETWEEN = re.compile(
    r"\W*(?:\w+\W+){0,2}(?:and|or|vs|versus|over|than|to|from|with|of|和|与|跟|还是|比|、|,|/)(?:\W+\w+){0,2}?\W*",
    re.IGNORECASE)
_LISTED = re.compile(r"[\s,/、]*(?:and|or|vs\.?|versus|和|与|跟|还是|比)?[\s,/、]*", re.IGNORECASE)   # before a third
_ACRONYM = re.compile("[A-Z][A-Z0-9]")
_IDENTIFIER = re.compile(r"(?<![\w.])[A-Za-z]+(?:_[A-Za-z]+)+(?!\w)")
_WORD = re.compile(r"[\w+]+")
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

    question: str
    english: str                   # Chinese that nothing translates is still in it
    terms: tuple[Term, ...]
    told: bool                     # whether it tells what happens in everyday words that the corpus has a name for
    sides: tuple[Term, ...]        # the two to four that it compares; empty if it does not compare
    longer: tuple[str, ...]        # what else the corpus has a name for that has the name of one of the terms in it
    explained: frozenset[str]      # words of settings' names, beside which `english` has what pages call them


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
        self._by_padded = {_padded(form): term for form, term in self._by_form.items() if form.isascii()}
        self._variants: dict[Term, list[tuple[str, Term]]] = {}    # as they are asked for
        chinese = {form: term.name for form, term in self._by_form.items() if has_chinese(form)}
        self._translated = dict.fromkeys(CHINESE_STOPWORDS, "") | CHINESE | chinese
        known = "|".join(map(re.escape, sorted(self._translated, key=len, reverse=True)))
        self._segments = re.compile(rf"{known}|(?:(?<![A-Za-z0-9])-)?[A-Za-z0-9][A-Za-z0-9_.+-]*|.", re.IGNORECASE)

    def read(self, question: str) -> Asked:
        """What a question asks for."""
        mentions = self._mentions(question)
        english, terms = self.english(question), tuple(dict.fromkeys(term for term, _ in mentions))
        return Asked(question, english, terms, bool(meant(english)), _sides(question, mentions),
                     self._longer(terms, english), _explained(question))

    def _mentions(self, question: str) -> list[tuple[Term, re.Match[str]]]:
        """The terms that a question names. `her` is HER in capitals, or as the last word where none says anything."""
        last = len(question.rstrip(" ?.!")) if not content_words(question) else -1
        return [(self._by_form[match.group().lower()], match) for match in _found(self._by_form, question)
                if match.group().lower() not in STOPWORDS or match.group().isupper() or match.end() == last]

    def _longer(self, terms: Sequence[Term], english: str) -> tuple[str, ...]:
        """What other terms are called that have the name of one of these in it, unless the question says all of it."""
        said = stems(english)
        return tuple(form for term in terms if _ACRONYM.search(term.name) for form, other in self._held_by(term)
                     if other not in terms and not stems(form) <= said)

    def _held_by(self, term: Term) -> list[tuple[str, Term]]:
        if term not in self._variants:
            own = [_padded(form) for form in term.forms]
            self._variants[term] = [(form, other) for form, other in self._by_padded.items()
                                    if other != term and any(name in form and name != form for name in own)]
        return self._variants[term]

    def english(self, question: str) -> str:
        """The question with what the corpus calls that which it tells; a Chinese one in English, word for word."""
        english = question
        for term, match in reversed(self._mentions(question)):     # HER is no word to a search, but its long name is
            if match.group().lower() in STOPWORDS and (name := max(term.forms, key=len)) != match.group():
                english = f"{english[:match.end()]} ({name}){english[match.end():]}"
        if has_chinese(question):
            words = (match.group() for match in self._segments.finditer(english))
            english = " ".join(filter(str.strip, (self._translated.get(word.lower(), word) for word in words)))
        return "; ".join([_with_settings(spelt_out(english)), *meant(english)])


def _with_settings(text: str) -> str:
    """The text with what pages call the settings that it names as code does: `ent_coef`, `buffer_size`."""
    return _IDENTIFIER.sub(lambda name: f"{name.group()} ({called})" if (called := _called_setting(name))
                           else name.group(), text)


def _explained(text: str) -> frozenset[str]:
    return frozenset(word for name in _IDENTIFIER.finditer(text) if _called_setting(name)
                     for word in content_words(name.group()))


def _called_setting(name: re.Match[str]) -> str:
    return _settings().get(name.group().lower().replace("_", " "), "")


@cache
def _settings() -> dict[str, str]:
    """What pages call the settings, by each of their names."""
    return {alias: CALLED.get(name, name.replace("_", " ")) for name, aliases in reversed(SETTINGS.items())
            for alias in [name.replace("_", " "), *aliases.split(" | ")]}


def has_one(forms: Iterable[str], text: str) -> bool:
    """Whether a text has one of some forms that `Asked.longer` gives."""
    padded = _padded(text)
    return any(form in padded for form in forms)


def _padded(text: str) -> str:
    """The lower-case words, each between blanks."""
    return f" {' '.join(_WORD.findall(text.lower()))} "


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
