"""A2C's targets and loss, worked out by hand, and what it must be able to learn."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from handmade import ACTION_SPACES, LINE, Known, Strict, build, practise, rollout, value_at

from rlcore.algos import a2c
from rlcore.algos.a2c import A2C, A2CBatch, A2CConfig, a2c_loss, a2c_targets
from rlcore.config import ConfigError
from rlcore.envs import probe

HALF = A2CConfig(gamma=0.5, num_envs=1, horizon=4, entropy_coef=0.0)
FAST = A2CConfig(num_envs=8, horizon=8, learning_rate=2e-2, learning_rate_decay="constant", optimizer="adam",
                 hidden=(32,), gamma=0.5, max_grad_norm=10.0)
DATA = rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0])


def targets(data: Any, **changes: Any) -> A2CBatch:
    return a2c_targets(data, data.reward, Known(), replace(HALF, **changes))


def test_targets_are_the_rollouts_rewards_and_then_the_critics_word():
    # λ = 1: 1 + ½·(0 + ½·(1 + ½·(0 + ½·4))) = 1.5 from the first row, then 1, 2, 2
    batch = targets(DATA)
    assert batch.target.tolist() == [1.5, 1.0, 2.0, 2.0]
    assert batch.advantage.tolist() == [1.5, 0.0, 0.0, -1.0]  # less V = 0, 1, 2, 3


def test_a_truncated_step_takes_its_successors_value_and_a_terminated_one_does_not():
    ends: dict[str, Any]
    for ends, expected in (({"truncated": (1,)}, [0.5 * 4, 8 / 2]), ({"terminated": (1,)}, [0.0, 0.0])):
        batch = targets(rollout([0.0, 0, 8, 3, 5], [0.0, 0, 9, 1], dummies=(2,), **ends))
        assert batch.target[:2].tolist() == expected
        assert batch.weight.tolist() == [1, 1, 0, 1]


def test_lambda_zero_trusts_the_critic_after_one_step():
    assert targets(DATA, gae_lambda=0.0).target.tolist() == [1.5, 1.0, 2.5, 2.0]  # r + ½·V(s')


def test_the_loss_by_hand():
    batch = A2CBatch(torch.tensor([[2.0], [4.0]]), torch.tensor([1, 0]), torch.tensor([2.0, -1.0]),
                     torch.tensor([3.0, 4.0]), torch.ones(2), {})
    loss, metrics = a2c_loss(Known(), batch, replace(HALF, value_coef=0.5, entropy_coef=0.1))
    policy = (-2 * np.log(0.75) + np.log(0.25)) / 2
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    # value ½·(1 + 0)/2; entropy is paid for
    assert loss.item() == pytest.approx(policy + 0.5 * 0.25 - 0.1 * entropy)
    assert metrics["policy/entropy"].item() == pytest.approx(entropy)


def test_dummy_rows_do_not_count_and_advantages_are_standardised_only_if_asked():
    batch = A2CBatch(torch.tensor([[2.0], [2.0], [9.0]]), torch.tensor([1, 0, 1]), torch.tensor([30.0, 10.0, 1e3]),
                     torch.tensor([2.0, 2.0, -50.0]), torch.tensor([1.0, 1.0, 0.0]), {})
    plain, standard = (a2c_loss(Known(), batch, replace(HALF, normalize_advantage=on))[0].item()
                       for on in (False, True))
    assert plain == pytest.approx(-(30 * np.log(0.75) + 10 * np.log(0.25)) / 2, rel=1e-5)
    assert standard == pytest.approx(-(np.log(0.75) - np.log(0.25)) / 2, rel=1e-5)  # 30 and 10 become ±1


def tiny(**changes: Any) -> A2C:
    torch.manual_seed(3)
    return A2C(LINE, spaces.Discrete(2), A2CConfig(**{"num_envs": 1, "horizon": 4, "hidden": (8,), **changes}))


def test_a_single_step_whose_standardised_advantage_is_0_is_refused():
    with pytest.raises(ConfigError, match="horizon=1 must give two steps with normalize_advantage"):
        A2CConfig(num_envs=1, horizon=1, normalize_advantage=True)
    A2CConfig(num_envs=1, horizon=1)


def test_an_update_is_one_gradient_step_whose_size_falls_to_zero_over_the_run(monkeypatch: pytest.MonkeyPatch):
    rates, real = [], a2c.descend
    monkeypatch.setattr(a2c, "descend", lambda *args: rates.append(args[1].param_groups[0]["lr"]) or real(*args))
    agent = tiny(learning_rate=0.01)
    for progress in (0, 0.25, 0.5):
        agent.update(DATA, progress)
    assert rates == pytest.approx([0.01, 0.0075, 0.005])


def test_the_first_rmsprop_step_is_the_sign_of_the_gradient_times_ten_rates():
    # v = (1 − 0.99)·g² at first: g / √v = ±10 wherever g is well above ε
    agent = tiny(learning_rate=0.01, learning_rate_decay="constant", max_grad_norm=1e9)
    before = agent.params.detach().clone()
    agent.update(DATA, 0)
    step, gradient = (agent.params - before).detach(), agent.params.grad
    clear = gradient.abs() > 0.05
    assert clear.sum() > 10
    assert step[clear].tolist() == pytest.approx((-0.1 * gradient[clear].sign()).tolist(), rel=1e-2)


@pytest.mark.parametrize("options", [
    {}, {"optimizer": "adam", "normalize_obs": True, "normalize_reward": True}, {"shared": True},
    *({"core": core, "core_size": 8} for core in ("gru", "lstm", "transformer"))], ids=str)
def test_all_state_is_put_back_and_the_same_seed_gives_the_same_bits(options: dict[str, Any]):
    one, other = tiny(**options), tiny(**options)
    data = replace(DATA, memory=torch.zeros(4, 1, one.memory_size))
    before = {name: tensor.clone() for name, tensor in one.model.named_parameters()}
    one.update(data, 0)
    assert [name for name, param in one.model.named_parameters() if torch.equal(param, before[name])] == []
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    for agent in (one, other):
        agent.update(data, 0.5)
    assert torch.equal(one.params, other.params)
    assert torch.isfinite(one.params).all()


@pytest.mark.parametrize("kind", ACTION_SPACES)
def test_acts_within_any_action_space_and_learns_there(kind: str):
    place = partial(Strict, ACTION_SPACES[kind])
    agent = build(A2C, place, replace(FAST, log_std=1.0))
    before = agent.params.detach().clone()
    assert practise(agent, place, 256)["return"] > 0
    assert not torch.equal(agent.params, before)
    assert torch.isfinite(agent.params).all()


def test_the_clock_does_not_end_the_task_but_its_end_does():
    endless = build(A2C, probe.Endless, FAST)
    practise(endless, probe.Endless, 8000, options={"max_episode_steps": 3})
    assert value_at(endless, 1) == pytest.approx(2, abs=0.07)  # 1/(1 − ½), not 1 + ½ + ¼
    short = build(A2C, partial(probe.Countdown, 3), FAST)
    practise(short, partial(probe.Countdown, 3), 8000)
    values = [value_at(short, *np.eye(4, dtype=np.float32)[step].tolist()) for step in range(3)]
    assert values == pytest.approx([1.75, 1.5, 1.0], abs=0.08)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
@pytest.mark.parametrize("place", [probe.Echo, probe.Delayed])
def test_learns_what_to_do_now_and_for_later(place: Any, optimizer: Any):
    agent = build(A2C, place, replace(FAST, optimizer=optimizer, learning_rate=1e-2))
    assert practise(agent, place, 10_000)["return"] > 0.95


@pytest.mark.parametrize("core", ["none", "gru", "lstm", "transformer"])
def test_what_was_shown_and_is_gone_takes_a_core_to_recall(core: str):
    cfg = replace(FAST, horizon=20, learning_rate=5e-3, gamma=0.9, core=core, core_size=16, normalize_advantage=True)
    score = practise(build(A2C, probe.Recall, cfg), probe.Recall, 2000 if core == "none" else 14_000)["return"]
    assert (0.3 < score < 0.7) if core == "none" else score > 0.95
