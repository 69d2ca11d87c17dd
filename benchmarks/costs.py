"""What conveniences cost a short run, and how long PPO takes to solve CartPole: the run where they weigh most.

The least processor seconds of several runs, with and without in turn, because a few percent drown in everything else.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from typing import Any
from unittest.mock import patch

import rlcore as rl

ENV_STEPS = 200_000
BARE = {"rows": 1, "checkpoint_s": 1e9, "progress": False}      # rows of metrics cannot be switched off
ROWS = {"rows": 300}


@dataclass(frozen=True)
class Convenience:
    """What is added to a run that is bare but for what the convenience needs."""

    name: str
    added: dict[str, Any]
    needs: dict[str, Any] = field(default_factory=dict)


CONVENIENCES = (
    Convenience("300 rows of metrics", ROWS),
    Convenience("progress bar", {"progress": True}),
    Convenience("a checkpoint every second", {"checkpoint_s": 1.0}),
    Convenience("a callback with every row", {"callbacks": [lambda _: None]}, needs=ROWS),
)


def run(repeats: int, only: str) -> Iterator[str]:
    """The lines of a Markdown table, as they are measured."""
    yield f"PPO CartPole-v1, 8 envs, {ENV_STEPS:,} steps; least processor seconds of {repeats}."
    yield ""
    yield "| convenience | without | with | cost |"
    yield "|---|---|---|---|"
    for what in CONVENIENCES:
        if only.lower() in what.name.lower():
            without, added = [], []
            for _ in range(repeats):
                without.append(_spent(**BARE | what.needs))
                added.append(_spent(**BARE | what.needs | what.added))
            before, after = min(without), min(added)
            yield f"| {what.name} | {before:.2f} | {after:.2f} | {after / before - 1:+.1%} |"
    seconds = [_solving(seed) for seed in range(1, repeats + 1)]
    yield ""
    yield f"Seconds until the last 100 episodes average 475, per seed: {', '.join(f'{one:.2f}' for one in seconds)}."


def _spent(rows: int, **options: Any) -> float:
    with patch("rlcore.training.LOG_POINTS", rows):
        return _timed(time.process_time, env_steps=ENV_STEPS, seed=1, **options)


def _solving(seed: int) -> float:
    return _timed(time.perf_counter, env_steps=1_000_000, seed=seed, target_return=475.0, progress=False)


def _timed(clock: Callable[[], float], **options: Any) -> float:
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        before = clock()
        rl.train("ppo", "CartPole-v1", {"num_envs": 8}, run_dir=folder, **options)
        return clock() - before
