"""Proximal policy optimisation. Schulman et al. 2017, arXiv:1707.06347.

One update: fix the advantages of a rollout, then descend the clipped-ratio loss over it `epochs` times in shuffled
minibatches. Departs from OpenAI baselines: the value loss is clipped only if asked. Log-probabilities and values of
the rollout are taken in one pass after it: the policy did not change meanwhile, and acting gets cheaper. With a
recurrent core, minibatches hold whole sequences, each begun with the memory that acting had there.

Options: the paper's KL penalty with an adapted coefficient in place of the clip, its KL estimated by sample; the
dual clip of Ye et al. 2020; values in standard units, if asked with Pop-Art (van Hasselt et al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlcore.arrays import Array
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.rollout import Rollout, sequences
from rlcore.data.scale import reward_scale
from rlcore.fast.ppo import PPOCoefs, PPOEpochs
from rlcore.nets.actor_critic import Acting, ActorCritic, Core, ValueNormalisation
from rlcore.nets.fused import Precision
from rlcore.nets.optim import adam, descend, flatten, set_learning_rate
from rlcore.ops.policy import (
    adapted_kl_coef,
    approx_kl,
    clipped_surrogate,
    clipped_value_error,
    dual_clip,
    explained_variance,
    standardise,
    value_error,
    weighted_mean,
)
from rlcore.ops.returns import gae
from rlcore.protocols import Metrics
from rlcore.schedule import Decay, scheduled
from rlcore.spaces import Actions


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Settings of PPO; defaults follow the paper's Atari and MuJoCo tables where they agree."""

    num_envs: int = setting(8, "parallel environments", low=1, high=100_000)
    horizon: int = setting(128, "steps of each environment per update", low=2, high=1_000_000, unit="env steps")
    epochs: int = setting(4, "passes over each rollout", low=1)
    num_minibatches: int = setting(4, "gradient steps per pass; divides num_envs × horizon", low=1, high=1_000_000)
    learning_rate: float = setting(1e-3, "Adam's step size", low=0, high=1)
    learning_rate_decay: Decay = setting("constant", "how the learning rate changes over the run")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    gae_lambda: float = setting(0.95, "advantage estimation: 0 trusts the critic, 1 the returns", low=0, high=1)
    clip: float = setting(0.2, "how far the probability ratio may pay, ε", low=0, high=10)
    clip_decay: Decay = setting("constant", "how ε changes over the run")
    dual_clip: float | None = setting(None, "bound on what a bad action's ratio may cost, c; the paper uses 3", low=1)
    surrogate: Literal["clip", "kl_penalty"] = setting("clip", "what holds the policy near the old one")
    kl_coef: float = setting(1.0, "first coefficient of the KL penalty, β; adapted after every update", low=0)
    kl_goal: float = setting(0.01, "KL divergence per update that β is adapted to", low=1e-8, unit="nats")
    normalize_advantage: bool = setting(True, "standardise advantages within each minibatch")
    value_coef: float = setting(0.5, "weight of the value loss", low=0)
    value_clip: float | None = setting(None, "how far a value may profit from moving per update, in the critic's units",
                                       low=0)
    normalize_value: ValueNormalisation = setting("off", "the critic predicts in standard units of its targets; popart "
                                                  "keeps its predictions while the units change")
    entropy_coef: float = setting(0.0, "weight of the entropy bonus, per nat", low=0)
    max_grad_norm: float = setting(0.5, "gradients are scaled down to this norm", low=0)
    target_kl: float | None = setting(None, "stop an update's epochs beyond this KL divergence", low=0, unit="nats")
    hidden: tuple[int, ...] = setting((64, 64), "widths of the hidden layers, of policy and value network alike")
    activation: Literal["tanh", "relu"] = setting("tanh", "nonlinearity between layers")
    shared: bool = setting(False, "policy and value network share their hidden layers; usual for pixels")
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
    def batch_size(self) -> int:
        """Env steps per update."""
        return self.num_envs * self.horizon

    @property
    def batch_rows(self) -> int:
        """What an update shuffles: single steps, or sequences for a recurrent core."""
        return self.batch_size if self.core == "none" else self.batch_size // self.sequence_length

    @property
    def is_plain(self) -> bool:
        """Whether the loss is eq. 9 with standardised advantages, without this file's options."""
        return (self.surrogate == "clip" and self.dual_clip is None and self.value_clip is None
                and self.normalize_value == "off" and self.normalize_advantage)

    def __post_init__(self) -> None:
        check_ranges(self)
        plain = self.core == "none"
        if not plain:
            close = _divisor(self.horizon, self.sequence_length)
            require(close == self.sequence_length, self, "sequence_length", f"divide horizon={self.horizon}",
                    f"Try {close}.")
        close = _divisor(self.batch_rows, self.num_minibatches)
        what = f"{'steps' if plain else 'sequences'} (num_envs × horizon{'' if plain else ' / sequence_length'})"
        require(close == self.num_minibatches, self, "num_minibatches",
                f"divide the rollout of {self.batch_rows} {what}", f"Try {close}.")
        require(not self.normalize_advantage or self.batch_size >= 2 * self.num_minibatches, self, "num_minibatches",
                "leave two steps for each minibatch, because the advantage of one, standardised, is 0",
                f"Try {_divisor(self.batch_rows, self.batch_size // 2)}.")
        require(self.dual_clip is None or self.surrogate == "clip", self, "dual_clip",
                "be unset with surrogate='kl_penalty', which clips nothing")
        require(self.value_clip is None or self.normalize_value != "running", self, "value_clip",
                "be unset with normalize_value='running', whose predictions move with its units.", "Try popart.")


def _divisor(number: int, wish: int) -> int:
    """The largest divisor of a number that is not above the wish."""
    return next(n for n in range(min(wish, number), 0, -1) if number % n == 0)


@dataclass(frozen=True)
class PPOBatch(Batch):
    """What the loss reads. All [N, …], or with a recurrent core [L, N, …]; weight 0 marks dummy rows.

    context: with a core, "start" [L, N] and "memory" [1, N, M] before the first step; otherwise empty.
    """

    obs: Obs
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    target: Tensor
    weight: Tensor
    context: dict[str, Tensor]


class PPO:
    """The agent: networks, optimiser and one round of learning."""

    extras = ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: PPOConfig, *,
                 seed: int = 0, device: str = "cpu"):  # noqa: ARG002  # torch's own generator shuffles
        self.cfg, self.device, self.actions = cfg, torch.device(device), Actions(action_space)
        self.model = ActorCritic(
            "PPO", obs_space, self.actions, hidden=cfg.hidden, activation=cfg.activation, shared=cfg.shared,
            core=cfg.core, core_size=cfg.core_size, normalize_obs=cfg.normalize_obs,
            normalize_value=cfg.normalize_value, log_std=cfg.log_std, precision=cfg.precision,
        ).to(self.device)
        self.params = flatten(self.model)
        self.optimizer = adam(self.params, cfg.learning_rate, eps=1e-5)
        self.acting, self.policy = self.model, Acting(self.model, self.device)
        self.memory_size = self.model.memory_size
        self.quick = PPOEpochs.of(self.model, self.params, self.optimizer) if cfg.is_plain else None
        self.returns = reward_scale(cfg)
        self.kl_coef = cfg.kl_coef if cfg.surrogate == "kl_penalty" else 0.0

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # the policy explores by itself
        """What one environment needs to sample T actions. → [T, n]"""
        return self.policy.noise(rng, horizon)

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """A sample of the policy while training, its mode when judged (no noise). [B, *obs] → [B, …]"""
        return self.policy(obs, memory, noise)

    @torch.no_grad()
    def log_prob(self, rollout: Rollout) -> Tensor:
        """Of the rollout's actions, for a learner that will be newer than this policy. [T, B]"""
        dist, _ = self.model(rollout.obs, rollout.memory[:1], rollout.start)
        log_prob: Tensor = dist.log_prob(rollout.action)
        return log_prob

    def update(self, rollout: Rollout, progress: float) -> Metrics:
        """Learn from one rollout. progress in [0, 1] drives learning rate and clip range."""
        cfg = self.cfg
        set_learning_rate(self.optimizer, scheduled(cfg.learning_rate, cfg.learning_rate_decay, progress))
        rollout, reward = rollout.to(self.device), rollout.reward
        if self.returns is not None:
            self.returns.learn(rollout)
            reward = self.returns.scale(rollout.reward)
        batch = ppo_targets(rollout, reward.to(self.device), self.model, cfg)
        self.model.learn_value_norm(batch.target, batch.weight)
        metrics = self._descend_epochs(batch, scheduled(cfg.clip, cfg.clip_decay, progress))
        self.model.learn_norm(rollout.obs)
        return metrics

    def _descend_epochs(self, batch: PPOBatch, clip: float) -> Metrics:
        cfg, take = self.cfg, PPOBatch.columns if self.memory_size else PPOBatch.__getitem__
        size = cfg.batch_rows // cfg.num_minibatches
        quick = None if hasattr(self.params, "held") else self.quick
        if quick is not None:
            quick.load(batch.obs, batch.action, batch.log_prob, batch.advantage, batch.target, batch.weight)
        for _ in range(cfg.epochs):
            order = torch.randperm(cfg.batch_rows, device=self.device)
            if quick is not None:
                coefs = PPOCoefs(clip, cfg.value_coef, cfg.entropy_coef, cfg.max_grad_norm)
                norm = torch.tensor(quick(order.numpy(), size, coefs))
            else:
                for rows in order.view(-1, size):
                    loss = ppo_loss(self.model, take(batch, rows), clip, self.kl_coef, cfg)
                    norm = descend(loss, self.optimizer, cfg.max_grad_norm)
            if cfg.target_kl is not None and approx_kl_of(self.model, take(batch, order[-size:])) > cfg.target_kl:
                break
        if quick is not None:
            return quick.metrics(clip) | {"loss/grad_norm": norm}
        if cfg.surrogate == "kl_penalty":
            adapted = adapted_kl_coef(self.kl_coef, float(approx_kl_of(self.model, batch)), cfg.kl_goal)
            self.kl_coef = min(max(adapted, cfg.kl_coef / 1024), cfg.kl_coef * 1024)  # it can come back from there
        return ppo_metrics(self.model, take(batch, order[-size:]), clip, self.kl_coef, cfg) | {"loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser and statistics."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                "kl_coef": self.kl_coef, "returns": None if self.returns is None else self.returns.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.cfg.surrogate == "kl_penalty" and state["kl_coef"]:  # 0: it was not used
            self.kl_coef = state["kl_coef"]
        if self.returns is not None:
            self.returns.load_state_dict(state["returns"])


@torch.no_grad()
def ppo_targets(rollout: Rollout, reward: Tensor, model: ActorCritic, cfg: PPOConfig) -> PPOBatch:
    """What a rollout teaches, fixed before the first gradient step. [T, B] → [T·B], or sequences [L, T·B/L]"""
    dist, value = model(rollout.all_obs(), rollout.memory[:1], rollout.all_start())
    alive = 1 - rollout.terminated.float()
    unbroken = alive * (1 - rollout.truncated.float())
    advantage = gae(reward, value[:-1], value[1:], discount=cfg.gamma * alive,
                    trace=cfg.gamma * cfg.gae_lambda * unbroken)
    padded = torch.cat([rollout.action, rollout.action[-1:]])  # the distribution has one row more than the actions
    log_prob = rollout.extra.get("log_prob")  # of the policy that acted, where it is older than this one
    batch = PPOBatch(rollout.obs, rollout.action, dist.log_prob(padded)[:-1] if log_prob is None else log_prob,
                     advantage, target=advantage + value[:-1], weight=rollout.valid.float(),
                     context={} if model.core is None else {"start": rollout.start, "memory": rollout.memory})
    if model.core is None:
        return batch.flatten()
    cut = batch.map(lambda column: sequences(column, cfg.sequence_length))
    return replace(cut, context={"start": cut.context["start"], "memory": cut.context["memory"][:1]})


def ppo_loss(model: ActorCritic, batch: PPOBatch, clip: float, kl_coef: float, cfg: PPOConfig) -> Tensor:
    """A surrogate with value and entropy terms. Schulman et al. 2017, eq. 9."""
    dist, value = model(batch.obs, **batch.context)
    scale = model.value_scale
    policy = weighted_mean(_surrogate(dist.log_prob(batch.action), batch, clip, kl_coef, cfg), batch.weight)
    critic = weighted_mean(_value_error(value, scale, batch, cfg), batch.weight)
    loss = policy + cfg.value_coef / scale**2 * critic
    if cfg.entropy_coef:
        loss = loss - cfg.entropy_coef * weighted_mean(dist.entropy(), batch.weight)
    return loss


def _surrogate(log_prob: Tensor, batch: PPOBatch, clip: float, kl_coef: float, cfg: PPOConfig) -> Tensor:
    """What the policy descends, per row: eq. 7 of the paper, its dual clip, or eq. 8."""
    log_ratio = log_prob - batch.log_prob
    ratio = log_ratio.exp()
    advantage = standardise(batch.advantage, batch.weight) if cfg.normalize_advantage else batch.advantage
    if cfg.surrogate == "kl_penalty":
        return kl_coef * approx_kl(log_ratio) - ratio * advantage
    if cfg.dual_clip is not None:
        return dual_clip(ratio, advantage, clip, cfg.dual_clip)
    return clipped_surrogate(ratio, advantage, clip)


def _value_error(value: Tensor, scale: Tensor | float, batch: PPOBatch, cfg: PPOConfig) -> Tensor:
    """Half the critic's squared error per row, in squared units of the return."""
    if cfg.value_clip is None:
        return value_error(value, batch.target)
    before = batch.target - batch.advantage  # the rollout's own values
    return clipped_value_error(value, batch.target, before, value.new_tensor(cfg.value_clip) * scale)


@torch.no_grad()
def approx_kl_of(model: ActorCritic, batch: PPOBatch) -> Tensor:
    """How far the policy has moved since the rollout, in nats. scalar"""
    dist, _ = model(batch.obs, **batch.context)
    return weighted_mean(approx_kl(dist.log_prob(batch.action) - batch.log_prob), batch.weight)


@torch.no_grad()
def ppo_metrics(model: ActorCritic, batch: PPOBatch, clip: float, kl_coef: float, cfg: PPOConfig) -> dict[str, Tensor]:
    """What a person watching the run wants to see, on one minibatch."""
    dist, value = model(batch.obs, **batch.context)
    log_prob = dist.log_prob(batch.action)
    log_ratio = log_prob - batch.log_prob
    rows = {
        "loss/policy": _surrogate(log_prob, batch, clip, kl_coef, cfg),
        "loss/value": value_error(value, batch.target),
        "policy/entropy": dist.entropy(),
        "policy/kl": approx_kl(log_ratio),
        "policy/clip_fraction": ((log_ratio.exp() - 1).abs() > clip).float(),
    }
    means = {name: weighted_mean(row, batch.weight) for name, row in rows.items()}
    return means | {"value/explained_variance": explained_variance(value, batch.target, batch.weight)}
