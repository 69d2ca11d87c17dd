"""Do the wizard's own scripts learn? Trains the presets over several seeds and evaluates each agent."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from copilot.plan import TrainingPlan
from copilot.script import render
from rlcore import catalog
from rlcore.evaluation.evaluate import evaluate
from rlcore.evaluation.statistics import bootstrap_interval, iqm
from rlcore.runs import open_run

CASES = (("ppo", "CartPole-v1"), ("dqn", "CartPole-v1"), ("sac", "Pendulum-v1"))


def run(seeds: int, only: str) -> Iterator[str]:
    """The lines of a Markdown table, as they are measured."""
    yield f"Mean return of 20 evaluation episodes after the preset's steps; {seeds} seeds each."
    yield ""
    yield "| task | env steps | solved at | per seed | IQM (95 % interval) | seconds per run |"
    yield "|---|---|---|---|---|---|"
    for algo, env in CASES:
        if only.lower() in f"{algo} {env}".lower():
            yield _row(algo, env, seeds)


def _row(algo: str, env: str, seeds: int) -> str:
    steps, means, seconds = catalog.preset(algo, env).env_steps, [], []
    for seed in range(1, seeds + 1):
        plan = TrainingPlan(algo=algo, env=env, env_steps=steps, seed=seed, params={}, record_video=False)
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            _run_script(render(plan), Path(folder))
            seconds.append(time.monotonic() - started)
            assert open_run(Path(folder)).state == "finished"
            means.append(evaluate(folder, episodes=20).mean)
    low, high = bootstrap_interval(np.array(means))
    each = ", ".join(f"{mean:.1f}" for mean in means)
    return (f"| {algo.upper()} {env} | {steps:,} | {catalog.environment(env).solved_at} | {each} "
            f"| {iqm(np.array(means)):.1f} ({low:.1f} to {high:.1f}) | {np.median(seconds):.0f} |")


def _run_script(text: str, folder: Path) -> None:
    script = folder / "train.py"
    script.write_text(text)
    environment = {**os.environ, "RLCORE_RUN_DIR": str(folder)}
    subprocess.run([sys.executable, str(script)], env=environment, check=True, capture_output=True)
