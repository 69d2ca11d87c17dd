"""Action distributions: small value objects, event dimensions already summed.

`draw` is the acting side: NumPy in, NumPy out, because one environment step of a small network costs less than one
call into torch. Its randomness is an argument, drawn beforehand by `noise`, so that acting is a pure function: the
same noise gives the same actions in any process. With gumbel or normal noise 0, or uniform noise ½, it is the mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rlcore.arrays import Array

_LOG_2PI = math.log(2 * math.pi)
_ILLEGAL = -1e9  # finite: 0 · log 0 must be 0 in an entropy, and its gradient too

Size = int | tuple[int, ...]  # of one step's noise: n, or [B, n]


def _steps(horizon: int, size: Size) -> tuple[int, ...]:
    return (horizon, *(size if isinstance(size, tuple) else (size,)))


def _gumbel(rng: np.random.Generator, horizon: int, size: Size) -> Array:
    """−log of an exponential variate, which is a Gumbel variate. [T, n] float32"""
    wait = rng.standard_exponential(_steps(horizon, size), dtype=np.float32)
    noise: Array = -np.log(np.maximum(wait, np.float32(1e-20)))  # zero is rare, and would outbid every mask
    return noise


class Categorical:
    """Distribution over A choices. logits [..., A], normalised once on construction.

    mask [..., A] bool, true where a choice is legal; an illegal one has a log-probability of about −10⁹, and a row
    without any legal choice is uniform over all. Huang & Ontañón 2022, arXiv:2006.14171, §2.
    """

    def __init__(self, logits: Tensor, mask: Tensor | None = None):
        self.log_probs = (logits if mask is None else logits.masked_fill(~mask, _ILLEGAL)).log_softmax(-1)

    def sample(self) -> Tensor:
        """By the Gumbel-max trick: one argmax, no host sync. [...]"""
        wait = torch.empty_like(self.log_probs).exponential_().clamp_min_(1e-20)
        return (self.log_probs.detach() - wait.log()).argmax(-1)

    def mode(self) -> Tensor:
        """[...]"""
        return self.log_probs.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """[...] → [...]"""
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """In nats. [...]"""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)

    def kl(self, other: Categorical) -> Tensor:
        """KL(self ‖ other) = Σ p·(log p − log q), in nats. [...]"""
        return (self.log_probs.exp() * (self.log_probs - other.log_probs)).sum(-1)

    @staticmethod
    def draw(logits: Array, gumbel: Array, mask: Array | None = None) -> Array:
        """A sample per row by the Gumbel-max trick. [B, A], [B, A], [B, A] bool → [B] int64"""
        if mask is not None:
            hopeless = ~mask.any(-1, keepdims=True)  # equal logits, not −10⁹: float32 would lose the noise in it
            logits = np.where(mask, logits, np.where(hopeless, np.float32(0), np.float32(_ILLEGAL)))
        choice: Array = (logits + gumbel).argmax(-1)
        return choice

    @staticmethod
    def noise(rng: np.random.Generator, horizon: int, size: Size) -> Array:
        """Standard Gumbel variates for `draw`. → [T, n] float32"""
        return _gumbel(rng, horizon, size)


class MultiCategorical:
    """K independent choices, the k-th among nvec[k]. logits and mask [..., Σ nvec], segment after segment."""

    def __init__(self, logits: Tensor, nvec: Sequence[int], mask: Tensor | None = None):
        widths = list(nvec)
        masks = [None] * len(widths) if mask is None else torch.split(mask, widths, -1)
        self.parts = [Categorical(*part) for part in zip(torch.split(logits, widths, -1), masks, strict=True)]

    def sample(self) -> Tensor:
        """[..., K] int64"""
        return torch.stack([part.sample() for part in self.parts], -1)

    def mode(self) -> Tensor:
        """[..., K] int64"""
        return torch.stack([part.mode() for part in self.parts], -1)

    def log_prob(self, action: Tensor) -> Tensor:
        """[..., K] → [...]"""
        rows = [part.log_prob(choice) for part, choice in zip(self.parts, action.unbind(-1), strict=True)]
        return torch.stack(rows).sum(0)

    def entropy(self) -> Tensor:
        """In nats. [...]"""
        return torch.stack([part.entropy() for part in self.parts]).sum(0)

    def kl(self, other: MultiCategorical) -> Tensor:
        """KL(self ‖ other), in nats. [...]"""
        rows = [part.kl(theirs) for part, theirs in zip(self.parts, other.parts, strict=True)]
        return torch.stack(rows).sum(0)

    @staticmethod
    def draw(logits: Array, gumbel: Array, nvec: Sequence[int], mask: Array | None = None) -> Array:
        """A sample of each segment per row. [B, Σ nvec] ×2, mask likewise, bool → [B, K] int64"""
        ends = np.cumsum(nvec)
        segments = [slice(end - width, end) for width, end in zip(nvec, ends, strict=True)]
        return np.stack([Categorical.draw(logits[:, at], gumbel[:, at], None if mask is None else mask[:, at])
                         for at in segments], -1)

    @staticmethod
    def noise(rng: np.random.Generator, horizon: int, size: Size) -> Array:
        """Standard Gumbel variates for `draw`. → [T, n] float32"""
        return _gumbel(rng, horizon, size)


@dataclass(frozen=True)
class Bernoulli:
    """n independent coins. logits [..., n] of showing 1."""

    logits: Tensor

    def sample(self) -> Tensor:
        """[..., n] int64, 0 or 1"""
        return (torch.rand_like(self.logits) < self.logits.sigmoid()).long()

    def mode(self) -> Tensor:
        """[..., n] int64, 0 or 1"""
        return (self.logits > 0).long()

    def log_prob(self, action: Tensor) -> Tensor:
        """[..., n] → [...]"""
        return (action * self.logits - functional.softplus(self.logits)).sum(-1)

    def entropy(self) -> Tensor:
        """In nats. [...]"""
        return (functional.softplus(self.logits) - self.logits.sigmoid() * self.logits).sum(-1)

    def kl(self, other: Bernoulli) -> Tensor:
        """KL(self ‖ other), in nats. [...]"""
        gap = self.logits.sigmoid() * (self.logits - other.logits)
        return (gap - functional.softplus(self.logits) + functional.softplus(other.logits)).sum(-1)

    @staticmethod
    def draw(logits: Array, uniform: Array) -> Array:
        """A sample per row. [B, n], [B, n] in [0, 1) → [B, n] int64"""
        share = 0.5 + 0.5 * np.tanh(0.5 * logits)  # the logistic function, in a form that cannot overflow
        return np.asarray(uniform < share, np.int64)

    @staticmethod
    def noise(rng: np.random.Generator, horizon: int, size: Size) -> Array:
        """Uniform variates for `draw`. → [T, n] float32"""
        return rng.random(_steps(horizon, size), dtype=np.float32)


@dataclass(frozen=True)
class Gaussian:
    """Diagonal normal. mean [..., D], log_std broadcastable to it."""

    mean: Tensor
    log_std: Tensor

    def sample(self) -> Tensor:
        """Reparametrised: gradients reach mean and log_std. [..., D]"""
        return torch.addcmul(self.mean, self.log_std.exp(), torch.randn_like(self.mean))

    def mode(self) -> Tensor:
        """[..., D]"""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """[..., D] → [...]"""
        z = (action - self.mean) * (-self.log_std).exp()
        return (-0.5 * (z.square() + _LOG_2PI) - self.log_std).sum(-1)

    def entropy(self) -> Tensor:
        """In nats. [...]"""
        return (0.5 + 0.5 * _LOG_2PI + self.log_std).expand_as(self.mean).sum(-1)

    def kl(self, other: Gaussian) -> Tensor:
        """KL(self ‖ other) = Σ log σ'/σ + (σ² + (μ − μ')²) / 2σ'² − ½, in nats. [...]"""
        widening, shift = other.log_std - self.log_std, (self.mean - other.mean) * (-other.log_std).exp()
        return (widening + 0.5 * ((-2 * widening).exp() + shift.square() - 1)).sum(-1)

    @staticmethod
    def draw(mean: Array, std: Array, normal: Array) -> Array:
        """A sample per row. [B, D], [D] or [B, D], [B, D] → [B, D] float32"""
        sample: Array = mean + std * normal
        return sample

    @staticmethod
    def noise(rng: np.random.Generator, horizon: int, size: Size) -> Array:
        """Standard normal variates for `draw`. → [T, n] float32"""
        return rng.standard_normal(_steps(horizon, size), dtype=np.float32)


@dataclass(frozen=True)
class TanhGaussian:
    """A normal squashed into (−1, 1). Haarnoja et al. 2018, arXiv:1812.05905, appendix C. mean, log_std [..., D]"""

    mean: Tensor
    log_std: Tensor

    def sample_with_log_prob(self) -> tuple[Tensor, Tensor]:
        """A reparametrised sample with its log-density: together, because tanh⁻¹ of a sample is not exact.

        [..., D] and [...]
        """
        noise = torch.randn_like(self.mean)
        raw = torch.addcmul(self.mean, self.log_std.exp(), noise)
        normal = -0.5 * (noise.square() + _LOG_2PI) - self.log_std
        # log(1 − tanh²x) in the form that does not lose its digits for large |x|
        squash = 2 * (math.log(2) - raw - functional.softplus(-2 * raw))
        return raw.tanh(), (normal - squash).sum(-1)

    def mode(self) -> Tensor:
        """tanh of the mean: the usual deterministic action, though not the density's peak. [..., D]"""
        return self.mean.tanh()
