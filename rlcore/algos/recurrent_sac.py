"""Soft actor-critic with memory. Ni et al. 2022, arXiv:2110.05038, after Haarnoja et al. 2018, arXiv:1812.05905.

One update: pick stored sequences, run actor, critics and lagging critics over the first steps only to refresh the
memory that was stored with them, and take SAC's gradient steps on the rest. Actor and critics have recurrent cores of
their own; acting carries both memories along, so that both can be stored. Departs from the paper: sequences are pieces
of episodes begun from stored memory (Kapturowski et al. 2019) instead of whole episodes begun from nothing, and the
networks do not see the last action and reward.
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
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch, tree_map
from rlcore.data.replay import Ring, Sequences
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.actors import draw_squashed, squashed
from rlcore.nets.dists import Gaussian
from rlcore.nets.encoders import learn_obs
from rlcore.nets.fused import Precision
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.nets.recurrent import CoreKind, RecurrentActor, RecurrentCritics
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import td_target
from rlcore.protocols import Metrics
from rlcore.spaces import require_actions


@dataclass(frozen=True, kw_only=True)
class RecurrentSACConfig:
    """Settings of Recurrent-SAC; those of SAC from its paper, sizes for small tasks."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(1, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(32, "remembered sequences per gradient step", low=1)
    burn_in: int = setting(4, "first steps of a sequence, which only refresh its memory", low=0, unit="env steps")
    sequence_length: int = setting(16, "steps of a sequence that are learned from", low=1, unit="env steps")
    sequence_every: int = setting(4, "steps between the beginnings of sequences; fewer than sequence_length overlap",
                                  low=1, unit="env steps")
    learning_rate: float = setting(1e-3, "Adam's step size, of actor, critics and temperature", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    tau: float = setting(0.005, "share of the online critics that the lagging ones take per step", low=0, high=1)
    capacity: int = setting(100_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    alpha: float = setting(0.2, "entropy's worth: first value if adjusted, otherwise its value", low=1e-8)
    adjust_alpha: bool = setting(True, "adjust α so that the policy keeps its target entropy")
    target_entropy: float | None = setting(None, "entropy to keep; minus the action dimensions if not set",
                                           unit="nats")
    max_grad_norm: float = setting(10.0, "gradients are scaled down to this norm", low=0)
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    hidden: tuple[int, ...] = setting((64,), "widths of the hidden layers before each core")
    core: CoreKind = setting("gru", "recurrent core, of actor and critics alike")
    core_size: int = setting(64, "width of the cores and of the layer behind them", low=1)
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    @property
    def length(self) -> int:
        """Env steps of a sequence."""
        return self.burn_in + self.sequence_length

    def __post_init__(self) -> None:
        check_ranges(self)
        least = self.num_envs * (self.length + self.sequence_every)
        require(self.capacity >= least, self, "capacity", f"hold a sequence of every environment: at least {least}")


@dataclass(frozen=True)
class RecurrentSACBatch(Batch):
    """What the critics' loss reads besides their features. All [L, N, …]; weight 0 marks dummy rows."""

    action: Tensor
    target: Tensor
    weight: Tensor


class RecurrentSAC:
    """The agent: recurrent actor, twin critics with a lagging copy, temperature, memory, and one gradient step."""

    extras = ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: RecurrentSACConfig, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("Recurrent-SAC", obs_space, action_space, {"continuous"}, instead="R2D2 or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        size, how = self.actions.size, (cfg.hidden, cfg.core, cfg.core_size, cfg.normalize_obs, cfg.precision)
        self.actor = RecurrentActor("Recurrent-SAC", obs_space, 2 * size, *how).to(self.device)
        self.critics, self.lagging = (
            RecurrentCritics("Recurrent-SAC", obs_space, size, *how).to(self.device) for _ in range(2))
        self.lagging.load_state_dict(self.critics.state_dict())
        self.actor_params, self.critic_params = flatten(self.actor), flatten(self.critics)
        self.lagging_params = flatten(self.lagging)
        self.log_alpha = nn.Parameter(torch.tensor([math.log(cfg.alpha)], device=self.device))
        self.target_entropy = -float(size) if cfg.target_entropy is None else cfg.target_entropy
        self.actor_optimizer = adam(self.actor_params, cfg.learning_rate)
        self.critic_optimizer = adam(self.critic_params, cfg.learning_rate)
        self.alpha_optimizer = adam(self.log_alpha, cfg.learning_rate)
        self.acting = nn.ModuleList([self.actor, self.critics.trunk])
        self.half = self.actor.trunk.memory_size  # the actor's part of the memory comes first
        self.memory_size = self.half + self.critics.trunk.memory_size
        self.memory = Ring(cfg.capacity, cfg.num_envs, memory_every=cfg.sequence_every, reward_scale=reward_scale(cfg))

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the policy explores by itself
        """What one environment needs to sample T actions. → [T, D]"""
        return Gaussian.noise(rng, horizon, self.actions.size)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """A squashed sample while training, its centre when judged (no noise). [B, *obs], [B, M] → [B, D], [B, M]"""
        features, own = self.actor.trunk.step(obs, memory[:, :self.half], self.device)
        _, critics = self.critics.trunk.step(obs, memory[:, self.half:], self.device)
        with torch.no_grad():
            out = self.actor.head(features).cpu().numpy()
        return draw_squashed(out, noise), np.concatenate([own, critics], 1)

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory, and its observations into the running statistics."""
        self.memory.add(rollout)
        if self.cfg.normalize_obs:
            nets = (self.actor, self.critics, self.lagging)
            learn_obs(rollout.obs, *(net.trunk.encoder for net in nets))

    def update(self) -> Metrics:
        """One gradient step of critics, actor and temperature on a batch of sequences; none while none is complete."""
        cfg = self.cfg
        if not self.memory.can_pick(cfg.length, cfg.sequence_every):
            return {}
        anneal(cfg.learning_rate, cfg.learning_rate_steps, self.memory.env_steps, self.actor_optimizer,
               self.critic_optimizer, self.alpha_optimizer)
        index = self.memory.pick(cfg.batch_size, self.rng, cfg.length, cfg.sequence_every)
        seqs, alpha = self.memory.sequences(index, cfg.length).to(self.device), self.log_alpha.detach().exp()
        own, theirs = seqs.memory[0, :, :self.half], seqs.memory[0, :, self.half:]
        now = tree_map(lambda part: part[:-1], seqs.obs), theirs, seqs.start[:-1], cfg.burn_in
        out = self.actor(seqs.obs, own, seqs.start, cfg.burn_in)
        with torch.no_grad():
            ahead = self.lagging.features(seqs.obs, theirs, seqs.start, cfg.burn_in)[1:]
        batch = recurrent_sac_targets(seqs, out[1:].detach(), ahead, self.lagging, alpha, cfg)
        critic_loss, metrics = recurrent_sac_critic_loss(self.critics, self.critics.features(*now), batch)
        norm = descend(critic_loss, self.critic_optimizer, cfg.max_grad_norm)
        with torch.no_grad():
            features = self.critics.features(*now)
        loss, entropy = recurrent_sac_loss(self.critics, features, out[:-1], batch.weight, alpha)
        descend(loss, self.actor_optimizer, cfg.max_grad_norm)
        if cfg.adjust_alpha:
            descend((self.log_alpha * (entropy - self.target_entropy)).sum(), self.alpha_optimizer)
        polyak(self.lagging_params, self.critic_params, cfg.tau)
        return metrics | {"loss/policy": loss.detach(), "loss/grad_norm": norm, "policy/entropy": entropy,
                          "policy/alpha": alpha.squeeze()}

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


@torch.no_grad()
def recurrent_sac_targets(seqs: Sequences, next_out: Tensor, next_features: Tensor, lagging: RecurrentCritics,
                          alpha: Tensor, cfg: RecurrentSACConfig) -> RecurrentSACBatch:
    """r + γ·(min Q̄(h', a') − α·log π(a'|h')), a' ~ π, for the steps behind the burn-in.  → [L, N]

    next_out [L, N, 2D] of the actor and next_features [L, N, F] of the lagging critics, for the histories one step on.
    Haarnoja et al. 2018, eq. 2-3, with histories for states.
    """
    action, reward, terminated, valid = (
        column[cfg.burn_in:] for column in (seqs.action, seqs.reward, seqs.terminated, seqs.valid))
    next_action, log_prob = squashed(next_out).sample_with_log_prob()
    soft_value = lagging(next_features, next_action).amin(0) - alpha * log_prob
    target = td_target(reward, cfg.gamma * (1 - terminated.float()), soft_value)
    return RecurrentSACBatch(action, target, valid.float())


def recurrent_sac_critic_loss(critics: RecurrentCritics, features: Tensor, batch: RecurrentSACBatch,
                              ) -> tuple[Tensor, dict[str, Tensor]]:
    """Half the squared soft Bellman error, summed over both critics."""
    value = critics(features, batch.action)
    loss = weighted_mean(0.5 * (value - batch.target).square().sum(0), batch.weight)
    return loss, {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach().mean(0), batch.weight)}


def recurrent_sac_loss(critics: RecurrentCritics, features: Tensor, out: Tensor, weight: Tensor, alpha: Tensor,
                       ) -> tuple[Tensor, Tensor]:
    """α·log π(a|h) − min Q(h, a) for a fresh a ~ π, and the policy's entropy by the same sample."""
    action, log_prob = squashed(out).sample_with_log_prob()
    value = critics.judge(features, action).amin(0)
    loss = weighted_mean(alpha * log_prob - value, weight)
    return loss, -weighted_mean(log_prob.detach(), weight)
