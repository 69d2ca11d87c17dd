"""Twin delayed deterministic policy gradient. Fujimoto et al. 2018, arXiv:1802.09477.

One update: move both critics towards r + γ·min Q̄(s', μ̄(s') + clipped noise). Every `policy_every`-th also moves the
actor uphill on the first critic and lets the lagging copies of all networks follow.
"""

from __future__ import annotations

import copy
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
from rlcore.nets.dists import Gaussian
from rlcore.nets.encoders import learn_obs, mlp
from rlcore.nets.fused import Precision, fuse
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import td_target
from rlcore.protocols import Metrics
from rlcore.spaces import require_actions


@dataclass(frozen=True, kw_only=True)
class TD3Config:
    """Settings of TD3; defaults from the authors' code."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(1, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(256, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(3e-4, "Adam's step size, of actor and critics", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    n_step: int = setting(1, "rewards taken together in a target", low=1, unit="env steps")
    tau: float = setting(0.005, "share of the online networks that the lagging ones take when they move", low=0, high=1)
    capacity: int = setting(1_000_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    policy_every: int = setting(2, "critic steps between steps of the actor and of the lagging copies", low=1)
    noise_std: float = setting(0.1, "deviation of exploring noise; 1 is half the range of an action", low=0)
    target_noise: float = setting(0.2, "deviation of the noise on the target's action", low=0)
    target_noise_clip: float = setting(0.5, "the most that this noise may move the target's action", low=0)
    prioritized: bool = setting(False, "replay steps in proportion to their error instead of evenly")
    priority_alpha: float = setting(0.6, "how much the error decides, if prioritized; 0 is not at all", low=0, high=1)
    priority_beta: float = setting(0.4, "how much of the bias of prioritized is corrected; 1 is all", low=0, high=1)
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    max_grad_norm: float | None = setting(None, "gradients are scaled down to this norm; not at all if not set",
                                          low=1e-8)
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers, of actor and critics alike")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class TD3Batch(Batch):
    """What the losses read. All [N, …]; weight 0 marks dummy rows, importance undoes the bias of prioritised replay.
    """

    obs: Obs
    action: Tensor
    target: Tensor
    weight: Tensor
    importance: Tensor


class TD3:
    """The agent: actor and twin critics, lagging copies of all, memory, and one gradient step."""

    memory_size, extras = 0, ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: TD3Config, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("TD3", obs_space, action_space, {"continuous"}, instead="DQN or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        self.critics, self.lagging = critics_with_copy(
            "TD3", obs_space, self.actions.size, cfg.hidden, normalize=cfg.normalize_obs, precision=cfg.precision,
            device=self.device)
        encoder = self.critics.encoder
        self.actor = mlp((encoder.out_dim, *cfg.hidden, self.actions.size), "relu").to(self.device)
        self.lagging_actor = copy.deepcopy(self.actor)
        self.actor_params, self.critic_params = flatten(self.actor), flatten(self.critics)
        self.lagging_actor_params, self.lagging_params = flatten(self.lagging_actor), flatten(self.lagging)
        self.actor_optimizer = adam(self.actor_params, cfg.learning_rate)
        self.critic_optimizer = adam(self.critic_params, cfg.learning_rate)
        self.max_grad_norm = math.inf if cfg.max_grad_norm is None else cfg.max_grad_norm
        self.policy, self.lagging_policy = fuse(self.actor, cfg.precision), fuse(self.lagging_actor, cfg.precision)
        self.acting = nn.Sequential(encoder, self.actor)
        self.forward = numpy_forward(self.acting, self.device)
        self.memory = Ring(cfg.capacity, cfg.num_envs, reward_scale=reward_scale(cfg))
        self.replay = replay(self.memory, cfg)
        self.num_updates = 0
        self.policy_metrics: dict[str, Tensor] = {}  # of the actor's last step, logged until it takes another

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the same at every step
        """Standard normal variates that one environment adds to T actions. → [T, D]"""
        return Gaussian.noise(rng, horizon, self.actions.size)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """μ(s), and noise on it while training. [B, *obs] → [B, D] in [−1, 1]"""
        action: Array = np.tanh(self.forward(obs))
        if noise is not None:
            action = np.clip(action + noise * np.float32(self.cfg.noise_std), -1, 1)
        return action, memory

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory, and its observations into the running statistics."""
        self.replay.add(rollout)
        if self.cfg.normalize_obs:
            learn_obs(rollout.obs, self.critics.encoder, self.lagging.encoder)

    def update(self) -> Metrics:
        """One gradient step of the critics on a batch from memory, and every so often one of the actor."""
        cfg = self.cfg
        anneal(cfg.learning_rate, cfg.learning_rate_steps, self.memory.env_steps, self.actor_optimizer,
               self.critic_optimizer)
        index, importance = self.replay.pick(cfg.batch_size, self.rng)
        picked = self.memory.transitions(index, cfg.gamma, cfg.n_step).to(self.device)
        self.num_updates += 1
        actors_turn = self.num_updates % cfg.policy_every == 0
        error, metrics, of_policy = self.learn(picked, importance.to(self.device), actors_turn)
        self.replay.learned(index, error, picked.weight)
        self.policy_metrics = of_policy or self.policy_metrics
        return metrics | self.policy_metrics

    def learn(self, picked: Transitions, importance: Tensor,
              actors_turn: bool) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """The step itself, a function of tensors alone. → each row's error [N], metrics of critics and of the actor"""
        noise = torch.randn(len(importance), self.actions.size, device=self.device)
        batch = td3_targets(picked, importance, noise, self.lagging_policy, self.lagging, self.cfg)
        critic_loss, error, metrics = td3_critic_loss(self.critics, batch)
        metrics["loss/grad_norm"] = descend(critic_loss, self.critic_optimizer, self.max_grad_norm)
        if not actors_turn:
            return error, metrics, {}
        loss = td3_loss(self.policy, self.critics, batch)
        descend(loss, self.actor_optimizer, self.max_grad_norm)
        polyak(self.lagging_params, self.critic_params, self.cfg.tau)
        polyak(self.lagging_actor_params, self.actor_params, self.cfg.tau)
        return error, metrics, {"loss/policy": loss.detach()}

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


_STATEFUL = ("actor", "critics", "lagging_actor", "lagging", "actor_optimizer", "critic_optimizer", "replay")


@torch.no_grad()
def td3_targets(picked: Transitions, importance: Tensor, noise: Tensor, lagging_actor: Net, lagging: Critics,
                cfg: TD3Config) -> TD3Batch:
    """r + γ·min Q̄(s', clip(μ̄(s') + clip(σ·ε, ±c), ±1)). Fujimoto et al. 2018, eq. 14. noise ε [N, D] → [N]"""
    features = lagging.features(picked.next_obs)
    shift = (noise * cfg.target_noise).clamp(-cfg.target_noise_clip, cfg.target_noise_clip)
    action = (lagging_actor(features).tanh() + shift).clamp(-1, 1)
    target = td_target(picked.reward, picked.discount, lagging(features, action).amin(0))
    return TD3Batch(picked.obs, picked.action, target, picked.weight, importance)


def td3_critic_loss(critics: Critics, batch: TD3Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Half the squared Bellman error, summed over both critics, and each row's mean error. Algorithm 1."""
    value = critics(critics.features(batch.obs), batch.action)
    error = value - batch.target
    loss = weighted_mean(0.5 * error.square().sum(0) * batch.importance, batch.weight)
    metrics = {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach().mean(0), batch.weight)}
    return loss, error.detach().abs().mean(0), metrics


def td3_loss(actor: Net, critics: Critics, batch: TD3Batch) -> Tensor:
    """−Q₁(s, μ(s)), of the first critic alone. Algorithm 1."""
    features = critics.features(batch.obs).detach()  # only the critics train an encoder of pixels
    return -weighted_mean(critics.judge_first(features, actor(features).tanh()), batch.weight)
