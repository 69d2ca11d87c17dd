"""Temporal-difference targets, worked out by hand."""

import torch
from torch import Tensor

from rlcore.ops.td import double_q_value, greedy_value, huber, td_target


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def test_td_target_stops_at_termination_only():
    # discount γ = ½ while the task goes on, 0 where it ended
    assert td_target(reward=row(1, 1), discount=row(0.5, 0), next_value=row(8, 8)).tolist() == [5.0, 1.0]


def test_greedy_value_is_the_largest():
    assert greedy_value(torch.tensor([[1.0, 3.0], [5.0, 2.0]])).tolist() == [3.0, 5.0]


def test_double_q_lets_one_network_choose_and_the_other_judge():
    choosing, judging = torch.tensor([[1.0, 2.0], [4.0, 3.0]]), torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    # the chooser's best are actions 1 and 0; the judge's own best of the second row, 40, is not taken
    assert double_q_value(choosing, judging).tolist() == [20.0, 30.0]


def test_huber_is_a_parabola_near_zero_and_a_line_beyond_one():
    assert huber(row(0, 0.5, -1, 3, -3)).tolist() == [0.0, 0.125, 0.5, 2.5, 2.5]
