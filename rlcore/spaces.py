"""What an agent's action means to an environment."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from rlcore.arrays import Array
from rlcore.config import ShapeError


class Actions:
    """Translates between the network's actions and a space's own.

    Discrete: choices 0 … A−1 (a space may start elsewhere). Box: the network's [−1, 1] is stretched over the
    bounds, and what lies outside is clipped; a dimension without two bounds is only clipped.
    """

    kind: Literal["discrete", "continuous"]
    size: int                # choices, or dimensions
    shape: tuple[int, ...]   # of one action
    dtype: np.dtype[Any]

    def __init__(self, space: spaces.Space[object]):
        match space:
            case spaces.Discrete():
                self.kind, self.size, self.shape, self.dtype = "discrete", int(space.n), (), np.dtype(np.int64)
                self.start = int(space.start)
            case spaces.Box() if len(space.shape) == 1:
                self.kind, self.size, self.shape = "continuous", space.shape[0], space.shape
                self.dtype = np.dtype(np.float32)
                bounded = np.isfinite(space.low) & np.isfinite(space.high)
                self.low, self.high = space.low.astype(np.float32), space.high.astype(np.float32)
                low, high = np.where(bounded, self.low, -1), np.where(bounded, self.high, 1)
                self.middle, self.half = (high + low) / 2, (high - low) / 2
                self.plain = bool((self.middle == 0).all() and (self.half == 1).all())
            case _:
                raise ShapeError(f"Actions of {space} are not supported; what works is Discrete or a Box of one axis.")

    def to_env(self, action: Array) -> Array:
        """[B, …] in the network's units → [B, …] in the environment's."""
        if self.kind == "discrete":
            return action + self.start if self.start else action
        return np.clip(action if self.plain else action * self.half + self.middle, self.low, self.high)

    def random(self, num_envs: int, rng: np.random.Generator) -> Array:
        """Uniform actions in the network's units. [B, …]"""
        if self.kind == "discrete":
            return rng.integers(self.size, size=num_envs)
        return rng.uniform(-1, 1, size=(num_envs, self.size)).astype(np.float32)


def require_vector_obs(algo: str, space: spaces.Space[object]) -> int:
    """The length of a Box observation of one axis; anything else is refused in the algorithm's name."""
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return space.shape[0]
    raise ShapeError(f"{algo} reads observations that are a Box of one axis, and this environment gives {space}. "
                     "Flatten it with gymnasium.wrappers.FlattenObservation.")


def require_actions(algo: str, space: spaces.Space[object], able: set[str], instead: str) -> Actions:
    """The action translator, or a refusal that names an algorithm that can."""
    actions = Actions(space)
    if actions.kind not in able:
        raise ShapeError(f"{algo} needs a {' or '.join(sorted(able))} action space, but this one is {space}. "
                         f"{instead} can act here.")
    return actions
