"""How the rows of a ring are picked: evenly, or by how surprising they were, the ring and its priorities in step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlcore.data.prioritized import Prioritized
from rlcore.data.replay import Ring
from rlcore.data.rollout import Rollout


class Even:
    """Replay of transitions each as likely as any other: what `Ranked` does, where nothing is ranked."""

    def __init__(self, ring: Ring):
        self.ring, self.ones = ring, torch.ones(0, device=ring.device)

    def add(self, rollout: Rollout) -> None:
        """Into the ring."""
        self.ring.add(rollout)

    def pick(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Flat rows, and their importance, which is 1. → [count], [count]"""
        if len(self.ones) != count:
            self.ones = torch.ones(count, device=self.ring.device)
        return self.ring.pick(count, rng), self.ones

    def learned(self, index: Tensor, error: Tensor, weight: Tensor) -> None:
        """What was found changes nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the ring has its own."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to put back."""


class Ranked:
    """Prioritised replay of single or n-step transitions. Schaul et al. 2015, arXiv:1511.05952, algorithm 1.

    beta_steps: env steps over which β rises to 1; it stays if None.
    """

    def __init__(self, ring: Ring, alpha: float, beta: float, beta_steps: int | None = None):
        self.ring, self.picker = ring, Prioritized(ring.steps * ring.num_envs, alpha, beta)
        self.beta, self.beta_steps = beta, beta_steps

    def add(self, rollout: Rollout) -> None:
        """Into the ring, each real row with the largest priority so far. What cannot be picked any more gets none."""
        ring = self.ring
        if not ring.total:  # an agent that begins as another's last one has its priorities, but not its rows
            self.picker.forget(np.arange(self.picker.tree.size))
        rows = ring.add(rollout)
        valid = rollout.valid.flatten()[-len(rows):].cpu()  # of a block longer than the ring, its end was written
        self.picker.added(rows[valid].numpy())
        # the newest row holds only a successor, and the oldest stacks of a full ring lack their first frames
        edge = ring.head + torch.arange(ring.frames if ring.size == ring.steps - 1 else 1)
        edges = (edge % ring.steps)[:, None] * ring.num_envs + torch.arange(ring.num_envs)
        self.picker.forget(torch.cat([rows[~valid], edges.flatten()]).numpy())

    def pick(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Flat rows by priority, and their importance weights (N·P)^−β / max. → [count], [count]"""
        ring = self.ring
        if self.beta_steps is not None:
            share = min(1.0, ring.env_steps / self.beta_steps)
            self.picker.beta = self.beta + (1 - self.beta) * share
        rows, probability = self.picker.pick(count, rng)
        importance = torch.from_numpy(self.picker.weight(probability)).float()
        return torch.from_numpy(rows).to(ring.device), importance.to(ring.device)

    def learned(self, index: Tensor, error: Tensor, weight: Tensor) -> None:
        """What the rows picked last were found to be: their errors, and weight 0 on those that do not count. [N] ×3"""
        rows, counts = index.cpu().numpy(), weight.cpu().numpy() > 0
        self.picker.learned(rows[counts], error.cpu().numpy()[counts])
        self.picker.forget(rows[~counts])

    def state_dict(self) -> dict[str, Any]:
        """The priorities; the ring has its own."""
        return self.picker.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.picker.load_state_dict(state)


def replay(ring: Ring, cfg: Any, beta_steps: int | None = None) -> Even | Ranked:
    """What a config's `prioritized` asks for."""
    return Ranked(ring, cfg.priority_alpha, cfg.priority_beta, beta_steps) if cfg.prioritized else Even(ring)
