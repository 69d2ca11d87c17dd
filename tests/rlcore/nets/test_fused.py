import pytest
import torch
from torch import nn

from rlcore.nets.encoders import mlp
from rlcore.nets.ensemble import EnsembleMLP
from rlcore.nets.fused import Fused, RoundedLinear, fuse
from rlcore.nets.optim import flatten


def nets() -> dict[str, nn.Sequential | EnsembleMLP]:
    torch.manual_seed(0)
    return {"tanh": mlp((5, 16, 24, 3), "tanh"), "relu": mlp((5, 16, 24, 3), "relu"), "linear": mlp((5, 3), "relu"),
            "ensemble": EnsembleMLP(3, (5, 16, 24))}


@pytest.mark.parametrize("name", nets())
def test_one_node_computes_what_the_network_computes_with_the_same_gradients(name: str):
    net = nets()[name]
    params, fused = flatten(net), fuse(net)
    assert params.grad is not None
    x = torch.randn(10, 5, requires_grad=True)
    expected = net(x)
    towards = torch.randn_like(expected)
    (to_x,) = torch.autograd.grad(expected, x, towards, retain_graph=True)
    expected.backward(towards)
    to_params = params.grad.clone()

    params.grad.zero_()
    place = next(net.parameters()).grad
    out = fused(x)
    torch.testing.assert_close(out, expected)
    x.grad = None
    out.backward(towards)
    torch.testing.assert_close(params.grad, to_params)
    torch.testing.assert_close(x.grad, to_x)
    assert next(net.parameters()).grad is place  # a view of the flat gradient, still
    with torch.no_grad():
        torch.testing.assert_close(fused(x), expected)


def test_gradients_add_up_over_two_losses():
    net = nets()["tanh"]
    params, fused, x = flatten(net), fuse(net), torch.randn(4, 5)
    assert params.grad is not None
    fused(x).sum().backward()
    once = params.grad.clone()
    (fused(x).sum() + fused(x).sum()).backward()
    torch.testing.assert_close(params.grad, 3 * once)


@pytest.mark.parametrize("name", nets())
def test_frozen_sends_the_gradient_to_the_input_alone(name: str):
    net = nets()[name]
    params, fused = flatten(net), fuse(net)
    assert isinstance(fused, Fused)
    assert params.grad is not None
    x = torch.randn(6, 5, requires_grad=True)
    (expected,) = torch.autograd.grad(net(x).square().sum(), x)
    fused.frozen(x).square().sum().backward()
    torch.testing.assert_close(x.grad, expected)
    assert not params.grad.any()


@pytest.mark.parametrize("name", ["mlp", "ensemble"])
def test_bfloat16_rounds_the_wide_product_and_leaves_no_switch_behind(name: str):
    torch.manual_seed(0)
    net = mlp((4, 128, 128, 2), "relu") if name == "mlp" else EnsembleMLP(2, (4, 128, 128))
    params, fused = flatten(net), fuse(net, "bfloat16")
    assert params.grad is not None
    before = torch.backends.mkldnn.matmul.fp32_precision
    x = torch.randn(256, 4)
    net(x).square().sum().backward()
    exact = params.grad.clone()
    params.grad.zero_()
    fused(x).square().sum().backward()
    # bfloat16 keeps 8 bits: each factor is off by 2⁻⁹ at most, far from a wrong formula's error of order 1
    assert float((params.grad - exact).norm() / exact.norm()) < 0.02
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_leading_axes_are_kept_and_other_networks_are_returned_as_they_are():
    net = nets()["relu"]
    assert fuse(net)(torch.randn(7, 2, 5)).shape == (7, 2, 3)
    for other in (nn.Conv2d(1, 1, 3), nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), nn.Linear(4, 2)):
        assert fuse(other) is other


def test_a_wide_linear_layer_outside_a_fused_network_rounds_and_a_narrow_one_does_not():
    narrow, wide, x = RoundedLinear(128, 64), RoundedLinear(128, 128), torch.randn(16, 128)
    assert torch.equal(narrow(x), nn.functional.linear(x, narrow.weight, narrow.bias))
    exact, rounded = nn.functional.linear(x, wide.weight, wide.bias).detach(), wide(x).detach()
    assert not torch.equal(rounded, exact)
    assert float((rounded - exact).norm() / exact.norm()) < 2**-7
    wide(x).sum().backward()
    torch.testing.assert_close(wide.weight.grad, x.sum(0).expand(128, 128), rtol=0.02, atol=0.1)
