"""Bodies of networks: layout, initialisation and observation statistics."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from rlcore.nets.encoders import RunningNorm, mlp


def test_mlp_has_an_activation_between_layers_and_none_at_the_end():
    kinds = [type(layer) for layer in mlp((3, 8, 8, 2), "relu")]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


def test_out_gain_makes_layers_orthogonal_with_a_small_last_one():
    first, last = (layer for layer in mlp((4, 64, 2), "tanh", out_gain=0.01) if isinstance(layer, nn.Linear))
    # orthonormal columns times the gain: WᵀW = gain²·I
    torch.testing.assert_close(first.weight.T @ first.weight, 2 * torch.eye(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(last.weight @ last.weight.T, 1e-4 * torch.eye(2), atol=1e-8, rtol=0)
    assert first.bias.abs().sum() + last.bias.abs().sum() == 0


def test_without_out_gain_the_layers_keep_pytorchs_own_initialisation():
    torch.manual_seed(0)
    ours = mlp((4, 8, 2), "relu")[0]
    torch.manual_seed(0)
    assert torch.equal(ours.weight, nn.Linear(4, 8).weight)


def test_running_norm_does_nothing_before_it_has_learnt():
    obs = torch.tensor([[1.0, -2.0]])
    torch.testing.assert_close(RunningNorm((2,))(obs), obs)


def test_running_norm_centres_and_scales_by_what_it_has_seen():
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal((5, -3), (2, 0.1), size=(4000, 2)).astype(np.float32))
    norm = RunningNorm((2,))
    for lot in rows.split(500):
        norm.learn(lot)
    done = norm(rows)
    torch.testing.assert_close(done.mean(0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(done.std(0), torch.ones(2), atol=1e-3, rtol=0)
    assert norm.count.item() == pytest.approx(4000, abs=0.01)


def test_running_norm_clips_outliers_and_learns_only_when_told():
    norm = RunningNorm((1,), limit=3.0)
    assert norm(torch.tensor([[100.0], [-100.0]])).flatten().tolist() == [3.0, -3.0]
    assert norm.mean.item() == 0.0


def test_running_norm_travels_in_the_state_dict():
    norm, other = RunningNorm((2,)), RunningNorm((2,))
    norm.learn(torch.randn(10, 2))
    other.load_state_dict(norm.state_dict())
    obs = torch.randn(3, 2)
    assert torch.equal(norm(obs), other(obs))
    assert math.isclose(other.count.item(), 10, abs_tol=0.01)
