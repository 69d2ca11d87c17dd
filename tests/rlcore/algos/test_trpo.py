"""TRPO's surrogate, Fisher products and trust region, worked out by hand, and what it must be able to learn."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from handmade import ACTION_SPACES, LINE, Known, Strict, build, practise, rollout, value_at
from torch import Tensor, nn

from rlcore.algos.trpo import (
    TRPO,
    TRPOBatch,
    TRPOConfig,
    fisher_product,
    fixed_policy,
    mean_kl,
    policy_of,
    trpo_loss,
    trpo_targets,
    trust_region_step,
)
from rlcore.envs import probe
from rlcore.nets.dists import Categorical, Gaussian
from rlcore.nets.encoders import read_by

HALF = TRPOConfig(gamma=0.5, gae_lambda=0.5, num_envs=1, horizon=4)
FAST = TRPOConfig(num_envs=8, horizon=16, learning_rate=1e-2, max_kl=0.05, hidden=(32,), gamma=0.5)
DATA = rollout([0.0, 1, 2, 3, 4], [1.0, 0, 1, 0], action=[1, 0, 1, 0])


def rows(weight: list[float], **columns: list[float]) -> TRPOBatch:
    """A batch of whose columns only some matter."""
    empty = torch.zeros(len(weight))
    given = {name: torch.tensor(column) for name, column in columns.items()}
    return TRPOBatch(**{"obs": empty[:, None], "action": empty.long(), "log_prob": empty, "advantage": empty,
                        "target": empty, "weight": torch.tensor(weight), "context": {}, **given})


def test_advantages_are_standardised_once_among_the_rows_that_count():
    data = rollout([0.0, 1, 8, 3, 5], [1.0, 1, 0, 1], truncated=(1,), dummies=(2,))
    batch = trpo_targets(data, data.reward, Known(), HALF)
    # r + ½·V' − V + ¼·Â' as for PPO
    raw = np.array([2.5, 4.0, 0.5])
    assert batch.advantage[[0, 1, 3], 0].tolist() == pytest.approx(((raw - raw.mean()) / raw.std()).tolist())
    assert batch.target[[0, 1, 3], 0].tolist() == [2.5, 5.0, 3.5]
    assert batch.weight[:, 0].tolist() == [1, 1, 0, 1]


def test_termination_is_worth_its_reward_alone():
    data = rollout([0.0, 1, 8, 3, 5], [1.0, 1, 0, 1], terminated=(1,), dummies=(2,))
    assert trpo_targets(data, data.reward, Known(), HALF).target[[0, 1, 3], 0].tolist() == [1.5, 1.0, 3.5]


def test_the_surrogate_is_the_weighted_mean_of_ratio_times_advantage():
    dist = Categorical(torch.tensor([[0.0, 0.0], [0.0, np.log(3)], [0.0, 9.0]]))
    batch = rows([1.0, 1.0, 0.0], action=[0, 1, 1], log_prob=[np.log(0.25), np.log(0.5), 0.0], advantage=[1.0, 2.0, 99])
    assert trpo_loss(dist, batch).item() == pytest.approx(-(2 * 1 + 1.5 * 2) / 2)


def test_the_fisher_matrix_of_a_gaussian_is_known():
    # per row: ∂²KL/∂μ² = 1/σ², ∂²KL/∂(log σ)² = 2; with μ = w·s over s = 1, 2 the mean is (1 + 4)/2 / σ²
    w, log_std = nn.Parameter(torch.tensor([0.5])), nn.Parameter(torch.tensor([2.0]).log())
    seen = torch.tensor([[1.0], [2.0]])
    new = Gaussian(seen * w, log_std)
    old = Gaussian((seen * w).detach(), log_std.detach().clone())
    product = fisher_product(mean_kl(old, new, rows([1.0, 1.0])), [w, log_std], damping=0.5)
    assert product(torch.tensor([1.0, 0.0])).tolist() == pytest.approx([2.5 / 4 + 0.5, 0.0], abs=1e-6)
    assert product(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0.0, 2.5], abs=1e-6)


def test_the_step_goes_down_the_natural_gradient_to_the_edge_of_the_region():
    matrix = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    step = trust_region_step(lambda v: matrix @ v, torch.tensor([4.0, 2.0]), max_kl=0.01, cg_steps=10)
    # F⁻¹g = (1, 2), sᵀFs = 8: −(1, 2)·√(0.02/8); its quadratic divergence ½·sᵀFs is δ
    assert step.tolist() == pytest.approx([-0.05, -0.1], rel=1e-4)
    assert (0.5 * step @ matrix @ step).item() == pytest.approx(0.01, rel=1e-4)


def tiny(action_space: spaces.Space[Any] | None = None, **changes: Any) -> TRPO:
    torch.manual_seed(3)
    cfg = TRPOConfig(**{"num_envs": 1, "horizon": 4, "hidden": (8,), "value_epochs": 2, **changes})
    return TRPO(LINE, action_space or spaces.Discrete(2), cfg)


@pytest.mark.parametrize("max_kl", [1e-4, 1e-2])
@pytest.mark.parametrize("acts", ["discrete", "continuous"])
def test_an_update_gains_and_stays_within_the_region_by_the_exact_divergence(acts: str, max_kl: float):
    agent, data = tiny(max_kl=max_kl), DATA
    if acts == "continuous":
        agent = tiny(spaces.Box(-1, 1, (1,), np.float32), max_kl=max_kl)
        data = replace(DATA, action=torch.tensor([0.5, -1.5, 1.0, 0.0])[:, None, None])
    batch = trpo_targets(data, data.reward, agent.model, agent.cfg)
    with torch.no_grad():
        old = policy_of(copy.deepcopy(agent.model), batch)
    metrics = agent.update(data, 0)
    with torch.no_grad():
        new = policy_of(agent.model, batch)
        kl = mean_kl(old, new, batch).item()
    assert 0.3 * max_kl < kl <= max_kl
    assert metrics["policy/kl"].item() == pytest.approx(kl)
    assert trpo_loss(new, batch) < trpo_loss(old, batch)
    assert metrics["policy/step_share"].item() > 0


def test_a_step_that_would_leave_the_region_is_shortened_or_not_taken():
    for factor, taken in ((0.5, True), (0.99, False)):
        agent = tiny(line_search_factor=factor, line_search_steps=20)
        batch = trpo_targets(DATA, DATA.reward, agent.model, agent.cfg)
        old, start = fixed_policy(agent.model, batch), agent.policy_params.detach().clone()
        far = torch.linspace(-9, 9, len(start))
        share, kl, _ = agent._search(start, far, old, torch.tensor(1e9), batch)  # any step would gain
        assert kl.item() <= agent.cfg.max_kl
        assert (share.item() > 0) == taken
        torch.testing.assert_close(agent.policy_params.detach(), start + share * far)


def test_where_no_step_gains_the_policy_stays_and_the_critic_still_learns():
    agent = tiny()
    data = replace(DATA, valid=torch.zeros_like(DATA.valid))  # only dummy rows: nothing to gain
    policy, critic = agent.policy_params.detach().clone(), agent.critic_params.detach().clone()
    assert agent.update(data, 0)["policy/step_share"].item() == 0
    assert torch.equal(agent.policy_params, policy)
    agent.update(DATA, 0)
    assert not torch.equal(agent.critic_params, critic)


def test_fitting_the_critic_does_not_move_the_policy_even_with_a_core():
    agent = tiny(core="gru", core_size=8)
    data = replace(DATA, memory=torch.zeros(4, 1, agent.memory_size))
    batch = trpo_targets(data, data.reward, agent.model, agent.cfg)
    policy, critic = agent.policy_params.detach().clone(), agent.critic_params.detach().clone()
    agent._fit_critic(batch)
    assert torch.equal(agent.policy_params, policy)
    assert not torch.equal(agent.critic_params, critic)


@pytest.mark.parametrize("options", [
    {}, {"normalize_obs": True, "normalize_reward": True}, *({"core": core, "core_size": 8}
                                                             for core in ("gru", "lstm", "transformer"))], ids=str)
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
    for name in ("policy_params", "critic_params"):
        assert torch.equal(getattr(one, name), getattr(other, name))
        assert torch.isfinite(getattr(one, name)).all()


@pytest.mark.parametrize("kind", ACTION_SPACES)
def test_steps_within_the_region_for_any_action_space(kind: str):
    place = partial(Strict, ACTION_SPACES[kind])
    agent = build(TRPO, place, replace(FAST, log_std=1.0))
    before = agent.policy_params.detach().clone()
    metrics = practise(agent, place, 256)
    assert metrics["return"] > 0
    assert 0 < metrics["policy/kl"] <= FAST.max_kl
    assert not torch.equal(agent.policy_params, before)


def test_the_clock_does_not_end_the_task_but_its_end_does():
    endless = build(TRPO, probe.Endless, FAST)
    practise(endless, probe.Endless, 1500, options={"max_episode_steps": 3})
    assert value_at(endless, 1) == pytest.approx(2, abs=0.07)  # 1/(1 − ½), not 1 + ½ + ¼
    short = build(TRPO, partial(probe.Countdown, 3), FAST)
    practise(short, partial(probe.Countdown, 3), 2000)
    values = [value_at(short, *np.eye(4, dtype=np.float32)[step].tolist()) for step in range(3)]
    assert values == pytest.approx([1.75, 1.5, 1.0], abs=0.08)


@pytest.mark.parametrize("place", [probe.Echo, partial(probe.Echo, acts="continuous"), probe.Delayed,
                                   partial(probe.Delayed, acts="continuous")])
def test_learns_what_to_do_now_and_for_later(place: Any):
    enough = 0.95 if place in (probe.Echo, probe.Delayed) else 0.85  # doing nothing earns 0.75 of Echo, 0.5 of Delayed
    agent = build(TRPO, place, replace(FAST, log_std=-1.0))
    assert practise(agent, place, 4000)["return"] > enough


class Idle(nn.Module):
    """An encoder with a layer that nothing reads."""

    def __init__(self, space: spaces.Box):
        super().__init__()
        self.out_dim, self.read, self.idle = 8, nn.Linear(space.shape[0], 8), nn.Linear(2, 2)

    def forward(self, obs: Tensor) -> Tensor:
        return self.read(obs).relu()


def test_a_parameter_that_the_policy_does_not_use_stays_as_it_is():
    agent = TRPO(read_by(LINE, Idle), spaces.Discrete(2), TRPOConfig(num_envs=1, horizon=4, hidden=(8,)))
    idle, used = (agent.model.get_parameter(f"encoder.net.{name}.weight") for name in ("idle", "read"))
    before = idle.clone(), used.clone()
    agent.update(DATA, 0)
    assert torch.equal(idle, before[0])
    assert not torch.equal(used, before[1])


@pytest.mark.parametrize("core", ["gru", "lstm", "transformer"])
def test_a_core_is_computed_by_kernels_that_can_be_differentiated_twice_on_a_gpu_too(core: Any):
    agent, seen = tiny(core=core, core_size=8), []
    agent.model.core.register_forward_pre_hook(lambda *_: seen.append(
        (torch.backends.cudnn.enabled, torch.backends.cuda.flash_sdp_enabled(),
         torch.backends.cuda.mem_efficient_sdp_enabled(), torch.backends.cuda.math_sdp_enabled())))
    before = torch.backends.cudnn.enabled, torch.backends.cuda.flash_sdp_enabled()
    agent.update(replace(DATA, memory=torch.zeros(4, 1, agent.memory_size)), 0)
    assert set(seen) == {(False, False, False, True)}
    assert before == (torch.backends.cudnn.enabled, torch.backends.cuda.flash_sdp_enabled())


def test_recalls_with_a_core():
    cfg = replace(FAST, horizon=30, gamma=0.9, core="gru", core_size=16)
    assert practise(build(TRPO, probe.Recall, cfg), probe.Recall, 8_000)["return"] > 0.95


def test_learns_from_images_whose_gradients_are_strided():
    pixels = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    torch.manual_seed(3)
    agent = TRPO(pixels, spaces.Discrete(2), TRPOConfig(num_envs=1, horizon=4, hidden=(8,)))
    data = replace(DATA, obs=torch.randint(256, (4, 1, 36, 36, 3), dtype=torch.uint8),
                   last_obs=torch.randint(256, (1, 36, 36, 3), dtype=torch.uint8))
    metrics = agent.update(data, 0)
    assert 0 < metrics["policy/kl"].item() <= agent.cfg.max_kl
