"""Running moments against NumPy over everything at once."""

import numpy as np
import pytest
import torch

from rlcore.ops.running import merge_moments


def test_merging_two_lots_by_hand():
    # {1, 3}: mean 2, variance 1, and {5, 7, 9}: together mean 5, variance (16 + 4 + 0 + 4 + 16)/5
    mean, var, count = merge_moments(torch.tensor(2.0), torch.tensor(1.0), torch.tensor(2.0), torch.tensor([5.0, 7, 9]))
    assert (mean.item(), count.item()) == (5.0, 5.0)
    assert var.item() == pytest.approx(8.0)


def test_moments_of_many_lots_are_those_of_their_concatenation():
    rng = np.random.default_rng(0)
    lots = [rng.normal(loc=10 * k, scale=k + 1, size=(k + 1, 3)) for k in range(6)]  # one row up to six
    mean, var, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), torch.tensor(0.0)
    for lot in lots:
        mean, var, count = merge_moments(mean, var, count, torch.from_numpy(lot))
    rows = np.concatenate(lots)
    np.testing.assert_allclose(mean, rows.mean(0))
    np.testing.assert_allclose(var, rows.var(0))
    assert count.item() == len(rows) == 21
