"""Every algorithm must answer what the probe environments ask, in seconds, through the front door."""

from typing import Any

import numpy as np
import pytest
import torch

import rlcore as rl
from rlcore import catalog
from rlcore.config import settings
from rlcore.envs.make import make_env
from tests.rlcore.small import STEPS, config_of

KINDS = [(algo, acts) for algo, entry in catalog.ALGORITHMS.items()
         for acts in sorted(entry.acts & {"discrete", "continuous"})]


JUDGES = [(algo, acts) for algo, acts in KINDS if algo not in {  # the others show what they expect in their own tests
    "rainbow", "qrdqn", "iqn", "r2d2", "tqc", "sac_discrete", "recurrent_td3", "recurrent_sac"}]


def learn(algo: str, acts: str, title: str, share: float = 1.0, **changes: Any) -> Any:
    name = f"{title}{'Continuous' if acts == 'continuous' else ''}-v0"
    return rl.train(algo, name, config_of(algo, **changes), env_steps=int(share * STEPS[algo]), seed=1, run_dir="run",
                    checkpoint_s=1e9)


def value(agent: Any, obs: list[float]) -> float:
    """What the agent expects from here, by its own critic."""
    rows = torch.tensor([obs], dtype=torch.float32)
    with torch.no_grad():
        match type(agent).__name__:
            case "PPO" | "A2C" | "TRPO" | "PPOLagrangian":
                return float(agent.model(rows)[1])
            case "DQN":
                return float(agent.online(rows).max())
            case "PQN":
                return float(agent.network(rows).max())
            case _:
                action = torch.from_numpy(agent.act(rows.numpy(), np.zeros((1, 0), np.float32))[0])
                return float(agent.critics(agent.critics.features(rows), action).amin())


@pytest.mark.parametrize(("algo", "acts"), JUDGES)
def test_learns_that_one_step_is_worth_its_reward(algo: str, acts: str):
    assert value(learn(algo, acts, "One", 0.5), [1, 0]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("algo", "acts"), JUDGES)
@pytest.mark.parametrize("title", ["Endless", "Endless3"])
def test_the_clock_does_not_end_the_task_so_value_flows_across_it(algo: str, acts: str, title: str):
    # reward 1 for ever, cut after every step or every third: 1/(1 − ½) = 2, where a finite sum would be 1 or ≤ 1.75
    assert value(learn(algo, acts, title), [1]) == pytest.approx(2, abs=0.07)


@pytest.mark.parametrize(("algo", "acts"), JUDGES)
def test_the_end_of_the_task_is_worth_nothing(algo: str, acts: str):
    # three ones and then the end: 1 + ½ + ¼, 1 + ½, 1; leaking value across the end would give 2 everywhere
    agent = learn(algo, acts, "Countdown")
    values = [value(agent, list(np.eye(4)[step])) for step in range(3)]
    assert values == pytest.approx([1.75, 1.5, 1.0], abs=0.08)


@pytest.mark.parametrize(("algo", "acts"), KINDS)
def test_learns_to_name_what_it_sees(algo: str, acts: str):
    agent = learn(algo, acts, "Echo")
    score = rl.evaluate(agent, f"Echo{'Continuous' if acts == 'continuous' else ''}-v0", episodes=64)
    assert score.mean == 1 if acts == "discrete" else score.mean > 0.9  # doing nothing earns 0.75


@pytest.mark.parametrize(("algo", "acts"), KINDS)
def test_learns_to_act_now_for_a_reward_that_comes_later(algo: str, acts: str):
    agent = learn(algo, acts, "Delayed")
    score = rl.evaluate(agent, f"Delayed{'Continuous' if acts == 'continuous' else ''}-v0", episodes=16)
    assert score.mean == 1
    if (algo, acts) in JUDGES:
        assert value(agent, [0, 0]) == pytest.approx(0.5, abs=0.1)  # γ·1


@pytest.mark.parametrize(("algo", "acts"), KINDS)
def test_every_trainable_network_moves_and_stays_finite(algo: str, acts: str):
    title = "Delayed" if algo == "r2d2" or "recurrent" in algo else "Echo"  # memory matters from the second step on
    name = f"{title}{'Continuous' if acts == 'continuous' else ''}-v0"
    adjusts = any(item.name == "adjust_alpha" for item in settings(catalog.config_class(algo)))
    config = config_of(algo, **({"adjust_alpha": True} if adjusts else {}))
    env = make_env(name, config.num_envs)
    torch.manual_seed(1)
    fresh = catalog.agent_class(algo)(env.single_observation_space, env.single_action_space, config, seed=1)
    before = tensors(fresh.state_dict())
    agent = rl.train(algo, name, config, env_steps=600, seed=1, run_dir="run", checkpoint_s=1e9)
    after = tensors(agent.state_dict())
    assert len(before) >= 4
    unmoved = [key for key in before if torch.is_floating_point(before[key]) and torch.equal(before[key], after[key])]
    assert not unmoved
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


def tensors(state: Any, path: str = "") -> dict[str, torch.Tensor]:
    """Every network tensor of an agent's state, by its path; optimisers and statistics are left out."""
    if isinstance(state, torch.Tensor):
        return {path: state.clone()}
    found: dict[str, torch.Tensor] = {}
    for key, item in state.items() if isinstance(state, dict) else ():
        if "optimizer" not in str(key) and key not in ("returns", "costs", "picker"):
            found |= tensors(item, f"{path}/{key}")
    return found


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_the_best_known_action_does_not_depend_on_chance(algo: str):
    acts = min(catalog.ALGORITHMS[algo].acts & {"discrete", "continuous"})
    agent = learn(algo, acts, "Echo", 0.1)
    obs, memory = np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 1]], np.zeros((5, agent.memory_size), np.float32)
    if acts == "continuous":
        obs = obs[:, :1]
    first = agent.act(obs, memory)[0]
    assert all(np.array_equal(agent.act(obs, memory)[0], first) for _ in range(5))
