"""Rollouts written by hand, a network whose outputs can be read off, and training without a run folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.data.rollout import Rollout
from rlcore.envs.make import make_env
from rlcore.envs.probe import obs_space
from rlcore.nets.dists import Categorical
from rlcore.sampling.collect import Collector

LINE = spaces.Box(-100, 100, (1,), np.float32)

ACTION_SPACES: dict[str, spaces.Space[Any]] = {
    "Discrete": spaces.Discrete(3, start=1),
    "Box d=1": spaces.Box(-1, 1, (1,), np.float32),
    "Box d=3, bounds ±2": spaces.Box(-2, 2, (3,), np.float32),
    "Box 2 × 2, uneven bounds": spaces.Box(np.float32([[0, -1], [-5, 2]]), np.float32([[1, 3], [5, 9]])),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(4),
}


class Known(nn.Module):
    """V(s) = w·s, and logits (0, w·log 3): with w = 1, π(1) = ¾ everywhere and V is the observation."""

    core, value_scale = None, 1.0

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, obs: Tensor, *_: Tensor) -> tuple[Categorical, Tensor]:
        logits = self.w * torch.tensor([0, np.log(3)]).float().expand(*obs.shape[:-1], 2)
        return Categorical(logits), self.w * obs[..., 0]


def rollout(obs: list[float], reward: list[float], terminated: tuple[int, ...] = (), truncated: tuple[int, ...] = (),
            dummies: tuple[int, ...] = (), action: list[int] | None = None, **extra: list[float]) -> Rollout:
    """One environment's steps; `obs` has one more, rows are named by their number. Every action is 1 if not given."""
    steps = len(reward)

    def at(rows: tuple[int, ...]) -> Tensor:
        return torch.tensor([[step in rows] for step in range(steps)])

    seen, chosen = torch.tensor(obs)[:, None, None], torch.tensor(action or [1] * steps)[:, None]
    return Rollout(seen[:-1], chosen, torch.tensor(reward)[:, None], at(terminated), at(truncated), ~at(dummies),
                   at((0, *(row + 1 for row in dummies))), torch.zeros(steps, 1, 0), seen[-1],
                   {name: torch.tensor(column)[:, None] for name, column in extra.items()})


def practise(agent: Any, place: Callable[[], Any], env_steps: int, seed: int = 1,
             options: Any = None) -> dict[str, float]:
    """Train on copies of a probe. Returns the last update's metrics and the mean return of the last 100 episodes."""
    env = make_env(place, agent.cfg.num_envs, seed=seed, backend="sync", options=options)
    sampler, step, totals = Collector(env, agent, agent.cfg.horizon, seed=seed), 0, [0.0]
    while step < env_steps:
        data = sampler.collect(step)
        metrics = agent.update(data, step / env_steps)
        step += data.num_rows
        totals += [episode.total for episode in sampler.take_episodes()]
    sampler.close()
    return {name: float(value) for name, value in metrics.items()} | {"return": float(np.mean(totals[-100:]))}


def build(kind: Any, place: Callable[[], Any], config: Any) -> Any:
    """An agent for a probe, always with the same first weights."""
    torch.manual_seed(1)
    env = place()
    return kind(env.observation_space, env.action_space, config, seed=1)


def value_at(agent: Any, *obs: float) -> float:
    """V(s) by the agent's own critic."""
    with torch.no_grad():
        return float(agent.acting(torch.tensor([obs]))[1])


class Strict(gym.Env[Any, Any]):
    """Any action space, and a complaint about actions outside it. Noise to see, reward 1, episodes of 5 steps."""

    def __init__(self, action_space: spaces.Space[Any]):
        self.observation_space, self.action_space, self.elapsed = obs_space(2), action_space, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.elapsed = 0
        return self._noise(), {"cost": 0.0}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is outside {self.action_space}"
        self.elapsed += 1
        return self._noise(), 1.0, self.elapsed == 5, False, {"cost": 0.5}

    def _noise(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)
