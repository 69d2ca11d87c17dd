"""The one collect loop. Samplers differ in when they wait, not in what they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces

from rlcore.arrays import Array
from rlcore.config import ShapeError
from rlcore.data.batch import tree_map
from rlcore.data.rollout import Rollout
from rlcore.envs.make import Env
from rlcore.envs.state import load_env_state, save_env_state
from rlcore.envs.wrappers import named_parts
from rlcore.protocols import Policy
from rlcore.spaces import MASK, legal_choice


class Sampler(Protocol):
    """Where training gets its experience from."""

    def collect(self, step: int) -> Rollout:
        """The next T steps of all environments; step: env steps of the run so far.

        The rollout's tensors are views of buffers that the next `collect` overwrites.
        """

    def take_episodes(self) -> list[Episode]:
        """The episodes finished since the last call, as they ended."""

    def state_dict(self) -> dict[str, Any]:
        """The environments and everything under way; `env` is None where an environment cannot be saved."""

    def load_state_dict(self, state: dict[str, Any], fresh_seed: int) -> bool:
        """Continue where `state_dict` was taken. Returns false where the environments had to start new episodes,
        then seeded by `fresh_seed`.
        """

    def close(self) -> None:
        """End environments and processes."""


Take = Callable[[tuple[int, ...], Any], Array]
_ALL = np.s_[:]


@dataclass(frozen=True)
class Episode:
    """A finished episode: its undiscounted return, its length in env steps, and the step of the run that ended it."""

    total: float
    length: int
    step: int = 0   # unknown to older checkpoints


class Block:
    """The arrays of a rollout of all B environments, allocated once, and the rollout that views them."""

    def __init__(self, arrays: dict[str, Any]):
        self.arrays = arrays
        self.obs = arrays["obs"]
        columns = arrays | {"obs": tree_map(lambda part: part[:-1], self.obs),
                            "last_obs": tree_map(lambda part: part[-1], self.obs)}
        self.floats = [(name, part) for name in ("obs", "reward") for _, part in named_parts(arrays[name])
                       if part.dtype.kind == "f"]
        self.rollout = Rollout(**{name: tree_map(torch.from_numpy, column) for name, column in columns.items()})

    def copy(self) -> dict[str, Any]:
        """What the arrays hold, as tensors by name."""
        return {name: tree_map(lambda part: torch.from_numpy(part.copy()), column)
                for name, column in self.arrays.items()}

    def fill(self, saved: dict[str, Any]) -> None:
        """Put back what `copy` gave."""
        for name, column in self.arrays.items():
            for (_, part), (_, old) in zip(named_parts(column), named_parts(saved[name]), strict=True):
                part[...] = old

    @staticmethod
    def plan(obs_space: spaces.Space[Any], policy: Policy, horizon: int, num_envs: int, take: Take = np.zeros,
             extras: tuple[str, ...] = ()) -> dict[str, Any]:
        """The arrays by name, each got by `take(shape, dtype)`. Observations have a row more than the rest."""
        rows, actions = (horizon, num_envs), policy.actions

        def observed(space: spaces.Space[Any]) -> Array:
            assert space.shape is not None  # encoders have refused every other space already
            return take((horizon + 1, num_envs, *space.shape), space.dtype)

        return {
            "obs": ({name: observed(part) for name, part in obs_space.spaces.items()}
                    if isinstance(obs_space, spaces.Dict) else observed(obs_space)),
            "action": take((*rows, *actions.shape), actions.dtype),
            "reward": take(rows, np.float32),
            **{name: take(rows, bool) for name in ("terminated", "truncated", "valid", "start")},
            "memory": take((*rows, policy.memory_size), np.float32),
            "extra": {name: take(rows, np.float32) for name in (*policy.extras, *extras)},
        }


class Collector:
    """Steps a vector environment T times and hands out the block.

    Args:
        env: the environments this collector steps: all of the run's, or the columns `first` and following.
        policy: decides; it is always asked for all B rows, of which only the collector's own count. A product's last
            bits may depend on the number of rows, so this is what makes every sampler give the same rollout.
        horizon: T.
        seed: of exploration; each environment has a generator of its own.
        blocks: where to write, if they are shared with other collectors.
        first: the first column of this collector's environments in the block.
        random_steps: env steps of the run before which actions are uniformly random.
        pulse: [1], counts up with every step, for whoever watches another process.
        num_groups: 2 lets one half of the environments step while the other half's actions are computed, where the
            environments live in processes of their own. Stooke & Abbeel 2018, arXiv:1803.02811, "alternating".
    """

    def __init__(self, env: Env, policy: Policy, horizon: int, *, seed: int = 0, blocks: Sequence[Block] = (),
                 first: int = 0, random_steps: int = 0, pulse: Array | None = None, num_groups: int = 1):
        self.env, self.policy, self.horizon, self.random_steps = env, policy, horizon, random_steps
        self.blocks = blocks or [Block(Block.plan(env.single_observation_space, policy, horizon, env.num_envs))]
        self.block = self.blocks[0]                # the one written last
        self.pulse = np.zeros(1, np.int64) if pulse is None else pulse
        num, self.first = env.num_envs, first
        self.total = self.block.arrays["reward"].shape[1]
        self.mine = slice(first, first + num)
        bounds = [num * group // num_groups for group in range(num_groups + 1)]
        self.groups = [(slice(begin, end), slice(first + begin, first + end))       # of the environments, of the block
                       for begin, end in pairwise(bounds) if begin < end]
        self.rngs = [np.random.default_rng([seed, first + b]) for b in range(num)]
        self.memory = np.zeros((self.total, policy.memory_size), np.float32)
        self.running = np.zeros(num)               # return of the episode under way, per environment
        self.elapsed = np.zeros(num, np.int64)     # its length
        self.ended = np.zeros(num, bool)           # its last step was just taken: the next row is a dummy
        self.fresh = np.ones(num, bool)            # the next row is an episode's first
        self._observe(-1, self.mine, env.reset()[0])
        self.episodes: list[Episode] = []          # finished since somebody took them

    def collect(self, step: int, turn: int = 0) -> Rollout:
        """T steps with one policy, into the block number `turn`.

        Raises:
            ShapeError: an environment gave an observation, reward or cost that is no finite number.
        """
        last, self.block = self.block, self.blocks[turn]
        for (_, part), (_, old) in zip(named_parts(self.block.obs), named_parts(last.obs), strict=True):
            part[0, self.mine] = old[-1, self.mine]
        if step < self.random_steps:
            self._walk(self._for_each_env(self._chance), self._random)
        else:
            noise = self.policy.noise
            self._walk(self._for_each_env(lambda rng, env: noise(rng, self.horizon, step, env)), self.policy.act)
        arrays, mine = self.block.arrays, self.mine
        self._check_finite(step)
        done, valid, start = self._done(), arrays["valid"][:, mine], arrays["start"][:, mine]
        valid[0], valid[1:] = ~self.ended, ~done[:-1]
        start[0], start[1:] = self.fresh, ~valid[:-1]
        self._count_episodes(step, done, valid)
        self.ended, self.fresh = done[-1].copy(), ~valid[-1]
        return self.block.rollout

    def _done(self) -> Array:
        done: Array = self.block.arrays["terminated"][:, self.mine] | self.block.arrays["truncated"][:, self.mine]
        return done

    def _for_each_env(self, draw: Callable[[np.random.Generator, int], Array]) -> Array:
        """Something drawn for the whole block, by each environment's own generator. [T, B, …]"""
        drawn = np.stack([draw(rng, self.first + b) for b, rng in enumerate(self.rngs)], 1)
        if drawn.shape[1] == self.total:
            return drawn
        every = np.zeros((self.horizon, self.total, *drawn.shape[2:]), drawn.dtype)
        every[:, self.mine] = drawn
        return every

    def _chance(self, rng: np.random.Generator, _env: int) -> Array:
        """What one environment needs to act at random: actions, or a lot each where observations say what is legal."""
        return rng.random(self.horizon) if self._masked else self.policy.actions.random(rng, self.horizon)

    def _random(self, obs: Any, memory: Array, chance: Array) -> tuple[Array, Array]:
        """Actions drawn beforehand, or by lot among the legal; a recurrent policy sees the observation all the same."""
        actions = legal_choice(chance, obs[MASK].astype(bool)) if self._masked else chance
        return actions, self.policy.act(obs, memory)[1] if self.policy.memory_size else memory

    @property
    def _masked(self) -> bool:
        return self.policy.actions.kind == "discrete" and isinstance(self.block.obs, dict) and MASK in self.block.obs

    def _walk(self, noise: Array, act: Callable[[Any, Array, Array], tuple[Array, Array]]) -> None:
        obs, action, to_env = self.block.obs, self.block.arrays["action"], self.policy.actions.to_env
        recurrent, one_part = self.policy.memory_size > 0, not isinstance(obs, dict)
        receive, send, groups = self._receiver(), self.env.send, self.groups
        for t in range(self.horizon):
            for group, mine in groups:
                if t:
                    receive(t - 1, group, mine)
                if recurrent:
                    self._remember(t, group, mine)
                row = obs[t] if one_part else {name: part[t] for name, part in obs.items()}
                chosen, after = act(row, self.memory, noise[t])
                if recurrent:
                    self.memory[mine] = after[mine]
                action[t, mine] = chosen = chosen[mine]
                send(to_env(chosen), group if len(groups) > 1 else _ALL)
        for group, mine in groups:
            receive(self.horizon - 1, group, mine)

    def _receiver(self) -> Callable[[int, slice, slice], None]:
        """What takes in what came of a step: one call per step, so it looks nothing up twice."""
        arrays, recv, observe, several = self.block.arrays, self.env.recv, self._observe, len(self.groups) > 1
        pulse = self.pulse
        reward, terminated, truncated = arrays["reward"], arrays["terminated"], arrays["truncated"]

        def receive(t: int, group: slice, mine: slice) -> None:
            obs, reward[t, mine], terminated[t, mine], truncated[t, mine], info = recv(group if several else _ALL)
            pulse[0] += 1
            observe(t + 1, mine, obs)
            for name in self.policy.extras:
                if name not in info and not self._was_reset(t, group, mine).all():
                    raise ShapeError(f"{self.env.name} gives no info['{name}'], which this algorithm learns from.")
                arrays["extra"][name][t, mine] = info.get(name, 0.0)

        return receive

    def _check_finite(self, step: int) -> None:
        """Nothing that is learned from may be NaN or infinite: every weight would soon be, too.

        A sum is finite where its parts are, unless they are huge: only where it is not, all parts are looked at.
        """
        mine, extra = self.mine, self.block.arrays["extra"]
        for column, part in (*self.block.floats, *((name, extra[name]) for name in self.policy.extras)):
            with np.errstate(over="ignore", invalid="ignore"):
                if math.isfinite(np.add.reduce(part[:, mine], None)):
                    continue
            for row, b in np.argwhere(~np.isfinite(part[:, mine]).reshape(len(part), self.env.num_envs, -1).all(-1)):
                taken = step + (row + (column != "obs")) * self.total  # the row before a step is what it led to
                value = np.array2string(np.asarray(part[row, self.first + b]), threshold=8, precision=4)
                raise ShapeError(
                    f"{self.env.name} gave {'an observation' if column == 'obs' else f'a {column}'} that is not "
                    f"finite: {value}, by environment {self.first + b} at env step {taken:,} of the run. An agent that "
                    f"learned from it would be lost. `python -m rlcore check {self.env.name}` looks for the cause; a "
                    "run's last checkpoint is from before it.")

    def _observe(self, row: int, mine: slice, obs: Any) -> None:
        if isinstance(obs, dict):
            for name, part in obs.items():
                self.block.obs[name][row, mine] = part
        else:
            self.block.obs[row, mine] = obs

    def _was_reset(self, t: int, group: slice, mine: slice) -> Array:
        """Whose step t is the dummy that resets. [group]"""
        if t == 0:
            return self.ended[group]
        over: Array = self.block.arrays["terminated"][t - 1, mine] | self.block.arrays["truncated"][t - 1, mine]
        return over

    def _remember(self, t: int, group: slice, mine: slice) -> None:
        """Forget at an episode's start, and note what is remembered before step t."""
        self.memory[mine][self._was_reset(t - 1, group, mine) if t else self.fresh[group]] = 0
        self.block.arrays["memory"][t, mine] = self.memory[mine]

    def _count_episodes(self, step: int, done: Array, valid: Array) -> None:
        reward, first = self.block.arrays["reward"][:, self.mine], step + self.first
        if self.horizon == 1:  # the common case of off-policy learning
            self.running += reward[0]
            self.elapsed += valid[0]
            for b in np.flatnonzero(done[0]):
                self.episodes.append(Episode(float(self.running[b]), int(self.elapsed[b]), int(first + b)))
                self.running[b] = self.elapsed[b] = 0
            return
        total, length = reward.cumsum(0, dtype=np.float64), valid.cumsum(0)
        total_before, length_before = -self.running, -self.elapsed
        for t, b in np.argwhere(done):
            self.episodes.append(Episode(float(total[t, b] - total_before[b]), int(length[t, b] - length_before[b]),
                                         int(first + t * self.total + b)))
            total_before[b], length_before[b] = total[t, b], length[t, b]
        self.running, self.elapsed = total[-1] - total_before, length[-1] - length_before

    def take_episodes(self) -> list[Episode]:
        """The episodes finished since the last call."""
        taken, self.episodes = self.episodes, []
        return taken

    def state_dict(self) -> dict[str, Any]:
        """The environments and everything under way; `env` is None where an environment cannot be saved."""
        arrays = {name: torch.from_numpy(getattr(self, name).copy()) for name in _UNDER_WAY}
        return {
            **arrays, "obs": tree_map(lambda part: torch.from_numpy(part[-1, self.mine].copy()), self.block.obs),
            "rngs": [rng.bit_generator.state for rng in self.rngs],
            "episodes": [[*astuple(episode)] for episode in self.episodes],
            "env": save_env_state(self.env),
        }

    def load_state_dict(self, state: dict[str, Any], fresh_seed: int) -> bool:
        """Continue where `state_dict` was taken. Returns false where the environments had to start new episodes,
        then seeded by `fresh_seed`.
        """
        self.episodes = [Episode(*saved) for saved in state["episodes"]]
        for rng, saved in zip(self.rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
        if state["env"] is None:
            self._observe(-1, self.mine, self.env.reset(seed=fresh_seed)[0])
            return False
        load_env_state(self.env, state["env"])
        self._observe(-1, self.mine, tree_map(lambda part: part.numpy(), state["obs"]))
        for name in _UNDER_WAY:
            setattr(self, name, state[name].numpy().copy())
        return True

    def close(self) -> None:
        """End the environments."""
        self.env.close()


_UNDER_WAY = ("memory", "running", "elapsed", "ended", "fresh")
