"""A fast, correct, modular reinforcement-learning library on PyTorch.

    import rlcore as rl
    agent = rl.train("ppo", "CartPole-v1", env_steps=100_000)
    print(rl.evaluate(agent, "CartPole-v1", episodes=20))

Names are loaded when first used, so that reading the catalogue or a run folder does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlcore.algos.dqn import DQN, DQNConfig
    from rlcore.algos.ppo import PPO, PPOConfig
    from rlcore.algos.sac import SAC, SACConfig
    from rlcore.config import ConfigError, MissingExtra, ShapeError
    from rlcore.envs.make import make_env
    from rlcore.evaluation.evaluate import Evaluation, evaluate
    from rlcore.evaluation.video import record_video
    from rlcore.training import load_agent, resume, train

_HOMES = {
    "DQN": "rlcore.algos.dqn", "DQNConfig": "rlcore.algos.dqn",
    "PPO": "rlcore.algos.ppo", "PPOConfig": "rlcore.algos.ppo",
    "SAC": "rlcore.algos.sac", "SACConfig": "rlcore.algos.sac",
    "ConfigError": "rlcore.config", "MissingExtra": "rlcore.config", "ShapeError": "rlcore.config",
    "make_env": "rlcore.envs.make",
    "Evaluation": "rlcore.evaluation.evaluate", "evaluate": "rlcore.evaluation.evaluate",
    "record_video": "rlcore.evaluation.video",
    "load_agent": "rlcore.training", "resume": "rlcore.training", "train": "rlcore.training",
}

__all__ = [
    "DQN", "PPO", "SAC", "ConfigError", "DQNConfig", "Evaluation", "MissingExtra", "PPOConfig", "SACConfig",
    "ShapeError", "evaluate", "load_agent", "make_env", "record_video", "resume", "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rlcore' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
