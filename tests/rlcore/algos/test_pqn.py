"""PQN's targets and loss, worked out by hand, and what it must learn."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import rlcore as rl
from rlcore import catalog
from rlcore.algos.pqn import PQN, PQNBatch, PQNConfig, pqn_loss, pqn_targets
from rlcore.config import ConfigError, ShapeError
from rlcore.data.rollout import Rollout

LINE = spaces.Box(-100, 100, (1,), np.float32)


class Table(nn.Module):
    """Q(s, ·) is the row of a table that the observation names."""

    def __init__(self, *rows: list[float]):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, obs: Tensor) -> Tensor:
        return self.rows[obs[..., 0].long()]


def column(*values: float | bool) -> Tensor:
    return torch.tensor(values)[:, None]


def walk(reward: Tensor, terminated: Tensor, truncated: Tensor, valid: Tensor) -> Rollout:
    """States 0, 1, 2, … one after another, always action 0."""
    count = len(reward)
    obs = torch.arange(count + 1.0)[:, None, None]
    return Rollout(obs[:-1], torch.zeros(count, 1, dtype=torch.int64), reward, terminated, truncated, valid, ~valid,
                   torch.zeros(count, 1, 0), obs[-1], {})


def test_targets_look_ahead_by_lambda_and_take_the_best_action_at_the_end():
    no = torch.zeros(3, 1, dtype=torch.bool)
    network = Table([0.0, 0], [2.0, 1], [3.0, 4], [0.0, 8])
    data = walk(column(1.0, 1, 1), no, no, ~no)
    batch = pqn_targets(data, data.reward, network, PQNConfig(gamma=0.5, q_lambda=0.5))
    # t2: 1 + ½·8 = 5;  t1: 1 + ½·(½·4 + ½·5) = 3.25;  t0: 1 + ½·(½·2 + ½·3.25) = 2.3125
    assert batch.target.tolist() == [2.3125, 3.25, 5]


def test_value_and_credit_stop_at_termination_but_only_credit_stops_at_truncation():
    ended, cut = column(False, True, False), column(False, False, False)
    network = Table([0.0, 0], [2.0, 1], [3.0, 4], [0.0, 8])
    cfg, valid = PQNConfig(gamma=0.5, q_lambda=1.0), column(True, True, False)
    data = walk(column(1.0, 1, 0), ended, cut, valid)
    batch = pqn_targets(data, data.reward, network, cfg)
    assert batch.target[:2].tolist() == [1.5, 1]     # nothing follows the second step
    data = walk(column(1.0, 1, 0), cut, ended, valid)
    batch = pqn_targets(data, data.reward, network, cfg)
    assert batch.target[:2].tolist() == [2.5, 3]     # 1 + ½·4: the observation that the clock hid is worth 4
    assert batch.weight.tolist() == [1, 1, 0]


def test_the_loss_is_half_the_mean_squared_error_of_the_chosen_actions_without_dummy_rows():
    batch = PQNBatch(torch.tensor([[0.0], [0], [0]]), torch.tensor([0, 1, 1]), torch.tensor([2.0, 5, 999]),
                     torch.tensor([1.0, 1, 0]))
    loss, metrics = pqn_loss(Table([1.0, 2.0]), batch)
    assert loss.item() == (0.5 * 1 + 0.5 * 9) / 2
    assert metrics["value/mean"].item() == 1.5


def tiny(**changes: Any) -> PQN:
    return PQN(LINE, spaces.Discrete(2), PQNConfig(**{"num_envs": 2, "horizon": 4, "num_minibatches": 2, "hidden": (8,),
                                                      **changes}))


def noise_rollout() -> Rollout:
    obs, no = torch.randn(5, 2, 1), torch.zeros(4, 2, dtype=torch.bool)
    memory = torch.zeros(4, 2, 0)
    return Rollout(obs[:-1], torch.randint(2, (4, 2)), torch.randn(4, 2), no, no, ~no, no, memory, obs[-1], {})


def test_hidden_layers_are_normalised_and_a_thousandfold_observation_gives_values_of_the_same_size():
    agent = tiny(hidden=(32, 32))
    assert sum(isinstance(layer, nn.LayerNorm) for layer in agent.network) == 2
    with torch.no_grad():
        near, far = agent.network(torch.tensor([[1.0]])), agent.network(torch.tensor([[1000.0]]))
    assert far.abs().max() < 5 * near.abs().max()


def test_epsilon_falls_in_a_straight_line_and_random_actions_come_as_often_as_it_says():
    agent = tiny(epsilon_start=1.0, epsilon_end=0.2, epsilon_steps=1000)
    assert [agent.epsilon(step) for step in (0, 500, 1000, 10**6)] == pytest.approx([1, 0.6, 0.2, 0.2])
    noise = agent.noise(np.random.default_rng(0), 20_000, 500, 0)
    assert np.mean(noise >= 0) == pytest.approx(0.6, abs=0.02)
    obs, memory = np.zeros((20_000, 1), np.float32), np.zeros((20_000, 0), np.float32)
    best, explored = agent.act(obs, memory)[0], agent.act(obs, memory, noise)[0]
    assert len(set(best.tolist())) == 1
    assert np.mean(explored != best) == pytest.approx(0.3, abs=0.02)  # half of the random ones hit the best by luck


def test_images_are_normalised_before_the_first_layer():
    agent = PQN(spaces.Box(0, 255, (3, 8, 8), np.uint8), spaces.Discrete(3), PQNConfig(hidden=(8,)))
    assert isinstance(agent.network[1], nn.LayerNorm)
    assert agent.act(np.zeros((2, 3, 8, 8), np.uint8), np.zeros((2, 0), np.float32))[0].shape == (2,)


def test_what_it_cannot_do_is_refused_in_a_sentence():
    with pytest.raises(ShapeError, match=r"PQN needs a discrete action space.*SAC or PPO can act here"):
        PQN(LINE, spaces.Box(-1, 1, (1,), np.float32), PQNConfig())
    with pytest.raises(ConfigError, match=r"num_minibatches=5 must divide the rollout of 1024 steps .* Try 4"):
        PQNConfig(num_minibatches=5)


def test_every_parameter_moves_in_one_update_and_the_rate_falls_to_nothing():
    agent, rollout = tiny(learning_rate_decay="linear"), noise_rollout()
    before = agent.params.detach().clone()
    agent.update(rollout, 1.0)
    assert torch.equal(agent.params, before)  # at the run's end
    agent.update(rollout, 0.0)
    unmoved = [name for name, now in agent.network.named_parameters() if not (now.grad is not None and now.grad.any())]
    assert not unmoved and not torch.equal(agent.params, before)


def test_all_state_is_put_back_by_load_state_dict():
    one, other, rollout = tiny(), tiny(), noise_rollout()
    one.update(rollout, 0.0)
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    for agent in (one, other):
        torch.manual_seed(3)
        agent.update(rollout, 0.5)
    assert torch.equal(one.params, other.params)


# --- probes: γ = ½, so that an endless sum of ones is 2

SMALL = {"num_envs": 8, "horizon": 8, "epochs": 4, "num_minibatches": 2, "learning_rate": 5e-3, "hidden": [32],
         "gamma": 0.5, "epsilon_steps": 1000, "epsilon_end": 0.1}


def learn(title: str, env_steps: int = 4000) -> Any:
    return rl.train("pqn", f"{title}-v0", catalog.config_for("pqn", "", SMALL), env_steps=env_steps, seed=1,
                    run_dir=f"run-{title}", checkpoint_s=1e9, progress=False)


def values(agent: Any, *obs: list[float]) -> list[float]:
    with torch.no_grad():
        found: list[float] = agent.network(torch.tensor(obs)).amax(-1).tolist()
    return found


def test_the_clock_does_not_end_the_task_but_its_end_does():
    assert values(learn("Endless3"), [1.0]) == pytest.approx([2], abs=0.1)
    agent = learn("Countdown")
    assert values(agent, *np.eye(4, dtype=np.float32)[:3].tolist()) == pytest.approx([1.75, 1.5, 1.0], abs=0.1)


@pytest.mark.parametrize("title", ["Echo", "Delayed"])
def test_learns_what_to_do(title: str):
    assert rl.evaluate(learn(title), f"{title}-v0", episodes=32).mean == 1


def test_the_same_seed_gives_the_same_bits():
    one = learn("Echo", 500).params.clone()
    agent = rl.train("pqn", "Echo-v0", catalog.config_for("pqn", "", SMALL), env_steps=500, seed=1, run_dir="again",
                     progress=False)
    assert torch.equal(one, agent.params)  # type: ignore[attr-defined]
