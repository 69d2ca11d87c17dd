"""Soft actor-critic whose actor waits for reliable critics. Liu et al. 2021, ElegantRL, arXiv:2112.05923.

One update: move all critics towards the softened Bellman target of the smallest lagging critic. A running mean of that
loss says how reliable they are, λ = exp(−loss²), and the actor and the temperature take a step only while they have
taken less than 1/(2 − λ) of the critics': one of two where λ = 0, all where λ = 1 (the idea of two time scales, Heusel
et al. 2017, arXiv:1706.08500). Departs from ElegantRL: counts start anew after a fixed number of steps rather than at
each round of learning, and the target entropy is minus the action dimensions, as in soft actor-critic.
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
from rlcore.nets.actors import Net, draw_squashed, squashed
from rlcore.nets.critics import Critics, critics_with_copy
from rlcore.nets.dists import Gaussian
from rlcore.nets.encoders import learn_obs, mlp
from rlcore.nets.fused import Precision, fuse
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import huber, td_target
from rlcore.protocols import Metrics
from rlcore.spaces import require_actions

# Bounds of log α, as in ElegantRL.
_LOG_ALPHA_MIN, _LOG_ALPHA_MAX = -16.0, 2.0


@dataclass(frozen=True, kw_only=True)
class ModSACConfig:
    """Settings of ModSAC; defaults as ElegantRL had them, but for the target entropy."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(1, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(256, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(3e-4, "Adam's step size, of actor, critics and temperature", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    n_step: int = setting(1, "rewards taken together in a target", low=1, unit="env steps")
    tau: float = setting(0.005, "share of the online critics that the lagging ones take per step", low=0, high=1)
    capacity: int = setting(1_000_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    num_critics: int = setting(8, "critics", low=1)
    loss_tau: float = setting(0.005, "share of each critic loss in the running one that says how reliable critics are",
                              low=0, high=1)
    count_steps: int = setting(1_000, "critic steps after which actor and critic steps are counted anew", low=2)
    alpha: float = setting(0.4, "entropy's worth: first value if adjusted, otherwise its value", low=1e-8)
    adjust_alpha: bool = setting(True, "adjust α so that the policy keeps its target entropy")
    target_entropy: float | None = setting(None, "entropy to keep; minus the action dimensions if not set",
                                           unit="nats")
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    prioritized: bool = setting(False, "replay steps in proportion to their error instead of evenly")
    priority_alpha: float = setting(0.6, "how much the error decides, if prioritized; 0 is not at all", low=0, high=1)
    priority_beta: float = setting(0.4, "how much of the bias of prioritized is corrected; 1 is all", low=0, high=1)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    max_grad_norm: float | None = setting(None, "gradients of actor and critics are scaled down to this norm; not at "
                                          "all if not set", low=1e-8)
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers, of actor and critics alike")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)



@dataclass(frozen=True)
class ModSACBatch(Batch):
    """What the losses read. All [N, …]; weight 0 marks dummy rows, importance undoes the bias of prioritised replay.
    """

    obs: Obs
    action: Tensor
    target: Tensor
    weight: Tensor
    importance: Tensor


class ModSAC:
    """The agent: actor, an ensemble of critics with lagging copies, temperature, memory, and one gradient step."""

    memory_size, extras = 0, ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: ModSACConfig, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("ModSAC", obs_space, action_space, {"continuous"}, instead="DQN or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        size = self.actions.size
        self.critics, self.lagging = critics_with_copy(
            "ModSAC", obs_space, size, cfg.hidden, num=cfg.num_critics, normalize=cfg.normalize_obs,
            precision=cfg.precision, device=self.device)
        encoder = self.critics.encoder
        self.actor = mlp((encoder.out_dim, *cfg.hidden, 2 * size), "relu").to(self.device)
        self.actor_params, self.critic_params = flatten(self.actor), flatten(self.critics)
        self.lagging_params = flatten(self.lagging)
        self.log_alpha = nn.Parameter(torch.tensor([math.log(cfg.alpha)], device=self.device))
        self.target_entropy = -float(size) if cfg.target_entropy is None else cfg.target_entropy
        self.actor_optimizer = adam(self.actor_params, cfg.learning_rate)
        self.critic_optimizer = adam(self.critic_params, cfg.learning_rate)
        self.alpha_optimizer = adam(self.log_alpha, cfg.learning_rate)
        self.max_grad_norm = math.inf if cfg.max_grad_norm is None else cfg.max_grad_norm
        self.policy, self.acting = fuse(self.actor, cfg.precision), nn.Sequential(encoder, self.actor)
        self.forward = numpy_forward(self.acting, self.device)
        self.memory = Ring(cfg.capacity, cfg.num_envs, reward_scale=reward_scale(cfg))
        self.replay = replay(self.memory, cfg)
        # where reliability is ½ and the actor takes two of three steps
        self.running_loss = torch.tensor(math.sqrt(math.log(2)), device=self.device)
        self.actor_steps = self.critic_steps = 0
        self.policy_metrics: dict[str, Tensor] = {}  # of the actor's last step, logged until it takes another

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the policy explores by itself
        """What one environment needs to sample T actions. → [T, D]"""
        return Gaussian.noise(rng, horizon, self.actions.size)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """A squashed sample while training, its centre when judged (no noise). [B, *obs] → [B, D] in [−1, 1]"""
        return draw_squashed(self.forward(obs), noise), memory

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory, and its observations into the running statistics."""
        self.replay.add(rollout)
        if self.cfg.normalize_obs:
            learn_obs(rollout.obs, self.critics.encoder, self.lagging.encoder)

    def update(self) -> Metrics:
        """One gradient step of the critics on a batch from memory, and of actor and temperature if it is their turn."""
        cfg = self.cfg
        anneal(cfg.learning_rate, cfg.learning_rate_steps, self.memory.env_steps, self.actor_optimizer,
               self.critic_optimizer, self.alpha_optimizer)
        index, importance = self.replay.pick(cfg.batch_size, self.rng)
        picked = self.memory.transitions(index, cfg.gamma, cfg.n_step).to(self.device)
        batch, critic_loss, error, metrics = self.learn(picked, importance.to(self.device))
        self.replay.learned(index, error, picked.weight)
        self.running_loss = self.running_loss.lerp(critic_loss, cfg.loss_tau)
        trust = reliability(self.running_loss)
        if self._actors_turn(trust):
            self.policy_metrics = self.improve(batch)
        polyak(self.lagging_params, self.critic_params, cfg.tau)
        return metrics | self.policy_metrics | {"value/reliability": trust}

    def learn(self, picked: Transitions, importance: Tensor) -> tuple[ModSACBatch, Tensor, Tensor, dict[str, Tensor]]:
        """The critics' step, a function of tensors alone. → what the actor learns from, loss, each row's error, metrics
        """
        batch = modsac_targets(picked, importance, self.policy, self.critics, self.lagging,
                               self.log_alpha.detach().exp())
        loss, error, metrics = modsac_critic_loss(self.critics, batch)
        metrics["loss/grad_norm"] = descend(loss, self.critic_optimizer, self.max_grad_norm)
        return batch, loss.detach(), error, metrics

    def _actors_turn(self, trust: Tensor) -> bool:
        if self.critic_steps == self.cfg.count_steps:
            self.actor_steps = self.critic_steps = 0
        self.critic_steps += 1
        turn = bool(actor_may_move(self.actor_steps, self.critic_steps, trust))  # a branch cannot wait for the log
        self.actor_steps += turn
        return turn

    def improve(self, batch: ModSACBatch) -> dict[str, Tensor]:
        """The step of actor and temperature, likewise."""
        alpha = self.log_alpha.detach().exp()
        loss, entropy = modsac_loss(self.policy, self.critics, self.lagging, batch, alpha)
        descend(loss, self.actor_optimizer, self.max_grad_norm)
        if self.cfg.adjust_alpha:
            descend((self.log_alpha * (entropy - self.target_entropy)).sum(), self.alpha_optimizer)
            with torch.no_grad():
                self.log_alpha.clamp_(_LOG_ALPHA_MIN, _LOG_ALPHA_MAX)
        return {"loss/policy": loss.detach(), "policy/entropy": entropy, "policy/alpha": alpha.squeeze()}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, temperature, counters and generator; the memory has its own."""
        modules = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        return modules | {"log_alpha": self.log_alpha.detach().clone(), "running_loss": self.running_loss.clone(),
                          "actor_steps": self.actor_steps, "critic_steps": self.critic_steps,
                          "policy_metrics": dict(self.policy_metrics), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        self.running_loss = state["running_loss"].to(self.device)
        self.actor_steps, self.critic_steps = state["actor_steps"], state["critic_steps"]
        self.policy_metrics = dict(state["policy_metrics"])
        self.rng.bit_generator.state = state["rng"]


_STATEFUL = ("actor", "critics", "lagging", "actor_optimizer", "critic_optimizer", "alpha_optimizer", "replay")


def reliability(running_loss: Tensor) -> Tensor:
    """λ = exp(−loss²): 1 where the critics are always right, 0 where they are far off. [] → []"""
    return torch.exp(-running_loss.square())


def actor_may_move(actor_steps: int, critic_steps: int, trust: Tensor) -> Tensor:
    """Whether actor steps / critic steps < 1/(2 − λ), the critics' latest step included. [] → [] bool"""
    return actor_steps * (2 - trust) < critic_steps


@torch.no_grad()
def modsac_targets(picked: Transitions, importance: Tensor, actor: Net, critics: Critics, lagging: Critics,
                   alpha: Tensor) -> ModSACBatch:
    """r + γ·(min Q̄(s', a') − α·log π(a'|s')), a' ~ π, over all critics. [N]"""
    action, log_prob = squashed(actor(critics.features(picked.next_obs))).sample_with_log_prob()
    soft_value = lagging(lagging.features(picked.next_obs), action).amin(0) - alpha * log_prob
    target = td_target(picked.reward, picked.discount, soft_value)
    return ModSACBatch(picked.obs, picked.action, target, picked.weight, importance)


def modsac_critic_loss(critics: Critics, batch: ModSACBatch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The Huber loss of the soft Bellman error, averaged over all critics, and each row's mean error. → scalar, [N]"""
    value = critics(critics.features(batch.obs), batch.action)
    error = value - batch.target
    loss = weighted_mean(huber(error).mean(0) * batch.importance, batch.weight)
    metrics = {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach().mean(0), batch.weight)}
    return loss, error.detach().abs().mean(0), metrics


def modsac_loss(actor: Net, critics: Critics, lagging: Critics, batch: ModSACBatch,
                alpha: Tensor) -> tuple[Tensor, Tensor]:
    """α·log π(a|s) − mean Q̄(s, a) over the lagging critics for a fresh a ~ π, and the policy's entropy."""
    features = critics.features(batch.obs).detach()  # only the critics train an encoder of pixels
    action, log_prob = squashed(actor(features)).sample_with_log_prob()
    value = lagging.judge(lagging.features(batch.obs).detach(), action).mean(0)
    loss = weighted_mean(alpha * log_prob - value, batch.weight)
    return loss, -weighted_mean(log_prob.detach(), batch.weight)
