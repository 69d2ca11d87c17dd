"""Heads: from features to action values."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.nets.encoders import encoder_for
from rlcore.nets.heads import (
    ActionValues,
    Dueling,
    ImplicitQuantiles,
    QNetwork,
    dueling,
    epsilon_greedy,
    legal_values,
    numpy_mean,
    numpy_values,
)
from rlcore.nets.noisy import NoisyLinear, redraw


def test_dueling_by_hand():
    # mean advantage 3: 10 + (1 − 3), 10 + (5 − 3)
    assert dueling(torch.tensor([[10.0]]), torch.tensor([[1.0, 5.0]])).tolist() == [[8.0, 12.0]]


def test_dueling_over_atoms_subtracts_the_mean_over_actions_of_each_atom():
    value, advantage = torch.tensor([[[10.0, 20.0]]]), torch.tensor([[[1.0, 2.0], [5.0, 6.0]]])
    # atom 0: mean 3; atom 1: mean 4
    assert dueling(value, advantage, action_axis=-2).tolist() == [[[8.0, 18.0], [12.0, 22.0]]]


@pytest.mark.parametrize("head", [ActionValues, Dueling])
@pytest.mark.parametrize("lead", [(7,), (5, 7)])
def test_a_head_gives_one_number_or_k_per_action(head: type[ActionValues | Dueling], lead: tuple[int, ...]):
    features = torch.randn(*lead, 6)
    assert head(6, 3)(features).shape == (*lead, 3)
    assert head(6, 3, hidden=(8,), atoms=4)(features).shape == (*lead, 3, 4)
    assert head(6, 3, atoms=1)(features).shape == (*lead, 3, 1)


@pytest.mark.parametrize("atoms", [None, 4])
def test_the_mean_over_actions_is_the_value_stream(atoms: int | None):
    head, features = Dueling(6, 3, hidden=(8,), atoms=atoms), torch.randn(5, 6)
    torch.testing.assert_close(head(features).mean(1), head.value(features).squeeze(1))


def test_actions_are_rows_and_atoms_columns():
    head = ActionValues(1, 2, atoms=3)
    with torch.no_grad():
        head.stream[0].weight.zero_()
        head.stream[0].bias.copy_(torch.arange(6.0))
    assert head(torch.zeros(1, 1)).tolist() == [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]]


def test_both_streams_of_a_noisy_head_are_noisy():
    head, features = Dueling(4, 2, hidden=(8,), linear=NoisyLinear), torch.randn(3, 4)
    value, advantage = head.value(features), head.advantage(features)
    redraw(head, torch.Generator().manual_seed(0))
    assert not torch.allclose(head.value(features), value)
    assert not torch.allclose(head.advantage(features), advantage)


@pytest.mark.parametrize("options", [{}, {"atoms": 4}, {"split": True}, {"noisy": True, "split": True, "atoms": 4},
                                     {"activation": "tanh", "split": True}])
def test_acting_in_numpy_gives_what_the_network_gives(options: dict[str, Any]):
    net = QNetwork(encoder_for("Test", spaces.Box(-1, 1, (6,), np.float32)), 3, (8, 5), **options)
    redraw(net, torch.Generator().manual_seed(0))
    obs = torch.randn(7, 6)
    found = numpy_values(net, torch.device("cpu"))(obs.numpy())
    assert found.shape == ((7, 3, 4) if "atoms" in options else (7, 3))
    np.testing.assert_allclose(found, net(obs).detach().numpy(), atol=1e-6)


def test_a_network_splits_behind_its_last_but_one_hidden_layer():
    net = QNetwork(encoder_for("Test", spaces.Box(-1, 1, (6,), np.float32)), 3, (8, 5), split=True)
    shapes = [tuple(param.shape) for param in net.parameters() if param.dim() == 2]
    assert shapes == [(8, 6), (5, 8), (1, 5), (5, 8), (3, 5)]


def test_an_implicit_quantile_by_hand():
    net = ImplicitQuantiles(encoder_for("Test", spaces.Box(-1, 1, (1,), np.float32)), 2, (1,), num_cosines=2)
    with torch.no_grad():
        for param, value in zip(net.parameters(), ([[3.0]], [1.0], [[2.0, 4.0]], [0.5], [[1.0], [-1.0]], [0.0, 10.0]),
                                strict=True):
            param.copy_(torch.tensor(value))
    # ψ(2) = 3·2 + 1 = 7.  φ(½) = 2·cos 0 + 4·cos(π/2) + ½ = 2.5;  φ(1) = 2 + 4·(−1) + ½ < 0, cut to 0
    out = net(torch.tensor([[2.0]]), torch.tensor([[0.5, 1.0]]))
    torch.testing.assert_close(out, torch.tensor([[[17.5, 0.0], [-7.5, 10.0]]]))  # [row, action, fraction]


def test_legal_values_by_hand():
    mask = torch.tensor([[1, 0], [1, 1], [0, 0]], dtype=torch.int8)
    value = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    assert legal_values(value, {"action_mask": mask}).argmax(-1).tolist() == [0, 1, 1]
    assert torch.equal(legal_values(value, torch.zeros(3)), value)


def test_a_lot_picks_among_the_legal_actions_in_order():
    value, mask = np.array([[1.0, 9, 2, 3]] * 4), np.array([[True, False, True, True]] * 4)
    lot = np.array([-1, 0.0, 0.34, 0.999])  # thirds of the legal actions 0, 2, 3
    assert epsilon_greedy(value, lot, mask).tolist() == [3, 0, 2, 3]
    assert epsilon_greedy(value, lot).tolist() == [1, 0, 1, 3]
    assert epsilon_greedy(value, None, mask).tolist() == [3, 3, 3, 3]
    assert epsilon_greedy(value, lot, ~mask & False).tolist() == [1, 0, 1, 3]


def test_the_mean_of_a_distribution_by_hand():
    # chances ½, ½ and ¼, ¾ of 0 and 4
    logits = np.log(np.array([[[1.0, 1.0], [1.0, 3.0]]]))
    np.testing.assert_allclose(numpy_mean(logits, np.array([0.0, 4.0])), [[2.0, 3.0]])
