"""Hindsight for an agent: its memory is given the environment's own reward."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from rlcore.config import ConfigError
from rlcore.data.relabel import GOAL_PARTS, Hindsight
from rlcore.envs.make import Env
from rlcore.protocols import Agent


def look_back(agent: Agent, env: Env, share: float) -> None:
    """Let a share of the steps that an agent replays pursue a goal that their episode reached later.

    env: a copy of the agent's environment whose `compute_reward(achieved, desired, info)` is asked, as those of
    Gymnasium-Robotics have it.

    Raises:
        ConfigError: the algorithm replays no single steps, or the environment has no goals.
    """
    title, cfg = type(agent).__name__, agent.cfg
    memory = getattr(agent, "memory", None)
    if memory is None or memory.memory_every:
        raise ConfigError(f"{title} replays no single steps, so hindsight={share} does not apply. DQN, SAC and TD3 do.")
    if getattr(cfg, "n_step", 1) != 1:
        raise ConfigError(f"hindsight={share} asks for the reward of single steps: n_step={cfg.n_step} must be 1.")
    reward = _compute_reward(env)
    if reward is None:
        raise ConfigError(f"hindsight={share} needs goals, but {env.name} has no "
                          "compute_reward(achieved, desired, info).")
    _check_goals(env, share)
    memory.relabel = Hindsight(memory, lambda achieved, desired: reward(achieved, desired, {}), share=share,
                               rng=agent.rng)  # type: ignore[attr-defined]


def _check_goals(env: Env, share: float) -> None:
    space = env.single_observation_space
    parts = space.spaces if isinstance(space, spaces.Dict) else {}
    if lost := [name for name in GOAL_PARTS if name not in parts]:
        raise ConfigError(f"hindsight={share} needs observations with the parts {', '.join(GOAL_PARTS)}, and those of "
                          f"{env.name} lack {', '.join(lost)}.")
    achieved, desired = (parts[name].shape for name in GOAL_PARTS[1:])
    if achieved != desired:
        raise ConfigError(f"hindsight={share} puts what was achieved in place of what was desired, but the goals of "
                          f"{env.name} have the shapes {achieved} and {desired}.")


def _compute_reward(env: Env) -> Any:
    try:
        return env.unwrapped.envs[0].get_wrapper_attr("compute_reward")  # type: ignore[attr-defined]
    except AttributeError:
        return None
