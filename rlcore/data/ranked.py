"""A ring whose rows are picked by how surprising they were: the two kept in step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rlcore.data.prioritized import Prioritized
from rlcore.data.replay import Ring
from rlcore.data.rollout import Rollout


class Ranked:
    """Prioritised replay of single or n-step transitions. Schaul et al. 2015, arXiv:1511.05952, algorithm 1."""

    def __init__(self, ring: Ring, alpha: float, beta: float):
        self.ring, self.picker = ring, Prioritized(ring.steps * ring.num_envs, alpha, beta)

    def add(self, rollout: Rollout) -> None:
        """Into the ring, each real row with the largest priority so far. What cannot be picked any more gets none."""
        ring = self.ring
        rows = ring.add(rollout)
        valid = rollout.valid.flatten()[-len(rows):].cpu()  # of a block longer than the ring, its end was written
        self.picker.added(rows[valid].numpy())
        # the newest row holds only a successor, and the oldest stacks of a full ring lack their first frames
        edge = ring.head + torch.arange(ring.frames if ring.size == ring.steps - 1 else 1)
        edges = (edge % ring.steps)[:, None] * ring.num_envs + torch.arange(ring.num_envs)
        self.picker.forget(torch.cat([rows[~valid], edges.flatten()]).numpy())

    def pick(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Flat rows by priority, and their importance weights (N·P)^−β / max. → [count], [count]"""
        rows, probability = self.picker.pick(count, rng)
        importance = torch.from_numpy(self.picker.weight(probability)).float()
        return torch.from_numpy(rows).to(self.ring.device), importance

    def learned(self, index: Tensor, error: Tensor, weight: Tensor) -> None:
        """What the rows picked last were found to be: their errors, and weight 0 on those that do not count. [N] ×3"""
        rows, counts = index.cpu().numpy(), weight.cpu().numpy() > 0
        self.picker.learned(rows[counts], error.cpu().numpy()[counts])
        self.picker.forget(rows[~counts])
