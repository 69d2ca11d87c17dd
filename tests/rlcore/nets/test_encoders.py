"""Bodies of networks: layout, initialisation and observation statistics."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rlcore.config import ShapeError
from rlcore.nets.encoders import RunningNorm, encoder_for, is_plain, mlp


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


def test_choices_become_indicator_vectors():
    one = encoder_for("X", spaces.Discrete(3, start=5))
    assert one(torch.tensor([5, 7])).tolist() == [[1, 0, 0], [0, 0, 1]]
    several = encoder_for("X", spaces.MultiDiscrete([2, 3]))
    assert several(torch.tensor([[[1, 0]], [[0, 2]]])).tolist() == [[[0, 1, 1, 0, 0]], [[1, 0, 0, 0, 1]]]
    assert (one.out_dim, several.out_dim) == (3, 5)


def test_boxes_and_switches_become_vectors_of_floats():
    assert encoder_for("X", spaces.MultiBinary(3))(torch.tensor([[1, 0, 1]], dtype=torch.int8)).tolist() == [[1, 0, 1]]
    table = encoder_for("X", spaces.Box(-1, 1, (2, 3)))
    assert table(torch.arange(12.0).view(1, 2, 2, 3)).shape == (1, 2, 6)


def test_a_dictionary_is_its_parts_side_by_side_without_the_action_mask():
    space = spaces.Dict(b=spaces.Discrete(2), a=spaces.Box(-1, 1, (2,)), action_mask=spaces.MultiBinary(4))
    encoder = encoder_for("X", space, normalize=True)
    obs = {"a": torch.tensor([[3.0, 4.0]]), "b": torch.tensor([1]), "action_mask": torch.ones(1, 4)}
    assert encoder(obs).tolist() == [[0, 1, 3, 4]]  # nothing learnt yet
    encoder.learn({"a": torch.tensor([[1.0, 2.0], [3.0, 6.0]] * 50), "b": torch.tensor([0, 1] * 50)})
    # means 2 and 4, deviations 1 and 2
    torch.testing.assert_close(encoder(obs), torch.tensor([[0.0, 1.0, 1.0, 0.0]]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("shape", "features"), [((84, 84, 4), 64 * 7 * 7), ((4, 84, 84), 64 * 7 * 7),
                                                 ((84, 84), 64 * 7 * 7),
                                                 ((7, 7, 3), 64 * 4 * 4)])
def test_pixels_go_through_convolutions_whichever_axis_holds_the_channels(shape: tuple[int, ...], features: int):
    encoder = encoder_for("X", spaces.Box(0, 255, shape, np.uint8))
    assert encoder.out_dim == features
    out = encoder(torch.randint(0, 256, (2, 3, *shape), dtype=torch.uint8))
    assert out.shape == (2, 3, features)
    assert not is_plain(spaces.Box(0, 255, shape, np.uint8))


def test_channels_first_and_last_are_the_same_image():
    torch.manual_seed(0)
    last = encoder_for("X", spaces.Box(0, 255, (40, 50, 3), np.uint8))
    torch.manual_seed(0)
    first = encoder_for("X", spaces.Box(0, 255, (3, 40, 50), np.uint8))
    image = torch.randint(0, 256, (2, 40, 50, 3), dtype=torch.uint8)
    torch.testing.assert_close(last(image), first(image.permute(0, 3, 1, 2)))


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Tuple([spaces.Discrete(2)]),
                                   spaces.Box(0, 255, (2, 2, 3), np.uint8),
                                   spaces.Dict(action_mask=spaces.MultiBinary(2))])
def test_an_observation_that_cannot_be_read_is_refused_in_a_sentence(space: spaces.Space):
    with pytest.raises(ShapeError, match=r"cannot read observations of|too small for convolutions"):
        encoder_for("X", space)


def test_bfloat16_convolutions_give_float32_features_near_the_exact_ones_and_float32_gradients():
    space, image = spaces.Box(0, 255, (4, 84, 84), np.uint8), torch.randint(0, 256, (8, 4, 84, 84), dtype=torch.uint8)
    exact, rounded = encoder_for("X", space), encoder_for("X", space, precision="bfloat16")
    rounded.load_state_dict(exact.state_dict())
    outs = [net(image) for net in (exact, rounded)]
    for out in outs:
        out.square().sum().backward()
    assert outs[1].dtype == torch.float32
    exactly, roughly = (out.detach() for out in outs)
    assert not torch.equal(exactly, roughly)
    # each of three layers rounds its inputs, weights and outputs by 2⁻⁹ at most, and errors of both signs cancel
    assert float((exactly - roughly).norm() / exactly.norm()) < 3 * 2**-8
    for one, other in zip(exact.parameters(), rounded.parameters(), strict=True):
        assert other.grad.dtype == other.dtype == torch.float32
        assert float((one.grad - other.grad).norm() / one.grad.norm()) < 0.05


def test_a_white_image_through_averaging_convolutions_is_one():
    for precision, off in (("float32", 1e-5), ("bfloat16", 6 * 2**-9)):  # two roundings in each of three layers
        net = encoder_for("X", spaces.Box(0, 255, (36, 36), np.uint8), precision=precision)
        with torch.no_grad():
            for conv in net.convs[::2]:
                conv.weight.fill_(1 / conv.weight[0].numel())
        white = torch.full((2, 36, 36), 255, dtype=torch.uint8)
        torch.testing.assert_close(net(white), torch.ones(2, net.out_dim), atol=off, rtol=0)


def test_precision_reaches_the_images_in_a_dictionary():
    space = spaces.Dict(eye=spaces.Box(0, 255, (36, 36), np.uint8), body=spaces.Box(-1, 1, (2,)))
    eye, body = encoder_for("X", space, precision="bfloat16").encoders
    assert eye.dtype == torch.bfloat16
    assert body(torch.full((1, 2), 1 + 2**-12)).tolist() == [[1 + 2**-12] * 2]  # bfloat16 would give 1


def test_a_box_of_one_bare_number_is_a_vector_of_one():
    encoder = encoder_for("PPO", spaces.Box(-np.inf, np.inf, (), np.float32))
    assert encoder.out_dim == 1
    assert encoder(torch.tensor([3.0, 4.0])).tolist() == [[3.0], [4.0]]
    assert encoder(torch.zeros(5, 2)).shape == (5, 2, 1)
