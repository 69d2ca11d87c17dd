"""Flip bits until they match a goal: the task that plain exploration cannot solve and hindsight can."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlcore.arrays import Array

Obs = dict[str, Array]
_SIDE, _EDGE = 32, 4    # pixels of a bit in a picture, and of the dark around it


class BitFlip(gym.Env[Any, np.int64]):
    """`bits` switches, one flipped per step; reward 0 where they equal the goal, otherwise −1.

    Nothing ends an episode but the clock after `bits` steps, and one bit has to be flipped at the goal, too. With 8
    bits the best mean return is −1345/256, about −5.25, and blind luck reaches about −8.
    Andrychowicz et al. 2017, arXiv:1707.01495, §3.1.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012  # as Gymnasium has it

    def __init__(self, bits: int = 8, render_mode: str | None = None):
        self.bits, self.elapsed, self.render_mode = bits, 0, render_mode
        self.state, self.goal = np.zeros(bits, np.float32), np.zeros(bits, np.float32)
        part = spaces.Box(0, 1, (bits,), np.float32)
        self.observation_space = spaces.Dict(
            {"observation": part, "achieved_goal": part, "desired_goal": part})
        self.action_space = spaces.Discrete(bits)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """A random start and a random goal."""
        super().reset(seed=seed, options=options)
        self.state, self.goal = (self.np_random.integers(2, size=self.bits).astype(np.float32) for _ in range(2))
        self.elapsed = 0
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Flip one bit."""
        self.state[action] = 1 - self.state[action]
        self.elapsed += 1
        reward = self.compute_reward(self.state, self.goal, {})
        reached = bool(reward == 0)
        return self._obs(), float(reward), False, self.elapsed == self.bits, {"is_success": reached}

    @staticmethod
    def compute_reward(achieved: Array, desired: Array, info: Any) -> Array:  # noqa: ARG004  # asked as others are
        """0 where all bits agree, otherwise −1. [..., bits], [..., bits] → [...]"""
        rewards: Array = (achieved == desired).all(-1).astype(np.float32) - 1
        return rewards

    def render(self) -> Array | None:
        """The bits above the goal's, bright where they are on. → [height, width, 3]"""
        if self.render_mode is None:
            return None
        grey = np.where([self.state, self.goal], 230, 70)
        image: Array = np.kron(grey, np.pad(np.ones((_SIDE, _SIDE)), _EDGE)).astype(np.uint8)
        return np.repeat(image[..., None], 3, -1)

    def _obs(self) -> Obs:
        return {"observation": self.state.copy(), "achieved_goal": self.state.copy(), "desired_goal": self.goal.copy()}


def register() -> None:
    """Make the id known to Gymnasium."""
    if "rlcore/BitFlip-v0" not in gym.registry:
        gym.register("rlcore/BitFlip-v0", entry_point=BitFlip)  # type: ignore[arg-type]
