"""What an agent's action means to an environment, and which spaces an algorithm may be given."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from rlcore.arrays import Array
from rlcore.config import ShapeError

Acts = Literal["discrete", "continuous", "multi_discrete", "multi_binary"]
MASK = "action_mask"  # the part of a dictionary observation that says which choices are legal; nothing to encode


class Actions:
    """Translates between the network's actions and a space's own.

    discrete        choices 0 … A−1 (a space may start elsewhere); int64, one per environment
    continuous      a Box of any shape as one vector: [−1, 1] is stretched over the bounds, and what lies outside is
                    clipped; a dimension without two bounds, or of a range beyond float32, is only clipped; float32 [D]
    multi_discrete  several choices at once; int64 [K]
    multi_binary    several switches; int64 [n]
    """

    kind: Acts
    size: int                  # choices, dimensions, choices of all parts together, or switches
    nvec: tuple[int, ...]      # choices of each part; empty unless multi_discrete
    shape: tuple[int, ...]     # of one action as the network gives it
    dtype: np.dtype[Any]

    def __init__(self, space: spaces.Space[object]):
        self.nvec, self.dtype, self.env_shape = (), np.dtype(np.int64), space.shape or ()
        self.env_dtype: np.dtype[Any] = np.dtype(space.dtype)
        self.start: Array | int = 0
        match space:
            case spaces.Discrete():
                self.kind, self.size, self.shape = "discrete", int(space.n), ()
                self.start = int(space.start)
            case spaces.MultiDiscrete():
                self.kind, self.nvec = "multi_discrete", tuple(int(n) for n in space.nvec.flat)
                self.size, self.shape = sum(self.nvec), (len(self.nvec),)
                self.start = space.start.reshape(-1).astype(np.int64)
            case spaces.MultiBinary():
                self.size = prod(self.env_shape)
                self.kind, self.shape = "multi_binary", (self.size,)
            case spaces.Box() if np.issubdtype(space.dtype, np.floating):
                self.kind, self.size = "continuous", prod(space.shape)
                self.shape, self.dtype = (self.size,), np.dtype(np.float32)
                self.low, self.high = space.low.reshape(-1), space.high.reshape(-1)
                with np.errstate(over="ignore"):
                    low, high = self.low.astype(np.float32), self.high.astype(np.float32)
                    bounded = np.isfinite(high - low)
                low, high = np.where(bounded, low, np.float32(-1)), np.where(bounded, high, np.float32(1))
                self.middle, self.half = (high + low) / 2, (high - low) / 2
                self.plain = bool((self.middle == 0).all() and (self.half == 1).all())
            case _:
                raise ShapeError(f"Actions of {space} are not supported; what works is Discrete, MultiDiscrete, "
                                 "MultiBinary or a Box of floats.")
        self.shifted = bool(np.any(self.start))

    def to_env(self, action: Array) -> Array:
        """[B, …] in the network's units → [B, *space.shape] in the environment's, of its dtype."""
        if self.kind == "continuous":
            # clipped in as many bits as the bounds have: float32(0.1) lies above 0.1
            action = np.clip(action if self.plain else action * self.half + self.middle, self.low, self.high)
        elif self.shifted:
            action = action + self.start
        action = action.astype(self.env_dtype, copy=False)  # not all environments take every type, or all types alike
        return action if self.env_shape == self.shape else action.reshape(len(action), *self.env_shape)

    def random(self, rng: np.random.Generator, count: int) -> Array:
        """Uniform actions in the network's units. [count, …]"""
        match self.kind:
            case "discrete":
                return rng.integers(self.size, size=count)
            case "continuous":
                return rng.uniform(-1, 1, size=(count, self.size)).astype(np.float32)
            case "multi_discrete":
                return rng.integers(self.nvec, size=(count, len(self.nvec)))
            case "multi_binary":
                return rng.integers(2, size=(count, self.size))


def require_actions(algo: str, obs_space: spaces.Space[Any], space: spaces.Space[object], able: set[Acts],
                    instead: str) -> Actions:
    """The action translator, or a refusal that names an algorithm that can.

    instead: those for the other one of discrete and continuous actions. Beside these kinds only PPO's family acts.
    """
    actions = Actions(space)
    if actions.kind not in able:
        kinds = " or ".join(kind.replace("_", "-") for kind in sorted(able))
        raise ShapeError(f"{algo} needs a {kinds} action space, but this one is {space}. "
                         f"{instead if actions.kind in ('discrete', 'continuous') else 'PPO'} can act here.")
    refuse_idle_mask(algo, obs_space, actions)
    return actions


def refuse_idle_mask(algo: str, obs_space: spaces.Space[Any], actions: Actions) -> None:
    """Refuse observations with a mask that nothing could heed: actions are no choices, or it is not one flag each."""
    if not isinstance(obs_space, spaces.Dict) or MASK not in obs_space.spaces:
        return
    if actions.kind in ("continuous", "multi_binary"):
        raise ShapeError(f"{algo} cannot heed the observation's part '{MASK}', because "
                         f"{actions.kind.replace('_', '-')} actions are no choices: leave it out, rename it, or use "
                         "Discrete or MultiDiscrete actions.")
    shape = obs_space[MASK].shape or ()
    if shape != (actions.size,):
        raise ShapeError(f"There are {actions.size} choices, but the observation's part '{MASK}' has the shape "
                         f"{[*shape]}. A mask needs one flag for each choice: [{actions.size}].")


def action_mask(obs: Any) -> Array | None:
    """Which choices are legal, where an observation has a part that says so. [B, A] bool"""
    if not isinstance(obs, dict) or MASK not in obs:
        return None
    mask: Array = obs[MASK].astype(bool)
    return mask


def legal_choices(mask: Array) -> Array:
    """The same, but where nothing is legal, as in an episode's last observation, everything is. [B, A] bool"""
    legal: Array = mask | ~mask.any(-1, keepdims=True)
    return legal


def legal_choice(lot: Array, mask: Array) -> Array:
    """The choice at a share of all legal ones in order: uniform among them where the lots are uniform.

    lot [B] in [0, 1), mask [B, A] bool → [B] int64
    """
    legal = legal_choices(mask)
    place = (lot * legal.sum(-1)).astype(np.int64)
    choice: Array = (legal.cumsum(-1) > place[:, None]).argmax(-1)
    return choice
