"""Finds the passages for a question: words and meaning, fused; and decides whether the corpus covers it at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, zip_longest
from math import exp, log

from copilot.chunk import Chunk, statements
from copilot.corpus import Document
from copilot.embed import Embedder
from copilot.index import Closeness, Index, quoted
from copilot.words import CHINESE, CHINESE_STOPWORDS, STOPWORDS
from rlcore.catalog import ENVIRONMENTS

_WORDS_POOL, _MEANING_POOL = 60, 250       # candidates from each search: chunks, and their parts
_DENSE = 0.6                       # weight of meaning against words in the fused score
_STATEMENT, _HEADING = 0.4, 0.2    # in the meaning: weights of the nearest statement and of the heading, the rest is the passage's
_LEXICAL = 0.4                     # weight of the question's words in the relevance of a statement
_SAME = 0.8                        # share of common words from which two passages say the same
_COVERED = 0.5                     # evidence below this: the corpus does not cover the question

_WORD = re.compile(r"[a-z0-9][a-z0-9_.+'-]*[a-z0-9+]|[a-z0-9]")
_CJK = re.compile(r"[\u3400-\u9fff]")
_SOURCES = re.compile(r"sources|references|further reading|bibliography", re.IGNORECASE)
_COMPARES = re.compile(r"\b(?:vs|versus|differ\w*|compar\w*|distin\w*|better|worse|prefer\w*|choose|which|should|instead)\b|"
                       r"区别|不同|差异|相比|比较|对比|还是|哪个|更好", re.IGNORECASE)
# What may stand between the two names of a comparison: `PPO and SAC`, `double DQN over the plain DQN`.
_BETWEEN = re.compile(r"\W*(?:\w+\W+){0,2}(?:and|or|vs|versus|over|than|to|from|with|of|和|与|跟|还是|比|、|,|/)(?:\W+\w+){0,2}?\W*", re.IGNORECASE)
_ALSO = re.compile(r"\*(?:Chinese|Also):\*([^*·\n]+)")


@dataclass(frozen=True)
class Term:
    """Something the corpus has a name for."""

    name: str                      # in English, as a heading has it
    forms: tuple[str, ...]         # all that people write for it, English and Chinese


@dataclass(frozen=True)
class Passage:
    """A chunk that was found."""

    chunk: Chunk
    page: Document
    score: float                   # in [0, 1], relative to the other candidates

    @property
    def is_facts(self) -> bool:
        """Whether it is a page's front matter."""
        return self.chunk.id.endswith("#facts")

    @property
    def text(self) -> str:
        """The passage below its titles."""
        return f"{' > '.join((self.page.title, *self.chunk.heading_path))}\n\n{self.chunk.text}"


@dataclass(frozen=True)
class Found:
    """What the corpus has on a question."""

    question: str
    passages: tuple[Passage, ...]  # best first
    relevance: Mapping[str, float]     # of each statement in the passages to the question
    evidence: float                # in [0, 1]: how surely the passages are about the question
    sides: tuple[Term, ...] = ()   # what a comparison compares; empty for other questions
    facts: tuple[Passage, ...] = ()    # the sides' key facts, if the corpus has them for each; also among the passages

    @property
    def covered(self) -> bool:
        """Whether there is enough to answer from."""
        return bool(self.passages) and self.evidence >= _COVERED


class Retriever:
    """Searches one index."""

    def __init__(self, index: Index, embedder: Embedder):
        self._index, self._embedder = index, embedder
        self._terms = vocabulary(index)
        self._forms = {form.lower(): term for term in reversed(self._terms) for form in term.forms}
        self._forms |= {term.name.lower(): term for term in reversed(self._terms)}     # its own name before another's alias
        self._pattern = _any_of(self._forms)
        self._chinese = dict.fromkeys(CHINESE_STOPWORDS, "") | CHINESE | {
            form: term.name for form, term in self._forms.items() if has_chinese(form)}
        self._segments = re.compile("|".join(map(re.escape, sorted(self._chinese, key=len, reverse=True)))
                                    + r"|[A-Za-z0-9][A-Za-z0-9_.+-]*|.", re.IGNORECASE)
        self._lists = {place for place, chunk in enumerate(index.chunks)
                       if chunk.heading_path and _SOURCES.match(chunk.heading_path[-1])}

    @property
    def size(self) -> int:
        """How many passages it searches."""
        return len(self._index.chunks)

    def find(self, question: str, limit: int = 8) -> Found:
        """The passages for a question, best first, at most `limit`."""
        mentions = self.mentions(question)
        terms = list(dict.fromkeys(term for term, _, _ in mentions))
        english = self._english(question)
        weights = self._weights(english)
        ranking, close = self._rank(english, terms)
        evidence = self._evidence(weights, terms, close, list(ranking)[:5])
        sides = self._sides(question, mentions)
        rankings, closest = [ranking], dict(close)
        for side in sides:
            other = next(term for term in sides if term != side)
            scores, near = self._rank(_without(english, other), [side])
            rankings.append(scores)
            closest = near | closest
        best: dict[int, float] = {}
        for scores in rankings:
            best |= {place: max(score, best.get(place, 0.0)) for place, score in scores.items()}
        places = list(islice(_distinct(_round_robin(rankings), self._index.chunks), limit))
        passages = [self._passage(place, best[place]) for place in places]
        facts = [fact for fact in map(self._facts, sides) if fact]
        if len(facts) < len(sides):
            facts = []
        relevance = {said: value for place in places
                     for said, value in _relevance(self._index.chunks[place], closest[place], weights).items()}
        passages += [fact for fact in facts if fact not in passages]
        return Found(question, tuple(passages), relevance, evidence, sides, tuple(facts))

    def _facts(self, term: Term) -> Passage | None:
        """The key facts of what a term names."""
        for place, chunk in enumerate(self._index.chunks):
            if chunk.id.endswith("#facts") and term.name in self._index.documents[chunk.doc_path].names:
                return self._passage(place, 0.0)
        return None

    def _weights(self, english: str) -> dict[str, float]:
        """The content words of a question by how few chunks have them; a word that none has weighs most."""
        size = len(self._index.chunks)
        return {word: log((size + 1) / (len(self._index.containing(word)) + 0.5)) for word in content_words(english)}

    def mentions(self, question: str) -> list[tuple[Term, int, int]]:
        """The known terms in a text with their start and end, in order; where they overlap the longest."""
        return [(self._forms[match.group().lower()], *match.span()) for match in self._pattern.finditer(question)
                if match.group().lower() not in STOPWORDS or match.group().isupper()]

    def _sides(self, question: str, mentions: Sequence[tuple[Term, int, int]]) -> tuple[Term, ...]:
        """The two terms that a question compares; empty if it does not compare."""
        if _COMPARES.search(question):
            for (one, _, end), (other, start, _) in pairwise(mentions):
                if one != other and _BETWEEN.fullmatch(question[end:start]):
                    return one, other
        return ()

    def _english(self, question: str) -> str:
        """The question itself; a Chinese one word for word, by the glossary and the table of common words.

        Chinese that neither knows is kept: it counts as something that the corpus may not cover.
        """
        if not has_chinese(question):
            return question
        return " ".join(self._chinese.get(match.group().lower(), match.group()) for match in self._segments.finditer(question))

    def _rank(self, english: str, terms: Sequence[Term]) -> tuple[dict[int, float], dict[int, Closeness]]:
        """Fused score of every candidate, best first; and how near each is in meaning."""
        asked = dict.fromkeys([*content_words(english), *(name for term in terms for name in content_words(term.name))])
        match = self._index.match(" OR ".join(map(quoted, asked)), _WORDS_POOL) if asked else {}
        vector = self._embedder.encode_query(_CJK.sub(" ", english))
        every = match.keys() | set(self._index.near(vector, _MEANING_POOL))
        candidates = every - self._lists or every
        close = self._index.closeness(vector, candidates)
        dense = _normalised({place: _meaning(close[place]) for place in candidates})
        sparse = _normalised({place: match.get(place, 0.0) for place in candidates})
        fused = {place: _DENSE * dense[place] + (1 - _DENSE) * sparse[place] for place in candidates}
        return dict(sorted(fused.items(), key=lambda item: (-item[1], item[0]))), close

    def _evidence(self, weights: Mapping[str, float], terms: Sequence[Term], close: Mapping[int, Closeness],
                  top: Sequence[int]) -> float:
        """In [0, 1], from how near the nearest passage is and how much of what was asked the best ones mention.

        Similarity alone misleads: a long question about something else may lie nearer than a short one about
        this corpus. Rare words decide: those that the corpus has never seen weigh most.
        """
        if not close:
            return 0.0
        nearest = max(max(one.passage, one.heading) for one in close.values())
        covered = sum(weight for word, weight in weights.items() if not self._index.containing(word).isdisjoint(top))
        coverage = covered / sum(weights.values()) if weights else 0.0
        return 1 / (1 + exp(-(2.6 * nearest + 2.8 * coverage + 2.35 * min(len(terms), 3) - 4.7)))

    def _passage(self, place: int, score: float) -> Passage:
        chunk = self._index.chunks[place]
        return Passage(chunk, self._index.documents[chunk.doc_path], score)


def content_words(text: str) -> list[str]:
    """The words of a text that can tell one topic from another; parts of hyphenated words too. Chinese in pairs."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        parts = [part for part in re.split(r"[-_.'+]", word) if part]
        found += [word, *parts] if len(parts) > 1 else parts
    for run in re.findall(r"[\u3400-\u9fff]+", re.sub(r"(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])", "", text)):
        found += [run[place:place + 2] for place in range(max(1, len(run) - 1))]
    return [word for word in dict.fromkeys(found) if word not in STOPWORDS and (len(word) > 1 or word.isdigit())]


def _meaning(close: Closeness) -> float:
    """One similarity of a chunk, from those of its parts."""
    statement = max(close.statements, default=close.passage)
    return (1 - _STATEMENT - _HEADING) * close.passage + _HEADING * close.heading + _STATEMENT * statement


def _relevance(chunk: Chunk, close: Closeness, weights: Mapping[str, float]) -> dict[str, float]:
    """How much each statement of a chunk says about a question with these words: by meaning and by its rare words."""
    total = sum(weights.values()) or 1.0
    found: dict[str, float] = {}
    for said, similarity in zip(statements(chunk.text), close.statements, strict=True):
        own = stems(said)
        shared = sum(weight for word, weight in weights.items() if stem(word) in own) / total
        found[said] = (1 - _LEXICAL) * similarity + _LEXICAL * shared
    return found


def has_chinese(text: str) -> bool:
    """Whether any of it is Chinese."""
    return bool(_CJK.search(text))


def stem(word: str) -> str:
    """What the forms of an English word share, roughly."""
    return re.sub(r"(?:ations?|ings?|ies|ed|es|s|ly|e|y)$", "", word) if len(word) > 4 else word


def stems(text: str) -> set[str]:
    """The stems of all words of a text."""
    return {stem(part) for word in _WORD.findall(text.lower()) for part in (word, *re.split(r"[-_.'+]", word))}


def vocabulary(index: Index) -> list[Term]:
    """What the corpus has names for: its papers, its glossary's entries and the environments."""
    glossary = [
        Term(chunk.heading_path[-1], _forms([chunk.heading_path[-1], *_listed(chunk.text)]))
        for chunk in index.chunks if chunk.doc_path.endswith("glossary.md") and chunk.heading_path
    ]
    papers = [Term(page.names[0], _forms(page.names)) for page in index.documents.values()
              if page.names and page.meta.get("year")]
    places = [Term(place.title, _forms([place.title, place.id, place.id.rsplit("-", 1)[0]])) for place in ENVIRONMENTS.values()]
    return papers + glossary + places


def _listed(text: str) -> list[str]:
    return [form for line in _ALSO.findall(text) for form in re.split(r"[,;/，、；]", line)]


def _forms(names: Iterable[str]) -> tuple[str, ...]:
    """Names, and the name and the abbreviation of `name (abbreviation)`."""
    found: list[str] = []
    for name in names:
        inside = re.fullmatch(r"(.+?)\s*[(（](.+?)[)）]\s*", name)
        found += inside.groups() if inside else [name]
    return tuple(dict.fromkeys(form.strip(" .*_`") for form in found if len(form.strip(" .*_`")) > 1))


def _any_of(forms: Iterable[str]) -> re.Pattern[str]:
    """What matches any form as a whole word, the longest first; Chinese has no word edges."""
    ordered = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(
        (r"(?<![\w-])" if form[0].isascii() else "") + re.escape(form) + (r"(?=(?:s|'s)?(?![\w-]))" if form[-1].isascii() else "")
        for form in ordered) or r"(?!)", re.IGNORECASE | re.ASCII)


def _without(text: str, term: Term) -> str:
    """The text without the names of a term."""
    return _any_of(term.forms).sub(" ", text)


def _normalised(scores: Mapping[int, float]) -> dict[int, float]:
    """Scores on [0, 1], the best 1."""
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    return {place: (score - low) / (high - low) if high > low else 0.0 for place, score in scores.items()}


def _round_robin(rankings: Sequence[Mapping[int, float]]) -> list[int]:
    """The places of several rankings, taking one of each in turn."""
    return [place for places in zip_longest(*rankings) for place in places if place is not None]


def _distinct(places: Iterable[int], chunks: Sequence[Chunk]) -> Iterator[int]:
    """The places in order, without those that say what an earlier one says."""
    seen: list[set[str]] = []
    for place in dict.fromkeys(places):
        words = stems(chunks[place].text)
        if not any(len(words & other) > _SAME * len(words | other) for other in seen):
            seen.append(words)
            yield place
