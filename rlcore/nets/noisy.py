"""Linear layers whose weights carry learned noise: exploration that depends on the state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class NoisyLinear(nn.Module):
    """y = (μ_w + σ_w ⊙ ε_w)·x + μ_b + σ_b ⊙ ε_b,  ε_w = f(ε_out) f(ε_in)ᵀ,  ε_b = f(ε_out),  f(x) = sign(x)·√|x|.

    Fortunato et al. 2018, arXiv:1706.10295, eq. 9–11, factorised noise. The noise is 0 until the first `redraw`, and
    then the same for every row of a batch until the next.
    """

    noise_in: Tensor
    noise_out: Tensor

    def __init__(self, in_dim: int, out_dim: int, sigma: float = 0.5):
        super().__init__()
        bound = 1 / math.sqrt(in_dim)  # paper, §3.2
        self.weight = nn.Parameter(torch.empty(out_dim, in_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_dim).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((out_dim, in_dim), sigma * bound))
        self.bias_sigma = nn.Parameter(torch.full((out_dim,), sigma * bound))
        self.register_buffer("noise_in", torch.zeros(in_dim))
        self.register_buffer("noise_out", torch.zeros(out_dim))
        self.noisy = True

    def effective(self) -> tuple[Tensor, Tensor]:
        """The weight and bias that the layer applies now. [out, in], [out]"""
        if not self.noisy:
            return self.weight, self.bias
        weight = torch.addcmul(self.weight, self.weight_sigma, torch.outer(self.noise_out, self.noise_in))
        return weight, torch.addcmul(self.bias, self.bias_sigma, self.noise_out)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]"""
        return functional.linear(x, *self.effective())

    @torch.no_grad()
    def redraw(self, generator: torch.Generator) -> None:
        """New noise, from a generator on any device."""
        num_in, num_out = len(self.noise_in), len(self.noise_out)
        normal = torch.randn(num_in + num_out, generator=generator, device=generator.device)
        factor = normal.sign() * normal.abs().sqrt()
        self.noise_in.copy_(factor[:num_in])
        self.noise_out.copy_(factor[num_in:])


def redraw(net: nn.Module, generator: torch.Generator) -> None:
    """New noise for every noisy layer of a network."""
    for layer in net.modules():
        if isinstance(layer, NoisyLinear):
            layer.redraw(generator)


@contextmanager
def mean_only(net: nn.Module) -> Iterator[None]:
    """Inside, the noisy layers of a network apply μ alone, as when an agent is judged."""
    layers = [layer for layer in net.modules() if isinstance(layer, NoisyLinear)]
    before = [layer.noisy for layer in layers]
    try:
        for layer in layers:
            layer.noisy = False
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.noisy = was


class ActingNoise:
    """One network's noise for acting: the same numbers give the same noise, whatever the layers held before."""

    def __init__(self, net: nn.Module, seed: int):
        self.layers, self.seed = [layer for layer in net.modules() if isinstance(layer, NoisyLinear)], seed
        self.number, self.factors = -1, [(layer.noise_in.clone(), layer.noise_out.clone()) for layer in self.layers]

    @torch.no_grad()
    def use(self, number: int | None) -> None:
        """Put noise number so-and-so into the layers; None: no noise, so that they apply μ alone."""
        if number is None:
            for layer in self.layers:
                layer.noise_out.zero_()  # ε_w and ε_b are products with it
            return
        if number != self.number:
            seed = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(seed[0]))
            for layer in self.layers:
                layer.redraw(generator)
            self.number = number
            self.factors = [(layer.noise_in.clone(), layer.noise_out.clone()) for layer in self.layers]
            return
        for layer, (noise_in, noise_out) in zip(self.layers, self.factors, strict=True):
            layer.noise_in.copy_(noise_in)
            layer.noise_out.copy_(noise_out)
