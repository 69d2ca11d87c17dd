"""Advantages and returns, worked out by hand. Every number is a sum of powers of two, so equality is exact."""

import torch
from torch import Tensor

from rlcore.ops.returns import discounted, gae


def col(*values: float) -> Tensor:
    """One environment's values over time. [T, 1]"""
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_gae_without_any_end_is_the_discounted_sum_of_td_errors():
    advantage = gae(reward=col(1, 1, 1), value=col(0.5, 1, 2), next_value=col(1, 2, 4),
                    discount=col(0.5, 0.5, 0.5), trace=col(0.25, 0.25, 0.25))
    # δ = 1 + ½·V' − V:  1, 1, 1      t2: 1      t1: 1 + ¼·1 = 1.25      t0: 1 + ¼·1.25
    assert advantage.flatten().tolist() == [1.3125, 1.25, 1.0]


def test_gae_bootstraps_across_a_time_limit_but_passes_no_credit():
    # V(s') = 9 behind the clock at t=1; the trace is cut there
    advantage = gae(reward=col(1, 1, 1), value=col(0.5, 1, 2), next_value=col(1, 9, 4),
                    discount=col(0.5, 0.5, 0.5), trace=col(0.25, 0, 0.25))
    # t2: 1 + ½·4 − 2 = 1      t1: 1 + ½·9 − 1 = 4.5      t0: 1 + ½·1 − ½ + ¼·4.5
    assert advantage.flatten().tolist() == [2.125, 4.5, 1.0]


def test_gae_passes_neither_value_nor_credit_across_a_termination():
    # V(s') = 9 is what the critic says of the terminal observation; it must not count
    advantage = gae(reward=col(1, 1, 1), value=col(0.5, 1, 2), next_value=col(1, 9, 4),
                    discount=col(0.5, 0, 0.5), trace=col(0.25, 0, 0.25))
    # t2: 1      t1: 1 − 1 = 0      t0: 1 + ½·1 − ½ + ¼·0
    assert advantage.flatten().tolist() == [1.0, 0.0, 1.0]


def test_gae_with_trace_zero_is_the_one_step_td_error():
    advantage = gae(col(1, 2), col(4, 8), col(8, 16), discount=col(0.5, 0.5), trace=col(0, 0))
    assert advantage.flatten().tolist() == [1 + 4 - 4, 2 + 8 - 8]


def test_gae_keeps_environments_apart():
    reward, zero = torch.tensor([[0.0, 1.0], [8.0, 0.0]]), torch.zeros(2, 2)
    advantage = gae(reward, zero, zero, discount=torch.full((2, 2), 0.5), trace=torch.full((2, 2), 0.5))
    assert advantage.tolist() == [[4.0, 1.0], [8.0, 0.0]]


def test_discounted_carries_the_old_sum_in_and_starts_again_after_an_end():
    # keep = ½ inside the episode, 0 on the first row of the next
    sums = discounted(reward=col(1, 1, 5, 1), keep=col(0.5, 0.5, 0, 0.5), start=torch.tensor([4.0]))
    # 1 + ½·4 = 3      1 + ½·3 = 2.5      5      1 + ½·5
    assert sums.flatten().tolist() == [3.0, 2.5, 5.0, 3.5]
