"""Every algorithm and sampler, broken off at many points and resumed, ends with the bits of an unbroken run."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import rlcore as rl
from rlcore import catalog, checkpoint
from rlcore.runs import read_metrics
from tests.rlcore.small import config_of

POINTS = 20


class Crash(BaseException):
    """What no handler expects."""


class Fate:
    """Lets every so many updates of an algorithm fail, as if the process had died there."""

    def __init__(self, algo: str, patch: pytest.MonkeyPatch):
        self.gaps: Iterator[int] = iter(())
        self.left: float = float("inf")
        agent, true_update = catalog.agent_class(algo), catalog.agent_class(algo).update

        def update(*args: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Crash
            return true_update(*args)

        patch.setattr(agent, "update", update)


def plain(tree: Any) -> Any:
    match tree:
        case torch.Tensor():
            return (str(tree.dtype), tuple(tree.shape), tree.numpy().tobytes())
        case dict():
            return {key: plain(value) for key, value in tree.items()}
        case list():
            return [plain(item) for item in tree]
        case _:
            return tree


def end_of(folder: Path) -> Any:
    """Everything that learning depends on, and what was logged, without the clock."""
    newest = checkpoint.latest(folder / "checkpoints")
    assert newest is not None
    parts = {path.stem: checkpoint.load(newest, path.stem) for path in newest.glob("*.json")}
    for clock in ("elapsed_s", "log_bytes"):
        parts["session"].pop(clock)
    rows = read_metrics(folder)
    return plain(parts), {key: repr(values) for key, values in rows.items() if not key.startswith("time")}


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_broken_off_at_twenty_points_and_resumed_it_ends_like_an_unbroken_run(
        algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    entry = catalog.algorithm(algo)
    env = "CartPole-v1" if "discrete" in entry.acts else "Pendulum-v1"
    if algo == "ppo_lagrangian":
        env = "DelayedContinuous-v0"  # one that tells a cost
    steps, changes = 960, {"num_envs": 2, "hidden": [8]}
    changes |= {"horizon": 16} if entry.loop == "on_policy" else {"train_every": 8, "learning_starts": 64, "updates": 1,
                                                                  "batch_size": 8}
    config, fate = config_of(algo, **changes), Fate(algo, monkeypatch)
    rl.train(algo, env, config, env_steps=steps, seed=3, run_dir=tmp_path / "whole", checkpoint_s=1e9, progress=False)

    chance, crashes, folder = random.Random(algo), 0, tmp_path / "broken"
    while True:
        fate.left = chance.randrange(4) if crashes < POINTS else float("inf")
        try:
            if crashes == 0:
                rl.train(algo, env, config, env_steps=steps, seed=3, run_dir=folder, checkpoint_s=0.0, progress=False)
            else:
                rl.resume(folder, progress=False)
            break
        except Crash:
            crashes += 1
    assert crashes == POINTS
    assert end_of(folder) == end_of(tmp_path / "whole")
