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
    from rlcore.algos.a2c import A2C, A2CConfig
    from rlcore.algos.ddpg import DDPG, DDPGConfig
    from rlcore.algos.dqn import DQN, DQNConfig
    from rlcore.algos.iqn import IQN, IQNConfig
    from rlcore.algos.modsac import ModSAC, ModSACConfig
    from rlcore.algos.ppo import PPO, PPOConfig
    from rlcore.algos.ppo_lagrangian import PPOLagrangian, PPOLagrangianConfig
    from rlcore.algos.pqn import PQN, PQNConfig
    from rlcore.algos.qrdqn import QRDQN, QRDQNConfig
    from rlcore.algos.r2d2 import R2D2, R2D2Config
    from rlcore.algos.rainbow import Rainbow, RainbowConfig
    from rlcore.algos.recurrent_sac import RecurrentSAC, RecurrentSACConfig
    from rlcore.algos.recurrent_td3 import RecurrentTD3, RecurrentTD3Config
    from rlcore.algos.redq import REDQ, REDQConfig
    from rlcore.algos.sac import SAC, SACConfig
    from rlcore.algos.sac_discrete import SACDiscrete, SACDiscreteConfig
    from rlcore.algos.td3 import TD3, TD3Config
    from rlcore.algos.tqc import TQC, TQCConfig
    from rlcore.algos.trpo import TRPO, TRPOConfig
    from rlcore.config import ConfigError, MissingExtra, ShapeError
    from rlcore.envs.checker import check_env
    from rlcore.envs.make import make_env
    from rlcore.evaluation.evaluate import Evaluation, evaluate
    from rlcore.evaluation.video import record_video
    from rlcore.player import Player
    from rlcore.processes import WorkerError
    from rlcore.restore import load_agent
    from rlcore.summary import describe
    from rlcore.training import Moment, resume, train

_HOMES = {
    "A2C": "rlcore.algos.a2c", "A2CConfig": "rlcore.algos.a2c",
    "DDPG": "rlcore.algos.ddpg", "DDPGConfig": "rlcore.algos.ddpg",
    "DQN": "rlcore.algos.dqn", "DQNConfig": "rlcore.algos.dqn",
    "IQN": "rlcore.algos.iqn", "IQNConfig": "rlcore.algos.iqn",
    "ModSAC": "rlcore.algos.modsac", "ModSACConfig": "rlcore.algos.modsac",
    "PPO": "rlcore.algos.ppo", "PPOConfig": "rlcore.algos.ppo",
    "PPOLagrangian": "rlcore.algos.ppo_lagrangian", "PPOLagrangianConfig": "rlcore.algos.ppo_lagrangian",
    "PQN": "rlcore.algos.pqn", "PQNConfig": "rlcore.algos.pqn",
    "QRDQN": "rlcore.algos.qrdqn", "QRDQNConfig": "rlcore.algos.qrdqn",
    "R2D2": "rlcore.algos.r2d2", "R2D2Config": "rlcore.algos.r2d2",
    "REDQ": "rlcore.algos.redq", "REDQConfig": "rlcore.algos.redq",
    "Rainbow": "rlcore.algos.rainbow", "RainbowConfig": "rlcore.algos.rainbow",
    "RecurrentSAC": "rlcore.algos.recurrent_sac", "RecurrentSACConfig": "rlcore.algos.recurrent_sac",
    "RecurrentTD3": "rlcore.algos.recurrent_td3", "RecurrentTD3Config": "rlcore.algos.recurrent_td3",
    "SAC": "rlcore.algos.sac", "SACConfig": "rlcore.algos.sac",
    "SACDiscrete": "rlcore.algos.sac_discrete", "SACDiscreteConfig": "rlcore.algos.sac_discrete",
    "TD3": "rlcore.algos.td3", "TD3Config": "rlcore.algos.td3",
    "TQC": "rlcore.algos.tqc", "TQCConfig": "rlcore.algos.tqc",
    "TRPO": "rlcore.algos.trpo", "TRPOConfig": "rlcore.algos.trpo",
    "ConfigError": "rlcore.config",
    "Evaluation": "rlcore.evaluation.evaluate",
    "MissingExtra": "rlcore.config",
    "Moment": "rlcore.training",
    "Player": "rlcore.player",
    "ShapeError": "rlcore.config",
    "WorkerError": "rlcore.processes",
    "check_env": "rlcore.envs.checker",
    "describe": "rlcore.summary",
    "evaluate": "rlcore.evaluation.evaluate",
    "load_agent": "rlcore.restore",
    "make_env": "rlcore.envs.make",
    "record_video": "rlcore.evaluation.video",
    "resume": "rlcore.training",
    "train": "rlcore.training",
}

__all__ = [
    "A2C", "DDPG", "DQN", "IQN", "PPO", "PQN", "QRDQN", "R2D2", "REDQ", "SAC", "TD3", "TQC", "TRPO", "A2CConfig",
    "ConfigError", "DDPGConfig", "DQNConfig", "Evaluation", "IQNConfig", "MissingExtra", "ModSAC", "ModSACConfig",
    "Moment", "PPOConfig", "PPOLagrangian", "PPOLagrangianConfig", "PQNConfig", "Player", "QRDQNConfig", "R2D2Config",
    "REDQConfig", "Rainbow", "RainbowConfig", "RecurrentSAC", "RecurrentSACConfig", "RecurrentTD3",
    "RecurrentTD3Config", "SACConfig", "SACDiscrete", "SACDiscreteConfig", "ShapeError", "TD3Config", "TQCConfig",
    "TRPOConfig", "WorkerError", "check_env", "describe", "evaluate", "load_agent", "make_env", "record_video",
    "resume", "train",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rlcore' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
