"""Policy-gradient pieces that several papers share."""

import torch
from torch import Tensor


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """−min(ρ·Â, clip(ρ, 1−ε, 1+ε)·Â), per row.  Schulman et al. 2017, arXiv:1707.06347, eq. 7.  [N], [N] → [N]"""
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Σ w·x / Σ w over rows.  [N], [N] → scalar"""
    return (value * weight).sum() / weight.sum().clamp_min(1e-8)


def standardise(value: Tensor, weight: Tensor) -> Tensor:
    """Zero mean and unit variance among the rows that count.  [N], [N] → [N]"""
    centred = value - weighted_mean(value, weight)
    return centred / (weighted_mean(centred.square(), weight).sqrt() + 1e-8)


def approx_kl(log_ratio: Tensor) -> Tensor:
    """(ρ − 1) − log ρ, an unbiased low-variance estimate of KL(old ‖ new).  Schulman 2020, "k3".  [N] → [N]"""
    return log_ratio.exp() - 1 - log_ratio


def explained_variance(value: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 − Var(target − V) / Var(target): 1 is perfect, below 0 is worse than a constant.  [N] ×3 → scalar"""
    error = target - value
    left = weighted_mean((error - weighted_mean(error, weight)).square(), weight)
    total = weighted_mean((target - weighted_mean(target, weight)).square(), weight)
    return 1 - left / total.clamp_min(1e-8)
