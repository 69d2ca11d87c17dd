"""Randomized ensembled double Q-learning. Chen et al. 2021, arXiv:2101.05982.

One update: move all critics towards the softened Bellman target of the smallest among a few lagging critics drawn at
random. Many updates follow each step of the environment; the last of them also moves the actor, towards actions that
the mean of all critics values, and the temperature.
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
from rlcore.ops.td import td_target
from rlcore.protocols import Metrics
from rlcore.spaces import require_actions


@dataclass(frozen=True, kw_only=True)
class REDQConfig:
    """Settings of REDQ; defaults from the paper's appendix."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(1, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(20, "gradient steps per round of learning", low=1)
    batch_size: int = setting(256, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(3e-4, "Adam's step size, of actor, critics and temperature", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    n_step: int = setting(1, "rewards taken together in a target", low=1, unit="env steps")
    tau: float = setting(0.005, "share of the online critics that the lagging ones take per step", low=0, high=1)
    capacity: int = setting(1_000_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(5_000, "steps taken at random before learning", low=1, unit="env steps")
    num_critics: int = setting(10, "critics", low=1)
    num_judges: int = setting(2, "critics drawn at random for each target, of which the smallest value counts", low=1)
    policy_every: int = setting(20, "critic steps between steps of the actor and the temperature", low=1)
    alpha: float = setting(1.0, "entropy's worth: first value if adjusted, otherwise its value", low=1e-8)
    adjust_alpha: bool = setting(True, "adjust α so that the policy keeps its target entropy")
    target_entropy: float | None = setting(None, "entropy to keep; minus the action dimensions if not set",
                                           unit="nats")
    prioritized: bool = setting(False, "replay steps in proportion to their error instead of evenly")
    priority_alpha: float = setting(0.6, "how much the error decides, if prioritized; 0 is not at all", low=0, high=1)
    priority_beta: float = setting(0.4, "how much of the bias of prioritized is corrected; 1 is all", low=0, high=1)
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    max_grad_norm: float | None = setting(None, "gradients of actor and critics are scaled down to this norm; not at "
                                          "all if not set", low=1e-8)
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers, of actor and critics alike")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)
        require(self.num_judges <= self.num_critics, self, "num_judges",
                f"be at most the {self.num_critics} of num_critics")



@dataclass(frozen=True)
class REDQBatch(Batch):
    """What the losses read. All [N, …]; weight 0 marks dummy rows, importance undoes the bias of prioritised replay.
    """

    obs: Obs
    action: Tensor
    target: Tensor
    weight: Tensor
    importance: Tensor


class REDQ:
    """The agent: actor, an ensemble of critics with lagging copies, temperature, memory, and one gradient step."""

    memory_size, extras = 0, ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: REDQConfig, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("REDQ", obs_space, action_space, {"continuous"}, instead="DQN or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        size = self.actions.size
        self.critics, self.lagging = critics_with_copy(
            "REDQ", obs_space, size, cfg.hidden, num=cfg.num_critics, normalize=cfg.normalize_obs,
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
        self.num_updates = 0
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
        """One gradient step of the critics on a batch from memory, and every so often one of actor and temperature."""
        cfg = self.cfg
        anneal(cfg.learning_rate, cfg.learning_rate_steps, self.memory.env_steps, self.actor_optimizer,
               self.critic_optimizer, self.alpha_optimizer)
        index, importance = self.replay.pick(cfg.batch_size, self.rng)
        picked = self.memory.transitions(index, cfg.gamma, cfg.n_step).to(self.device)
        judges = self.rng.choice(cfg.num_critics, cfg.num_judges, replace=False)
        self.num_updates += 1
        error, metrics, of_policy = self.learn(picked, importance.to(self.device),
                                               torch.from_numpy(judges).to(self.device),
                                               self.num_updates % cfg.policy_every == 0)
        self.replay.learned(index, error, picked.weight)
        self.policy_metrics = of_policy or self.policy_metrics
        return metrics | self.policy_metrics

    def learn(self, picked: Transitions, importance: Tensor, judges: Tensor,
              actors_turn: bool) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """The step itself, a function of tensors alone. → each row's error [N], metrics of critics and of the actor"""
        alpha = self.log_alpha.detach().exp()
        batch = redq_targets(picked, importance, judges, self.policy, self.critics, self.lagging, alpha)
        critic_loss, error, metrics = redq_critic_loss(self.critics, batch)
        metrics["loss/grad_norm"] = descend(critic_loss, self.critic_optimizer, self.max_grad_norm)
        of_policy = self._improve(batch, alpha) if actors_turn else {}
        polyak(self.lagging_params, self.critic_params, self.cfg.tau)
        return error, metrics, of_policy

    def _improve(self, batch: REDQBatch, alpha: Tensor) -> dict[str, Tensor]:
        loss, entropy = redq_loss(self.policy, self.critics, batch, alpha)
        descend(loss, self.actor_optimizer, self.max_grad_norm)
        if self.cfg.adjust_alpha:
            descend((self.log_alpha * (entropy - self.target_entropy)).sum(), self.alpha_optimizer)
        return {"loss/policy": loss.detach(), "policy/entropy": entropy, "policy/alpha": alpha.squeeze()}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, temperature, counter and generator; the memory has its own."""
        modules = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        return modules | {"log_alpha": self.log_alpha.detach().clone(), "num_updates": self.num_updates,
                          "policy_metrics": dict(self.policy_metrics), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        self.num_updates, self.policy_metrics = state["num_updates"], dict(state["policy_metrics"])
        self.rng.bit_generator.state = state["rng"]


_STATEFUL = ("actor", "critics", "lagging", "actor_optimizer", "critic_optimizer", "alpha_optimizer", "replay")


@torch.no_grad()
def redq_targets(picked: Transitions, importance: Tensor, judges: Tensor, actor: Net, critics: Critics,
                 lagging: Critics, alpha: Tensor) -> REDQBatch:
    """r + γ·(min over the judges of Q̄(s', a') − α·log π(a'|s')), a' ~ π. Algorithm 1. judges [M] int64 → [N]"""
    action, log_prob = squashed(actor(critics.features(picked.next_obs))).sample_with_log_prob()
    soft_value = lagging.some(lagging.features(picked.next_obs), action, judges).amin(0) - alpha * log_prob
    target = td_target(picked.reward, picked.discount, soft_value)
    return REDQBatch(picked.obs, picked.action, target, picked.weight, importance)


def redq_critic_loss(critics: Critics, batch: REDQBatch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Half the squared soft Bellman error, summed over all critics, and each row's mean error. Algorithm 1."""
    value = critics(critics.features(batch.obs), batch.action)
    error = value - batch.target
    loss = weighted_mean(0.5 * error.square().sum(0) * batch.importance, batch.weight)
    metrics = {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach().mean(0), batch.weight)}
    return loss, error.detach().abs().mean(0), metrics


def redq_loss(actor: Net, critics: Critics, batch: REDQBatch, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """α·log π(a|s) − mean Q(s, a) over all critics for a fresh a ~ π, and the policy's entropy. Algorithm 1."""
    features = critics.features(batch.obs).detach()  # only the critics train an encoder of pixels
    action, log_prob = squashed(actor(features)).sample_with_log_prob()
    value = critics.judge(features, action).mean(0)
    loss = weighted_mean(alpha * log_prob - value, batch.weight)
    return loss, -weighted_mean(log_prob.detach(), batch.weight)
