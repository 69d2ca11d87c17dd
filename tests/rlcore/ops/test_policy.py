"""Policy-gradient pieces, worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from rlcore.ops.policy import (
    adapted_kl_coef,
    approx_kl,
    clipped_surrogate,
    clipped_value_error,
    conjugate_gradient,
    dual_clip,
    explained_variance,
    pid_multiplier,
    standardise,
    value_error,
    weighted_mean,
)


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def test_the_clip_takes_the_gain_away_but_never_the_loss():
    # a good action made likelier than 1.25×: the gain stops there; a bad action made likelier: the loss keeps growing
    loss = clipped_surrogate(ratio=row(2, 2, 0.5, 0.5), advantage=row(1, -1, 1, -1), clip=0.25)
    # −min(2, 1.25)   −min(−2, −1.25)   −min(0.5, 0.75)   −min(−0.5, −0.75)
    assert loss.tolist() == [-1.25, 2.0, -0.5, 0.75]


def test_inside_the_clip_the_surrogate_is_the_plain_ratio():
    assert clipped_surrogate(row(1.125, 0.875), row(2, 2), clip=0.25).tolist() == [-2.25, -1.75]


def test_beyond_the_clip_the_gradient_is_zero_only_where_the_clip_is_what_counts():
    ratio = row(2, 2).requires_grad_()
    clipped_surrogate(ratio, row(1, -1), clip=0.25).sum().backward()
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [0.0, 1.0]


def test_weighted_mean_does_not_see_dummy_rows():
    assert weighted_mean(row(1, 1000, 3), row(1, 0, 1)).item() == 2.0


def test_weighted_mean_of_only_dummy_rows_is_zero_not_nan():
    assert weighted_mean(row(5, 7), row(0, 0)).item() == 0.0


def test_standardise_takes_mean_and_deviation_among_the_rows_that_count():
    # the valid rows 1 and 5: mean 3, deviation 2
    done = standardise(row(1, 1000, 5), row(1, 0, 1))
    assert done[[0, 2]].tolist() == pytest.approx([-1.0, 1.0])


def test_standardise_of_equal_values_is_zero_not_nan():
    assert standardise(row(4, 4, 4), row(1, 1, 1)).tolist() == [0.0, 0.0, 0.0]


def test_approx_kl_by_hand():
    # ρ = 2: (2 − 1) − log 2      ρ = 1: 0
    assert approx_kl(row(math.log(2), 0)).tolist() == pytest.approx([1 - math.log(2), 0.0])


def test_approx_kl_averages_to_the_true_divergence_and_is_never_negative():
    old, new = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.5, 1.0)
    torch.manual_seed(0)
    actions = old.sample((100_000,))
    estimate = approx_kl(new.log_prob(actions) - old.log_prob(actions))
    assert estimate.min().item() > -1e-6
    assert estimate.mean().item() == pytest.approx(0.125, abs=0.003)  # ½·0.5² in closed form


@pytest.mark.parametrize(("value", "share"), [
    ((1, 2, 3), 1.0),   # perfect
    ((2, 2, 2), 0.0),   # as good as a constant
    ((3, 2, 1), -3.0),  # errors −2, 0, 2: variance 8/3 over 2/3
    ((6, 7, 8), 1.0),   # a constant offset explains everything: it is variance, not error
])
def test_explained_variance_by_hand(value: tuple[float, ...], share: float):
    assert explained_variance(row(*value), row(1, 2, 3), row(1, 1, 1)).item() == pytest.approx(share)


def test_explained_variance_does_not_see_dummy_rows():
    assert explained_variance(row(1, 99, 3), row(1, 0, 3), row(1, 0, 1)).item() == pytest.approx(1.0)


def test_dual_clip_bounds_the_loss_of_a_bad_action_and_changes_nothing_else():
    loss = dual_clip(ratio=row(8, 2, 8, 0.5), advantage=row(-1, -1, 1, -1), clip=0.25, floor=3)
    # 8·1 is held at 3·1;  2 < 3 stays;  a good action is clipped at 1.25 as ever;  the ordinary clip at ¾
    assert loss.tolist() == [3.0, 2.0, -1.25, 0.75]


def test_dual_clip_leaves_no_gradient_where_it_holds():
    ratio = row(8, 2).requires_grad_()
    dual_clip(ratio, row(-1, -1), clip=0.25, floor=3).sum().backward()
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [0.0, 1.0]


def test_weighted_mean_pairs_weights_with_rows_also_where_rows_are_as_many_as_dimensions():
    value = torch.tensor([[1.0, 3.0], [100.0, 100.0]])
    assert weighted_mean(value, row(1, 0)).item() == 2.0  # paired with columns it would be 50.5
    assert weighted_mean(torch.ones(3, 2, 4), row(1, 0, 1)).item() == 1.0


def test_standardise_takes_all_dimensions_of_the_rows_that_count():
    done = standardise(torch.tensor([[1.0, 5.0], [100.0, 100.0]]), row(1, 0))
    assert done[0].tolist() == pytest.approx([-1.0, 1.0])  # mean 3, deviation 2


def test_a_value_that_left_its_clip_gains_nothing_by_it():
    # from V₀ = 1 towards G = 5 by 3, of which 1 counts: ½·3²; away from G by 2: the full error ½·6²
    value, target, before = row(4, -1, 1.5), row(5, 5, 5), row(1, 1, 1)
    assert value_error(value, target).tolist() == [0.5, 18.0, 6.125]
    assert clipped_value_error(value, target, before, torch.tensor(1.0)).tolist() == [4.5, 18.0, 6.125]


def test_the_penalty_moves_by_two_outside_a_band_of_one_and_a_half():
    assert [adapted_kl_coef(1.0, kl, target=0.03) for kl in (0.0, 0.019, 0.021, 0.03, 0.044, 0.046)] == [
        0.5, 0.5, 1.0, 1.0, 1.0, 2.0]


def test_the_multiplier_is_never_negative():
    assert pid_multiplier(error=2.0, integral=4.0, growth=3.0, gains=(0.5, 0.25, 2.0)) == 1 + 1 + 6
    assert pid_multiplier(error=-2.0, integral=1.0, growth=0.0, gains=(1.0, 1.0, 1.0)) == 0


def test_conjugate_gradients_solve_in_as_many_steps_as_there_are_unknowns():
    matrix, b = torch.tensor([[4.0, 1.0], [1.0, 3.0]]), row(1, 2)
    exact = conjugate_gradient(lambda v: matrix @ v, b, steps=2)
    assert exact.tolist() == pytest.approx([1 / 11, 7 / 11])
    # one step goes along b itself: bᵀb / bᵀAb = 5/20
    assert conjugate_gradient(lambda v: matrix @ v, b, steps=1).tolist() == pytest.approx([0.25, 0.5])
    assert conjugate_gradient(lambda v: matrix @ v, row(0, 0), steps=5).tolist() == [0, 0]
