"""Trust region policy optimisation. Schulman et al. 2015, arXiv:1502.05477.

One update: fix the advantages of a rollout; step along the natural gradient of the surrogate, found by conjugate
gradients on Fisher-vector products, as far as the KL divergence allows, shortened until the surrogate has gained and
the divergence holds; then fit the value function. Departs from the paper: advantages come from GAE (Schulman et al.
2016) with a fitted critic instead of whole returns. Layers that policy and critic share (of pixels, of a core) belong
to the policy: the critic is fitted on their features and does not change them, or it would leave the trust region.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import check_ranges, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.actor_critic import Acting, ActorCritic, Core, Dist
from rlcore.nets.dists import Gaussian
from rlcore.nets.fused import Precision, fuse
from rlcore.nets.optim import adam, descend, flatten, set_learning_rate
from rlcore.ops.policy import conjugate_gradient, explained_variance, standardise, value_error, weighted_mean
from rlcore.ops.returns import gae
from rlcore.protocols import Metrics
from rlcore.schedule import Decay, scheduled
from rlcore.spaces import Actions


@dataclass(frozen=True, kw_only=True)
class TRPOConfig:
    """Settings of TRPO; the trust region's size is the paper's (table 2)."""

    num_envs: int = setting(8, "parallel environments", low=1, high=100_000)
    horizon: int = setting(128, "steps of each environment per update", low=2, high=1_000_000, unit="env steps")
    max_kl: float = setting(0.01, "KL divergence that one step may reach, δ", low=1e-8, unit="nats")
    cg_steps: int = setting(10, "conjugate gradient iterations", low=1, high=1000)
    damping: float = setting(0.1, "added to the Fisher matrix's diagonal", low=0)
    line_search_steps: int = setting(10, "step lengths tried before giving up", low=1, high=100)
    line_search_factor: float = setting(0.8, "each of them is this share of the one before", low=0.01, high=0.99)
    learning_rate: float = setting(1e-3, "Adam's step size, of the critic alone", low=0, high=1)
    learning_rate_decay: Decay = setting("constant", "how the learning rate changes over the run")
    value_epochs: int = setting(10, "passes of the critic over each rollout", low=1)
    value_batch_size: int = setting(128, "rows per gradient step of the critic", low=1)
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    gae_lambda: float = setting(0.95, "advantage estimation: 0 trusts the critic, 1 the returns", low=0, high=1)
    hidden: tuple[int, ...] = setting((64, 64), "widths of the hidden layers, of policy and value network alike")
    activation: Literal["tanh", "relu"] = setting("tanh", "nonlinearity between layers")
    core: Core = setting("none", "recurrent core behind the hidden layers, for tasks that need memory")
    core_size: int = setting(128, "width of the recurrent core", low=1)
    log_std: float = setting(0.0, "initial log standard deviation of continuous actions, of half a range",
                             low=-5, high=2)
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    precision: Precision = setting("float32", "of convolutions and of the critic's wide matrix products; bfloat16 is "
                                   "faster on CPUs with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class TRPOBatch(Batch):
    """What the surrogate reads. All [T, B, …]; weight 0 marks dummy rows.

    context: "start" [T, B] and "memory" [1, B, M] before the first step, for a recurrent core.
    """

    obs: Obs
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    target: Tensor
    weight: Tensor
    context: dict[str, Tensor]


class TRPO:
    """The agent: networks, the critic's optimiser and one constrained step per rollout."""

    extras = ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: TRPOConfig, *,
                 seed: int = 0, device: str = "cpu"):  # noqa: ARG002  # torch's own generator shuffles
        self.cfg, self.device, self.actions = cfg, torch.device(device), Actions(action_space)
        self.model = ActorCritic(
            "TRPO", obs_space, self.actions, hidden=cfg.hidden, activation=cfg.activation, core=cfg.core,
            core_size=cfg.core_size, normalize_obs=cfg.normalize_obs, log_std=cfg.log_std, precision=cfg.precision,
            twice_differentiable=True,
        ).to(self.device)
        parts = self.model.policy_parts()
        self.policy_parameters = [param for part in parts for param in part.parameters()]
        self.policy_params, self.critic_params = flatten(*parts), flatten(self.model.critic)
        self.optimizer = adam(self.critic_params, cfg.learning_rate)
        self.value_of = fuse(self.model.critic, cfg.precision)
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
        """One step of the policy and a fit of the critic. progress in [0, 1] drives the critic's learning rate."""
        cfg = self.cfg
        set_learning_rate(self.optimizer, scheduled(cfg.learning_rate, cfg.learning_rate_decay, progress))
        rollout, reward = rollout.to(self.device), rollout.reward
        if self.returns is not None:
            self.returns.learn(rollout)
            reward = self.returns.scale(rollout.reward)
        batch = trpo_targets(rollout, reward.to(self.device), self.model, cfg)
        metrics = self._step_policy(batch) | self._fit_critic(batch)
        self.model.learn_norm(rollout.obs)
        return metrics

    def _step_policy(self, batch: TRPOBatch) -> dict[str, Tensor]:
        cfg, params, start = self.cfg, self.policy_parameters, self.policy_params.detach().clone()
        old, dist = fixed_policy(self.model, batch), policy_of(self.model, batch)
        loss = trpo_loss(dist, batch)
        product = fisher_product(mean_kl(old, dist, batch), params, cfg.damping)
        gradient = flat(torch.autograd.grad(loss, params, retain_graph=True, materialize_grads=True))
        full = trust_region_step(product, gradient, cfg.max_kl, cfg.cg_steps)
        share, kl, after = self._search(start, full, old, loss.detach(), batch)
        entropy = weighted_mean(dist.entropy().detach(), batch.weight)
        return {"loss/policy": after, "policy/kl": kl, "policy/entropy": entropy, "policy/step_share": share}

    @torch.no_grad()
    def _search(self, start: Tensor, full: Tensor, old: Dist, loss: Tensor, batch: TRPOBatch) -> list[Tensor]:
        """The longest step that lowers the loss within the trust region: its share, divergence and loss."""
        cfg = self.cfg
        for attempt in range(cfg.line_search_steps):
            share = cfg.line_search_factor**attempt
            self.policy_params.copy_(start + share * full)
            new = policy_of(self.model, batch)
            kl, after = mean_kl(old, new, batch), trpo_loss(new, batch)
            if (after < loss) & (kl <= cfg.max_kl):  # false for NaN
                return [torch.tensor(share), kl, after]
        self.policy_params.copy_(start)
        return [torch.zeros(()), torch.zeros(()), loss]

    def _fit_critic(self, batch: TRPOBatch) -> dict[str, Tensor]:
        cfg, rows = self.cfg, batch.weight.numel()
        with torch.no_grad():
            seen = self.model.features(batch.obs, **batch.context)[0].reshape(rows, -1)
        target, weight = batch.target.flatten(), batch.weight.flatten()
        for _ in range(cfg.value_epochs):
            for index in torch.split(torch.randperm(rows, device=self.device), cfg.value_batch_size):
                value = self.value_of(seen[index]).squeeze(-1)
                descend(weighted_mean(value_error(value, target[index]), weight[index]), self.optimizer)
        with torch.no_grad():
            value = self.value_of(seen).squeeze(-1)
            return {"loss/value": weighted_mean(value_error(value, target), weight),
                    "value/explained_variance": explained_variance(value, target, weight)}

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
def trpo_targets(rollout: Rollout, reward: Tensor, model: ActorCritic, cfg: TRPOConfig) -> TRPOBatch:
    """What a rollout teaches, fixed before the step; advantages are standardised. [T, B]"""
    dist, value = model(rollout.all_obs(), rollout.memory[:1], rollout.all_start())
    alive = 1 - rollout.terminated.float()
    unbroken = alive * (1 - rollout.truncated.float())
    advantage = gae(reward, value[:-1], value[1:], discount=cfg.gamma * alive,
                    trace=cfg.gamma * cfg.gae_lambda * unbroken)
    weight = rollout.valid.float()
    padded = torch.cat([rollout.action, rollout.action[-1:]])  # the distribution has one row more than the actions
    return TRPOBatch(rollout.obs, rollout.action, dist.log_prob(padded)[:-1], standardise(advantage, weight),
                     advantage + value[:-1], weight, {"start": rollout.start, "memory": rollout.memory[:1]})


def trpo_loss(dist: Dist, batch: TRPOBatch) -> Tensor:
    """−E[ρ·Â], what the trust region's step lowers. Schulman et al. 2015, eq. 14."""
    ratio = (dist.log_prob(batch.action) - batch.log_prob).exp()
    return -weighted_mean(ratio * batch.advantage, batch.weight)


def policy_of(model: ActorCritic, batch: TRPOBatch) -> Dist:
    """π(·|s) of every row. [T, B]"""
    features, _ = model.features(batch.obs, **batch.context)
    return model.dist(model.actor(features), batch.obs)


@torch.no_grad()
def fixed_policy(model: ActorCritic, batch: TRPOBatch) -> Dist:
    """π(·|s) as it is now, which later steps do not change. [T, B]"""
    dist = policy_of(model, batch)
    return Gaussian(dist.mean, dist.log_std.clone()) if isinstance(dist, Gaussian) else dist


def mean_kl(old: Dist, new: Dist, batch: TRPOBatch) -> Tensor:
    """KL(old ‖ new), averaged over the rows that count. scalar"""
    return weighted_mean(old.kl(new), batch.weight)  # type: ignore[arg-type]  # both come from one model


def flat(gradients: Sequence[Tensor]) -> Tensor:
    """Gradients in the order in which `flatten` laid out their parameters; those of images may be strided. → [P]"""
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def fisher_product(kl: Tensor, params: list[nn.Parameter], damping: float) -> Callable[[Tensor], Tensor]:
    """v → (F + damping·I)·v with F the Hessian of the KL divergence, by differentiating ∇KL·v. Appendix C.1."""
    slope = flat(torch.autograd.grad(kl, params, create_graph=True, materialize_grads=True))

    def product(vector: Tensor) -> Tensor:
        curved = torch.autograd.grad(slope.dot(vector), params, retain_graph=True, materialize_grads=True)
        return flat(curved) + damping * vector

    return product


def trust_region_step(product: Callable[[Tensor], Tensor], gradient: Tensor, max_kl: float, cg_steps: int) -> Tensor:
    """√(2δ / sᵀFs)·s with F·s = −g: the step down g whose quadratic estimate of the KL divergence is δ. [P] → [P]"""
    natural = conjugate_gradient(product, -gradient, cg_steps)
    curvature = natural.dot(product(natural))
    return (2 * max_kl / curvature.clamp_min(1e-12)).sqrt() * natural
