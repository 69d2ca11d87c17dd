"""What is measured: the same task, network, batch sizes and number of gradient steps for every library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """One row of the speed table. `ours` are rlcore settings, `sb3` the same in Stable-Baselines3's words."""

    name: str
    algo: str
    env: str
    env_steps: int
    ours: Mapping[str, Any]
    sb3: Mapping[str, Any]
    num_envs: int = 1
    compiled: bool = False     # our gradient step is, before the clock starts
    threads: int | None = None  # ours; the peer runs with one and with two, and its better figure counts
    atari: bool = False        # four frames of 84 × 84, grey, rewards clipped, a lost life ends an episode, in both


def _ppo_cartpole(num_envs: int, horizon: int, env_steps: int, *, by_autograd: bool = False) -> Task:
    """By autograd: as every PPO whose gradient is not written out, here asked for by a bound that never binds."""
    return Task(
        f"PPO CartPole-v1, {num_envs} envs{', by autograd' if by_autograd else ''}", "ppo", "CartPole-v1", env_steps,
        ours={"num_envs": num_envs, "horizon": horizon, "epochs": 4, "num_minibatches": 4, "learning_rate": 1e-3,
              "gamma": 0.99, "gae_lambda": 0.95, "learning_rate_decay": "constant",
              "dual_clip": 1e9 if by_autograd else None},
        sb3={"n_steps": horizon, "n_epochs": 4, "batch_size": num_envs * horizon // 4, "learning_rate": 1e-3,
             "gamma": 0.99, "gae_lambda": 0.95, "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}}},
        num_envs=num_envs)


def _actor_critic(algo: str, env: str, precision: str) -> Task:
    """One gradient step of 256 rows per env step on networks of 256 × 256 units, in both libraries."""
    return Task(
        f"{algo.upper()} {env}, {precision}", algo, env, 4_000,
        ours={"learning_rate": 1e-3, "capacity": 100_000, "learning_starts": 1_000, "batch_size": 256,
              "hidden": (256, 256), "train_every": 1, "updates": 1, "precision": precision},
        sb3={"learning_rate": 1e-3, "buffer_size": 100_000, "learning_starts": 1_000, "batch_size": 256,
             "train_freq": 1, "gradient_steps": 1, "policy_kwargs": {"net_arch": [256, 256]}},
        compiled=True, threads=2 if precision == "float32" else None)


def _breakout_ppo(precision: str, threads: int | None = None) -> Task:
    return Task(
        f"PPO Breakout, 8 envs, {precision}{_counted(threads)}", "ppo", "ALE/Breakout-v5", 8_192,
        ours={"num_envs": 8, "horizon": 128, "epochs": 4, "num_minibatches": 4, "learning_rate": 2.5e-4, "shared": True,
              "learning_rate_decay": "constant", "hidden": (512,), "activation": "relu", "precision": precision},
        sb3={"n_steps": 128, "n_epochs": 4, "batch_size": 256, "learning_rate": 2.5e-4}, num_envs=8, threads=threads,
        atari=True)


def _breakout_dqn(precision: str, threads: int | None = None) -> Task:
    """One gradient step of 32 rows for every 4 env steps, targets by the plain maximum, in both libraries."""
    return Task(
        f"DQN Breakout, batch 32, every 4 steps, {precision}{_counted(threads)}", "dqn", "ALE/Breakout-v5", 2_000,
        ours={"train_every": 4, "updates": 1, "batch_size": 32, "learning_rate": 1e-4, "hidden": (512,),
              "learning_starts": 500, "target_every": 250, "capacity": 10_000, "double": False, "n_step": 1,
              "max_grad_norm": 10.0, "precision": precision},
        sb3={"train_freq": 4, "gradient_steps": 1, "batch_size": 32, "learning_rate": 1e-4, "learning_starts": 500,
             "target_update_interval": 1_000, "buffer_size": 10_000}, threads=threads, atari=True)


def _counted(threads: int | None) -> str:
    return f", {threads} threads" if threads else ""


TASKS = (
    _ppo_cartpole(8, 128, 150_000),
    _ppo_cartpole(64, 32, 400_000),
    _ppo_cartpole(8, 128, 150_000, by_autograd=True),
    _ppo_cartpole(64, 32, 400_000, by_autograd=True),
    Task("PPO HalfCheetah-v5, 8 envs", "ppo", "HalfCheetah-v5", 40_960,
         ours={"num_envs": 8, "horizon": 256, "epochs": 10, "num_minibatches": 32, "learning_rate": 3e-4,
               "learning_rate_decay": "constant"},
         sb3={"n_steps": 256, "n_epochs": 10, "batch_size": 64, "learning_rate": 3e-4, "normalize": True,
              "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}}}, num_envs=8),
    _actor_critic("sac", "Pendulum-v1", "float32"),
    _actor_critic("sac", "Pendulum-v1", "bfloat16"),
    _actor_critic("sac", "HalfCheetah-v5", "float32"),
    _actor_critic("sac", "HalfCheetah-v5", "bfloat16"),
    _actor_critic("td3", "Pendulum-v1", "bfloat16"),
    _actor_critic("td3", "HalfCheetah-v5", "bfloat16"),
    Task("DQN CartPole-v1", "dqn", "CartPole-v1", 30_000,
         ours={"train_every": 10, "updates": 1, "batch_size": 128, "learning_rate": 2.5e-4, "hidden": (120, 84),
               "learning_starts": 5_000, "target_every": 50, "capacity": 10_000, "double": False,
               "n_step": 1},
         sb3={"train_freq": 10, "gradient_steps": 1, "batch_size": 128, "learning_rate": 2.5e-4,
              "learning_starts": 5_000, "target_update_interval": 500, "buffer_size": 10_000,
              "policy_kwargs": {"net_arch": [120, 84]}}, compiled=True),
    _breakout_ppo("float32"),
    _breakout_ppo("bfloat16"),
    _breakout_ppo("bfloat16", threads=2),
    _breakout_dqn("float32"),
    _breakout_dqn("bfloat16"),
    _breakout_dqn("bfloat16", threads=2),
)
