"""Advantages and returns, worked out by hand. Every number is a sum of powers of two, so equality is exact."""

import torch
from torch import Tensor

from rlcore.ops.returns import discounted, gae, lambda_returns, n_step_returns


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


def test_lambda_returns_mix_the_next_return_with_the_next_value():
    returns = lambda_returns(reward=col(1, 1, 1), next_value=col(2, 4, 8), discount=col(0.5, 0.5, 0.5),
                             trace=col(0.25, 0.25, 0.25))  # γ = ½, λ = ½
    # t2: 1 + ½·8 = 5      t1: 1 + ½·4 + ¼·(5 − 4) = 3.25      t0: 1 + ½·2 + ¼·(3.25 − 2)
    assert returns.flatten().tolist() == [2.3125, 3.25, 5.0]


def test_lambda_returns_are_values_plus_generalised_advantages():
    torch.manual_seed(0)
    value = torch.randn(7, 3)
    reward, discount = torch.randn(6, 3), 0.9 * (torch.rand(6, 3) > 0.2)
    trace = 0.8 * discount
    advantage = gae(reward, value[:-1], value[1:], discount, trace)
    torch.testing.assert_close(lambda_returns(reward, value[1:], discount, trace), value[:-1] + advantage)


def test_lambda_returns_stop_at_ends_as_the_kind_of_end_demands():
    # t0 is cut by the clock (value behind it counts, credit does not), t1 terminates (neither does)
    returns = lambda_returns(col(1, 1, 1), next_value=col(2, 4, 8), discount=col(0.5, 0, 0.5), trace=col(0, 0, 0.25))
    assert returns.flatten().tolist() == [2.0, 1.0, 5.0]


def test_n_step_returns_by_hand():
    arguments = {"reward": col(1, 1, 1, 1), "next_value": col(2, 4, 8, 16), "discount": col(*[0.5] * 4),
                 "trace": col(*[0.5] * 4)}
    assert n_step_returns(**arguments, n=1).flatten().tolist() == [2.0, 3.0, 5.0, 9.0]
    # 1 + ½·3, 1 + ½·5, 1 + ½·9, and the last row has one step only
    assert n_step_returns(**arguments, n=2).flatten().tolist() == [2.5, 3.5, 5.5, 9.0]
    assert n_step_returns(**arguments, n=3).flatten().tolist() == [2.75, 3.75, 5.5, 9.0]
    assert n_step_returns(**arguments, n=9).flatten().tolist() == [2.875, 3.75, 5.5, 9.0]


def test_n_step_returns_bootstrap_behind_the_clock_and_end_at_a_termination():
    cut = n_step_returns(col(1, 1, 1), next_value=col(2, 4, 8), discount=col(0.5, 0.5, 0.5),
                         trace=col(0.5, 0, 0.5), n=3)
    # t1: 1 + ½·4 = 3 and no further; t0: 1 + ½·3
    assert cut.flatten().tolist() == [2.5, 3.0, 5.0]
    ended = n_step_returns(col(1, 1, 1), next_value=col(2, 4, 8), discount=col(0.5, 0, 0.5),
                           trace=col(0.5, 0, 0.5), n=3)
    assert ended.flatten().tolist() == [1.5, 1.0, 5.0]
