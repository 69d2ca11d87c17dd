"""PPO's targets, loss and bookkeeping, worked out by hand, and what it must be able to learn."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from handmade import ACTION_SPACES, LINE, Known, Strict, build, practise, rollout, value_at
from torch import Tensor

from rlcore.algos import ppo
from rlcore.algos.ppo import PPO, PPOBatch, PPOConfig, ppo_loss, ppo_metrics, ppo_targets
from rlcore.config import ConfigError
from rlcore.data.rollout import Rollout
from rlcore.envs import probe
from rlcore.envs.make import make_env
from rlcore.nets.dists import MultiCategorical
from rlcore.sampling.collect import Collector

HALF = PPOConfig(gamma=0.5, gae_lambda=0.5, num_envs=1, horizon=4, num_minibatches=1)
FAST = PPOConfig(num_envs=8, horizon=16, epochs=8, num_minibatches=2, learning_rate=5e-3, hidden=(32,), gamma=0.5,
                 max_grad_norm=10.0)
DATA = rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0])


def targets(data: Rollout, model: Any = None) -> PPOBatch:
    return ppo_targets(data, data.reward, model or Known(), HALF)


def loss(batch: PPOBatch, clip: float = 0.2, kl_coef: float = 0.0, model: Any = None, **changes: Any) -> float:
    return ppo_loss(model or Known(), batch, clip, kl_coef, replace(HALF, **changes)).item()


def by_hand(advantage: list[float], old: list[float], target: list[float] | None = None) -> PPOBatch:
    """Rows of observation 2 and action 1, which Known gives probability ¾, with the old policy's probabilities."""
    rows = len(old)
    return PPOBatch(torch.full((rows, 1), 2.0), torch.ones(rows, dtype=torch.int64), torch.tensor(old).log(),
                    torch.tensor(advantage), torch.tensor(target or [2.0] * rows), torch.ones(rows), {})


# --- targets

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


def test_a_reward_that_comes_with_the_end_is_not_lost():
    batch = targets(rollout([0.0, 0, 0, 5, 0], [0.0, 0, 8, 0], terminated=(2,), dummies=(3,)))
    assert batch.advantage[:3].tolist() == [0.5, 2.0, 8.0]  # 8, ¼·8, ¼·¼·8


@pytest.mark.parametrize(("ends", "last"), [({}, 1 + 4 - 5), ({"truncated": (3,)}, 1 + 4 - 5),
                                            ({"terminated": (3,)}, 1 - 5)])
def test_the_last_row_of_a_block_follows_the_same_rule(ends: dict[str, Any], last: float):
    batch = targets(rollout([0.0, 1, 3, 5, 8], [1.0, 1, 1, 1], **ends))
    assert batch.advantage[-1].item() == last


def test_log_probabilities_are_the_acting_policys_where_the_sampler_gives_them():
    assert targets(DATA).log_prob.tolist() == pytest.approx([np.log(0.75)] * 4)
    stale = rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0], log_prob=[-1.0, -2, -3, -4])
    assert targets(stale).log_prob.tolist() == [-1, -2, -3, -4]


def test_the_first_gradient_step_sees_a_ratio_of_exactly_one():
    agent = tiny()
    batch = ppo_targets(DATA, DATA.reward, agent.model, agent.cfg)
    metrics = ppo_metrics(agent.model, batch, 0.2, 0.0, agent.cfg)
    assert metrics["policy/kl"].abs().item() < 1e-6
    assert metrics["policy/clip_fraction"].item() == 0


@pytest.mark.parametrize("core", ["gru", "lstm", "transformer"])
def test_sequences_begin_with_the_memory_that_acting_had_there(core: Any):
    cfg = PPOConfig(num_envs=4, horizon=28, sequence_length=7, hidden=(8,), core=core, core_size=8, num_minibatches=1)
    agent = build(PPO, probe.Recall, cfg)
    agent.params.data += 0.3 * torch.randn_like(agent.params)  # so that memory matters to the policy
    sampler = Collector(make_env(probe.Recall, 4, backend="sync"), agent, 28)
    sampler.collect(0)
    data = sampler.collect(0)  # episodes take 5 rows: it begins in the middle of one
    assert data.memory[0].any()
    assert ppo.approx_kl_of(agent.model, ppo_targets(data, data.reward, agent.model, cfg)).item() < 1e-9


# --- loss

def test_the_loss_by_hand():
    # ratio ¾ / ½ = 1.5, clipped at 1.2 for the good action; advantages ±1 are standardised already
    batch = by_hand([1.0, -1.0], [0.5, 0.5], target=[3.0, 2.0])
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    # policy (−1.2 + 1.5)/2, value ½·(1 + 0)/2
    assert loss(batch, entropy_coef=0.1) == pytest.approx(0.15 + 0.5 * 0.25 - 0.1 * entropy)


def test_advantages_are_standardised_once_and_only_if_asked():
    small, large = by_hand([1.0, -1.0, 0.0], [0.6] * 3), by_hand([1000.0, -1000.0, 0.0], [0.6] * 3)
    assert loss(small) == pytest.approx(loss(large))
    # ratio 1.25 → 1.2; without standardising (−1.2 + 1.25 + 0)/3; with, each advantage is √(3/2) as large
    assert loss(small, normalize_advantage=False) == pytest.approx(0.05 / 3, rel=1e-4)
    assert loss(small) == pytest.approx(0.05 / 3 * 1.5**0.5, rel=1e-4)
    assert loss(large, normalize_advantage=False) == pytest.approx(50 / 3, rel=1e-4)


def test_a_clipped_row_has_no_gradient_and_an_unclipped_one_has():
    def slope(advantage: float) -> float:
        model = Known()
        batch = by_hand([advantage], [0.5])  # ratio 1.5
        ppo_loss(model, batch, 0.2, 0.0, replace(HALF, normalize_advantage=False, value_coef=0.0)).backward()
        return model.w.grad.item()

    assert slope(1.0) == 0  # it has become likelier than ε allows: nothing more to gain
    assert slope(-1.0) > 0  # a bad action that became likelier is still pushed back


class Team(Known):
    """Two agents as one policy with one value: each takes its second choice with probability ¾."""

    def forward(self, obs: Tensor, *_: Tensor) -> tuple[Any, Tensor]:
        one, value = super().forward(obs)
        return MultiCategorical(torch.cat([one.log_probs, one.log_probs], -1), (2, 2)), value


def test_several_agents_as_one_policy_are_clipped_by_their_joint_ratio():
    # from ½·½ to ¾·¾: 1.5 each, 2.25 together, of which ε = 1 lets a good action have 2
    batch = replace(by_hand([1.0, -1.0], [0.25, 0.25]), action=torch.ones(2, 2, dtype=torch.int64))
    assert loss(batch, clip=1.0, model=Team(), normalize_advantage=False) == pytest.approx((-2 + 2.25) / 2)


def test_the_dual_clip_bounds_what_a_bad_action_costs():
    batch = by_hand([-1.0], [0.125])  # ratio 6
    assert loss(batch, normalize_advantage=False) == pytest.approx(6)
    assert loss(batch, normalize_advantage=False, dual_clip=3.0) == pytest.approx(3)


def test_the_kl_penalty_replaces_the_clip():
    batch = by_hand([1.0], [0.5])
    # −ρ + β·((ρ − 1) − log ρ), ρ = 1.5
    expected = -1.5 + 2 * (0.5 - np.log(1.5))
    assert loss(batch, kl_coef=2.0, surrogate="kl_penalty", normalize_advantage=False) == pytest.approx(expected)


def test_value_clipping_takes_away_the_gain_of_moving_far():
    # the rollout's value was target − advantage = 5 − 4.5 = ½; now it is 2: held at ½ + 1
    batch = by_hand([4.5], [0.75], target=[5.0])
    free, held = (loss(batch, value_clip=clip, value_coef=1.0, normalize_advantage=False) + 4.5 for clip in (None, 1.0))
    assert (free, held) == pytest.approx((0.5 * 3**2, 0.5 * 3.5**2))
    assert loss(batch, value_clip=2.0) == loss(batch)  # within its reach nothing changes


def test_value_errors_count_in_the_critics_own_units():
    model, batch = Known(), by_hand([0.0], [0.75], target=[8.0])
    model.value_scale = 3.0
    assert loss(batch, model=model, value_coef=1.0) == pytest.approx(0.5 * (6 / 3) ** 2)
    # the clip as well: from 8 − 3 = 5, held at 5 − 0.5·3, an error of 4.5; the value itself is further off
    held = replace(batch, advantage=torch.tensor([-3.0]), target=torch.tensor([2.0]))
    assert loss(held, model=model, value_coef=1.0, value_clip=0.5) == pytest.approx(0.5 * (1.5 / 3) ** 2)


def test_entropy_is_paid_for_not_charged():
    rich, poor = (loss(by_hand([0.0], [0.75]), entropy_coef=coef) for coef in (1.0, 0.0))
    assert poor - rich == pytest.approx(0.5623, abs=1e-4)  # the entropy of (¼, ¾)


def test_dummy_rows_change_neither_loss_nor_gradient():
    batch = by_hand([1.0, 2, 3], [0.5, 0.7, 0.8], target=[1.0, 2, 3])
    noise = replace(by_hand([1e3], [0.01], target=[-1e3]), weight=torch.zeros(1))
    both = PPOBatch(**{name: torch.cat([getattr(batch, name), getattr(noise, name)])
                       for name in vars(batch) if name != "context"}, context={})
    losses, grads = [], []
    for one in (batch, both):
        model = Known()
        total = ppo_loss(model, one, 0.2, 0.0, replace(HALF, entropy_coef=0.1))
        total.backward()
        losses.append(total.item())
        grads.append(model.w.grad.item())
    assert losses[0] == pytest.approx(losses[1])
    assert grads[0] == pytest.approx(grads[1])


# --- the update

def tiny(obs_space: spaces.Space[Any] = LINE, **changes: Any) -> PPO:
    cfg = PPOConfig(**{"num_envs": 1, "horizon": 4, "num_minibatches": 2, "epochs": 3, "hidden": (8,), **changes})
    torch.manual_seed(3)
    return PPO(obs_space, spaces.Discrete(2), cfg)


def readable(**changes: Any) -> PPO:
    """The same, every gradient step taken by the readable loss."""
    agent = tiny(**changes)
    agent.quick = None
    return agent


def seen_by(monkeypatch: pytest.MonkeyPatch, what: str, argument: int) -> list[Any]:
    """One argument of every call of a function of the module from now on."""
    calls: list[Any] = []
    real = getattr(ppo, what)

    def spy(*args: Any) -> Any:
        calls.append(args[argument])
        return real(*args)

    monkeypatch.setattr(ppo, what, spy)
    return calls


def test_an_update_takes_epochs_times_minibatches_steps(monkeypatch: pytest.MonkeyPatch):
    steps = seen_by(monkeypatch, "descend", 0)
    readable().update(DATA, progress=0)
    assert len(steps) == 6


def test_a_divergence_beyond_the_target_ends_the_epochs(monkeypatch: pytest.MonkeyPatch):
    steps = seen_by(monkeypatch, "descend", 0)
    readable(learning_rate=0.5, target_kl=1e-6).update(DATA, progress=0)
    assert len(steps) == 2  # one epoch


def test_learning_rate_and_clip_fall_to_zero_over_the_run_only_if_asked_to(monkeypatch: pytest.MonkeyPatch):
    clips = seen_by(monkeypatch, "ppo_loss", 2)
    for decay in ("constant", "linear"):
        agent, rates = readable(epochs=1, num_minibatches=1, clip_decay=decay, learning_rate_decay=decay), []
        for progress in (0, 0.25, 0.5):
            agent.update(DATA, progress)
            rates.append(agent.optimizer.param_groups[0]["lr"])
        assert rates == pytest.approx([1e-3] * 3 if decay == "constant" else [1e-3, 7.5e-4, 5e-4])
    assert clips == pytest.approx([0.2, 0.2, 0.2, 0.2, 0.15, 0.1])


def test_the_penalty_is_doubled_after_long_steps_and_halved_after_short_ones():
    long = tiny(surrogate="kl_penalty", learning_rate=0.3, kl_goal=1e-4)
    short = tiny(surrogate="kl_penalty", learning_rate=1e-6, kl_goal=1e-4)
    for agent, expected in ((long, 2.0), (short, 0.5)):
        agent.update(DATA, 0)
        assert agent.kl_coef == expected
        other = tiny(surrogate="kl_penalty")
        other.load_state_dict(copy.deepcopy(agent.state_dict()))
        assert other.kl_coef == expected


@pytest.mark.parametrize(("learning_rate", "bound"), [(1e-6, 3 / 1024), (0.3, 3 * 1024)])
def test_the_penalty_stays_where_it_can_come_back_from(learning_rate: float, bound: float):
    agent = tiny(surrogate="kl_penalty", learning_rate=learning_rate, kl_coef=3.0, kl_goal=1e-4)
    agent.kl_coef = bound
    agent.update(DATA, 0)
    assert agent.kl_coef == bound


def test_a_penalty_begins_afresh_as_an_agent_that_had_none():
    agent = tiny(surrogate="kl_penalty", kl_coef=3.0)
    agent.load_state_dict(tiny().state_dict())
    assert agent.kl_coef == 3


def test_a_value_clip_and_moving_units_are_refused_together_and_so_are_two_ways_of_holding_back():
    with pytest.raises(ConfigError, match="value_clip"):
        PPOConfig(value_clip=0.2, normalize_value="running")
    with pytest.raises(ConfigError, match="dual_clip"):
        PPOConfig(dual_clip=3.0, surrogate="kl_penalty")


@pytest.mark.parametrize("core", [{}, {"core": "gru", "sequence_length": 1}], ids=str)
def test_minibatches_of_one_step_whose_standardised_advantage_is_0_are_refused(core: dict[str, Any]):
    said = "num_minibatches=16 must leave two steps for each minibatch, .* is 0. Try 8.$"
    with pytest.raises(ConfigError, match=said):
        PPOConfig(num_envs=2, horizon=8, num_minibatches=16, **core)
    PPOConfig(num_envs=2, horizon=8, num_minibatches=8, **core)
    PPOConfig(num_envs=2, horizon=8, num_minibatches=16, normalize_advantage=False, **core)


def test_observation_statistics_are_learnt_after_the_update_and_only_then(monkeypatch: pytest.MonkeyPatch):
    agent = tiny(normalize_obs=True)
    norm, seen = agent.model.encoder.norm, []
    real = agent.model.forward
    monkeypatch.setattr(agent.model, "forward", lambda *args, **kw: seen.append(norm.mean.item()) or real(*args, **kw))
    agent.update(rollout([2.0, 4, 6, 8, 10], [1.0, 0, 1, 0]), progress=0)
    assert set(seen) == {0.0}
    assert norm.mean.item() == pytest.approx(5.0, abs=0.01)  # of the four that were acted on


def test_policy_and_value_network_share_no_weights():
    agent = tiny()
    dist, _ = agent.model(torch.ones(3, 1))
    agent.params.grad.zero_()
    dist.log_prob(torch.zeros(3, dtype=torch.int64)).sum().backward()
    assert agent.params.grad.any()
    assert not any(param.grad.any() for param in agent.model.critic.parameters())


OPTIONS: list[dict[str, Any]] = [
    {}, {"normalize_obs": True, "normalize_reward": True}, {"normalize_value": "popart"},
    {"normalize_value": "running"},
    {"surrogate": "kl_penalty"}, {"shared": True, "entropy_coef": 0.01, "dual_clip": 3.0, "value_clip": 0.2},
    *({"core": core, "core_size": 8, "sequence_length": 2, "num_minibatches": 1}
      for core in ("gru", "lstm", "transformer")),
]


def named(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items()) or "plain"


@pytest.mark.parametrize("options", OPTIONS, ids=named)
def test_all_state_is_put_back_and_the_same_seed_gives_the_same_bits(options: dict[str, Any]):
    one, other = tiny(**options), tiny(**options)
    data = replace(DATA, memory=torch.zeros(4, 1, one.memory_size))
    before = {name: tensor.clone() for name, tensor in one.model.named_parameters()}
    one.update(data, 0)
    assert [name for name, param in one.model.named_parameters() if torch.equal(param, before[name])] == []
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    for agent in (one, other):
        torch.manual_seed(5)
        agent.update(data, 0.5)
    assert torch.equal(one.params, other.params)
    assert torch.isfinite(one.params).all()
    obs, memory = np.ones((6, 1), np.float32), np.zeros((6, one.memory_size), np.float32)
    assert one.act(obs, memory)[0].tolist() == other.act(obs, memory)[0].tolist()


# --- learning

@pytest.mark.parametrize("kind", ACTION_SPACES)
def test_acts_within_any_action_space_and_learns_there(kind: str):
    place = partial(Strict, ACTION_SPACES[kind])
    agent = build(PPO, place, replace(FAST, normalize_obs=True, log_std=1.0))
    before = agent.params.detach().clone()
    result = practise(agent, place, 256)
    assert result["return"] > 0
    assert not torch.equal(agent.params, before)
    assert torch.isfinite(agent.params).all()


@pytest.mark.parametrize("mode", ["off", "running", "popart"])
def test_the_clock_does_not_end_the_task_so_value_flows_across_it(mode: str):
    # reward 1 for ever, cut every third step: 1/(1 − ½) = 2, where a finite sum would be at most 1.75
    agent = build(PPO, probe.Endless, replace(FAST, normalize_value=mode))
    practise(agent, probe.Endless, 2500, options={"max_episode_steps": 3})
    assert value_at(agent, 1) == pytest.approx(2, abs=0.07)


@pytest.mark.parametrize("mode", ["off", "running", "popart"])
def test_the_end_of_the_task_is_worth_nothing(mode: str):
    agent = build(PPO, partial(probe.Countdown, 3), replace(FAST, normalize_value=mode))
    practise(agent, partial(probe.Countdown, 3), 3000)
    values = [value_at(agent, *np.eye(4, dtype=np.float32)[step].tolist()) for step in range(3)]
    assert values == pytest.approx([1.75, 1.5, 1.0], abs=0.08)


@pytest.mark.parametrize("options", [{}, {"surrogate": "kl_penalty"}, {"dual_clip": 3.0, "value_clip": 0.5},
                                     {"normalize_advantage": False}, {"clip_decay": "linear"}], ids=named)
def test_learns_to_act_now_for_a_reward_that_comes_later(options: dict[str, Any]):
    agent = build(PPO, probe.Delayed, replace(FAST, **options))
    assert practise(agent, probe.Delayed, 4000)["return"] > 0.95


@pytest.mark.parametrize("core", ["none", "gru", "lstm", "transformer"])
def test_what_was_shown_and_is_gone_takes_a_core_to_recall(core: str):
    cfg = PPOConfig(num_envs=8, horizon=32, sequence_length=16, num_minibatches=2, learning_rate=5e-3, hidden=(32,),
                    core_size=32, gamma=0.9, core=core)
    score = practise(build(PPO, probe.Recall, cfg), probe.Recall, 2000 if core == "none" else 6000)["return"]
    assert (0.3 < score < 0.7) if core == "none" else score > 0.95


@pytest.mark.parametrize(("coef", "low", "high"), [(0.0, 0.0, 0.3), (3.0, 0.58, 0.68)])
def test_an_entropy_bonus_keeps_the_policy_random(coef: float, low: float, high: float):
    # two choices, the right one with probability p, standardised advantages √(q/p) and −√(p/q): their pull √(pq)
    # meets the bonus's 3·pq·log(p/q) at p = 0.67, where the entropy is 0.634 nats
    agent = build(PPO, probe.Echo, replace(FAST, entropy_coef=coef))
    assert low <= practise(agent, probe.Echo, 1500)["policy/entropy"] <= high


class Masked(probe.Echo):
    """Three choices of which the right one is never legal but in every other episode; illegal ones are an error."""

    def __init__(self) -> None:
        super().__init__(choices=3)
        self.inner, self.legal = self.observation_space, np.ones(3, np.int8)
        self.observation_space = spaces.Dict({"obs": self.inner, "action_mask": spaces.MultiBinary(3)})

    def _obs(self) -> Any:
        self.legal = np.ones(3, np.int8)
        self.legal[(int(self.shown) + 1) % 3] = 0  # one of the wrong choices
        return {"obs": super()._obs(), "action_mask": self.legal}

    def step(self, action: Any) -> Any:
        assert self.legal[action], f"{action} is illegal: {self.legal}"
        return super().step(action)


def test_illegal_actions_are_never_taken_and_masked_policies_learn():
    agent = build(PPO, Masked, FAST)
    assert practise(agent, Masked, 2500)["return"] > 0.95


def test_metrics_are_detached_scalars():
    metrics = tiny().update(DATA, 0)
    assert all(isinstance(value, Tensor) and not value.requires_grad and value.dim() == 0 for value in metrics.values())
