"""Acting in NumPy and learning in torch read a squashed actor's numbers alike."""

import numpy as np
import pytest
import torch

from rlcore.nets.actors import draw_squashed, squashed


def test_a_draw_is_the_tanh_of_mean_plus_deviation_times_noise_and_the_centre_without():
    out, noise = np.array([[0.5, -0.5, np.log(2), 0]], np.float32), np.array([[0.25, 1]], np.float32)
    assert draw_squashed(out, noise)[0] == pytest.approx(np.tanh([0.5 + 2 * 0.25, -0.5 + 1]), rel=1e-6)
    assert draw_squashed(out, None)[0] == pytest.approx(np.tanh([0.5, -0.5]), rel=1e-6)
    assert squashed(torch.from_numpy(out)).mode()[0].tolist() == pytest.approx(np.tanh([0.5, -0.5]).tolist())


def test_deviations_are_bounded_on_both_sides_alike():
    out = np.array([[0.0, 50.0], [0.0, -50.0]], np.float32)
    drawn = draw_squashed(out, np.full((2, 1), 0.1, np.float32))
    assert drawn[:, 0] == pytest.approx([np.tanh(0.1 * np.exp(2)), 0.1 * np.exp(-20)], rel=1e-5)
    assert squashed(torch.from_numpy(out)).log_std[:, 0].tolist() == [2, -20]
