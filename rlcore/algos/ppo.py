"""Proximal policy optimisation. Schulman et al. 2017, arXiv:1707.06347.

One update: fix the advantages of a rollout, then descend the clipped-ratio loss over it `epochs` times in shuffled
minibatches. Departs from OpenAI baselines: the value loss is not clipped. Log-probabilities and values of the
rollout are taken in one pass after it: the policy did not change meanwhile, and acting gets cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch
from rlcore.data.rollout import Rollout
from rlcore.nets.dists import Categorical, Gaussian
from rlcore.nets.encoders import RunningNorm, mlp
from rlcore.nets.optim import adam, descend, flatten, set_learning_rate
from rlcore.ops.policy import approx_kl, clipped_surrogate, explained_variance, standardise, weighted_mean
from rlcore.ops.returns import discounted, gae
from rlcore.ops.running import merge_moments
from rlcore.protocols import Metrics
from rlcore.schedule import Decay, scheduled
from rlcore.spaces import require_actions, require_vector_obs
from rlcore.speed import numpy_forward


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
    value_coef: float = setting(0.5, "weight of the value loss", low=0)
    entropy_coef: float = setting(0.0, "weight of the entropy bonus, per nat", low=0)
    max_grad_norm: float = setting(0.5, "gradients are scaled down to this norm", low=0)
    target_kl: float | None = setting(None, "stop an update's epochs beyond this KL divergence", low=0, unit="nats")
    hidden: tuple[int, ...] = setting((64, 64), "widths of the hidden layers, of policy and value network alike")
    activation: Literal["tanh", "relu"] = setting("tanh", "nonlinearity between layers")
    log_std: float = setting(0.0, "initial log standard deviation of continuous actions, of half a range",
                             low=-5, high=2)
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")

    @property
    def batch_size(self) -> int:
        """Env steps per update."""
        return self.num_envs * self.horizon

    def __post_init__(self) -> None:
        check_ranges(self)
        most = min(self.num_minibatches, self.batch_size)
        close = next(n for n in range(most, 0, -1) if self.batch_size % n == 0)
        require(close == self.num_minibatches, self, "num_minibatches",
                f"divide the rollout of {self.batch_size} steps (num_envs × horizon)", f"Try {close}.")


class ActorCritic(nn.Module):
    """A policy and a value network that share nothing but the observation's normalisation."""

    def __init__(self, obs_dim: int, num_actions: int, discrete: bool, cfg: PPOConfig):
        super().__init__()
        self.norm = RunningNorm((obs_dim,)) if cfg.normalize_obs else None
        self.actor = mlp((obs_dim, *cfg.hidden, num_actions), cfg.activation, out_gain=0.01)
        self.critic = mlp((obs_dim, *cfg.hidden, 1), cfg.activation, out_gain=1.0)
        self.log_std = None if discrete else nn.Parameter(torch.full((num_actions,), cfg.log_std))

    def forward(self, obs: Tensor) -> tuple[Categorical | Gaussian, Tensor]:
        """[..., obs_dim] → the action distribution and V(s) [...]"""
        if self.norm is not None:
            obs = self.norm(obs)
        out, value = self.actor(obs), self.critic(obs).squeeze(-1)
        return (Categorical(out) if self.log_std is None else Gaussian(out, self.log_std)), value

    def policy(self) -> nn.Sequential:
        """The acting half alone. [B, obs_dim] → [B, A]"""
        return self.actor if self.norm is None else nn.Sequential(self.norm, *self.actor)


@dataclass(frozen=True)
class PPOBatch(Batch):
    """What the loss reads. All [N, …]; weight 0 marks dummy rows."""

    obs: Tensor
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    target: Tensor
    weight: Tensor


class PPO:
    """The agent: networks, optimiser and one round of learning."""

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: PPOConfig, *,
                 seed: int = 0, device: str = "cpu"):
        obs_dim = require_vector_obs("PPO", obs_space)
        self.actions = require_actions("PPO", action_space, {"discrete", "continuous"}, instead="")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        self.model = ActorCritic(obs_dim, self.actions.size, self.actions.kind == "discrete", cfg).to(self.device)
        self.params = flatten(self.model)
        self.optimizer = adam(self.params, cfg.learning_rate, eps=1e-5)
        self.forward = numpy_forward(self.model.policy(), self.device)
        self.returns = RewardScale(cfg.num_envs, cfg.gamma) if cfg.normalize_reward else None

    def act(self, obs: Array, step: int | None = None) -> Array:
        """A sample of the policy while training, its mode when judged (step None). [B, obs_dim] → [B, …]"""
        out = self.forward(obs)
        if self.model.log_std is None:
            return out.argmax(-1) if step is None else Categorical.draw(out, self.rng)
        return out if step is None else Gaussian.draw(out, self.model.log_std.detach().exp().cpu().numpy(), self.rng)

    def update(self, rollout: Rollout, progress: float) -> Metrics:
        """Learn from one rollout. progress in [0, 1] drives the learning rate."""
        cfg = self.cfg
        set_learning_rate(self.optimizer, scheduled(cfg.learning_rate, cfg.learning_rate_decay, progress))
        rollout = rollout.to(self.device)
        reward = rollout.reward if self.returns is None else self.returns.scale(rollout)
        batch = ppo_targets(rollout, reward, self.model, cfg)
        metrics = self._descend_epochs(batch)
        if self.model.norm is not None:  # only now: act, targets and loss saw the same statistics
            self.model.norm.learn(rollout.obs.flatten(0, 1))
        return metrics

    def _descend_epochs(self, batch: PPOBatch) -> Metrics:
        rows, cfg = len(batch.weight), self.cfg
        for _ in range(cfg.epochs):
            shuffled = batch[torch.randperm(rows, device=self.device)]
            for start in range(0, rows, rows // cfg.num_minibatches):
                part = shuffled[start:start + rows // cfg.num_minibatches]
                norm = descend(ppo_loss(self.model, part, cfg), self.optimizer, cfg.max_grad_norm)
            if cfg.target_kl is not None and ppo_metrics(self.model, part, cfg)["policy/kl"] > cfg.target_kl:
                break
        return ppo_metrics(self.model, part, cfg) | {"loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, statistics and generator."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                "rng": self.rng.bit_generator.state,
                "returns": None if self.returns is None else self.returns.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        if self.returns is not None:
            self.returns.load_state_dict(state["returns"])


class RewardScale:
    """Divides rewards by the running deviation of the discounted return. Engstrom et al. 2020, arXiv:2005.12729, §3."""

    def __init__(self, num_envs: int, gamma: float):
        self.gamma, self.carry, self.fresh = gamma, torch.zeros(num_envs), torch.zeros(num_envs, dtype=torch.bool)
        self.mean, self.var, self.count = torch.zeros(()), torch.ones(()), torch.tensor(1e-4)

    def scale(self, rollout: Rollout) -> Tensor:
        """Rewards in units of the return's deviation, after taking this rollout into account. [T, B]"""
        done = (rollout.terminated | rollout.truncated).cpu()
        starts = torch.cat([self.fresh[None], done[:-1]])
        returns = discounted(rollout.reward.cpu(), self.gamma * ~starts, self.carry)
        self.carry, self.fresh = returns[-1], done[-1]
        self.mean, self.var, self.count = merge_moments(
            self.mean, self.var, self.count, returns[rollout.valid.cpu()])
        return (rollout.reward / (self.var + 1e-8).sqrt().to(rollout.reward.device)).clamp(-10, 10)

    def state_dict(self) -> dict[str, Any]:
        """The return under way and its statistics."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        vars(self).update(state)


@torch.no_grad()
def ppo_targets(rollout: Rollout, reward: Tensor, model: ActorCritic, cfg: PPOConfig) -> PPOBatch:
    """What a rollout teaches, fixed before the first gradient step. [T, B] → [T·B]"""
    dist, value = model(rollout.all_obs())
    alive = 1 - rollout.terminated.float()
    unbroken = alive * (1 - rollout.truncated.float())
    advantage = gae(reward, value[:-1], value[1:], discount=cfg.gamma * alive,
                    trace=cfg.gamma * cfg.gae_lambda * unbroken)
    padded = torch.cat([rollout.action, rollout.action[-1:]])  # the distribution has one row more than the actions
    batch = PPOBatch(rollout.obs, rollout.action, dist.log_prob(padded)[:-1], advantage,
                     target=advantage + value[:-1], weight=rollout.valid.float())
    return batch.flatten()


def ppo_loss(model: ActorCritic, batch: PPOBatch, cfg: PPOConfig) -> Tensor:
    """The clipped surrogate with value and entropy terms. Schulman et al. 2017, eq. 9."""
    dist, value = model(batch.obs)
    ratio = (dist.log_prob(batch.action) - batch.log_prob).exp()
    advantage = standardise(batch.advantage, batch.weight)
    policy = weighted_mean(clipped_surrogate(ratio, advantage, cfg.clip), batch.weight)
    critic = weighted_mean(0.5 * (value - batch.target).square(), batch.weight)
    loss = policy + cfg.value_coef * critic
    if cfg.entropy_coef:
        loss = loss - cfg.entropy_coef * weighted_mean(dist.entropy(), batch.weight)
    return loss


@torch.no_grad()
def ppo_metrics(model: ActorCritic, batch: PPOBatch, cfg: PPOConfig) -> dict[str, Tensor]:
    """What a person watching the run wants to see, on one minibatch."""
    dist, value = model(batch.obs)
    log_ratio = dist.log_prob(batch.action) - batch.log_prob
    ratio, advantage = log_ratio.exp(), standardise(batch.advantage, batch.weight)
    rows = {
        "loss/policy": clipped_surrogate(ratio, advantage, cfg.clip),
        "loss/value": 0.5 * (value - batch.target).square(),
        "policy/entropy": dist.entropy(),
        "policy/kl": approx_kl(log_ratio),
        "policy/clip_fraction": ((ratio - 1).abs() > cfg.clip).float(),
    }
    means = {name: weighted_mean(row, batch.weight) for name, row in rows.items()}
    return means | {"value/explained_variance": explained_variance(value, batch.target, batch.weight)}
