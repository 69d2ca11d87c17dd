"""The handshakes between rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.data.replay import Ring
from rlcore.data.rollout import Rollout
from rlcore.spaces import Actions

Metrics = Mapping[str, Tensor]
"""Detached scalars by `area/name`; they stay on their device until they are logged."""


class Policy(Protocol):
    """What acts. Acting is a pure function of weights, observation, memory and noise: so it does not matter which
    process does it, and a rollout is the same bits however it was sampled.
    """

    actions: Actions
    memory_size: int          # floats that a recurrent policy remembers per environment; 0 for others
    extras: tuple[str, ...]   # what it wants to know of each step beside the usual: names in the environment's info

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:
        """The randomness that environment number `env` needs to explore for some steps. → [T, n]

        step: env steps of the whole run so far, for exploration that fades.
        """

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """(actions in the network's units, memory after them): exploring by the noise [B, n], or the best known
        actions if None. obs [B, *obs] or a dictionary of such, memory [B, M].
        """


class Agent(Policy, Protocol):
    """What loops, evaluation and checkpoints need of an algorithm."""

    cfg: Any
    acting: nn.Module         # the networks that `act` reads: what a sampling process needs a copy of

    def state_dict(self) -> dict[str, Any]:
        """Everything that learning changes, random generators included, as nested plain data and tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""


class OnPolicyAgent(Agent, Protocol):
    """Learns once from each rollout of its current policy."""

    def update(self, rollout: Rollout, progress: float) -> Metrics:
        """One round of learning; progress in [0, 1] drives schedules."""


class OffPolicyAgent(Agent, Protocol):
    """Learns from remembered experience."""

    memory: Ring

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory, and into whatever statistics are kept."""

    def update(self) -> Metrics:
        """One gradient step on a batch from memory."""
