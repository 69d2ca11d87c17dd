"""Tasks with something to avoid: each step's cost is told beside its reward, as `info["cost"]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from rlcore.envs.families import quiet_mujoco

Cost = Callable[[Any, dict[str, Any]], float]
"""(observation after the step, its info) → what the step cost."""

SPEED = 3.2096  # metres per second, the threshold of Ji et al. 2023, arXiv:2310.12567
WIDTH = 0.5     # metres from the middle; an episode of CartPole-v1 ends at 2.4


class WithCost(gym.Wrapper[Any, Any, Any, Any]):
    """Tells what each step of an environment cost. A reset costs nothing."""

    def __init__(self, env: gym.Env[Any, Any], cost: Cost):
        super().__init__(env)
        self.cost = cost

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        return obs, {**info, "cost": 0.0}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated, truncated, {**info, "cost": self.cost(obs, info)}


def register() -> None:
    """Make the ids known to Gymnasium."""
    for name, make, steps in (("rlcore/CartPoleBounds-v0", _cart_pole, 500),
                              ("rlcore/HalfCheetahVelocity-v5", _half_cheetah, 1000)):
        if name not in gym.registry:
            gym.register(name, entry_point=make, max_episode_steps=steps)


def _cart_pole(**options: Any) -> gym.Env[Any, Any]:
    env = gym.make("CartPole-v1", max_episode_steps=-1, disable_env_checker=True, **options)
    return WithCost(env, lambda obs, _: float(abs(obs[0]) > WIDTH))


def _half_cheetah(**options: Any) -> gym.Env[Any, Any]:
    quiet_mujoco()
    env = gym.make("HalfCheetah-v5", max_episode_steps=-1, disable_env_checker=True, **options)
    return WithCost(env, lambda _, info: float(info["x_velocity"] > SPEED))
