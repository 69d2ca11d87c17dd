"""Replay memory: a ring that stores every observation once, and a picker of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlcore.config import ConfigError
from rlcore.data.batch import Batch
from rlcore.data.rollout import Rollout


@dataclass(frozen=True)
class Transitions(Batch):
    """Single steps picked from memory. All fields [N, …].

    weight is 0 on the dummy rows after an episode's end, so that shapes stay static, and 1 elsewhere.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    terminated: Tensor
    next_obs: Tensor
    weight: Tensor


class Ring:
    """The last `capacity` environment steps of B environments, time-major, oldest overwritten first.

    A row's successor observation is the next row's observation: next-step autoreset puts an episode's true last
    observation there, also when the clock cut it, so nothing is stored twice.
    """

    def __init__(self, capacity: int, num_envs: int):
        self.steps = capacity // num_envs + 1  # one row more: it holds only the newest successor
        if self.steps < 3:
            raise ConfigError(f"capacity={capacity} must hold at least two steps of {num_envs} environments. "
                              f"Try {max(1000, 100 * num_envs)}.")
        self.num_envs, self.head, self.size = num_envs, 0, 0
        self.rows: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return self.size * self.num_envs

    def add(self, rollout: Rollout) -> None:
        """Write T steps of all environments; of a block longer than the memory, its end."""
        if not self.rows:
            self._allocate(rollout)
        length = len(rollout.reward)
        index = (self.head + torch.arange(length)) % self.steps
        for name, column in self.rows.items():
            column[index[-self.steps:]] = getattr(rollout, name)[-self.steps:]
        self.head = (self.head + length) % self.steps
        self.rows["obs"][self.head] = rollout.last_obs
        self.size = min(self.size + length, self.steps - 1)

    def break_off(self) -> None:
        """What is added next does not follow from the newest step: nobody may learn that it did."""
        if self.size:
            self.rows["valid"][self.head - 1] = False

    def _allocate(self, rollout: Rollout) -> None:
        for name in ("obs", "action", "reward", "terminated", "valid"):
            example = getattr(rollout, name)
            self.rows[name] = torch.zeros(self.steps, *example.shape[1:], dtype=example.dtype)

    def transitions(self, count: int, rng: np.random.Generator) -> Transitions:
        """Rows picked uniformly, with replacement. → [count, …]"""
        picked = rng.integers(self.size * self.num_envs, size=count)
        age, column = np.divmod(picked, self.num_envs)
        row = (self.head - 1 - age) % self.steps
        index = torch.from_numpy(row * self.num_envs + column)
        after = torch.from_numpy((row + 1) % self.steps * self.num_envs + column)
        flat = {name: values.flatten(0, 1) for name, values in self.rows.items()}
        take = {name: values.index_select(0, index) for name, values in flat.items()}
        return Transitions(
            take["obs"], take["action"], take["reward"], take["terminated"],
            next_obs=flat["obs"].index_select(0, after), weight=take["valid"].float(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything written so far, as views; unwritten rows cost nothing."""
        used = self.steps if self.size == self.steps - 1 else self.head + 1
        return {"head": self.head, "size": self.size, "rows": {k: v[:used] for k, v in self.rows.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.head, self.size = state["head"], state["size"]
        self.rows = {}
        for name, saved in state["rows"].items():
            self.rows[name] = torch.zeros(self.steps, *saved.shape[1:], dtype=saved.dtype)
            self.rows[name][: len(saved)] = saved
