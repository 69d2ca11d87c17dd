"""Replay memory: a ring that stores every observation once, and the views that turn rows into batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from torch import Tensor

from rlcore.config import ConfigError, ShapeError
from rlcore.data.batch import Batch, Obs
from rlcore.data.rollout import Rollout
from rlcore.data.scale import RewardFactor, RewardScale

_FLAGS = ("action", "reward", "terminated", "valid", "start")
Relabel = Callable[[Tensor, "Transitions"], "Transitions"]
"""(flat rows [N], their steps) → the steps as they are to be learned from"""


@dataclass(frozen=True)
class Transitions(Batch):
    """Steps picked from memory, over one or n rewards. All fields [N, …].

    reward     Σ γᵏ·r over the steps taken together
    discount   how much of the value of next_obs flows back: γⁿ, and 0 behind a terminated step
    weight     0 on the dummy rows after an episode's end, so that shapes stay static; elsewhere 1
    """

    obs: Obs
    action: Tensor
    reward: Tensor
    discount: Tensor
    next_obs: Obs
    weight: Tensor


@dataclass(frozen=True)
class Sequences(Batch):
    """Consecutive steps picked from memory, time-major: [L, N, …]; the observations have one row more.

    memory [1, N, M] is what the agent remembered before the first step when it took it.
    """

    obs: Obs
    action: Tensor
    reward: Tensor
    terminated: Tensor
    valid: Tensor
    start: Tensor
    memory: Tensor


class Ring:
    """The last `capacity` environment steps of B environments, time-major, oldest overwritten first.

    A row's successor observation is the next row's observation: next-step autoreset puts an episode's true last
    observation there, also when the clock cut it, so nothing is stored twice. Rows are numbered flat: row · B + b.

    Args:
        capacity: environment steps to hold.
        num_envs: B.
        memory_every: keep the agent's recurrent memory at every so many rows; 0 keeps none.
        frames: observations are stacks [frames, height, width] of which each row adds only the newest; stacks are put
            together again when picked. 1 stores observations as they are.
        reward_scale: learns from what is added and scales what is handed out; rewards are stored as they were, because
            the scale still changes.
        device: where the rows live.
        folder: keep the rows in files here, mapped into memory, for memories larger than RAM.
    """

    def __init__(self, capacity: int, num_envs: int, *, memory_every: int = 0, frames: int = 1,
                 reward_scale: RewardScale | RewardFactor | None = None, device: torch.device | str = "cpu",
                 folder: Path | None = None):
        steps = capacity // num_envs + 1  # one row more: it holds only the newest successor
        if memory_every:
            steps = -(-steps // memory_every) * memory_every  # so that rows with a memory stay the same on every round
        if steps < 3:
            raise ConfigError(f"capacity={capacity} must hold at least two steps of {num_envs} environments. "
                              f"Try {max(1000, 100 * num_envs)}.")
        self.steps, self.num_envs, self.memory_every, self.frames = steps, num_envs, memory_every, frames
        self.reward_scale, self.device, self.folder = reward_scale, torch.device(device), folder
        self.total = 0                          # steps of each environment ever written
        self.rows: dict[str, Tensor] = {}       # flags and actions, and "obs" or one "obs/part" for each part
        self._views: dict[str, Any] = {}        # the rows as they are written to, see `_look`
        self._flat: dict[str, Any] = {}         # and as they are picked from
        self.stacks: list[str] = []             # the columns that are stored frame by frame
        self.padding = ""                       # before a stack's first frame its "repeats", or "zeros"
        self.relabel: Relabel | None = None     # what becomes of steps before they are handed out

    def __len__(self) -> int:
        return self.size * self.num_envs

    @property
    def on_cpu(self) -> bool:
        """Whether NumPy sees the rows."""
        return self.device.type == "cpu"

    @property
    def size(self) -> int:
        """Steps of each environment that can be picked."""
        return min(self.total, self.steps - 1)

    @property
    def env_steps(self) -> int:
        """Steps of all environments ever written."""
        return self.total * self.num_envs

    @property
    def head(self) -> int:
        """The row that is written next; until then it holds the newest step's successor."""
        return self.total % self.steps

    def add(self, rollout: Rollout) -> Tensor:
        """Write T steps of all environments; of a block longer than the memory, its end. → flat rows written"""
        columns = {name: getattr(rollout, name) for name in _FLAGS} | _parts(rollout.obs)
        if not self.rows:
            self._allocate(columns, rollout.memory)
        if self.reward_scale is not None:
            self.reward_scale.learn(rollout)
        if self.stacks:
            fresh = self._begin_stacks(rollout)
            columns["fresh"] = fresh[:-1]
        if self.total:  # what begins an episode does not follow from the newest step: nobody may learn that it did
            self._views["valid"][self.head - 1] &= ~self._given(rollout.start[0])
        length, skip = len(rollout.reward), max(0, len(rollout.reward) - (self.steps - 1))
        self.total += skip
        for name, column in columns.items():
            self._write(name, self._newest(name, column)[skip:], self.head)
        if self.memory_every:
            for t in range(-(self.total - skip) % self.memory_every, length, self.memory_every):
                row = (self.total - skip + t) % self.steps
                self.rows["memory"][row // self.memory_every] = rollout.memory[t]
        written = (np.arange(self.total, self.total + length - skip) % self.steps)[:, None] * self.num_envs
        self.total += length - skip
        for name, part in _parts(rollout.last_obs).items():
            self._views[name][self.head] = self._given(self._newest(name, part))
        self._views["start"][self.head] = ~self._given(rollout.valid[-1])  # a dummy row leads to an episode's first
        if self.stacks:
            self._views["fresh"][self.head] = self._given(fresh[-1])
        return torch.from_numpy((written + np.arange(self.num_envs)).ravel())

    def _write(self, name: str, column: Tensor, head: int) -> None:
        rows, given, first = self._views[name], self._given(column), min(len(column), self.steps - head)
        rows[head:head + first] = given[:first]
        if first < len(column):
            rows[:len(column) - first] = given[first:]

    def _look(self) -> None:
        """See the rows anew: on the CPU as NumPy sees them, since for single steps torch's calls cost more."""
        self._views = {name: rows.numpy() if self.on_cpu else rows for name, rows in self.rows.items()}
        self._flat = {name: rows.reshape(-1, *rows.shape[2:]) for name, rows in self._views.items()}

    def _given(self, column: Tensor) -> Any:
        return column.cpu().numpy() if self.on_cpu else column.to(self.device)

    def _allocate(self, columns: dict[str, Tensor], memory: Tensor) -> None:
        self.stacks = [name for name, column in columns.items() if self._is_stack(name, column)]
        if self.frames > 1 and not self.stacks:
            shapes = ", ".join(str(tuple(part.shape[2:])) for name, part in columns.items() if name.startswith("obs"))
            raise ShapeError(f"frames={self.frames} stores each frame of a stack once, and needs images of uint8 "
                             f"({self.frames}, height, width); observations here are {shapes}. Use frames=1.")
        if self.stacks:
            self.rows["fresh"] = self._zeros("fresh", (self.steps, self.num_envs), torch.bool)
        for name, column in columns.items():
            self.rows[name] = self._zeros(name, (self.steps, *self._newest(name, column).shape[1:]), column.dtype)
        if self.memory_every:
            self.rows["memory"] = self._zeros("memory", (self.steps // self.memory_every, *memory.shape[1:]),
                                              memory.dtype)
        self._look()

    def _zeros(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self.folder is None:
            return torch.zeros(shape, dtype=dtype, device=self.device)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{quote(name, safe='')}.bin"  # goal/x and goal-x are two
        with file.open("wb") as stream:  # a sparse file of zeros
            stream.truncate(prod(shape) * dtype.itemsize)
        return torch.from_file(str(file), shared=True, size=prod(shape), dtype=dtype).view(shape)

    def _newest(self, name: str, column: Tensor) -> Tensor:
        """The part of a column that is stored: of stacked images [..., frames, H, W], the last frame."""
        return column[..., -1, :, :] if name in self.stacks else column

    def _is_stack(self, name: str, column: Tensor) -> bool:
        return (self.frames > 1 and name.startswith("obs") and column.dtype == torch.uint8 and column.dim() == 5
                and column.shape[2] == self.frames)

    def _begin_stacks(self, rollout: Rollout) -> Tensor:
        """Where stacks begin anew, also in the newest row: at episodes' starts, but not where only a life was lost and
        the next one's first stack goes on from the last one's. → [T + 1, B]
        """
        start = torch.cat([rollout.start, ~rollout.valid[-1:]])
        step, env = start.nonzero(as_tuple=True)
        if not len(step):
            return start
        goes_on, first, last = torch.full_like(step, self.total) + step > 0, [], _parts(rollout.last_obs)
        newest = (self.head - 1) % self.steps * self.num_envs + torch.arange(self.num_envs, device=self.device)
        for name, obs in ((name, part) for name, part in _parts(rollout.obs).items() if name in self.stacks):
            before = self._observed(name, newest).to(obs.device) if self.total else torch.zeros_like(obs[0])
            shown = torch.cat([before[None], obs, last[name][None]])
            first.append(shown[step + 1, env])
            goes_on &= (first[-1][:, :-1] == shown[step, env][:, 1:]).flatten(1).all(1)
        self._learn_padding([stacks[~goes_on] for stacks in first])
        start[step, env] = ~goes_on
        return start

    def _learn_padding(self, firsts: list[Tensor]) -> None:
        for first in firsts:
            older, newest = first[:, :-1], first[:, -1:]
            repeats, zeros = ((older == fill).flatten(1).all(1) for fill in (newest, torch.zeros_like(newest)))
            for kind, plainly in (("repeats", repeats & ~zeros), ("zeros", zeros & ~repeats)):
                if bool(plainly.any()):
                    self.padding = self.padding or kind
            same = repeats if self.padding == "repeats" else zeros if self.padding == "zeros" else repeats & zeros
            if not bool(same.all()):
                raise ShapeError("Frames can be stored once only where every episode's first stack goes on from the "
                                 "last one's, or always repeats its first frame, or always begins with zeros. This "
                                 "environment's do not. Use frames=1.")

    def pick(self, count: int, rng: np.random.Generator, length: int = 1, every: int = 1) -> Tensor:
        """Flat rows, uniformly and with replacement. → [count]

        Each is followed by at least length − 1 newer ones; every: only rows at multiples of it.
        """
        first, last = self._multiples(length, every)
        step = rng.integers(first, last + 1, size=count) * every
        row = step % self.steps
        if self.num_envs > 1:
            row = row * self.num_envs + rng.integers(self.num_envs, size=count)
        return torch.from_numpy(row).to(self.device)

    def can_pick(self, length: int = 1, every: int = 1) -> bool:
        """Whether `pick` has anything to choose from."""
        first, last = self._multiples(length, every)
        return first <= last

    @property
    def oldest(self) -> int:
        """The first step, counted from the run's beginning, that can be picked."""
        step = self.total - self.size
        return step + self.frames - 1 if self.stacks and step else step  # the oldest stacks lost their older frames

    def _multiples(self, length: int, every: int) -> tuple[int, int]:
        """The steps that `pick` chooses among, divided by `every`: the first and the last."""
        if self.memory_every and every % self.memory_every and length > 1:
            raise ConfigError(f"Sequences can begin only where a memory is kept: every={every} must be a multiple of "
                              f"memory_every={self.memory_every}.")
        return -(-self.oldest // every), (self.total - length) // every

    def transitions(self, index: Tensor, gamma: float, n: int = 1) -> Transitions:
        """The steps that begin at flat rows, n rewards taken together or as many as their episode still had. → [N, …]

        Sutton 1988; n-step targets as in Hessel et al. 2018, arXiv:1710.02298, "Multi-step learning".
        """
        last, reward = index, self._at("reward", index)
        discount: Tensor | float = gamma
        if n > 1:
            last, reward, discount = self._add_up(index, self._scaled(reward), gamma, n)
        after = self._shift(last, 1)
        alive = 1 - self._at("terminated", last).float()
        found = Transitions(self.obs(index), self._at("action", index), reward, discount * alive,
                            next_obs=self.obs(after), weight=self._at("valid", index).float())
        if self.relabel is not None:
            found = self.relabel(index, found)
        return found if n > 1 or self.reward_scale is None else replace(found, reward=self._scaled(found.reward))

    def _scaled(self, reward: Tensor) -> Tensor:
        """Rewards of single steps as they are learned from: a scale may limit each, and must not limit their sums."""
        return reward if self.reward_scale is None else self.reward_scale.scale(reward)

    def _add_up(self, index: Tensor, reward: Tensor, gamma: float, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """(last row, Σ γᵏ·r, γ^steps): a window ends before a row that does not follow on from it."""
        last, discount = index, torch.full_like(reward, gamma)
        going = torch.ones_like(index, dtype=torch.bool)
        for _ in range(1, n):
            after = self._shift(last, 1)
            # dummy rows are not valid, so an episode's end stops here too, and the newest step has no reward behind it
            going = going & self._at("valid", after) & (after // self.num_envs != self.head)
            reward = reward + torch.where(going, discount * self._scaled(self._at("reward", after)), 0)
            discount = torch.where(going, discount * gamma, discount)
            last = torch.where(going, after, last)
        return last, reward, discount

    def sequences(self, index: Tensor, length: int) -> Sequences:
        """`length` consecutive steps from each flat row on. → [L, N, …], observations [L + 1, N, …]"""
        rows = torch.stack([self._shift(index, k) for k in range(length + 1)])
        take = {name: self._at(name, rows[:-1]) for name in ("action", "reward", "terminated", "valid")}
        start = self._at("start", rows)
        memory = torch.zeros(1, len(index), 0, device=self.device)
        if self.memory_every:
            memory = self.rows["memory"][index // self.num_envs // self.memory_every, index % self.num_envs][None]
        return Sequences(self.obs(rows), take["action"], self._scaled(take["reward"]), take["terminated"],
                         take["valid"], start, memory)

    def obs(self, index: Tensor) -> Obs:
        """The observations at flat rows, of any shape. [...] → [..., *obs]"""
        found = {name: self._observed(name, index) for name in self.rows if name == "obs" or name.startswith("obs/")}
        return found["obs"] if "obs" in found else {name[4:]: part for name, part in found.items()}

    def _observed(self, name: str, index: Tensor) -> Tensor:
        if name not in self.stacks:
            return self._at(name, index)
        at, frames = index, [self._at(name, index)]
        began = torch.zeros_like(index, dtype=torch.bool)
        for _ in range(self.frames - 1):
            began = began | self._at("fresh", at)
            at = torch.where(began, at, self._shift(at, -1))
            older = self._at(name, at)
            frames.append(older * ~began[..., None, None] if self.padding == "zeros" else older)
        return torch.stack(frames[::-1], -3)

    def _at(self, name: str, index: Tensor) -> Tensor:
        """A column at flat rows of any shape."""
        flat = self._flat[name]
        return torch.from_numpy(flat.take(index.numpy(), 0)) if self.on_cpu else flat[index]

    def _shift(self, index: Tensor, by: int) -> Tensor:
        return (index + by * self.num_envs) % (self.steps * self.num_envs)

    def num_bytes(self) -> int:
        """What the rows take, written or not."""
        return sum(column.numel() * column.dtype.itemsize for column in self.rows.values())

    def state_dict(self) -> dict[str, Any]:
        """Everything written so far, as views, and the rewards' scale; unwritten rows cost nothing."""
        used = self.steps if self.size == self.steps - 1 else self.head + 1
        rows = {name: column[:used] for name, column in self.rows.items() if name != "memory"}
        if "memory" in self.rows:
            rows["memory"] = self.rows["memory"][:-(-used // self.memory_every)]
        return {"total": self.total, "steps": self.steps, "stacks": self.stacks, "padding": self.padding, "rows": rows,
                "reward_scale": None if self.reward_scale is None else self.reward_scale.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            ConfigError: it is the state of a ring of another length.
        """
        if state["steps"] != self.steps:
            raise ConfigError(f"A memory of {state['steps'] - 1} steps of each environment cannot be restored into one "
                              f"of {self.steps - 1}. Use the capacity it was saved with.")
        self.total, self.stacks, self.padding, self.rows = state["total"], state["stacks"], state["padding"], {}
        for name, saved in state["rows"].items():
            length = self.steps // self.memory_every if name == "memory" else self.steps
            self.rows[name] = self._zeros(name, (length, *saved.shape[1:]), saved.dtype)
            self.rows[name][: len(saved)] = saved
        if self.stacks and "fresh" not in self.rows:  # from before lost lives were known: stacks began with episodes
            self.rows["fresh"] = self._zeros("fresh", (self.steps, self.num_envs), torch.bool).copy_(self.rows["start"])
        self._look()
        if self.reward_scale is not None:
            self.reward_scale.load_state_dict(state["reward_scale"])


def _parts(obs: Any) -> dict[str, Tensor]:
    """An observation as named columns."""
    return {f"obs/{name}": part for name, part in obs.items()} if isinstance(obs, dict) else {"obs": obs}
