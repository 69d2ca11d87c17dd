"""From a name to a vector environment, by the fastest engine that has it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import warnings
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

from rlcore.arrays import Array
from rlcore.config import ConfigError, MissingExtra, nearest

logger = logging.getLogger("rlcore")

Backend = Literal["native", "envpool", "sync"]


class Env(gym.vector.VectorWrapper):
    """B copies of one environment with a seed of their own, under Gymnasium's next-step autoreset.

    After an episode ends, the next `step` ignores that environment's action, resets it and returns reward 0.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], name: str, backend: Backend, seed: int):
        super().__init__(env)
        self.name, self.backend, self.seed = name, backend, seed

    def reset(self, *, seed: int | list[int | None] | None = None,
              options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start all episodes anew: from the environment's own seed unless another is given.

        Copies get unrelated seeds, so that runs with neighbouring seeds share no episode.
        """
        if seed is None or isinstance(seed, int):
            states = np.random.SeedSequence(self.seed if seed is None else seed).generate_state(self.num_envs)
            seed = [int(state) for state in states]
        if not isinstance(self.env, SyncVectorEnv):
            seed = seed[0]
        return self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]  # SyncVectorEnv takes lists


def make_env(name: str, num_envs: int = 1, *, seed: int = 0, backend: Backend | None = None,
             render_mode: str | None = None) -> Env:
    """A vector environment of `num_envs` copies.

    name: a registered id such as "CartPole-v1", or "module:Id-v0" for one that importing `module` registers.
    backend: "native" is Gymnasium's own vectorised implementation, "envpool" a C++ thread pool, "sync" a loop over
    single environments. Chosen in that order unless given.

    Raises:
        ConfigError: unknown name (with the nearest known one), a backend that lacks the environment, or a missing part.
        MissingExtra: envpool was asked for and is not installed.
    """
    if num_envs < 1:
        raise ConfigError(f"num_envs={num_envs} must be at least 1.")
    spec = _spec(name)
    able = _backends(spec)
    if backend is None:
        backend = "sync" if render_mode else able[0]
    elif backend == "envpool" and not importlib.util.find_spec("envpool"):
        raise MissingExtra("backend='envpool'", "envpool")
    elif backend not in able:
        raise ConfigError(f"backend={backend!r} has no {name}. Try one of: {', '.join(able)}.")
    try:
        return Env(_build(spec, num_envs, seed, backend, render_mode), name, backend, seed)
    except (gym.error.Error, ImportError) as error:  # a part it needs is missing, or its version is too old to run
        raise ConfigError(f"{name} cannot be made here: {error}") from error


def _spec(name: str) -> gym.envs.registration.EnvSpec:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # an outdated id is answered below, in one sentence
            module, _, plain = name.rpartition(":")
            if module:
                importlib.import_module(module)
            return gym.spec(plain)
    except ImportError as error:
        raise ConfigError(f"'{name}': its module cannot be imported: {error}.") from None
    except gym.error.Error as error:
        hint = nearest(name, gym.registry)
        raise ConfigError(f"Unknown environment '{name}'{hint or f': {error}'}") from None


def _backends(spec: gym.envs.registration.EnvSpec) -> list[Backend]:
    able: list[Backend] = []
    if spec.vector_entry_point is not None:
        able.append("native")
    if importlib.util.find_spec("envpool"):
        import envpool

        if spec.id in envpool.list_all_envs():
            able.append("envpool")
    return [*able, "sync"]


def _build(spec: gym.envs.registration.EnvSpec, num_envs: int, seed: int, backend: Backend,
           render_mode: str | None) -> VectorEnv[Any, Any, Any]:
    match backend:
        case "native":
            return gym.make_vec(spec.id, num_envs, vectorization_mode="vector_entry_point")
        case "envpool":
            import envpool

            return _EnvPool(envpool.make(spec.id, env_type="gymnasium", num_envs=num_envs, seed=seed), num_envs)
        case "sync":
            if "mujoco" in str(spec.entry_point):
                _quiet_mujoco()
            drawing: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}  # not all know the word
            return SyncVectorEnv([lambda: gym.make(spec.id, **drawing)] * num_envs)


def _quiet_mujoco() -> None:
    """Send MuJoCo's warnings through logging, each once, instead of into a file in whatever folder one works in."""
    import mujoco

    mujoco.set_mju_user_warning(_log_once)


@functools.cache
def _log_once(message: str) -> None:
    logger.info("MuJoCo: %s", message)


class _EnvPool(VectorEnv[Any, Any, Any]):
    """EnvPool behind Gymnasium's vector interface; it resets on the step after an episode's end as well."""

    def __init__(self, pool: Any, num_envs: int):
        self.pool, self.num_envs = pool, num_envs
        self.single_observation_space, self.single_action_space = pool.observation_space, pool.action_space
        self.observation_space = batch_space(pool.observation_space, num_envs)
        self.action_space = batch_space(pool.action_space, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Array, dict[str, Any]]:  # noqa: ARG002
        """Start all episodes anew; EnvPool takes its seed when it is made."""
        obs, info = self.pool.reset()
        return obs, info

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of every environment."""
        obs, reward, terminated, truncated, info = self.pool.step(actions)
        return obs, reward, terminated.astype(bool), truncated.astype(bool), info

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ARG002
        """Stop the thread pool."""
        self.pool.close()

