"""Action distributions: small value objects, event dimensions already summed.

`draw` is the acting side: NumPy in, NumPy out, from the agent's own generator, because one environment step of a
small network costs less than one call into torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rlcore.arrays import Array

_LOG_2PI = math.log(2 * math.pi)


class Categorical:
    """Distribution over A choices. logits [..., A], normalised once on construction."""

    def __init__(self, logits: Tensor):
        self.log_probs = logits.log_softmax(-1)

    def mode(self) -> Tensor:
        """[...]"""
        return self.log_probs.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """[...] → [...]"""
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """In nats. [...]"""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)

    @staticmethod
    def draw(logits: Array, rng: np.random.Generator) -> Array:
        """A sample per row by the Gumbel-max trick. [B, A] → [B] int64"""
        choice: Array = (logits + rng.gumbel(size=logits.shape)).argmax(-1)
        return choice


@dataclass(frozen=True)
class Gaussian:
    """Diagonal normal. mean [..., D], log_std broadcastable to it."""

    mean: Tensor
    log_std: Tensor

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

    @staticmethod
    def draw(mean: Array, std: Array, rng: np.random.Generator) -> Array:
        """A sample per row. [B, D], [D] or [B, D] → [B, D] float32"""
        sample: Array = mean + std * rng.standard_normal(mean.shape, dtype=np.float32)
        return sample


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
