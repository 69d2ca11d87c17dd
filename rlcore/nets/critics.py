"""Estimates of action values for actor-critic methods that learn from memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.data.batch import Obs
from rlcore.nets.encoders import encoder_for, is_plain
from rlcore.nets.ensemble import EnsembleMLP
from rlcore.nets.fused import Fused, Precision


class Critics(nn.Module):
    """K networks over one encoder. `outputs` > 1 gives that many numbers each, quantiles for example."""

    def __init__(self, encoder: Any, action_size: int, hidden: Sequence[int], *, num: int = 2, outputs: int = 1,
                 precision: Precision = "float32"):
        super().__init__()
        self.encoder = encoder
        self.members = EnsembleMLP(num, (encoder.out_dim + action_size, *hidden), outputs)
        self.fused = Fused(self.members, precision)

    def features(self, obs: Obs) -> Tensor:
        """What the networks read of an observation. [N, *obs] → [N, F]"""
        features: Tensor = self.encoder(obs)
        return features

    def forward(self, features: Tensor, action: Tensor) -> Tensor:
        """[N, F], [N, D] → [K, N] or [K, N, outputs]"""
        return self.fused(torch.cat([features, action], -1))

    def judge(self, features: Tensor, action: Tensor) -> Tensor:
        """The same, for an actor's loss: the gradient flows to the action alone."""
        return self.fused.frozen(torch.cat([features, action], -1))

    def judge_first(self, features: Tensor, action: Tensor) -> Tensor:
        """The first network's part of `judge`. [N, F], [N, D] → [N] or [N, outputs]"""
        return self.fused.first(torch.cat([features, action], -1))

    def some(self, features: Tensor, action: Tensor, members: Tensor) -> Tensor:
        """The values of some of the networks. members [M] int64 → [M, N] or [M, N, outputs]"""
        values: Tensor = self.members(torch.cat([features, action], -1), members)
        return values

    def choices(self, features: Tensor) -> Tensor:
        """The value of each of several choices, from networks that take no action in. [N, F] → [K, N, outputs]"""
        return self.fused(features).view(len(self.members.weights[0]), len(features), -1)


def critics_with_copy(algo: str, space: spaces.Space[Any], action_size: int, hidden: Sequence[int], *, num: int = 2,
                      outputs: int = 1, normalize: bool = False, precision: Precision = "float32",
                      device: torch.device) -> tuple[Critics, Critics]:
    """Critics and an equal copy to lag behind them. An encoder without parameters is one and the same in both.

    Raises:
        ShapeError: no encoder reads this observation space.
    """
    encoder = encoder_for(algo, space, normalize, precision)
    behind = encoder if is_plain(space) else encoder_for(algo, space, normalize, precision)
    critics, copy = (Critics(part, action_size, hidden, num=num, outputs=outputs, precision=precision).to(device)
                     for part in (encoder, behind))
    copy.load_state_dict(critics.state_dict())
    return critics, copy
