"""TD3 with memory. Ni et al. 2022, arXiv:2110.05038, after Fujimoto et al. 2018, arXiv:1802.09477.

One update: pick stored sequences, run actor, critics and their lagging copies over the first steps only to refresh the
memory that was stored with them, and take TD3's gradient steps on the rest. Actor and critics have recurrent cores of
their own; acting carries both memories along, so that both can be stored. Departs from the paper: sequences are pieces
of episodes begun from stored memory (Kapturowski et al. 2019) instead of whole episodes begun from nothing, and the
networks do not see the last action and reward.
"""

from __future__ import annotations

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
class RecurrentTD3Config:
    """Settings of Recurrent-TD3; those of TD3 from its authors' code, sizes for small tasks."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(1, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(32, "remembered sequences per gradient step", low=1)
    burn_in: int = setting(4, "first steps of a sequence, which only refresh its memory", low=0, unit="env steps")
    sequence_length: int = setting(16, "steps of a sequence that are learned from", low=1, unit="env steps")
    sequence_every: int = setting(4, "steps between the beginnings of sequences; fewer than sequence_length overlap",
                                  low=1, unit="env steps")
    learning_rate: float = setting(1e-3, "Adam's step size, of actor and critics", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    tau: float = setting(0.005, "share of the online networks that the lagging ones take when they move", low=0, high=1)
    capacity: int = setting(100_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    policy_every: int = setting(2, "critic steps between steps of the actor and of the lagging copies", low=1)
    noise_std: float = setting(0.1, "deviation of exploring noise; 1 is half the range of an action", low=0)
    target_noise: float = setting(0.2, "deviation of the noise on the target's action", low=0)
    target_noise_clip: float = setting(0.5, "the most that this noise may move the target's action", low=0)
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
class RecurrentTD3Batch(Batch):
    """What the critics' loss reads besides their features. All [L, N, …]; weight 0 marks dummy rows."""

    action: Tensor
    target: Tensor
    weight: Tensor


class RecurrentTD3:
    """The agent: recurrent actor and twin critics, lagging copies of both, memory, and one gradient step."""

    extras = ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: RecurrentTD3Config, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("Recurrent-TD3", obs_space, action_space, {"continuous"}, instead="R2D2 or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        size, how = self.actions.size, (cfg.hidden, cfg.core, cfg.core_size, cfg.normalize_obs, cfg.precision)
        self.actor, self.lagging_actor = (
            RecurrentActor("Recurrent-TD3", obs_space, size, *how).to(self.device) for _ in range(2))
        self.critics, self.lagging = (
            RecurrentCritics("Recurrent-TD3", obs_space, size, *how).to(self.device) for _ in range(2))
        self.lagging_actor.load_state_dict(self.actor.state_dict())
        self.lagging.load_state_dict(self.critics.state_dict())
        self.actor_params, self.critic_params = flatten(self.actor), flatten(self.critics)
        self.lagging_actor_params, self.lagging_params = flatten(self.lagging_actor), flatten(self.lagging)
        self.actor_optimizer = adam(self.actor_params, cfg.learning_rate)
        self.critic_optimizer = adam(self.critic_params, cfg.learning_rate)
        self.acting = nn.ModuleList([self.actor, self.critics.trunk])
        self.half = self.actor.trunk.memory_size  # the actor's part of the memory comes first
        self.memory_size = self.half + self.critics.trunk.memory_size
        self.memory = Ring(cfg.capacity, cfg.num_envs, memory_every=cfg.sequence_every, reward_scale=reward_scale(cfg))
        self.num_updates = 0
        self.policy_metrics: dict[str, Tensor] = {}  # of the actor's last step, logged until it takes another

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the same at every step
        """Standard normal variates that one environment adds to T actions. → [T, D]"""
        return Gaussian.noise(rng, horizon, self.actions.size)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """μ(h), and noise on it while training. [B, *obs], [B, M] → [B, D] in [−1, 1], [B, M]"""
        features, own = self.actor.trunk.step(obs, memory[:, :self.half], self.device)
        _, critics = self.critics.trunk.step(obs, memory[:, self.half:], self.device)
        with torch.no_grad():
            action: Array = np.tanh(self.actor.head(features).cpu().numpy())
        if noise is not None:
            action = np.clip(action + noise * np.float32(self.cfg.noise_std), -1, 1)
        return action, np.concatenate([own, critics], 1)

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory, and its observations into the running statistics."""
        self.memory.add(rollout)
        if self.cfg.normalize_obs:
            nets = (self.actor, self.lagging_actor, self.critics, self.lagging)
            learn_obs(rollout.obs, *(net.trunk.encoder for net in nets))

    def update(self) -> Metrics:
        """One gradient step of the critics on a batch of sequences, and every so often one of the actor."""
        cfg = self.cfg
        if not self.memory.can_pick(cfg.length, cfg.sequence_every):
            return {}
        anneal(cfg.learning_rate, cfg.learning_rate_steps, self.memory.env_steps, self.actor_optimizer,
               self.critic_optimizer)
        index = self.memory.pick(cfg.batch_size, self.rng, cfg.length, cfg.sequence_every)
        seqs = self.memory.sequences(index, cfg.length).to(self.device)
        own, theirs = seqs.memory[0, :, :self.half], seqs.memory[0, :, self.half:]
        obs, start = tree_map(lambda part: part[:-1], seqs.obs), seqs.start[:-1]
        with torch.no_grad():
            next_out = self.lagging_actor(seqs.obs, own, seqs.start, cfg.burn_in)[1:]
            ahead = self.lagging.features(seqs.obs, theirs, seqs.start, cfg.burn_in)[1:]
        batch = recurrent_td3_targets(seqs, next_out, ahead, torch.randn_like(next_out), self.lagging, cfg)
        features = self.critics.features(obs, theirs, start, cfg.burn_in)
        critic_loss, metrics = recurrent_td3_critic_loss(self.critics, features, batch)
        norm = descend(critic_loss, self.critic_optimizer, cfg.max_grad_norm)
        self.num_updates += 1
        if self.num_updates % cfg.policy_every == 0:
            with torch.no_grad():
                features = self.critics.features(obs, theirs, start, cfg.burn_in)
            loss = recurrent_td3_loss(self.critics, features, self.actor(obs, own, start, cfg.burn_in), batch.weight)
            descend(loss, self.actor_optimizer, cfg.max_grad_norm)
            polyak(self.lagging_params, self.critic_params, cfg.tau)
            polyak(self.lagging_actor_params, self.actor_params, cfg.tau)
            self.policy_metrics = {"loss/policy": loss.detach()}
        return metrics | self.policy_metrics | {"loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, counter and generator; the memory has its own."""
        modules = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        return modules | {"num_updates": self.num_updates, "policy_metrics": dict(self.policy_metrics),
                          "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.num_updates, self.policy_metrics = state["num_updates"], dict(state["policy_metrics"])
        self.rng.bit_generator.state = state["rng"]


_STATEFUL = ("actor", "critics", "lagging_actor", "lagging", "actor_optimizer", "critic_optimizer")


@torch.no_grad()
def recurrent_td3_targets(seqs: Sequences, next_out: Tensor, next_features: Tensor, noise: Tensor,
                          lagging: RecurrentCritics, cfg: RecurrentTD3Config) -> RecurrentTD3Batch:
    """r + γ·min Q̄(h', clip(μ̄(h') + clip(σ·ε, ±c), ±1)), for the steps behind the burn-in.  → [L, N]

    next_out [L, N, D] of the lagging actor and next_features [L, N, F] of the lagging critics, for the histories one
    step on; noise ε [L, N, D].  Fujimoto et al. 2018, eq. 14-15, with histories for states.
    """
    action, reward, terminated, valid = (
        column[cfg.burn_in:] for column in (seqs.action, seqs.reward, seqs.terminated, seqs.valid))
    shift = (noise * cfg.target_noise).clamp(-cfg.target_noise_clip, cfg.target_noise_clip)
    value = lagging(next_features, (next_out.tanh() + shift).clamp(-1, 1)).amin(0)
    target = td_target(reward, cfg.gamma * (1 - terminated.float()), value)
    return RecurrentTD3Batch(action, target, valid.float())


def recurrent_td3_critic_loss(critics: RecurrentCritics, features: Tensor, batch: RecurrentTD3Batch,
                              ) -> tuple[Tensor, dict[str, Tensor]]:
    """Half the squared Bellman error, summed over both critics."""
    value = critics(features, batch.action)
    loss = weighted_mean(0.5 * (value - batch.target).square().sum(0), batch.weight)
    return loss, {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach().mean(0), batch.weight)}


def recurrent_td3_loss(critics: RecurrentCritics, features: Tensor, out: Tensor, weight: Tensor) -> Tensor:
    """−Q₁(h, μ(h)), of the first critic alone."""
    return -weighted_mean(critics.judge(features, out.tanh())[0], weight)
