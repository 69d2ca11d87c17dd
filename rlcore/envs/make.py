"""From a name to a vector environment, by the fastest engine that has it."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from rlcore.config import ConfigError, MissingExtra, nearest
from rlcore.envs.chasing import PointChasingVector
from rlcore.envs.classic import CLASSIC, ClassicVector
from rlcore.envs.compat import OldGymEnv, is_old_style
from rlcore.envs.families import (
    OWN,
    AtariPool,
    EnvPool,
    envpool_options,
    has_envpool,
    in_envpool,
    is_atari,
    is_minigrid,
    num_threads,
    quiet_mujoco,
    register_family,
)
from rlcore.envs.process import Columns, ProcessVectorEnv
from rlcore.envs.trading import StockTradingVector
from rlcore.envs.wrappers import ActionMaskObs, NextStep, NormalObs, Single, Step, WithoutText, time_limit
from rlcore.processes import WorkerError

Backend = Literal["native", "envpool", "sync", "process"]
Factory = Callable[..., Any]
"""Makes one environment, Gymnasium's or an old one; options come as keywords."""
_ALL = np.s_[:]
# These take a seed for each copy, others one for all.
_TAKE_SEEDS = (SyncVectorEnv, ProcessVectorEnv, EnvPool, AtariPool, ClassicVector, PointChasingVector,
               StockTradingVector)


class Env(NormalObs):
    """B copies of one environment with a seed of their own, under Gymnasium's next-step autoreset.

    After an episode ends, the next `step` ignores that environment's action, resets it and returns reward 0.
    Observations have the normal form of `rlcore.envs.wrappers`.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], source: str | Factory, backend: Backend, seed: int,
                 options: Mapping[str, Any] | None = None, action_mask: bool = False, first: int = 0):
        super().__init__(env)
        self.source, self.name = source, name_of(source)
        self.backend, self.seed, self.options = backend, seed, dict(options or {})
        self.action_mask, self.first = action_mask, first
        self._actions: Any = None

    def reset(self, *, seed: int | list[int | None] | None = None,
              options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start all episodes anew: from the environment's own seed unless another is given.

        Copies get unrelated seeds, so that runs with neighbouring seeds share no episode.
        """
        if seed is None or isinstance(seed, int):
            seed = _seeds(self.seed if seed is None else seed, self.first, self.num_envs)  # type: ignore[assignment]
        if not isinstance(self.env, _TAKE_SEEDS):
            seed = seed[0]  # type: ignore[index]
        try:
            return super().reset(seed=seed, options=options)
        except ValueError as error:
            _explain_misfit(self.name, error)
            raise

    def step(self, actions: Any) -> Step:
        """One step of every environment."""
        try:
            return super().step(actions)
        except ValueError as error:
            _explain_misfit(self.name, error)
            raise

    def send(self, actions: Any, columns: Columns = _ALL) -> None:
        """The first half of `step`, for all environments or, with backend "process", some columns of them.

        Raises:
            ConfigError: this backend steps only all environments at once.
        """
        if isinstance(self.env, ProcessVectorEnv):
            self.env.send(actions, columns)
        elif isinstance(columns, slice) and columns == _ALL:
            self._actions = actions
        else:
            raise ConfigError(f"backend='{self.backend}' steps all environments at once. "
                              "To step some columns of them, use backend='process'.")

    def recv(self, columns: Columns = _ALL) -> Step:
        """The second half of `step`."""
        if not isinstance(self.env, ProcessVectorEnv):
            return self.step(self._actions)
        obs, *rest = self.env.recv(columns)
        return (self.normal(obs), *rest)


def make_env(name: str | Factory, num_envs: int = 1, *, seed: int = 0, backend: Backend | None = None,
             render_mode: str | None = None, options: Mapping[str, Any] | None = None, action_mask: bool = False,
             num_workers: int | None = None, first: int = 0) -> Env:
    """A vector environment of `num_envs` copies.

    name: a registered id such as "CartPole-v1", "module:Id-v0" for one that importing `module` registers,
    "module:ClassName" or "path/to/file.py:ClassName" for a class, or a function that makes one environment.
    backend: "native" is an environment's own vectorised implementation, "sync" a loop over single environments,
    "process" worker processes, "envpool" a C++ thread pool. If None, the first of native and sync that has it; EnvPool
    where nothing else does.
    options: for the environment's constructor; also "max_episode_steps".
    action_mask: show `info["action_mask"]` as part of the observation, {"obs": …, "action_mask": …}.
    num_workers: processes or threads, for backends that have them; one per core if None.
    first: these are number `first` and following of a larger vector, and get the seeds that they would have there.

    Raises:
        ConfigError: unknown name (with the nearest known one), a backend that lacks the environment, or a missing part.
        MissingExtra: an optional package is needed and not installed.
    """
    if num_envs < 1:
        raise ConfigError(f"num_envs={num_envs} must be at least 1.")
    if num_workers is not None and num_workers < 1:
        raise ConfigError(f"num_workers={num_workers} must be at least 1.")
    origin = origin_of(name, dict(options or {}), render_mode, action_mask)
    _ASKED_FOR.add(origin.name)
    if backend == "envpool" and not has_envpool():
        raise MissingExtra("backend='envpool'", "envpool")
    try:
        able = _backends(origin)
        backend = backend or able[0]
        if backend not in able:
            raise ConfigError(_why_not(origin, backend, able))
        vector = _build(origin, num_envs, _seeds(seed, first, num_envs), backend, num_workers)
        return Env(vector, name, backend, seed, options, action_mask, first)
    except MissingExtra:
        raise
    except (gym.error.Error, ImportError) as error:  # a part it needs is missing, or its version is too old to run
        raise ConfigError(f"{origin.name} cannot be made here: {error}") from error
    except WorkerError as error:
        raise ConfigError(f"{origin.name} cannot be made in a worker process: {error}") from error
    except TypeError as error:
        if not options or "render_mode" in str(error):
            raise
        raise ConfigError(f"{origin.name} cannot be made with options={dict(options)}: {error}") from error


def _explain_misfit(name: str, error: ValueError) -> None:
    """Gymnasium does not say whose observation does not fit its space."""
    if "array is the wrong shape" in str(error):
        raise ConfigError(f"{name} gave an observation that has not the shape of its space. {_check(name)}") from error


def _check(name: str) -> str:
    return f"`python -m rlcore check {name}` lists what is wrong with it."


@dataclass(frozen=True)
class Origin:
    """Where an environment comes from, and how each copy is to be made: all that a worker process must be told.

    spec     its registration, or
    factory  what makes it, or the text "module:Class" that leads there, or
    neither  where only EnvPool knows its name
    """

    name: str
    spec: EnvSpec | None = None
    factory: Factory | str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    render_mode: str | None = None
    action_mask: bool = False

    @property
    def id(self) -> str:
        """Its name without the module that registers it."""
        return self.name if self.spec is None else self.spec.id


def name_of(env: str | Factory) -> str:
    """The text that leads to an environment in every process that can import it; for a partial, to what it calls.

    Raises:
        ConfigError: a finished environment, or nothing that makes one.
    """
    if isinstance(env, str):
        return env
    if isinstance(env, gym.Env | VectorEnv):
        name = "CartPole-v1" if env.spec is None else env.spec.id
        raise ConfigError(f"A finished environment, such as gym.make('{name}') gives, cannot be copied: give its name, "
                          f"such as '{name}', or the function or class that makes it.")
    if isinstance(env, functools.partial):
        return f"{name_of(env.func)}(…)"
    if not callable(env):
        raise ConfigError(f"{env!r} is no environment: give a name, such as 'CartPole-v1', or the function or class "
                          "that makes one.")
    known = getattr(env, "__qualname__", None)  # functions and classes have one, callable objects do not
    return f"{env.__module__}:{known or f'{type(env).__qualname__}(…)'}"


def origin_of(name: str | Factory, options: dict[str, Any], render_mode: str | None = None,
              action_mask: bool = False) -> Origin:
    """What a name leads to.

    Raises:
        ConfigError: nothing, or it is a finished environment; or no episode can last as long as the options say.
        MissingExtra: a package that is not installed.
    """
    if options.get("max_episode_steps") is not None:
        time_limit(options["max_episode_steps"])
    how: dict[str, Any] = {"options": options, "render_mode": render_mode, "action_mask": action_mask}
    if not isinstance(name, str):
        return Origin(name_of(name), factory=name, **how)
    place, _, plain = name.rpartition(":")
    if place and hasattr(module := _import(name, place), plain):
        if not callable(found := getattr(module, plain)):
            raise ConfigError(f"'{name}' is a {type(found).__name__}, not a class or function that makes an "
                              "environment.")
        return Origin(name, factory=name, **how)
    register_family(plain)
    if place and plain not in gym.registry and not re.search(r"-v\d+$", plain):
        raise ConfigError(f"'{name}': {place} has no '{plain}'{nearest(plain, vars(_import(name, place))) or '.'}")
    if plain not in gym.registry and in_envpool(plain):
        return Origin(plain, **how)
    return Origin(name, spec=_spec(name, plain), **how)


_ASKED_FOR: set[str] = set()  # the names of the environments that this process has been asked to make


def is_known(name: str) -> bool:
    """Whether making this environment imports nothing and calls nothing but what makes environments here.

    So it is with a registered id, and in a module that is imported already with a subclass of `gymnasium.Env`, or with
    whatever else this process was asked to make before: no folder may choose another function to be called.
    """
    place, _, plain = name.rpartition(":")
    module = sys.modules.get(_title(place))
    if not place or module is None:
        return not place
    found = getattr(module, plain, None)
    if found is None:
        return plain in gym.registry
    return name in _ASKED_FOR or (isinstance(found, type) and issubclass(found, gym.Env))


def _title(place: str) -> str:
    """The name under which Python keeps a module; a file's own comes from its whole path."""
    if not place.endswith(".py"):
        return place
    path = Path(place).resolve()
    return f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _import(name: str, place: str) -> ModuleType:
    """A module by its name or by the path of its file; a file is imported once."""
    is_file = place.endswith(".py")
    if place.startswith(".") and not is_file:
        raise ConfigError(f"'{name}': '{place}' is neither a module's whole name nor the path of a .py file.")
    try:
        if not is_file:
            return importlib.import_module(place)
        path, title = Path(place).resolve(), _title(place)
        if title not in sys.modules:
            found = importlib.util.spec_from_file_location(title, path)
            assert found is not None
            assert found.loader is not None
            module = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
            sys.modules[title] = module
        return sys.modules[title]
    except (ImportError, FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError(f"'{name}': its module cannot be imported: {error}.") from None


def _spec(name: str, plain: str) -> EnvSpec:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # an outdated id is answered below, in one sentence
            return gym.spec(plain)
    except gym.error.Error as error:
        hint = nearest(name, {*gym.registry, *OWN})
        raise ConfigError(f"Unknown environment '{name}'{hint or f': {error}'}") from None


def _backends(origin: Origin) -> list[Backend]:
    """Those that can make it as it was asked for; the first is taken where none is named."""
    single: list[Backend] = ["sync", "process"]
    if origin.factory is not None or origin.render_mode or origin.action_mask:
        return single
    native: list[Backend] = ["native"] if _is_native(origin) else []
    if not (in_envpool(origin.id) and envpool_options(origin.id) >= origin.options.keys()):
        return native + single
    # it draws other episodes, and its state cannot be saved: who has it installed must not get it unasked
    return ["envpool", *single] if origin.spec is None else [*native, *single, "envpool"]


def _is_native(origin: Origin) -> bool:
    """Whether the environment has a vectorised implementation of its own that takes the options."""
    if origin.spec is None:
        return False
    if is_atari(origin.spec) or _is_classic(origin):
        return True
    if not (origin.options and origin.spec.vector_entry_point):
        return origin.spec.vector_entry_point is not None
    entry = origin.spec.vector_entry_point
    parameters = inspect.signature(load_env_creator(entry) if isinstance(entry, str) else entry).parameters
    return parameters.keys() >= origin.options.keys()


def _is_classic(origin: Origin) -> bool:
    """Whether rlcore's own vectorised implementation takes the options."""
    return origin.id in CLASSIC and origin.options.keys() <= {"max_episode_steps"}


def _why_not(origin: Origin, backend: str, able: list[Backend]) -> str:
    plain = replace(origin, options={}, render_mode=None, action_mask=False)
    missing = f"no {origin.name}" if backend not in _backends(plain) else (
        f"{origin.name}, but not with these options, render_mode or action_mask")
    return f"backend={backend!r} has {missing}. Try one of: {', '.join(able)}."


def _build(origin: Origin, num_envs: int, seeds: list[int], backend: Backend,
           num_workers: int | None) -> VectorEnv[Any, Any, Any]:
    match backend:
        case "native":
            assert origin.spec is not None
            if is_atari(origin.spec):
                return AtariPool(origin.spec, num_envs, origin.options, num_threads(num_workers, num_envs))
            if _is_classic(origin):
                return CLASSIC[origin.id](origin.spec, num_envs, **origin.options)
            vector = gym.make_vec(origin.spec, num_envs, vectorization_mode="vector_entry_point", **origin.options)
            return _next_step(vector, origin.name)
        case "envpool":
            return EnvPool(origin.id, num_envs, seeds, origin.options, num_threads(num_workers, num_envs))
        case "sync":
            return _sync(origin, num_envs)
        case "process":
            return ProcessVectorEnv([functools.partial(make_single, origin)] * num_envs, num_workers)


def _sync(origin: Origin, num_envs: int) -> SyncVectorEnv:
    try:
        return SyncVectorEnv([functools.partial(make_single, origin)] * num_envs)
    except AttributeError as error:
        if error.name not in ("observation_space", "action_space"):
            raise
        raise ConfigError(f"{origin.name} has no {error.name}: set one in __init__. {_check(origin.name)}") from error


def _next_step(vector: VectorEnv[Any, Any, Any], name: str) -> VectorEnv[Any, Any, Any]:
    mode = vector.metadata.get("autoreset_mode")
    if mode is None:
        raise ConfigError(f"The vectorised {name} does not say how it resets. "
                          'Set metadata["autoreset_mode"] to gymnasium.vector.AutoresetMode.NEXT_STEP or another.')
    return vector if mode == AutoresetMode.NEXT_STEP else NextStep(vector)


def make_single(origin: Origin) -> gym.Env[Any, Any]:
    """One copy; also what a worker process calls."""
    env = _from_spec(origin, origin.spec) if origin.spec is not None else _from_factory(origin)
    return ActionMaskObs(env) if origin.action_mask else env


def _from_spec(origin: Origin, spec: EnvSpec) -> gym.Env[Any, Any]:
    if is_atari(spec):
        return Single(AtariPool(spec, 1, origin.options, 1))
    if "mujoco" in str(spec.entry_point):
        quiet_mujoco()
    drawing: dict[str, Any] = {"render_mode": origin.render_mode} if origin.render_mode else {}  # not all know the word
    env = gym.make(spec, **origin.options, **drawing)
    return WithoutText(env) if is_minigrid(spec) else env


def _from_factory(origin: Origin) -> gym.Env[Any, Any]:
    if origin.factory is None:
        return Single(EnvPool(origin.id, 1, [0], origin.options, 1))
    make = origin.factory
    if isinstance(make, str):
        place, _, plain = make.rpartition(":")
        make = getattr(_import(make, place), plain)
    options = dict(origin.options)
    limit = options.pop("max_episode_steps", None)
    if origin.render_mode and _takes(make, "render_mode"):
        options["render_mode"] = origin.render_mode
    env = make(**options)
    if is_old_style(env):
        env = OldGymEnv(env, origin.render_mode)
    if not isinstance(env, gym.Env):
        raise ConfigError(f"{origin.name} made a {type(env).__name__}, which is no gymnasium.Env.")
    return env if limit in (None, -1) else gym.wrappers.TimeLimit(env, limit)


def _takes(make: Factory, name: str) -> bool:
    parameters = inspect.signature(make).parameters.values()
    return any(each.name == name or each.kind == each.VAR_KEYWORD for each in parameters)


def _seeds(seed: int, first: int, count: int) -> list[int]:
    """Unrelated seeds, one per copy, from copy number `first` on."""
    return [int(state) for state in np.random.SeedSequence(seed).generate_state(first + count)[first:]]
