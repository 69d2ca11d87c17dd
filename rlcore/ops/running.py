"""Running mean and variance."""

from __future__ import annotations

from torch import Tensor


def merge_moments(mean: Tensor, var: Tensor, count: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of everything seen so far and the new rows together.

    mean, var [*shape], count scalar, rows [N, *shape] → the same three.  Chan et al. 1979, "parallel variance".
    """
    new_mean, new_var, new_count = rows.mean(0), rows.var(0, unbiased=False), rows.shape[0]
    total = count + new_count
    delta = new_mean - mean
    spread = var * count + new_var * new_count + delta.square() * count * new_count / total
    return mean + delta * new_count / total, spread / total, total
