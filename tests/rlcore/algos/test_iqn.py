"""IQN: quantiles at any fraction, worked out by hand and learnt."""

import copy
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import rlcore as rl
from rlcore.algos.iqn import IQN, IQNBatch, IQNConfig, iqn_loss, iqn_targets
from rlcore.data.replay import Transitions
from rlcore.data.rollout import Rollout

LINE = spaces.Box(-100, 100, (1,), np.float32)
ONES = torch.ones(2)
MASKED = spaces.Dict({"image": spaces.Box(0, 255, (4, 8, 8), np.uint8), "action_mask": spaces.MultiBinary(3)})


class Uniform(nn.Module):
    """The return of action a is uniform from low to high: its quantile at τ is low + τ·(high − low). [A, 2]"""

    def __init__(self, *rows: list[float]):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, obs: Tensor | dict[str, Tensor], fraction: Tensor) -> Tensor:
        part = obs["action_mask"] if isinstance(obs, dict) else obs
        low, high = self.rows[:, :1], self.rows[:, 1:]
        return (low + (high - low) * fraction[:, None]).expand(len(part), -1, -1)


SPREAD = torch.tensor([[0.25, 0.75]])


def step(next_obs: Any, discount: list[float]) -> Transitions:
    rows = len(discount)
    return Transitions(torch.zeros(rows, 1), torch.zeros(rows, dtype=torch.int64), torch.ones(rows),
                       torch.tensor(discount), next_obs, torch.ones(rows))


def test_the_target_is_the_sampled_quantiles_of_the_action_of_highest_mean():
    net = Uniform([0.0, 9.0], [5.0, 6.0])  # means 4.5 and 5.5, though action 0 reaches higher
    asked = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    batch = iqn_targets(step(torch.zeros(2, 1), [0.5, 0.0]), ONES, net, asked, SPREAD)
    assert batch.target.tolist() == [[3.5, 4.0], [1.0, 1.0]]  # 1 + ½·5, 1 + ½·6; behind the end 1
    masked = {"action_mask": torch.tensor([[1, 0]], dtype=torch.int8)}
    assert iqn_targets(step(masked, [0.5]), ONES[:1], net, asked[:1], SPREAD).target.tolist() == [[1.0, 5.5]]


def test_the_loss_by_hand():
    batch = IQNBatch(torch.zeros(2, 1), torch.tensor([1, 0]), torch.tensor([[1.0], [99.0]]), ONES,
                     torch.tensor([1.0, 0]))
    asked = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    loss, _, metrics = iqn_loss(Uniform([0.0, 0.0], [-0.75, 4.25]), batch, asked)
    # quantiles −¾ + 5τ: ½ and 3. Too low by ½: ¼·⅛. Too high by 2: |¾ − 1|·1½. The other row is a dummy
    assert loss.item() == 0.03125 + 0.375
    assert metrics["value/mean"].item() == 1.75


def tiny(obs_space: spaces.Space[Any] = LINE, choices: int = 2, seed: int = 0, **changes: Any) -> IQN:
    torch.manual_seed(seed)
    return IQN(obs_space, spaces.Discrete(choices), IQNConfig(**{
        "hidden": (8, 8), "batch_size": 8, "capacity": 50, "fractions": 5, "target_fractions": 6, "acting_fractions": 7,
        **changes}), seed=seed)


def fill(agent: IQN, obs: Any = None, steps: int = 20) -> None:
    obs = {"": torch.randn(steps + 1, 1, 1)} if obs is None else obs
    no = torch.zeros(steps, 1, dtype=torch.bool)
    before, last = {k: v[:-1] for k, v in obs.items()}, {k: v[-1] for k, v in obs.items()}
    agent.remember(Rollout(before.get("", before), torch.randint(agent.actions.size, (steps, 1)), torch.randn(steps, 1),
                           no, no, ~no, no, torch.zeros(steps, 1, 0), last.get("", last), {}))


def test_importance_makes_a_row_weigh_less_and_leaves_its_rank_alone():
    batch = IQNBatch(torch.zeros(2, 1), torch.tensor([1, 1]), torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, 0.25]),
                     ONES)
    asked = torch.tensor([[0.25, 0.75], [0.25, 0.75]])
    loss, surprise, _ = iqn_loss(Uniform([0.0, 0.0], [-0.75, 4.25]), batch, asked)
    # both rows: 1/32 + ⅜, the second of a quarter's importance, not divided by 1 + ¼
    assert loss.item() == 0.40625 * 1.25 / 2
    assert surprise.tolist() == [0.40625, 0.40625]


def test_priorities_are_the_rows_losses_to_the_power_alpha_and_dummies_have_none():
    agent = tiny(prioritized=True, priority_alpha=0.5, learning_rate=0.0, gamma=0.0, batch_size=64, fractions=1_000)
    fill(agent)
    agent.memory.rows["reward"].zero_()
    agent.memory.rows["reward"][7] = 1000.0
    agent.memory.rows["valid"][3] = False
    for _ in range(3):  # at first the priorities are equal, and all rows are picked
        agent.update()
    leaves = agent.replay.picker.tree.leaves
    # far from its target a quantile's Huber loss is τ·(1000 − θ): ½ on average, a thousand fractions of it
    assert leaves[7] == pytest.approx(500_000 ** 0.5, rel=0.05)
    assert leaves[3] == 0 and (leaves[20:] == 0).all()
    picked = agent.replay.pick(1000, np.random.default_rng(0))[0]
    assert (picked == 7).float().mean() == pytest.approx(leaves[7] / leaves.sum(), abs=0.01)
    assert leaves[7] > 20 * leaves[8]


def test_beta_rises_to_one_with_the_env_steps():
    agent = tiny(prioritized=True, priority_beta=0.4, priority_beta_steps=40)
    found = []
    for _ in range(3):
        fill(agent)  # 20 steps each
        agent.update()
        found.append(agent.replay.picker.beta)
    assert found == pytest.approx([0.7, 1.0, 1.0])


def test_the_target_network_begins_as_a_copy_and_every_part_of_the_online_one_moves():
    agent = tiny(target_every=3)
    assert torch.equal(agent.params, agent.lagged)
    start = {name: param.detach().clone() for name, param in agent.online.named_parameters()}
    fill(agent)
    for update in range(1, 4):
        agent.update()
        assert torch.equal(agent.params, agent.lagged) == (update == 3)
    assert not [name for name, param in agent.online.named_parameters() if torch.equal(param, start[name])]


def test_pixels_in_a_dictionary_with_a_mask_are_learnt_from_and_no_illegal_action_is_taken():
    agent = tiny(MASKED, 3, frames=4, n_step=2, epsilon_end=0.5, epsilon_steps=1)
    movie = torch.randint(256, (24, 8, 8), dtype=torch.uint8)
    stacks = torch.stack([movie[t:t + 4] for t in range(21)])[:, None]
    obs = {"image": stacks, "action_mask": torch.tensor([1, 0, 1], dtype=torch.int8).expand(21, 1, 3)}
    fill(agent, obs)
    before = agent.params.detach().clone()
    agent.update()
    assert not torch.equal(agent.params, before)
    seen = {name: part[:, 0].numpy() for name, part in obs.items()}
    memory, rng = np.zeros((21, 0), np.float32), np.random.default_rng(0)
    assert 1 not in agent.act(seen, memory)[0]
    assert set(np.unique([agent.act(seen, memory, agent.noise(rng, 21, 100, 0))[0] for _ in range(20)])) == {0, 2}


@pytest.mark.parametrize("prioritized", [False, True])
def test_all_state_is_put_back_by_load_state_dict(prioritized: bool):
    one, other = (tiny(target_every=5, prioritized=prioritized, seed=seed) for seed in range(2))
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


def test_continuous_actions_are_refused():
    with pytest.raises(rl.ShapeError, match=r"IQN needs a discrete action space.*SAC or PPO can act here"):
        IQN(LINE, LINE, IQNConfig())


QUICK = {"num_envs": 4, "train_every": 1, "learning_rate": 5e-3, "learning_starts": 100, "target_every": 10,
         "hidden": (32,), "gamma": 0.5, "capacity": 2000, "fractions": 8, "target_fractions": 8,
         "epsilon_steps": 800, "epsilon_end": 0.1}


def learn(env: str, env_steps: int, **changes: Any) -> Any:
    return rl.train("iqn", env, IQNConfig(**{**QUICK, **changes}), env_steps=env_steps, seed=1, run_dir="run",
                    progress=False, checkpoint_s=1e9)


def value(agent: IQN, *obs: float) -> float:
    with torch.no_grad():
        return float(agent.online(torch.tensor([obs]), agent.spread).mean(-1).max())


def test_value_flows_across_the_clock():
    assert value(learn("Endless3-v0", 1200), 1) == pytest.approx(2, abs=0.1)  # 1/(1 − ½), cut every third step


def test_value_does_not_flow_across_the_end():
    agent = learn("Countdown-v0", 1200)  # three ones and then the end: 1 + ½ + ¼, 1 + ½, 1
    assert [value(agent, *np.eye(4)[step]) for step in range(3)] == pytest.approx([1.75, 1.5, 1.0], abs=0.1)


@pytest.mark.parametrize("prioritized", [False, True])
def test_learns_to_act_now_for_a_reward_that_comes_later(prioritized: bool):
    assert rl.evaluate(learn("Delayed-v0", 1200, prioritized=prioritized), "Delayed-v0", episodes=8).mean == 1


def test_prioritised_replay_learns_the_same_values():
    agent = learn("Countdown-v0", 1200, prioritized=True)
    assert [value(agent, *np.eye(4)[step]) for step in range(3)] == pytest.approx([1.75, 1.5, 1.0], abs=0.1)


def test_quantiles_learn_the_spread_of_a_return_and_not_its_mean_alone():
    agent = tiny(fractions=8, target_fractions=2, learning_rate=1e-2, gamma=0.0, batch_size=64, hidden=(16,),
                 capacity=1000)
    steps, no = 400, torch.zeros(400, 1, dtype=torch.bool)
    coin = torch.tensor([0.0, 20.0]).repeat(200)[:, None]  # far apart beside the Huber loss's width
    agent.remember(Rollout(torch.zeros(steps, 1, 1), no.long(), coin, no, no, ~no, no, torch.zeros(steps, 1, 0),
                           torch.zeros(1, 1), {}))
    for _ in range(1500):
        agent.update()
    with torch.no_grad():
        quantile = agent.online(torch.zeros(1, 1), torch.tensor([[0.1, 0.3, 0.7, 0.9]]))[0, 0].tolist()
    assert quantile == pytest.approx([0, 0, 20, 20], abs=2.0)


def test_the_same_seed_gives_the_same_bits():
    runs = []
    for _ in range(2):
        runs.append(learn("Echo-v0", 300).params.detach().clone())
        shutil.rmtree("run")
    assert torch.equal(*runs)
