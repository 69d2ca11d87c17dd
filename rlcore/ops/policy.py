"""Policy-gradient pieces that several papers share."""

from collections.abc import Callable

import torch
from torch import Tensor


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """−min(ρ·Â, clip(ρ, 1−ε, 1+ε)·Â), per row.  Schulman et al. 2017, arXiv:1707.06347, eq. 7.  [N], [N] → [N]"""
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def dual_clip(ratio: Tensor, advantage: Tensor, clip: float, floor: float) -> Tensor:
    """The clipped surrogate whose loss for a bad action, Â < 0, stops growing beyond ρ = c.

    −max(min(ρ·Â, clip(ρ, 1−ε, 1+ε)·Â), c·Â) where Â < 0, c = `floor` > 1.  [N], [N] → [N].
    Ye et al. 2020, arXiv:1912.09729, "dual-clip PPO".
    """
    loss = clipped_surrogate(ratio, advantage, clip)
    return torch.where(advantage < 0, torch.minimum(loss, -floor * advantage), loss)


def value_error(value: Tensor, target: Tensor) -> Tensor:
    """½(V − G)², per row.  [N], [N] → [N]"""
    return 0.5 * (value - target).square()


def clipped_value_error(value: Tensor, target: Tensor, before: Tensor, clip: Tensor) -> Tensor:
    """½·max((V − G)², (V₀ + clip(V − V₀, ±ε) − G)²): no gain from leaving the rollout's V₀ by more than ε.

    All [N], ε scalar.  Huang et al. 2022, "37 implementation details", detail 9.
    """
    held = before + (value - before).clamp(-clip, clip)
    return torch.maximum(value_error(value, target), value_error(held, target))


def adapted_kl_coef(coef: float, kl: float, target: float) -> float:
    """β of the KL penalty after an update: halved where KL < d/1.5, doubled where KL > 1.5·d.

    Schulman et al. 2017, arXiv:1707.06347, §4.
    """
    if kl < target / 1.5:
        return coef / 2
    return coef * 2 if kl > target * 1.5 else coef


def pid_multiplier(error: float, integral: float, growth: float, gains: tuple[float, float, float]) -> float:
    """λ = max(0, K_P·Δ + K_I·I + K_D·∂) for a cost above its limit by Δ.

    I: the sum of all Δ, never below 0;  ∂: how much the cost grew, never below 0.
    Stooke et al. 2020, arXiv:2007.03964, algorithm 2.
    """
    proportional, integrating, differential = gains
    return max(0.0, proportional * error + integrating * integral + differential * growth)


def conjugate_gradient(product: Callable[[Tensor], Tensor], b: Tensor, steps: int, tolerance: float = 1e-10) -> Tensor:
    """x with A·x ≈ b for a symmetric positive definite A known by its products.  [P] → [P]

    Hestenes & Stiefel 1952.  Ends early once ‖b − A·x‖² < tolerance.
    """
    x, residual = torch.zeros_like(b), b.clone()
    direction, left = residual.clone(), residual.dot(residual)
    for _ in range(steps):
        if left < tolerance:
            break
        image = product(direction)
        length = left / direction.dot(image)
        x = x + length * direction
        residual = residual - length * image
        before, left = left, residual.dot(residual)
        direction = residual + left / before * direction
    return x


def weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Σ w·x / Σ w over rows, and over what each row holds.  [N, …], [N] → scalar"""
    if value.dim() > weight.dim():  # [N, K] times [N] would pair the wrong axes, silently where K = N
        weight = weight.reshape(*weight.shape, *[1] * (value.dim() - weight.dim())).expand_as(value)
    return (value * weight).sum() / weight.sum().clamp_min(1e-8)


def standardise(value: Tensor, weight: Tensor) -> Tensor:
    """Zero mean and unit variance among the rows that count.  [N, …], [N] → [N, …]"""
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
