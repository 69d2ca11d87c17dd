"""From observations to the value of each action, as a number or as a distribution, and from values to an action."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.data.batch import Obs
from rlcore.nets.acting import Forward, numpy_forward
from rlcore.nets.encoders import ACTIVATIONS, mlp
from rlcore.nets.fused import Fused, Precision, fuse
from rlcore.nets.noisy import NoisyLinear
from rlcore.spaces import MASK, legal_choice, legal_choices

Linear = Callable[[int, int], nn.Module]  # nn.Linear, or NoisyLinear


def dueling(value: Tensor, advantage: Tensor, action_axis: int = -1) -> Tensor:
    """Q(s, a) = V(s) + A(s, a) − mean_b A(s, b).  Wang et al. 2016, arXiv:1511.06581, eq. 9.

    [..., 1], [..., A] → [..., A], or [..., 1, K], [..., A, K] → [..., A, K] with action_axis −2.
    """
    return value + advantage - advantage.mean(action_axis, keepdim=True)


def _stream(sizes: Sequence[int], linear: Linear, activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, following in pairwise(sizes):
        layers += [linear(width, following), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class ActionValues(nn.Module):
    """One stream. [..., in] → [..., A], or [..., A, K] where each action has K atoms or quantiles."""

    def __init__(self, in_dim: int, num_actions: int, hidden: Sequence[int] = (), atoms: int | None = None,
                 linear: Linear = nn.Linear, activation: str = "relu", precision: Precision = "float32"):
        super().__init__()
        self.shape = (num_actions,) if atoms is None else (num_actions, atoms)
        self.stream = _stream((in_dim, *hidden, num_actions * (atoms or 1)), linear, activation)
        self.fused = Fused(self.stream, precision) if linear is nn.Linear else None

    def forward(self, features: Tensor) -> Tensor:
        """[..., in] → [..., A] or [..., A, K]"""
        out: Tensor = self.stream(features) if self.fused is None else self.fused(features)
        return out if len(self.shape) == 1 else out.reshape(*out.shape[:-1], *self.shape)


class Dueling(nn.Module):
    """A stream for the state's value and one for the actions' advantages, combined per atom.

    [..., in] → [..., A], or [..., A, K] where each action has K atoms (logits) or quantiles.
    Wang et al. 2016, arXiv:1511.06581, §3; over atoms as in Hessel et al. 2018, arXiv:1710.02298, "Rainbow".
    """

    def __init__(self, in_dim: int, num_actions: int, hidden: Sequence[int] = (), atoms: int | None = None,
                 linear: Linear = nn.Linear, activation: str = "relu", precision: Precision = "float32"):
        super().__init__()
        self.value = ActionValues(in_dim, 1, hidden, atoms, linear, activation, precision)
        self.advantage = ActionValues(in_dim, num_actions, hidden, atoms, linear, activation, precision)
        self.action_axis = -1 if atoms is None else -2

    def forward(self, features: Tensor) -> Tensor:
        """[..., in] → [..., A] or [..., A, K]"""
        return dueling(self.value(features), self.advantage(features), self.action_axis)


class QNetwork(nn.Module):
    """The value of every action, or its K atoms or quantiles. [N, *obs] → [N, A] or [N, A, K]

    A dueling or noisy network splits, or gets its noise, behind all hidden layers but the last, as the papers do it
    behind their convolutions.
    """

    def __init__(self, encoder: Any, num_actions: int, hidden: Sequence[int], *, activation: str = "relu",
                 atoms: int | None = None, split: bool = False, noisy: bool = False,
                 precision: Precision = "float32"):
        super().__init__()
        self.encoder, width = encoder, int(encoder.out_dim)
        self.body: nn.Sequential | None = None
        if (split or noisy) and len(hidden) > 1:
            self.body = mlp((width, *hidden[:-1]), activation)
            self.fused, self.bend = Fused(self.body, precision), ACTIVATIONS[activation]()
            width, hidden = hidden[-2], hidden[-1:]
        make = Dueling if split else ActionValues
        self.head = make(width, num_actions, hidden, atoms, NoisyLinear if noisy else nn.Linear, activation, precision)

    def forward(self, obs: Obs) -> Tensor:
        """[N, *obs] → [N, A] or [N, A, K]"""
        features = self.encoder(obs)
        if self.body is not None:
            features = self.bend(self.fused(features))
        out: Tensor = self.head(features)
        return out


def numpy_values(net: QNetwork, device: torch.device) -> Forward:
    """The network for acting. [B, *obs] → [B, A] or [B, A, K], without torch where it is a plain MLP."""
    head = net.head
    if not isinstance(head, ActionValues) or head.fused is None:
        return numpy_forward(net, device)
    forward = numpy_forward(nn.Sequential(net.encoder, head.stream), device)
    if len(head.shape) == 1:
        return forward
    return lambda obs: forward(obs).reshape(-1, *head.shape)


class ImplicitQuantiles(nn.Module):
    """The quantile of every action's return at any fraction τ: Z_τ(s, a) ≈ f(ψ(s) ⊙ φ(τ))_a.

    φ_j(τ) = relu(Σ_{i=0}^{n−1} cos(πiτ)·w_ij + b_j).  Dabney et al. 2018, arXiv:1806.06923, eq. 4. ψ is the encoder
    and the first hidden layer: a vector observation itself would be too narrow to carry φ.
    """

    frequency: Tensor

    def __init__(self, encoder: Any, num_actions: int, hidden: Sequence[int], num_cosines: int,
                 precision: Precision = "float32"):
        super().__init__()
        self.encoder = encoder
        self.first = nn.Sequential(nn.Linear(encoder.out_dim, hidden[0]))
        self.embed = nn.Sequential(nn.Linear(num_cosines, hidden[0]))
        self.rest = mlp((*hidden, num_actions), "relu")
        self.fused = [fuse(net, precision) for net in (self.first, self.embed, self.rest)]
        self.register_buffer("frequency", math.pi * torch.arange(num_cosines), persistent=False)

    def forward(self, obs: Obs, fraction: Tensor) -> Tensor:
        """[N, *obs], τ [N, Q], or [1, Q] where all rows share them → [N, A, Q]"""
        first, embed, rest = self.fused
        state = first(self.encoder(obs)).relu()
        phi = embed((fraction.unsqueeze(-1) * self.frequency).cos()).relu()
        return rest(state.unsqueeze(-2) * phi).transpose(-1, -2)


def legal_among(obs: Obs) -> Tensor | None:
    """Which choices the observation's mask, if it has one, allows; all where it allows none. [..., A] bool"""
    if not isinstance(obs, dict) or MASK not in obs:
        return None
    mask = obs[MASK].bool()
    return mask | ~mask.any(-1, keepdim=True)


def legal_values(value: Tensor, obs: Obs) -> Tensor:
    """Q(s, a) where a is legal; far below all others elsewhere.

    A row without any legal action, such as an episode's last observation, keeps its values. [N, A] → [N, A]
    """
    legal = legal_among(obs)
    return value if legal is None else value.masked_fill(~legal, torch.finfo(value.dtype).min)


def epsilon_greedy(value: Array, lot: Array | None, mask: Array | None = None) -> Array:
    """The legal action of highest value; where lot ≥ 0, the one at that share of all legal ones in order.

    value [B, A], lot [B] below 1 (negative: not drawn), mask [B, A] bool (none legal: all are) → [B] int64
    """
    if mask is None:
        best: Array = value.argmax(-1)
        return best if lot is None else np.where(lot < 0, best, (lot * value.shape[-1]).astype(np.int64))
    best = np.where(legal_choices(mask), value, -np.inf).argmax(-1)
    return best if lot is None else np.where(lot < 0, best, legal_choice(lot, mask))


def epsilon_lots(rng: np.random.Generator, horizon: int, epsilon: float) -> Array:
    """What `epsilon_greedy` needs: with probability ε a uniform number, otherwise −1. → [T]"""
    return np.where(rng.random(horizon) < epsilon, rng.random(horizon), -1.0)


def numpy_mean(logits: Array, atoms: Array) -> Array:
    """Σ_i softmax(logits)_i·z_i, for acting. [B, A, K], [K] → [B, A]"""
    mass = np.exp(logits - logits.max(-1, keepdims=True))
    mean: Array = mass @ atoms / mass.sum(-1)
    return mean
