"""bfloat16 where it pays: in wide products and convolutions, and nowhere that is kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import rlcore as rl
from rlcore import catalog
from rlcore.algos.ppo import PPO, PPOConfig
from rlcore.nets.encoders import Pixels
from tests.rlcore.small import config_of
from tests.rlcore.test_matrix import rounds
from tests.rlcore.test_resume_all import Crash, Fate, end_of


class Flicker(gym.Env[Any, Any]):
    """Pictures of noise; bright ones pay for action 1. Episodes of seven steps."""

    observation_space, action_space = spaces.Box(0, 255, (36, 36, 1), np.uint8), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.elapsed = 0
        return self._picture(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.elapsed += 1
        picture = self._picture()
        return picture, float(action == (picture.mean() > 127)), self.elapsed == 7, False, {}

    def _picture(self) -> np.ndarray:
        return self.np_random.integers(0, 256, (36, 36, 1)).astype(np.uint8)


def tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ():
        yield from tensors(part)


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_every_algorithm_learns_from_pictures_in_bfloat16_and_keeps_float32(algo: str):
    acts = min(catalog.algorithm(algo).acts - {"multi_discrete", "multi_binary"})
    agent = rounds(algo, "image", acts, 1, precision="bfloat16")
    nets = [part for part in vars(agent).values() if isinstance(part, nn.Module)]
    eyes = [part for net in nets for part in net.modules() if isinstance(part, Pixels)]
    assert eyes
    assert all(eye.dtype == torch.bfloat16 for eye in eyes)
    assert torch.bfloat16 not in {tensor.dtype for tensor in tensors(agent.state_dict())}


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_bfloat16_run_on_pictures_resumes_to_the_same_bits(algo: str, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch):
    changes = {"horizon": 8} if algo == "ppo" else {"train_every": 8, "learning_starts": 16, "batch_size": 8}
    config, fate = config_of(algo, num_envs=2, hidden=[8], precision="bfloat16", **changes), Fate(algo, monkeypatch)
    options: dict[str, Any] = {"env_steps": 128, "seed": 3, "progress": False}
    rl.train(algo, Flicker, config, run_dir=tmp_path / "whole", checkpoint_s=1e9, **options)
    fate.left = 3
    with pytest.raises(Crash):
        rl.train(algo, Flicker, config, run_dir=tmp_path / "broken", checkpoint_s=0.0, **options)
    fate.left = float("inf")
    rl.resume(tmp_path / "broken", progress=False)
    assert end_of(tmp_path / "broken") == end_of(tmp_path / "whole")


def test_acting_and_learning_round_alike():
    agent = PPO(Flicker.observation_space, Flicker.action_space, PPOConfig(hidden=(8,), precision="bfloat16"))
    picture = np.random.default_rng(0).integers(0, 256, (4, 36, 36, 1)).astype(np.uint8)
    with torch.no_grad():
        agent.model.actor[-1].weight.mul_(100)
        learning = agent.model(torch.from_numpy(picture))[0].log_probs
    acting = torch.from_numpy(agent.policy.forward(picture)).log_softmax(-1)
    torch.testing.assert_close(acting, learning, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("hidden", "precision", "by_numpy"), [
    ((64, 64), "bfloat16", True), ((128, 128), "float32", True), ((128, 128), "bfloat16", False)])
def test_ppo_leaves_numpy_only_where_something_is_rounded(hidden: tuple[int, ...], precision: Any, by_numpy: bool):
    agent = PPO(spaces.Box(-1, 1, (3,)), spaces.Discrete(2), PPOConfig(hidden=hidden, precision=precision))
    assert (agent.quick is not None) == by_numpy
