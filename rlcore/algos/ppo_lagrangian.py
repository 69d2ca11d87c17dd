"""PPO under a limit on costs, by a PID-controlled Lagrange multiplier. Stooke et al. 2020, arXiv:2007.03964.

One update: measure the cost of the episodes that ended and let the controller set the multiplier λ; estimate
advantages of rewards and, by a second critic, of costs; then do what PPO does (Schulman et al. 2017,
arXiv:1707.06347) with Â = Â_reward − λ·Â_cost. Standardising Â makes the paper's factor 1/(1 + λ) superfluous.
With K_P = K_D = 0 this is the usual Lagrangian method: λ climbs while costs exceed their limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.rollout import Rollout, sequences
from rlcore.data.scale import EpisodeCost, reward_scale
from rlcore.nets.actor_critic import Acting, ActorCritic, Core, Dist
from rlcore.nets.fused import Precision
from rlcore.nets.optim import adam, descend, flatten, set_learning_rate
from rlcore.ops.policy import (
    approx_kl,
    clipped_surrogate,
    explained_variance,
    pid_multiplier,
    standardise,
    value_error,
    weighted_mean,
)
from rlcore.ops.returns import gae
from rlcore.protocols import Metrics
from rlcore.schedule import Decay, scheduled
from rlcore.spaces import Actions


@dataclass(frozen=True, kw_only=True)
class PPOLagrangianConfig:
    """Settings of PPO-Lagrangian; those that PPO has mean the same there."""

    num_envs: int = setting(8, "parallel environments", low=1, high=100_000)
    horizon: int = setting(128, "steps of each environment per update", low=2, high=1_000_000, unit="env steps")
    epochs: int = setting(4, "passes over each rollout", low=1)
    num_minibatches: int = setting(4, "gradient steps per pass; divides num_envs × horizon", low=1, high=1_000_000)
    cost_limit: float = setting(25.0, "mean cost per episode to stay below, d; Safety Gym's tasks use 25", low=0)
    pid_p: float = setting(0.05, "K_P: answer to the excess over the limit", low=0)
    pid_i: float = setting(0.005, "K_I: answer to the excess summed over updates", low=0)
    pid_d: float = setting(0.05, "K_D: answer to growing costs", low=0)
    learning_rate: float = setting(1e-3, "Adam's step size", low=0, high=1)
    learning_rate_decay: Decay = setting("constant", "how the learning rate changes over the run")
    gamma: float = setting(0.99, "discount per step, of rewards and costs", low=0, high=1)
    gae_lambda: float = setting(0.95, "advantage estimation: 0 trusts the critics, 1 the returns", low=0, high=1)
    clip: float = setting(0.2, "how far the probability ratio may pay, ε", low=0, high=10)
    clip_decay: Decay = setting("constant", "how ε changes over the run")
    value_coef: float = setting(0.5, "weight of both value losses", low=0)
    entropy_coef: float = setting(0.0, "weight of the entropy bonus, per nat", low=0)
    max_grad_norm: float = setting(0.5, "gradients are scaled down to this norm", low=0)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the hidden layers, of policy and value networks alike")
    activation: Literal["tanh", "relu"] = setting("tanh", "nonlinearity between layers")
    shared: bool = setting(False, "policy and value networks share their hidden layers; usual for pixels")
    core: Core = setting("none", "recurrent core behind the hidden layers, for tasks that need memory")
    core_size: int = setting(128, "width of the recurrent core", low=1)
    sequence_length: int = setting(16, "steps that gradients flow back through a core; divides horizon", low=1,
                                   unit="env steps")
    log_std: float = setting(0.0, "initial log standard deviation of continuous actions, of half a range",
                             low=-5, high=2)
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    @property
    def batch_rows(self) -> int:
        """What an update shuffles: single steps, or sequences for a recurrent core."""
        return self.num_envs * self.horizon // (1 if self.core == "none" else self.sequence_length)

    def __post_init__(self) -> None:
        check_ranges(self)
        require(self.core == "none" or self.horizon % self.sequence_length == 0, self, "sequence_length",
                f"divide horizon={self.horizon}")
        close = next(n for n in range(self.num_minibatches, 0, -1) if self.batch_rows % n == 0)
        require(close == self.num_minibatches, self, "num_minibatches",
                f"divide the rollout of {self.batch_rows} rows", f"Try {close}.")
        require(self.num_envs * self.horizon >= 2 * self.num_minibatches, self, "num_minibatches",
                "leave two steps for each minibatch, because the advantage of one, standardised, is 0")


@dataclass(frozen=True)
class PPOLagrangianBatch(Batch):
    """What the loss reads. All [N, …], or with a recurrent core [L, N, …]; weight 0 marks dummy rows.

    advantage: of rewards less λ times that of costs;  context: as for PPO, empty without a core.
    """

    obs: Obs
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    target: Tensor
    cost_target: Tensor
    weight: Tensor
    context: dict[str, Tensor]


class SafeActorCritic(nn.Module):
    """π(a|s), V(s) of rewards and V(s) of costs."""

    def __init__(self, model: ActorCritic):
        super().__init__()
        self.model, self.cost_critic = model, model.new_critic()
        self.cost_out = model.evaluated(self.cost_critic)

    def forward(self, obs: Obs, memory: Tensor | None = None, start: Tensor | None = None,
                ) -> tuple[Dist, Tensor, Tensor]:
        """[..., *obs] → the action distribution, V(s) and the costs' V(s) [...]; with a core, time comes first."""
        features, _ = self.model.features(obs, memory, start)
        dist = self.model.dist(self.model.actor_out(features), obs)
        return dist, self.model.value(features), self.cost_out(features).squeeze(-1)


class PPOLagrangian:
    """The agent: networks, optimiser, the multiplier's controller and one round of learning."""

    extras = ("cost",)

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: PPOLagrangianConfig, *,
                 seed: int = 0, device: str = "cpu"):  # noqa: ARG002  # torch's own generator shuffles
        self.cfg, self.device, self.actions = cfg, torch.device(device), Actions(action_space)
        self.acting = ActorCritic(
            "PPO-Lagrangian", obs_space, self.actions, hidden=cfg.hidden, activation=cfg.activation,
            shared=cfg.shared, core=cfg.core, core_size=cfg.core_size, normalize_obs=cfg.normalize_obs,
            log_std=cfg.log_std, precision=cfg.precision)
        self.model = SafeActorCritic(self.acting).to(self.device)
        self.params = flatten(self.model)
        self.optimizer = adam(self.params, cfg.learning_rate, eps=1e-5)
        self.policy, self.memory_size = Acting(self.acting, self.device), self.acting.memory_size
        self.returns = reward_scale(cfg)
        self.costs = EpisodeCost(cfg.num_envs)
        self.multiplier = self.integral = 0.0
        self.last_cost: float | None = None  # of the latest update in which an episode ended

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the policy explores by itself
        """What one environment needs to sample T actions. → [T, n]"""
        return self.policy.noise(rng, horizon)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """A sample of the policy while training, its mode when judged (no noise). [B, *obs] → [B, …]"""
        return self.policy(obs, memory, noise)

    def update(self, rollout: Rollout, progress: float) -> Metrics:
        """Set the multiplier, then learn from the rollout. progress in [0, 1] drives learning rate and clip range."""
        cfg = self.cfg
        set_learning_rate(self.optimizer, scheduled(cfg.learning_rate, cfg.learning_rate_decay, progress))
        if (cost := self.costs.learn(rollout)) is not None:
            self._control(cost)
        rollout, reward = rollout.to(self.device), rollout.reward
        if self.returns is not None:
            self.returns.learn(rollout)
            reward = self.returns.scale(rollout.reward)
        batch = ppo_lagrangian_targets(rollout, reward.to(self.device), self.model, self.multiplier, cfg)
        metrics = self._descend_epochs(batch, scheduled(cfg.clip, cfg.clip_decay, progress))
        self.acting.learn_norm(rollout.obs)
        known = {} if self.last_cost is None else {"cost/episode": torch.tensor(self.last_cost)}
        return {**metrics, **known, "cost/multiplier": torch.tensor(self.multiplier)}

    def _control(self, cost: float) -> None:
        """Stooke et al. 2020, algorithm 2."""
        cfg, error = self.cfg, cost - self.cfg.cost_limit
        growth = 0.0 if self.last_cost is None else max(0.0, cost - self.last_cost)
        self.integral = max(0.0, self.integral + error)
        self.multiplier = pid_multiplier(error, self.integral, growth, (cfg.pid_p, cfg.pid_i, cfg.pid_d))
        self.last_cost = cost

    def _descend_epochs(self, batch: PPOLagrangianBatch, clip: float) -> dict[str, Tensor]:
        cfg, recurrent = self.cfg, self.memory_size > 0
        size = cfg.batch_rows // cfg.num_minibatches
        for _ in range(cfg.epochs):
            for index in torch.split(torch.randperm(cfg.batch_rows, device=self.device), size):
                part = batch.columns(index) if recurrent else batch[index]
                loss, metrics = ppo_lagrangian_loss(self.model, part, clip, cfg)
                norm = descend(loss, self.optimizer, cfg.max_grad_norm)
        return metrics | {"loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, statistics and controller."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                "returns": None if self.returns is None else self.returns.state_dict(),
                "costs": self.costs.state_dict(), **{name: getattr(self, name) for name in _CONTROL}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in ("model", "optimizer", "costs"):
            getattr(self, name).load_state_dict(state[name])
        if self.returns is not None:
            self.returns.load_state_dict(state["returns"])
        for name in _CONTROL:
            setattr(self, name, state[name])


_CONTROL = ("multiplier", "integral", "last_cost")


@torch.no_grad()
def ppo_lagrangian_targets(rollout: Rollout, reward: Tensor, model: SafeActorCritic, multiplier: float,
                           cfg: PPOLagrangianConfig) -> PPOLagrangianBatch:
    """What a rollout teaches, fixed before the first gradient step. [T, B] → [T·B], or sequences [L, T·B/L]"""
    dist, value, cost_value = model(rollout.all_obs(), rollout.memory[:1], rollout.all_start())
    alive = 1 - rollout.terminated.float()
    discount = cfg.gamma * alive
    trace = cfg.gamma * cfg.gae_lambda * alive * (1 - rollout.truncated.float())
    gain = gae(reward, value[:-1], value[1:], discount, trace)
    harm = gae(rollout.extra["cost"], cost_value[:-1], cost_value[1:], discount, trace)
    padded = torch.cat([rollout.action, rollout.action[-1:]])  # the distribution has one row more than the actions
    batch = PPOLagrangianBatch(
        rollout.obs, rollout.action, dist.log_prob(padded)[:-1], gain - multiplier * harm, gain + value[:-1],
        harm + cost_value[:-1], rollout.valid.float(),
        {"start": rollout.start, "memory": rollout.memory} if rollout.memory.shape[-1] else {})
    if not batch.context:
        return batch.flatten()
    cut = batch.map(lambda column: sequences(column, cfg.sequence_length))
    return replace(cut, context={"start": cut.context["start"], "memory": cut.context["memory"][:1]})


def ppo_lagrangian_loss(model: SafeActorCritic, batch: PPOLagrangianBatch, clip: float, cfg: PPOLagrangianConfig,
                        ) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped surrogate of the combined advantage, both critics' errors and the entropy term."""
    dist, value, cost_value = model(batch.obs, **batch.context)
    weight, log_ratio = batch.weight, dist.log_prob(batch.action) - batch.log_prob
    advantage = standardise(batch.advantage, weight)
    policy = weighted_mean(clipped_surrogate(log_ratio.exp(), advantage, clip), weight)
    critic = weighted_mean(value_error(value, batch.target), weight)
    cost_critic = weighted_mean(value_error(cost_value, batch.cost_target), weight)
    entropy = weighted_mean(dist.entropy(), weight)
    loss = policy + cfg.value_coef * (critic + cost_critic) - cfg.entropy_coef * entropy
    metrics = {"loss/policy": policy, "loss/value": critic, "loss/cost_value": cost_critic, "policy/entropy": entropy,
               "policy/kl": weighted_mean(approx_kl(log_ratio), weight),
               "policy/clip_fraction": weighted_mean(((log_ratio.exp() - 1).abs() > clip).float(), weight),
               "value/explained_variance": explained_variance(value, batch.target, weight)}
    return loss, {name: metric.detach() for name, metric in metrics.items()}
