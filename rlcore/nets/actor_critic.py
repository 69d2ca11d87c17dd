"""A policy and a value function over one observation, for the algorithms that learn from rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.data.batch import Obs
from rlcore.nets.acting import numpy_forward, to_torch
from rlcore.nets.cores import core_for, differentiable_twice
from rlcore.nets.dists import Bernoulli, Categorical, Gaussian, MultiCategorical
from rlcore.nets.encoders import ACTIVATIONS, encoder_for, learn_obs, mlp
from rlcore.nets.fused import Precision, fuse
from rlcore.ops.policy import weighted_mean
from rlcore.spaces import MASK, Actions, refuse_idle_mask

Dist = Categorical | MultiCategorical | Bernoulli | Gaussian
Core = Literal["none", "gru", "lstm", "transformer"]
ValueNormalisation = Literal["off", "running", "popart"]


class ValueNorm(nn.Module):
    """V(s) = σ·v + μ: the critic's output v in standard units, by moving moments μ, σ² of its targets.

    One `learn` moves the moments a share max(1/n, β) of the way, n counting the calls: an average at first, then a
    forgetting one, because returns grow while an agent learns.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, share: float = 0.1):
        super().__init__()
        self.share = share
        for name, start in (("mean", 0.0), ("var", 1.0), ("count", 0.0)):
            self.register_buffer(name, torch.tensor(start))

    @property
    def std(self) -> Tensor:
        """σ, kept away from zero for tasks whose targets are all alike. scalar"""
        return self.var.sqrt().clamp_min(1e-3)

    def forward(self, value: Tensor) -> Tensor:
        """v → V. [...]"""
        return value * self.std + self.mean

    @torch.no_grad()
    def learn(self, target: Tensor, weight: Tensor, last: nn.Linear | None = None) -> None:
        """Take targets into the moments; weight 0 marks rows that do not count. [N], [N]

        last: the critic's output layer, rewritten so that V stays what it was for every state:
        w ← (σ/σ')·w,  b ← (σ·b + μ − μ')/σ'.  van Hasselt et al. 2016, arXiv:1602.07714, proposition 1.
        """
        old_std, old_mean = self.std, self.mean.clone()
        self.count += 1
        share = (1 / self.count).clamp_min(self.share)
        centre = weighted_mean(target, weight)
        spread = weighted_mean((target - centre).square(), weight)
        self.var.copy_(torch.lerp(self.var, spread, share) + share * (1 - share) * (centre - self.mean).square())
        self.mean.lerp_(centre, share)
        if last is not None:
            last.weight.mul_(old_std / self.std)
            last.bias.copy_((old_std * last.bias + old_mean - self.mean) / self.std)


class ActorCritic(nn.Module):
    """π(a|s) and V(s).

    The two networks share the encoder of the observation. They share the hidden layers too where `shared` says so, and
    always in front of a recurrent core; a core of `core_size` then feeds both last layers.

    normalize_value: "running" lets the critic predict in standard units of its targets, "popart" also keeps its
    predictions while the units change; see `ValueNorm`.
    precision: of convolutions and of wide products. A recurrent core keeps float32.
    twice_differentiable: for methods that need a gradient of a gradient, which fused networks do not have; their
        products keep float32.
    """

    def __init__(self, algo: str, obs_space: spaces.Space[Any], actions: Actions, *, hidden: Sequence[int],
                 activation: Literal["tanh", "relu"], shared: bool = False, core: Core = "none", core_size: int = 128,
                 normalize_obs: bool = False, normalize_value: ValueNormalisation = "off", log_std: float = 0.0,
                 precision: Precision = "float32", twice_differentiable: bool = False):
        super().__init__()
        refuse_idle_mask(algo, obs_space, actions)
        self.actions, self.activation = actions, activation
        self.precision, self.twice_differentiable = precision, twice_differentiable
        self.masked = isinstance(obs_space, spaces.Dict) and MASK in obs_space.spaces
        self.encoder = encoder_for(algo, obs_space, normalize_obs, precision)
        width = int(self.encoder.out_dim)
        self.body: nn.Sequential | None = None
        if shared or core != "none":
            layers = mlp((width, *hidden), activation, out_gain=2**0.5)
            self.body, self.body_out = nn.Sequential(layers, ACTIVATIONS[activation]()), self.evaluated(layers)
            width, hidden = hidden[-1], ()
        self.core = None if core == "none" else core_for(core, width, core_size)
        width = width if self.core is None else int(self.core.out_dim)
        self.head_sizes = (width, *hidden)
        self.actor = mlp((*self.head_sizes, actions.size), activation, out_gain=0.01)
        self.critic = self.new_critic()
        self.value_norm = None if normalize_value == "off" else ValueNorm()
        self.preserving = normalize_value == "popart"
        continuous = actions.kind == "continuous"
        self.log_std = nn.Parameter(torch.full((actions.size,), log_std)) if continuous else None
        self.actor_out, self.critic_out = self.evaluated(self.actor), self.evaluated(self.critic)

    def new_critic(self) -> nn.Sequential:
        """A value network to stand behind `features`: the one of rewards, or of something else. [..., F] → [..., 1]"""
        return mlp((*self.head_sizes, 1), self.activation, out_gain=1.0)

    def evaluated(self, head: nn.Sequential) -> Callable[[Tensor], Tensor]:
        """The cheapest way to evaluate layers with their gradients."""
        return head.forward if self.twice_differentiable else fuse(head, self.precision)

    @property
    def memory_size(self) -> int:
        """Floats that the core remembers per environment."""
        return 0 if self.core is None else int(self.core.memory_size)

    def forward(self, obs: Obs, memory: Tensor | None = None, start: Tensor | None = None) -> tuple[Dist, Tensor]:
        """[..., *obs] → the action distribution and V(s) [...]

        With a core, time comes first: obs [T, N, *obs], memory [1, N, M] before the first step, start [T, N] where an
        episode begins.
        """
        features, _ = self.features(obs, memory, start)
        return self.dist(self.actor_out(features), obs), self.value(features)

    def value(self, features: Tensor) -> Tensor:
        """V(s) in units of the return. [..., F] → [...]"""
        value = self.critic_out(features).squeeze(-1)
        return value if self.value_norm is None else self.value_norm(value)

    @property
    def value_scale(self) -> Tensor | float:
        """The return's size of one unit of the critic's output."""
        return 1.0 if self.value_norm is None else self.value_norm.std

    def learn_value_norm(self, target: Tensor, weight: Tensor) -> None:
        """Take value targets into the critic's units, before it is regressed on them. [N], [N]"""
        if self.value_norm is not None:
            last = self.critic[-1]
            assert isinstance(last, nn.Linear)
            self.value_norm.learn(target, weight, last if self.preserving else None)

    def policy_parts(self) -> list[nn.Module]:
        """Everything that π depends on, what it shares with V included."""
        parts = [self.encoder, self.body, self.core, self.actor]
        found = [part for part in parts if part is not None]
        return found if self.log_std is None else [*found, nn.ParameterList([self.log_std])]

    def features(self, obs: Obs, memory: Tensor | None, start: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What both heads read, and the memory after it."""
        features = self.encoder(obs)
        if self.body is not None:
            features = self.body[1](self.body_out(features))
        if self.core is not None:
            assert memory is not None
            with differentiable_twice() if self.twice_differentiable else nullcontext():
                features, after = self.core(features, memory[0], start)
            return features, after
        return features, None

    def dist(self, out: Tensor, obs: Obs) -> Dist:
        """The distribution that the actor's outputs stand for. [..., A]"""
        mask = obs[MASK].bool() if self.masked and isinstance(obs, dict) else None
        match self.actions.kind:
            case "discrete":
                return Categorical(out, mask)
            case "multi_discrete":
                return MultiCategorical(out, self.actions.nvec, mask)
            case "multi_binary":
                return Bernoulli(out)
            case "continuous":
                assert self.log_std is not None
                return Gaussian(out, self.log_std)

    def learn_norm(self, obs: Obs) -> None:
        """Take observations [T, B, *obs] into the running statistics. Only after an update: act, targets and loss must
        have seen the same ones.
        """
        learn_obs(obs, self.encoder)


class Acting:
    """The policy of an actor-critic from NumPy to NumPy, its randomness given from outside."""

    def __init__(self, model: ActorCritic, device: torch.device):
        self.model, self.device, self.actions = model, device, model.actions
        layers = [model.encoder, *([] if model.body is None else [model.body]), model.actor]
        self.forward = numpy_forward(nn.Sequential(*layers), device)

    def noise(self, rng: np.random.Generator, horizon: int) -> Array:
        """What one environment needs for T steps. → [T, n]"""
        size = self.actions.size
        match self.actions.kind:
            case "continuous":
                return Gaussian.noise(rng, horizon, size)
            case "multi_binary":
                return Bernoulli.noise(rng, horizon, size)
            case _:
                return Categorical.noise(rng, horizon, size)

    def __call__(self, obs: Any, memory: Array, noise: Array | None) -> tuple[Array, Array]:
        """A sample by the noise [B, n], the mode without. [B, *obs], [B, M] → [B, …], [B, M]"""
        if self.model.core is None:
            out = self.forward(obs)
        else:
            out, memory = self._step(obs, memory)
        return self._choose(out, noise, obs[MASK].astype(bool) if self.model.masked else None), memory

    @torch.no_grad()
    def _step(self, obs: Any, memory: Array) -> tuple[Array, Array]:
        seen = to_torch(obs, self.device)
        row = {name: part[None] for name, part in seen.items()} if isinstance(seen, dict) else seen[None]
        remembered = torch.as_tensor(memory, device=self.device)
        never = torch.zeros(1, len(memory), dtype=torch.bool, device=self.device)  # the sampler forgets at a start
        features, after = self.model.features(row, remembered[None], never)
        assert after is not None
        return self.model.actor(features)[0].cpu().numpy(), after.cpu().numpy()

    def _choose(self, out: Array, noise: Array | None, mask: Array | None) -> Array:
        kind = self.actions.kind
        if kind == "continuous":
            assert self.model.log_std is not None
            return out if noise is None else Gaussian.draw(out, self.model.log_std.detach().exp().cpu().numpy(), noise)
        if kind == "multi_binary":
            return Bernoulli.draw(out, np.full_like(out, 0.5) if noise is None else noise)
        noise = np.zeros_like(out) if noise is None else noise
        if kind == "multi_discrete":
            return MultiCategorical.draw(out, noise, self.actions.nvec, mask)
        return Categorical.draw(out, noise, mask)
