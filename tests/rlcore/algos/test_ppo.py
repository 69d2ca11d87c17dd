"""PPO's targets, loss and bookkeeping, worked out by hand."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.algos import ppo
from rlcore.algos.ppo import PPO, ActorCritic, PPOBatch, PPOConfig, RewardScale, ppo_loss, ppo_targets
from rlcore.data.rollout import Rollout
from rlcore.nets.dists import Categorical

LINE = spaces.Box(-100, 100, (1,), np.float32)


class Known(nn.Module):
    """V(s) = s, and logits (0, log 3·w): a critic and a policy whose outputs can be read off."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, obs: Tensor) -> tuple[Categorical, Tensor]:
        logits = torch.stack([torch.zeros_like(obs[..., 0]), self.w * np.log(3) * torch.ones_like(obs[..., 0])], -1)
        return Categorical(logits), self.w * obs.squeeze(-1)


def rollout(obs: list[float], reward: list[float], terminated: tuple[int, ...] = (), truncated: tuple[int, ...] = (),
            dummies: tuple[int, ...] = ()) -> Rollout:
    """One environment's steps; `obs` has one more, and rows are named by their number."""
    steps = len(reward)

    def at(rows: tuple[int, ...]) -> Tensor:
        return torch.tensor([[step in rows] for step in range(steps)])

    seen = torch.tensor(obs)[:, None, None]
    return Rollout(seen[:-1], torch.ones(steps, 1, dtype=torch.int64), torch.tensor(reward)[:, None], at(terminated),
                   at(truncated), ~at(dummies), seen[-1])


HALF = PPOConfig(gamma=0.5, gae_lambda=0.5, num_envs=1, horizon=4, num_minibatches=1)


def targets(data: Rollout) -> PPOBatch:
    return ppo_targets(data, data.reward, Known(), HALF)  # type: ignore[arg-type]


def test_a_truncated_step_bootstraps_from_its_own_last_observation_not_from_the_next_episode():
    # obs 0 and 1, cut after step 1 at obs 8 (row 2, the dummy), next episode starts at obs 3
    batch = targets(rollout([0.0, 1, 8, 3, 5], [1.0, 1, 0, 1], truncated=(1,), dummies=(2,)))
    # row 3: 1 + ½·5 − 3 = ½      row 1: 1 + ½·8 − 1 = 4      row 0: 1 + ½·1 − 0 + ¼·4 = 2.5
    assert batch.advantage[[0, 1, 3]].tolist() == [2.5, 4.0, 0.5]
    assert batch.target[[0, 1, 3]].tolist() == [2.5, 5.0, 3.5]
    assert batch.weight.tolist() == [1, 1, 0, 1]


def test_a_terminated_step_is_worth_its_reward_alone():
    batch = targets(rollout([0.0, 1, 8, 3, 5], [1.0, 1, 0, 1], terminated=(1,), dummies=(2,)))
    # row 1: 1 − 1 = 0, whatever the critic says of 8      row 0: 1 + ½·1 + ¼·0 = 1.5
    assert batch.advantage[[0, 1, 3]].tolist() == [1.5, 0.0, 0.5]


@pytest.mark.parametrize(("ends", "last"), [({}, 1 + 4 - 5), ({"truncated": (3,)}, 1 + 4 - 5),
                                            ({"terminated": (3,)}, 1 - 5)])
def test_the_last_row_of_a_block_follows_the_same_rule(ends: dict[str, Any], last: float):
    batch = targets(rollout([0.0, 1, 3, 5, 8], [1.0, 1, 1, 1], **ends))
    assert batch.advantage[-1].item() == last


def test_the_first_gradient_step_sees_a_ratio_of_exactly_one():
    agent = PPO(LINE, spaces.Discrete(2), PPOConfig(num_envs=1, horizon=4, num_minibatches=1))
    data = rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0])
    batch = ppo_targets(data, data.reward, agent.model, agent.cfg)
    metrics = ppo.ppo_metrics(agent.model, batch, agent.cfg)
    assert metrics["policy/kl"].abs().item() < 1e-6
    assert metrics["policy/clip_fraction"].item() == 0


def test_the_loss_by_hand():
    # π(1) = 3/4; the old policy said 1/2: ratio 1.5, clipped at 1.2 for the good action; advantages ±1 as given
    batch = PPOBatch(obs=torch.tensor([[2.0], [4.0]]), action=torch.tensor([1, 1]),
                     log_prob=torch.tensor([0.5, 0.5]).log(),
                     advantage=torch.tensor([1.0, -1.0]), target=torch.tensor([3.0, 4.0]), weight=torch.ones(2))
    cfg = replace(HALF, clip=0.2, value_coef=0.5, entropy_coef=0.1)
    # policy (−1.2 + 1.5)/2, value ½·½·(1 + 0)/2, entropy of (¼, ¾)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert ppo_loss(Known(), batch, cfg).item() == pytest.approx(0.15 + 0.5 * 0.25 - 0.1 * entropy)  # type: ignore[arg-type]


def test_dummy_rows_change_neither_loss_nor_gradient():
    batch = PPOBatch(torch.tensor([[2.0], [4.0], [1.0]]), torch.tensor([1, 0, 1]), torch.zeros(3),
                     torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 2, 3]), torch.ones(3))
    noise = PPOBatch(torch.tensor([[99.0]]), torch.tensor([0]), torch.tensor([-5.0]), torch.tensor([1e3]),
                     torch.tensor([-1e3]), torch.zeros(1))
    both = PPOBatch(**{name: torch.cat([getattr(batch, name), getattr(noise, name)]) for name in vars(batch)})
    losses, grads = [], []
    for one in (batch, both):
        model = Known()
        loss = ppo_loss(model, one, replace(HALF, entropy_coef=0.1))  # type: ignore[arg-type]
        loss.backward()
        losses.append(loss.item())
        grads.append(model.w.grad.item())
    assert losses[0] == pytest.approx(losses[1])
    assert grads[0] == pytest.approx(grads[1])


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every gradient step taken from now on."""
    rates: list[float] = []
    real = ppo.descend

    def descend(loss: Tensor, optimizer: torch.optim.Optimizer, limit: float) -> Tensor:
        rates.append(optimizer.param_groups[0]["lr"])
        return real(loss, optimizer, limit)

    monkeypatch.setattr(ppo, "descend", descend)
    return rates


def tiny(**changes: Any) -> PPO:
    cfg = PPOConfig(**{"num_envs": 1, "horizon": 4, "num_minibatches": 2, "epochs": 3, "hidden": (8,), **changes})
    return PPO(LINE, spaces.Discrete(2), cfg)


def test_an_update_takes_epochs_times_minibatches_steps(monkeypatch: pytest.MonkeyPatch):
    rates = count_steps(monkeypatch)
    tiny().update(rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0]), progress=0)
    assert len(rates) == 6


def test_a_divergence_beyond_the_target_ends_the_epochs(monkeypatch: pytest.MonkeyPatch):
    rates = count_steps(monkeypatch)
    agent = tiny(learning_rate=0.5, target_kl=1e-6)
    agent.update(rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0]), progress=0)
    assert len(rates) == 2  # one epoch


def test_the_learning_rate_falls_to_zero_over_the_run_only_if_asked_to(monkeypatch: pytest.MonkeyPatch):
    rates, data = count_steps(monkeypatch), rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0])
    for decay in ("constant", "linear"):
        agent = tiny(epochs=1, num_minibatches=1, learning_rate=0.01, learning_rate_decay=decay)
        for progress in (0, 0.25, 0.5):
            agent.update(data, progress)
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.01, 0.0075, 0.005])


def test_observation_statistics_are_learnt_after_the_update_and_only_then():
    agent = tiny(normalize_obs=True)
    seen: list[float] = []
    real = agent.model.forward
    agent.model.forward = lambda obs: seen.append(agent.model.norm.mean.item()) or real(obs)  # type: ignore[method-assign]
    agent.update(rollout([2.0, 4, 6, 8, 10], [1.0, 0, 1, 0]), progress=0)
    assert set(seen) == {0.0}
    assert agent.model.norm is not None
    assert agent.model.norm.mean.item() == pytest.approx(5.0, abs=0.01)  # of the four that were acted on


def test_policy_and_value_network_share_no_weights():
    model = ActorCritic(1, 2, discrete=True, cfg=PPOConfig(hidden=(8,)))
    dist, _ = model(torch.ones(3, 1))
    dist.log_prob(torch.zeros(3, dtype=torch.int64)).sum().backward()
    assert all(param.grad is None or not param.grad.any() for param in model.critic.parameters())


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    scale = RewardScale(num_envs=1, gamma=0.5)
    data = rollout([0.0] * 5, [4.0, 0, 2, 0])
    # running sums 4, 2, 3, 1.5: deviation of those four
    deviation = float(np.std([4, 2, 3, 1.5]))
    assert scale.scale(data).flatten().tolist() == pytest.approx([4 / deviation, 0, 2 / deviation, 0], rel=1e-3)
    # the sum under way is carried into the next block: 1.5·½ + 1
    scale.scale(rollout([0.0] * 2, [1.0]))
    assert scale.carry.item() == 1.75


def test_the_return_starts_again_after_an_end_and_dummy_rows_do_not_count():
    scale = RewardScale(num_envs=1, gamma=0.5)
    scale.scale(rollout([0.0] * 6, [4.0, 2, 0, 1, 1], terminated=(1,), dummies=(2,)))
    # 4, 4 | the dummy | 1, 1.5
    assert scale.carry.item() == 1.5
    assert scale.var.item() == pytest.approx(np.var([4, 4, 1, 1.5]), rel=1e-3)


def test_an_end_on_the_last_row_is_remembered_for_the_next_block():
    scale = RewardScale(num_envs=1, gamma=0.5)
    scale.scale(rollout([0.0] * 3, [4.0, 2], truncated=(1,)))
    scale.scale(rollout([0.0] * 3, [0.0, 1], dummies=(0,)))
    assert scale.carry.item() == 1.0


def test_all_state_is_put_back_by_load_state_dict():
    changes = {"normalize_obs": True, "normalize_reward": True}
    one, other = tiny(**changes), tiny(**changes)
    data = rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0])
    one.update(data, 0)
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    for agent in (one, other):
        torch.manual_seed(5)
        agent.update(data, 0.5)
    assert torch.equal(one.params, other.params)
    obs = np.ones((6, 1), np.float32)
    assert one.act(obs, step=0).tolist() == other.act(obs, step=0).tolist()
