"""Training speed beside Stable-Baselines3, in one run: repeats alternate, so that a noisy machine is noisy for both."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

import torch

from benchmarks.tasks import TASKS


def run(repeats: int, only: str) -> Iterator[str]:
    """The lines of a Markdown table, as they are measured."""
    yield f"torch {torch.__version__}, {os.cpu_count()} cores; env steps/s, median of {repeats} (smallest to largest)."
    yield ""
    yield "| task | rlcore | SB3, 1 thread | SB3, 2 threads | rlcore ÷ best SB3 |"
    yield "|---|---|---|---|---|"
    for index, task in enumerate(TASKS):
        if only.lower() in task.name.lower():
            columns: list[list[float]] = [[], [], []]
            for _ in range(repeats):
                for column, (library, threads) in zip(columns, (("ours", 1), ("sb3", 1), ("sb3", 2)), strict=True):
                    column.append(_measure(library, index, threads))
            medians = [statistics.median(column) for column in columns]
            cells = [f"{middle:,.0f} ({min(column):,.0f} to {max(column):,.0f})"
                     for middle, column in zip(medians, columns, strict=True)]
            yield f"| {task.name} | {' | '.join(cells)} | {medians[0] / max(medians[1:]):.2f} |"


def _measure(library: str, index: int, threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.measure", library, str(index), str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)} if library == "sb3" else dict(os.environ)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])
