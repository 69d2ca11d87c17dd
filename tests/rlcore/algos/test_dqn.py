"""DQN's targets and schedules, worked out by hand."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.algos.dqn import DQN, DQNBatch, DQNConfig, dqn_loss, dqn_targets
from rlcore.data.replay import Transitions
from rlcore.data.rollout import Rollout

LINE = spaces.Box(-100, 100, (1,), np.float32)


class Table(nn.Module):
    """Q(s, ·) is the row of a table that the observation names."""

    def __init__(self, *rows: list[float]):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, obs: Tensor) -> Tensor:
        return self.rows[obs[:, 0].long()]


def picked(next_obs: list[float], reward: list[float], terminated: list[bool]) -> Transitions:
    rows = len(reward)
    return Transitions(torch.zeros(rows, 1), torch.zeros(rows, dtype=torch.int64), torch.tensor(reward),
                       torch.tensor(terminated), torch.tensor(next_obs)[:, None], torch.ones(rows))


def test_targets_stop_at_termination_and_nowhere_else():
    target = Table([2.0, 6.0])
    batch = dqn_targets(picked([0.0, 0], [1.0, 1], [False, True]), target, target, DQNConfig(gamma=0.5, double=False))
    assert batch.target.tolist() == [1 + 0.5 * 6, 1]


def test_double_q_learning_chooses_with_one_network_and_judges_with_the_other():
    online, target, one = Table([1.0, 2, 0]), Table([30.0, 10, 20]), picked([0.0], [0.0], [False])
    assert dqn_targets(one, online, target, DQNConfig(gamma=0.5, double=True)).target.item() == 5    # ½·10
    assert dqn_targets(one, online, target, DQNConfig(gamma=0.5, double=False)).target.item() == 15  # ½·30


def test_the_loss_is_the_mean_huber_of_the_chosen_actions_errors_without_dummy_rows():
    batch = DQNBatch(torch.tensor([[0.0], [0], [0]]), torch.tensor([0, 1, 1]), torch.tensor([1.5, 5, 999]),
                     torch.tensor([1.0, 1, 0]))
    loss, metrics = dqn_loss(Table([1.0, 2.0]), batch)
    # errors −½ and −3: (0.125 + 2.5)/2
    assert loss.item() == 1.3125
    assert metrics["value/mean"].item() == 1.5


def tiny(**changes: Any) -> DQN:
    return DQN(LINE, spaces.Discrete(2), DQNConfig(**{"hidden": (8,), "batch_size": 8, "capacity": 50, **changes}))


def fill(agent: DQN, steps: int = 20) -> None:
    obs = torch.randn(steps + 1, 1, 1)
    no = torch.zeros(steps, 1, dtype=torch.bool)
    agent.memory.add(Rollout(obs[:-1], torch.randint(2, (steps, 1)), torch.randn(steps, 1), no, no, ~no, obs[-1]))


def test_exploration_is_total_before_learning_then_falls_in_a_straight_line():
    agent = tiny(learning_starts=100, epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=1000)
    assert [agent.epsilon(step) for step in (0, 99)] == [1.0, 1.0]
    assert [agent.epsilon(step) for step in (100, 500, 1000, 10**6)] == pytest.approx([0.82, 0.5, 0.1, 0.1])


def test_random_actions_come_as_often_as_epsilon_says_in_every_environment():
    agent = tiny(learning_starts=1, epsilon_start=0.5, epsilon_end=0.5)
    obs = np.zeros((20_000, 1), np.float32)
    best = agent.act(obs)
    assert len(set(best.tolist())) == 1
    differ = np.mean(agent.act(obs, step=10) != best)  # half of the random ones hit the best by luck
    assert differ == pytest.approx(0.25, abs=0.01)


def test_the_target_network_moves_only_every_so_many_updates_and_then_all_the_way():
    agent = tiny(target_every=3)
    fill(agent)
    start = agent.lagged.clone()
    for update in range(1, 7):
        agent.update()
        same_as_online = torch.equal(agent.lagged, agent.params)
        assert same_as_online == (update % 3 == 0)
        if update < 3:
            assert torch.equal(agent.lagged, start)


def test_a_small_tau_moves_the_target_a_share_of_the_way():
    agent = tiny(target_every=1, tau=0.25)
    fill(agent)
    before = agent.lagged.detach().clone()
    agent.update()
    torch.testing.assert_close(agent.lagged.detach(), 0.75 * before + 0.25 * agent.params.detach())


def test_all_state_is_put_back_by_load_state_dict():
    one, other = tiny(target_every=5), tiny(target_every=5)
    fill(one)
    for _ in range(4):
        one.update()
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    other.memory.load_state_dict(one.memory.state_dict())
    for agent in (one, other):
        for _ in range(3):  # the target network moves in the first of these
            agent.update()
    assert torch.equal(one.params, other.params)
    assert torch.equal(one.lagged, other.lagged)
