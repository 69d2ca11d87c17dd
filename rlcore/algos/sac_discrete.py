"""Soft actor-critic for discrete actions. Christodoulou 2019, arXiv:1910.07207.

One update: move both critics towards the softened Bellman target of the smaller lagging critic, then the actor towards
choices that critics value, its entropy held at a share of the largest one by the temperature α. All expectations over
actions are exact sums, over the legal ones: with few choices there is nothing to sample.
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
from rlcore.data.batch import Batch, Obs
from rlcore.data.ranked import replay
from rlcore.data.replay import Ring, Transitions
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.acting import numpy_forward
from rlcore.nets.actors import Net
from rlcore.nets.critics import Critics, critics_with_copy
from rlcore.nets.dists import Categorical
from rlcore.nets.encoders import learn_obs, mlp
from rlcore.nets.fused import Precision, fuse
from rlcore.nets.heads import legal_among
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import td_target
from rlcore.protocols import Metrics
from rlcore.spaces import action_mask, legal_choices, require_actions


@dataclass(frozen=True, kw_only=True)
class SACDiscreteConfig:
    """Settings of SAC-Discrete; defaults from the paper's appendix where they suit small control tasks too."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(4, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(64, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(3e-4, "Adam's step size, of actor, critics and temperature", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    n_step: int = setting(1, "rewards taken together in a target", low=1, unit="env steps")
    tau: float = setting(0.005, "share of the online critics that the lagging ones take per step", low=0, high=1)
    capacity: int = setting(1_000_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    alpha: float = setting(1.0, "entropy's worth: first value if adjusted, otherwise its value", low=1e-8)
    adjust_alpha: bool = setting(True, "adjust α so that the policy keeps its target entropy")
    target_entropy_share: float = setting(0.98, "entropy to keep, as a share of that of uniformly random actions",
                                          low=0, high=1)
    prioritized: bool = setting(False, "replay steps in proportion to their error instead of evenly")
    priority_alpha: float = setting(0.6, "how much the error decides, if prioritized; 0 is not at all", low=0, high=1)
    priority_beta: float = setting(0.4, "how much of the bias of prioritized is corrected; 1 is all", low=0, high=1)
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    frames: int = setting(1, "images per stacked observation, each then stored once; 1 stores observations as they are",
                          low=1, high=64)
    max_grad_norm: float | None = setting(None, "gradients of actor and critics are scaled down to this norm; not at "
                                          "all if not set", low=1e-8)
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers, of actor and critics alike")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class SACDiscreteBatch(Batch):
    """What the losses read. All [N, …]; weight 0 marks dummy rows, importance undoes the bias of prioritised replay."""

    obs: Obs
    action: Tensor
    target: Tensor
    weight: Tensor
    importance: Tensor


class SACDiscrete:
    """The agent: actor, twin critics with lagging copies, temperature, memory, and one gradient step of each."""

    memory_size, extras = 0, ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: SACDiscreteConfig, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("SAC-Discrete", obs_space, action_space, {"discrete"}, instead="SAC or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        choices = self.actions.size
        self.critics, self.lagging = critics_with_copy(
            "SAC-Discrete", obs_space, 0, cfg.hidden, outputs=choices, normalize=cfg.normalize_obs,
            precision=cfg.precision, device=self.device)
        encoder = self.critics.encoder
        self.actor = mlp((encoder.out_dim, *cfg.hidden, choices), "relu").to(self.device)
        self.actor_params, self.critic_params = flatten(self.actor), flatten(self.critics)
        self.lagging_params = flatten(self.lagging)
        self.log_alpha = nn.Parameter(torch.tensor([math.log(cfg.alpha)], device=self.device))
        self.actor_optimizer = adam(self.actor_params, cfg.learning_rate)
        self.critic_optimizer = adam(self.critic_params, cfg.learning_rate)
        self.alpha_optimizer = adam(self.log_alpha, cfg.learning_rate)
        self.max_grad_norm = math.inf if cfg.max_grad_norm is None else cfg.max_grad_norm
        self.policy, self.acting = fuse(self.actor, cfg.precision), nn.Sequential(encoder, self.actor)
        self.forward = numpy_forward(self.acting, self.device)
        self.memory = Ring(cfg.capacity, cfg.num_envs, frames=cfg.frames, reward_scale=reward_scale(cfg))
        self.replay = replay(self.memory, cfg)

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the policy explores by itself
        """What one environment needs to sample T actions. → [T, A]"""
        return Categorical.noise(rng, horizon, self.actions.size)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """A legal sample while training, the likeliest legal choice when judged (no noise). [B, *obs] → [B]"""
        logits, mask = self.forward(obs), action_mask(obs)
        noise = np.zeros_like(logits) if noise is None else noise
        return Categorical.draw(logits, noise, None if mask is None else legal_choices(mask)), memory

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory, and its observations into the running statistics."""
        self.replay.add(rollout)
        if self.cfg.normalize_obs:
            learn_obs(rollout.obs, self.critics.encoder, self.lagging.encoder)

    def update(self) -> Metrics:
        """One gradient step of critics, actor and temperature on a batch from memory."""
        cfg = self.cfg
        anneal(cfg.learning_rate, cfg.learning_rate_steps, self.memory.env_steps, self.actor_optimizer,
               self.critic_optimizer, self.alpha_optimizer)
        index, importance = self.replay.pick(cfg.batch_size, self.rng)
        picked = self.memory.transitions(index, cfg.gamma, cfg.n_step).to(self.device)
        error, metrics = self.learn(picked, importance.to(self.device))
        self.replay.learned(index, error, picked.weight)
        return metrics

    def learn(self, picked: Transitions, importance: Tensor) -> tuple[Tensor, Metrics]:
        """The step itself, a function of tensors alone. → each row's error [N], metrics"""
        alpha = self.log_alpha.detach().exp()
        batch = sac_discrete_targets(picked, importance, self.policy, self.critics, self.lagging, alpha)
        critic_loss, error, metrics = sac_discrete_critic_loss(self.critics, batch)
        norm = descend(critic_loss, self.critic_optimizer, self.max_grad_norm)
        loss, entropy = sac_discrete_loss(self.policy, self.critics, batch, alpha)
        descend(loss, self.actor_optimizer, self.max_grad_norm)
        if self.cfg.adjust_alpha:
            wanted = self.cfg.target_entropy_share * largest_entropy(batch, self.actions.size)
            descend((self.log_alpha * (entropy - wanted)).sum(), self.alpha_optimizer)
        polyak(self.lagging_params, self.critic_params, self.cfg.tau)
        return error, metrics | {"loss/policy": loss.detach(), "loss/grad_norm": norm, "policy/entropy": entropy,
                                 "policy/alpha": alpha.squeeze()}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, temperature, priorities and generator; the memory has its own."""
        modules = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        return modules | {"log_alpha": self.log_alpha.detach().clone(), "replay": self.replay.state_dict(),
                          "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        self.replay.load_state_dict(state.get("replay", {}))  # older checkpoints know only even replay
        self.rng.bit_generator.state = state["rng"]


_STATEFUL = ("actor", "critics", "lagging", "actor_optimizer", "critic_optimizer", "alpha_optimizer")


@torch.no_grad()
def sac_discrete_targets(picked: Transitions, importance: Tensor, actor: Net, critics: Critics, lagging: Critics,
                         alpha: Tensor) -> SACDiscreteBatch:
    """r + γ·Σ_a π(a|s')·(min Q̄(s', a) − α·log π(a|s')). Christodoulou 2019, eq. 10. [N]"""
    logits = actor(critics.features(picked.next_obs))
    log_probs = Categorical(logits, legal_among(picked.next_obs)).log_probs
    judged = lagging.choices(lagging.features(picked.next_obs)).amin(0)
    soft_value = (log_probs.exp() * (judged - alpha * log_probs)).sum(-1)
    target = td_target(picked.reward, picked.discount, soft_value)
    return SACDiscreteBatch(picked.obs, picked.action, target, picked.weight, importance)


def sac_discrete_critic_loss(critics: Critics, batch: SACDiscreteBatch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The squared soft Bellman error of the choices made, summed over both critics, eq. 4, and the mean error of each
    row. → scalar, [N], metrics
    """
    values = critics.choices(critics.features(batch.obs))
    value = values.gather(-1, batch.action[:, None].expand(len(values), -1, 1)).squeeze(-1)
    error = value - batch.target
    loss = weighted_mean(0.5 * error.square().sum(0) * batch.importance, batch.weight)
    metrics = {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach().mean(0), batch.weight)}
    return loss, error.detach().abs().mean(0), metrics


def sac_discrete_loss(actor: Net, critics: Critics, batch: SACDiscreteBatch, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_a π(a|s)·(α·log π(a|s) − min Q(s, a)), eq. 12, and the policy's entropy."""
    with torch.no_grad():  # values of all choices are known: no gradient passes through them
        features = critics.features(batch.obs)
        value = critics.choices(features).amin(0)
    policy = Categorical(actor(features), legal_among(batch.obs))
    rows = (policy.log_probs.exp() * (alpha * policy.log_probs - value)).sum(-1)
    return weighted_mean(rows, batch.weight), weighted_mean(policy.entropy().detach(), batch.weight)


def largest_entropy(batch: SACDiscreteBatch, num_choices: int) -> Tensor | float:
    """The mean entropy of uniformly random legal choices, log of their number. scalar"""
    legal = legal_among(batch.obs)
    return math.log(num_choices) if legal is None else weighted_mean(legal.sum(-1).float().log(), batch.weight)
