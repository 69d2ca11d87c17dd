"""Environments written for Gym, by its rules before 0.26 or from then on, without importing Gym."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlcore.config import ConfigError, ShapeError


class OldStyle(Protocol):
    """An environment whose `step` gives four things, or five as Gym 0.26 has it; so `reset` gives one thing or two."""

    observation_space: Any
    action_space: Any

    def reset(self, **seed: Any) -> Any:
        """The first observation; from 0.26 on with its info."""

    def step(self, action: Any) -> tuple[Any, ...]:
        """Observation, reward, done, info; from 0.26 on terminated and truncated in place of done."""


class OldGymEnv(gym.Env[Any, Any]):
    """An old environment with today's interface.

    `done` becomes truncated where `info["TimeLimit.truncated"]` says that the clock ended the episode, else terminated.
    An environment that takes a seed in `reset` gets it there, and one that answers as Gym 0.26 does is passed through.
    """

    def __init__(self, env: OldStyle, render_mode: str | None = None):
        self.env, self.render_mode = env, render_mode
        self.observation_space = convert_space(env.observation_space)
        self.action_space = convert_space(env.action_space)
        told = getattr(env, "metadata", None) or {}
        found = {new: told[key] for old, new in _METADATA for key in (old, new) if key in told}
        self.metadata = {"render_modes": [], **found}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new episode; a seed goes to the old environment's `reset` or `seed`, whichever takes one."""
        super().reset(seed=seed, options=options)
        give = getattr(self.env, "seed", None)
        if seed is not None and _takes(self.env.reset, "seed", anything=not callable(give)):
            started = self.env.reset(seed=seed)
        else:
            if seed is not None and callable(give):
                give(seed)
            started = self.env.reset()
        if isinstance(started, tuple) and len(started) == 2 and isinstance(started[1], dict):
            return self._obs(started[0]), started[1]
        return self._obs(started), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step."""
        stepped = self.env.step(action)
        if len(stepped) == 5:
            obs, reward, terminated, truncated, info = stepped
            return self._obs(obs), float(reward), bool(terminated), bool(truncated), info
        if len(stepped) != 4:
            raise ConfigError(f"step of {type(self.env).__name__} returns {len(stepped)} things; what works is 5 (obs, "
                              "reward, terminated, truncated, info) or Gym's older 4 (obs, reward, done, info).")
        obs, reward, done, info = stepped
        clock = bool(done) and bool(info.get("TimeLimit.truncated", False))
        return self._obs(obs), float(reward), bool(done) and not clock, clock, info

    def render(self) -> Any:
        """What the old environment draws; before Gym 0.26 it is told the mode at every call."""
        if not self.render_mode:
            return None
        draw = self.env.render  # type: ignore[attr-defined]
        return draw(mode=self.render_mode) if _takes(draw, "mode") else draw()

    def close(self) -> None:
        """Close the old environment, where it can be."""
        if callable(close := getattr(self.env, "close", None)):
            close()

    def _obs(self, obs: Any) -> Any:
        """Old environments often gave 64 bits whatever their space said."""
        space = self.observation_space
        return np.asarray(obs, space.dtype) if isinstance(space, spaces.Box) else obs


_METADATA = ("render.modes", "render_modes"), ("video.frames_per_second", "render_fps")  # before Gym 0.26, and since


def _takes(method: Callable[..., Any], name: str, *, anything: bool = False) -> bool:
    """Whether a method has a parameter of this name; or, with `anything`, takes any."""
    parameters = inspect.signature(method).parameters
    return name in parameters or (anything and any(each.kind == each.VAR_KEYWORD for each in parameters.values()))


def is_old_style(env: object) -> bool:
    """Whether this is an environment, but none of Gymnasium's."""
    parts = "reset", "step", "observation_space", "action_space"
    return not isinstance(env, gym.Env) and all(hasattr(env, part) for part in parts)


def convert_space(space: Any) -> spaces.Space[Any]:
    """Gymnasium's space for one of Gym's, which has the same class name and fields.

    Raises:
        ShapeError: a kind of space that has no counterpart here.
    """
    if isinstance(space, spaces.Space):
        return space
    match type(space).__name__:
        case "Box":
            return spaces.Box(space.low, space.high, dtype=space.dtype)
        case "Discrete":
            return spaces.Discrete(int(space.n), start=int(getattr(space, "start", 0)))
        case "MultiDiscrete":
            return spaces.MultiDiscrete(space.nvec)
        case "MultiBinary":
            return spaces.MultiBinary(space.n)
        case "Tuple":
            return spaces.Tuple([convert_space(part) for part in space.spaces])
        case "Dict":
            return spaces.Dict({key: convert_space(part) for key, part in space.spaces.items()})
        case other:
            raise ShapeError(f"A space of type {other} cannot be converted; what works is Box, Discrete, "
                             "MultiDiscrete, MultiBinary, Tuple and Dict.")
