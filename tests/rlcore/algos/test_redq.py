"""REDQ's targets, losses and rhythm, worked out by hand; what it shares with its relatives is tested beside it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.algos.redq import REDQ, REDQBatch, REDQConfig, redq_critic_loss, redq_loss, redq_targets
from rlcore.config import ConfigError
from tests.rlcore.algos.stand_ins import Says, Slopes, picked, rollout, squashed_draw

LINE, UNIT = spaces.Box(-100, 100, (1,), np.float32), spaces.Box(-1, 1, (1,), np.float32)


def test_targets_take_the_smallest_of_the_judges_only():
    action, log_prob = squashed_draw(0.3, -1.0, 2)
    lagging = Slopes([9.0, 1.0, 7.0, 5.0], slope=2.0)
    batch = redq_targets(picked([1.0, 1.0], [0.5, 0.0]), torch.ones(2), torch.tensor([2, 0]), Says(0.3, -1.0),
                         Slopes([0.0] * 4), lagging, torch.tensor([0.5]))
    # of critics 2 and 0 the smaller says 7, though another says 1
    assert batch.target[0].item() == pytest.approx(1 + 0.5 * (7 + 2 * action[0].item() - 0.5 * log_prob[0].item()))
    assert batch.target[1].item() == 1.0


def test_all_critics_learn_and_the_actor_listens_to_their_mean():
    zero = torch.zeros(1, 1)
    batch = REDQBatch(zero, zero, torch.tensor([3.0]), torch.ones(1), torch.ones(1))
    assert redq_critic_loss(Slopes([1.0, 2.0, 5.0]), batch)[0].item() == 0.5 * (2**2 + 1**2 + 2**2)
    action, log_prob = squashed_draw(0.3, -1.0, 1)
    loss, entropy = redq_loss(Says(0.3, -1.0), Slopes([1.0, 2.0, 6.0], slope=2.0), batch, torch.tensor([0.5]))
    assert loss.item() == pytest.approx(0.5 * log_prob.item() - 3 - 2 * action.item())
    assert entropy.item() == pytest.approx(-log_prob.item())


def agent_with(**changes: int) -> REDQ:
    agent = REDQ(LINE, UNIT, REDQConfig(hidden=(8,), batch_size=8, capacity=50, **changes))
    agent.remember(rollout(torch.randn(21, 1, 1), torch.rand(20, 1, 1)))
    return agent


def test_actor_and_temperature_move_only_with_every_so_many_critic_steps():
    agent = agent_with(policy_every=4)
    for update in range(1, 9):
        before = agent.critic_params.clone(), agent.actor_params.clone(), agent.log_alpha.detach().clone()
        agent.update()
        after = agent.critic_params, agent.actor_params, agent.log_alpha
        moved = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
        assert moved == [True, update % 4 == 0, update % 4 == 0]


def test_judges_are_drawn_anew_and_without_repeating_one(monkeypatch: pytest.MonkeyPatch):
    agent, seen = agent_with(num_critics=5, num_judges=2, policy_every=1), []
    some = agent.lagging.some
    monkeypatch.setattr(agent.lagging, "some", lambda f, a, who: seen.append(who.tolist()) or some(f, a, who))
    for _ in range(40):
        agent.update()
    assert all(len(set(pair)) == 2 for pair in seen)
    assert {member for pair in seen for member in pair} == set(range(5))
    assert len({tuple(sorted(pair)) for pair in seen}) > 5


def test_some_of_the_critics_say_what_they_say_among_all():
    agent, features, action = agent_with(), torch.randn(6, 1), torch.rand(6, 1)
    chosen = torch.tensor([7, 3])
    torch.testing.assert_close(agent.critics.some(features, action, chosen), agent.critics(features, action)[chosen])


def test_more_judges_than_critics_are_refused():
    with pytest.raises(ConfigError, match=r"REDQConfig.num_judges=3 must be at most the 2 of num_critics"):
        REDQConfig(num_critics=2, num_judges=3)
