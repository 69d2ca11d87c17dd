"""Sampling in worker processes, each with a copy of the policy: in step with learning, or one rollout ahead of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import connection, shared_memory
from operator import attrgetter
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import ConfigError
from rlcore.data.rollout import Rollout
from rlcore.envs.make import Env
from rlcore.envs.state import to_arrays, to_tensors
from rlcore.processes import Worker, WorkerError, start_worker
from rlcore.protocols import Policy
from rlcore.sampling.collect import Block, Collector, Episode

_ALIGN = 64      # bytes: no two arrays share a cache line
_START_S = 180.0  # a new process has torch to import


class CopiedPolicy(Policy, Protocol):
    """A policy whose networks can be copied."""

    acting: nn.Module


class WeighingPolicy(Policy, Protocol):
    """A policy that learns from what an older one did, weighing each action by how likely it was then."""

    def log_prob(self, rollout: Rollout) -> Tensor:
        """Of the rollout's actions under the current weights. [T, B]"""


@dataclass(frozen=True)
class Recipe:
    """What a worker makes for itself. All of it can be pickled.

    env           (first, count) → the run's environments number first … first + count − 1
    policy        (observation space, action space) → an agent like the learner's
    random_steps  env steps of the run before which actions are uniformly random
    log_prob      note the log-probability of every action: the learner's policy will be newer than the one that acted
    """

    env: Callable[[int, int], Env]
    policy: Callable[[Any, Any], CopiedPolicy]
    num_envs: int
    horizon: int
    seed: int
    random_steps: int = 0
    log_prob: bool = False


class Workers:
    """Each process steps some of the environments with a policy of its own; rollouts appear in shared memory.

    Args:
        recipe: what the workers make.
        policy: the learner's, whose weights they get before every rollout.
        obs_space: of one environment.
        num_workers: processes; each takes a run of neighbouring environments.
        ahead: collect the next rollout while the learner works on this one. Its weights are then one update old, which
            is the same in every run: nothing depends on who is faster. The learner is never more than one rollout
            behind the sampler, nor the sampler behind the learner.
        timeout_s: seconds without a step of its environments after which a worker is taken to hang.
    """

    def __init__(self, recipe: Recipe, policy: CopiedPolicy, obs_space: Any, num_workers: int, *, ahead: bool = False,
                 timeout_s: float = 60.0):
        num_workers = min(num_workers, recipe.num_envs)
        if num_workers < 1:
            raise ConfigError(f"num_workers={num_workers} must be at least 1.")
        self.recipe, self.policy, self.ahead, self.timeout_s = recipe, policy, ahead, timeout_s
        self.obs_space, self.episodes = obs_space, list[Episode]()
        self.turn = 0                    # which block is handed out next
        self.ready = False               # it is complete
        self.asked = 0                   # the step for which it was, or is being, collected
        self.owing: set[int] = set()     # workers that have not finished their part of it
        self.failed: set[int] = set()    # workers that never will
        self.restarts = 0
        self.shared = _Shared.create(policy, obs_space, recipe, 1 + ahead)
        bounds = [recipe.num_envs * w // num_workers for w in range(num_workers + 1)]
        self.rows = [range(first, last) for first, last in pairwise(bounds)]
        self.workers: list[Worker] = []
        try:
            self.workers = [self._start(rows) for rows in self.rows]
            for worker in self.workers:
                worker.answer(max(self.timeout_s, _START_S))
        except BaseException:
            self.close()
            raise

    def _start(self, rows: range) -> Worker:
        return start_worker(_work, rows, self.recipe, self.obs_space, self.shared.memory.name, len(self.shared.blocks),
                            rows, self.restarts)

    def collect(self, step: int) -> Rollout:
        """The next T steps of all environments, by the current weights or, ahead, by those before the last update.

        Raises:
            WorkerError: an environment raised, or a worker died or took no step for `timeout_s`. After `restart`,
                call again.
        """
        if not self.ready and not self.owing:
            self._ask(step)
        self._wait()
        block = self.shared.blocks[self.turn]
        self.turn, self.ready = (self.turn + 1) % len(self.shared.blocks), False
        if self.ahead:
            self._ask(step + block.rollout.num_rows)
        return block.rollout

    def _ask(self, step: int) -> None:
        """Give the workers the weights and let them begin. They are idle: nobody reads what is written."""
        self.shared.publish(self.policy.acting)
        self.asked, self.owing = step, set(range(len(self.workers)))
        for worker in self.workers:
            worker.say("collect", self.turn, step)

    def _wait(self) -> None:
        for number in sorted(self.owing):
            try:
                episodes = self.workers[number].answer(self.timeout_s, partial(self._pulse, number))
            except WorkerError:
                self.failed.add(number)
                raise
            self.episodes += [Episode(*episode) for episode in episodes]
            self.owing.discard(number)
        self.ready = True

    def _pulse(self, number: int) -> int:
        """The steps that a worker has counted, which go on while it works on a long rollout."""
        return int(self.shared.pulses[self.rows[number].start])

    def restart(self) -> list[range]:
        """Start workers that raised, died or hang anew: their environments begin new episodes. Returns which."""
        lost = [n for n, worker in enumerate(self.workers) if n in self.failed or not worker.task.is_alive()]
        self.restarts, self.failed = self.restarts + 1, set()
        for number in lost:
            self.workers[number].kill()
            self.workers[number] = self._start(self.rows[number])
        for number in lost:
            self.workers[number].answer(max(self.timeout_s, _START_S))
            if number in self.owing:
                self.workers[number].say("collect", self.turn, self.asked)
        return [self.rows[number] for number in lost]

    def take_episodes(self) -> list[Episode]:
        """The episodes finished since the last call, as they ended: the order must not tell who had which."""
        taken, self.episodes = self.episodes, []
        return sorted(taken, key=attrgetter("step"))

    def state_dict(self) -> dict[str, Any]:
        """The workers' environments and everything under way, with a rollout that was collected ahead."""
        if self.owing:
            self._wait()
        for worker in self.workers:
            worker.say("save")
        saved = [to_tensors(worker.answer(self.timeout_s)) for worker in self.workers]
        ready = self.shared.blocks[self.turn].copy() if self.ready else None
        return {"workers": saved, "turn": self.turn, "ready": ready,
                "episodes": [[*astuple(episode)] for episode in self.episodes],
                "env": None if any(state["env"] is None for state in saved) else "saved"}

    def load_state_dict(self, state: dict[str, Any], fresh_seed: int) -> bool:
        """Continue where `state_dict` was taken. Returns false where environments had to start new episodes, then
        seeded by `fresh_seed`.
        """
        self.turn, self.ready = state["turn"], state["ready"] is not None
        if self.ready:
            self.shared.blocks[self.turn].fill(state["ready"])
        self.episodes = [Episode(*saved) for saved in state["episodes"]]
        for worker, saved in zip(self.workers, state["workers"], strict=True):
            worker.say("load", to_arrays(saved), fresh_seed)
        exact = [worker.answer(self.timeout_s) for worker in self.workers]
        return all(exact)

    def close(self) -> None:
        """End the processes and give the shared memory back."""
        for worker in self.workers:
            worker.say("close")
        for worker in self.workers:
            worker.task.join(2.0)
            worker.kill()
        self.workers = []
        self.shared.close(unlink=True)


class _Shared:
    """Shared memory with the policy's weights and the blocks that rollouts are written to."""

    def __init__(self, memory: shared_memory.SharedMemory | None, policy: CopiedPolicy, obs_space: Any, recipe: Recipe,
                 num_blocks: int):
        self.size = 0
        assert memory is None or memory.buf is not None

        def take(shape: tuple[int, ...], dtype: Any) -> Array:
            start, num_bytes = self.size, int(np.prod(shape)) * np.dtype(dtype).itemsize
            self.size += -(-num_bytes // _ALIGN) * _ALIGN
            # measuring first: arrays of strides 0 have every shape and no size
            return np.broadcast_to(np.zeros((), dtype), shape) if memory is None else np.ndarray(
                shape, dtype, memory.buf, start)

        self.pulses = take((recipe.num_envs,), np.int64)  # each worker's steps, by its first row
        self.weights = [take(tuple(tensor.shape), np.float32) for tensor in _weights(policy.acting)]
        extras = ("log_prob",) if recipe.log_prob else ()
        arrays = [Block.plan(obs_space, policy, recipe.horizon, recipe.num_envs, take, extras)
                  for _ in range(num_blocks)]
        if memory is not None:
            self.memory, self.blocks = memory, [Block(named) for named in arrays]

    @classmethod
    def create(cls, policy: CopiedPolicy, obs_space: Any, recipe: Recipe, num_blocks: int) -> _Shared:
        """Measure, then lay out memory of that size."""
        size = cls(None, policy, obs_space, recipe, num_blocks).size
        return cls(shared_memory.SharedMemory(create=True, size=size), policy, obs_space, recipe, num_blocks)

    @torch.no_grad()
    def publish(self, acting: nn.Module) -> None:
        """Write the weights."""
        for array, tensor in zip(self.weights, _weights(acting), strict=True):
            array[...] = tensor.cpu().numpy()

    @torch.no_grad()
    def adopt(self, acting: nn.Module) -> None:
        """Read the weights."""
        for array, tensor in zip(self.weights, _weights(acting), strict=True):
            tensor.copy_(torch.from_numpy(array))

    def close(self, *, unlink: bool) -> None:
        """Let go of the memory; the arrays in it are gone after that."""
        self.weights, self.blocks = [], []
        del self.pulses
        self.memory.close()
        if unlink:
            self.memory.unlink()


def _weights(acting: nn.Module) -> list[Tensor]:
    """What changes in a network: parameters, and statistics such as a normaliser's."""
    return [tensor.detach() for tensor in acting.state_dict().values() if tensor.is_floating_point()]


# From here on: what runs in a worker.


def _work(pipe: connection.Connection[Any, Any], recipe: Recipe, obs_space: Any, memory: str, num_blocks: int,
          rows: range, restarts: int) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as in the learner: the same weights must give the same actions
    env = recipe.env(rows.start, len(rows))
    if restarts:
        env.seed += 1_000_003 * restarts  # not the same episodes again
    policy = recipe.policy(env.single_observation_space, env.single_action_space)
    shared = _Shared(shared_memory.SharedMemory(memory), policy, obs_space, recipe, num_blocks)
    collector = Collector(env, policy, recipe.horizon, seed=recipe.seed + restarts, blocks=shared.blocks,
                          first=rows.start, random_steps=recipe.random_steps,
                          pulse=shared.pulses[rows.start:rows.start + 1])
    pipe.send(("ready", None))
    while True:
        match pipe.recv():
            case ("collect", turn, step):
                shared.adopt(policy.acting)
                rollout = collector.collect(step, turn)
                if recipe.log_prob:
                    mine = collector.mine
                    rollout.extra["log_prob"][:, mine] = cast(WeighingPolicy, policy).log_prob(rollout)[:, mine]
                pipe.send(("done", [astuple(episode) for episode in collector.take_episodes()]))
            case ("save",):
                pipe.send(("state", to_arrays(collector.state_dict())))
            case ("load", state, fresh_seed):
                pipe.send(("loaded", collector.load_state_dict(to_tensors(state), fresh_seed)))
            case ("close",):
                collector.close()
                del collector
                shared.close(unlink=False)
                return
