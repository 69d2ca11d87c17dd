"""Stand-ins for what the pages touch: a desk that needs no index, and run folders that nobody trained."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import yaml

from copilot.assistant import Reply, Source
from copilot.llms.base import Use
from copilot.llms.choose import open_answerer
from gui.service import Library, Places

CLIP = Source(1, "PPO", "Idea › The clip", "papers/ppo.md",
              "## The clip\n\nThe ratio is clipped at $1 \\pm \\epsilon$.", 0.9, "https://arxiv.org/abs/1707.06347")
EPOCHS = Source(2, "FAQ", "", "faq/ppo.md", "Four epochs are usual.", 0.5, "")


class FakeDesk:
    """Answers every question with the same pieces, and keeps no documents."""

    def __init__(self, *pieces: Reply):
        self.pieces = pieces
        self.spec = "builtin"
        self.asked: list[tuple[str, Sequence[tuple[str, str]], Sequence[str]]] = []
        self.stopped = 0

    def ask(self, question: str, history: Sequence[tuple[str, str]] = (),
            collections: Sequence[str] = ()) -> Iterator[Reply]:
        self.asked.append((question, history, collections))
        yield from self.pieces

    def explain(self, run: Path) -> Iterator[Reply]:
        self.asked.append((run.name, (), ()))
        yield from self.pieces

    def choose(self, spec: str) -> None:
        open_answerer(spec)
        self.spec = spec

    def stop(self) -> None:
        self.stopped += 1


def reply(text: str, *sources: Source, plan: object = None, done: bool = True, context: Use | None = None) -> Reply:
    return Reply(text, sources, abstained=False, done=done, plan=plan, context=context)  # type: ignore[arg-type]


def closed_library(desk: object) -> Library:
    """A library around a desk that nobody has opened yet."""
    def opener(progress: Callable[[float, str], None]) -> object:
        progress(0.5, "Reading")
        return desk

    return Library(opener)  # type: ignore[arg-type]


def library(desk: object) -> Library:
    """An open library around a desk."""
    shelf = closed_library(desk)
    shelf.start()
    list(shelf.wait())
    return shelf


def failing_library(error: Exception) -> Library:
    """A library whose index cannot be opened."""
    def opener(progress: Callable[[float, str], None]) -> object:
        progress(0.1, "Reading")
        raise error

    shelf = Library(opener)  # type: ignore[arg-type]
    shelf.start()
    list(shelf.wait())
    return shelf


def places(folder: Path) -> Places:
    """The folders of the pages, all in one."""
    return Places(folder / "runs", folder / "models", folder / "documents", folder / "conversations.sqlite")


def write_run(root: Path, run_id: str, state: str = "finished", *, steps: int = 3000, total: int = 3000,
              mean: float = 480.0, alive: bool = False,
              returns: Sequence[float] = (100.0, 300.0, 480.0), checkpoint: bool = True) -> Path:
    """A run folder as rlcore writes it. `alive` makes this very process its trainer."""
    path = root / run_id
    path.mkdir(parents=True)
    me = psutil.Process()
    status = {"state": state, "pid": me.pid if alive else 2**22 - 1, "pid_started": me.create_time() if alive else 1.0,
              "env_steps": steps, "total_steps": total, "sps": 1000.0, "eta_s": (total - steps) / 1000.0,
              "mean_return": mean, "message": "", "updated": time.time()}
    config = {"algo": "ppo", "env": "CartPole-v1", "seed": 7, "env_steps": total, "backend": "native",
              "config": {"num_envs": 8, "hidden": [64, 64]}, "versions": {"torch": "2.13.0"}, "format": 1}
    rows = [{"step": 1000 * (n + 1), "time_s": n + 1.0, "episode/return": value, "loss/value": 10.0 - n}
            for n, value in enumerate(returns)]
    (path / "status.json").write_text(json.dumps(status))
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "train.log").write_text("working\n")
    (path / "train.py").write_text("import rlcore as rl\n")
    if checkpoint:
        (path / "checkpoints" / f"{steps:012d}").mkdir(parents=True)
    return path


def write_evaluation(path: Path, mean: float) -> None:
    row = {"step": 3000, "episodes": 20, "mean": mean, "std": 2.0, "iqm": mean, "low": mean - 5, "high": mean + 5,
           "returns": [mean] * 20, "time": "2026-01-01T00:00:00"}
    with (path / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def write_video(path: Path, name: str = "000000003000.mp4", age_s: float = 0.0) -> Path:
    film = path / "videos" / name
    film.parent.mkdir(exist_ok=True)
    film.write_bytes(b"not really a film")
    os.utime(film, (time.time() - age_s,) * 2)
    return film
