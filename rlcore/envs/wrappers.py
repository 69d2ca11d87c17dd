"""One form for what environments show and one rule for how episodes follow each other.

Normal form of observations: a single array, or one level of named arrays whose names keep the path they had
(`robot/arm`, `pair/0`). Floats have 32 bits; everything else keeps its type.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from rlcore.arrays import Array
from rlcore.config import ConfigError, ShapeError

logger = logging.getLogger("rlcore")
Space = spaces.Space[Any]
Step = tuple[Any, Array, Array, Array, dict[str, Any]]


def time_limit(steps: int) -> int:
    """The length that an episode may have, where Gymnasium's −1 stands for no limit.

    Raises:
        ConfigError: no episode has such a length.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or (steps < 1 and steps != -1):
        raise ConfigError(f"max_episode_steps={steps!r} must be a whole number of at least 1, or -1 for no limit.")
    return 2**62 if steps == -1 else steps


def normal_space(space: Space) -> Space:
    """The space of `normal_obs`.

    Raises:
        ShapeError: a part has no fixed size, such as text, or the same path as another.
    """
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return _narrow(space)
    for path, count in Counter(name for name, _ in named_spaces(space)).items():
        if count > 1:
            raise ShapeError(f"{count} parts of the observation have the path '{path}', and only one of them would be "
                             "seen: give each another name, without '/'.")
    return spaces.Dict({name: _narrow(part) for name, part in named_spaces(space)})


def normal_obs(space: Space, obs: Any) -> Any:
    """An observation of `space`, one or a batch of them, in its normal form. Pixels are not copied."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return narrow_array(obs)
    return {name: narrow_array(value) for name, value in named_parts(obs)}


def narrow_array(value: Any) -> Any:
    """One array in its normal form."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def named_parts(obs: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays in nested dictionaries and tuples by their paths; an array alone has the path ""."""
    if isinstance(obs, dict | tuple):
        for key, part in obs.items() if isinstance(obs, dict) else enumerate(obs):
            yield from named_parts(part, f"{path}/{key}" if path else str(key))
    else:
        yield path, obs


def named_spaces(space: Space, path: str = "") -> Iterator[tuple[str, Space]]:
    """The spaces in nested dictionaries and tuples by their paths; a space alone has the path ""."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        named = space.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, part in named:
            yield from named_spaces(part, f"{path}/{key}" if path else str(key))
    else:
        yield path, space


def close_env(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any]) -> None:
    """Close it; that this fails is only said, because whoever closes an environment has what they wanted of it."""
    try:
        env.close()
    except Exception as error:
        logger.warning("%s could not be closed: %s: %s", env, type(error).__name__, error)


class NormalObs(VectorWrapper[Any, Any, Any, Any, Any]):
    """Shows the observations of a vector environment in their normal form."""

    def __init__(self, env: VectorEnv[Any, Any, Any]):
        super().__init__(env)
        self._inner_space = env.single_observation_space
        normal = normal_space(self._inner_space)
        self.changes_obs = normal != self._inner_space
        if self.changes_obs:
            self.single_observation_space = normal
            self.observation_space = batch_space(normal, env.num_envs)

    def normal(self, obs: Any) -> Any:
        """The observations of all environments, or some, in their normal form."""
        return normal_obs(self._inner_space, obs) if self.changes_obs else obs

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start all episodes anew."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self.normal(obs), info

    def step(self, actions: Any) -> Step:
        """One step of every environment."""
        obs, *rest = self.env.step(actions)
        return (self.normal(obs), *rest)

    def close(self, **_: Any) -> None:
        """Close all environments, as `close_env` does."""
        close_env(self.env)


class NextStep(VectorWrapper[Any, Any, Any, Any, Any]):
    """Next-step autoreset for a vector environment that resets in the same step, or not at all.

    The step of an end returns the episode's own last observation. The step after it begins a new episode by a reset of
    these environments alone, which the environment inside must know as `options["reset_mask"]`.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]):
        super().__init__(env)
        self.same_step = env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
        self.metadata = {**env.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.ended = np.zeros(env.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start episodes anew, everywhere or where `options["reset_mask"]` is true."""
        self.ended = self.ended & np.logical_not((options or {}).get("reset_mask", True))
        return self.env.reset(seed=seed, options=options)

    def step(self, actions: Any) -> Step:
        """One step of every environment whose episode goes on; the others begin a new one."""
        fresh = self.ended
        obs, reward, terminated, truncated, info = self.env.step(actions)
        if fresh.any():  # they were stepped as well, having been reset when they ended: once more from the start
            obs, _ = self.env.reset(options={"reset_mask": fresh.copy()})
        terminated, truncated = terminated & ~fresh, truncated & ~fresh
        self.ended = terminated | truncated
        if self.ended.any():
            if self.same_step:
                for row in np.flatnonzero(self.ended):
                    _put(obs, int(row), info["final_obs"][row])
                info = _with_rows(info, self.ended, info.get("final_info", {}))
            else:
                self.env.reset(options={"reset_mask": self.ended.copy()})  # so that they can be stepped again
        return obs, np.where(fresh, 0, reward), terminated, truncated, info


class ActionMaskObs(gym.Wrapper[Any, Any, Any, Any]):
    """Shows which actions are allowed as part of the observation: {"obs": …, "action_mask": [A] of 0 and 1}."""

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env)
        if not isinstance(env.action_space, spaces.Discrete):
            raise ConfigError(f"action_mask=True needs a Discrete action space, but this one is {env.action_space}.")
        mask = spaces.MultiBinary(int(env.action_space.n))
        self.observation_space = spaces.Dict({"obs": env.observation_space, "action_mask": mask})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._masked(obs, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._masked(obs, info), reward, terminated, truncated, info

    def _masked(self, obs: Any, info: dict[str, Any]) -> dict[str, Any]:
        if "action_mask" not in info:
            name = type(self.unwrapped).__name__ if self.spec is None else self.spec.id
            raise ConfigError(f"action_mask=True, but {name} gives no info['action_mask'].")
        mask = np.asarray(info["action_mask"], np.int8)
        if mask.shape != (num := int(self.action_space.n),):  # type: ignore[attr-defined]  # __init__ has refused others
            raise ShapeError(f"There are {num} choices, but info['action_mask'] has the shape {[*mask.shape]}. A mask "
                             f"needs one flag for each choice: [{num}].")
        return {"obs": obs, "action_mask": mask}


class WithoutText(gym.ObservationWrapper[Any, Any, Any]):
    """Leaves out the texts among the observations, such as MiniGrid's mission."""

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Dict)
        kept = {key: part for key, part in env.observation_space.items() if not isinstance(part, spaces.Text)}
        # MiniGrid's missions are a space of their own, without the fixed shape that all others have
        self.observation_space = spaces.Dict({key: part for key, part in kept.items() if part.shape is not None})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The parts that are numbers."""
        assert isinstance(self.observation_space, spaces.Dict)
        return {key: observation[key] for key in self.observation_space}


class Single(gym.Env[Any, Any]):
    """One environment, played by a vector environment of one copy: for engines that have nothing else."""

    def __init__(self, vector: VectorEnv[Any, Any, Any]):
        self.vector, self.ended, self.obs = vector, False, None
        self.observation_space, self.action_space = vector.single_observation_space, vector.single_action_space
        self.render_mode = "rgb_array" if _is_stack_of_frames(self.observation_space) else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new episode. After an end the engine resets itself, which for a lost life means to play on."""
        super().reset(seed=seed)
        if self.ended and seed is None:
            obs, _, _, _, info = self.vector.step(np.stack([np.asarray(self.action_space.sample())]))
        else:
            obs, info = self.vector.reset(seed=None if seed is None else [seed], options=options)  # type: ignore[arg-type]
        self.ended = False
        self.obs = _first(obs)
        return self.obs, _info(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step."""
        obs, reward, terminated, truncated, info = self.vector.step(np.stack([np.asarray(action)]))
        self.obs, self.ended = _first(obs), bool(terminated[0] or truncated[0])
        return self.obs, float(reward[0]), bool(terminated[0]), bool(truncated[0]), _info(info)

    def render(self) -> Array | None:
        """The newest frame as the agent sees it, [height, width, 3]; None where it sees no frames."""
        return None if self.render_mode is None or self.obs is None else np.repeat(self.obs[-1][..., None], 3, -1)

    def close(self) -> None:
        """Stop the engine."""
        self.vector.close()


def _narrow(space: Space) -> Space:
    match space:
        case spaces.Box() if space.dtype == np.float64:
            with np.errstate(over="ignore"):  # bounds beyond what 32 bits hold are no bounds
                low, high = space.low.astype(np.float32), space.high.astype(np.float32)
            return spaces.Box(low, high, dtype=np.float32)
        case spaces.Box() | spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            return space
        case _:
            raise ShapeError(f"Observations of {space} are not supported; what works is Box, Discrete, MultiDiscrete, "
                             "MultiBinary, and any Dict or Tuple of them.")


def _put(obs: Any, row: int, value: Any) -> None:
    if isinstance(obs, dict):
        for key, part in obs.items():
            _put(part, row, value[key])
    elif isinstance(obs, tuple):
        for part, item in zip(obs, value, strict=True):
            _put(part, row, item)
    else:
        obs[row] = value


def _with_rows(info: dict[str, Any], rows: Array, other: dict[str, Any]) -> dict[str, Any]:
    """The info of a vector environment, with some rows of another."""
    changed = dict(info)
    for key, value in other.items():
        if isinstance(value, dict):
            changed[key] = _with_rows(info.get(key, {}), rows, value)
        else:
            mine = rows.reshape(-1, *[1] * (np.ndim(value) - 1))
            changed[key] = np.where(mine, value, info.get(key, np.zeros_like(value)))
    return changed


def _first(obs: Any) -> Any:
    return {key: part[0] for key, part in obs.items()} if isinstance(obs, dict) else obs[0]


def _info(info: dict[str, Any]) -> dict[str, Any]:
    """The info of the only copy: engines give arrays, one number per copy."""
    return {key: value[0] for key, value in info.items() if isinstance(value, np.ndarray) and len(value) == 1}


def _is_stack_of_frames(space: Space) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3
