"""Distributions against hand numbers and torch.distributions."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from rlcore.nets.dists import Categorical, Gaussian, TanhGaussian


def test_categorical_by_hand():
    # weights 1 : 3, written as unnormalised logits
    dist = Categorical(torch.tensor([[5.0, 5.0 + math.log(3)]]))
    assert dist.log_prob(torch.tensor([1])).exp().item() == pytest.approx(0.75)
    assert dist.log_prob(torch.tensor([0])).exp().item() == pytest.approx(0.25)
    assert dist.entropy().item() == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    assert dist.mode().item() == 1


def test_categorical_agrees_with_torch_over_time_and_environments():
    logits, action = torch.randn(5, 3, 4), torch.randint(4, (5, 3))
    ours, theirs = Categorical(logits), torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


def test_categorical_entropy_of_a_certain_choice_is_zero_not_nan():
    assert Categorical(torch.tensor([[0.0, -200.0]])).entropy().item() == 0.0


def test_categorical_draws_each_choice_as_often_as_its_probability_says():
    logits = np.tile(np.log(np.array([0.1, 0.2, 0.7], np.float32)), (100_000, 1))
    drawn = Categorical.draw(logits, np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.7], atol=0.005)  # three standard errors


def test_categorical_draws_rows_independently():
    drawn = Categorical.draw(np.zeros((10_000, 2), np.float32), np.random.default_rng(0))
    assert np.mean(drawn[:-1] == drawn[1:]) == pytest.approx(0.5, abs=0.02)


def test_gaussian_by_hand():
    # at the mean of a unit normal in two dimensions: −log 2π; entropy per dimension ½ log 2πe
    dist = Gaussian(torch.zeros(1, 2), torch.zeros(2))
    assert dist.log_prob(torch.zeros(1, 2)).item() == pytest.approx(-math.log(2 * math.pi))
    assert dist.entropy().item() == pytest.approx(math.log(2 * math.pi * math.e))
    assert dist.log_prob(torch.tensor([[1.0, 0.0]])).item() == pytest.approx(-math.log(2 * math.pi) - 0.5)


def test_gaussian_agrees_with_torch_and_sums_its_dimensions():
    mean, log_std, action = torch.randn(5, 3, 2), torch.tensor([-1.0, 0.5]), torch.randn(5, 3, 2)
    ours, theirs = Gaussian(mean, log_std), Independent(Normal(mean, log_std.exp()), 1)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), mean)


def test_gaussian_draws_with_its_mean_and_deviation():
    mean = np.tile(np.float32([1, -2]), (50_000, 1))
    drawn = Gaussian.draw(mean, np.float32([0.5, 2]), np.random.default_rng(0))
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(0), [1, -2], atol=0.03)
    np.testing.assert_allclose(drawn.std(0), [0.5, 2], rtol=0.02)


def test_tanh_gaussian_density_agrees_with_torch_at_its_own_samples():
    mean, log_std = torch.randn(1000, 2), torch.randn(1000, 2).clamp(-1, 0.3)
    action, log_prob = TanhGaussian(mean, log_std).sample_with_log_prob()
    theirs = Independent(TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform(cache_size=1)), 1)
    inside = action.abs().amax(-1) < 0.99  # their inverse of tanh loses its digits near the edge; ours needs none
    assert inside.sum() > 500
    torch.testing.assert_close(log_prob[inside], theirs.log_prob(action)[inside], atol=1e-3, rtol=1e-4)


def test_tanh_gaussian_density_stays_finite_where_tanh_is_one_in_float32():
    action, log_prob = TanhGaussian(torch.full((4, 1), 30.0), torch.zeros(4, 1)).sample_with_log_prob()
    assert (action == 1).all()
    # −log(1 − tanh²x) ≈ 2x − log 4 for large x: about 60 above the normal's own density
    assert torch.isfinite(log_prob).all()
    assert log_prob.mean().item() == pytest.approx(58, abs=6)


def test_tanh_gaussian_entropy_of_a_wide_flat_policy_is_that_of_the_uniform():
    # mean 0, std 0.87: nearly uniform on (−1, 1), whose entropy is log 2
    torch.manual_seed(0)
    _, log_prob = TanhGaussian(torch.zeros(50_000, 1), torch.full((50_000, 1), math.log(0.87))).sample_with_log_prob()
    assert -log_prob.mean().item() == pytest.approx(math.log(2), abs=0.02)


def test_tanh_gaussian_sample_carries_gradient_to_mean_and_deviation():
    mean, log_std = torch.zeros(8, 1, requires_grad=True), torch.zeros(8, 1, requires_grad=True)
    action, _ = TanhGaussian(mean, log_std).sample_with_log_prob()
    action.sum().backward()
    assert mean.grad is not None
    assert log_std.grad is not None
    assert (mean.grad > 0).all()
    assert (log_std.grad != 0).all()


def test_tanh_gaussian_mode_is_the_squashed_mean():
    assert TanhGaussian(torch.tensor([[0.5]]), torch.zeros(1, 1)).mode().item() == pytest.approx(math.tanh(0.5))
