"""What a sampler returns: a block of consecutive steps of all environments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlcore.data.batch import Batch


@dataclass(frozen=True)
class Rollout(Batch):
    """T steps of B environments, time-major.

    obs         [T, B, *obs]   what the agent saw
    action      [T, B, …]      what it did, in the network's units: int64 choices, or a Box scaled to [−1, 1]
    reward      [T, B]         environment units
    terminated  [T, B] bool    the task ended: nothing follows
    truncated   [T, B] bool    the clock ended it: something would have followed
    valid       [T, B] bool    false on the one dummy row after an episode's end (next-step autoreset)
    last_obs    [B, *obs]      the observation after step T
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    valid: Tensor
    last_obs: Tensor

    @property
    def num_rows(self) -> int:
        """T · B, the environment steps in it."""
        return self.reward.numel()

    def all_obs(self) -> Tensor:
        """Every observation from the first to the one after the last step. The row after a truncated step holds
        that step's true successor, because resets come one step later. [T + 1, B, *obs]
        """
        return torch.cat([self.obs, self.last_obs[None]])
