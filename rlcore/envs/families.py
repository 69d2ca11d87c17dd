"""Engines and environments that optional packages bring: Atari, MiniGrid, EnvPool with Procgen and DeepMind Control."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import logging
import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlcore.arrays import Array
from rlcore.config import MissingExtra
from rlcore.envs.wrappers import Step

logger = logging.getLogger("rlcore")

# Our own ids → the module that registers it: importing all of them would import MuJoCo, too.
OWN = {
    "rlcore/BitFlip-v0": "bitflip", "rlcore/CartPoleBounds-v0": "costs", "rlcore/HalfCheetahVelocity-v5": "costs",
    "rlcore/PointChasing-v0": "chasing", "rlcore/ReacherGoal-v5": "reaching", "rlcore/StockTrading-v0": "trading",
}
# What an id looks like → the module that registers it, the extra that installs it.
_REGISTERED_BY = (
    (r"ALE/.*|.*NoFrameskip-v\d", "ale_py", "atari"),
    (r"(MiniGrid|BabyAI)-.*", "minigrid", "minigrid"),
)
# Procgen (Cobbe et al. 2020, arXiv:1912.01588) and DeepMind Control (Tassa et al. 2018, arXiv:1801.00690).
_PROCGEN = ("Bigfish|Bossfight|Caveflyer|Chaser|Climber|Coinrun|Dodgeball|Fruitbot|Heist|Jumper|Leaper|Maze|Miner|"
            "Ninja|Plunder|Starpilot")
_CONTROL = ("Acrobot|BallInCup|Cartpole|Cheetah|Finger|Fish|Hopper|Humanoid|HumanoidCMU|Manipulator|Pendulum|PointMass|"
            "Reacher|Swimmer|Walker")
_ONLY_IN_ENVPOOL = rf"({_PROCGEN})(Easy|Hard|Extreme|Memory|Exploration)-v0|({_CONTROL})[A-Z]\w*-v1"
_SEED = 2**31 - 1  # engines written in C++ take seeds of 31 bits


def register_family(plain: str) -> None:
    """Import what registers this id, if a family that we know does.

    Raises:
        MissingExtra: it is not installed.
    """
    if plain in gym.registry:
        return
    if module := OWN.get(plain):
        importlib.import_module(f"rlcore.envs.{module}").register()
    for pattern, package, extra in _REGISTERED_BY:
        if re.fullmatch(pattern, plain):
            if importlib.util.find_spec(package) is None:
                raise MissingExtra(plain, extra)
            importlib.import_module(package)


def has_envpool() -> bool:
    """Whether EnvPool is installed."""
    return importlib.util.find_spec("envpool") is not None


def in_envpool(plain: str) -> bool:
    """Whether EnvPool has this id.

    Raises:
        MissingExtra: only EnvPool could have it, and it is not installed.
    """
    if has_envpool():
        import envpool

        return plain in envpool.list_all_envs()
    if plain not in gym.registry and re.fullmatch(_ONLY_IN_ENVPOOL, plain):
        raise MissingExtra(plain, "envpool")
    return False


def envpool_options(plain: str) -> set[str]:
    """The options that EnvPool knows for this id."""
    import envpool

    return set(envpool.make_spec(plain).config._asdict())


def is_atari(spec: EnvSpec) -> bool:
    """Whether this is one of the Arcade Learning Environment's games."""
    return str(spec.entry_point).startswith("ale_py")


def is_minigrid(spec: EnvSpec) -> bool:
    """Whether this is a MiniGrid or BabyAI level."""
    return str(spec.entry_point).startswith("minigrid")


def quiet_mujoco() -> None:
    """Send MuJoCo's warnings through logging, each once, instead of into a file in whatever folder one works in."""
    import mujoco

    mujoco.set_mju_user_warning(_log_once)


@functools.cache
def _log_once(message: str) -> None:
    logger.info("MuJoCo: %s", message)


def num_threads(wanted: int | None, num_envs: int) -> int:
    """As many threads as asked for, else one per core; never more than there are environments."""
    return min(wanted or os.cpu_count() or 1, num_envs)


class AtariPool(VectorEnv[Any, Any, Any]):
    """Atari games in C++ threads, with the preprocessing of Mnih et al. 2015 (Nature 518, Methods).

    obs     [4, 84, 84] uint8: the last four frames in grey, one for every four that the game plays
    start   up to 30 steps of doing nothing; FIRE where a game waits for it

    Options: `episodic_life` ends an episode at each lost life, `reward_clip` keeps only the reward's sign; both off.
    Sticky actions are those of the id: probability 0.25 in "ALE/…-v5" (Machado et al. 2018, arXiv:1709.06009), none in
    "…NoFrameskip-v4". The others are those of `ale_py.AtariVectorEnv`.
    """

    def __init__(self, spec: EnvSpec, num_envs: int, options: Mapping[str, Any], threads: int):
        from ale_py.vector_env import AtariVectorEnv

        known = set(inspect.signature(AtariVectorEnv).parameters)
        settings = {key: value for key, value in spec.kwargs.items() if key in known} | {"frameskip": 4}
        clip = options.get("reward_clip", False)
        # the engine's own episodic_life starts the whole game anew; with this the next life is played
        lives = options.get("episodic_life", False)
        chosen = {key: value for key, value in options.items() if key not in ("reward_clip", "episodic_life")}
        self.pool = AtariVectorEnv(num_envs=num_envs, reward_clipping=clip, life_loss_info=lives, num_threads=threads,
                                   autoreset_mode=AutoresetMode.NEXT_STEP, **(settings | chosen))
        self.num_envs, self.closed, self.ended = num_envs, False, np.zeros(num_envs, bool)
        self.single_observation_space = self.pool.single_observation_space
        self.single_action_space = self.pool.single_action_space
        self.observation_space, self.action_space = self.pool.observation_space, self.pool.action_space
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start all episodes anew; one seed per copy."""
        self.ended = np.zeros(self.num_envs, bool)
        obs, info = self.pool.reset(seed=None if seed is None else np.array(seed) & _SEED, options=options)
        return obs, info

    def step(self, actions: Array) -> Step:
        """One step of every environment; after a lost life it is one of doing nothing, without reward."""
        obs, reward, terminated, truncated, info = self.pool.step(np.where(self.ended, 0, actions))
        reward = np.where(self.ended, 0, reward)
        self.ended = terminated | truncated
        return obs, reward, terminated, truncated, info


class EnvPool(VectorEnv[Any, Any, Any]):
    """EnvPool behind Gymnasium's vector interface; it resets on the step after an episode's end as well.

    Weng et al. 2022, arXiv:2206.10558.
    """

    def __init__(self, name: str, num_envs: int, seeds: list[int], options: Mapping[str, Any], threads: int):
        self.name, self.num_envs, self.options, self.threads = name, num_envs, dict(options), threads
        if options.get("max_episode_steps") == -1:  # Gymnasium's way to say that there is no limit
            self.options["max_episode_steps"] = 2**31 - 1
        self.seeds, self.fresh, self.closed = seeds, True, False
        self.pool = self._make()
        self.single_observation_space, self.dropped = _honest_space(self.pool.observation_space, name)
        self.single_action_space = self.pool.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def _make(self) -> Any:
        import envpool

        # it would start a thread for each environment, and hundreds of them spend their time changing places
        pool = envpool.make(self.name, env_type="gymnasium", num_envs=self.num_envs, num_threads=self.threads,
                            seed=[seed & _SEED for seed in self.seeds], **self.options)
        with warnings.catch_warnings():  # it makes its spaces when they are first asked for, from 64-bit bounds
            warnings.simplefilter("ignore", UserWarning)
            assert pool.observation_space is not None
            assert pool.action_space is not None
        return pool

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        """Start all episodes anew. EnvPool takes its seeds when it is made, so other seeds make another pool."""
        if seed is not None and not (self.fresh and seed == self.seeds):
            self.pool.close()
            self.seeds = list(seed)
            self.pool = self._make()
        self.fresh = False
        obs, info = self.pool.reset()
        return self._obs(obs), info

    def step(self, actions: Array) -> Step:
        """One step of every environment."""
        actions = np.asarray(actions, self.single_action_space.dtype)  # float32 is refused where it wants float64
        obs, reward, terminated, truncated, info = self.pool.step(actions)
        return self._obs(obs), reward, terminated.astype(bool), truncated.astype(bool), info

    def _obs(self, obs: Any) -> Any:
        return {key: obs[key] for key in obs if key not in self.dropped} if self.dropped else obs

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ARG002
        """Stop the threads."""
        self.pool.close()


def _honest_space(space: spaces.Space[Any], name: str) -> tuple[spaces.Space[Any], frozenset[str]]:
    """The space with bounds that hold, and without the text of MiniGrid's missions. Second: the keys left out."""
    if isinstance(space, spaces.Dict):
        dropped = frozenset({"mission"} if re.match("MiniGrid|BabyAI", name) else ())
        return spaces.Dict({key: _honest_space(part, name)[0] for key, part in space.items() if key not in dropped}
                           ), dropped
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        # where it knows no bounds it gives C++'s smallest positive and largest number
        limits = np.finfo(space.dtype)
        low = np.where(space.low == limits.tiny, -np.inf, space.low).astype(space.dtype)
        high = np.where(space.high == limits.max, np.inf, space.high).astype(space.dtype)
        return spaces.Box(low, high, dtype=space.dtype.type), frozenset()
    return space, frozenset()
