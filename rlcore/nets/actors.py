"""Actors for continuous actions that critics teach: what a network's numbers mean, for learning and for acting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from rlcore.arrays import Array
from rlcore.nets.dists import Gaussian, TanhGaussian

Net = Callable[[Tensor], Tensor]

# Bounds of the log standard deviation, as in the code of Haarnoja et al. 2018.
_LOG_STD_MIN, _LOG_STD_MAX = -20.0, 2.0


def squashed(out: Tensor) -> TanhGaussian:
    """π(·|s) from a mean and a log standard deviation per dimension. [N, 2D]"""
    mean, log_std = out.chunk(2, -1)
    return TanhGaussian(mean, log_std.clamp(_LOG_STD_MIN, _LOG_STD_MAX))


def draw_squashed(out: Array, noise: Array | None) -> Array:
    """An action of the same policy by given standard normal noise, its centre without. [B, 2D], [B, D] → [B, D]"""
    size = out.shape[-1] // 2
    mean, log_std = out[..., :size], out[..., size:]
    if noise is not None:
        mean = Gaussian.draw(mean, np.exp(log_std.clip(_LOG_STD_MIN, _LOG_STD_MAX)), noise)
    action: Array = np.tanh(mean)
    return action
