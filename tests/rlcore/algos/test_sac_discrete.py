"""SAC-Discrete's exact expectations, worked out by hand; what it shares with its relatives is tested beside it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.algos.sac_discrete import (
    SACDiscrete,
    SACDiscreteBatch,
    SACDiscreteConfig,
    largest_entropy,
    sac_discrete_critic_loss,
    sac_discrete_loss,
    sac_discrete_targets,
)
from tests.rlcore.algos.stand_ins import Says, Slopes, picked, rollout

LINE = spaces.Box(-100, 100, (1,), np.float32)
QUARTER = Says(math.log(0.25), math.log(0.75))  # π = (¼, ¾)
SURPRISE = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)  # Σ π·log π


class MaskedSlopes(Slopes):
    """One critic of three choices whose features are the observation's mask."""

    def features(self, obs: Any) -> torch.Tensor:
        return obs["action_mask"].float()


def test_targets_are_the_exact_mean_over_actions_of_the_smaller_critic_less_the_price_of_certainty():
    lagging = Slopes([[8.0, 1.0], [4.0, 3.0]])  # smaller of each action: 4 and 1
    batch = sac_discrete_targets(picked([1.0, 1.0], [0.5, 0.0]), torch.ones(2), QUARTER, Slopes([[0.0, 0.0]] * 2),
                                 lagging, torch.tensor([0.5]))
    # ¼·4 + ¾·1 = 1¾
    assert batch.target.tolist() == pytest.approx([1 + 0.5 * (1.75 - 0.5 * SURPRISE), 1.0])


def test_the_critics_loss_reads_the_choices_that_were_made():
    batch = SACDiscreteBatch(torch.zeros(3, 1), torch.tensor([0, 1, 0]), torch.tensor([3.0, 5.0, 1e6]),
                             torch.tensor([1.0, 1, 0]), torch.tensor([1.0, 0.5, 1]))
    loss, error, metrics = sac_discrete_critic_loss(Slopes([[1.0, 2.0], [3.0, 4.0]]), batch)
    # action 0: ½·(2² + 0²); action 1: ½·(3² + 1²), of half the importance
    assert loss.item() == (2 + 0.5 * 5) / 2
    assert error[:2].tolist() == [(2 + 0) / 2, (3 + 1) / 2]  # the mean of both critics is what a row is ranked by
    assert metrics["value/mean"].item() == 2.5  # (1 + 3)/2 and (2 + 4)/2


def test_the_actors_loss_is_an_exact_mean_and_moves_towards_what_is_worth_more():
    batch = SACDiscreteBatch(torch.zeros(2, 1), torch.tensor([0, 0]), torch.zeros(2), torch.tensor([1.0, 0]),
                             torch.ones(2))
    critics = Slopes([[8.0, 1.0], [4.0, 3.0]])
    actor = Says(math.log(0.25), math.log(0.75))
    loss, entropy = sac_discrete_loss(actor, critics, batch, torch.tensor([0.5]))
    assert loss.item() == pytest.approx(0.5 * SURPRISE - 1.75)
    assert entropy.item() == pytest.approx(-SURPRISE)
    loss.backward()
    assert actor.numbers.grad is not None
    assert actor.numbers.grad[0] < 0 < actor.numbers.grad[1]  # descent raises the first choice, worth 4
    assert critics.value.grad is None


def batch_of(obs: Any, weight: list[float]) -> SACDiscreteBatch:
    rows = len(weight)
    return SACDiscreteBatch(obs, torch.zeros(rows, dtype=torch.int64), torch.zeros(rows), torch.tensor(weight),
                            torch.ones(rows))


def test_the_largest_entropy_is_that_of_uniform_legal_actions():
    assert largest_entropy(batch_of(torch.zeros(2, 1), [1.0, 1]), 6) == pytest.approx(math.log(6))
    mask = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]], dtype=torch.int8)
    # two legal, one, none and so all four; the last row is a dummy
    masked = batch_of({"obs": torch.zeros(4, 1), "action_mask": mask}, [1.0, 1, 1, 0])
    assert float(largest_entropy(masked, 4)) == pytest.approx((math.log(2) + 0 + math.log(4)) / 3)


def test_the_temperature_falls_exactly_while_the_entropy_is_above_its_share_of_the_largest():
    for share, direction in ((0.5, -1), (1.0, 1)):
        agent = SACDiscrete(LINE, spaces.Discrete(4),
                            SACDiscreteConfig(hidden=(8,), target_entropy_share=share, batch_size=8, capacity=60))
        agent.remember(rollout(torch.randn(31, 1, 1), torch.zeros(30, 1, dtype=torch.int64)))
        before = agent.log_alpha.item()
        entropy = agent.update()["policy/entropy"].item()
        assert 0.5 * math.log(4) < entropy < math.log(4)  # nearly uniform at first, and never quite
        assert np.sign(agent.log_alpha.item() - before) == direction
        assert agent.critics.choices(torch.zeros(5, 1)).shape == (2, 5, 4)


def test_an_illegal_next_action_is_worth_nothing_and_adds_no_entropy():
    after = {"action_mask": torch.tensor([[1, 0, 1], [0, 0, 0]], dtype=torch.int8)}
    step = replace(picked([1.0, 1.0], [0.5, 0.5]), next_obs=after)
    stand_in = MaskedSlopes([[4.0, 100.0, 8.0]])
    batch = sac_discrete_targets(step, torch.ones(2), Says(0.0, 5.0, math.log(3)), stand_in, stand_in,
                                 torch.tensor([0.5]))
    # of the legal two π = ¼ and ¾: ¼·(4 − ½·log ¼) + ¾·(8 − ½·log ¾)
    soft = 0.25 * (4 - 0.5 * math.log(0.25)) + 0.75 * (8 - 0.5 * math.log(0.75))
    assert batch.target[0].item() == pytest.approx(1 + 0.5 * soft)
    # where nothing is legal, as in an episode's last observation, all three count
    odds = np.array([1, math.exp(5), 3]) / (1 + math.exp(5) + 3)
    soft = float((odds * ([4, 100, 8] - 0.5 * np.log(odds))).sum())
    assert batch.target[1].item() == pytest.approx(1 + 0.5 * soft)


def test_the_actors_loss_leaves_illegal_actions_out_and_moves_none_of_their_logits():
    obs = {"action_mask": torch.tensor([[1, 0, 1]], dtype=torch.int8)}
    actor = Says(0.0, 5.0, math.log(3))
    loss, entropy = sac_discrete_loss(actor, MaskedSlopes([[4.0, 100.0, 8.0]]), batch_of(obs, [1.0]),
                                      torch.tensor([0.5]))
    expected = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert entropy.item() == pytest.approx(expected)
    assert loss.item() == pytest.approx(-0.5 * expected - (0.25 * 4 + 0.75 * 8))
    loss.backward()
    gradient = actor.numbers.grad.tolist()
    assert gradient[1] == 0
    assert gradient[0] > 0 > gradient[2]


def test_only_legal_actions_are_taken_and_each_as_often_as_the_policy_says():
    space = spaces.Dict({"obs": LINE, "action_mask": spaces.MultiBinary(3)})
    agent = SACDiscrete(space, spaces.Discrete(3), SACDiscreteConfig(hidden=(8,)))
    with torch.no_grad():
        agent.actor[-1].weight.zero_()
        agent.actor[-1].bias.copy_(torch.tensor([0.0, 5.0, math.log(3)]))
    rows = 20_000
    obs = {"obs": np.zeros((rows, 1), np.float32), "action_mask": np.tile(np.int8([1, 0, 1]), (rows, 1))}
    memory, noise = np.zeros((rows, 0), np.float32), agent.noise(np.random.default_rng(0), rows, 0, 0)
    shares = np.bincount(agent.act(obs, memory, noise)[0], minlength=3) / rows
    assert shares == pytest.approx([0.25, 0, 0.75], abs=0.01)
    assert set(agent.act(obs, memory)[0]) == {2}
    obs["action_mask"][:] = 0
    assert set(agent.act(obs, memory)[0]) == {1}


def test_acting_draws_each_choice_as_often_as_the_policy_says():
    agent = SACDiscrete(LINE, spaces.Discrete(2), SACDiscreteConfig(hidden=(8,)))
    with torch.no_grad():
        agent.actor_params.zero_()
        agent.actor[-1].bias.copy_(torch.tensor([0.25, 0.75]).log())
    obs, memory = np.zeros((20_000, 1), np.float32), np.zeros((20_000, 0), np.float32)
    drawn = agent.act(obs, memory, agent.noise(np.random.default_rng(0), 20_000, 0, 0))[0]
    assert drawn.mean() == pytest.approx(0.75, abs=0.01)
    assert (agent.act(obs, memory)[0] == 1).all()


@pytest.mark.parametrize("prioritized", [False, True])
def test_frames_stored_once_teach_what_whole_stacks_teach(prioritized: bool):
    movie = torch.randint(256, (34, 8, 8), dtype=torch.uint8)
    stacks = torch.stack([movie[[max(0, t - k) for k in (3, 2, 1, 0)]] for t in range(34)])[:, None]
    seen = replace(rollout(stacks, torch.randint(2, (33, 1))), start=torch.arange(33)[:, None] == 0)
    agents = []
    for frames in (4, 1):
        torch.manual_seed(1)
        agents.append(SACDiscrete(spaces.Box(0, 255, (4, 8, 8), np.uint8), spaces.Discrete(2), SACDiscreteConfig(
            hidden=(8,), capacity=200, batch_size=8, frames=frames, prioritized=prioritized)))
        agents[-1].remember(seen)
        for _ in range(3):
            agents[-1].update()
    assert torch.equal(agents[0].critic_params, agents[1].critic_params)
    assert torch.equal(agents[0].actor_params, agents[1].actor_params)
    assert 3 * agents[0].memory.num_bytes() < agents[1].memory.num_bytes()
