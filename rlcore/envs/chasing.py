"""Chasing a point: a task with inertia in as many dimensions as one likes, as a single and a vectorised environment.

The task is ElegantRL's point chasing (Liu et al. 2021, arXiv:2112.05923), stated anew as accelerations and momenta.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlcore.arrays import Array
from rlcore.envs.wrappers import time_limit

ID = "rlcore/PointChasing-v0"
EPISODE_STEPS = 200
_KEEP = 0.9      # of its velocity per step: what friction leaves
_THRUST = 0.1    # velocity that a full action adds per step
_REACH = 0.5     # closer than this, the target is caught
_SPEED = 0.2     # of the target per step; at full thrust a chaser comes to thrust / (1 − keep) = 1
_START = 8.0     # distance between the two when an episode starts, before noise


class PointChasing(gym.Env[Array, Array]):
    """A chaser with inertia follows a target that moves on at constant velocity.

    x ← x + v,  v ← 0.9·v + 0.1·a / max(1, |a|);   y ← y + u;   reward = |x − y| before − |x − y| after.

    Observation  Box [4·D] float32: y − x, v, u, and the last a as it was applied
    Action       Box [−1, 1] in D dimensions: the thrust a, shortened to length 1 where it is longer
    Reward       how much closer the chaser came, so that the return is the distance gained; 10 more for the catch
    Ends         terminated when the distance falls below 0.5; truncated after 200 steps by the registered id
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # Gymnasium's own way of saying so

    def __init__(self, dim: int = 2):
        self.observation_space, self.action_space = _spaces(dim)
        self.state = np.zeros((1, 5, dim))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Chaser at rest at the origin, target about 8 away with a velocity across or away."""
        super().reset(seed=seed, options=options)
        self.state[0] = _start(self.np_random, self.state.shape[-1])
        return _observe(self.state)[0], {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One step of both points."""
        reward, caught = _move(self.state, np.asarray(action)[None])
        return _observe(self.state)[0], float(reward[0]), bool(caught[0]), False, {}


class PointChasingVector(VectorEnv[Array, Array, Array]):
    """B chases at once: bit for bit what B of `PointChasing` do. Autoreset is next-step."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int, dim: int = 2, max_episode_steps: int = EPISODE_STEPS):
        self.num_envs, self.max_episode_steps = num_envs, time_limit(max_episode_steps)
        self.single_observation_space, self.single_action_space = _spaces(dim)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.state = np.zeros((num_envs, 5, dim))
        self.elapsed, self.ended = np.zeros(num_envs, np.int64), np.zeros(num_envs, bool)
        self.draws = [np.random.default_rng() for _ in range(num_envs)]

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None  # noqa: ARG002
              ) -> tuple[Array, dict[str, Any]]:
        """Start all episodes anew; one seed per copy, or copy b takes seed + b."""
        if seed is not None:
            seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
            self.draws = [gym.utils.seeding.np_random(one)[0] for one in seeds]
        self._begin(np.arange(self.num_envs))
        self.ended = np.zeros(self.num_envs, bool)
        return _observe(self.state), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of every chase; those that had ended begin anew."""
        fresh = self.ended
        reward, caught = _move(self.state, np.asarray(actions))
        self.elapsed += 1
        self._begin(np.flatnonzero(fresh))
        reward, caught = np.where(fresh, 0, reward), caught & ~fresh
        truncated = self.elapsed >= self.max_episode_steps
        self.ended = caught | truncated
        return _observe(self.state), reward, caught, truncated, {}

    def _begin(self, rows: Array) -> None:
        for row in rows:
            self.state[row] = _start(self.draws[row], self.state.shape[-1])
        self.elapsed[rows] = 0


def register() -> None:
    """Make the id known to Gymnasium."""
    if ID not in gym.registry:
        gym.register(ID, entry_point=PointChasing, vector_entry_point=PointChasingVector,  # type: ignore[arg-type]
                     max_episode_steps=EPISODE_STEPS)


def _spaces(dim: int) -> tuple[spaces.Box, spaces.Box]:
    return spaces.Box(-np.inf, np.inf, (4 * dim,), np.float32), spaces.Box(-1.0, 1.0, (dim,), np.float32)


def _start(draw: np.random.Generator, dim: int) -> Array:
    """Positions x and y, velocities v and u, and the thrust. [5, D]"""
    side, course = draw.normal(size=(2, dim))
    state = np.zeros((5, dim))
    state[1] = _START * side / np.linalg.norm(side) + draw.uniform(-1, 1, dim)
    state[3] = _SPEED * course / np.linalg.norm(course)
    return state


def _move(state: Array, action: Array) -> tuple[Array, Array]:
    """Move both points, in place. [B, 5, D], [B, D] → reward [B], caught [B]"""
    place, target, velocity, course, thrust = (state[:, part] for part in range(5))
    before = _length(target - place)
    thrust[:] = action
    thrust /= np.maximum(1, _length(thrust))[:, None]
    velocity *= _KEEP
    velocity += _THRUST * thrust
    place += velocity
    target += course
    after = _length(target - place)
    caught = after < _REACH
    return before - after + 10.0 * caught, caught


def _length(vector: Array) -> Array:
    length: Array = np.sqrt(np.square(vector).sum(-1))
    return length


def _observe(state: Array) -> Array:
    seen = np.concatenate([state[:, 1] - state[:, 0], state[:, 2], state[:, 3], state[:, 4]], axis=-1)
    return seen.astype(np.float32)
