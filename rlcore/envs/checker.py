"""What is wrong with an environment, in plain sentences, before anybody trains in it."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlcore.config import ShapeError
from rlcore.envs.make import Factory, make_single, origin_of
from rlcore.envs.wrappers import normal_obs, normal_space

_HUGE = 100.0   # networks start from weights meant for inputs around 1
_LIMIT_S = 5.0  # a slow environment is watched no longer than this


def check_env(env: str | Factory, *, options: Mapping[str, Any] | None = None, seed: int = 0,
              steps: int = 2000) -> list[str]:
    """Everything wrong or doubtful about an environment, found by playing it at random; empty where nothing is.

    env: as `make_env` takes it. Whatever the environment does wrong becomes a sentence, never an exception.
    """
    findings: list[str] = []
    try:
        one, other = _make(env, options), _make(env, options)
    except Exception as error:
        return [f"It cannot be made: {_words(error)}"]
    for check in (_check_spaces, _check_protocol, _check_play, _check_determinism):
        try:
            fatal = check(one, other, findings, seed, steps)
        except Exception as error:
            findings.append(f"It fails while it is played: {_words(error)}")
            break
        if fatal:
            break
    for each in (one, other):
        try:
            each.close()
        except Exception as error:
            findings.append(f"close() fails: {_words(error)}")
    return list(dict.fromkeys(findings))


def _make(env: str | Factory, options: Mapping[str, Any] | None) -> gym.Env[Any, Any]:
    origin = origin_of(env, dict(options or {}))
    if origin.spec is not None:  # Gymnasium's own checks would answer with exceptions
        spec = replace(origin.spec, disable_env_checker=True, order_enforce=False)
        origin = replace(origin, spec=spec)
    return make_single(origin)


def _check_spaces(env: gym.Env[Any, Any], _: Any, findings: list[str], *__: Any) -> bool:
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, spaces.Space):
            findings.append(f"{name} is {type(space).__name__}; it must be a gymnasium.spaces space, set in __init__.")
    action = getattr(env, "action_space", None)
    if isinstance(action, spaces.Box) and not (np.isfinite(action.low) & np.isfinite(action.high)).all():
        findings.append("The action space has bounds that are not finite. Give both bounds of every dimension, such as "
                        "Box(-1, 1, …): actions are scaled to them.")
    if any("space," in finding for finding in findings):
        return True
    try:
        normal_space(env.observation_space)
    except ShapeError as error:
        findings.append(str(error))
    return False


def _check_protocol(env: gym.Env[Any, Any], _: Any, findings: list[str], seed: int, __: int) -> bool:
    """What reset and step return, asked of the environment itself: wrappers cannot take a wrong number of things."""
    bare = env.unwrapped
    try:
        started = bare.reset(seed=seed)
    except TypeError as error:
        findings.append(f"reset(seed=…) fails: {error}. It must take the keywords seed and options.")
        return True
    if not (isinstance(started, tuple) and len(started) == 2 and isinstance(started[1], dict)):
        findings.append("reset must return two things: the observation, and an info dictionary.")
        return True
    stepped = bare.step(_sample(bare.action_space, started[1]))
    if not (isinstance(stepped, tuple) and len(stepped) == 5):
        count = len(stepped) if isinstance(stepped, tuple) else 1
        findings.append(f"step returns {count} things instead of 5: obs, reward, terminated, truncated, info. "
                        "`truncated` says that the clock, not the task, ended the episode.")
        return True
    return False


def _limit(env: gym.Env[Any, Any]) -> int | None:
    """The steps after which the outermost clock, if any, ends an episode."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, gym.wrappers.TimeLimit):
            return int(env._max_episode_steps)
        env = env.env
    return None if env.spec is None else env.spec.max_episode_steps


def _check_play(env: gym.Env[Any, Any], _: Any, findings: list[str], seed: int, steps: int) -> bool:
    env.action_space.seed(seed)
    obs, info = env.reset(seed=seed)
    _check_obs(env.observation_space, obs, "reset", findings)
    _check_mask(env.action_space, info, findings)
    largest, ends, cuts, both, started, taken = _largest(env, obs), 0, 0, 0, time.monotonic(), 0
    while taken < steps and time.monotonic() - started < _LIMIT_S:
        before, kept = obs, copy.deepcopy(obs)
        obs, reward, terminated, truncated, info = env.step(_sample(env.action_space, info))
        taken += 1
        if not _same(env, before, kept):
            findings.append("step changes the array that it or reset gave before: whoever kept that observation has "
                            "another one now. Return a copy.")
        _check_obs(env.observation_space, obs, "step", findings)
        _check_rest(reward, terminated, truncated, info, findings)
        largest = max(largest, _largest(env, obs))
        ends, cuts, both = ends + bool(terminated), cuts + bool(truncated), both + bool(terminated and truncated)
        if terminated or truncated:
            obs, info = env.reset()
            _check_obs(env.observation_space, obs, "reset", findings)
        _check_mask(env.action_space, info, findings)
    limit = _limit(env)
    if not (ends or cuts or (limit and limit > taken)):
        findings.append(f"No episode ended within {taken} steps of random actions. Nothing is learned about returns "
                        "until one does: set max_episode_steps, or terminate.")
    if not (limit or cuts):
        findings.append("It has no time limit: an agent that avoids the end plays for ever. Register it with "
                        "max_episode_steps, or give options={'max_episode_steps': …}.")
    if both > 1 and both == ends == cuts:
        findings.append("Every episode ends with terminated and truncated at once. `terminated` says that the task is "
                        "over and nothing more can be earned, `truncated` that only the clock stopped it.")
    if largest > _HUGE:
        findings.append(f"Observations reach {largest:.3g}. Networks learn best from numbers around 1: scale them, or "
                        "switch on observation normalisation.")
    return False


def _check_determinism(one: gym.Env[Any, Any], other: gym.Env[Any, Any], findings: list[str], seed: int,
                       steps: int) -> bool:
    one.action_space.seed(seed)
    (a, info), (b, _) = one.reset(seed=seed), other.reset(seed=seed)
    reward_a: Any = 0.0
    reward_b: Any = 0.0
    deadline = time.monotonic() + _LIMIT_S
    for step in range(min(steps, 200)):
        if not (_same(one, a, b) and np.array_equal(reward_a, reward_b, equal_nan=True)):
            findings.append(f"The same seed and actions gave different results after {step} steps. Draw all chance "
                            "from self.np_random, and call super().reset(seed=seed) first.")
            break
        action = _sample(one.action_space, info)
        a, reward_a, terminated, truncated, info = one.step(action)
        b, reward_b, *_ = other.step(action)
        if terminated or truncated:
            (a, info), (b, _) = one.reset(), other.reset()
        if time.monotonic() > deadline:
            break
    return False


def _check_obs(space: spaces.Space[Any], obs: Any, where: str, findings: list[str]) -> None:
    wrong_kind = isinstance(space, spaces.Box) and not isinstance(obs, np.ndarray)  # Gymnasium would convert it
    if not wrong_kind and space.contains(obs):
        return
    if isinstance(space, spaces.Dict) and isinstance(obs, dict) and space.keys() == obs.keys():
        for key, part in space.items():
            _check_obs(part, obs[key], f"{where}, '{key}'", findings)
        return
    said = f"The observation of {where}"
    if wrong_kind:
        findings.append(f"{said} is a {type(obs).__name__}; the space says a NumPy array.")
    elif isinstance(space, spaces.Box) and obs.shape != space.shape:
        findings.append(f"{said} has the shape {list(obs.shape)}; the space says {list(space.shape)}.")
    elif isinstance(space, spaces.Box) and not np.can_cast(obs.dtype, space.dtype):
        findings.append(f"{said} has the dtype {obs.dtype}; the space says {space.dtype}.")
    elif isinstance(space, spaces.Box) and not np.isfinite(obs).all():
        findings.append(f"{said} holds NaN or infinity.")
    else:
        findings.append(f"{said} lies outside of the observation space {space}.")


def _check_rest(reward: Any, terminated: Any, truncated: Any, info: Any, findings: list[str]) -> None:
    if isinstance(reward, bool) or not isinstance(reward, int | float | np.integer | np.floating):
        findings.append(f"The reward is a {type(reward).__name__}; it must be a float.")
    elif not np.isfinite(reward):
        findings.append("The reward is NaN or infinite.")
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            findings.append(f"`{name}` is a {type(flag).__name__}; it must be a bool.")
    if not isinstance(info, dict):
        findings.append(f"info is a {type(info).__name__}; it must be a dictionary.")


def _check_mask(space: spaces.Space[Any], info: Any, findings: list[str]) -> None:
    """Where an episode goes on, some action must be allowed."""
    if not (isinstance(space, spaces.Discrete) and isinstance(info, dict) and "action_mask" in info):
        return
    mask = np.asarray(info["action_mask"])
    if mask.shape != (space.n,):
        findings.append(f"info['action_mask'] has the shape {list(mask.shape)}; {space} needs [{space.n}].")
    elif not mask.any():
        findings.append("info['action_mask'] forbids every action while the episode goes on.")


def _sample(space: spaces.Space[Any], info: Any) -> Any:
    """A random action; of a Discrete space one of those that info allows."""
    mask: Any = info.get("action_mask") if isinstance(info, dict) else None
    if isinstance(space, spaces.Discrete) and np.shape(mask) == (space.n,):
        return space.sample(np.asarray(mask).astype(bool).astype(np.int8))
    return space.sample()


def _leaves(env: gym.Env[Any, Any], obs: Any) -> list[Any]:
    normal = normal_obs(env.observation_space, obs)
    return list(normal.values()) if isinstance(normal, dict) else [normal]


def _largest(env: gym.Env[Any, Any], obs: Any) -> float:
    """Of the numbers that are no pixels or symbols."""
    sizes = [np.abs(leaf).max(initial=0.0) for leaf in _leaves(env, obs)
             if isinstance(leaf, np.ndarray) and np.issubdtype(leaf.dtype, np.floating)]
    return float(np.nan_to_num(max(sizes, default=0.0)))


def _same(env: gym.Env[Any, Any], a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y, equal_nan=np.issubdtype(np.asarray(x).dtype, np.inexact))
               for x, y in zip(_leaves(env, a), _leaves(env, b), strict=True))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
