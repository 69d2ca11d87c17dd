"""SAC's targets, temperature and bookkeeping, worked out by hand."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.algos.sac import SAC, SACBatch, SACConfig, critic_loss_of, policy_of, sac_loss, sac_targets
from rlcore.data.replay import Transitions
from rlcore.data.rollout import Rollout
from rlcore.nets.optim import descend

LINE = spaces.Box(-100, 100, (1,), np.float32)
PLANE = spaces.Box(-1, 1, (2,), np.float32)


class Still(nn.Module):
    """A policy that does the same everywhere: tanh of a normal with this mean and log deviation in each dimension."""

    def __init__(self, mean: float, log_std: float, size: int = 1):
        super().__init__()
        self.out = nn.Parameter(torch.tensor([mean] * size + [log_std] * size))

    def forward(self, obs: Tensor) -> Tensor:
        return self.out.expand(len(obs), -1)


class Flat(nn.Module):
    """Twin critics of constant value, whatever is done."""

    def __init__(self, *values: float):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, x: Tensor) -> Tensor:
        return self.values[:, None].expand(-1, len(x))


def picked(reward: list[float], terminated: list[bool]) -> Transitions:
    rows = len(reward)
    zero = torch.zeros(rows, 1)
    return Transitions(zero, zero, torch.tensor(reward), torch.tensor(terminated), zero, torch.ones(rows))


def test_targets_take_the_smaller_critic_less_the_price_of_certainty_and_stop_at_termination():
    actor, alpha = Still(0.0, -1.0), torch.tensor([0.5])
    torch.manual_seed(3)
    _, log_prob = policy_of(actor, torch.zeros(2, 1)).sample_with_log_prob()
    torch.manual_seed(3)  # the same next actions again, inside
    batch = sac_targets(picked([1.0, 1.0], [False, True]), actor, Flat(8.0, 6.0), alpha, gamma=0.5)
    assert batch.target[0].item() == pytest.approx(1 + 0.5 * (6 - 0.5 * log_prob[0].item()))
    assert batch.target[1].item() == 1.0


def test_the_critics_loss_sums_both_squared_errors_and_leaves_dummy_rows_out():
    zero = torch.zeros(3, 1)
    batch = SACBatch(zero, zero, target=torch.tensor([3.0, 5.0, 1e6]), weight=torch.tensor([1.0, 1, 0]))
    loss, metrics = critic_loss_of(Flat(1.0, 2.0), batch)
    # ½·(2² + 1²) and ½·(4² + 3²), averaged
    assert loss.item() == (2.5 + 12.5) / 2
    assert metrics["value/mean"].item() == 1.5


def test_the_actors_loss_is_the_price_of_certainty_less_the_smaller_critic():
    actor, zero = Still(0.0, -1.0), torch.zeros(2, 1)
    batch = SACBatch(zero, zero, torch.zeros(2), torch.tensor([1.0, 0]))
    torch.manual_seed(3)
    _, log_prob = policy_of(actor, zero).sample_with_log_prob()
    torch.manual_seed(3)
    loss, entropy = sac_loss(actor, Flat(8.0, 6.0), batch, torch.tensor([0.5]))
    assert loss.item() == pytest.approx(0.5 * log_prob[0].item() - 6)
    assert entropy.item() == pytest.approx(-log_prob[0].item())


def tiny(**changes: Any) -> SAC:
    return SAC(LINE, PLANE, SACConfig(**{"hidden": (8,), "batch_size": 8, "capacity": 50, **changes}))


def fill(agent: SAC, steps: int = 20) -> None:
    obs, no = torch.randn(steps + 1, 1, 1), torch.zeros(steps, 1, dtype=torch.bool)
    action = torch.rand(steps, 1, 2) * 2 - 1
    agent.memory.add(Rollout(obs[:-1], action, torch.randn(steps, 1), no, no, ~no, obs[-1]))


@pytest.mark.parametrize(("target", "direction"), [(-50.0, -1), (50.0, 1)])
def test_the_temperature_falls_while_there_is_more_entropy_than_wanted_and_rises_while_there_is_less(
        target: float, direction: int):
    agent = tiny(target_entropy=target)
    fill(agent)
    before = agent.log_alpha.item()
    for _ in range(5):
        agent.update()
    assert np.sign(agent.log_alpha.item() - before) == direction


def test_the_target_entropy_is_minus_the_action_dimensions_unless_set():
    assert tiny().target_entropy == -2
    assert tiny(target_entropy=-0.5).target_entropy == -0.5


def test_a_fixed_temperature_stays():
    agent = tiny(alpha=0.3, adjust_alpha=False)
    fill(agent)
    agent.update()
    assert agent.log_alpha.exp().item() == pytest.approx(0.3)


def test_the_lagging_critics_follow_slowly_and_start_equal():
    agent = tiny(tau=0.25)
    assert torch.equal(agent.lagging_params, agent.critic_params)
    fill(agent)
    before = agent.lagging_params.detach().clone()
    agent.update()
    expected = 0.75 * before + 0.25 * agent.critic_params.detach()
    torch.testing.assert_close(agent.lagging_params.detach(), expected)


def test_the_actors_step_leaves_no_trace_in_the_critics():
    one, other = tiny(), tiny()
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    batch = SACBatch(torch.randn(8, 1), torch.zeros(8, 2), torch.randn(8), torch.ones(8))
    descend(sac_loss(one.actor, one.critics, batch, torch.tensor([0.1]))[0], one.actor_optimizer)
    assert torch.equal(one.critic_params, other.critic_params)
    assert not torch.equal(one.actor_params, other.actor_params)
    for agent in (one, other):  # its gradient passed through the critics, but is not in their next step
        descend(critic_loss_of(agent.critics, batch)[0], agent.critic_optimizer)
    assert torch.equal(one.critic_params, other.critic_params)


def test_before_learning_actions_are_uniform_over_the_box():
    agent = tiny(learning_starts=100)
    drawn = agent.act(np.zeros((5000, 1), np.float32), step=99)
    assert drawn.shape == (5000, 2)
    np.testing.assert_allclose(np.histogram(drawn, bins=4, range=(-1, 1))[0] / 10_000, 0.25, atol=0.02)


def test_acting_is_squashed_and_the_judged_action_is_the_centre():
    agent = tiny(learning_starts=1)
    obs = np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32)
    explored, judged = agent.act(obs, step=1), agent.act(obs)
    assert np.abs(explored).max() < 1
    with torch.no_grad():
        expected = policy_of(agent.actor, torch.from_numpy(obs)).mode().numpy()
    np.testing.assert_allclose(judged, expected, rtol=1e-5, atol=1e-6)
    assert explored.std() > judged.std()


def test_acting_draws_from_the_same_policy_that_learning_assumes():
    agent = tiny(learning_starts=1)
    obs = np.zeros((20_000, 1), np.float32)
    acted = agent.act(obs, step=1)
    sampled, _ = policy_of(agent.actor, torch.from_numpy(obs)).sample_with_log_prob()
    np.testing.assert_allclose(acted.mean(0), sampled.detach().numpy().mean(0), atol=0.02)
    np.testing.assert_allclose(acted.std(0), sampled.detach().numpy().std(0), atol=0.02)


def test_all_state_is_put_back_by_load_state_dict():
    one, other = tiny(), tiny()
    fill(one)
    for _ in range(4):
        one.update()
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    other.memory.load_state_dict(one.memory.state_dict())
    for agent in (one, other):
        torch.manual_seed(5)
        for _ in range(3):
            agent.update()
    for name in ("actor_params", "critic_params", "lagging_params", "log_alpha"):
        assert torch.equal(getattr(one, name), getattr(other, name))
