"""Soft actor-critic with an adjusted temperature. Haarnoja et al. 2018, arXiv:1812.05905.

One update: move both critics towards the softened Bellman target of the smaller lagging critic, then the actor
towards actions that critics value, its entropy held at a target by the temperature α.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import check_ranges, setting
from rlcore.data.batch import Batch
from rlcore.data.replay import Ring, Transitions
from rlcore.nets.dists import Gaussian, TanhGaussian
from rlcore.nets.encoders import mlp
from rlcore.nets.ensemble import EnsembleMLP
from rlcore.nets.optim import adam, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import td_target
from rlcore.protocols import Metrics
from rlcore.spaces import require_actions, require_vector_obs
from rlcore.speed import numpy_forward

# Bounds of the actor's log standard deviation, as in the authors' code.
_LOG_STD_MIN, _LOG_STD_MAX = -20.0, 2.0


@dataclass(frozen=True, kw_only=True)
class SACConfig:
    """Settings of SAC; defaults from the paper's table 1 and the authors' code."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(1, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(256, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(3e-4, "Adam's step size, of actor, critics and temperature", low=0, high=1)
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    tau: float = setting(0.005, "share of the online critics that the lagging ones take per step", low=0, high=1)
    capacity: int = setting(1_000_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    alpha: float = setting(0.2, "entropy's worth: first value if adjusted, otherwise its value", low=1e-8)
    adjust_alpha: bool = setting(True, "adjust α so that the policy keeps its target entropy")
    target_entropy: float | None = setting(None, "entropy to keep; minus the action dimensions if not set",
                                           unit="nats")
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers, of actor and critics alike")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class SACBatch(Batch):
    """What the critics' loss reads. All [N, …]; weight 0 marks dummy rows."""

    obs: Tensor
    action: Tensor
    target: Tensor
    weight: Tensor


class SAC:
    """The agent: actor, twin critics with lagging copies, temperature, memory, and one round of gradient steps."""

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: SACConfig, *,
                 seed: int = 0, device: str = "cpu"):
        obs_dim = require_vector_obs("SAC", obs_space)
        self.actions = require_actions("SAC", action_space, {"continuous"}, instead="DQN or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        size = self.actions.size
        self.actor = mlp((obs_dim, *cfg.hidden, 2 * size), "relu").to(self.device)
        self.critics, self.lagging = (
            EnsembleMLP(2, (obs_dim + size, *cfg.hidden)).to(self.device) for _ in range(2))
        self.lagging.load_state_dict(self.critics.state_dict())
        self.actor_params, self.critic_params = flatten(self.actor), flatten(self.critics)
        self.lagging_params = flatten(self.lagging)
        self.log_alpha = nn.Parameter(torch.tensor([math.log(cfg.alpha)], device=self.device))
        self.target_entropy = -float(size) if cfg.target_entropy is None else cfg.target_entropy
        self.actor_optimizer = adam(self.actor_params, cfg.learning_rate)
        self.critic_optimizer = adam(self.critic_params, cfg.learning_rate)
        self.alpha_optimizer = adam(self.log_alpha, cfg.learning_rate)
        self.forward = numpy_forward(self.actor, self.device)
        self.memory = Ring(cfg.capacity, cfg.num_envs)

    def act(self, obs: Array, step: int | None = None) -> Array:
        """A squashed sample while training, its centre when judged (step None). [B, obs_dim] → [B, D] in (−1, 1)"""
        if step is not None and step < self.cfg.learning_starts:
            return self.actions.random(len(obs), self.rng)
        mean, log_std = np.split(self.forward(obs), 2, axis=-1)
        if step is None:
            squashed: Array = np.tanh(mean)
        else:
            std = np.exp(log_std.clip(_LOG_STD_MIN, _LOG_STD_MAX))
            squashed = np.tanh(Gaussian.draw(mean, std, self.rng))
        return squashed

    def update(self) -> Metrics:
        """One gradient step of critics, actor and temperature on a batch from memory."""
        picked = self.memory.transitions(self.cfg.batch_size, self.rng).to(self.device)
        alpha = self.log_alpha.detach().exp()
        batch = sac_targets(picked, self.actor, self.lagging, alpha, self.cfg.gamma)
        critic_loss, metrics = critic_loss_of(self.critics, batch)
        descend(critic_loss, self.critic_optimizer)
        loss, entropy = sac_loss(self.actor, self.critics, batch, alpha)
        descend(loss, self.actor_optimizer)
        if self.cfg.adjust_alpha:
            descend((self.log_alpha * (entropy - self.target_entropy)).sum(), self.alpha_optimizer)
        polyak(self.lagging_params, self.critic_params, self.cfg.tau)
        return metrics | {"loss/policy": loss.detach(), "policy/entropy": entropy, "policy/alpha": alpha.squeeze()}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, temperature and generator; the memory has its own."""
        modules = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        return {**modules, "log_alpha": self.log_alpha.detach().clone(), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        self.rng.bit_generator.state = state["rng"]


_STATEFUL = ("actor", "critics", "lagging", "actor_optimizer", "critic_optimizer", "alpha_optimizer")


def policy_of(actor: nn.Module, obs: Tensor) -> TanhGaussian:
    """π(·|s). [N, obs_dim]"""
    mean, log_std = actor(obs).chunk(2, -1)
    return TanhGaussian(mean, log_std.clamp(_LOG_STD_MIN, _LOG_STD_MAX))


@torch.no_grad()
def sac_targets(picked: Transitions, actor: nn.Module, lagging: nn.Module, alpha: Tensor, gamma: float) -> SACBatch:
    """r + γ·(min Q̄(s', a') − α·log π(a'|s')), a' ~ π. Haarnoja et al. 2018, eq. 2-3. [N]"""
    action, log_prob = policy_of(actor, picked.next_obs).sample_with_log_prob()
    soft_value = lagging(torch.cat([picked.next_obs, action], -1)).amin(0) - alpha * log_prob
    discount = gamma * (1 - picked.terminated.float())  # the clock does not end the task: truncation bootstraps
    return SACBatch(picked.obs, picked.action, td_target(picked.reward, discount, soft_value), picked.weight)


def critic_loss_of(critics: nn.Module, batch: SACBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Squared soft Bellman error, summed over both critics. Eq. 5."""
    value = critics(torch.cat([batch.obs, batch.action], -1))
    loss = weighted_mean(0.5 * (value - batch.target).square().sum(0), batch.weight)
    return loss, {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach().mean(0), batch.weight)}


def sac_loss(actor: nn.Module, critics: nn.Module, batch: SACBatch, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """α·log π(a|s) − min Q(s, a) for a fresh a ~ π, eq. 7, and the policy's entropy by the same sample."""
    action, log_prob = policy_of(actor, batch.obs).sample_with_log_prob()
    value = critics(torch.cat([batch.obs, action], -1)).amin(0)
    loss = weighted_mean(alpha * log_prob - value, batch.weight)
    return loss, -weighted_mean(log_prob.detach(), batch.weight)
