"""Recurrent cores: features over time in, features that remember out.

All share one interface. Memory is one flat vector per environment, zeros at an episode's start, so that samplers and
replay can keep it without knowing what is inside. `start[t]` empties the memory before step t; nothing, and no
gradient, passes it. One unroll of T steps gives what T unrolls of one step give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel


def _initialise(net: nn.GRU | nn.LSTM) -> None:
    for name, param in net.named_parameters():
        if name.startswith("weight_hh"):
            for gate in torch.split(param, net.hidden_size):  # each gate's matrix is square
                nn.init.orthogonal_(gate.detach())
        elif name.startswith("bias"):
            nn.init.zeros_(param)


def _in_stretches(unroll: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, memory: Tensor, start: Tensor,
                  ) -> tuple[Tensor, Tensor]:
    """Unrolls between the steps at which any environment starts, so that a block without starts takes one call."""
    if len(x) == 1:  # acting: no need to ask on the host where starts are
        return unroll(x, memory.masked_fill(start[0][:, None], 0))
    cuts, outs = sorted({0, *start.any(1).nonzero().flatten().tolist()}), []
    for begin, end in zip(cuts, [*cuts[1:], len(x)], strict=True):
        out, memory = unroll(x[begin:end], memory.masked_fill(start[begin][:, None], 0))
        outs.append(out)
    return torch.cat(outs), memory


class GRU(nn.Module):
    """Gated recurrent unit, memory h. Cho et al. 2014, arXiv:1406.1078, in PyTorch's variant."""

    def __init__(self, in_dim: int, size: int):
        super().__init__()
        self.net, self.out_dim, self.memory_size = nn.GRU(in_dim, size), size, size
        _initialise(self.net)

    def forward(self, x: Tensor, memory: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """[T, B, F], [B, H], [T, B] bool → [T, B, H], [B, H]"""
        return _in_stretches(self._unroll, x, memory, start)

    def _unroll(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        out, hidden = self.net(x, memory[None])
        return out, hidden[0]


class LSTM(nn.Module):
    """Long short-term memory, memory (h, c). Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    The forget gate's bias starts at 1, so that it remembers before it has learned to. Jozefowicz et al. 2015.
    """

    def __init__(self, in_dim: int, size: int):
        super().__init__()
        self.net, self.out_dim, self.memory_size = nn.LSTM(in_dim, size), size, 2 * size
        _initialise(self.net)
        nn.init.ones_(self.net.get_parameter("bias_ih_l0").detach()[size:2 * size])

    def forward(self, x: Tensor, memory: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """[T, B, F], [B, 2H], [T, B] bool → [T, B, H], [B, 2H]"""
        return _in_stretches(self._unroll, x, memory, start)

    def _unroll(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = memory[None].chunk(2, -1)
        out, (hidden, cell) = self.net(x, (hidden.contiguous(), cell.contiguous()))
        return out, torch.cat([hidden[0], cell[0]], -1)


class _Block(nn.Module):
    """Pre-norm attention and feed-forward layer. Xiong et al. 2020, arXiv:2002.04745."""

    def __init__(self, size: int, num_heads: int, window: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention, self.norm_feed = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query, self.key_value, self.mix = nn.Linear(size, size), nn.Linear(size, 2 * size), nn.Linear(size, size)
        self.feed = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))
        self.nearness = nn.Parameter(torch.zeros(num_heads, window))  # score added per distance

    def forward(self, rows: Tensor, visible: Tensor, distance: Tensor) -> Tensor:
        """The last T of S rows attend to those they see. [B, S, D], [B, T, S] bool, [T, S] → [B, T, D]"""
        steps = len(distance)
        normed, recent = self.norm_attention(rows), rows[:, -steps:]
        key, value = self.key_value(normed).chunk(2, -1)
        bias = self.nearness[:, distance].masked_fill(~visible[:, None], -math.inf)
        query, key, value = (part.reshape(*part.shape[:2], self.num_heads, -1).transpose(1, 2)
                             for part in (self.query(normed[:, -steps:]), key, value))
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        attended: Tensor = recent + self.mix(found.transpose(1, 2).flatten(2))
        fed: Tensor = self.feed(self.norm_feed(attended))
        return attended + fed


class Transformer(nn.Module):
    """Causal self-attention in which every layer sees its last `window` inputs of the same episode.

    Memory: how many inputs are remembered, then each layer's last window − 1 inputs, as in Transformer-XL (Dai et al.
    2019, arXiv:1901.02860); so L layers together reach L·(window − 1) steps back. Positions are learned scores per
    head and distance, as in Shaw et al. 2018, arXiv:1803.02155, reduced to scalars.
    """

    def __init__(self, in_dim: int, size: int, window: int = 16, num_layers: int = 2):
        super().__init__()
        self.window, self.out_dim, self.memory_size = window, size, 1 + num_layers * (window - 1) * size
        self.embed, self.norm = nn.Linear(in_dim, size), nn.LayerNorm(size)
        self.blocks = nn.ModuleList(_Block(size, math.gcd(size, 4), window) for _ in range(num_layers))

    def forward(self, x: Tensor, memory: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """[T, B, F], [B, M], [T, B] bool → [T, B, H], [B, M]"""
        steps, kept = len(x), self.window - 1
        position = torch.arange(kept + steps, device=x.device)  # the memory's rows come before the block's
        distance = position[kept:, None] - position
        episode = start.T.cumsum(1)  # the memory belongs to episode 0
        oldest = kept - memory[:, :1]
        remembered = position[:kept] >= oldest
        same = torch.cat([remembered[:, None] & (episode == 0)[:, :, None], episode[:, :, None] == episode[:, None]], 2)
        visible = same & (distance >= 0) & (distance < self.window)
        survives = visible[:, -1, steps:]  # of the newest rows, those of the last step's episode
        hidden, remains = self.embed(x).transpose(0, 1), [survives.sum(1, keepdim=True).to(memory.dtype)]
        caches = memory[:, 1:].reshape(len(memory), len(self.blocks), kept, self.out_dim).unbind(1)
        for block, cache in zip(self.blocks, caches, strict=True):
            rows = torch.cat([cache.masked_fill(~remembered[:, :, None], 0), hidden], 1)
            remains.append(rows[:, steps:].masked_fill(~survives[:, :, None], 0).flatten(1))
            hidden = block(rows, visible, distance.clamp(0, kept))
        return self.norm(hidden).transpose(0, 1), torch.cat(remains, 1)


Core = GRU | LSTM | Transformer


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """Inside, cores are computed by kernels whose gradients have gradients: not cuDNN's, nor fused attention's."""
    with torch.backends.cudnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
        yield


def core_for(kind: Literal["gru", "lstm", "transformer"], in_dim: int, size: int) -> Core:
    """The core of a name, with `size` features out."""
    match kind:
        case "gru":
            return GRU(in_dim, size)
        case "lstm":
            return LSTM(in_dim, size)
        case "transformer":
            return Transformer(in_dim, size)
