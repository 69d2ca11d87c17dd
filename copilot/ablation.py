"""What each step of the search is worth: the recipes that others use, ours, and ours without one step, in one table."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from copilot.answer import compose, not_covered
from copilot.chunk import Chunk
from copilot.corpus import Document
from copilot.embed import Embedder, Progress
from copilot.followup import standalone
from copilot.index import Index
from copilot.measure import Latency, cited, read_rows, writer
from copilot.rerank import Reranker
from copilot.retrieve import Recipe, Retriever
from rlcore.config import ConfigError

LOCALGPT = "LocalGPT's recipe"
UNREWRITTEN = "ours − follow-up rewriting"
RERANKED = "ours + cross-encoder"
_TOP = (1, 3, 5)
_SIZE, _OVERLAP, _PIECES = 1000, 200, 4        # LocalGPT's splitter, in characters, and its k

_PLAIN = Recipe(fields=(0.0, 0.0, 0.0, 1.0), statements=0.0, headings=0.0, asked=0.0, told=0.0, longer=0.0,
                respells=False, expands=False, compares=False, distinct=False, unsourced=False)
RECIPES: dict[str, Recipe] = {
    "BM25": replace(_PLAIN, dense=0.0),
    "dense": replace(_PLAIN, dense=1.0),
    "RRF-60": replace(_PLAIN, dense=0.5, fusion="rrf"),
    "ours": Recipe(),
    "ours − titles, headings and aliases in BM25": Recipe(fields=(0.0, 0.0, 0.0, 1.0)),
    "ours + field weights 3, 4, 2, 1": Recipe(fields=(3.0, 4.0, 2.0, 1.0)),
    "ours − statement vectors": Recipe(statements=0.0),
    "ours − heading vectors": Recipe(headings=0.0),
    "ours − FAQ prior": Recipe(asked=0.0, told=0.0),
    "ours − less for variants": Recipe(longer=0.0),
    "ours − spelling repair": Recipe(respells=False),
    "ours − glossary and Chinese": Recipe(expands=False),
    "ours − comparison sides": Recipe(compares=False),
    "ours − dropping repetitions": Recipe(distinct=False),
    "ours − dropping lists of sources": Recipe(unsourced=False),
    "ours, fused by RRF-60": Recipe(dense=0.5, fusion="rrf"),
    UNREWRITTEN: Recipe(),
}

Row = dict[str, Any]
Judge = Callable[[Sequence[Row], Sequence["Asked"]], Mapping[str, float]]


@dataclass(frozen=True)
class Asked:
    """What a recipe made of one question."""

    row: Row                       # as a scorer reads it
    chunks: Sequence[Sequence[Chunk]]      # of each passage found: the chunks of ours that it shares text with
    retrieving_s: float
    answering_s: float


@dataclass(frozen=True)
class Result:
    """What a recipe made of a file of questions."""

    name: str
    scores: Mapping[str, float]
    retrieving: Latency
    answering: Latency


def ablation(
    index: Index,
    documents: Sequence[Document],
    embedder: Callable[[], Embedder],
    questions: Path,
    out: Path,
    scorer: Path | None = None,
    names: Sequence[str] = (),
    progress: Progress = lambda _done, _text: None,
    reranker: Reranker | None = None,
) -> list[Result]:
    """Each recipe, or those named, on every question; what they answered goes to one file each in the folder `out`.

    embedder    makes a new one for each recipe: none profits from the queries that another has embedded
    scorer      a Python file with `score(questions, rows)`, which returns a dictionary of scores and a table. Without
                it a question names the `pages` that answer it, as `path#part of a heading`

    Raises:
        ConfigError: there is no such recipe, or a file that cannot be read.
    """
    known = [LOCALGPT, *RECIPES, *([RERANKED] if reranker else [])]
    if strays := [name for name in names if name not in known]:
        raise ConfigError(f"No recipe is called '{strays[0]}'; there are: {', '.join(known)}.")
    rows, judge = list(read_rows(questions, "question")), _judge(scorer)
    results = []
    for place, name in enumerate(names or known):
        progress(place / len(names or known), name)
        model = embedder()
        model.encode_query("warm")
        ask = _localgpt(index, documents, model) if name == LOCALGPT else _ours(index, model, name, reranker)
        asked = [ask(row) for row in rows]
        with writer(out / f"{name.replace(' ', '_')}.jsonl") as write:
            for one in asked:
                write(one.row)
        results.append(Result(name, judge(rows, asked), Latency.of(one.retrieving_s for one in asked),
                              Latency.of(one.answering_s for one in asked)))
    return results


def table(results: Sequence[Result]) -> str:
    """The results in Markdown."""
    head = ["", *results[0].scores, "retrieval ms p50", "p95", "with answer ms p50", "p95"]
    body = [[one.name, *(f"{value:.3f}" for value in one.scores.values()),
             *(f"{time:.0f}" for time in (one.retrieving.p50, one.retrieving.p95, one.answering.p50,
                                          one.answering.p95))] for one in results]
    widths = [max(len(row[column]) for row in [head, *body]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
                     for line in lines)


def _ours(index: Index, model: Embedder, name: str, reranker: Reranker | None) -> Callable[[Row], Asked]:
    retriever = Retriever(index, model, RECIPES.get(name), reranker if name == RERANKED else None)

    def ask(row: Row) -> Asked:
        before = [(row["before"], "")] if "before" in row and name != UNREWRITTEN else []
        start = perf_counter()
        found = retriever.find(standalone(row["question"], before, retriever.named))
        retrieved = perf_counter()
        answer = compose(found) if found.covered else not_covered(found)
        return Asked(
            {"id": row["id"], "contexts": [passage.text for passage in found.passages], "answer": answer,
             "abstained": not found.covered, "cited": cited(answer, found)},
            [[passage.chunk] for passage in found.passages], retrieved - start, perf_counter() - start)

    return ask


def _localgpt(index: Index, documents: Sequence[Document], model: Embedder) -> Callable[[Row], Asked]:
    """Pages cut at 1000 characters with 200 in common, and the four nearest pieces. It never abstains."""
    pieces = [(page, start, end) for page in documents for start, end in recursive_split(page.text)]
    vectors = model.encode_documents([page.text[start:end] for page, start, end in pieces])
    of_page: dict[str, list[Chunk]] = {}
    for chunk in index.chunks:
        of_page.setdefault(chunk.doc_path, []).append(chunk)

    def ask(row: Row) -> Asked:
        began = perf_counter()
        nearest = np.argsort(-(vectors @ model.encode_query(row["question"])))[:_PIECES]
        seconds = perf_counter() - began
        best = [pieces[place] for place in nearest.tolist()]
        return Asked(
            {"id": row["id"], "contexts": [page.text[start:end] for page, start, end in best], "answer": "",
             "abstained": False, "cited": []},
            [[chunk for chunk in of_page[page.path] if chunk.start < end and start < chunk.end]
             for page, start, end in best], seconds, seconds)

    return ask


def recursive_split(text: str, size: int = _SIZE, overlap: int = _OVERLAP) -> list[tuple[int, int]]:
    """Where LangChain's recursive splitter cuts: at blank lines, else lines, else words, else anywhere."""
    atoms = list(_atoms(text, 0, len(text), ("\n\n", "\n", " ", ""), size))
    found: list[tuple[int, int]] = []
    first = 0
    for place, (_, end) in enumerate(atoms):
        if end - atoms[first][0] > size:
            found.append((atoms[first][0], atoms[place - 1][1]))
            while first < place and (atoms[place - 1][1] - atoms[first][0] > overlap or end - atoms[first][0] > size):
                first += 1
    return [*found, (atoms[first][0], atoms[-1][1])] if atoms else []


def _atoms(text: str, start: int, end: int, cuts: Sequence[str], size: int) -> Iterator[tuple[int, int]]:
    """Pieces without a gap and no longer than `size`, cut at the coarsest separator that does it."""
    while start < end:
        cut = text.find(cuts[0], start, end) if cuts[0] else start + size
        stop = end if cut < 0 else min(cut + len(cuts[0]), end)
        if stop - start <= size:
            yield start, stop
        else:
            yield from _atoms(text, start, stop, cuts[1:], size)
        start = stop


def _judge(scorer: Path | None) -> Judge:
    if scorer is None:
        return _by_pages
    spec = importlib.util.spec_from_file_location("scorer", scorer)
    if not scorer.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"The scorer '{scorer}' is no Python file. Give one with score(questions, rows).")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def judge(rows: Sequence[Row], asked: Sequence[Asked]) -> Mapping[str, float]:
        scores: Mapping[str, float] = module.score(rows, [one.row for one in asked])[0]
        return scores

    return judge


def _by_pages(rows: Sequence[Row], asked: Sequence[Asked]) -> Mapping[str, float]:
    """How often a passage that answers is among the first, and who is turned away."""
    inside = [(row["pages"], one) for row, one in zip(rows, asked, strict=True) if row.get("pages")]
    outside = [one for row, one in zip(rows, asked, strict=True) if not row.get("pages")]
    return {
        **{f"page@{top}": _share(any(any(is_one_of(chunk, pages) for chunk in chunks) for chunks in one.chunks[:top])
                                 for pages, one in inside) for top in _TOP},
        "answered inside": _share(not one.row["abstained"] for _, one in inside),
        "refused outside": _share(one.row["abstained"] for one in outside),
    }


def is_one_of(chunk: Chunk, pages: Sequence[str]) -> bool:
    """Whether a chunk belongs to one of `path#part of a heading`."""
    trail = " > ".join(chunk.heading_path).lower()
    return any(chunk.doc_path == path and heading.lower() in trail
               for path, _, heading in (page.partition("#") for page in pages))


def _share(hits: Iterable[bool]) -> float:
    counted = list(hits)
    return sum(counted) / len(counted) if counted else float("nan")
