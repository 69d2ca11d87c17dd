"""The fast acting path computes what the network computes."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rlcore.nets.acting import numpy_forward
from rlcore.nets.encoders import RunningNorm, Vector, encoder_for, mlp
from rlcore.nets.optim import adam, descend, flatten

CPU = torch.device("cpu")


def agree(net: nn.Module, rows: int = 9) -> None:
    obs = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(obs)).numpy()
    found = numpy_forward(net, CPU)(obs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("rows", [1, 9])
def test_numpy_computes_what_torch_computes(activation: str, rows: int):
    agree(mlp((5, 32, 32, 3), activation), rows)


def test_numpy_computes_what_torch_computes_behind_observation_statistics():
    norm = RunningNorm((5,), limit=1.0)
    norm.learn(torch.randn(100, 5) * 3 + 1)
    agree(nn.Sequential(norm, *mlp((5, 16, 2), "tanh")))


def test_a_network_with_an_unknown_layer_still_acts():
    agree(nn.Sequential(nn.Linear(5, 4), nn.ELU(), nn.Linear(4, 2)))


def test_the_fast_path_follows_the_optimiser_and_the_statistics_without_being_rebuilt():
    norm, net = RunningNorm((5,)), mlp((5, 16, 2), "tanh")
    whole = nn.Sequential(norm, *net)
    forward, obs = numpy_forward(whole, CPU), np.ones((3, 5), np.float32)
    optimizer = adam(flatten(whole), 0.1)
    before = forward(obs)
    for _ in range(3):
        descend(whole(torch.ones(4, 5)).sum(), optimizer)
        norm.learn(torch.randn(10, 5))
    whole.load_state_dict(whole.state_dict())
    assert np.abs(forward(obs) - before).min() > 0.01
    with torch.no_grad():
        np.testing.assert_allclose(forward(obs), whole(torch.from_numpy(obs)).numpy(), rtol=1e-5, atol=1e-6)


def test_the_fast_path_leaves_its_input_alone():
    obs = np.ones((2, 5), np.float32)
    numpy_forward(mlp((5, 4), "relu"), CPU)(obs)
    assert (obs == 1).all()


def test_a_vector_encoder_is_part_of_the_fast_path_and_other_observations_go_through_torch():
    encoder = Vector((5,), normalize=True)
    encoder.learn(torch.randn(50, 5) * 2)
    agree(nn.Sequential(encoder, mlp((5, 8, 2), "relu")))
    seats = encoder_for("X", spaces.MultiDiscrete([2, 3]))
    net, obs = nn.Sequential(seats, mlp((5, 4), "relu")), np.array([[1, 2], [0, 0]])
    with torch.no_grad():
        np.testing.assert_array_equal(numpy_forward(net, CPU)(obs), net(torch.from_numpy(obs)).numpy())
