"""Statistics of what environments give: rewards in units that a value network can learn, costs per episode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlcore.data.rollout import Rollout
from rlcore.ops.returns import discounted
from rlcore.ops.running import merge_moments


class RewardScale:
    """Divides rewards by the running deviation of the discounted return. Engstrom et al. 2020, arXiv:2005.12729, §3.

    factor: what they are multiplied by then.
    """

    def __init__(self, num_envs: int, gamma: float, limit: float = 10.0, factor: float = 1.0):
        self.gamma, self.limit, self.factor, self.carry = gamma, limit, factor, torch.zeros(num_envs)
        self.mean, self.var, self.count = torch.zeros(()), torch.ones(()), torch.tensor(1e-4)

    def learn(self, rollout: Rollout) -> None:
        """Take a rollout's returns into the statistics."""
        returns = discounted(rollout.reward.cpu(), self.gamma * ~rollout.start.cpu(), self.carry)
        self.carry = returns[-1]
        counted = returns[rollout.valid.cpu()]
        if len(counted):
            self.mean, self.var, self.count = merge_moments(self.mean, self.var, self.count, counted)

    def scale(self, reward: Tensor) -> Tensor:
        """Rewards in units of the return's deviation, clipped to ±limit, times the factor. [...] → [...]"""
        return (reward * (self.var + 1e-8).rsqrt().to(reward.device)).clamp(-self.limit, self.limit) * self.factor

    def state_dict(self) -> dict[str, Any]:
        """The return under way and its statistics."""
        return {name: getattr(self, name) for name in ("carry", "mean", "var", "count")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        vars(self).update({**state, "carry": _carried(state["carry"], self.carry)})


class RewardFactor:
    """Multiplies rewards by a number: what `RewardScale` does, where nothing is measured."""

    def __init__(self, factor: float):
        self.factor = factor

    def learn(self, rollout: Rollout) -> None:
        """What is seen changes nothing."""

    def scale(self, reward: Tensor) -> Tensor:
        """[...] → [...]"""
        return reward * self.factor

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the factor is a setting."""
        return {}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Nothing to put back."""


def reward_scale(cfg: Any) -> RewardScale | RewardFactor | None:
    """What a config's `normalize_reward` and `reward_scale` ask for."""
    if cfg.normalize_reward:
        return RewardScale(cfg.num_envs, cfg.gamma, factor=cfg.reward_scale)
    return None if cfg.reward_scale == 1 else RewardFactor(cfg.reward_scale)


class EpisodeCost:
    """The mean undiscounted cost of the episodes that end in a rollout, those begun in earlier ones included."""

    def __init__(self, num_envs: int):
        self.carry = torch.zeros(num_envs)

    def learn(self, rollout: Rollout) -> float | None:
        """Take a rollout's column "cost"; None where no episode ended in it."""
        totals = discounted(rollout.extra["cost"].cpu(), (~rollout.start).float().cpu(), self.carry)
        self.carry = totals[-1]
        ended = totals[(rollout.terminated | rollout.truncated).cpu()]
        return float(ended.mean()) if len(ended) else None

    def state_dict(self) -> dict[str, Any]:
        """The costs of the episodes under way."""
        return {"carry": self.carry}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.carry = _carried(state["carry"], self.carry)


def _carried(saved: Tensor, own: Tensor) -> Tensor:
    """The sums of episodes under way, of which another number of environments has none. [B], [B'] → [B']"""
    return saved if saved.shape == own.shape else torch.zeros_like(own)
