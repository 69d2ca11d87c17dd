"""Rainbow: its distributional targets, its priorities and its noise."""

import copy
import math
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import rlcore as rl
from rlcore.algos.rainbow import Rainbow, RainbowBatch, RainbowConfig, rainbow_loss, rainbow_targets
from rlcore.config import ConfigError
from rlcore.data.replay import Transitions
from rlcore.data.rollout import Rollout

ATOMS = torch.tensor([0.0, 2.0, 4.0])
SURE = 1000.0
LINE = spaces.Box(-100, 100, (1,), np.float32)
MASKED = spaces.Dict({"image": spaces.Box(0, 255, (4, 8, 8), np.uint8), "action_mask": spaces.MultiBinary(3)})


class Table(nn.Module):
    """The same logits of every action's atoms in every state. [A, K]"""

    def __init__(self, *rows: list[float]):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, obs: Tensor | dict[str, Tensor]) -> Tensor:
        part = obs["action_mask"] if isinstance(obs, dict) else obs
        return self.rows.expand(len(part), -1, -1)


def step(next_obs: Any, discount: list[float]) -> Transitions:
    rows = len(discount)
    return Transitions(torch.zeros(rows, 1), torch.zeros(rows, dtype=torch.int64), torch.ones(rows),
                       torch.tensor(discount), next_obs, torch.ones(rows))


def test_the_target_moves_the_lagging_distribution_of_the_online_networks_choice():
    online = Table([0.0, 0.0, SURE], [SURE, 0.0, 0.0])       # prefers action 0: 4 against 0
    lagging = Table([0.0, SURE, SURE], [0.0, 0.0, SURE])     # would prefer action 1: 3 against 4
    batch = rainbow_targets(step(torch.zeros(2, 1), [0.5, 0.0]), torch.ones(2), online, lagging, ATOMS)
    # action 0 is 2 or 4: 1 + ½·2 = 2 and 1 + ½·4 = 3, half way from 2 to 4. Behind the end: 1, half way from 0 to 2
    assert batch.target.tolist() == [[0, 0.75, 0.25], [0.5, 0.5, 0]]


def test_an_illegal_next_action_is_not_chosen():
    net = Table([0.0, 0.0, SURE], [SURE, 0.0, 0.0])
    after = {"action_mask": torch.tensor([[0, 1]], dtype=torch.int8)}
    batch = rainbow_targets(step(after, [1.0]), torch.ones(1), net, net, ATOMS)
    assert batch.target.tolist() == [[0.5, 0.5, 0]]  # 1 + 0, though action 0 would give 1 + 4


def test_the_loss_is_the_divergence_weighed_by_importance():
    batch = RainbowBatch(torch.zeros(3, 1), torch.tensor([0, 0, 0]),
                         torch.tensor([[0.0, 1.0, 0.0], [0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]),
                         torch.tensor([0.5, 1.0, 1.0]), torch.tensor([1.0, 1.0, 0.0]))
    loss, error, metrics = rainbow_loss(Table([0.0, math.log(2), 0.0]), batch, ATOMS)
    # predicted ¼, ½, ¼: log 2, 0 and log 4 off; the last is a dummy row: (½·log 2 + 0)/2
    assert error.tolist() == pytest.approx([math.log(2), 0, math.log(4)], abs=1e-6)
    assert loss.item() == pytest.approx(math.log(2) / 4)
    assert metrics["value/mean"].item() == pytest.approx(2)


def tiny(obs_space: spaces.Space[Any] = LINE, choices: int = 2, seed: int = 0, **changes: Any) -> Rainbow:
    torch.manual_seed(seed)
    return Rainbow(obs_space, spaces.Discrete(choices), RainbowConfig(**{
        "hidden": (8, 8), "batch_size": 8, "capacity": 50, "atoms": 5, **changes}), seed=seed)


def fill(agent: Rainbow, obs: Any = None, steps: int = 20) -> None:
    obs = {"": torch.randn(steps + 1, 1, 1)} if obs is None else obs
    no = torch.zeros(steps, 1, dtype=torch.bool)
    before, last = {k: v[:-1] for k, v in obs.items()}, {k: v[-1] for k, v in obs.items()}
    agent.remember(Rollout(before.get("", before), torch.randint(agent.actions.size, (steps, 1)), torch.randn(steps, 1),
                           no, no, ~no, no, torch.zeros(steps, 1, 0), last.get("", last), {}))


def test_the_target_network_begins_as_a_copy_and_every_part_of_the_online_one_moves():
    agent = tiny(target_every=3)
    assert torch.equal(agent.params, agent.lagged)
    start = {name: param.detach().clone() for name, param in agent.online.named_parameters()}
    assert {"body.0.weight", "head.value.stream.0.weight_sigma", "head.advantage.stream.2.bias"} < start.keys()
    fill(agent)
    for update in range(1, 4):
        agent.update()
        assert torch.equal(agent.params, agent.lagged) == (update == 3)
    assert not [name for name, param in agent.online.named_parameters() if torch.equal(param, start[name])]


def test_what_surprised_is_ranked_by_its_divergence_to_the_power_alpha_once():
    agent = tiny(learning_rate=0.0, priority_alpha=0.5, batch_size=64, n_step=1)
    for name, param in agent.online.named_parameters():
        if "sigma" in name:  # without noise the errors can be found again
            param.data.zero_()
    agent.target.load_state_dict(agent.online.state_dict())
    fill(agent)
    agent.update()
    batch = rainbow_targets(agent.memory.transitions(torch.arange(20), 0.99), torch.ones(20), agent.online,
                            agent.target, agent.atoms)
    error = rainbow_loss(agent.online, batch, agent.atoms)[1].numpy()
    np.testing.assert_allclose(agent.replay.picker.tree.leaves[:20], (error + 1e-6) ** 0.5, rtol=1e-3)


def test_pixels_in_a_dictionary_with_a_mask_are_learnt_from_and_no_illegal_action_is_taken():
    agent = tiny(MASKED, 3, frames=4)
    movie = torch.randint(256, (24, 8, 8), dtype=torch.uint8)
    stacks = torch.stack([movie[t:t + 4] for t in range(21)])[:, None]
    obs = {"image": stacks, "action_mask": torch.tensor([1, 0, 1], dtype=torch.int8).expand(21, 1, 3)}
    fill(agent, obs)
    agent.update()
    seen = {name: part[:, 0].numpy() for name, part in obs.items()}
    taken = [agent.act(seen, np.zeros((21, 0), np.float32), np.full((21, 1), float(number)))[0]
             for number in range(1, 30)]
    assert set(np.unique(taken)) == {0, 2}


def test_exploring_depends_on_seed_and_step_alone_and_judging_uses_the_mean():
    agent, obs, memory = tiny(choices=6), np.linspace(-50, 50, 200, dtype=np.float32)[:, None], np.zeros((200, 0))
    first = agent.noise(np.random.default_rng(0), 200, 500, 0)
    assert np.array_equal(first, agent.noise(np.random.default_rng(1), 200, 500, 1))
    noisy, mean = agent.act(obs, memory, first)[0], agent.act(obs, memory)[0]
    assert not np.array_equal(noisy, mean)
    fill(agent)
    before = agent.params.detach().clone()
    agent.update()
    agent.params.data.copy_(before)
    assert np.array_equal(agent.act(obs, memory, first)[0], noisy)
    assert np.array_equal(agent.act(obs, memory)[0], mean)


def test_all_state_is_put_back_by_load_state_dict():
    one, other = tiny(target_every=5), tiny(target_every=5, seed=1)
    fill(one)
    for _ in range(4):
        one.update()
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    other.memory.load_state_dict(one.memory.state_dict())
    for agent in (one, other):
        torch.manual_seed(7)  # the session's to keep
        for _ in range(3):
            agent.update()
    assert torch.equal(one.params, other.params)
    assert torch.equal(one.lagged, other.lagged)


def test_points_of_a_distribution_must_be_in_order_and_actions_discrete():
    with pytest.raises(ConfigError, match=r"RainbowConfig.v_max=-11.0 must be above v_min=-10.0"):
        RainbowConfig(v_max=-11.0)
    with pytest.raises(rl.ShapeError, match="Rainbow needs a discrete action space"):
        Rainbow(LINE, LINE, RainbowConfig())


QUICK = {"num_envs": 4, "train_every": 1, "learning_rate": 5e-3, "learning_starts": 100, "target_every": 10,
         "hidden": (32,), "gamma": 0.5, "capacity": 2000, "v_min": -1.0, "v_max": 3.0, "atoms": 41, "batch_size": 64}


def learn(env: str, env_steps: int, **changes: Any) -> Any:
    return rl.train("rainbow", env, RainbowConfig(**{**QUICK, **changes}), env_steps=env_steps, seed=1, run_dir="run",
                    progress=False, checkpoint_s=1e9)


def value(agent: Rainbow, *obs: float) -> float:
    agent.acting_noise.use(None)
    with torch.no_grad():
        return float((agent.online(torch.tensor([obs])).softmax(-1) * agent.atoms).sum(-1).max())


def test_value_flows_across_the_clock():
    assert value(learn("Endless3-v0", 700), 1) == pytest.approx(2, abs=0.1)  # 1/(1 − ½), cut every third step


def test_value_does_not_flow_across_the_end():
    agent = learn("Countdown-v0", 800)  # three ones and then the end: 1 + ½ + ¼, 1 + ½, 1
    assert [value(agent, *np.eye(4)[step]) for step in range(3)] == pytest.approx([1.75, 1.5, 1.0], abs=0.1)


def test_learns_to_act_now_for_a_reward_that_comes_later():
    assert rl.evaluate(learn("Delayed-v0", 600), "Delayed-v0", episodes=8).mean == 1


def test_the_same_seed_gives_the_same_bits():
    runs = []
    for _ in range(2):
        runs.append(learn("Echo-v0", 300).params.detach().clone())
        shutil.rmtree("run")
    assert torch.equal(*runs)
