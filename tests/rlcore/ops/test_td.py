"""Temporal-difference targets, worked out by hand."""

import pytest
import torch
from torch import Tensor

from rlcore.ops.td import (
    categorical_divergence,
    categorical_mean,
    categorical_projection,
    double_q_value,
    greedy_value,
    huber,
    n_step_return,
    of_action,
    quantile_huber,
    quantile_midpoints,
    td_target,
    truncated_quantiles,
    value_rescale,
    value_unscale,
)

ATOMS = torch.tensor([0.0, 2.0, 4.0])


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


def test_double_q_with_a_judge_of_quantiles_gives_those_of_the_chosen_action():
    judging = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    assert double_q_value(torch.tensor([[0.0, 1.0]]), judging).tolist() == [[4.0, 5.0, 6.0]]


def test_of_action_takes_each_rows_own_action():
    assert of_action(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 0])).tolist() == [2.0, 3.0]
    atoms = torch.arange(8.0).view(2, 2, 2)
    assert of_action(atoms, torch.tensor([1, 0])).tolist() == [[2.0, 3.0], [4.0, 5.0]]


def test_the_mean_of_atoms_and_a_divergence_by_hand():
    logits = row(1, 2, 1).log()  # chances ¼, ½, ¼ of 0, 2, 4
    assert categorical_mean(logits, ATOMS).item() == pytest.approx(2.0)
    # all mass on the middle: 1·log(1/½); the same distribution: 0
    target = torch.stack([row(0, 1, 0), row(0.25, 0.5, 0.25)])
    assert categorical_divergence(target, logits.expand(2, 3)).tolist() == pytest.approx([0.6931472, 0], abs=1e-6)


def test_huber_is_a_parabola_near_zero_and_a_line_beyond_one():
    assert huber(row(0, 0.5, -1, 3, -3)).tolist() == [0.0, 0.125, 0.5, 2.5, 2.5]


def test_projection_shares_an_atoms_mass_among_its_neighbours():
    # 1.5 is three quarters of the way from atom 0 to atom 2, and 2.5 a quarter from 2 to 4:
    # ½·¼, ½·¾ + ¼·¾, ¼·¼, and ¼ on the last
    mass = categorical_projection(row(1.5, 2.5, 4)[None], row(0.5, 0.25, 0.25)[None], ATOMS)
    assert mass.tolist() == [[0.125, 0.5625, 0.3125]]


@pytest.mark.parametrize(("moved", "expected"), [
    ((0.0, 2.0, 4.0), [0.25, 0.5, 0.25]),    # every atom lands on itself: the mass stays where it was
    ((2.0, 4.0, 4.0), [0.0, 0.25, 0.75]),    # exactly on its neighbour
    ((-9.0, 2.0, 99.0), [0.25, 0.5, 0.25]),  # beyond the ends: held there
    ((3.0, 3.0, 3.0), [0.0, 0.5, 0.5]),      # a termination: all of it on the reward
])
def test_projection_loses_no_mass_on_an_atom_or_beyond_the_ends(moved: tuple[float, ...], expected: list[float]):
    assert categorical_projection(row(*moved)[None], row(0.25, 0.5, 0.25)[None], ATOMS).tolist() == [expected]


def test_projection_keeps_the_mean_of_whatever_stays_inside():
    torch.manual_seed(0)
    atoms = torch.linspace(-10, 10, 51)
    probability = torch.randn(64, 51).softmax(-1)
    moved = td_target(torch.randn(64, 1), torch.full((64, 1), 0.5), atoms)  # within ±10
    mass = categorical_projection(moved, probability, atoms)
    torch.testing.assert_close(mass.sum(-1), torch.ones(64))
    torch.testing.assert_close((mass * atoms).sum(-1), (probability * moved).sum(-1), atol=1e-4, rtol=0)


def test_quantile_midpoints_lie_in_the_middle_of_equal_shares():
    assert quantile_midpoints(4).tolist() == [0.125, 0.375, 0.625, 0.875]


def test_quantile_huber_by_hand():
    # u = y − θ.  θ = 0, τ = ¼: u = ½, 3 → ¼·⅛, ¼·2.5, mean 0.328125.  θ = 2, τ = ¾: u = −1.5, 1 → ¼·1, ¾·½, mean 0.3125
    loss = quantile_huber(row(0, 2)[None], row(0.5, 3)[None], fraction=row(0.25, 0.75))
    assert loss.tolist() == [0.640625]


def test_quantile_huber_takes_sampled_fractions_and_another_number_of_targets():
    # τ per row; one target: ¼·½ and ¾·½
    loss = quantile_huber(row(0)[None].expand(2, 1), row(1)[None].expand(2, 1), torch.tensor([[0.25], [0.75]]))
    assert loss.tolist() == [0.125, 0.375]
    # summed over quantiles, averaged over targets: u = ½ and −½, so ¼·⅛ + ¼·⅛, however often the target is given
    for num in (1, 2, 5):
        assert quantile_huber(row(0, 1)[None], row(0.5).expand(1, num), row(0.25, 0.75)).tolist() == [0.0625]


def test_descending_the_quantile_loss_finds_the_quantiles():
    # the quarters of 0, 100, …, 10 000 are far apart against the threshold of 1, so the Huber part hardly matters
    target, fraction = torch.arange(0, 10_100, 100.0)[None], row(0.25, 0.5, 0.75)
    quantile = torch.full((1, 3), 5000.0, requires_grad=True)
    for _ in range(3000):
        (gradient,) = torch.autograd.grad(quantile_huber(quantile, target, fraction).sum(), quantile)
        quantile = (quantile - 20 * gradient).detach().requires_grad_()
    torch.testing.assert_close(quantile.detach(), torch.tensor([[2500.0, 5000.0, 7500.0]]), atol=110, rtol=0)


def test_truncation_drops_the_largest_of_all_critics_together():
    # two critics of two quantiles, of one row: pooled 1, 2, 3, 9 without the largest
    assert truncated_quantiles(torch.tensor([[[1.0, 9.0]], [[3.0, 2.0]]]), dropped=1).tolist() == [[1.0, 2.0, 3.0]]
    assert truncated_quantiles(torch.tensor([[[1.0, 9.0]], [[3.0, 2.0]]]), dropped=0).tolist() == [[1.0, 2.0, 3.0, 9.0]]


def test_truncation_keeps_rows_apart():
    quantiles = torch.tensor([[[1.0, 2.0], [10.0, 20.0]], [[4.0, 3.0], [40.0, 30.0]]])
    assert truncated_quantiles(quantiles, dropped=2).tolist() == [[1.0, 2.0], [10.0, 20.0]]


def test_rescaling_by_hand():
    # √(8 + 1) − 1 = 2, plus ½·8; and the mirror image
    assert value_rescale(row(8, -8, 0), eps=0.5).tolist() == [6.0, -6.0, 0.0]
    assert value_unscale(row(6, -6, 0), eps=0.5).tolist() == pytest.approx([8.0, -8.0, 0.0], abs=1e-5)


def test_unscaling_undoes_rescaling_over_nine_orders_of_magnitude():
    value = torch.cat([sign * torch.logspace(-3, 6, 200) for sign in (-1, 1)])
    torch.testing.assert_close(value_unscale(value_rescale(value)), value, rtol=1e-4, atol=1e-6)


def columns(*rows: tuple[float, ...]) -> Tensor:
    """One column per picked row of memory, written row after row. [n, N]"""
    return torch.tensor(rows, dtype=torch.float32).T


def test_an_n_step_return_stops_where_its_episode_does():
    gone_on, terminated, truncated = (0.5, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.5)
    gain, ahead, last = n_step_return(
        reward=columns((1, 2, 4), (1, 2, 4), (1, 2, 4)),
        discount=columns(gone_on, terminated, truncated),
        trace=columns(gone_on, terminated, (0.5, 0.0, 0.5)))
    # 1 + ½·2 + ¼·4, then ⅛·V;  1 + ½·2 and nothing;  1 + ½·2, then ¼·V behind the clock at row 1
    assert gain.tolist() == [3.0, 2.0, 2.0]
    assert ahead.tolist() == [0.125, 0.0, 0.25]
    assert last.tolist() == [2, 1, 1]


def test_a_one_step_return_is_the_reward_and_its_discount():
    gain, ahead, last = n_step_return(columns((3,), (5,)), columns((0.5,), (0,)), columns((0,), (0,)))
    assert (gain.tolist(), ahead.tolist(), last.tolist()) == ([3.0, 5.0], [0.5, 0.0], [0, 0])
