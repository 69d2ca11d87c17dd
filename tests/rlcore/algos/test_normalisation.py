"""Normalised observations and rewards: to every algorithm that remembers, their units are all the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore import catalog
from rlcore.algos.pqn import PQN, PQNConfig
from tests.rlcore.algos.stand_ins import rollout
from tests.rlcore.small import config_of

LINE = spaces.Box(-1e6, 1e6, (2,), np.float32)
OFF_POLICY = [name for name, entry in catalog.ALGORITHMS.items() if entry.loop == "off_policy"]
STEPS = 40


def agent_of(algo: str, **changes: Any) -> Any:
    """One whose weights are always the same at first."""
    torch.manual_seed(3)
    able = catalog.algorithm(algo).acts
    space = spaces.Discrete(3) if "discrete" in able else spaces.Box(-1, 1, (2,), np.float32)
    small = {"num_envs": 1, "batch_size": 16, "capacity": 60, **changes}
    return catalog.agent_class(algo)(LINE, space, config_of(algo, **small), seed=3)


def seen() -> torch.Tensor:
    return torch.randn(STEPS + 1, 1, 2, generator=torch.Generator().manual_seed(1))


def experience(agent: Any, obs: torch.Tensor, unit: float = 1.0) -> Any:
    action = torch.from_numpy(agent.actions.random(np.random.default_rng(1), STEPS))[:, None]
    reward = unit * torch.randn(STEPS, 1, generator=torch.Generator().manual_seed(2))
    return replace(rollout(obs, action, reward), memory=torch.zeros(STEPS, 1, agent.memory_size))


def learn_and_act(agent: Any, obs: torch.Tensor, unit: float = 1.0) -> tuple[dict[str, float], np.ndarray]:
    """The metrics of the first updates, and what is then done where it was."""
    agent.remember(experience(agent, obs, unit))
    torch.manual_seed(4)
    metrics = {name: float(value) for name, value in agent.update().items()}
    agent.update()
    return metrics, agent.act(obs[:-1, 0].numpy(), np.zeros((STEPS, agent.memory_size), np.float32))[0]


def differ(one: dict[str, float], other: dict[str, float]) -> bool:
    return any(one[name] != pytest.approx(other[name], rel=0.05, abs=0.01) for name in one)


@pytest.mark.parametrize("algo", OFF_POLICY)
def test_normalised_observations_make_the_same_of_any_unit_in_acting_targets_and_losses(algo: str):
    obs = seen()
    metrics, action = learn_and_act(agent_of(algo, normalize_obs=True), obs)
    others, other = learn_and_act(agent_of(algo, normalize_obs=True), 1000 * obs + 70)
    assert metrics == pytest.approx(others, rel=0.02, abs=1e-3)
    assert np.mean(np.abs(action - other) > 0.01) < 0.05
    plain, _ = learn_and_act(agent_of(algo), obs)
    scaled, _ = learn_and_act(agent_of(algo), 1000 * obs + 70)
    assert differ(plain, scaled)


@pytest.mark.parametrize("algo", OFF_POLICY)
def test_online_and_lagging_networks_hold_the_same_statistics_and_a_checkpoint_keeps_them(algo: str):
    agent, other, obs = agent_of(algo, normalize_obs=True), agent_of(algo, normalize_obs=True), 5 + 2 * seen()
    agent.remember(experience(agent, obs))
    other.load_state_dict(agent.state_dict())
    means = {(name, key): tensor for one in (agent, other) for name, part in one.state_dict().items()
             if isinstance(part, dict) for key, tensor in part.items() if key.endswith("norm.mean")}
    assert {name for name, _ in means} >= {"lagging" if "lagging" in agent.state_dict() else "target"}
    for mean in means.values():
        torch.testing.assert_close(mean, obs[:-1].mean((0, 1)), rtol=1e-3, atol=1e-3)
    memory = np.zeros((STEPS, agent.memory_size), np.float32)
    assert np.array_equal(*(one.act(obs[:-1, 0].numpy(), memory)[0] for one in (agent, other)))


@pytest.mark.parametrize("algo", OFF_POLICY)
def test_normalised_rewards_make_the_same_of_any_unit(algo: str):
    found, plain = ([learn_and_act(agent_of(algo, normalize_reward=on), seen(), unit)[0] for unit in (1.0, 1000.0)]
                    for on in (True, False))
    assert found[0] == pytest.approx(found[1], rel=0.01, abs=1e-3)
    assert differ(*plain)


def value_loss(algo: str, unit: float, reward_scale: float = 1.0) -> float:
    """Of the first update."""
    if algo in OFF_POLICY:
        return learn_and_act(agent_of(algo, reward_scale=reward_scale), seen(), unit)[0]["loss/value"]
    torch.manual_seed(3)
    cfg = config_of(algo, num_envs=1, horizon=STEPS, reward_scale=reward_scale)
    agent = catalog.agent_class(algo)(LINE, spaces.Discrete(3), cfg, seed=3)
    data = replace(experience(agent, seen(), unit), extra={"cost": torch.zeros(STEPS, 1)})
    return float(agent.update(data, 0)["loss/value"])


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_rewards_times_their_scale_are_what_is_learned_from(algo: str):
    eighth = value_loss(algo, unit=8.0, reward_scale=0.125)  # a power of two: no bit is lost
    assert eighth == value_loss(algo, unit=1.0)
    assert eighth != pytest.approx(value_loss(algo, unit=8.0), rel=0.05)


# --- PQN, which forgets


def pqn(**changes: Any) -> PQN:
    torch.manual_seed(3)
    return PQN(LINE, spaces.Discrete(3), PQNConfig(num_envs=1, horizon=STEPS, num_minibatches=1, hidden=(8,), epochs=1,
                                                   **changes))


def test_pqn_takes_observations_into_its_statistics_only_after_learning_from_them():
    obs, acted, losses = seen(), [], []
    for unit, shift in ((1.0, 0.0), (1000.0, 70.0)):
        agent = pqn(normalize_obs=True, learning_rate=0.0)
        data = experience(agent, unit * obs + shift)
        untouched = pqn(learning_rate=0.0).update(experience(agent, (unit * obs + shift).clamp(-10, 10)), 0)
        assert agent.update(data, 0)["loss/value"] == pytest.approx(float(untouched["loss/value"]), rel=1e-5)
        losses.append(float(agent.update(data, 0)["loss/value"]))  # by now they are known
        acted.append(agent.act((unit * obs + shift)[:-1, 0].numpy(), np.zeros((STEPS, 0), np.float32))[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert np.array_equal(*acted)


def test_pqn_learns_the_same_from_rewards_of_any_unit_and_keeps_their_scale():
    losses = []
    for unit in (1.0, 1000.0):
        agent, other = pqn(normalize_reward=True), pqn(normalize_reward=True)
        losses.append(float(agent.update(experience(agent, seen(), unit), 0)["loss/value"]))
        other.load_state_dict(agent.state_dict())
        assert other.returns is not None and agent.returns is not None
        assert other.returns.var == agent.returns.var
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
