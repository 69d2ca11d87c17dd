"""Statistics of rewards and costs along rollouts, worked out by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rlcore.data.rollout import Rollout
from rlcore.data.scale import EpisodeCost, RewardScale


def rollout(reward: list[float], terminated: tuple[int, ...] = (), truncated: tuple[int, ...] = (),
            dummies: tuple[int, ...] = (), starts: tuple[int, ...] = ()) -> Rollout:
    """One environment's steps, rows named by their number; the rewards are its costs as well."""
    steps = len(reward)

    def at(rows: tuple[int, ...]) -> Tensor:
        return torch.tensor([[step in rows] for step in range(steps)])

    column = torch.tensor(reward)[:, None]
    return Rollout(torch.zeros(steps, 1, 1), torch.zeros(steps, 1), column, at(terminated), at(truncated), ~at(dummies),
                   at(starts), torch.zeros(steps, 1, 0), torch.zeros(1, 1), {"cost": column})


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    scale, data = RewardScale(num_envs=1, gamma=0.5), rollout([4.0, 0, 2, 0], starts=(0,))
    scale.learn(data)
    # running sums 4, 2, 3, 1.5: deviation of those four
    deviation = float(np.std([4, 2, 3, 1.5]))
    assert scale.scale(data.reward).flatten().tolist() == pytest.approx([4 / deviation, 0, 2 / deviation, 0], rel=1e-3)
    # the sum under way is carried into the next block: 1.5·½ + 1
    scale.learn(rollout([1.0]))
    assert scale.carry.item() == 1.75


def test_the_return_starts_again_after_an_end_and_dummy_rows_do_not_count():
    scale = RewardScale(num_envs=1, gamma=0.5)
    scale.learn(rollout([4.0, 2, 0, 1, 1], terminated=(1,), dummies=(2,), starts=(0, 3)))
    # 4, 4 | the dummy | 1, 1.5
    assert scale.carry.item() == 1.5
    assert scale.var.item() == pytest.approx(np.var([4, 4, 1, 1.5]), rel=1e-3)


def test_an_end_on_the_last_row_is_remembered_for_the_next_block():
    scale = RewardScale(num_envs=1, gamma=0.5)
    scale.learn(rollout([4.0, 2], truncated=(1,), starts=(0,)))
    scale.learn(rollout([0.0, 1], dummies=(0,), starts=(1,)))
    assert scale.carry.item() == 1.0


def test_statistics_go_on_with_another_number_of_environments():
    scale, other = RewardScale(num_envs=1, gamma=0.5), RewardScale(num_envs=3, gamma=0.5)
    scale.learn(rollout([4.0, 0, 2, 0], starts=(0,)))
    other.load_state_dict(scale.state_dict())
    assert (other.var, other.count, other.carry.tolist()) == (scale.var, scale.count, [0, 0, 0])


def test_no_scaled_reward_is_beyond_the_limit():
    scale = RewardScale(num_envs=1, gamma=0.5, limit=3.0)
    assert scale.scale(torch.tensor([-50.0, 2.0, 50.0])).tolist() == pytest.approx([-3, 2, 3])


def test_an_episodes_cost_is_summed_without_discount_across_blocks():
    costs = EpisodeCost(num_envs=1)
    assert costs.learn(rollout([1.0, 2.0], starts=(0,))) is None      # it goes on
    # 1 + 2 + 4 = 7 by the clock, a dummy row, then 5 + 6 = 11 by the task's end: their mean
    assert costs.learn(rollout([4.0, 0, 5, 6], truncated=(0,), terminated=(3,), dummies=(1,), starts=(2,))) == 9
    other = EpisodeCost(num_envs=1)
    other.load_state_dict(costs.state_dict())
    assert other.learn(rollout([0.0, 3], terminated=(1,), dummies=(0,), starts=(1,))) == 3
