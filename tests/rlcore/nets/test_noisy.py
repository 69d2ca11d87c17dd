"""Noisy layers: whose noise, when, and how much."""

import math

import torch
from torch import nn

from rlcore.nets.noisy import ActingNoise, NoisyLinear, mean_only, redraw


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_layer_by_hand():
    layer = NoisyLinear(2, 1)
    with torch.no_grad():
        for param, value in ((layer.weight, [[1, 2]]), (layer.weight_sigma, [[0.5, 0.25]]),
                             (layer.bias, [3]), (layer.bias_sigma, [0.125])):
            param.copy_(torch.tensor(value))
    layer.noise_in.copy_(torch.tensor([2.0, -4.0]))
    layer.noise_out.copy_(torch.tensor([8.0]))
    # weights 1 + ½·16 = 9 and 2 − ¼·32 = −6, bias 3 + ⅛·8 = 4:  9·1 − 6·10 + 4
    assert layer(torch.tensor([[1.0, 10.0]])).item() == -47.0
    with mean_only(layer):
        assert layer(torch.tensor([[1.0, 10.0]])).item() == 24.0  # 1 + 20 + 3
    assert layer(torch.tensor([[1.0, 10.0]])).item() == -47.0


def test_the_noise_is_the_signed_root_of_a_normal():
    layer = NoisyLinear(40_000, 1)
    layer.redraw(generator())
    # f(x)² = |x|: its mean is √(2/π); f(x)⁴ = x²: its mean is 1
    assert layer.noise_in.mean().abs().item() < 0.02
    assert math.isclose(layer.noise_in.square().mean().item(), math.sqrt(2 / math.pi), rel_tol=0.02)
    assert math.isclose(layer.noise_in.pow(4).mean().item(), 1, rel_tol=0.03)


def test_weights_and_their_noise_start_as_the_paper_says():
    layer = NoisyLinear(100, 50)
    assert layer.weight.abs().max().item() <= 0.1
    assert math.isclose(layer.weight.std().item(), 0.1 / math.sqrt(3), rel_tol=0.05)
    torch.testing.assert_close(layer.weight_sigma.detach(), torch.full((50, 100), 0.05))  # σ₀/√100
    torch.testing.assert_close(layer.bias_sigma.detach(), torch.full((50,), 0.05))


def test_noise_comes_from_the_generator_alone_and_stays_until_redrawn():
    net, x = nn.Sequential(NoisyLinear(4, 8), nn.ReLU(), NoisyLinear(8, 2)), torch.randn(3, 4)
    quiet = net(x)
    with mean_only(net):
        assert torch.equal(net(x), quiet)  # before the first draw there is no noise
    before = torch.get_rng_state()
    redraw(net, generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    first = net(x)
    assert torch.equal(net(x), first)
    assert not torch.allclose(first, quiet)
    redraw(net, generator(2))
    assert not torch.allclose(net(x), first)
    redraw(net, generator(1))
    assert torch.equal(net(x), first)


def test_layers_of_one_network_draw_different_noise():
    net = nn.Sequential(NoisyLinear(4, 4), NoisyLinear(4, 4))
    redraw(net, generator())
    assert not torch.equal(net[0].noise_in, net[1].noise_in)


def test_gradient_reaches_mean_and_deviation_but_the_deviation_only_under_noise():
    layer = NoisyLinear(3, 2)
    layer.redraw(generator())
    layer(torch.randn(5, 3)).sum().backward()
    assert all(param.grad is not None and param.grad.abs().sum() > 0 for param in layer.parameters())
    layer.zero_grad(set_to_none=True)
    with mean_only(layer):
        layer(torch.randn(5, 3)).sum().backward()
    assert layer.weight_sigma.grad is None
    assert layer.weight.grad is not None


def test_noise_travels_in_the_state_dict():
    layer, other = NoisyLinear(3, 2), NoisyLinear(3, 2)
    layer.redraw(generator())
    other.load_state_dict(layer.state_dict())
    x = torch.randn(4, 3)
    assert torch.equal(layer(x), other(x))


def test_acting_noise_is_known_by_its_number_and_the_seed():
    net, x = nn.Sequential(NoisyLinear(4, 8), nn.ReLU(), NoisyLinear(8, 2)), torch.randn(3, 4)
    quiet, noise = net(x), ActingNoise(net, seed=5)
    noise.use(7)
    seventh = net(x)
    redraw(net, generator(1))  # as learning does
    noise.use(7)
    assert torch.equal(net(x), seventh)
    noise.use(8)
    assert not torch.allclose(net(x), seventh)
    ActingNoise(net, seed=5).use(7)
    assert torch.equal(net(x), seventh)
    ActingNoise(net, seed=6).use(7)
    assert not torch.allclose(net(x), seventh)
    noise.use(None)
    assert torch.equal(net(x), quiet)
