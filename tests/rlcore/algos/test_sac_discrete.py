"""SAC-Discrete's exact expectations, worked out by hand; what it shares with its relatives is tested beside it."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.algos.sac_discrete import (
    SACDiscrete,
    SACDiscreteBatch,
    SACDiscreteConfig,
    sac_discrete_critic_loss,
    sac_discrete_loss,
    sac_discrete_targets,
)
from tests.rlcore.algos.stand_ins import Says, Slopes, picked

LINE = spaces.Box(-100, 100, (1,), np.float32)
QUARTER = Says(math.log(0.25), math.log(0.75))  # π = (¼, ¾)
SURPRISE = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)  # Σ π·log π


def test_targets_are_the_exact_mean_over_actions_of_the_smaller_critic_less_the_price_of_certainty():
    lagging = Slopes([[8.0, 1.0], [4.0, 3.0]])  # smaller of each action: 4 and 1
    batch = sac_discrete_targets(picked([1.0, 1.0], [0.5, 0.0]), QUARTER, Slopes([[0.0, 0.0]] * 2), lagging,
                                 torch.tensor([0.5]))
    # ¼·4 + ¾·1 = 1¾
    assert batch.target.tolist() == pytest.approx([1 + 0.5 * (1.75 - 0.5 * SURPRISE), 1.0])


def test_the_critics_loss_reads_the_choices_that_were_made():
    batch = SACDiscreteBatch(torch.zeros(3, 1), torch.tensor([0, 1, 0]), torch.tensor([3.0, 5.0, 1e6]),
                             torch.tensor([1.0, 1, 0]))
    loss, metrics = sac_discrete_critic_loss(Slopes([[1.0, 2.0], [3.0, 4.0]]), batch)
    # action 0: ½·(2² + 0²); action 1: ½·(3² + 1²)
    assert loss.item() == (2 + 5) / 2
    assert metrics["value/mean"].item() == 2.5  # (1 + 3)/2 and (2 + 4)/2


def test_the_actors_loss_is_an_exact_mean_and_moves_towards_what_is_worth_more():
    batch = SACDiscreteBatch(torch.zeros(2, 1), torch.tensor([0, 0]), torch.zeros(2), torch.tensor([1.0, 0]))
    critics = Slopes([[8.0, 1.0], [4.0, 3.0]])
    actor = Says(math.log(0.25), math.log(0.75))
    loss, entropy = sac_discrete_loss(actor, critics, batch, torch.tensor([0.5]))
    assert loss.item() == pytest.approx(0.5 * SURPRISE - 1.75)
    assert entropy.item() == pytest.approx(-SURPRISE)
    loss.backward()
    assert actor.numbers.grad is not None
    assert actor.numbers.grad[0] < 0 < actor.numbers.grad[1]  # descent raises the first choice, worth 4
    assert critics.value.grad is None


def test_the_target_entropy_is_a_share_of_that_of_uniform_actions():
    for choices, share in ((4, 0.5), (6, 0.98), (1, 0.7)):
        agent = SACDiscrete(LINE, spaces.Discrete(choices), SACDiscreteConfig(hidden=(8,), target_entropy_share=share))
        assert agent.target_entropy == pytest.approx(share * math.log(choices))
        assert agent.critics.choices(torch.zeros(5, 1)).shape == (2, 5, choices)


def test_acting_draws_each_choice_as_often_as_the_policy_says():
    agent = SACDiscrete(LINE, spaces.Discrete(2), SACDiscreteConfig(hidden=(8,)))
    with torch.no_grad():
        agent.actor_params.zero_()
        agent.actor[-1].bias.copy_(torch.tensor([0.25, 0.75]).log())
    obs, memory = np.zeros((20_000, 1), np.float32), np.zeros((20_000, 0), np.float32)
    drawn = agent.act(obs, memory, agent.noise(np.random.default_rng(0), 20_000, 0, 0))[0]
    assert drawn.mean() == pytest.approx(0.75, abs=0.01)
    assert (agent.act(obs, memory)[0] == 1).all()
