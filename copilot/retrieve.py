"""Finds the passages for a question: words and meaning, fused; and decides whether the corpus covers it at all."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import islice
from math import exp, log
from typing import Literal

from copilot.chunk import Chunk, statements
from copilot.corpus import Document
from copilot.embed import Embedder, Vectors
from copilot.index import FIELDS, Closeness, Index, quoted
from copilot.library import Chunks, Library
from copilot.rerank import Reranker
from copilot.vocabulary import Asked, Term, Vocabulary, has_one
from copilot.words import (
    STOPWORDS,
    Spelling,
    content_words,
    has_chinese,
    plain_words,
    respelt,
    stem,
    stems,
    without_chinese,
)

_BY_WORDS, _BY_MEANING = 60, 150   # candidates from each search: chunks, and passages and headings of chunks
_BEST = 3                          # statements of a passage whose mean similarity counts
_LEXICAL = 0.4                     # weight of the question's words in the relevance of a statement
_SAME = 0.8                        # share of common words from which two passages say the same
_AGAIN = 24                        # best candidates that a cross-encoder reads again
_TOP = 5                           # passages whose headings tell what the corpus says on a question
_BIAS, _WEIGHTS = 11.31, (9.59, 8.97, 4.08, 0.47, 1.27, 0.5)    # of the signs that the corpus covers a question
_COVERED = 0.5                     # evidence below this: the corpus does not cover the question
_DEFINED = 2                       # terms of a Chinese question that its answer defines
_OWN = 0.6                         # share of a Chinese question's pairs of characters from which a passage answers it
_LONG = 10                         # words of a question, those that every question has aside, that tells a case
_RRF = 60                          # reciprocal rank fusion's constant

_NAME = re.compile(r"(?<![.?!:] )(?<!^)(?<![\w-])(?!\d)(?=[a-z]*[A-Z0-9])(?=\w*[A-Za-z])[\w-]{3,}(?![\w-])", re.ASCII)
_DECIDES = re.compile(r"when (?:not )?to use", re.IGNORECASE)
# What a question may ask for that one passage of a page has, and which passage that is.
_ASKED: dict[str, tuple[re.Pattern[str], Callable[[Chunk], bool]]] = {
    "value": (re.compile(
        r"\bdefaults?\b|\bhow (?:many|much|large|big|high|small)\b|\b(?:value|number|size) (?:of|has|have|is|for)\b|"
        r"默认|多少|多大|几个|^(?!(?:is|are|do|does|can|could|should|will|how|why) )(?:wh\w+ (?:is|are|value) )?"
        r"(?:[\w'-]+ ){1,4}(?:of|for|in|has) [\w'+-]+(?: [\w'+-]+){0,3}[?.!]*$", re.IGNORECASE),
        lambda chunk: "| setting | default |" in chunk.text),
    "publication": (re.compile(
        r"\b(?:(?:which|what) year|authors? of|who (?:are the authors|wrote|invented|proposed|introduced|published))\b|"
        r"\b(?:when|which paper)\b.{0,80} (?:publish|appear|come out|came out|introduc|propos|invent)|"
        r"作者|哪一?年|谁(?:提出|写|发明)", re.IGNORECASE), lambda chunk: chunk.is_facts),
    "formula": (re.compile(r"\b(?:equations?|formula[es]?|objectives?|loss(?:es)? functions?|update rules?|"
                           r"mathematical\w*)\b|公式|方程|损失函数|目标函数", re.IGNORECASE),
                lambda chunk: "$$" in chunk.text and "quations" in ("", *chunk.heading_path)[-1]),
}
_DEFINES = re.compile(r"\W*(?:what(?:'s| is| are)|define|explain|describe|什么是)\s*(?:an?\s+|the\s+)?$", re.IGNORECASE)
_DEFINES_CHINESE = re.compile("什么是|是什么|是啥|意思|含义|定义|解释|介绍|概念")
_SOURCES = re.compile(r"sources|references|further reading|bibliography", re.IGNORECASE)


@dataclass(frozen=True)
class Recipe:
    """The steps of a search and their weights: `measure --ablation` leaves out one at a time."""

    fields: tuple[float, ...] = FIELDS     # of title, heading, aliases and body in BM25
    dense: float = 0.75            # of meaning against words in a passage's score
    statements: float = 0.3        # of its best statements in a passage's meaning
    headings: float = 0.3          # of its heading; the passage as a whole has the rest
    asked: float = 0.03            # for an entry of the FAQ: it is written as people ask
    told: float = 0.08             # as much more if the question is long: it tells a case, as those entries do
    longer: float = 0.1            # against a passage on a variant of what is asked: Double DQN for DQN
    fusion: Literal["normalised", "rrf"] = "normalised"
    respells: bool = True          # words of the question that are misspelt
    expands: bool = True           # glossary: other names' main name, Chinese into English
    compares: bool = True          # a comparison also gets facts on each side, and what says when to use it
    distinct: bool = True          # what says the same is found once
    unsourced: bool = True         # lists of sources are not found


@dataclass(frozen=True)
class Passage:
    """A chunk that was found."""

    chunk: Chunk
    page: Document
    score: float                   # in [0, 1], relative to the other candidates

    @property
    def text(self) -> str:
        """The passage below its titles."""
        where = f" ({self.chunk.where})" if self.chunk.where else ""
        return f"{' > '.join((self.page.title, *self.chunk.heading_path))}{where}\n\n{self.chunk.text}"


@dataclass(frozen=True)
class Found:
    """What the corpus has on a question."""

    question: str
    passages: tuple[Passage, ...]  # best first
    relevance: Mapping[str, float]     # to the question, of each statement in the passages
    evidence: float                # in [0, 1]: how surely the passages are about the question
    sides: tuple[Term, ...] = ()   # the two to four that the question compares; empty if it does not compare
    facts: tuple[int, ...] = ()    # the places in `passages` of the sides' key facts; empty if one side has none
    decisive: tuple[int, ...] = () # the places of what says when to use each side; empty if one side has none
    definitions: tuple[int, ...] = ()      # the places of what the glossary says on the terms of a Chinese question
    unknown: tuple[str, ...] = ()  # the names in the question that no passage of the corpus has
    english: str = ""              # the question in English, as far as words are known
    before: str = ""               # the answer that a follow-up comes after
    asked: Mapping[str, tuple[int, ...]] = field(default_factory=dict)     # who asks for a `value`, a `publication` or
                                   # a `formula`: the places of what its subjects' own pages have of it

    @property
    def covered(self) -> bool:
        """Whether there is enough to answer from."""
        return bool(self.passages) and self.evidence >= _COVERED

    @property
    def wording(self) -> str:
        """The question in the corpus's language, as far as its words are known."""
        return self.english or self.question


# "In rlcore" names no page of a corpus on rlcore, but lies near those that set it beside other libraries.
_HERE = re.compile(r"[\s,]*\b(?:in|with|using|inside)\s+(?:rlcore|rl-?copilot|this library)\b(?!['.\w])|"
                   r"[\s,]*(?:在|用)?\s*(?:rlcore|rl-?copilot|这个库)\s*(?:里面?|中|上|来)", re.IGNORECASE)
_OTHERS = re.compile(r"\b(?:sb3|stable.?baselines\d?|clean-?rl|tianshou|rl-?lib|rlpyt|open-?rl|elegant-?rl|rllte|"
                     r"torch-?rl|lean-?rl|puffer-?lib|skrl|acme|dopamine|spinning ?up|sample.?factory)\b",
                     re.IGNORECASE)


@dataclass(frozen=True)
class Ranking:
    """The candidates of one search."""

    scores: Mapping[int, float]    # best first
    close: Mapping[int, Closeness]


class Retriever:
    """Searches one index, or the corpus and collections as one; a reranker orders what was found anew."""

    def __init__(self, index: Index | Library, embedder: Embedder, recipe: Recipe | None = None,
                 reranker: Reranker | None = None):
        self._index, self._embedder, self._recipe, self._reranker = index, embedder, recipe or Recipe(), reranker
        self._threads = ThreadPoolExecutor(os.cpu_count())
        self._vocabulary = Vocabulary(list(index.corpus.documents.values()), index.corpus.chunks)
        self._defined = {chunk.heading_path[-1]: place for place, chunk in enumerate(index.corpus.chunks)
                         if chunk.doc_path.endswith("glossary.md") and chunk.heading_path}
        self._key_facts = self._by_name(lambda chunk: chunk.is_facts)
        self._decisive = self._by_name(lambda chunk: bool(_DECIDES.match("".join(chunk.heading_path[-1:]))))
        self._single = {kind: self._by_name(wanted) for kind, (_, wanted) in _ASKED.items()}
        self._faq = {place for place, chunk in enumerate(index.corpus.chunks) if chunk.doc_path.startswith("faq/")}
        self._source_lists = {place for place, chunk in enumerate(index.corpus.chunks)
                              if chunk.heading_path and _SOURCES.match(chunk.heading_path[-1])}

    def _by_name(self, wanted: Callable[[Chunk], bool]) -> dict[str, int]:
        """The first such chunk of each page, by what the page's subject is called."""
        places = [(place, self._index.corpus.documents[chunk.doc_path].names)
                  for place, chunk in enumerate(self._index.corpus.chunks) if wanted(chunk)]
        found: dict[str, int] = {}
        for part in (slice(1), slice(1, None)):        # its main name before another's alias
            for place, names in places:
                for name in names[part]:
                    found.setdefault(name, place)
        return found

    @property
    def size(self) -> int:
        """How many passages it searches."""
        return len(self._index.chunks)

    def named(self, question: str) -> tuple[Term, ...]:
        """What of the corpus's terms a question names."""
        return self._vocabulary.read(question).terms

    def find(self, question: str, limit: int = 8) -> Found:
        """The passages for a question, best first: at most `limit`, then those that only a certain answer needs."""
        self._index.refresh()
        if self._recipe.respells and (repairs := self._repairs(question)):
            return replace(self.find(respelt(question, repairs), limit), question=question)
        if content_words(plain := _HERE.sub(" ", question)) and plain != question and not _OTHERS.search(question):
            return replace(self.find(plain.strip(" ,"), limit), question=question)
        asked = self._vocabulary.read(question)
        if not self._recipe.expands:
            asked = replace(asked, english=question, terms=(), told=False, longer=(), explained=frozenset())
        meaning = self._threads.submit(self._by_meaning, asked.english)    # meanwhile:
        pairs = [word for word in content_words(question) if has_chinese(word)]
        counts, match, added = self._by_words(asked, pairs)
        # A word weighs by how few chunks have it; one that none has weighs most.
        weights = {word: log((self.size + 1) / (counts[word] + 0.5))
                   for word in content_words(asked.english) if word not in asked.explained}
        sides = asked.sides if self._recipe.compares else ()
        facts, decisive = self._of(sides, self._key_facts), self._of(sides, self._decisive)
        terms = [self._defined[term.name] for term in asked.terms if term.name in self._defined]
        definitions = terms[:_DEFINED] if has_chinese(question) and (sides or _defines(asked)) else []
        single = {kind: tuple(self._single[kind][term.name] for term in asked.terms if term.name in self._single[kind])
                  for kind, (asks, _) in _ASKED.items() if asks.search(question)}
        needed = [place for places in single.values() for place in places]
        ranking = self._rank(*meaning.result(), match, added, pairs, [*decisive, *needed], asked)
        order = _distinct(ranking.scores, self._index.chunks) if self._recipe.distinct else iter(ranking.scores)
        places = self._ordered(asked.english, list(islice(order, max(limit, _AGAIN) if self._reranker else limit)))
        places = list(dict.fromkeys([*places[:limit], *facts, *decisive, *definitions, *needed]))
        names = [name for name in _names(question)     # of HER no word is left: it may well be known
                 if (words := content_words(name)) and not any(map(counts.get, words))
                 and not any(self._index.having([quoted(_apart(name))]))]
        evidence = max([self._evidence(asked, weights, ranking), *(self._held(pairs, place) for place in places)])
        return Found(
            question,
            tuple(self._passage(place, ranking.scores.get(place, 0.0)) for place in places),
            self._relevance(places, ranking, weights),
            0.0 if any(_DEFINES.match(question[:question.index(name)]) for name in names) else evidence,
            sides=sides,
            facts=tuple(map(places.index, facts)),
            decisive=tuple(map(places.index, decisive)),
            definitions=tuple(map(places.index, definitions)),
            unknown=tuple(names),
            english=asked.english,
            asked={kind: tuple(map(places.index, own)) for kind, own in single.items()},
        )

    def _ordered(self, english: str, places: list[int]) -> list[int]:
        """Places, best first, as the reranker has it if there is one."""
        if self._reranker is None:
            return places
        scores = self._reranker.scores(english, [self._passage(place, 0.0).text for place in places])
        return [place for _, place in sorted(zip(scores, places, strict=True), key=lambda pair: -pair[0])]

    def _repairs(self, question: str) -> dict[str, str]:
        """What the misspelt words of a question should be."""
        words = [word for word in plain_words(question) if word not in STOPWORDS]
        counts = self._index.having([*map(quoted, words)])
        unknown = [word for word, count in zip(words, counts, strict=True) if not count]
        repairs = self._spelling.repairs(unknown) if unknown else {}
        # Beside an accented letter a word may be one to the spelling only: it would be repaired by itself for ever.
        return {word: near for word, near in repairs.items() if word != near}

    @cached_property
    def _spelling(self) -> Spelling:
        """By the words of titles and headings: what people ask about, and few enough to compare each."""
        return Spelling("\n".join(text for chunk in self._index.corpus.chunks for text in (
            self._index.corpus.documents[chunk.doc_path].title, *chunk.heading_path)))

    def _passage(self, place: int, score: float) -> Passage:
        chunk = self._index.chunks[place]
        return Passage(chunk, self._index.documents[chunk.doc_path], min(score, 1.0))

    def _held(self, pairs: Sequence[str], place: int) -> float:
        """How surely a chunk is about a Chinese question, by the pairs of characters that both have."""
        share = sum(pair in self._index.chunks[place].text for pair in pairs) / len(pairs) if len(pairs) > 1 else 0.0
        return share if share >= _OWN else 0.0

    def _by_meaning(self, english: str) -> tuple[Vectors, set[int]]:
        """A question's vector, and the chunks near it."""
        vector = self._embedder.encode_query(without_chinese(english))
        return vector, set(self._index.near(vector, _BY_MEANING))

    def _by_words(
        self, asked: Asked, pairs: Sequence[str],
    ) -> tuple[dict[str, int], dict[int, float], dict[int, float]]:
        """How many chunks have each word of a question, BM25 of the best ones, and of what people have added."""
        own = content_words(f"{asked.english} {without_chinese(asked.question)}")
        counts = dict(zip(own, self._index.having([*map(quoted, own)]), strict=True))
        names = [word for term in asked.terms for word in content_words(term.name)]
        words = dict.fromkeys([*counts, *names])
        match = self._index.match(" OR ".join(map(quoted, words)), _BY_WORDS, self._recipe.fields) if words else {}
        # The corpus is English, but what people add may be Chinese, of which the embedder knows nothing.
        both = " OR ".join(map(quoted, pairs))
        added = self._index.match_added(both, _BY_WORDS, self._recipe.fields) if pairs else {}
        return counts, match | added, added

    def _rank(
        self, vector: Vectors, near: set[int], match: Mapping[int, float], added: Mapping[int, float],
        pairs: Sequence[str], also: Iterable[int], asked: Asked,
    ) -> Ranking:
        """Words and meaning, each as a share of the best candidate's, added by weight; `also` is not ranked."""
        every = match.keys() | near
        candidates = (every - self._source_lists if self._recipe.unsourced else every) or every
        close = self._index.closeness(vector, sorted(candidates.union(also)))
        dense = {place: self._meaning(close[place]) for place in sorted(candidates)}
        sparse = {place: match.get(place, 0.0) for place in dense}
        fused = self._fused(dense, sparse)
        likely = self._recipe.asked + self._recipe.told * (len(content_words(asked.english)) >= _LONG)
        for place in self._faq & fused.keys():
            fused[place] += likely
        for place in added.keys() & fused.keys():
            fused[place] += self._held(pairs, place)
        for place in sorted(fused, key=fused.__getitem__)[-_AGAIN:]:
            fused[place] -= self._recipe.longer * has_one(asked.longer, self._named_above(place))
        return Ranking(dict(sorted(fused.items(), key=lambda item: -item[1])), close)

    def _meaning(self, close: Closeness) -> float:
        """One similarity of a chunk, from those of its parts."""
        best = sorted(close.statements, reverse=True)[:_BEST] or [close.passage]
        said, head = self._recipe.statements, self._recipe.headings
        return (1 - said - head) * close.passage + head * close.heading + said * sum(best) / len(best)

    def _fused(self, dense: Mapping[int, float], sparse: Mapping[int, float]) -> dict[int, float]:
        share = self._recipe.dense
        one, other = (_by_rank, _by_rank) if self._recipe.fusion == "rrf" else (_by_best, _by_best)
        meaning, words = one(dense), other(sparse)
        return {place: share * meaning[place] + (1 - share) * words[place] for place in dense}

    def _relevance(
        self, places: Iterable[int], ranking: Ranking, weights: Mapping[str, float],
    ) -> dict[str, float]:
        """How much each statement of the chunks says about the question: by meaning, and by its rare words."""
        total = sum(weights.values()) or 1.0
        found: dict[str, float] = {}
        for place in places:
            close = ranking.close.get(place)
            said = _statements(self._index.chunks[place].text) if close else ()
            for statement, similarity in zip(said, close.statements if close else (), strict=True):
                own = _stems(statement)
                shared = sum(weight for word, weight in weights.items() if stem(word) in own) / total
                found[statement] = (1 - _LEXICAL) * similarity + _LEXICAL * shared
        return found

    def _evidence(self, asked: Asked, weights: Mapping[str, float], ranking: Ranking) -> float:
        """How surely the corpus covers a question, in [0, 1]: a logistic regression on `benchmarks/questions.jsonl`."""
        if not ranking.scores:
            return 0.0
        signs = self._signs(asked, weights, ranking)
        return 1 / (1 + exp(_BIAS - sum(weight * sign for weight, sign in zip(_WEIGHTS, signs, strict=True))))

    def _signs(self, asked: Asked, weights: Mapping[str, float], ranking: Ranking) -> tuple[float, ...]:
        """What speaks for an answer in the corpus.

        Similarity alone misleads: a long question about something else may lie nearer than a short one about this
        corpus, and what other fields ask is often said in passing. So it also counts what share of the question's
        words, rare ones first, the best passage has, how many of the best are headed by the rarest, which mostly is
        what the question is about, how many of the corpus's terms it names, and whether it tells one in everyday words.
        """
        close = [ranking.close[place] for place in ranking.scores]
        top = list(ranking.scores)[:_TOP]
        weights = {word: weight for word, weight in weights.items() if not word[0].isdigit()}  # `200k` is no subject
        held = sum(weight for word, weight in weights.items() if self._index.among(quoted(word), top[:1]))
        rarest = stem(max(weights, key=weights.__getitem__, default=""))
        return (max(one.passage for one in close), max(one.heading for one in close),
                held / sum(weights.values()) if weights else 0.0,
                sum(rarest in self._head(place) for place in top) / _TOP,
                min(len(asked.terms), 3), asked.told)

    def _head(self, place: int) -> frozenset[str]:
        """The stems of what stands above a chunk, and of what its page is about."""
        chunk = self._index.chunks[place]
        page = self._index.documents[chunk.doc_path]
        return _stems(" ".join((page.title, *chunk.heading_path, *page.subjects)))

    def _named_above(self, place: int) -> str:
        chunk = self._index.chunks[place]
        return "\n".join([*self._index.documents[chunk.doc_path].names[:1], *chunk.heading_path[-1:]])

    def _of(self, sides: Sequence[Term], known: Mapping[str, int]) -> list[int]:
        """The place that is known for each side; none if one side has none."""
        places = [known[side.name] for side in sides if side.name in known]
        return places if len(set(places)) == len(sides) else []


@lru_cache(maxsize=4096)
def _statements(text: str) -> tuple[str, ...]:
    return tuple(statements(text))


@lru_cache(maxsize=16384)
def _stems(text: str) -> frozenset[str]:
    return frozenset(stems(text))


def _by_best(scores: Mapping[int, float]) -> dict[int, float]:
    """Scores as shares of the best one."""
    best = max(scores.values(), default=0.0)
    return {place: max(0.0, score / best) if best > 0 else 0.0 for place, score in scores.items()}


def _by_rank(scores: Mapping[int, float]) -> dict[int, float]:
    """Scores by rank alone, the best 1; nothing for what a search did not find."""
    found = sorted((place for place, score in scores.items() if score > 0), key=lambda place: -scores[place])
    return dict.fromkeys(scores, 0.0) | {place: (_RRF + 1) / (_RRF + rank) for rank, place in enumerate(found, start=1)}


def _defines(asked: Asked) -> bool:
    """Whether a Chinese question wants to know what its terms mean: it says so, or is nothing but terms."""
    named = stems(" ".join(term.name for term in asked.terms))
    return bool(_DEFINES_CHINESE.search(asked.question)) or stems(asked.english) <= named


def _names(question: str) -> list[str]:
    """What looks like a name: capitals or digits within a word that begins no sentence."""
    return list(dict.fromkeys(match.group() for match in _NAME.finditer(question)))


def _apart(name: str) -> str:
    """A name as the words it is written of: `TicTacToe` → `Tic Tac Toe`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def _distinct(places: Iterable[int], chunks: Chunks) -> Iterator[int]:
    """The places in order, without those that say what an earlier one says."""
    seen: list[frozenset[str]] = []
    for place in dict.fromkeys(places):
        words = _stems(chunks[place].text)
        if not any(len(words & other) > _SAME * len(words | other) for other in seen):
            seen.append(words)
            yield place
