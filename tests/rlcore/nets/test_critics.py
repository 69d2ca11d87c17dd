"""Critics, their lagging copies and what reaches which parameter."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.nets.critics import Critics, critics_with_copy
from rlcore.nets.encoders import learn_obs

VECTOR = spaces.Box(-9, 9, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)


def pair(space: spaces.Space[Any], **changes: Any) -> tuple[Critics, Critics]:
    return critics_with_copy("Test", space, 2, (8,), device=torch.device("cpu"), **changes)


@pytest.mark.parametrize(("space", "shared"), [(VECTOR, True), (IMAGE, False)], ids=["vector", "pixels"])
def test_a_copy_says_the_same_and_shares_only_an_encoder_that_learns_nothing(space: spaces.Space[Any], shared: bool):
    critics, behind = pair(space)
    space.seed(0)
    obs, action = torch.from_numpy(np.stack([space.sample() for _ in range(4)])), torch.rand(4, 2)
    torch.testing.assert_close(critics(critics.features(obs), action), behind(behind.features(obs), action))
    assert (critics.encoder is behind.encoder) == shared
    ours = {param.data_ptr() for param in critics.parameters()}
    assert not ours & {param.data_ptr() for param in behind.parameters()}


def test_judging_gives_the_same_values_but_teaches_the_action_alone():
    critics, _ = pair(VECTOR)
    features, action = torch.randn(4, 3), torch.rand(4, 2, requires_grad=True)
    judged = critics.judge(features, action)
    torch.testing.assert_close(judged, critics(features, action))
    judged.sum().backward()
    assert action.grad is not None
    assert action.grad.abs().sum() > 0
    assert all(param.grad is None or param.grad.abs().sum() == 0 for param in critics.parameters())


def test_the_first_network_can_be_judged_by_alone():
    critics, _ = pair(VECTOR)
    features, action = torch.randn(4, 3), torch.rand(4, 2, requires_grad=True)
    same = action.detach().clone().requires_grad_()
    first = critics.judge_first(features, action)
    torch.testing.assert_close(first, critics.judge(features, same)[0])
    first.square().sum().backward()
    critics.judge(features, same)[0].square().sum().backward()
    torch.testing.assert_close(action.grad, same.grad)
    assert all(param.grad is None or not param.grad.any() for param in critics.parameters())


def test_quantiles_and_choices_have_an_axis_of_their_own():
    critics, _ = pair(VECTOR, num=3, outputs=5)
    assert critics(torch.randn(4, 3), torch.rand(4, 2)).shape == (3, 4, 5)
    choosing, _ = critics_with_copy("Test", VECTOR, 0, (8,), outputs=1, device=torch.device("cpu"))
    assert choosing.choices(torch.randn(4, 3)).shape == (2, 4, 1)


def test_running_statistics_are_learnt_once_though_two_read_them():
    critics, behind = pair(VECTOR, normalize=True)
    learn_obs(torch.arange(12.0).reshape(2, 2, 3), critics.encoder, behind.encoder)
    assert critics.encoder.norm.mean.tolist() == pytest.approx([4.5, 5.5, 6.5], rel=1e-3)
    assert critics.encoder.norm.count.item() == pytest.approx(4, rel=1e-3)
