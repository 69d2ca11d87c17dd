"""Environments in worker processes: observations and actions cross in shared memory, words in a pipe.

A worker holds several environments and steps them one after another. It is told which of its rows to step, writes what
they answer where the parent reads it, and says so. Nothing is copied twice, and nothing is pickled but infos.
"""

from __future__ import annotations

import itertools
import operator
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, shared_memory
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlcore.arrays import Array
from rlcore.config import ConfigError, ShapeError
from rlcore.envs.wrappers import close_env
from rlcore.processes import HEARTBEAT_S, Worker, WorkerError, listed, start_worker

Columns = slice | Array
"""Which environments of the vector: a slice, or their indices."""
EnvFn = Callable[[], gym.Env[Any, Any]]
Space = spaces.Space[Any]
Step = tuple[Any, Array, Array, Array, dict[str, Any]]

_ALL = np.s_[:]
_START_S = 180.0  # a new process has its environments' libraries to import
_ALIGN = 64        # bytes: no two arrays share a cache line


class ProcessVectorEnv(VectorEnv[Any, Any, Any]):
    """B environments in worker processes, which answer bit for bit as a `SyncVectorEnv` does with the same seeds.

    env_fns      picklable factories: `functools.partial` of a module's function, or a class
    num_workers  processes; each takes a run of neighbouring environments. As many as there are cores if None
    timeout_s    seconds of silence after which a worker is taken to hang

    `send` and `recv` are the halves of `step`, for all environments or some columns of them. Autoreset is next-step.
    """

    def __init__(self, env_fns: Sequence[EnvFn], num_workers: int | None = None, *, timeout_s: float = 60.0):
        self.closed = True  # until there is something to close
        self.num_envs, self.timeout_s, self._env_fns = len(env_fns), timeout_s, list(env_fns)
        if num_workers is not None and num_workers < 1:
            raise ConfigError(f"num_workers={num_workers} must be at least 1.")
        if not env_fns:
            raise ConfigError("env_fns=[] must hold at least 1 environment.")
        num_workers = min(num_workers or os.cpu_count() or 1, self.num_envs)
        bounds = [self.num_envs * w // num_workers for w in range(num_workers + 1)]
        self._rows = [range(first, last) for first, last in itertools.pairwise(bounds)]
        self._owner = np.repeat(np.arange(num_workers), np.diff(bounds))
        self._seeds: list[int | None] = [None] * self.num_envs
        self._restarts = 0
        self._pending = np.zeros(self.num_envs, bool)   # was sent, and recv has not taken the answer yet
        self._waiting = np.zeros(self.num_envs, bool)   # was sent, and the worker has not answered yet
        self._broken = np.zeros(self.num_envs, bool)    # its worker was started again; the next answer says so
        self._infos: dict[int, dict[str, Any]] = {}
        self._failed: dict[int, WorkerError] = {}
        self._workers: list[Worker] = []
        self._memory: shared_memory.SharedMemory | None = None
        self.closed = False
        try:
            self._workers = [self._start(worker) for worker in range(num_workers)]
            self._describe([self._answer(worker, starting=True) for worker in range(num_workers)])
            for worker in range(num_workers):
                self._attach(worker)
        except BaseException:
            self.close()
            raise

    def reset(self, *, seed: int | Sequence[int | None] | None = None,
              options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes, everywhere or where `options["reset_mask"]` is true.

        An int seeds the environments with seed, seed + 1, …
        """
        self._require()
        self._settle()
        options = dict(options or {})
        mask = options.pop("reset_mask", np.ones(self.num_envs, bool))
        if seed is None or isinstance(seed, int):
            seed = [None if seed is None else seed + index for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ConfigError(f"{len(seed)} seeds were given for {self.num_envs} environments.")
        self._seeds = [old if new is None else new for old, new in zip(self._seeds, seed, strict=True)]
        self._broken &= ~mask
        chosen = np.flatnonzero(mask)
        self._tell(chosen, lambda rows: ("reset", rows, [seed[row] for row in rows], options or None))
        self._settle()
        return _read(self._store.obs, _ALL), self._take_infos(range(self.num_envs))

    def step(self, actions: Any) -> Step:
        """One step of every environment."""
        self.send(actions)
        return self.recv()

    def send(self, actions: Any, columns: Columns = _ALL) -> None:
        """Let some environments step; returns at once. Their actions come in the order of the columns."""
        self._require()
        chosen = np.arange(self.num_envs)[columns]
        if self._pending[chosen].any():
            raise AlreadyPendingCallError(f"Environments {listed(chosen[self._pending[chosen]])} are stepping: "
                                          "call recv for them first.", "send")
        _write(self._store.action, columns, actions)
        self._pending[chosen] = True
        self._tell(chosen[~self._broken[chosen]], lambda rows: ("step", rows))

    def recv(self, columns: Columns = _ALL) -> Step:
        """What the environments of these columns answered to `send`; waits for them. Arrays are [columns, …].

        Raises:
            WorkerError: a worker of theirs raised, died or was silent for `timeout_s`. After `restart`, call again.
        """
        self._require()
        chosen = np.arange(self.num_envs)[columns]
        if not self._pending[chosen].all():
            raise NoAsyncCallError(f"Environments {listed(chosen[~self._pending[chosen]])} were not sent actions.",
                                   "recv")
        self._wait(chosen)
        self._pending[chosen] = False
        store, broken = self._store, chosen[self._broken[chosen]]
        if broken.size:
            store.reward[broken], store.terminated[broken], store.truncated[broken] = 0, False, True
            self._infos |= {int(row): {"restarted": True} for row in broken}
            self._broken[broken] = False
        infos = self._take_infos(chosen)
        return (_read(store.obs, columns), store.reward[columns].copy(), store.terminated[columns].copy(),
                store.truncated[columns].copy(), infos)

    def restart(self) -> Array:
        """Start the workers that raised, died or hang anew. Returns which environments that were. [B] bool

        The next answer of each is truncated at the last observation it gave, with reward 0 and
        `info["restarted"]`; the step after that begins a new episode.
        """
        self._require()
        lost = [worker for worker, each in enumerate(self._workers)
                if worker in self._failed or not each.task.is_alive()]
        self._restarts += 1
        for worker in lost:
            self._workers[worker].kill()
            self._workers[worker] = self._start(worker)
            self._failed.pop(worker, None)
        restarted = np.isin(self._owner, lost)
        self._waiting[restarted], self._broken[restarted], self._store.ended[restarted] = False, True, True
        for worker in lost:
            self._answer(worker, starting=True)
            self._attach(worker)
        return restarted

    def apply(self, function: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
        """`function(env, *items)` for every environment, in its worker: a `map` whose results come back in order.

        The function, its arguments and its results must be picklable.
        """
        self._require()
        if self._pending.any():
            raise AlreadyPendingCallError(f"Environments {listed(np.flatnonzero(self._pending))} are stepping: call "
                                          "recv for them first.", "apply")
        for worker, rows in enumerate(self._rows):
            items = [[column[row] for column in columns] for row in rows]
            self._workers[worker].say("call", _apply, (function, items))
        return [result for worker in range(len(self._rows)) for result in self._answer(worker)]

    def render(self) -> tuple[Any, ...]:
        """A picture of every environment."""
        return tuple(self.apply(operator.methodcaller("render")))

    @property
    def ended(self) -> Array:
        """Whose next step will only reset: part of the state, beside that of the environments. [B] bool"""
        return self._store.ended.copy()

    @ended.setter
    def ended(self, ended: Array) -> None:
        self._store.ended[:] = ended

    def __del__(self) -> None:
        self.close()

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ARG002  # the signature is Gymnasium's
        """Stop all workers; those that do not listen are killed."""
        for worker in self._workers:
            worker.say("close")
        deadline = time.monotonic() + 2.0
        for number, worker in enumerate(self._workers):
            worker.task.join(0 if number in self._failed else max(0.0, deadline - time.monotonic()))
            worker.kill()
        self._workers = []
        if self._memory is not None:
            del self._store  # its arrays look into the memory
            self._memory.close()
            self._memory.unlink()
            self._memory = None

    def _start(self, worker: int) -> Worker:
        rows = self._rows[worker]
        return start_worker(_work, rows, self._env_fns[rows.start:rows.stop], rows.start)

    def _describe(self, made: list[tuple[Any, ...]]) -> None:
        """Read the spaces from the workers' environments, and lay out the memory for them."""
        first_obs, first_action, metadata, self.render_mode = made[0][0]
        for row, (obs, action, *_) in enumerate(env for envs in made for env in envs):
            if (obs, action) != (first_obs, first_action):
                raise ConfigError(f"Environment {row} has other spaces than environment 0: {obs} and {action} instead "
                                  f"of {first_obs} and {first_action}.")
        self.single_observation_space, self.single_action_space = first_obs, first_action
        self.observation_space = batch_space(first_obs, self.num_envs)
        self.action_space = batch_space(first_action, self.num_envs)
        self.metadata = {**metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        size = _Store.measure(self.num_envs, first_obs, first_action)
        self._memory = shared_memory.SharedMemory(create=True, size=size)
        self._store = _Store.lay_out(self._memory, self.num_envs, first_obs, first_action)
        self._store.ended[:] = False

    def _attach(self, worker: int) -> None:
        """Show a worker the memory, and the seeds of its environments should it be there to replace another."""
        assert self._memory is not None
        seeds = [None if self._seeds[row] is None else
                 int(np.random.SeedSequence((self._seeds[row], self._restarts)).generate_state(1)[0])  # type: ignore[arg-type]
                 for row in self._rows[worker]]
        self._workers[worker].say("attach", self._memory.name, self.num_envs, seeds)
        self._answer(worker)

    def _tell(self, chosen: Array, command: Callable[[list[int]], tuple[Any, ...]]) -> None:
        """Give each worker the command for those of the chosen rows that are its own."""
        self._pending[chosen], self._waiting[chosen] = True, True
        for worker, rows in enumerate(self._rows):
            mine = chosen[(chosen >= rows.start) & (chosen < rows.stop)].tolist()
            if mine:
                self._workers[worker].say(*command(mine))

    def _wait(self, chosen: Array) -> None:
        """Read answers until all of the chosen rows have one."""
        quiet_since = time.monotonic()
        while self._waiting[chosen].any():
            missing = set(self._owner[chosen[self._waiting[chosen]]].tolist())
            for worker in missing & self._failed.keys():
                raise self._failed[worker]
            ready = connection.wait([self._workers[worker].pipe for worker in missing], HEARTBEAT_S)
            for worker in missing:
                if self._workers[worker].pipe in ready or not (ready or self._workers[worker].task.is_alive()):
                    for row, info in self._noted(worker, self._workers[worker].heard):
                        self._waiting[row] = False
                        if info:
                            self._infos[row] = info
            if ready:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > self.timeout_s:
                worker = min(missing - self._failed.keys(), default=min(missing))
                self._failed[worker] = self._workers[worker].hangs(self.timeout_s)
                raise self._failed[worker]

    def _answer(self, worker: int, *, starting: bool = False) -> Any:
        """The one answer a worker owes, within the time limit."""
        limit = max(self.timeout_s, _START_S) if starting else self.timeout_s
        return self._noted(worker, partial(self._workers[worker].answer, limit))

    def _noted(self, worker: int, hear: Callable[[], Any]) -> Any:
        """What a worker says; if it has failed, that is remembered until `restart`."""
        try:
            return hear()
        except WorkerError as error:
            self._failed[worker] = error
            raise

    def _take_infos(self, chosen: Sequence[int] | Array) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for row in chosen:
            if int(row) in self._infos:
                infos = self._add_info(infos, self._infos.pop(int(row)), int(row))
        return infos if len(chosen) == self.num_envs else _pick(infos, np.asarray(chosen))

    def _require(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("These environments are closed.")

    def _settle(self) -> None:
        """Hear whoever still owes an answer, and forget it."""
        self._wait(np.flatnonzero(self._waiting))
        self._pending[:] = False


@dataclass(frozen=True)
class _Store:
    """The arrays that parent and workers share, one row per environment; obs and action are shaped as their spaces."""

    obs: Any
    action: Any
    reward: Array
    terminated: Array
    truncated: Array
    ended: Array

    @staticmethod
    def lay_out(memory: shared_memory.SharedMemory | None, num: int, obs: Space, action: Space,
                sizes: list[int] | None = None) -> _Store:
        """Views into the memory; without one, only note the sizes."""
        offset = 0

        def take(dtype: Any, shape: tuple[int, ...]) -> Array:
            nonlocal offset
            start, offset = offset, offset + -(-int(np.prod((num, *shape))) * dtype.itemsize // _ALIGN) * _ALIGN
            if sizes is not None:
                sizes.append(offset)
            return np.empty(0) if memory is None else np.ndarray((num, *shape), dtype, memory.buf, start)

        flag = np.dtype(bool)
        return _Store(_allocate(obs, take), _allocate(action, take), take(np.dtype(np.float64), ()),
                      take(flag, ()), take(flag, ()), take(flag, ()))

    @staticmethod
    def measure(num: int, obs: Space, action: Space) -> int:
        """Bytes that `lay_out` needs."""
        sizes: list[int] = []
        _Store.lay_out(None, num, obs, action, sizes)
        return sizes[-1]


def _allocate(space: Space, take: Callable[[Any, tuple[int, ...]], Array]) -> Any:
    match space:
        case spaces.Dict():
            return {key: _allocate(part, take) for key, part in space.spaces.items()}
        case spaces.Tuple():
            return tuple(_allocate(part, take) for part in space.spaces)
        case spaces.Box() | spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            return take(space.dtype, space.shape or ())
        case _:
            raise ConfigError(f"{space} has no fixed size, which shared memory needs. Use backend='sync'.")


def _write(store: Any, where: Any, value: Any, *, fitting: bool = False) -> None:
    """fitting: refuse what is no one row, since NumPy would repeat or convert it."""
    if isinstance(store, dict):
        for key, part in store.items():
            _write(part, where, value[key], fitting=fitting)
    elif isinstance(store, tuple):
        for part, item in zip(store, value, strict=True):
            _write(part, where, item, fitting=fitting)
    else:
        if fitting:
            _require_fit(value := np.asarray(value), store)
        store[where] = value


def _read(store: Any, where: Any) -> Any:
    """A copy: the next step overwrites the memory."""
    if isinstance(store, dict):
        return {key: _read(part, where) for key, part in store.items()}
    if isinstance(store, tuple):
        return tuple(_read(part, where) for part in store)
    return store[where].copy()


def _pick(infos: dict[str, Any], chosen: Array) -> dict[str, Any]:
    return {key: _pick(value, chosen) if isinstance(value, dict) else value[chosen] for key, value in infos.items()}


# From here on: what runs in a worker.


def _work(pipe: connection.Connection[Any, Any], env_fns: list[EnvFn], first: int) -> None:
    """A worker's work: make the environments, then do as told."""
    envs = [make() for make in env_fns]
    pipe.send(("made", [(env.observation_space, env.action_space, env.metadata, env.render_mode) for env in envs]))
    _serve(pipe, envs, first)


def _serve(pipe: connection.Connection[Any, Any], envs: list[gym.Env[Any, Any]], first: int) -> None:
    _, name, num_envs, seeds = pipe.recv()
    memory = shared_memory.SharedMemory(name)
    store = _Store.lay_out(memory, num_envs, envs[0].observation_space, envs[0].action_space)
    pipe.send(("attached", None))
    while True:
        match pipe.recv():
            case ("step", rows):
                pipe.send(("stepped", [(row, _step(envs[row - first], store, row, seeds, row - first))
                                       for row in rows]))
            case ("reset", rows, new, options):
                pipe.send(("stepped", [(row, _reset(envs[row - first], store, row, seed, options))
                                       for row, seed in zip(rows, new, strict=True)]))
                for row in rows:
                    seeds[row - first] = None
            case ("call", function, args):
                pipe.send(("result", function(envs, *args)))
            case ("close",):
                for env in envs:
                    close_env(env)
                del store  # its arrays look into the memory
                memory.close()
                return


def _step(env: gym.Env[Any, Any], store: _Store, row: int, seeds: list[int | None], place: int) -> dict[str, Any]:
    """Step one environment, or reset it where its episode had ended."""
    if store.ended[row]:
        seed, seeds[place] = seeds[place], None  # only the first episode of a worker that replaces another has one
        return _reset(env, store, row, seed, None)
    obs, reward, terminated, truncated, info = env.step(_read(store.action, row))
    _show(env, store, row, obs)
    store.reward[row], store.terminated[row], store.truncated[row] = reward, terminated, truncated
    store.ended[row] = terminated or truncated
    return info


def _reset(env: gym.Env[Any, Any], store: _Store, row: int, seed: int | None,
           options: dict[str, Any] | None) -> dict[str, Any]:
    obs, info = env.reset(seed=seed, options=options)
    _show(env, store, row, obs)
    store.reward[row], store.terminated[row], store.truncated[row], store.ended[row] = 0, False, False, False
    return info


def _show(env: gym.Env[Any, Any], store: _Store, row: int, obs: Any) -> None:
    """Give the parent an observation, unless it does not fit its space: a loop refuses that, too."""
    try:
        _write(store.obs, row, obs, fitting=True)
    except ShapeError as error:
        kind = type(env.unwrapped)
        name = f"{kind.__module__}:{kind.__qualname__}" if env.spec is None else env.spec.id
        raise ShapeError(f"{name} gave an observation that {error} of its space. `python -m rlcore check {name}` lists "
                         "what is wrong with it.") from None


def _require_fit(value: Array, store: Array) -> None:
    if value.shape != store.shape[1:]:
        raise ShapeError(f"has the shape {[*value.shape]}, and not {[*store.shape[1:]]}, the shape")
    if value.dtype != store.dtype and not np.can_cast(value.dtype, store.dtype, "same_kind"):
        raise ShapeError(f"has the dtype {value.dtype}, which does not become {store.dtype}, the dtype")


def _apply(envs: list[gym.Env[Any, Any]], function: Callable[..., Any], items: list[list[Any]]) -> list[Any]:
    return [function(env, *each) for env, each in zip(envs, items, strict=True)]
