"""The one collect loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rlcore.arrays import Array
from rlcore.data.rollout import Rollout
from rlcore.envs.make import Env
from rlcore.envs.state import load_env_state, save_env_state
from rlcore.spaces import Actions

Act = Callable[[Array], Array]
"""Observations [B, *obs] → actions [B, …] in the network's units."""


@dataclass(frozen=True)
class Episode:
    """A finished episode: its undiscounted return, and its length in env steps."""

    total: float
    length: int


class Collector:
    """Steps a vector environment T times and hands out the block.

    The rollout's tensors are views of buffers that the next `collect` overwrites.
    """

    def __init__(self, env: Env, horizon: int):
        self.env, self.actions = env, Actions(env.single_action_space)
        num, shape = env.num_envs, env.single_observation_space.shape
        assert shape is not None  # agents have refused every other space already
        self.obs = np.empty((horizon + 1, num, *shape), np.float32)
        self.action = np.empty((horizon, num, *self.actions.shape), self.actions.dtype)
        self.reward = np.empty((horizon, num), np.float32)
        self.terminated, self.truncated, self.valid = (np.empty((horizon, num), bool) for _ in range(3))
        self.running = np.zeros(num)               # return of the episode under way, per environment
        self.elapsed = np.zeros(num, np.int64)     # its length
        self.ended = np.zeros(num, bool)           # its last step was just taken: the next row is a dummy
        self.obs[-1] = env.reset()[0]
        self.episodes: list[Episode] = []          # finished since somebody took them

    def collect(self, act: Act) -> Rollout:
        """T steps with one policy."""
        step, to_env = self.env.step, self.actions.to_env
        obs, action, reward, terminated, truncated = self.obs, self.action, self.reward, self.terminated, self.truncated
        obs[0] = obs[-1]
        for t in range(len(action)):
            action[t] = act(obs[t])
            obs[t + 1], reward[t], terminated[t], truncated[t], _ = step(to_env(action[t]))
        done = terminated | truncated
        self.valid[0], self.valid[1:] = ~self.ended, ~done[:-1]
        self._count_episodes(done)
        self.ended = done[-1].copy()
        columns = (obs[:-1], action, reward, terminated, truncated, self.valid, obs[-1])
        return Rollout(*(torch.from_numpy(column) for column in columns))

    def _count_episodes(self, done: Array) -> None:
        total, length = self.reward.cumsum(0, dtype=np.float64), self.valid.cumsum(0)
        total_before, length_before = -self.running, -self.elapsed
        for t, b in np.argwhere(done):
            self.episodes.append(Episode(float(total[t, b] - total_before[b]), int(length[t, b] - length_before[b])))
            total_before[b], length_before[b] = total[t, b], length[t, b]
        self.running, self.elapsed = total[-1] - total_before, length[-1] - length_before

    def take_episodes(self) -> list[Episode]:
        """The episodes finished since the last call."""
        taken, self.episodes = self.episodes, []
        return taken

    def state_dict(self) -> dict[str, Any]:
        """The environments and everything under way; `env` is None where an environment cannot be saved."""
        return {
            "obs": torch.from_numpy(self.obs[-1].copy()), "running": torch.from_numpy(self.running.copy()),
            "elapsed": torch.from_numpy(self.elapsed.copy()), "ended": torch.from_numpy(self.ended.copy()),
            "episodes": [[episode.total, episode.length] for episode in self.episodes],
            "env": save_env_state(self.env),
        }

    def load_state_dict(self, state: dict[str, Any], fresh_seed: int) -> bool:
        """Continue where `state_dict` was taken. Returns false where the environments had to start new episodes,
        then seeded by `fresh_seed`.
        """
        self.episodes = [Episode(total, length) for total, length in state["episodes"]]
        if state["env"] is None:
            self.obs[-1] = self.env.reset(seed=fresh_seed)[0]
            return False
        load_env_state(self.env, state["env"])
        self.obs[-1] = state["obs"].numpy()
        self.running, self.elapsed, self.ended = (state[key].numpy().copy() for key in ("running", "elapsed", "ended"))
        return True
