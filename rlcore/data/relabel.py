"""Hindsight: what was done counts as an attempt at what was achieved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rlcore.arrays import Array
from rlcore.config import ConfigError, ShapeError
from rlcore.data.replay import Ring, Transitions

GOAL_PARTS = ("observation", "achieved_goal", "desired_goal")

Reward = Callable[[Array, Array], Array]
"""(achieved goals [N, *goal], desired goals [N, *goal]) → [N]"""


class Hindsight:
    """A view of a ring in which a share of the picked steps pursues another goal: one that their episode reached later.

    The strategy "future" of Andrychowicz et al. 2017, arXiv:1707.01495, §4.5: the new goal is what was achieved after
    a step drawn uniformly from this one to the episode's last (or the newest, while it goes on), and the reward is
    asked for again. Terminations stay as they were, so it suits tasks that only the clock ends, as in the paper.
    It becomes one as the ring's `relabel`.

    Args:
        ring: remembers observations with the parts "observation", "achieved_goal" and "desired_goal".
        compute_reward: the environment's reward for having achieved one goal while another was desired.
        share: of the steps whose goal is replaced; k/(k + 1) for k replacements per original in the paper's counting.
        rng: the agent's generator, so that a resumed run draws the same goals.
    """

    def __init__(self, ring: Ring, compute_reward: Reward, *, share: float, rng: np.random.Generator):
        if not 0 <= share <= 1:
            raise ConfigError(f"Hindsight: share={share} must be between 0 and 1.")
        self.ring, self.rng = ring, rng
        self.compute_reward, self.share = compute_reward, share
        self.last = np.zeros((ring.steps, ring.num_envs), np.int64)   # of each row's episode, where that is over
        self.began = np.zeros(ring.num_envs, np.int64)                # the first step of the episode under way
        self.seen, self.rows = 0, ring.rows                           # steps that were looked at, and in what

    def __call__(self, index: Tensor, picked: Transitions) -> Transitions:
        """The steps at flat rows, some with another goal. [N], [N, …] → [N, …]"""
        if not isinstance(picked.obs, dict) or not isinstance(picked.next_obs, dict) \
                or not picked.obs.keys() >= set(GOAL_PARTS):
            raise ShapeError(f"Hindsight needs observations with the parts {', '.join(GOAL_PARTS)}.")
        chosen = torch.from_numpy(self.rng.random(len(index)) < self.share).to(index.device)
        later = self.ring.obs(self._later(index))
        assert isinstance(later, dict)
        wide = chosen.view(-1, *[1] * (picked.obs["desired_goal"].dim() - 1))
        goal = torch.where(wide, later["achieved_goal"], picked.obs["desired_goal"])
        asked = np.asarray(self.compute_reward(picked.next_obs["achieved_goal"].cpu().numpy(), goal.cpu().numpy()))
        if asked.shape != (len(index),):      # a single number would be taken for everyone's
            raise ShapeError(f"compute_reward must give {len(index)} rewards for {len(index)} goals, and gave the "
                             f"shape {asked.shape}. Reduce along the last axis: np.linalg.norm(…, axis=-1).")
        reward = torch.as_tensor(asked.astype(np.float32), device=picked.reward.device)
        return replace(picked, obs=picked.obs | {"desired_goal": goal},
                       next_obs=picked.next_obs | {"desired_goal": goal},
                       reward=torch.where(chosen, reward, picked.reward))

    def _later(self, index: Tensor) -> Tensor:
        """For each step, the row that shows what was achieved after a random one from it to its episode's last."""
        self._look()
        ring = self.ring
        row, env = np.divmod(index.cpu().numpy(), ring.num_envs)
        step = ring.total - 1 - (ring.total - 1 - row) % ring.steps       # the newest step that is kept in this row
        ended = ~ring.rows["valid"][ring.head - 1].cpu().numpy()           # the newest row is a dummy
        newest = np.maximum(step, ring.total - 1 - ended[env])
        last = np.where(step >= self.began[env], newest, self.last[row, env])
        drawn = step + (self.rng.random(len(row)) * (last - step + 1)).astype(np.int64)
        return torch.from_numpy((drawn + 1) % ring.steps * ring.num_envs + env).to(index.device)

    def _look(self) -> None:
        """Note where episodes ended among the steps written since the last look."""
        ring = self.ring
        oldest = ring.total - ring.size
        if self.rows is not ring.rows or self.seen < oldest:  # it was restored, or went round: look at all of it again
            self.rows, self.seen = ring.rows, oldest
            self.began[:] = oldest
        number = np.arange(self.seen, ring.total)
        starts = ring.rows["start"][torch.from_numpy(number % ring.steps)].cpu().numpy()
        for t, env in np.argwhere(starts):
            step, first = self.seen + t, max(self.began[env], oldest)
            episode = np.arange(first, step)
            # the row before a start is a dummy, or was broken off: the last real step is the one before that
            self.last[episode % ring.steps, env] = np.maximum(step - 2, episode)
            self.began[env] = step
        self.seen = ring.total
