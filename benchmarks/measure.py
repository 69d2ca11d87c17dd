"""One library's training speed on one task, in a process of its own: prints env steps per second.

The clock starts after the first third of the run, so that imports, compiling and warm-up do not count, and covers whole
cycles of collecting and learning. Ours runs as users run it, with its run folder, logs and status file; the peer does
not log.
"""

from __future__ import annotations

import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks.tasks import TASKS, Task

WARM_UP = 1 / 3


def speed(marks: list[tuple[int, float]], task: Task) -> float:
    """Steps per second between the first mark past the warm-up and the last one."""
    start = max(WARM_UP * task.env_steps, float(dict(task.ours).get("learning_starts", 0)))
    counted = [mark for mark in marks if mark[0] >= start]
    (first_step, first_time), (last_step, last_time) = counted[0], counted[-1]
    assert all(before[0] <= after[0] for before, after in pairwise(counted))
    return (last_step - first_step) / (last_time - first_time)


def ours(task: Task) -> list[tuple[int, float]]:
    """Train with rlcore; the marks are its own log."""
    import rlcore as rl
    from rlcore.catalog import config_for
    from rlcore.runs import read_metrics

    options = {"episodic_life": True, "reward_clip": True} if task.atari else None
    with tempfile.TemporaryDirectory() as folder:
        rl.train(task.algo, task.env, config_for(task.algo, task.env, task.ours), env_steps=task.env_steps, seed=1,
                 run_dir=folder, env_options=options, compiled=task.compiled, threads=task.threads, progress=False)
        metrics = read_metrics(Path(folder), ["time_s"], max_points=10_000)
    return [(int(step), seconds) for step, seconds in zip(metrics["step"], metrics["time_s"], strict=True)]


def sb3(task: Task) -> list[tuple[int, float]]:
    """Train with Stable-Baselines3; the marks are its rollouts' ends."""
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

    marks: list[tuple[int, float]] = []

    class Mark(BaseCallback):
        def _on_rollout_start(self) -> None:
            marks.append((self.num_timesteps, time.perf_counter()))

        def _on_step(self) -> bool:
            return True

    options: dict[str, Any] = dict(task.sb3)
    env: Any
    if task.atari:
        import ale_py  # registers the games

        assert ale_py
        # its own wrapper repeats each action four times
        env = VecFrameStack(make_atari_env(task.env, task.num_envs, seed=1, env_kwargs={"frameskip": 1}), 4)
    else:
        env = make_vec_env(task.env, n_envs=task.num_envs, seed=1)
    if options.pop("normalize", False):
        env = VecNormalize(env)
    policy = "CnnPolicy" if task.atari else "MlpPolicy"
    model = getattr(stable_baselines3, task.algo.upper())(policy, env, seed=1, device="cpu", **options)
    model.learn(task.env_steps, callback=Mark())
    return marks


if __name__ == "__main__":
    library, index, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if library == "sb3":
        torch.set_num_threads(threads)
    task = TASKS[index]
    sys.stdout.write(f"{speed({'ours': ours, 'sb3': sb3}[library](task), task):.0f}\n")
