"""An ensemble is K separate networks, only faster."""

import math

import torch
from torch import nn

from rlcore.nets.ensemble import EnsembleMLP


def apart(net: EnsembleMLP, member: int) -> nn.Sequential:
    """One member as ordinary layers with the same numbers."""
    layers: list[nn.Module] = []
    for weight, bias in zip(net.weights, net.biases, strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[2])
        layer.weight.data, layer.bias.data = weight[member].T.clone(), bias[member, 0].clone()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_an_ensemble_equals_separate_networks_forward_and_backward():
    net, x = EnsembleMLP(3, (5, 16, 8)), torch.randn(7, 5)
    members = [apart(net, k) for k in range(3)]
    out = net(x)
    assert out.shape == (3, 7)
    torch.testing.assert_close(out, torch.stack([member(x).squeeze(-1) for member in members]))
    out.square().sum().backward()
    for k, member in enumerate(members):
        member(x).square().sum().backward()
        torch.testing.assert_close(net.weights[0].grad[k].T, member[0].weight.grad)
        torch.testing.assert_close(net.biases[-1].grad[k, 0], member[-1].bias.grad)


def test_members_start_different_and_one_members_loss_moves_only_that_member():
    net = EnsembleMLP(2, (5, 16))
    assert not torch.equal(net.weights[0][0], net.weights[0][1])
    net(torch.randn(7, 5))[0].sum().backward()
    assert net.weights[0].grad[0].abs().sum() > 0
    assert net.weights[0].grad[1].abs().sum() == 0


def test_initial_weights_have_the_spread_of_nn_linear():
    weight = EnsembleMLP(4, (100, 64)).weights[0]
    assert weight.abs().max().item() <= 0.1  # 1/√100
    assert math.isclose(weight.std().item(), 0.1 / math.sqrt(3), rel_tol=0.05)


def test_some_members_give_what_they_give_among_all():
    net, x = EnsembleMLP(5, (3, 16), outputs=4), torch.randn(7, 3)
    torch.testing.assert_close(net(x, torch.tensor([4, 1])), net(x)[[4, 1]])
