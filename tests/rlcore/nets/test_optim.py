"""The gradient step over flat parameters."""

import copy

import pytest
import torch
from torch import nn

from rlcore.nets.optim import adam, descend, flatten, polyak, set_learning_rate, step


def test_flattening_changes_no_output_and_lays_out_every_parameter():
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3)
    before = net(x)
    vector = flatten(net)
    assert vector.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    assert torch.equal(net(x), before)


def test_a_step_on_the_vector_is_a_step_on_the_modules():
    net = nn.Linear(2, 1)
    twin = copy.deepcopy(net)
    ours, theirs = adam(flatten(net), 0.1), torch.optim.Adam(twin.parameters(), lr=0.1)
    x = torch.randn(6, 2)
    for _ in range(5):
        descend(net(x).square().mean(), ours)
        theirs.zero_grad()
        twin(x).square().mean().backward()
        theirs.step()
    torch.testing.assert_close(net.weight, twin.weight)
    torch.testing.assert_close(net.bias, twin.bias)


def test_gradients_do_not_pile_up_from_one_step_to_the_next():
    net = nn.Linear(1, 1)
    optimizer = torch.optim.SGD([flatten(net)], lr=0.0)
    norms = [descend(net(torch.ones(1, 1)).sum(), optimizer).item() for _ in range(3)]
    assert norms == pytest.approx([2**0.5] * 3)  # dL/dw = dL/db = 1, every time


def test_descend_scales_a_long_gradient_down_and_reports_its_length_before():
    net = nn.Linear(2, 1, bias=False)
    start = net.weight.detach().clone()
    optimizer = torch.optim.SGD([flatten(net)], lr=1.0)
    norm = descend(net(torch.tensor([[3.0, 4.0]])).sum(), optimizer, max_grad_norm=1.0)
    assert norm.item() == pytest.approx(5.0)  # gradient (3, 4)
    torch.testing.assert_close(start - net.weight.detach(), torch.tensor([[0.6, 0.8]]))


def test_load_state_dict_after_flattening_writes_into_the_vector():
    net, other = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = flatten(net)
    net.load_state_dict(other.state_dict())
    assert torch.equal(vector.detach()[:6], other.weight.detach().flatten())
    descend(net(torch.ones(1, 3)).sum(), torch.optim.SGD([vector], lr=1.0))
    assert not torch.equal(net.weight, other.weight)  # the step still reaches the module


def test_two_modules_share_one_vector_and_one_gradient_norm():
    one, two = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD([flatten(one, two)], lr=0.0)
    loss = 3 * one(torch.ones(1, 1)) + 4 * two(torch.ones(1, 1))
    assert descend(loss.sum(), optimizer).item() == pytest.approx(5.0)


def test_set_learning_rate_reaches_the_next_step():
    net = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD([flatten(net)], lr=1.0)
    set_learning_rate(optimizer, 0.0)
    before = net.weight.detach().clone()
    descend(net(torch.ones(1, 1)).sum(), optimizer)
    assert torch.equal(net.weight.detach(), before)


def test_polyak_moves_the_lagging_parameters_a_share_of_the_way():
    lagging, online = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    lagged, params = flatten(lagging), flatten(online)
    with torch.no_grad():
        lagged.fill_(4.0)
        params.fill_(8.0)
    polyak(lagged, params, tau=0.25)
    assert lagging.weight.item() == 5.0  # 0.75·4 + 0.25·8, seen through the module
    polyak(lagged, params, tau=1.0)
    assert (lagging.weight.item(), online.weight.item()) == (8.0, 8.0)


def test_adam_steps_are_the_optimisers_own_bit_for_bit_also_from_a_checkpoint():
    torch.manual_seed(0)
    first = nn.Parameter(torch.randn(1000))
    second = nn.Parameter(first.detach().clone())
    ours, theirs = adam(first, 1e-2, eps=1e-5), adam(second, 1e-2, eps=1e-5)
    for turn in range(6):
        first.grad = torch.randn(1000)
        second.grad = first.grad.clone()
        step(ours, [first])
        theirs.step()
        if turn == 2:  # a checkpoint replaces the state's tensors
            ours.load_state_dict(copy.deepcopy(ours.state_dict()))
    assert torch.equal(first, second)
    mine, its = ours.state[first], theirs.state[second]
    assert all(torch.equal(mine[name], its[name]) for name in ("step", "exp_avg", "exp_avg_sq"))


def test_adams_averages_lie_where_its_vector_does_before_the_first_step():
    vector = nn.Parameter(torch.ones(3, device="meta"))
    state = adam(vector, 1e-2).state[vector]
    assert {name: (part.device.type, *part.shape) for name, part in state.items()} == {
        "step": ("meta",), "exp_avg": ("meta", 3), "exp_avg_sq": ("meta", 3)}
