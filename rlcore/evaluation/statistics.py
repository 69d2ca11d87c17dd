"""Summaries of returns that the field trusts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def iqm(values: Floats) -> Floats:
    """Interquartile mean: the mean of the middle half.  Agarwal et al. 2021, arXiv:2108.13264, §4.2.

    [..., N] → [...], along the last axis. As SciPy's trim_mean, ⌊N/4⌋ values are dropped at each end.
    """
    ordered, cut = np.sort(values, axis=-1), values.shape[-1] // 4
    middle: Floats = ordered[..., cut: values.shape[-1] - cut].mean(-1)
    return middle


def bootstrap_interval(values: Floats, *, level: float = 0.95, resamples: int = 2000,
                       seed: int = 0) -> tuple[float, float]:
    """Percentile-bootstrap interval of the interquartile mean. [N] → (low, high).  Efron 1979."""
    picks = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    tail = 50 * (1 - level)
    low, high = np.percentile(iqm(values[picks]), [tail, 100 - tail])
    return float(low), float(high)
