"""Deep deterministic policy gradient. Lillicrap et al. 2015, arXiv:1509.02971.

One update: move the critic towards r + γ·Q̄(s', μ̄(s')), where critic and actor with a bar are copies that lag behind,
then move the actor uphill on the critic. Departs from the paper: no batch normalisation, no weight decay, and networks
start as PyTorch starts them. Noise is Gaussian unless the paper's Ornstein-Uhlenbeck process is asked for.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import check_ranges, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.ranked import replay
from rlcore.data.replay import Ring, Transitions
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.acting import numpy_forward
from rlcore.nets.actors import Net
from rlcore.nets.critics import Critics, critics_with_copy
from rlcore.nets.dists import Gaussian
from rlcore.nets.encoders import learn_obs, mlp
from rlcore.nets.fused import Precision, fuse
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import td_target
from rlcore.protocols import Metrics
from rlcore.spaces import require_actions


@dataclass(frozen=True, kw_only=True)
class DDPGConfig:
    """Settings of DDPG; defaults from the paper's supplementary §7, but for a larger batch and Gaussian noise."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(1, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(256, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(1e-3, "Adam's step size, of the critic", low=0, high=1)
    actor_learning_rate: float = setting(1e-4, "Adam's step size, of the actor", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which learning rates fall to zero; they stay if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    n_step: int = setting(1, "rewards taken together in a target", low=1, unit="env steps")
    tau: float = setting(0.001, "share of the online networks that the lagging ones take per step", low=0, high=1)
    capacity: int = setting(1_000_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    exploration: Literal["gaussian", "ornstein_uhlenbeck"] = setting(
        "gaussian", "noise added to actions: fresh at every step, or drifting through an episode")
    noise_std: float = setting(0.1, "deviation of that noise per step; 1 is half the range of an action", low=0)
    noise_decay: float = setting(0.15, "share of drifting noise that is lost per step", low=0, high=1)
    prioritized: bool = setting(False, "replay steps in proportion to their error instead of evenly")
    priority_alpha: float = setting(0.6, "how much the error decides, if prioritized; 0 is not at all", low=0, high=1)
    priority_beta: float = setting(0.4, "how much of the bias of prioritized is corrected; 1 is all", low=0, high=1)
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    max_grad_norm: float | None = setting(None, "gradients are scaled down to this norm; not at all if not set",
                                          low=1e-8)
    hidden: tuple[int, ...] = setting((400, 300), "widths of the hidden layers, of actor and critic alike")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class DDPGBatch(Batch):
    """What the losses read. All [N, …]; weight 0 marks dummy rows, importance undoes the bias of prioritised replay.
    """

    obs: Obs
    action: Tensor
    target: Tensor
    weight: Tensor
    importance: Tensor


class DDPG:
    """The agent: actor and critic, lagging copies of both, memory, and one gradient step of each."""

    extras = ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: DDPGConfig, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("DDPG", obs_space, action_space, {"continuous"}, instead="DQN or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        # drifting noise is remembered as a recurrent policy's memory is: per environment, saved, new in each episode
        self.memory_size = self.actions.size if cfg.exploration == "ornstein_uhlenbeck" else 0
        self.critics, self.lagging = critics_with_copy(
            "DDPG", obs_space, self.actions.size, cfg.hidden, num=1, normalize=cfg.normalize_obs,
            precision=cfg.precision, device=self.device)
        encoder = self.critics.encoder
        self.actor = mlp((encoder.out_dim, *cfg.hidden, self.actions.size), "relu").to(self.device)
        self.lagging_actor = copy.deepcopy(self.actor)
        self.actor_params, self.critic_params = flatten(self.actor), flatten(self.critics)
        self.lagging_actor_params, self.lagging_params = flatten(self.lagging_actor), flatten(self.lagging)
        self.actor_optimizer = adam(self.actor_params, cfg.actor_learning_rate)
        self.critic_optimizer = adam(self.critic_params, cfg.learning_rate)
        self.max_grad_norm = math.inf if cfg.max_grad_norm is None else cfg.max_grad_norm
        self.policy, self.lagging_policy = fuse(self.actor, cfg.precision), fuse(self.lagging_actor, cfg.precision)
        self.acting = nn.Sequential(encoder, self.actor)
        self.forward = numpy_forward(self.acting, self.device)
        self.memory = Ring(cfg.capacity, cfg.num_envs, reward_scale=reward_scale(cfg))
        self.replay = replay(self.memory, cfg)

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the same at every step
        """Standard normal variates that drive the exploration of one environment. → [T, D]"""
        return Gaussian.noise(rng, horizon, self.actions.size)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """μ(s), and noise on it while training: fresh, or x ← (1 − decay)·x + std·noise with x the memory.

        [B, *obs] → [B, D] in [−1, 1]. Lillicrap et al. 2015, §3 and supplementary §7, with time steps of 1.
        """
        action: Array = np.tanh(self.forward(obs))
        if noise is None:
            return action, memory
        shift = noise * np.float32(self.cfg.noise_std)
        if self.memory_size:
            shift = memory = memory * np.float32(1 - self.cfg.noise_decay) + shift
        return np.clip(action + shift, -1, 1), memory

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory, and its observations into the running statistics."""
        self.replay.add(rollout)
        if self.cfg.normalize_obs:
            learn_obs(rollout.obs, self.critics.encoder, self.lagging.encoder)

    def update(self) -> Metrics:
        """One gradient step of critic and actor on a batch from memory."""
        cfg, taken = self.cfg, self.memory.env_steps
        anneal(cfg.learning_rate, cfg.learning_rate_steps, taken, self.critic_optimizer)
        anneal(cfg.actor_learning_rate, cfg.learning_rate_steps, taken, self.actor_optimizer)
        index, importance = self.replay.pick(cfg.batch_size, self.rng)
        picked = self.memory.transitions(index, cfg.gamma, cfg.n_step).to(self.device)
        error, metrics = self.learn(picked, importance.to(self.device))
        self.replay.learned(index, error, picked.weight)
        return metrics

    def learn(self, picked: Transitions, importance: Tensor) -> tuple[Tensor, Metrics]:
        """The step itself, a function of tensors alone. → each row's error [N], metrics"""
        batch = ddpg_targets(picked, importance, self.lagging_policy, self.lagging)
        critic_loss, error, metrics = ddpg_critic_loss(self.critics, batch)
        norm = descend(critic_loss, self.critic_optimizer, self.max_grad_norm)
        loss = ddpg_loss(self.policy, self.critics, batch)
        descend(loss, self.actor_optimizer, self.max_grad_norm)
        polyak(self.lagging_params, self.critic_params, self.cfg.tau)
        polyak(self.lagging_actor_params, self.actor_params, self.cfg.tau)
        return error, metrics | {"loss/policy": loss.detach(), "loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers and generator; the memory has its own."""
        modules = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        return modules | {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.rng.bit_generator.state = state["rng"]


_STATEFUL = ("actor", "critics", "lagging_actor", "lagging", "actor_optimizer", "critic_optimizer", "replay")


@torch.no_grad()
def ddpg_targets(picked: Transitions, importance: Tensor, lagging_actor: Net, lagging: Critics) -> DDPGBatch:
    """r + γ·Q̄(s', μ̄(s')). Lillicrap et al. 2015, algorithm 1. [N]"""
    features = lagging.features(picked.next_obs)
    value = lagging(features, lagging_actor(features).tanh()).squeeze(0)
    target = td_target(picked.reward, picked.discount, value)
    return DDPGBatch(picked.obs, picked.action, target, picked.weight, importance)


def ddpg_critic_loss(critics: Critics, batch: DDPGBatch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Half the squared Bellman error, eq. 4-5, and the error of each row. → scalar, [N]"""
    value = critics(critics.features(batch.obs), batch.action).squeeze(0)
    error = value - batch.target
    loss = weighted_mean(0.5 * error.square() * batch.importance, batch.weight)
    metrics = {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach(), batch.weight)}
    return loss, error.detach(), metrics


def ddpg_loss(actor: Net, critics: Critics, batch: DDPGBatch) -> Tensor:
    """−Q(s, μ(s)), whose gradient is the deterministic policy gradient, eq. 6."""
    features = critics.features(batch.obs).detach()  # only the critic trains an encoder of pixels
    return -weighted_mean(critics.judge(features, actor(features).tanh()).squeeze(0), batch.weight)
