"""Off-policy targets, worked out by hand. Ratios and discounts are powers of two, so equality is exact."""

import math

import pytest
import torch
from torch import Tensor

from rlcore.ops.offpolicy import effective_rows, importance_ratio, retrace, vtrace
from rlcore.ops.returns import gae


def col(*values: float) -> Tensor:
    """One environment's values over time. [T, 1]"""
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_a_ratio_is_the_quotient_of_probabilities_and_stays_finite():
    new, old = torch.tensor([0.5, 0.25, 1.0]).log(), torch.tensor([0.25, 0.5, 1e-30]).log()
    assert importance_ratio(new, old).tolist() == pytest.approx([2, 0.5, math.exp(20)])


def test_effective_rows_by_hand():
    every = torch.ones(4)
    assert effective_rows(every, every).item() == 1.0
    assert effective_rows(torch.tensor([1.0, 0, 0, 0]), every).item() == 0.25  # one row of four decides
    assert effective_rows(torch.tensor([2.0, 2, 99, 99]), torch.tensor([1.0, 1, 0, 0])).item() == 1.0


def test_vtrace_clips_ratios_from_above():
    target, advantage = vtrace(ratio=col(4, 0.5), reward=col(1, 1), value=col(1, 2), next_value=col(2, 4),
                               discount=col(0.5, 0.5), trace=col(0.5, 0.5))
    # t1: δ = ½·(1 + 2 − 2) = ½, v = 2.5      t0: δ = 1·(1 + 1 − 1) = 1, v = 1 + 1 + ½·1·½
    assert target.flatten().tolist() == [2.25, 2.5]
    # ρ·(r + γ·v' − V):  1·(1 + ½·2.5 − 1) and ½·(1 + ½·4 − 2)
    assert advantage.flatten().tolist() == [1.25, 0.5]


def test_vtrace_clips_what_it_trusts_and_what_it_passes_on_apart():
    target, advantage = vtrace(col(4, 4), col(1, 1), col(1, 2), col(2, 4), col(0.5, 0.5), col(0.5, 0.5),
                               rho_clip=2.0, c_clip=0.5)
    # t1: δ = 2·1 = 2, v = 4      t0: δ = 2·1, v = 1 + 2 + ½·½·2      Â_0 = 2·(1 + ½·4 − 1)
    assert target.flatten().tolist() == [3.5, 4.0]
    assert advantage.flatten().tolist() == [4.0, 2.0]


def test_on_policy_vtrace_is_the_lambda_return():
    torch.manual_seed(0)
    value, reward = torch.randn(7, 3), torch.randn(6, 3)
    discount = 0.9 * (torch.rand(6, 3) > 0.2)
    trace = 0.8 * discount
    target, advantage = vtrace(torch.ones(6, 3), reward, value[:-1], value[1:], discount, trace)
    expected = gae(reward, value[:-1], value[1:], discount, trace)
    torch.testing.assert_close(target, value[:-1] + expected)
    torch.testing.assert_close(advantage, expected)


def test_vtrace_passes_nothing_back_across_an_end_but_looks_behind_a_clock():
    arguments = {"ratio": col(1, 1), "reward": col(1, 1), "value": col(1, 2), "next_value": col(8, 4)}
    cut, judged = vtrace(**arguments, discount=col(0.5, 0.5), trace=col(0, 0.5))
    assert (cut.flatten().tolist(), judged.flatten().tolist()) == ([5.0, 3.0], [4.0, 1.0])  # 1 + ½·8
    ended, judged = vtrace(**arguments, discount=col(0, 0.5), trace=col(0, 0.5))
    assert (ended.flatten().tolist(), judged.flatten().tolist()) == ([1.0, 3.0], [0.0, 1.0])


def test_retrace_by_hand():
    target = retrace(ratio=col(9, 0.5, 4), reward=col(1, 1, 1), q=col(7, 2, 3), next_value=col(2, 4, 8),
                     discount=col(0.5, 0.5, 0.5), trace=col(0.5, 0.5, 0.5))
    # t2: 1 + ½·8 = 5      t1: 1 + ½·4 + ½·1·(5 − 3) = 4      t0: 1 + ½·2 + ½·½·(4 − 2); the first ratio is of no use
    assert target.flatten().tolist() == [2.5, 4.0, 5.0]


def test_retrace_stops_at_a_termination_and_bootstraps_behind_the_clock():
    target = retrace(col(1, 1, 1), col(1, 1, 1), col(7, 2, 3), next_value=col(2, 4, 8),
                     discount=col(0.5, 0, 0.5), trace=col(0, 0, 0.5))
    assert target.flatten().tolist() == [2.0, 1.0, 5.0]
