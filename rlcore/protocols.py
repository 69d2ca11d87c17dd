"""The handshakes between rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from rlcore.arrays import Array
from rlcore.data.replay import Ring
from rlcore.data.rollout import Rollout
from rlcore.spaces import Actions

Metrics = Mapping[str, Tensor]
"""Detached scalars by `area/name`; they stay on their device until they are logged."""


class Agent(Protocol):
    """What loops, evaluation and checkpoints need of an algorithm."""

    actions: Actions
    cfg: Any

    def act(self, obs: Array, step: int | None = None) -> Array:
        """Actions in the network's units: exploring as after `step` env steps, or the best known if None."""

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

    def update(self) -> Metrics:
        """One gradient step on a batch from memory."""
