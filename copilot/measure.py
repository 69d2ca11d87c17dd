"""Answers files of questions and of training requests, for a scorer; and times the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from copilot.assistant import Assistant
from copilot.cite import marks
from copilot.plan import plan_for, to_row
from copilot.retrieve import Found
from rlcore.config import ConfigError


@dataclass(frozen=True)
class Latency:
    """Times of many calls, in milliseconds."""

    p50: float
    p95: float

    @staticmethod
    def of(seconds: Iterable[float]) -> Latency:
        """The median, and what 19 of 20 calls stay below."""
        times = sorted(1e3 * time for time in seconds) or [float("nan")]
        return Latency(times[len(times) // 2], times[min(len(times) - 1, len(times) * 19 // 20)])

    def __str__(self) -> str:
        return f"p50 {self.p50:.0f} ms, p95 {self.p95:.0f} ms"


def answer_all(assistant: Assistant, questions: Path, out: Path) -> tuple[Latency, Latency]:
    """Answer `{id, question}` lines into `{id, contexts, answer, abstained, cited}`: time to retrieve, time to answer.

    Raises:
        ConfigError: the file is missing or a line lacks what is needed.
    """
    rows = list(read_rows(questions, "question"))
    assistant.warm()
    retrieving: list[float] = []
    answering: list[float] = []
    with writer(out) as write:
        for row in rows:
            start = perf_counter()
            found = assistant.find(row["question"])
            retrieving.append(perf_counter() - start)
            *_, reply = assistant.reply(row["question"], found)
            answering.append(perf_counter() - start)
            write({
                "id": row["id"],
                "contexts": [passage.text for passage in found.passages],
                "answer": reply.text,
                "abstained": reply.abstained,
                "cited": [f"{source.path} {source.heading}".strip() for source in reply.sources],
            })
    return Latency.of(retrieving), Latency.of(answering)


def plan_all(requests: Path, out: Path) -> int:
    """Plan `{id, request}` lines into `{id, algo, env, params, refused, reason}`; how many there were.

    Raises:
        ConfigError: the file is missing or a line lacks what is needed.
    """
    rows = list(read_rows(requests, "request"))
    with writer(out) as write:
        for row in rows:
            write(to_row(plan_for(row["request"]), row["id"]))
    return len(rows)


def cited(answer: str, found: Found) -> list[str]:
    """The passages that an answer cites, by page and heading."""
    passages = [found.passages[number - 1] for number in marks(answer)]
    return [" ".join((passage.page.path, *passage.chunk.heading_path[-1:])) for passage in passages]


def read_rows(path: Path, needed: str) -> Iterator[dict[str, Any]]:
    """The lines of a JSONL file; every one has an `id` and the needed text."""
    if not path.is_file():
        raise ConfigError(f"'{path}' does not exist. Give a JSONL file with one {{\"id\", \"{needed}\"}} per line.")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}, line {number} is not JSON: {error.msg}.") from None
        if not isinstance(row, dict) or "id" not in row or not isinstance(row.get(needed), str):
            raise ConfigError(f'{path}, line {number} must be an object with "id" and a text "{needed}".')
        yield row


@contextmanager
def writer(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Writes rows as JSON lines; the file appears under its name only when all are written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf-8") as file:
        yield lambda row: print(json.dumps(row, ensure_ascii=False), file=file)
    draft.replace(path)
