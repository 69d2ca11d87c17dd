"""Policies that tests can foresee."""

import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from rlcore.envs.make import Env, make_env
from rlcore.spaces import Actions


class Scripted:
    """Does what a function of the observations says, without exploring."""

    memory_size, extras = 0, ()

    def __init__(self, space: gym.Space[Any], script: Callable[[Any], np.ndarray] | None = None):
        self.actions = Actions(space)
        self.script = script or (lambda obs: np.zeros((len(obs), *self.actions.shape), self.actions.dtype))

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> np.ndarray:
        return np.zeros((horizon, 1), np.float32)

    def act(self, obs: Any, memory: np.ndarray, noise: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.script(obs), memory


class Counting:
    """Remembers how many steps it has seen of each episode, and explores: two choices by a weighted coin."""

    memory_size, extras = 1, ()

    def __init__(self, _obs_space: Any, action_space: Any):
        self.actions = Actions(action_space)
        self.acting = nn.Linear(1, 1)
        with torch.no_grad():
            self.acting.weight.fill_(0.0)
            self.acting.bias.fill_(0.5)

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> np.ndarray:
        return rng.random((horizon, 1))

    def act(self, obs: Any, memory: np.ndarray, noise: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        coin = np.full(len(obs), 0.5) if noise is None else noise[:, 0]
        choice = (coin < float(self.acting.bias.detach())).astype(np.int64)
        return choice, memory + 1

    def log_prob(self, rollout: Any) -> torch.Tensor:
        return torch.full(rollout.reward.shape, float(self.acting.bias.detach().log()))


def cartpoles(first: int, count: int, seed: int = 4) -> Env:
    """Some of a run's CartPoles."""
    return make_env("CartPole-v1", count, seed=seed, backend="sync", first=first)


def breaking(first: int, count: int) -> Env:
    """CartPoles, of which number 2 raises at its first step."""
    env = cartpoles(first, count)
    if first <= 2 < first + count:
        def broken(_action: Any) -> Any:
            raise ValueError("the pole is missing")

        env.env.envs[2 - first].step = broken
    return env


def slow(first: int, count: int, step_s: float) -> Env:
    """CartPoles whose first takes its time for every step."""
    env = cartpoles(first, count)
    step = env.env.envs[0].step

    def slowly(action: Any) -> Any:
        time.sleep(step_s)
        return step(action)

    env.env.envs[0].step = slowly
    return env
