"""K networks of one shape evaluated as one batched product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class EnsembleMLP(nn.Module):
    """K independent ReLU MLPs with one output each, or several. [N, sizes[0]] → [K, N] or [K, N, outputs]"""

    def __init__(self, num: int, sizes: Sequence[int], outputs: int = 1):
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for width, following in pairwise((*sizes, outputs)):
            bound = 1 / math.sqrt(width)  # nn.Linear's own initialisation
            self.weights.append(nn.Parameter(torch.empty(num, width, following).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(num, 1, following).uniform_(-bound, bound)))

    def forward(self, x: Tensor, members: Tensor | None = None) -> Tensor:
        """[N, in] → [K, N], or [K, N, outputs] where there are several; of some members [M] int64, M instead of K"""
        last = len(self.weights) - 1
        hidden = x.expand(self.weights[0].shape[0] if members is None else len(members), *x.shape)
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if members is not None:
                weight, bias = weight[members], bias[members]
            hidden = torch.baddbmm(bias, hidden, weight)
            if depth < last:
                hidden = hidden.relu()
        return hidden.squeeze(-1)
