"""Finds the passages for a question: words and meaning, fused; and decides whether the corpus covers it at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from math import exp, log

from copilot.chunk import Chunk, statements
from copilot.corpus import Document
from copilot.embed import Embedder
from copilot.index import Closeness, Index, quoted
from copilot.vocabulary import Asked, Term, Vocabulary, without
from copilot.words import content_words, stem, stems, without_chinese

_BY_WORDS, _BY_MEANING = 60, 250   # candidates from each search: chunks, and parts of chunks
_DENSE = 0.6                       # weight of meaning against words in a passage's score
_STATEMENT, _HEADING = 0.4, 0.2    # in the meaning, the nearest statement's and the heading's; the passage has the rest
_OPENING = 0.15                    # for the first passage of a page, if the question is what something is
_LEXICAL = 0.4                     # weight of the question's words in the relevance of a statement
_SAME = 0.8                        # share of common words from which two passages say the same
_COVERED = 0.5                     # evidence below this: the corpus does not cover the question

_SOURCES = re.compile(r"sources|references|further reading|bibliography", re.IGNORECASE)


@dataclass(frozen=True)
class Passage:
    """A chunk that was found."""

    chunk: Chunk
    page: Document
    score: float                   # in [0, 1], relative to the other candidates

    @property
    def text(self) -> str:
        """The passage below its titles."""
        return f"{' > '.join((self.page.title, *self.chunk.heading_path))}\n\n{self.chunk.text}"


@dataclass(frozen=True)
class Found:
    """What the corpus has on a question."""

    question: str
    passages: tuple[Passage, ...]  # best first
    relevance: Mapping[str, float]     # to the question, of each statement in the passages
    evidence: float                # in [0, 1]: how surely the passages are about the question
    sides: tuple[Term, ...] = ()   # the two that the question compares; empty if it does not compare
    facts: tuple[int, ...] = ()    # the places in `passages` of the sides' key facts; empty if one side has none

    @property
    def covered(self) -> bool:
        """Whether there is enough to answer from."""
        return bool(self.passages) and self.evidence >= _COVERED


@dataclass(frozen=True)
class Ranking:
    """The candidates of one search."""

    scores: Mapping[int, float]    # best first
    close: Mapping[int, Closeness]


class Retriever:
    """Searches one index."""

    def __init__(self, index: Index, embedder: Embedder):
        self._index, self._embedder = index, embedder
        self._vocabulary = Vocabulary(list(index.documents.values()), index.chunks)
        self._source_lists = {place for place, chunk in enumerate(index.chunks)
                              if chunk.heading_path and _SOURCES.match(chunk.heading_path[-1])}

    @property
    def size(self) -> int:
        """How many passages it searches."""
        return len(self._index.chunks)

    def find(self, question: str, limit: int = 8) -> Found:
        """The passages for a question, best first: at most `limit`, and the key facts of what it compares."""
        asked = self._vocabulary.read(question)
        spread = {word: self._index.containing(word) for word in content_words(asked.english)}
        # A word weighs by how few chunks have it; one that none has weighs most.
        weights = {word: log((self.size + 1) / (len(places) + 0.5)) for word, places in spread.items()}
        rankings = [self._rank(asked.english, asked.terms, asked.defines)]
        for side, other in zip(asked.sides, reversed(asked.sides), strict=True):
            rankings.append(self._rank(without(asked.english, other), [side]))
        best: dict[int, float] = {}
        for ranking in rankings:
            best |= {place: max(score, best.get(place, 0.0)) for place, score in ranking.scores.items()}
        places = list(islice(_distinct(_in_turn(rankings), self._index.chunks), limit))
        facts = self._facts(asked.sides)
        places += [place for place in facts if place not in places]
        return Found(
            question,
            tuple(self._passage(place, best.get(place, 0.0)) for place in places),
            self._relevance(places, rankings, weights),
            _evidence(asked, spread, weights, rankings[0]),
            asked.sides,
            tuple(places.index(place) for place in facts),
        )

    def _passage(self, place: int, score: float) -> Passage:
        chunk = self._index.chunks[place]
        return Passage(chunk, self._index.documents[chunk.doc_path], min(score, 1.0))

    def _rank(self, english: str, terms: Sequence[Term], defines: bool = False) -> Ranking:
        """Words and meaning, each on [0, 1] among the candidates of both, added by weight."""
        words = dict.fromkeys([*content_words(english), *(word for term in terms for word in content_words(term.name))])
        match = self._index.match(" OR ".join(map(quoted, words)), _BY_WORDS) if words else {}
        vector = self._embedder.encode_query(without_chinese(english))
        every = match.keys() | set(self._index.near(vector, _BY_MEANING))
        places = sorted(every - self._source_lists or every)
        close = self._index.closeness(vector, places)
        dense = _normalised({place: _meaning(close[place]) for place in places})
        sparse = _normalised({place: match.get(place, 0.0) for place in places})
        scores = {place: _DENSE * dense[place] + (1 - _DENSE) * sparse[place] for place in places}
        for place in places:
            if defines and self._index.chunks[place].id.endswith("#0"):
                scores[place] += _OPENING      # a page begins by saying what its subject is
        return Ranking(dict(sorted(scores.items(), key=lambda item: -item[1])), close)

    def _relevance(
        self, places: Iterable[int], rankings: Sequence[Ranking], weights: Mapping[str, float],
    ) -> dict[str, float]:
        """How much each statement of the chunks says about the question: by meaning, and by its rare words."""
        total = sum(weights.values()) or 1.0
        found: dict[str, float] = {}
        for place in places:
            close = next((ranking.close[place] for ranking in rankings if place in ranking.close), None)
            said = statements(self._index.chunks[place].text) if close else []
            for statement, similarity in zip(said, close.statements if close else (), strict=True):
                own = stems(statement)
                shared = sum(weight for word, weight in weights.items() if stem(word) in own) / total
                found[statement] = (1 - _LEXICAL) * similarity + _LEXICAL * shared
        return found

    def _facts(self, sides: Sequence[Term]) -> list[int]:
        """The chunks with the key facts of each side; empty if one has none."""
        named = {name: place for place, chunk in enumerate(self._index.chunks) if chunk.is_facts
                 for name in self._index.documents[chunk.doc_path].names}
        places = [named[side.name] for side in sides if side.name in named]
        return places if len(set(places)) == len(sides) else []


def _evidence(
    asked: Asked, spread: Mapping[str, set[int]], weights: Mapping[str, float], ranking: Ranking,
) -> float:
    """How surely the corpus covers a question, in [0, 1].

    Similarity alone misleads: a long question about something else may lie nearer than a short one about this corpus.
    So it also counts how many of the corpus's terms and pages' subjects the question names, and what share of its
    words, rare ones first, the best passages have. The coefficients are a logistic regression on questions within
    reinforcement learning and this program, and outside them.
    """
    if not ranking.close:
        return 0.0
    nearest = max(max(one.passage, one.heading) for one in ranking.close.values())
    said = max(max(one.statements, default=0.0) for one in ranking.close.values())
    top = list(ranking.scores)[:5]
    held = sum(weights[word] for word, places in spread.items() if not places.isdisjoint(top))
    share = held / sum(weights.values()) if weights else 0.0
    named = 2.2 * min(len(asked.terms), 3) + 1.3 * min(len(asked.subjects), 2)
    return 1 / (1 + exp(8.2 - 4.3 * nearest - 2.7 * said - 4.3 * share - named))


def _meaning(close: Closeness) -> float:
    """One similarity of a chunk, from those of its parts."""
    statement = max(close.statements, default=close.passage)
    return (1 - _STATEMENT - _HEADING) * close.passage + _HEADING * close.heading + _STATEMENT * statement


def _normalised(scores: Mapping[int, float]) -> dict[int, float]:
    """Scores on [0, 1], the best 1."""
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    return {place: (score - low) / (high - low) if high > low else 0.0 for place, score in scores.items()}


def _in_turn(rankings: Sequence[Ranking]) -> list[int]:
    """The places of several rankings, one of each in turn."""
    every = zip_longest(*(ranking.scores for ranking in rankings))
    return [place for places in every for place in places if place is not None]


def _distinct(places: Iterable[int], chunks: Sequence[Chunk]) -> Iterator[int]:
    """The places in order, without those that say what an earlier one says."""
    seen: list[set[str]] = []
    for place in dict.fromkeys(places):
        words = stems(chunks[place].text)
        if not any(len(words & other) > _SAME * len(words | other) for other in seen):
            seen.append(words)
            yield place
