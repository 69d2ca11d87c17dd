"""What conveniences cost a short run, and how long PPO takes to solve CartPole: the run where they weigh most.

Processor seconds of many pairs of runs, with and without, each pair in the other order than the one before: a machine's
pace changes by more than a few percent from minute to minute, within a pair hardly.
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

import numpy as np

import rlcore as rl
from rlcore.evaluation.statistics import bootstrap_interval, iqm

ENV_STEPS = 100_000
BARE = {"rows": 1, "checkpoint_s": 1e9, "progress": False}      # rows of metrics cannot be switched off
ROWS = {"rows": 300}


@dataclass(frozen=True)
class Convenience:
    """What is added to a run that is bare but for what the convenience needs."""

    name: str
    added: dict[str, Any]
    needs: dict[str, Any] = field(default_factory=dict)


CONVENIENCES = (
    Convenience("a row of metrics per update", ROWS),
    Convenience("progress bar", {"progress": True}),
    Convenience("a checkpoint every second", {"checkpoint_s": 1.0}),
    Convenience("a callback with every row", {"callbacks": [lambda _: None]}, needs=ROWS),
)


def run(repeats: int, only: str) -> Iterator[str]:
    """The lines of a Markdown table, as they are measured."""
    yield (f"PPO CartPole-v1, 8 envs, {ENV_STEPS:,} steps; {repeats} pairs of runs, processor seconds. Cost: "
           "interquartile mean of the pairs' ratios with its 95 % interval.")
    yield ""
    yield "| convenience | without | with | cost (95 % interval) |"
    yield "|---|---|---|---|"
    _spent(**BARE)                     # the first run of a process also loads what is loaded but once
    for what in CONVENIENCES:
        if only.lower() in what.name.lower():
            pairs = np.array([_pair(what, swapped=bool(number % 2)) for number in range(repeats)])
            without, added = np.median(pairs, 0)
            ratios = pairs[:, 1] / pairs[:, 0]
            low, high = bootstrap_interval(ratios)
            yield (f"| {what.name} | {without:.2f} | {added:.2f} | {iqm(ratios) - 1:+.1%} "
                   f"({low - 1:+.1%} to {high - 1:+.1%}) |")
    seconds = [_solving(seed) for seed in range(1, repeats + 1)]
    yield ""
    yield f"Seconds until the last 100 episodes average 475, per seed: {', '.join(f'{one:.2f}' for one in seconds)}."


def _pair(what: Convenience, *, swapped: bool) -> tuple[float, float]:
    """Seconds without and with it."""
    order = (True, False) if swapped else (False, True)
    seconds = {added: _spent(**BARE | what.needs | (what.added if added else {})) for added in order}
    return seconds[False], seconds[True]


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
