"""Advantage actor-critic, synchronous. Mnih et al. 2016, arXiv:1602.01783.

One update: fix the advantages of a short rollout, then take one gradient step on all of it. Departs from the paper in
three ways: environments step together instead of in threads of their own; advantages may be blended over all lengths
(GAE; λ = 1 gives the paper's returns up to the rollout's end); and Adam may replace RMSprop. With a recurrent core,
gradients flow back through the whole rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.optim import Optimizer, RMSprop

from rlcore.arrays import Array
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.actor_critic import Acting, ActorCritic, Core
from rlcore.nets.fused import Precision
from rlcore.nets.optim import adam, descend, flatten, set_learning_rate
from rlcore.ops.policy import explained_variance, standardise, value_error, weighted_mean
from rlcore.ops.returns import gae
from rlcore.protocols import Metrics
from rlcore.schedule import Decay, scheduled
from rlcore.spaces import Actions


@dataclass(frozen=True, kw_only=True)
class A2CConfig:
    """Settings of A2C; discount, entropy bonus and RMSprop's decay are the paper's (section 8)."""

    num_envs: int = setting(8, "parallel environments", low=1, high=100_000)
    horizon: int = setting(5, "steps of each environment per update", low=1, high=1_000_000, unit="env steps")
    learning_rate: float = setting(7e-4, "step size", low=0, high=1)
    learning_rate_decay: Decay = setting("linear", "how the learning rate changes over the run")
    optimizer: Literal["rmsprop", "adam"] = setting("rmsprop", "how gradients become steps")
    optimizer_eps: float = setting(1e-5, "added to the root of the squared gradient's average", low=1e-12, high=1)
    rms_decay: float = setting(0.99, "how slowly RMSprop forgets squared gradients", low=0, high=1)
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    gae_lambda: float = setting(1.0, "advantage estimation: 0 trusts the critic, 1 the returns", low=0, high=1)
    value_coef: float = setting(0.5, "weight of the value loss", low=0)
    entropy_coef: float = setting(0.01, "weight of the entropy bonus, per nat", low=0)
    max_grad_norm: float = setting(0.5, "gradients are scaled down to this norm", low=0)
    normalize_advantage: bool = setting(False, "standardise advantages within the rollout")
    hidden: tuple[int, ...] = setting((64, 64), "widths of the hidden layers, of policy and value network alike")
    activation: Literal["tanh", "relu"] = setting("tanh", "nonlinearity between layers")
    shared: bool = setting(False, "policy and value network share their hidden layers; usual for pixels")
    core: Core = setting("none", "recurrent core behind the hidden layers, for tasks that need memory")
    core_size: int = setting(128, "width of the recurrent core", low=1)
    log_std: float = setting(0.0, "initial log standard deviation of continuous actions, of half a range",
                             low=-5, high=2)
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)
        require(not self.normalize_advantage or self.num_envs * self.horizon > 1, self, "horizon",
                "give two steps with normalize_advantage, because the advantage of one, standardised, is 0")


@dataclass(frozen=True)
class A2CBatch(Batch):
    """What the loss reads. All [N, …], or with a recurrent core [T, B, …]; weight 0 marks dummy rows.

    context: with a core, "start" [T, B] and "memory" [1, B, M] before the first step; otherwise empty.
    """

    obs: Obs
    action: Tensor
    advantage: Tensor
    target: Tensor
    weight: Tensor
    context: dict[str, Tensor]


class A2C:
    """The agent: networks, optimiser and one gradient step per rollout."""

    extras = ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: A2CConfig, *,
                 seed: int = 0, device: str = "cpu"):  # noqa: ARG002  # learning draws no random numbers
        self.cfg, self.device, self.actions = cfg, torch.device(device), Actions(action_space)
        self.model = ActorCritic(
            "A2C", obs_space, self.actions, hidden=cfg.hidden, activation=cfg.activation, shared=cfg.shared,
            core=cfg.core, core_size=cfg.core_size, normalize_obs=cfg.normalize_obs, log_std=cfg.log_std,
            precision=cfg.precision,
        ).to(self.device)
        self.params = flatten(self.model)
        self.optimizer: Optimizer = (
            adam(self.params, cfg.learning_rate, eps=cfg.optimizer_eps) if cfg.optimizer == "adam"
            else RMSprop([self.params], lr=cfg.learning_rate, alpha=cfg.rms_decay, eps=cfg.optimizer_eps))
        self.acting, self.policy = self.model, Acting(self.model, self.device)
        self.memory_size = self.model.memory_size
        self.returns = reward_scale(cfg)

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the policy explores by itself
        """What one environment needs to sample T actions. → [T, n]"""
        return self.policy.noise(rng, horizon)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """A sample of the policy while training, its mode when judged (no noise). [B, *obs] → [B, …]"""
        return self.policy(obs, memory, noise)

    def update(self, rollout: Rollout, progress: float) -> Metrics:
        """One gradient step on a rollout. progress in [0, 1] drives the learning rate."""
        cfg = self.cfg
        set_learning_rate(self.optimizer, scheduled(cfg.learning_rate, cfg.learning_rate_decay, progress))
        rollout, reward = rollout.to(self.device), rollout.reward
        if self.returns is not None:
            self.returns.learn(rollout)
            reward = self.returns.scale(rollout.reward)
        batch = a2c_targets(rollout, reward.to(self.device), self.model, cfg)
        loss, metrics = a2c_loss(self.model, batch, cfg)
        norm = descend(loss, self.optimizer, cfg.max_grad_norm)
        self.model.learn_norm(rollout.obs)
        return metrics | {"loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser and statistics."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                "returns": None if self.returns is None else self.returns.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.returns is not None:
            self.returns.load_state_dict(state["returns"])


@torch.no_grad()
def a2c_targets(rollout: Rollout, reward: Tensor, model: ActorCritic, cfg: A2CConfig) -> A2CBatch:
    """What a rollout teaches, fixed before the gradient step. [T, B] → [T·B], or with a core [T, B]"""
    _, value = model(rollout.all_obs(), rollout.memory[:1], rollout.all_start())
    alive = 1 - rollout.terminated.float()
    unbroken = alive * (1 - rollout.truncated.float())
    advantage = gae(reward, value[:-1], value[1:], discount=cfg.gamma * alive,
                    trace=cfg.gamma * cfg.gae_lambda * unbroken)
    batch = A2CBatch(rollout.obs, rollout.action, advantage, advantage + value[:-1], rollout.valid.float(), context={})
    if model.core is None:
        return batch.flatten()
    return A2CBatch(**{**vars(batch), "context": {"start": rollout.start, "memory": rollout.memory[:1]}})


def a2c_loss(model: ActorCritic, batch: A2CBatch, cfg: A2CConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """−log π(a|s)·Â with value and entropy terms. Mnih et al. 2016, section 4.3."""
    dist, value = model(batch.obs, **batch.context)
    advantage = standardise(batch.advantage, batch.weight) if cfg.normalize_advantage else batch.advantage
    policy = weighted_mean(-dist.log_prob(batch.action) * advantage, batch.weight)
    critic = weighted_mean(value_error(value, batch.target), batch.weight)
    entropy = weighted_mean(dist.entropy(), batch.weight)
    loss = policy + cfg.value_coef * critic - cfg.entropy_coef * entropy
    metrics = {"loss/policy": policy, "loss/value": critic, "policy/entropy": entropy,
               "value/explained_variance": explained_variance(value, batch.target, batch.weight)}
    return loss, {name: metric.detach() for name, metric in metrics.items()}
