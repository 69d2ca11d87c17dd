"""SAC's targets, losses and options, worked out by hand; what it shares with its relatives is tested beside it."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.algos.sac import SAC, SACBatch, SACConfig, sac_critic_loss, sac_loss, sac_targets
from rlcore.config import ConfigError
from rlcore.nets.actors import squashed
from rlcore.nets.optim import descend
from tests.rlcore.algos.stand_ins import Says, Slopes, picked, rollout, squashed_draw

LINE = spaces.Box(-100, 100, (1,), np.float32)
PLANE = spaces.Box(-1, 1, (2,), np.float32)
ONES = torch.ones(2)


def test_targets_take_the_smaller_critic_less_the_price_of_certainty_and_stop_at_termination():
    action, log_prob = squashed_draw(0.3, -1.0, 2)
    batch = sac_targets(picked([1.0, 1.0], [0.5, 0.0]), ONES, Says(0.3, -1.0), Slopes([80.0, 80.0]),
                        Slopes([8.0, 6.0], slope=2.0), torch.tensor([0.5]))
    # 1 + ½·(6 + 2a' − ½·log π(a')), by the lagging critics; and 1 where the task ended
    assert batch.target[0].item() == pytest.approx(1 + 0.5 * (6 + 2 * action[0].item() - 0.5 * log_prob[0].item()))
    assert batch.target[1].item() == 1.0


def test_the_critics_loss_sums_both_squared_errors_and_leaves_dummy_rows_out():
    zero = torch.zeros(3, 1)
    batch = SACBatch(zero, zero, torch.tensor([3.0, 5.0, 1e6]), torch.tensor([1.0, 1, 0]), torch.ones(3))
    loss, error, metrics = sac_critic_loss(Slopes([1.0, 2.0]), batch)
    # ½·(2² + 1²) and ½·(4² + 3²), averaged
    assert loss.item() == (2.5 + 12.5) / 2
    assert error.tolist()[:2] == [1.5, 3.5]
    assert metrics["value/mean"].item() == 1.5


def test_importance_scales_what_a_prioritised_row_counts_for():
    zero = torch.zeros(2, 1)
    batch = SACBatch(zero, zero, torch.tensor([3.0, 5.0]), ONES, torch.tensor([1.0, 0.2]))
    assert sac_critic_loss(Slopes([1.0, 2.0]), batch)[0].item() == pytest.approx((2.5 + 0.2 * 12.5) / 2)


def test_the_actors_loss_is_the_price_of_certainty_less_the_smaller_critic():
    action, log_prob = squashed_draw(0.3, -1.0, 2)
    zero = torch.zeros(2, 1)
    batch = SACBatch(zero, zero, torch.zeros(2), torch.tensor([1.0, 0]), ONES)
    loss, entropy = sac_loss(Says(0.3, -1.0), Slopes([8.0, 6.0], slope=2.0), batch, torch.tensor([0.5]))
    assert loss.item() == pytest.approx(0.5 * log_prob[0].item() - 6 - 2 * action[0].item())
    assert entropy.item() == pytest.approx(-log_prob[0].item())


def tiny(**changes: Any) -> SAC:
    return SAC(LINE, PLANE, SACConfig(**{"hidden": (8,), "batch_size": 8, "capacity": 50, **changes}))


def fill(agent: SAC, steps: int = 20, reward: float = 1.0, dummies: tuple[int, ...] = ()) -> None:
    valid = torch.ones(steps, 1, dtype=torch.bool)
    valid[list(dummies)] = False
    agent.remember(rollout(torch.randn(steps + 1, 1, 1), torch.rand(steps, 1, 2) * 2 - 1,
                           torch.full((steps, 1), reward), valid))


def test_the_target_entropy_is_minus_the_action_dimensions_unless_set():
    assert tiny().target_entropy == -2
    assert tiny(target_entropy=-0.5).target_entropy == -0.5


def test_a_fixed_temperature_stays():
    agent = tiny(alpha=0.3, adjust_alpha=False)
    fill(agent)
    agent.update()
    assert agent.log_alpha.exp().item() == pytest.approx(0.3)


def test_the_actors_step_leaves_no_trace_in_the_critics():
    torch.manual_seed(1)
    one = tiny()
    torch.manual_seed(1)
    other = tiny()
    batch = SACBatch(torch.randn(8, 1), torch.zeros(8, 2), torch.randn(8), torch.ones(8), torch.ones(8))
    descend(sac_loss(one.policy, one.critics, batch, torch.tensor([0.1]))[0], one.actor_optimizer)
    assert torch.equal(one.critic_params, other.critic_params)
    assert not torch.equal(one.actor_params, other.actor_params)
    for agent in (one, other):  # its gradient passed through the critics, but is not in their next step
        descend(sac_critic_loss(agent.critics, batch)[0], agent.critic_optimizer)
    assert torch.equal(one.critic_params, other.critic_params)


def test_acting_draws_from_the_same_policy_that_learning_assumes():
    agent = tiny()
    obs, memory = np.zeros((20_000, 1), np.float32), np.zeros((20_000, 0), np.float32)
    acted = agent.act(obs, memory, agent.noise(np.random.default_rng(0), 20_000, 0, 0))[0]
    sampled = squashed(agent.actor(torch.from_numpy(obs))).sample_with_log_prob()[0].detach().numpy()
    np.testing.assert_allclose(acted.mean(0), sampled.mean(0), atol=0.02)
    np.testing.assert_allclose(acted.std(0), sampled.std(0), atol=0.02)
    centre = squashed(agent.actor(torch.from_numpy(obs[:3]))).mode().detach().numpy()
    np.testing.assert_allclose(agent.act(obs[:3], memory[:3])[0], centre, rtol=1e-5, atol=1e-6)


def test_prioritised_replay_picks_what_it_errs_on_never_a_dummy_and_never_the_row_without_a_successor():
    agent = tiny(prioritized=True, priority_alpha=1.0, batch_size=500)
    fill(agent, dummies=(5, 11))
    picker = agent.replay.picker
    picker.learned(np.arange(20), np.where(np.arange(20) == 7, 81.0, 1.0))
    index, importance = agent.replay.pick(500, agent.rng)
    counts = np.bincount(index.numpy(), minlength=51)
    assert counts[[5, 11]].sum() == 0
    assert counts[20:].sum() == 0
    assert counts[7] / 500 == pytest.approx(81 / 98, abs=0.02)  # 17 others have 1 each
    # (P_min / P)^0.4 = (1/81)^0.4 for the frequent one, 1 for the others
    assert importance[index == 7][0].item() == pytest.approx((1 / 81) ** 0.4, rel=1e-4)
    assert importance[index != 7][0].item() == pytest.approx(1, rel=1e-4)
    for _ in range(4):  # wraps around: the row that is written next holds only a successor
        fill(agent)
        assert picker.tree.leaves[agent.memory.head] == 0
        assert np.count_nonzero(picker.tree.leaves) <= 50


def test_rewards_are_multiplied_by_their_scale_also_after_normalising():
    targets = []
    for changes in ({}, {"reward_scale": 0.25}, {"normalize_reward": True, "reward_scale": 0.25}):
        agent = tiny(gamma=0.0, **changes)  # γ = 0: targets are rewards
        agent.remember(rollout(torch.zeros(5, 1, 1), torch.zeros(4, 1, 2), torch.tensor([[10.0], [-10], [10], [-10]])))
        with torch.no_grad():
            agent.critic_params.zero_()     # so the loss is the mean of both critics' ½·target²
        targets.append(agent.update()["loss/value"].item() ** 0.5)
    # 10, a quarter of it, and a quarter of 1: the rewards deviate by 10
    assert targets == pytest.approx([10, 2.5, 0.25], rel=1e-3)


def test_gradients_are_scaled_down_to_their_limit():
    agent = tiny(max_grad_norm=1e-3)
    fill(agent, reward=1000.0)
    norm = agent.update()["loss/grad_norm"]
    assert norm.item() > 1
    assert agent.critic_params.grad is not None
    assert agent.critic_params.grad.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_half_precision_products_change_an_update_by_little():
    losses = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(2)
        agent = tiny(precision=precision, hidden=(256, 256))
        fill(agent)
        losses.append(agent.update()["loss/value"].item())
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize("wrong", [{"n_step": 0}, {"priority_beta": 1.5}, {"max_grad_norm": 0.0}, {"reward_scale": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigError, match=rf"SACConfig\.{next(iter(wrong))}="):
        SACConfig(**wrong)
