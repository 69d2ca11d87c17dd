"""DQN's targets, options and schedules, worked out by hand."""

import copy
import importlib.util
import itertools
import math
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import rlcore as rl
from rlcore.algos.dqn import DQN, DQNBatch, DQNConfig, dqn_loss, dqn_targets
from rlcore.config import ConfigError
from rlcore.data.replay import Transitions
from rlcore.data.rollout import Rollout

LINE = spaces.Box(-100, 100, (1,), np.float32)
PIXELS = spaces.Box(0, 255, (4, 8, 8), np.uint8)
MASKED = spaces.Dict({"obs": LINE, "action_mask": spaces.MultiBinary(3)})
NOTHING = np.zeros((1, 0), np.float32)
ONE = torch.ones(())
SWITCHES = [
    {"double": False}, {"dueling": True}, {"n_step": 3}, {"prioritized": True}, {"noisy": True},
    {"atoms": 5, "v_min": -2.0, "v_max": 2.0},
]
EVERYTHING: dict[str, Any] = {name: value for switch in SWITCHES[1:] for name, value in switch.items()}


class Table(nn.Module):
    """Q(s, ·), or its atoms, is the row of a table that the observation names."""

    def __init__(self, *rows: list[Any]):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, obs: Tensor | dict[str, Tensor]) -> Tensor:
        return self.rows[(obs["obs"] if isinstance(obs, dict) else obs)[:, 0].long()]


def picked(next_obs: list[float], reward: list[float], terminated: list[bool], gamma: float = 0.5) -> Transitions:
    rows = len(reward)
    discount = gamma * (1 - torch.tensor(terminated).float())
    return Transitions(torch.zeros(rows, 1), torch.zeros(rows, dtype=torch.int64), torch.tensor(reward),
                       discount, torch.tensor(next_obs)[:, None], torch.ones(rows))


def target_of(step: Transitions, online: nn.Module, target: nn.Module, atoms: Tensor | None = None,
              **changes: Any) -> Tensor:
    return dqn_targets(step, ONE, online, target, atoms, DQNConfig(**changes)).target


def test_targets_stop_at_termination_and_nowhere_else():
    target = Table([2.0, 6.0])
    assert target_of(picked([0.0, 0], [1.0, 1], [False, True]), target, target, double=False).tolist() == [
        1 + 0.5 * 6, 1]


def test_double_q_learning_chooses_with_one_network_and_judges_with_the_other():
    online, target, one = Table([1.0, 2, 0]), Table([30.0, 10, 20]), picked([0.0], [0.0], [False])
    # judged is the online network's choice alone; the smaller of two estimates, as for actor-critics, would be ½·2
    assert target_of(one, online, target, double=True).item() == 5    # ½·10
    assert target_of(one, online, target, double=False).item() == 15  # ½·30


def test_an_illegal_next_action_is_worth_nothing_whatever_its_value():
    step = picked([0.0], [1.0], [False])
    masked = Transitions(step.obs, step.action, step.reward, step.discount,
                         {"obs": torch.zeros(1, 1), "action_mask": torch.tensor([[1, 0, 1]], dtype=torch.int8)},
                         step.weight)
    net = Table([2.0, 99.0, 4.0])
    for double in (True, False):
        assert target_of(masked, net, net, double=double).item() == 3  # 1 + ½·4


def test_over_atoms_the_target_is_the_moved_distribution_of_the_action_of_highest_mean():
    atoms, sure = torch.tensor([0.0, 2.0, 4.0]), 1000.0
    # state 0: action 0 is certainly worth 2, action 1 is 2 or 4 with equal chance, 3 on average
    net = Table([[0.0, sure, 0.0], [0.0, sure, sure]])
    # action 1: 1 + ½·2 = 2 and 1 + ½·4 = 3, half way between 2 and 4. Behind the end: 1, half way between 0 and 2
    step = picked([0.0, 0.0], [1.0, 1.0], [False, True])
    assert target_of(step, net, net, atoms).tolist() == [[0, 0.75, 0.25], [0.5, 0.5, 0]]


def test_the_loss_is_the_mean_huber_of_the_chosen_actions_errors_without_dummy_rows():
    batch = DQNBatch(torch.tensor([[0.0], [0], [0]]), torch.tensor([0, 1, 1]), torch.tensor([1.5, 5, 999]),
                     torch.ones(3), torch.tensor([1.0, 1, 0]))
    loss, error, metrics = dqn_loss(Table([1.0, 2.0]), batch, None)
    # errors −½ and −3: (0.125 + 2.5)/2
    assert loss.item() == 1.3125
    assert error.tolist() == [-0.5, -3, -997]
    assert metrics["value/mean"].item() == 1.5


def test_importance_makes_a_row_weigh_less_and_the_others_no_more():
    batch = DQNBatch(torch.zeros(2, 1), torch.tensor([0, 0]), torch.tensor([3.5, 5.5]), torch.tensor([1.0, 0.5]),
                     torch.ones(2))
    # Huber errors 2 and 4 (values 1, distances 2.5 and 4.5): (1·2 + ½·4)/2, not divided by 1 + ½
    assert dqn_loss(Table([1.0]), batch, None)[0].item() == 2


def test_over_atoms_the_loss_and_what_surprises_is_the_divergence():
    batch = DQNBatch(torch.zeros(2, 1), torch.tensor([0, 1]), torch.tensor([[0.0, 1.0], [0.25, 0.75]]), torch.ones(2),
                     torch.ones(2))
    atoms = torch.tensor([0.0, 4.0])
    loss, error, metrics = dqn_loss(Table([[0.0, 0.0], [0.0, math.log(3)]]), batch, atoms)
    # action 0 predicts ½, ½: log 2 off. Action 1 predicts ¼, ¾ and is right
    assert error.tolist() == pytest.approx([math.log(2), 0], abs=1e-6)
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert metrics["value/mean"].item() == pytest.approx((2 + 3) / 2)


def tiny(obs_space: spaces.Space[Any] = LINE, choices: int = 2, seed: int = 0, **changes: Any) -> DQN:
    torch.manual_seed(seed)
    return DQN(obs_space, spaces.Discrete(choices), DQNConfig(**{
        "hidden": (8, 8), "batch_size": 8, "capacity": 50, **changes}), seed=seed)


def rollout(obs: Any, choices: int = 2, reward: float | None = None) -> Rollout:
    """One environment that never ends, acted in at random. obs [T + 1, 1, *obs]"""
    parts = obs if isinstance(obs, dict) else {"": obs}
    before, last = {k: v[:-1] for k, v in parts.items()}, {k: v[-1] for k, v in parts.items()}
    steps = len(next(iter(before.values())))
    no = torch.zeros(steps, 1, dtype=torch.bool)
    start = no.clone()
    start[0] = True
    pay = torch.randn(steps, 1) if reward is None else torch.full((steps, 1), reward)
    single = not isinstance(obs, dict)
    return Rollout(before[""] if single else before, torch.randint(choices, (steps, 1)), pay, no, no, ~no, start,
                   torch.zeros(steps, 1, 0), last[""] if single else last, {})


def fill(agent: DQN, steps: int = 20, **more: Any) -> None:
    agent.remember(rollout(torch.randn(steps + 1, 1, 1), **more))


def act(agent: DQN, obs: Any, noise: Any = None) -> Any:
    return agent.act(obs, NOTHING, noise)[0]


def test_three_rewards_are_discounted_each_by_its_distance():
    agent = tiny(n_step=3, prioritized=True)
    fill(agent, reward=1.0)
    step = agent.memory.transitions(torch.tensor([0]), agent.cfg.gamma, agent.cfg.n_step)
    nothing = Table([0.0, 0.0])
    step = Transitions(step.obs, step.action, step.reward, step.discount, torch.zeros(1, 1), step.weight)
    assert target_of(step, nothing, nothing).item() == pytest.approx(2.9701)  # 1 + .99 + .9801, not 3
    assert step.discount.item() == pytest.approx(0.970299)                    # .99³


def test_the_target_network_begins_as_a_copy():
    for options in ({}, EVERYTHING):
        agent = tiny(**options)
        assert torch.equal(agent.params, agent.lagged)
        assert agent.params.data_ptr() != agent.lagged.data_ptr()


def test_the_target_network_moves_only_every_so_many_updates_and_then_all_the_way():
    agent = tiny(target_every=3)
    fill(agent)
    start = agent.lagged.clone()
    for update in range(1, 7):
        agent.update()
        same_as_online = torch.equal(agent.lagged, agent.params)
        assert same_as_online == (update % 3 == 0)
        if update < 3:
            assert torch.equal(agent.lagged, start)


def test_a_small_tau_moves_the_target_a_share_of_the_way():
    agent = tiny(target_every=1, tau=0.25)
    fill(agent)
    before = agent.lagged.detach().clone()
    agent.update()
    torch.testing.assert_close(agent.lagged.detach(), 0.75 * before + 0.25 * agent.params.detach())


def test_epsilon_falls_in_a_straight_line_and_stays():
    agent = tiny(epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=1000)
    assert [agent.epsilon(step) for step in (0, 500, 1000, 10**6)] == pytest.approx([0.9, 0.5, 0.1, 0.1])


def test_random_actions_come_as_often_as_epsilon_says_in_every_environment_on_its_own():
    agent = tiny(epsilon_start=0.5, epsilon_end=0.5)
    first, second = (agent.noise(np.random.default_rng([0, env]), 20_000, 10, env) for env in range(2))
    obs = np.zeros((20_000, 1), np.float32)
    best = act(agent, obs)
    assert len(set(best.tolist())) == 1
    for noise in (first, second):
        # half of the random ones hit the best by luck
        assert np.mean(act(agent, obs, noise) != best) == pytest.approx(0.25, abs=0.01)
    both = (first[:, 0] >= 0) & (second[:, 0] >= 0)
    assert both.mean() == pytest.approx(0.25, abs=0.01)  # together only by chance


def test_neither_the_best_nor_a_random_action_is_illegal_and_random_ones_are_even():
    agent = tiny(MASKED, 3)
    obs = {"obs": np.random.default_rng(0).normal(size=(9000, 1)).astype(np.float32),
           "action_mask": np.tile(np.array([1, 0, 1], np.int8), (9000, 1))}
    assert 1 not in act(agent, obs)
    lots = np.random.default_rng(1).random((9000, 1))
    assert np.bincount(act(agent, obs, lots), minlength=3) / 9000 == pytest.approx([0.5, 0, 0.5], abs=0.02)
    obs["action_mask"][:] = 0  # an episode's last observation may allow nothing: then anything goes
    assert np.bincount(act(agent, obs, lots)) / 9000 == pytest.approx([1 / 3] * 3, abs=0.02)


@pytest.mark.parametrize("on", list(itertools.product([False, True], repeat=len(SWITCHES))),
                         ids=lambda on: "".join("01"[switch] for switch in on))
def test_all_options_work_together(on: tuple[bool, ...]):
    options = {name: value for switch, chosen in zip(SWITCHES, on, strict=True) if chosen
               for name, value in switch.items()}
    agent = tiny(**options)
    fill(agent)
    before = {name: param.detach().clone() for name, param in agent.online.named_parameters()}
    for _ in range(3):
        metrics = agent.update()
    assert metrics.keys() == {"loss/value", "value/mean", "loss/grad_norm"}
    assert all(torch.isfinite(value) for value in metrics.values())
    assert not [name for name, param in agent.online.named_parameters() if torch.equal(param, before[name])]
    noise = agent.noise(np.random.default_rng(0), 1, 100, 0)
    assert act(agent, np.zeros((1, 1), np.float32), noise).shape == (1,)


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_pixels_and_dictionaries_with_a_mask_are_learnt_from(options: dict[str, Any]):
    images = torch.randint(256, (21, 1, 4, 8, 8), dtype=torch.uint8)
    masks = torch.tensor([1, 0, 1], dtype=torch.int8).expand(21, 1, 3)
    for space, obs in ((PIXELS, images), (MASKED, {"obs": torch.randn(21, 1, 1), "action_mask": masks})):
        agent = tiny(space, 3, **options)
        agent.remember(rollout(obs, 3))
        before = agent.params.detach().clone()
        agent.update()
        assert not torch.equal(agent.params, before)
        one = {k: v[0].numpy() for k, v in obs.items()} if isinstance(obs, dict) else obs[0].numpy()
        noise = agent.noise(np.random.default_rng(0), 1, 100, 0)
        assert act(agent, one, noise).shape == act(agent, one).shape == (1,)


@pytest.mark.parametrize("prioritized", [False, True])
def test_frames_stored_once_teach_what_whole_stacks_teach(prioritized: bool):
    movie = torch.randint(256, (34, 8, 8), dtype=torch.uint8)
    stacks = torch.stack([movie[[max(0, t - k) for k in (3, 2, 1, 0)]] for t in range(34)])[:, None]
    agents = [tiny(PIXELS, frames=frames, prioritized=prioritized) for frames in (4, 1)]
    seen = rollout(stacks)
    for agent in agents:
        agent.remember(seen)
        torch.manual_seed(1)
        for _ in range(3):
            agent.update()
    assert torch.equal(agents[0].params, agents[1].params)
    assert 3 * agents[0].memory.num_bytes() < agents[1].memory.num_bytes()


@pytest.mark.skipif(importlib.util.find_spec("ale_py") is None, reason="ale_py is not installed")
def test_frames_of_atari_games_are_stored_once_although_lives_are_episodes():
    settings = {"num_envs": 2, "learning_starts": 200, "capacity": 1_000, "hidden": [16], "batch_size": 8}
    agents = [rl.train("dqn", "ALE/Breakout-v5", {**settings, "frames": frames}, env_steps=300, progress=False,
                       env_options={"episodic_life": True}, run_dir=f"run-{frames}") for frames in (4, 1)]
    memory = agents[0].memory.rows
    assert (memory["start"] & ~memory["fresh"]).any()  # lives were lost, and stacks went on
    assert torch.equal(agents[0].params, agents[1].params)


def test_priorities_are_the_errors_to_the_power_alpha_once():
    agent = tiny(prioritized=True, priority_alpha=0.5, learning_rate=0.0, batch_size=64)
    fill(agent)
    agent.update()
    rows = torch.arange(20)
    batch = dqn_targets(agent.memory.transitions(rows, 0.99), ONE, agent.online, agent.target, None, agent.cfg)
    error = (agent.online(batch.obs).detach()[rows, batch.action] - batch.target).abs().numpy()
    leaves = agent.replay.picker.tree.leaves
    np.testing.assert_allclose(leaves[:20], (error + 1e-6) ** 0.5, rtol=1e-4)
    assert (leaves[20:] == 0).all()


def test_beta_rises_to_one_and_the_learning_rate_falls_to_zero_with_the_env_steps():
    agent = tiny(prioritized=True, priority_beta=0.4, priority_beta_steps=40, learning_rate=1e-2,
                 learning_rate_steps=40)
    found = []
    for _ in range(3):
        fill(agent)  # 20 steps each
        agent.update()
        found += [agent.replay.picker.beta, agent.optimizer.param_groups[0]["lr"]]
    assert found == pytest.approx([0.7, 5e-3, 1.0, 0.0, 1.0, 0.0])


def test_normalised_rewards_make_the_same_of_any_unit():
    values = []
    for unit in (1.0, 1000.0):
        agent = tiny(normalize_reward=True)
        torch.manual_seed(1)
        seen = rollout(torch.randn(21, 1, 1))
        agent.remember(Rollout(**{**vars(seen), "reward": unit * seen.reward}))
        values.append(agent.update()["loss/value"].item())
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_both_streams_of_a_dueling_network_learn():
    agent = tiny(dueling=True)
    fill(agent)
    before = [head.stream[-1].weight.detach().clone() for head in (agent.online.head.value,
                                                                  agent.online.head.advantage)]
    agent.update()
    after = [head.stream[-1].weight for head in (agent.online.head.value, agent.online.head.advantage)]
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_noisy_agent_acts_by_seed_and_step_alone_and_by_its_mean_when_judged():
    agents = [tiny(noisy=True, choices=6) for _ in range(2)]  # as two samplers hold it
    with torch.no_grad():
        for agent in agents:
            agent.params.copy_(agents[0].params)
    obs = np.linspace(-50, 50, 200, dtype=np.float32)[:, None]
    rngs = [np.random.default_rng(env) for env in range(2)]
    first, other = (agent.noise(rng, 3, 500, env) for env, (agent, rng) in enumerate(zip(agents, rngs, strict=True)))
    assert np.array_equal(first, other)
    both = np.zeros((200, 1))
    both[::2] = first[0]  # the rows of a sampler's own environments; the others hold 0
    noisy, mean = act(agents[0], obs, both), act(agents[0], obs)
    assert np.array_equal(act(agents[1], obs, np.full((200, 1), first[0, 0])), noisy)
    assert not np.array_equal(noisy, mean)
    fill(agents[0])
    agents[0]._redraw(agents[0].online)  # learning draws noise of its own
    assert np.array_equal(act(agents[0], obs, both), noisy)
    assert np.array_equal(act(agents[0], obs), mean)
    later = agents[0].noise(rngs[0], 1, 501, 0)
    assert not np.array_equal(act(agents[0], obs, np.repeat(later, 200, 0)), noisy)


@pytest.mark.parametrize("options", [{}, EVERYTHING | {"normalize_reward": True, "learning_rate_steps": 100}],
                         ids=["plain", "everything"])
def test_all_state_is_put_back_by_load_state_dict(options: dict[str, Any]):
    one, other = tiny(target_every=5, **options), tiny(target_every=5, seed=1, **options)
    fill(one)
    for _ in range(4):
        one.update()
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    other.memory.load_state_dict(one.memory.state_dict())
    for agent in (one, other):
        torch.manual_seed(7)  # the session's to keep
        for _ in range(3):  # the target network moves in the first of these
            agent.update()
        fill(agent)
        agent.update()
    assert torch.equal(one.params, other.params)
    assert torch.equal(one.lagged, other.lagged)


def test_points_of_a_distribution_must_be_in_order_and_actions_discrete():
    with pytest.raises(ConfigError, match=r"DQNConfig.v_max=1.0 must be above v_min=1.0"):
        DQNConfig(v_min=1.0, v_max=1.0)
    with pytest.raises(rl.ShapeError, match=r"DQN needs a discrete action space.*SAC or PPO can act here"):
        DQN(LINE, LINE, DQNConfig())


QUICK = {"num_envs": 4, "train_every": 1, "learning_rate": 5e-3, "learning_starts": 100, "target_every": 10,
         "epsilon_steps": 800, "epsilon_end": 0.1, "hidden": (32,), "gamma": 0.5, "capacity": 2000}


def learn(env: str, env_steps: int, **changes: Any) -> Any:
    return rl.train("dqn", env, DQNConfig(**{**QUICK, **changes}), env_steps=env_steps, seed=1, run_dir=f"run-{env}",
                    progress=False, checkpoint_s=1e9)


def value(agent: DQN, *obs: float) -> float:
    with torch.no_grad():
        return float(agent.online(torch.tensor([obs])).max())


def test_value_flows_across_the_clock_but_not_across_the_end():
    assert value(learn("Endless3-v0", 1200), 1) == pytest.approx(2, abs=0.07)  # 1/(1 − ½), cut every third step
    agent = learn("Countdown-v0", 1200)
    # three ones and then the end: 1 + ½ + ¼, 1 + ½, 1
    assert [value(agent, *np.eye(4)[step]) for step in range(3)] == pytest.approx([1.75, 1.5, 1.0], abs=0.08)


def test_everything_together_learns_to_act_now_for_a_reward_that_comes_later():
    options = EVERYTHING | {"atoms": 11, "hidden": (32, 32)}
    assert rl.evaluate(learn("Delayed-v0", 1600, **options), "Delayed-v0", episodes=8).mean == 1


def test_the_same_seed_gives_the_same_bits():
    runs = []
    for _ in range(2):
        runs.append(learn("Echo-v0", 400, **EVERYTHING).params.detach().clone())
        shutil.rmtree("run-Echo-v0")
    assert torch.equal(*runs)
