"""Bodies of networks, from observations to features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from rlcore.ops.running import merge_moments

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


def mlp(sizes: Sequence[int], activation: str, out_gain: float | None = None) -> nn.Sequential:
    """Linear layers with an activation between them. [..., sizes[0]] → [..., sizes[-1]]

    out_gain: scale of an orthogonal initialisation of the last layer (√2 for the others), as policy-gradient
    implementations use; None keeps PyTorch's own initialisation.
    """
    layers: list[nn.Module] = []
    for width, following in pairwise(sizes):
        layers += [nn.Linear(width, following), ACTIVATIONS[activation]()]
    net = nn.Sequential(*layers[:-1])
    if out_gain is not None:
        linears = [layer for layer in net if isinstance(layer, nn.Linear)]
        for layer in linears:
            nn.init.orthogonal_(layer.weight, out_gain if layer is linears[-1] else math.sqrt(2))
            nn.init.zeros_(layer.bias)
    return net


class RunningNorm(nn.Module):
    """Centres and scales observations by statistics that only `learn` changes. [..., *shape] → the same."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], limit: float = 10.0):
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("var", torch.ones(shape))
        self.register_buffer("count", torch.tensor(1e-4))

    def forward(self, obs: Tensor) -> Tensor:
        """[..., *shape] → the same, clipped to ±limit standard deviations."""
        return ((obs - self.mean) * (self.var + 1e-8).rsqrt()).clamp(-self.limit, self.limit)

    @torch.no_grad()
    def learn(self, rows: Tensor) -> None:
        """Take new rows into the statistics. [N, *shape]"""
        merged = merge_moments(self.mean, self.var, self.count, rows)
        for old, new in zip((self.mean, self.var, self.count), merged, strict=True):
            old.copy_(new)
