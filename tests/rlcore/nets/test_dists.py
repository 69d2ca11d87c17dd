"""Distributions against hand numbers and torch.distributions."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution, kl_divergence

from rlcore.nets.dists import Bernoulli, Categorical, Gaussian, MultiCategorical, TanhGaussian

RNG = np.random.default_rng


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
    drawn = Categorical.draw(logits, Categorical.noise(RNG(0), 1, (100_000, 3))[0])
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.7], atol=0.005)  # three standard errors


def test_categorical_draws_rows_independently():
    drawn = Categorical.draw(np.zeros((10_000, 2), np.float32), Categorical.noise(RNG(0), 1, (10_000, 2))[0])
    assert np.mean(drawn[:-1] == drawn[1:]) == pytest.approx(0.5, abs=0.02)


def test_categorical_draw_by_hand():
    # 1 + 0 < 0 + 2, and 1 + 0.5 > 0 + 1
    drawn = Categorical.draw(np.float32([[1, 0], [1, 0]]), np.float32([[0, 2], [0.5, 1]]))
    assert (drawn.tolist(), drawn.dtype) == ([1, 0], np.int64)


def test_categorical_samples_each_choice_as_often_as_its_probability_says():
    drawn = Categorical(torch.tensor([0.1, 0.2, 0.7]).log().expand(100_000, 3)).sample()
    torch.testing.assert_close(drawn.bincount() / 100_000, torch.tensor([0.1, 0.2, 0.7]), atol=0.005, rtol=0)


def test_categorical_divergence_by_hand_and_against_torch():
    ours, other = Categorical(torch.tensor([0.5, 0.5]).log()), Categorical(torch.tensor([0.25, 0.75]).log())
    # ½ log 2 + ½ log ⅔
    assert ours.kl(other).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    p, q = torch.randn(5, 3, 4), torch.randn(5, 3, 4)
    theirs = kl_divergence(torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q))
    torch.testing.assert_close(Categorical(p).kl(Categorical(q)), theirs)


def test_an_illegal_choice_has_no_probability_and_no_part_in_entropy_or_divergence():
    mask = torch.tensor([[True, False, True]])
    dist = Categorical(torch.tensor([[0.0, 50.0, math.log(3)]]), mask)
    assert dist.log_probs.exp().tolist()[0] == pytest.approx([0.25, 0, 0.75])
    assert -math.inf < dist.log_prob(torch.tensor([1])).item() < -1e8
    assert dist.entropy().item() == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    assert dist.mode().item() == 2
    other = Categorical(torch.tensor([[0.0, -50.0, 0.0]]), mask)
    assert dist.kl(other).item() == pytest.approx(math.log(2) - dist.entropy().item())
    assert 1 not in Categorical(torch.zeros(10_000, 3), mask).sample()


def test_a_mask_passes_no_gradient_to_what_is_illegal_and_no_nan_to_what_is_legal():
    logits = torch.zeros(1, 3, requires_grad=True)
    dist = Categorical(logits, torch.tensor([[True, False, True]]))
    (dist.entropy() + dist.log_prob(torch.tensor([0])) + dist.kl(Categorical(torch.tensor([[0.0, 1, 2]])))).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 1] == 0
    assert logits.grad[0, 0] != 0


def test_where_nothing_is_legal_all_choices_are_equally_likely():
    logits, mask = torch.randn(2, 4), torch.tensor([[False] * 4, [True, False, False, False]])
    assert Categorical(logits, mask).log_probs[0].exp().tolist() == [0.25] * 4
    noise = Categorical.noise(RNG(0), 1, (40_000, 4))[0]
    hopeless = np.zeros((40_000, 4), bool)
    drawn = Categorical.draw(np.tile(np.float32([9, 0, 0, 0]), (40_000, 1)), noise, hopeless)
    np.testing.assert_allclose(np.bincount(drawn) / 40_000, [0.25] * 4, atol=0.01)


def test_acting_never_takes_an_illegal_choice():
    mask = RNG(1).random((10_000, 5)) < 0.4
    mask[:, 2] = True
    logits = RNG(2).normal(size=(10_000, 5)).astype(np.float32) * 20
    drawn = Categorical.draw(logits, Categorical.noise(RNG(0), 1, (10_000, 5))[0], mask)
    assert mask[np.arange(10_000), drawn].all()


@pytest.mark.parametrize("kind", [Categorical, MultiCategorical, Bernoulli, Gaussian])
def test_noise_is_the_generators_and_has_the_shape_asked_for(
        kind: type[Categorical | MultiCategorical | Bernoulli | Gaussian]):
    noise = kind.noise(RNG(0), 3, 5)
    assert (noise.shape, noise.dtype) == ((3, 5), np.float32)
    assert kind.noise(RNG(0), 3, (5, 2)).shape == (3, 5, 2)
    assert np.array_equal(noise, kind.noise(RNG(0), 3, 5))
    assert not np.array_equal(noise, kind.noise(RNG(1), 3, 5))
    assert np.isfinite(kind.noise(RNG(2), 100, 10_000)).all()


def test_gumbel_noise_has_the_mean_and_deviation_of_gumbel():
    noise = Categorical.noise(RNG(0), 10, 20_000)
    assert noise.mean() == pytest.approx(0.5772, abs=0.01)  # Euler's constant
    assert noise.std() == pytest.approx(math.pi / math.sqrt(6), rel=0.01)


NVEC = (2, 3)


def test_multi_categorical_is_its_segments_together():
    # ½ · ¾, and their entropies added
    logits = torch.tensor([[0.0, 0.0, 0.0, math.log(6), math.log(1.0)]])
    dist = MultiCategorical(logits, NVEC)
    assert dist.log_prob(torch.tensor([[1, 1]])).exp().item() == pytest.approx(0.375)
    assert dist.entropy().item() == pytest.approx(math.log(2) + 0.75 * math.log(4 / 3) + 0.25 * math.log(8))
    assert dist.mode().tolist() == [[0, 1]]


def test_multi_categorical_agrees_with_torch_over_time_and_environments():
    p, q, action = torch.randn(5, 4, 5), torch.randn(5, 4, 5), torch.stack([torch.randint(n, (5, 4)) for n in NVEC], -1)
    ours, other = MultiCategorical(p, NVEC), MultiCategorical(q, NVEC)
    ps, qs = ([torch.distributions.Categorical(logits=part) for part in logits.split(NVEC, -1)] for logits in (p, q))
    log_prob = ps[0].log_prob(action[..., 0]) + ps[1].log_prob(action[..., 1])
    torch.testing.assert_close(ours.log_prob(action), log_prob)
    torch.testing.assert_close(ours.entropy(), ps[0].entropy() + ps[1].entropy())
    torch.testing.assert_close(ours.kl(other), kl_divergence(ps[0], qs[0]) + kl_divergence(ps[1], qs[1]))
    assert ours.sample().shape == ours.mode().shape == (5, 4, 2)


def test_multi_categorical_draws_segments_independently_with_their_own_probabilities():
    logits = np.tile(np.log(np.float32([0.25, 0.75, 0.2, 0.3, 0.5])), (100_000, 1))
    noise = MultiCategorical.noise(RNG(0), 1, (100_000, 5))[0]
    torch_drawn = MultiCategorical(torch.from_numpy(logits), NVEC).sample().numpy()
    for drawn in (MultiCategorical.draw(logits, noise, NVEC), torch_drawn):
        assert (drawn.shape, drawn.dtype) == ((100_000, 2), np.int64)
        pairs = np.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=6) / 100_000
        np.testing.assert_allclose(pairs, [0.05, 0.075, 0.125, 0.15, 0.225, 0.375], atol=0.006)


def test_multi_categorical_masks_each_segment_by_itself():
    mask = torch.tensor([[False, True, False, False, False]])  # of the second segment nothing is legal
    dist = MultiCategorical(torch.tensor([[9.0, 0.0, 5.0, 0.0, 0.0]]), NVEC, mask)
    assert dist.mode()[0, 0].item() == 1
    assert dist.log_prob(torch.tensor([[1, 2]])).exp().item() == pytest.approx(1 / 3)
    assert dist.entropy().item() == pytest.approx(math.log(3))
    noise = MultiCategorical.noise(RNG(0), 1, (9_000, 5))[0]
    drawn = MultiCategorical.draw(np.tile(np.float32([9, 0, 5, 0, 0]), (9_000, 1)), noise, NVEC,
                                  np.tile(mask.numpy(), (9_000, 1)))
    assert (drawn[:, 0] == 1).all()
    np.testing.assert_allclose(np.bincount(drawn[:, 1]) / 9_000, [1 / 3] * 3, atol=0.02)


def test_bernoulli_by_hand():
    dist = Bernoulli(torch.tensor([[0.0, math.log(3), -math.log(3)]]))  # ½, ¾, ¼
    assert dist.log_prob(torch.tensor([[1, 1, 1]])).exp().item() == pytest.approx(0.5 * 0.75 * 0.25)
    assert dist.log_prob(torch.tensor([[0, 1, 0]])).exp().item() == pytest.approx(0.5 * 0.75 * 0.75)
    assert dist.mode().tolist() == [[0, 1, 0]]
    assert dist.mode().dtype == torch.int64


def test_bernoulli_agrees_with_torch_over_time_and_environments():
    p, q, action = torch.randn(5, 4, 3), torch.randn(5, 4, 3), torch.randint(2, (5, 4, 3))
    theirs, others = (Independent(torch.distributions.Bernoulli(logits=logits), 1) for logits in (p, q))
    torch.testing.assert_close(Bernoulli(p).log_prob(action), theirs.log_prob(action.float()))
    torch.testing.assert_close(Bernoulli(p).entropy(), theirs.entropy())
    torch.testing.assert_close(Bernoulli(p).kl(Bernoulli(q)), kl_divergence(theirs, others))


def test_bernoulli_is_finite_where_it_is_certain():
    dist = Bernoulli(torch.tensor([[200.0, -200.0]]))
    assert dist.entropy().item() == 0.0
    assert dist.log_prob(torch.tensor([[1, 0]])).item() == 0.0
    assert Bernoulli.draw(np.float32([[2000, -2000]]), np.float32([[0.999, 0]])).tolist() == [[1, 0]]


def test_bernoulli_draws_ones_as_often_as_they_are_likely():
    logits = np.tile(np.float32([0, math.log(3), -math.log(3)]), (100_000, 1))
    drawn = Bernoulli.draw(logits, Bernoulli.noise(RNG(0), 1, (100_000, 3))[0])
    assert drawn.dtype == np.int64
    np.testing.assert_allclose(drawn.mean(0), [0.5, 0.75, 0.25], atol=0.005)
    sampled = Bernoulli(torch.from_numpy(logits)).sample()
    np.testing.assert_allclose(sampled.float().mean(0), [0.5, 0.75, 0.25], atol=0.005)


def test_noise_in_the_middle_draws_the_mode():
    logits = RNG(0).normal(size=(20, 5)).astype(np.float32)
    tensor, zero = torch.from_numpy(logits), np.zeros((20, 5), np.float32)
    assert Categorical.draw(logits, zero).tolist() == Categorical(tensor).mode().tolist()
    assert MultiCategorical.draw(logits, zero, NVEC).tolist() == MultiCategorical(tensor, NVEC).mode().tolist()
    assert Bernoulli.draw(logits, zero + 0.5).tolist() == Bernoulli(tensor).mode().tolist()
    assert np.array_equal(Gaussian.draw(logits, np.float32(2), zero), logits)


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
    drawn = Gaussian.draw(mean, np.float32([0.5, 2]), Gaussian.noise(RNG(0), 1, (50_000, 2))[0])
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(0), [1, -2], atol=0.03)
    np.testing.assert_allclose(drawn.std(0), [0.5, 2], rtol=0.02)


def test_gaussian_samples_with_its_mean_and_deviation_and_carries_gradient_to_both():
    mean, log_std = torch.tensor([1.0, -2.0], requires_grad=True), torch.tensor([0.5, 2.0]).log().requires_grad_()
    sample = Gaussian(mean.expand(50_000, 2), log_std).sample()
    torch.testing.assert_close(sample.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(sample.std(0), log_std.exp(), atol=0, rtol=0.02)
    sample.square().mean().backward()
    # d/dμ and d/dlog σ of the mean over both dimensions of μ² + σ²: μ and σ²
    torch.testing.assert_close(mean.grad, torch.tensor([1.0, -2.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(log_std.grad, torch.tensor([0.25, 4.0]), atol=0.01, rtol=0.03)


def test_gaussian_divergence_by_hand_and_against_torch():
    # log 2 + (1 + 1)/(2·4) − ½, in each of two dimensions
    narrow = Gaussian(torch.zeros(1, 2), torch.zeros(2))
    wide = Gaussian(torch.ones(1, 2), torch.full((2,), math.log(2)))
    assert narrow.kl(wide).item() == pytest.approx(2 * (math.log(2) + 0.25 - 0.5))
    means, log_stds = torch.randn(2, 5, 3, 2), torch.randn(2, 2)
    ours = [Gaussian(mean, log_std) for mean, log_std in zip(means, log_stds, strict=True)]
    theirs = [Independent(Normal(dist.mean, dist.log_std.exp()), 1) for dist in ours]
    torch.testing.assert_close(ours[0].kl(ours[1]), kl_divergence(*theirs))


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
