"""What a sampler returns: a block of consecutive steps of all environments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlcore.data.batch import Batch, Obs, tree_map


@dataclass(frozen=True)
class Rollout(Batch):
    """T steps of B environments, time-major. Observations are a tensor or a dictionary of them.

    obs         [T, B, *obs]   what the agent saw
    action      [T, B, …]      what it did, in the network's units (see `rlcore.spaces.Actions`)
    reward      [T, B]         environment units
    terminated  [T, B] bool    the task ended: nothing follows
    truncated   [T, B] bool    the clock ended it: something would have followed
    valid       [T, B] bool    false on the one dummy row after an episode's end (next-step autoreset)
    start       [T, B] bool    true on an episode's first row: memory from before it does not count
    memory      [T, B, M]      what a recurrent agent remembered before each step; M = 0 for others
    last_obs    [B, *obs]      the observation after step T
    extra       [T, B] each    columns that only some have: "cost" (constrained tasks), "log_prob" (of the behaviour
                               policy, where it may be older than the learner's)
    """

    obs: Obs
    action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    valid: Tensor
    start: Tensor
    memory: Tensor
    last_obs: Obs
    extra: dict[str, Tensor]

    @property
    def num_rows(self) -> int:
        """T · B, the environment steps in it."""
        return self.reward.numel()

    def all_obs(self) -> Obs:
        """Every observation from the first to the one after the last step. The row after a truncated step holds
        that step's true successor, because resets come one step later. [T + 1, B, *obs]
        """
        every: Obs = tree_map(lambda seen, last: torch.cat([seen, last[None]]), self.obs, self.last_obs)
        return every

    def all_start(self) -> Tensor:
        """Where episodes begin, for `all_obs`. [T + 1, B]"""
        return torch.cat([self.start, ~self.valid[-1:]])


def sequences(column: Tensor, length: int) -> Tensor:
    """Time cut into pieces, side by side. [T, B, …] → [length, T/length · B, …]"""
    pieces = column.view(-1, length, *column.shape[1:])
    return pieces.transpose(0, 1).flatten(1, 2)
