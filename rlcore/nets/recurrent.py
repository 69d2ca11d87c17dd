"""An encoder with a recurrent core behind it: what networks that remember read an observation through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.data.batch import Obs, tree_map
from rlcore.nets.acting import to_torch
from rlcore.nets.cores import core_for
from rlcore.nets.encoders import encoder_for, mlp
from rlcore.nets.ensemble import EnsembleMLP
from rlcore.nets.fused import Fused, Precision, fuse

CoreKind = Literal["gru", "lstm", "transformer"]


class Trunk(nn.Module):
    """Encoder, hidden layers of ReLU units, core. Its memory is one flat vector per environment.

    shortcut: what the core is given also passes by it, so that features hold the present as well as the past.
    precision: of convolutions and of wide products before the core.
    """

    def __init__(self, algo: str, obs_space: spaces.Space[Any], hidden: Sequence[int], core: CoreKind, core_size: int,
                 normalize: bool = False, shortcut: bool = False, precision: Precision = "float32"):
        super().__init__()
        self.shortcut = shortcut
        self.encoder = encoder_for(algo, obs_space, normalize, precision)
        layers = mlp((self.encoder.out_dim, *hidden), "relu")
        self.body, self.body_out = nn.Sequential(layers, nn.ReLU()), fuse(layers, precision)
        self.core = core_for(core, hidden[-1], core_size)
        self.out_dim = int(self.core.out_dim) + (hidden[-1] if shortcut else 0)
        self.memory_size = int(self.core.memory_size)

    def forward(self, obs: Obs, memory: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """[T, B, *obs], [B, M], [T, B] bool → features [T, B, F] and the memory after them [B, M]"""
        present = self.body_out(self.encoder(obs)).relu()
        past, after = self.core(present, memory, start)
        return torch.cat([past, present], -1) if self.shortcut else past, after

    @torch.no_grad()
    def step(self, obs: Any, memory: Array, device: torch.device) -> tuple[Tensor, Array]:
        """One step of acting; the sampler empties memories where episodes start. [B, *obs] → [B, F], [B, M]"""
        row = tree_map(lambda part: part[None], to_torch(obs, device))
        never = torch.zeros(1, len(memory), dtype=torch.bool, device=device)
        features, after = self(row, torch.as_tensor(memory, device=device), never)
        return features[0], after.cpu().numpy()


def unroll(trunk: Trunk, obs: Obs, memory: Tensor, start: Tensor, burn_in: int) -> Tensor:
    """Features of the steps after the first `burn_in`, which only bring the memory up to date, without gradients.

    [L, N, *obs], [N, M], [L, N] → [L − burn_in, N, F].  Kapturowski et al. 2019, §3.
    """
    if burn_in:
        with torch.no_grad():
            _, memory = trunk(tree_map(lambda part: part[:burn_in], obs), memory, start[:burn_in])
    features: Tensor = trunk(tree_map(lambda part: part[burn_in:], obs), memory, start[burn_in:])[0]
    return features


class RecurrentActor(nn.Module):
    """A network of the history for every action dimension: `outputs` numbers, behind a trunk of its own."""

    def __init__(self, algo: str, obs_space: spaces.Space[Any], outputs: int, hidden: Sequence[int], core: CoreKind,
                 core_size: int, normalize: bool = False, precision: Precision = "float32"):
        super().__init__()
        self.trunk = Trunk(algo, obs_space, hidden, core, core_size, normalize, shortcut=True, precision=precision)
        self.head = mlp((self.trunk.out_dim, core_size, outputs), "relu")
        self.head_out = fuse(self.head, precision)

    def forward(self, obs: Obs, memory: Tensor, start: Tensor, burn_in: int) -> Tensor:
        """Behind the burn-in. [L, N, *obs], [N, M], [L, N] → [L − burn_in, N, outputs]"""
        out: Tensor = self.head_out(unroll(self.trunk, obs, memory, start, burn_in))
        return out


class RecurrentCritics(nn.Module):
    """K estimates of Q(history, action) behind one trunk, which reads observations; the action joins behind the core.

    Ni et al. 2022, arXiv:2110.05038, §4: actor and critic remember separately.
    """

    def __init__(self, algo: str, obs_space: spaces.Space[Any], action_size: int, hidden: Sequence[int], core: CoreKind,
                 core_size: int, normalize: bool = False, precision: Precision = "float32", num: int = 2):
        super().__init__()
        self.trunk = Trunk(algo, obs_space, hidden, core, core_size, normalize, shortcut=True, precision=precision)
        self.members = EnsembleMLP(num, (self.trunk.out_dim + action_size, core_size))
        self.fused = Fused(self.members, precision)

    def features(self, obs: Obs, memory: Tensor, start: Tensor, burn_in: int) -> Tensor:
        """What the estimates read of a history, behind the burn-in. → [L − burn_in, N, F]"""
        return unroll(self.trunk, obs, memory, start, burn_in)

    def forward(self, features: Tensor, action: Tensor) -> Tensor:
        """[L, N, F], [L, N, D] → [K, L, N]"""
        joined = torch.cat([features, action], -1)
        return self.fused(joined.flatten(0, 1)).view(-1, *joined.shape[:2])

    def judge(self, features: Tensor, action: Tensor) -> Tensor:
        """The same, for an actor's loss: the gradient flows to the action alone."""
        joined = torch.cat([features, action], -1)
        return self.fused.frozen(joined.flatten(0, 1)).view(-1, *joined.shape[:2])
