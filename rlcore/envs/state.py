"""Saving the state of environments, so that a killed run continues with the same bits.

Nothing is pickled. An environment is saved by the plain data it holds: numbers, strings, arrays, random generators
and, for MuJoCo, the arrays of its simulation. One that holds anything else that could change, a Box2D world for
example, cannot be saved, and `save_env_state` says so by returning None.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv, VectorWrapper

from rlcore.arrays import Array
from rlcore.envs.make import Env
from rlcore.envs.process import ProcessVectorEnv

# What stays as it was built: spaces, registration, rendering and helpers. Saving the rest is enough.
_FIXED = {"env", "envs", "env_fns", "spec", "_spec", "metadata", "observation_space", "action_space",
          "single_observation_space", "single_action_space", "screen", "screens", "surf", "clock", "render_mode",
          "mujoco_renderer", "model", "_cached_spec", "_action_space", "_observation_space", "_metadata"}
_PLAIN = (int, float, bool, str, type(None), np.generic)


class _CannotSave(Exception):
    """The environment holds something that is not plain data."""


def save_env_state(env: Env) -> list[Any] | None:
    """Everything that can change in a vector environment, as plain data; None where that is not possible."""
    vector = env.env
    if isinstance(vector, ProcessVectorEnv):
        states = vector.apply(save_single)
        return None if None in states else [to_tensors(states), torch.from_numpy(vector.ended)]
    try:
        return [_save_object(part) for part in _parts(vector)]
    except _CannotSave:
        return None


def load_env_state(env: Env, state: list[Any]) -> None:
    """Put back what `save_env_state` gave into an environment made the same way."""
    env.reset()  # builds what environments build lazily
    vector = env.env
    if isinstance(vector, ProcessVectorEnv):
        vector.apply(load_single, to_arrays(state[0]))
        vector.ended = state[1].numpy()
    else:
        _load_objects(_parts(vector), state)


def save_single(env: gym.Env[Any, Any]) -> list[dict[str, Any]] | None:
    """The same for one environment, as its worker process asks."""
    try:
        return [to_arrays(_save_object(part)) for part in _layers(env)]
    except _CannotSave:
        return None


def load_single(env: gym.Env[Any, Any], state: list[dict[str, Any]]) -> None:
    """Put back what `save_single` gave."""
    env.reset()  # builds what environments build lazily
    _load_objects(_layers(env), to_tensors(state))


def to_arrays(tree: Any) -> Any:
    """Nested plain data with arrays in place of tensors, which cross between processes by value."""
    return _replaced(tree, torch.Tensor, torch.Tensor.numpy)


def to_tensors(tree: Any) -> Any:
    """The inverse of `to_arrays`."""
    return _replaced(tree, np.ndarray, torch.from_numpy)


def _replaced(tree: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    match tree:
        case dict():
            return {key: _replaced(value, kind, change) for key, value in tree.items()}
        case list():
            return [_replaced(item, kind, change) for item in tree]
        case _:
            return change(tree) if isinstance(tree, kind) else tree


def _load_objects(parts: list[Any], state: list[dict[str, Any]]) -> None:
    for part, saved in zip(parts, state, strict=True):
        for name, value in saved.items():
            _load_value(part, name, value)


def _parts(env: VectorEnv[Any, Any, Any]) -> list[Any]:
    """The vector environment and every environment and wrapper inside it, outermost first."""
    parts: list[Any] = [env]
    while isinstance(env, VectorWrapper):
        env = env.env
        parts.append(env)
    singles = env.envs if isinstance(env, SyncVectorEnv) else ()
    return parts + [layer for single in singles for layer in _layers(single)]


def _layers(env: gym.Env[Any, Any]) -> list[Any]:
    """An environment's wrappers, outermost first, then itself."""
    layers: list[Any] = []
    while isinstance(env, gym.Wrapper):
        layers.append(env)
        env = env.env
    return [*layers, env]


def _save_object(part: Any) -> dict[str, Any]:
    return {name: _save_value(name, value) for name, value in vars(part).items() if name not in _FIXED}


def _save_value(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _save_array(value)
    if isinstance(value, np.random.Generator):
        return {"generator": value.bit_generator.state}
    if isinstance(value, tuple | list):
        items = [_save_value(name, item) for item in value]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        return {"pairs": [[_save_value(name, key), _save_value(name, item)] for key, item in value.items()]}
    if _is_mujoco_data(value):
        return {"mujoco": {key: torch.from_numpy(array.copy()) for key, array in _mujoco_arrays(value).items()}}
    if type(value).__module__.startswith("rlcore.envs."):
        return {"object": _save_object(value)}
    if callable(value) or type(value).__module__.split(".")[0] in ("enum", "gymnasium"):
        return {"fixed": type(value).__name__}
    raise _CannotSave(name)


def _save_array(array: Array) -> Any:
    if array.dtype.kind in "SU":  # a map drawn in letters
        return {"letters": torch.from_numpy(array.copy().view(np.uint8)), "dtype": array.dtype.str}
    return torch.from_numpy(array.copy())


def _load_value(part: Any, name: str, saved: Any) -> None:
    old: Any = getattr(part, name, None)
    match saved:
        case {"fixed": _}:
            return
        case {"object": values}:
            for key, item in values.items():
                _load_value(old, key, item)
        case {"generator": state}:
            old.bit_generator.state = state
        case [{"generator": _}, *_]:
            for generator, item in zip(old, saved, strict=True):
                generator.bit_generator.state = item["generator"]
        case {"mujoco": arrays}:
            for key, array in _mujoco_arrays(old).items():
                # constraint rows come and go with contacts; each step computes them afresh
                if key in arrays and tuple(arrays[key].shape) == array.shape:
                    array[...] = arrays[key].numpy()
        case _:
            setattr(part, name, _plain(saved))


def _plain(saved: Any) -> Any:
    match saved:
        case torch.Tensor():
            return saved.numpy().copy()
        case {"tuple": items}:
            return tuple(_plain(item) for item in items)
        case {"pairs": items}:
            return {_plain(key): _plain(item) for key, item in items}
        case {"letters": letters, "dtype": dtype}:
            return letters.numpy().view(dtype).copy()
        case list():
            return [_plain(item) for item in saved]
        case _:
            return saved


def _is_mujoco_data(value: Any) -> bool:
    if type(value).__name__ != "MjData" or importlib.util.find_spec("mujoco") is None:
        return False
    import mujoco

    return isinstance(value, mujoco.MjData)


def _mujoco_arrays(data: Any) -> dict[str, Any]:
    """Every array and clock of the simulation: the next step may read any of them (warm starts, contact forces)."""
    found = {}
    for name in dir(data):
        if not name.startswith("_"):
            value = getattr(data, name)
            if isinstance(value, np.ndarray) and value.flags.writeable and value.size:
                found[name] = value
    return found
