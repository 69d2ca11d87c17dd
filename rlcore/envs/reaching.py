"""Bring a robot arm's tip to a goal, rewarded only there: hindsight's task with continuous actions."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv

from rlcore.arrays import Array
from rlcore.envs.families import quiet_mujoco

Obs = dict[str, Array]
REACH = 0.02    # metres between tip and goal that still count as reached
STEPS = 50


class GoalReacher(ReacherEnv):
    """Gymnasium's Reacher-v5 with its target as a goal; reward 0 where the tip is within 2 cm of it, otherwise −1.

    obs     observation [6]: cosine and sine of both joints' angles, and their speeds in rad/s; achieved_goal [2] and
            desired_goal [2]: where the tip is and ought to be, in metres
    action  [2] in [−1, 1]: torques of the joints

    Nothing ends an episode but the clock after 50 steps. The interface of Plappert et al. 2018, arXiv:1802.09464, §1.
    """

    def __init__(self, **options: Any):
        quiet_mujoco()
        super().__init__(**options)
        arm, place = (spaces.Box(-np.inf, np.inf, (size,), np.float64) for size in (6, 2))
        self.observation_space = spaces.Dict({"observation": arm, "achieved_goal": place, "desired_goal": place})

    def step(self, action: Array) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of 20 ms."""
        obs, *_ = super().step(action)  # type: ignore[no-untyped-call]
        reward = float(self.compute_reward(obs["achieved_goal"], obs["desired_goal"], {}))
        return obs, reward, False, False, {"is_success": reward == 0}

    @staticmethod
    def compute_reward(achieved: Array, desired: Array, info: Any) -> Array:  # noqa: ARG004  # asked as others are
        """0 within reach of the goal, otherwise −1. [..., 2], [..., 2] → [...]"""
        far: Array = np.linalg.norm(achieved - desired, axis=-1) >= REACH
        return -far.astype(np.float32)

    def _get_obs(self) -> Obs:
        angles, tip = self.data.qpos[:2], self.data.body("fingertip").xpos[:2]
        return {"observation": np.concatenate([np.cos(angles), np.sin(angles), self.data.qvel[:2]]),
                "achieved_goal": tip.copy(), "desired_goal": self.goal.copy()}


def register() -> None:
    """Make the id known to Gymnasium."""
    if "rlcore/ReacherGoal-v5" not in gym.registry:
        gym.register("rlcore/ReacherGoal-v5", entry_point=GoalReacher, max_episode_steps=STEPS)
