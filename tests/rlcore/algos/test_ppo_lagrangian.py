"""PPO-Lagrangian's controller, targets and loss, worked out by hand; and whether it keeps within its limit."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from handmade import ACTION_SPACES, LINE, Known, Strict, build, practise, rollout
from torch import Tensor

from rlcore.algos.ppo_lagrangian import (
    PPOLagrangian,
    PPOLagrangianBatch,
    PPOLagrangianConfig,
    ppo_lagrangian_loss,
    ppo_lagrangian_targets,
)
from rlcore.config import ConfigError, ShapeError
from rlcore.envs import probe

HALF = PPOLagrangianConfig(gamma=0.5, gae_lambda=0.5, num_envs=1, horizon=4, num_minibatches=1)
FAST = PPOLagrangianConfig(num_envs=8, horizon=40, num_minibatches=2, learning_rate=5e-3, hidden=(32,), gamma=0.5,
                           cost_limit=4.0, pid_p=0.1, pid_i=0.01, pid_d=0.1)


class Careful(Known):
    """Known, with costs expected to be a tenth of the observation."""

    def forward(self, obs: Tensor, *_: Tensor) -> Any:
        dist, value = super().forward(obs)
        return dist, value, 0.1 * value


def test_advantages_are_rewards_less_lambda_times_costs_each_with_its_own_critic():
    data = rollout([0.0, 1, 8, 3, 5], [1.0, 1, 0, 1], truncated=(1,), dummies=(2,), cost=[0.0, 1, 0, 0])
    batch = ppo_lagrangian_targets(data, data.reward, Careful(), 2.0, HALF)
    # rewards 2.5, 4, ½ as for PPO; costs: row 3: ½·0.5 − 0.3 = −0.05, row 1: 1 + ½·0.8 − 0.1 = 1.3,
    # row 0: ½·0.1 + ¼·1.3 = 0.375
    assert batch.advantage[[0, 1, 3]].tolist() == pytest.approx([2.5 - 0.75, 4 - 2.6, 0.5 + 0.1])
    assert batch.target[[0, 1, 3]].tolist() == [2.5, 5.0, 3.5]
    assert batch.cost_target[[0, 1, 3]].tolist() == pytest.approx([0.375, 1.4, 0.25])
    assert batch.weight.tolist() == [1, 1, 0, 1]


def test_termination_ends_costs_as_well():
    data = rollout([0.0, 1, 8, 3, 5], [1.0, 1, 0, 1], terminated=(1,), dummies=(2,), cost=[0.0, 1, 0, 0])
    assert ppo_lagrangian_targets(data, data.reward, Careful(), 0.0, HALF).cost_target[1].item() == 1.0


def test_the_loss_by_hand_without_what_dummy_rows_say():
    # ratio 1.5 and 1.5, advantages ±1 as given; the third row is a dummy
    batch = PPOLagrangianBatch(
        torch.tensor([[2.0], [2.0], [50.0]]), torch.tensor([1, 1, 0]), torch.tensor([0.5, 0.5, 0.01]).log(),
        torch.tensor([1.0, -1.0, 1e4]), torch.tensor([3.0, 2.0, 0.0]), torch.tensor([0.2, 1.2, 0.0]),
        torch.tensor([1.0, 1.0, 0.0]), {})
    loss, metrics = ppo_lagrangian_loss(Careful(), batch, 0.2, replace(HALF, value_coef=0.5, entropy_coef=0.1))
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    # values ½·(1 + 0)/2 and ½·(0 + 1)/2
    assert loss.item() == pytest.approx(0.15 + 0.5 * (0.25 + 0.25) - 0.1 * entropy)
    assert metrics["loss/cost_value"].item() == pytest.approx(0.25)


def tiny(**changes: Any) -> PPOLagrangian:
    torch.manual_seed(3)
    cfg = PPOLagrangianConfig(**{"num_envs": 1, "horizon": 4, "num_minibatches": 2, "hidden": (8,), "cost_limit": 2.0,
                                 **changes})
    return PPOLagrangian(LINE, spaces.Discrete(2), cfg)


def episode(total_cost: float) -> Any:
    return rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0], terminated=(3,), cost=[total_cost, 0.0, 0, 0])


def test_the_multiplier_follows_excess_its_sum_and_its_growth():
    agent, seen = tiny(pid_p=1.0, pid_i=0.5, pid_d=0.25), []
    for total in (4.0, 5.0, 1.0, 0.0, 0.0, 0.0, 4.0):
        agent.update(episode(total), 0)
        seen.append(agent.multiplier)
    # excess 2, 3, −1, −2, −2, −2, 2; sums, never below 0: 2, 5, 4, 2, 0, 0, 2; growth 0, 1, 0, 0, 0, 0, 4:
    # 2 + 1, 3 + 2.5 + ¼, −1 + 2, −2 + 1 → 0, and in the end 2 + 1 + 1
    assert seen == [3.0, 5.75, 1.0, 0.0, 0.0, 0.0, 4.0]


def test_without_a_finished_episode_the_multiplier_stays():
    agent = tiny()
    metrics = agent.update(rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0], cost=[9.0] * 4), 0)
    assert agent.multiplier == 0
    assert "cost/episode" not in metrics
    # the episode ends in the next block: 36 + 9
    metrics = agent.update(replace(episode(9.0), start=torch.zeros(4, 1, dtype=torch.bool)), 0)
    assert metrics["cost/episode"].item() == 45


@pytest.mark.parametrize("options", [
    {}, {"normalize_obs": True, "normalize_reward": True}, {"shared": True},
    *({"core": core, "core_size": 8, "sequence_length": 2, "num_minibatches": 1}
      for core in ("gru", "lstm", "transformer"))], ids=str)
def test_all_state_is_put_back_and_the_same_seed_gives_the_same_bits(options: dict[str, Any]):
    one, other = tiny(**options), tiny(**options)
    data = replace(episode(4.0), memory=torch.zeros(4, 1, one.memory_size))
    before = {name: tensor.clone() for name, tensor in one.model.named_parameters()}
    one.update(data, 0)
    assert [name for name, param in one.model.named_parameters() if torch.equal(param, before[name])] == []
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    for agent in (one, other):
        torch.manual_seed(5)
        agent.update(replace(data, extra={"cost": torch.full((4, 1), 3.0)}), 0.5)
    assert torch.equal(one.params, other.params)
    assert (one.multiplier, one.last_cost) == (other.multiplier, other.last_cost)


@pytest.mark.parametrize("kind", ACTION_SPACES)
def test_acts_within_any_action_space_and_learns_there(kind: str):
    place = partial(Strict, ACTION_SPACES[kind])
    agent = build(PPOLagrangian, place, replace(FAST, log_std=1.0))
    metrics = practise(agent, place, 640)
    assert metrics["return"] > 0
    assert metrics["cost/episode"] == 2.5  # five steps of ½
    assert torch.isfinite(agent.params).all()


def test_an_environment_without_costs_is_refused_helpfully():
    agent = build(PPOLagrangian, probe.Echo, FAST)
    with pytest.raises(ShapeError, match="cost"):
        practise(agent, probe.Echo, 320)


def test_settings_that_do_not_divide_are_refused_with_one_that_does():
    with pytest.raises(ConfigError, match="Try 4"):
        PPOLagrangianConfig(num_envs=4, horizon=4, num_minibatches=5)
    with pytest.raises(ConfigError, match="num_minibatches=16 must leave two steps for each minibatch"):
        PPOLagrangianConfig(num_envs=4, horizon=4, num_minibatches=16)


def test_without_a_limit_it_takes_every_offer():
    agent = build(PPOLagrangian, probe.Tempting, replace(FAST, cost_limit=100.0))
    metrics = practise(agent, probe.Tempting, 8000)
    assert metrics["cost/episode"] > 9
    assert metrics["cost/multiplier"] == 0


@pytest.mark.parametrize(("acts", "limit"), [("discrete", 4.0), ("discrete", 2.0), ("continuous", 4.0)])
def test_costs_end_near_the_limit_with_the_best_offers_taken(acts: Any, limit: float):
    place = partial(probe.Tempting, acts=acts)
    agent = build(PPOLagrangian, place, replace(FAST, cost_limit=limit))
    costs: list[float] = []
    real = agent.update

    def update(*args: Any) -> Any:
        costs.append(float((metrics := real(*args))["cost/episode"]))
        return metrics

    agent.update = update
    metrics = practise(agent, place, 32_000)
    best = 5 * (1 - (1 - limit / 10) ** 2)
    assert np.mean(costs[-25:]) == pytest.approx(limit, abs=0.6)
    assert metrics["return"] > 0.85 * best  # as many offers taken at random would pay limit/2
    assert metrics["cost/multiplier"] == pytest.approx(1 - limit / 10, abs=0.2)
