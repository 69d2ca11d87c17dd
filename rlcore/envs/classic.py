"""Gymnasium's classic control tasks, many at once: the same bits as its single environments, at a fraction of the cost.

Sources of the dynamics: cart-pole Barto, Sutton & Anderson 1983; mountain car Moore 1990; Acrobot Sutton 1996.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlcore.arrays import Array
from rlcore.envs.wrappers import Step, time_limit


class ClassicVector(VectorEnv[Any, Any, Any]):
    """B copies, each with a random generator of its own, under next-step autoreset.

    state [variables, B] float64: each variable of all copies lies side by side.
    """

    low: Array   # bounds of a first state, [variables, 1] or narrower
    high: Array

    def __init__(self, spec: gym.envs.registration.EnvSpec, num_envs: int, max_episode_steps: int | None = None):
        single = gym.make(spec, disable_env_checker=True)
        self.single_observation_space, self.single_action_space = single.observation_space, single.action_space
        single.close()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        steps = spec.max_episode_steps if max_episode_steps is None else max_episode_steps
        self.num_envs, self.max_steps = num_envs, time_limit(-1 if steps is None else steps)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.rngs = [seeding.np_random()[0] for _ in range(num_envs)]
        self.elapsed, self.ended = np.zeros(num_envs, np.int64), np.zeros(num_envs, bool)
        self.state = np.zeros((len(self.low), num_envs))
        self.ones = np.ones(num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None  # noqa: ARG002  # the interface has them
              ) -> tuple[Array, dict[str, Any]]:
        """Start all episodes anew; one seed per copy."""
        if seed is not None:
            self.rngs = [seeding.np_random(one)[0] for one in seed]
        self._begin(np.arange(self.num_envs))
        self.ended = np.zeros(self.num_envs, bool)
        return self._obs(), {}

    def step(self, actions: Array) -> Step:
        """One step of every copy whose episode goes on; the others begin a new one."""
        reward, terminated = self._advance(actions)
        self.elapsed += 1
        truncated = self.elapsed >= self.max_steps
        if np.count_nonzero(self.ended):  # `any` takes ten times as long
            fresh = self.ended.nonzero()[0]
            self._begin(fresh)
            reward[fresh], terminated[fresh], truncated[fresh] = 0, False, False
        self.ended = terminated | truncated
        return self._obs(), reward, terminated, truncated, {}

    def _begin(self, rows: Array) -> None:
        for row in rows:
            self.state[:, row] = self._first(self.rngs[row])
        self.elapsed[rows] = 0

    def _first(self, rng: np.random.Generator) -> Array:
        """A first state."""
        return rng.uniform(self.low, self.high)

    def _advance(self, actions: Array) -> tuple[Array, Array]:
        """Move every state on. [B] → rewards [B], terminated [B]"""
        raise NotImplementedError

    def _variables(self) -> Any:
        """The state's rows; of a single copy numbers, on which the same formulas are several times faster."""
        return self.state if self.num_envs > 1 else self.state[:, 0]

    def _put(self, *variables: Any) -> None:
        if self.num_envs == 1:
            self.state[:, 0] = variables
        else:
            self.state[:] = variables

    def _obs(self) -> Array:
        return np.ascontiguousarray(self.state.T, dtype=np.float32)


class CartPole(ClassicVector):
    """A pole on a cart, pushed left or right; every step but a reset pays 1."""

    low, high = np.full(4, -0.05), np.full(4, 0.05)

    def _first(self, rng: np.random.Generator) -> Array:
        return rng.uniform(-0.05, 0.05, size=4)  # between numbers it draws several times faster than between arrays

    def _advance(self, actions: Array) -> tuple[Array, Array]:
        single = self.num_envs == 1
        x, speed, angle, spin = self.state[:, 0].tolist() if single else self.state
        cos, sin = np.cos(angle), np.sin(angle)
        if single:
            cos, sin = cos.item(), sin.item()
        force = 20.0 * (float(actions[0] == 1) if single else actions == 1) - 10.0
        push = (force + 0.05 * (spin * spin) * sin) / 1.1
        spin_up = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * (cos * cos) / 1.1))
        speed_up = push - 0.05 * spin_up * cos / 1.1
        x, angle = x + 0.02 * speed, angle + 0.02 * spin
        self._put(x, speed + 0.02 * speed_up, angle, spin + 0.02 * spin_up)
        fallen = (abs(x) > 2.4) | (abs(angle) > _TWELVE_DEGREES)
        return self.ones.copy(), np.array([fallen]) if single else fallen


_TWELVE_DEGREES = 12 * 2 * math.pi / 360


class MountainCar(ClassicVector):
    """A car in a valley, too weak to drive up at once; every step costs 1."""

    low, high = np.array([-0.6, 0.0]), np.array([-0.4, 0.0])

    def _first(self, rng: np.random.Generator) -> Array:
        return np.array([rng.uniform(-0.6, -0.4), 0.0])

    def _advance(self, actions: Array) -> tuple[Array, Array]:
        place, speed = self.state
        cos = np.array([math.cos(angle) for angle in (3 * place).tolist()])
        speed += (actions - 1) * 0.001 + cos * -0.0025
        np.clip(speed, -0.07, 0.07, out=speed)
        place += speed
        np.clip(place, -1.2, 0.6, out=place)
        speed[(place == -1.2) & (speed < 0)] = 0
        terminated: Array = (place >= 0.5) & (speed >= 0)
        return np.full(self.num_envs, -1.0), terminated


class Pendulum(ClassicVector):
    """A pendulum to be swung up by a weak motor; a step costs what angle, speed and torque are squared."""

    low, high = np.array([-np.pi, -1.0]), np.array([np.pi, 1.0])

    def _advance(self, actions: Array) -> tuple[Array, Array]:
        angle, speed = self._variables()
        torque = np.clip(actions, -2.0, 2.0)[:, 0]
        torque = torque if self.num_envs > 1 else torque[0]
        upright = (angle + np.pi) % (2 * np.pi) - np.pi
        cost = _squared(upright) + 0.1 * _squared(speed) + 0.001 * _squared(torque)
        speed = np.clip(speed + (15.0 * np.sin(angle) + 3.0 * torque) * 0.05, -8.0, 8.0)
        self._put(angle + speed * 0.05, speed)
        return np.reshape(-cost, self.num_envs), np.zeros(self.num_envs, bool)

    def _obs(self) -> Array:
        angle, speed = self.state
        return np.stack([np.cos(angle), np.sin(angle), speed], -1).astype(np.float32)


def _squared(x: Any) -> Any:
    """As the C library's power function rounds it, which is not always as a product is."""
    return np.array([value**2 for value in x]) if isinstance(x, np.ndarray) else x**2


class Acrobot(ClassicVector):
    """Two links hanging from a bar, to be swung above it by the joint between them; every step but the last costs 1."""

    low, high = np.full(4, -0.1), np.full(4, 0.1)

    def _first(self, rng: np.random.Generator) -> Array:
        return rng.uniform(-0.1, 0.1, size=(4,)).astype(np.float32)

    def _advance(self, actions: Array) -> tuple[Array, Array]:
        torque, before, dt = actions - 1.0, self.state, 0.2
        k1 = _acrobot(before, torque)
        k2 = _acrobot(before + dt / 2 * k1, torque)
        k3 = _acrobot(before + dt / 2 * k2, torque)
        k4 = _acrobot(before + dt * k3, torque)
        self.state = before + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        angles = self.state[:2]
        while (far := angles > np.pi).any():
            angles[far] -= 2 * np.pi
        while (far := angles < -np.pi).any():
            angles[far] += 2 * np.pi
        np.clip(self.state[2], -4 * np.pi, 4 * np.pi, out=self.state[2])
        np.clip(self.state[3], -9 * np.pi, 9 * np.pi, out=self.state[3])
        terminated: Array = -np.cos(angles[0]) - np.cos(angles[1] + angles[0]) > 1.0
        return np.where(terminated, 0.0, -1.0), terminated

    def _obs(self) -> Array:
        (first, second, *speeds), cos, sin = self.state, np.cos, np.sin
        return np.stack([cos(first), sin(first), cos(second), sin(second), *speeds], -1).astype(np.float32)


def _acrobot(state: Array, torque: Array) -> Array:
    """The time derivative: links of length, mass and inertia 1, held in their middles. Sutton & Barto 2018, §11."""
    first, second, spin1, spin2 = state
    cos, sin = np.cos(second), np.sin(second)
    d1 = 0.25 + (1.25 + cos) + 2.0
    d2 = (0.25 + 0.5 * cos) + 1.0
    phi2 = 4.9 * np.cos(first + second - np.pi / 2)
    phi1 = -0.5 * spin2**2 * sin - spin2 * spin1 * sin + 14.7 * np.cos(first - np.pi / 2) + phi2
    up2 = (torque + d2 / d1 * phi1 - 0.5 * spin1**2 * sin - phi2) / (1.25 - d2**2 / d1)
    return np.stack([spin1, spin2, -(d2 * up2 + phi1) / d1, up2])


CLASSIC: dict[str, type[ClassicVector]] = {
    "CartPole-v0": CartPole, "CartPole-v1": CartPole, "MountainCar-v0": MountainCar, "Pendulum-v1": Pendulum,
    "Acrobot-v1": Acrobot,
}
