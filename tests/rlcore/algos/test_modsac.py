"""ModSAC's rule of two time scales, targets and losses, worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.algos.modsac import (
    ModSAC,
    ModSACBatch,
    ModSACConfig,
    actor_may_move,
    modsac_critic_loss,
    modsac_loss,
    modsac_targets,
    reliability,
)
from tests.rlcore.algos.stand_ins import Says, Slopes, picked, rollout, squashed_draw

LINE, UNIT = spaces.Box(-100, 100, (1,), np.float32), spaces.Box(-1, 1, (1,), np.float32)


def test_targets_take_the_smallest_of_all_lagging_critics():
    action, log_prob = squashed_draw(0.3, -1.0, 2)
    batch = modsac_targets(picked([1.0, 1.0], [0.5, 0.0]), torch.ones(2), Says(0.3, -1.0), Slopes([0.0] * 3),
                           Slopes([9.0, 4.0, 7.0], slope=2.0), torch.tensor([0.5]))
    assert batch.target[0].item() == pytest.approx(1 + 0.5 * (4 + 2 * action[0].item() - 0.5 * log_prob[0].item()))
    assert batch.target[1].item() == 1.0


def test_critics_have_a_huber_loss_and_the_actor_listens_to_the_mean_of_the_lagging_ones():
    zero = torch.zeros(2, 1)
    batch = ModSACBatch(zero, zero, torch.tensor([3.0, 1e6]), torch.tensor([1.0, 0]), torch.ones(2))
    # errors −½ and −4: ⅛ and 3½, averaged
    assert modsac_critic_loss(Slopes([2.5, -1.0]), batch)[0].item() == (0.125 + 3.5) / 2
    action, log_prob = squashed_draw(0.3, -1.0, 2)
    loss, _ = modsac_loss(Says(0.3, -1.0), Slopes([100.0, 100.0]), Slopes([1.0, 5.0], slope=2.0), batch,
                          torch.tensor([0.5]))
    assert loss.item() == pytest.approx(0.5 * log_prob[0].item() - 3 - 2 * action[0].item())


@pytest.mark.parametrize(("running_loss", "trust"), [(0.0, 1.0), (1.0, 0.3679), (2.0, 0.0183), (100.0, 0.0)])
def test_reliability_falls_from_one_to_zero_as_the_loss_grows(running_loss: float, trust: float):
    assert reliability(torch.tensor(running_loss)).item() == pytest.approx(trust, abs=1e-4)


@pytest.mark.parametrize(("trust", "share"), [(0.0, 0.5), (0.5, 2 / 3), (math.exp(-1), 0.613), (1.0, 1.0)])
def test_the_share_of_actor_steps_is_one_over_two_minus_reliability(trust: float, share: float):
    taken = 0
    for critic_steps in range(1, 1001):
        taken += bool(actor_may_move(taken, critic_steps, torch.tensor(trust)))
    assert taken / 1000 == pytest.approx(share, abs=0.002)


def agent_with(**changes: Any) -> ModSAC:
    agent = ModSAC(LINE, UNIT, ModSACConfig(**{"hidden": (8,), "batch_size": 8, "capacity": 50, "num_critics": 2,
                                               **changes}))
    agent.remember(rollout(torch.randn(21, 1, 1), torch.rand(20, 1, 1), torch.full((20, 1), 1.0)))
    return agent


def moves(agent: ModSAC, updates: int) -> list[bool]:
    found = []
    for _ in range(updates):
        before = agent.actor_params.clone(), agent.log_alpha.detach().clone()
        agent.update()
        after = agent.actor_params, agent.log_alpha
        moved = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
        assert len(set(moved)) == 1  # actor and temperature move together
        found.append(moved[0])
    return found


def test_an_agent_with_unreliable_critics_moves_its_actor_every_other_time_and_with_reliable_ones_always():
    agent = agent_with(loss_tau=0.0, alpha=0.1)
    agent.running_loss = torch.tensor(50.0)
    assert moves(agent, 20) == [True, False] * 10
    agent = agent_with(loss_tau=0.0, alpha=0.1)
    agent.running_loss = torch.tensor(0.0)
    assert moves(agent, 20) == [True] * 20


def test_the_running_loss_follows_the_critics_and_so_does_the_actors_rhythm():
    agent = agent_with(loss_tau=0.25)
    before = agent.running_loss.item()
    assert math.exp(-before**2) == pytest.approx(0.5)
    metrics = agent.update()
    expected = 0.75 * before + 0.25 * metrics["loss/value"].item()
    assert agent.running_loss.item() == pytest.approx(expected, rel=1e-5)
    assert metrics["value/reliability"].item() == pytest.approx(math.exp(-expected**2), rel=1e-4)
    # huge rewards make every critic wrong: the rhythm falls to one half without anybody setting it
    wrong = agent_with(loss_tau=0.5, reward_scale=1e4)
    moves(wrong, 10)
    assert wrong.running_loss.item() > 100
    assert sum(moves(wrong, 40)) == 20


def test_counts_start_anew_so_that_old_steps_do_not_hold_the_actor_back():
    agent = agent_with(loss_tau=0.0, count_steps=10)
    agent.running_loss = torch.tensor(0.0)
    moves(agent, 10)  # ten of ten
    agent.running_loss = torch.tensor(50.0)
    assert sum(moves(agent, 10)) == 5  # a count since the beginning would hold it still


def test_the_temperature_stays_within_its_bounds():
    agent = agent_with(alpha=math.exp(1.95), learning_rate=0.5, target_entropy=1000.0)
    for _ in range(4):
        agent.update()
    assert agent.log_alpha.item() == 2.0


def test_the_rule_goes_on_where_a_checkpoint_was_taken():
    one, other = agent_with(), agent_with()
    for _ in range(7):
        one.update()
    other.load_state_dict(one.state_dict())
    assert other.running_loss.item() == one.running_loss.item()
    assert (other.actor_steps, other.critic_steps) == (one.actor_steps, 7)
