"""R2D2's sequences, targets and priorities, worked out by hand, and the memory that it must learn to use."""

import copy
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

import rlcore as rl
from rlcore import catalog
from rlcore.algos.r2d2 import R2D2, R2D2Batch, R2D2Config, r2d2_loss, r2d2_targets, sequence_priority
from rlcore.config import ConfigError, ShapeError
from rlcore.data.replay import Sequences
from rlcore.data.rollout import Rollout
from rlcore.envs import probe
from rlcore.envs.make import make_env
from rlcore.ops.td import value_rescale
from rlcore.sampling.collect import Collector

LINE = spaces.Box(-100, 100, (1,), np.float32)


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def flags(count: int, *true: int) -> Tensor:
    return torch.isin(torch.arange(count), torch.tensor(true))[:, None]


def sequence(reward: Tensor, terminated: Tensor | None = None, dummy: Tensor | None = None) -> Sequences:
    """One environment's steps, always action 0."""
    count, none = len(reward), flags(len(reward))
    invalid = none if dummy is None else dummy
    start = torch.cat([none[:1], invalid])
    return Sequences(torch.zeros(count + 1, 1, 1), torch.zeros(count, 1, dtype=torch.int64), reward,
                     none if terminated is None else terminated, ~invalid, start, torch.zeros(1, 1, 0))


def plain(**changes: Any) -> R2D2Config:
    """No burn-in, and a value scale that hardly bends."""
    return R2D2Config(**{"burn_in": 0, "gamma": 0.5, "n_step": 2, **changes})


def q(*values: float) -> Tensor:
    """Both actions are worth the same: [L + 1, 1, 2] on the compressed scale."""
    return value_rescale(column(*values))[:, :, None].expand(-1, -1, 2)


def unscaled(batch: R2D2Batch) -> list[float]:
    # the inverse by bisection, so that the code under test is not its own witness
    found = []
    for target in batch.target.flatten().double():
        low, high = -1e4, 1e4
        for _ in range(200):
            middle = (low + high) / 2
            below = value_rescale(torch.tensor(middle, dtype=torch.float64)) < target
            low, high = (middle, high) if below else (low, middle)
        found.append(low)
    return found


# --- targets

def test_targets_take_n_rewards_and_then_the_value_behind_them_and_fewer_near_the_sequences_end():
    batch = r2d2_targets(sequence(column(1.0, 2, 4)), torch.ones(1), q(0, 10, 20, 40), q(0, 10, 20, 40), plain())
    # 1 + ½·2 + ¼·20 = 7;  2 + ½·4 + ¼·40 = 14;  4 + ½·40 = 24
    assert unscaled(batch) == pytest.approx([7, 14, 24], rel=1e-3)


def test_value_stops_at_termination_and_flows_across_truncation():
    values, reward, dummy = q(0, 10, 20, 40, 80), column(1.0, 2, 0, 4), flags(4, 2)
    batch = r2d2_targets(sequence(reward, flags(4, 1), dummy), torch.ones(1), values, values, plain(n_step=3))
    assert unscaled(batch)[:2] == pytest.approx([1 + 1, 2], rel=1e-3)
    batch = r2d2_targets(sequence(reward, None, dummy), torch.ones(1), values, values, plain(n_step=3))
    assert unscaled(batch)[:2] == pytest.approx([1 + 0.5 * 2 + 0.25 * 20, 2 + 0.5 * 20], rel=1e-3)
    assert batch.weight.flatten().tolist() == [1, 1, 0, 1]


def test_the_online_network_chooses_and_the_target_network_judges():
    online, target = torch.tensor([0.0, 1]).expand(2, 1, 2), torch.tensor([7.0, 3]).expand(2, 1, 2)
    batch = r2d2_targets(sequence(column(0.0)), torch.ones(1), online, target, plain(gamma=1.0, n_step=1))
    assert batch.target.item() == pytest.approx(3, rel=1e-4)  # h and its inverse cancel


def test_rewards_are_compressed_only_after_they_were_added_up():
    zero = q(0, 0, 0)
    batch = r2d2_targets(sequence(column(8.0, 14)), torch.ones(1), zero, zero, plain())
    # h(x) = √(x + 1) − 1 + x/1000:  h(8 + ½·14) = 3.015,  h(14) = 2.886983
    assert batch.target.flatten().tolist() == pytest.approx([3.015, 2.886983], abs=1e-5)


# --- loss and priorities

def test_a_q_that_is_exactly_right_has_priority_zero():
    # reward 1 for ever at γ = 0.9: V = 10 everywhere. With γ forgotten, or taken to the power n − 1, this is far off.
    cfg, values = plain(gamma=0.9, n_step=3), q(*[10.0] * 7)
    batch = r2d2_targets(sequence(torch.ones(6, 1)), torch.ones(1), values, values, cfg)
    _, error, _ = r2d2_loss(values, batch, cfg)
    assert sequence_priority(error, torch.ones(6, 1, dtype=torch.bool), 0.9).item() == pytest.approx(0, abs=1e-4)


def test_a_sequences_priority_is_a_mix_of_its_largest_and_its_mean_error_without_dummy_rows():
    error = torch.tensor([[1.0, 0], [-3, 0], [50, 2]])
    valid = torch.tensor([[True, True], [True, True], [False, True]])
    # 0.9·3 + 0.1·2;  0.9·2 + 0.1·⅔
    assert sequence_priority(error, valid, 0.9).tolist() == pytest.approx([2.9, 1.8 + 0.2 / 3])


def test_the_loss_weighs_rows_by_how_often_they_are_picked_and_dummies_not_at_all():
    batch = R2D2Batch(torch.tensor([[0, 1], [0, 1]]), torch.tensor([[1.0, 1], [999, 3]]),
                      torch.tensor([[0.5, 1], [0, 1]]))
    values = torch.tensor([[[2.0, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]])
    loss, error, _ = r2d2_loss(values, batch, plain())
    # errors 1, −1 and −2 count: (½·½·1 + ½·1 + ½·4)/3
    assert loss.item() == pytest.approx((0.25 + 0.5 + 2) / 3)
    assert error[0].tolist() == [1, -1]


def tiny(obs_space: spaces.Space[Any] = LINE, **changes: Any) -> R2D2:
    return R2D2(obs_space, spaces.Discrete(2), R2D2Config(**{
        "num_envs": 2, "hidden": (8,), "core_size": 8, "core": "gru", "batch_size": 8, "capacity": 80, "burn_in": 2,
        "sequence_length": 4, "sequence_every": 3, "target_every": 3, **changes}))


def noise_rollout(agent: R2D2, count: int, first: int = 0) -> Rollout:
    """Random steps; the observation's number names the step."""
    num, no = agent.cfg.num_envs, torch.zeros(count, agent.cfg.num_envs, dtype=torch.bool)
    obs = (first + torch.arange(count + 1.0))[:, None, None].expand(-1, num, 1)
    return Rollout(obs[:-1], torch.randint(2, (count, num)), torch.randn(count, num), no, no, ~no, no,
                   torch.randn(count, num, agent.memory_size), obs[-1], {})


def test_the_exponent_is_applied_to_a_priority_once_when_it_is_learned():
    agent = tiny(priority_alpha=0.5, batch_size=64)
    agent.remember(noise_rollout(agent, 20))
    leaves = agent.picker.tree.leaves
    assert set(leaves[leaves > 0]) == {1.0}  # new sequences: the largest so far
    whole = torch.arange(0, 40).view(20, 2)[::3][:5]  # steps 0, 3, …, 12 begin sequences of six among twenty
    with torch.no_grad():
        seqs = agent.memory.sequences(whole.flatten(), agent.cfg.length)
        values, judged = agent.online(seqs, 2), agent.target(seqs, 2)
        _, error, _ = r2d2_loss(values, r2d2_targets(seqs, torch.ones(10), values, judged, agent.cfg), agent.cfg)
    size = error.abs()
    agent.update()
    wanted = (0.9 * size.amax(0) + 0.1 * size.mean(0) + 1e-6).sqrt()
    assert leaves[:10].tolist() == pytest.approx(wanted.tolist(), rel=1e-4)


@pytest.mark.parametrize("block", [1, 4, 7, 60])
def test_sequences_can_be_picked_when_they_are_complete_and_until_they_are_overwritten(block: int):
    agent = tiny()  # 42 rows of each environment, sequences of six from every third
    for first in range(0, 40 * block if block < 60 else 240, block):
        agent.remember(noise_rollout(agent, block, first))
        total = first + block
        begins = {step for step in range(0, total - 5, 3) if step > total - 42}
        leaves = agent.picker.tree.leaves.reshape(-1, 2)
        assert {step // 3 % 14 for step in begins} == set(np.flatnonzero(leaves[:, 0]).tolist())
        assert (leaves[:, 0] == leaves[:, 1]).all()
        if begins:
            place, _ = agent.picker.pick(32, np.random.default_rng(0))
            seqs = agent.memory.sequences(torch.from_numpy(place // 2 * 6 + place % 2), 6)
            assert isinstance(seqs.obs, Tensor)
            assert (seqs.obs[1:] == seqs.obs[:-1] + 1).all()  # none straddles the newest row
    assert len(begins) > 5


@pytest.mark.parametrize("block", [1, 4, 7])
def test_sequences_of_frames_stored_once_are_those_of_whole_stacks(block: int):
    """Also when the ring has been overwritten: the stack of step t shows t − 3 … t."""
    films = spaces.Box(0, 255, (4, 8, 8), np.uint8)
    agent = tiny(films, frames=4)
    for first in range(0, 30 * block, block):
        steps = (first + torch.arange(block + 1))[:, None] + torch.arange(-3, 1)
        film = steps.clamp_min(0).byte()[:, None, :, None, None].expand(-1, 2, -1, 8, 8)
        plain_steps = noise_rollout(agent, block, first)
        begun = plain_steps.start.clone()
        begun[0] = first == 0
        agent.remember(replace(plain_steps, obs=film[:-1], last_obs=film[-1], start=begun))
        leaves = agent.picker.tree.leaves.reshape(-1, 2)
        rows = torch.from_numpy(np.flatnonzero(leaves[:, 0])) * 6
        shown = agent.memory.sequences(rows, 6).obs[..., 0, 0].int()  # [7, N, 4]
        wanted = shown[0, :, -1:] + torch.arange(7)[:, None, None] + torch.arange(-3, 1)
        assert torch.equal(shown, wanted.clamp_min(0))
    assert len(rows) > 5
    assert agent.update()
    assert agent.memory.rows["obs"].shape == (42, 2, 8, 8)


# --- memory

def test_burning_in_refreshes_the_memory_without_gradients():
    agent = tiny()
    agent.remember(noise_rollout(agent, 20))
    seqs = agent.memory.sequences(torch.tensor([0, 6]), 6)
    whole, behind = agent.online(seqs, 0), agent.online(seqs, 2)
    torch.testing.assert_close(whole[2:], behind)
    memory = seqs.memory.clone().requires_grad_()
    touched = Sequences(**{**vars(seqs), "memory": memory})
    agent.online(touched, 2).sum().backward()
    assert memory.grad is None
    agent.online(touched, 0).sum().backward()
    assert memory.grad is not None and memory.grad.abs().sum() > 0


@pytest.mark.parametrize("core", ["gru", "lstm", "transformer"])
def test_nothing_is_remembered_from_the_episode_before(core: str):
    agent = tiny(core=core)
    obs, start = torch.randn(7, 1, 1), flags(7, 4)
    one, other = (Sequences(torch.cat([torch.randn(4, 1, 1), obs[4:]]), flags(6).long(), flags(6).float(), flags(6),
                            ~flags(6), start, torch.zeros(1, 1, agent.memory_size)) for _ in range(2))
    a, b = agent.online(one, 2), agent.online(other, 2)
    assert not torch.equal(a[:2], b[:2])
    torch.testing.assert_close(a[2:], b[2:], rtol=0, atol=0)


def test_acting_empties_its_memory_at_every_start_and_remembers_in_between():
    agent = R2D2(spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2), R2D2Config(num_envs=2, core_size=8))
    rollout = Collector(make_env("Countdown-v0", 2, seed=0), agent, 16, seed=0).collect(0)
    still = (rollout.memory == 0).all(-1)
    assert torch.equal(still, rollout.start)
    assert rollout.start.sum() == 2 * 4


def test_acting_and_learning_see_the_same_values():
    agent = tiny(core="lstm")
    rollout = Collector(make_env("Endless3-v0", 2, seed=0), agent, 12, seed=0).collect(0)
    agent.remember(rollout)
    seqs = agent.memory.sequences(torch.tensor([6, 7]), 6)  # from step 3 on, in the middle of an episode's wait
    learned = agent.online(seqs, 0)
    assert isinstance(rollout.obs, Tensor)
    for t in range(6):
        features, _ = agent.online.trunk.step(rollout.obs[3 + t].numpy(), rollout.memory[3 + t].numpy(), agent.device)
        torch.testing.assert_close(agent.online.head(features), learned[t], rtol=1e-4, atol=1e-5)


# --- exploration

def test_every_environment_explores_at_a_rate_of_its_own():
    agent = tiny(num_envs=3, epsilon=0.4, epsilon_alpha=7.0, capacity=200)
    assert [agent.epsilon(env) for env in range(3)] == pytest.approx([0.4, 0.4 ** 4.5, 0.4 ** 8])
    assert tiny(num_envs=1).epsilon(0) == 0.4
    noise = agent.noise(np.random.default_rng(0), 20_000, 0, 0)
    assert np.mean(noise >= 0) == pytest.approx(0.4, abs=0.02)
    assert np.mean(agent.noise(np.random.default_rng(0), 20_000, 10**9, 2) >= 0) < 0.002


def test_what_it_cannot_do_is_refused_in_a_sentence():
    with pytest.raises(ShapeError, match=r"R2D2 needs a discrete action space.*Recurrent-SAC or PPO can act here"):
        R2D2(LINE, spaces.Box(-1, 1, (1,), np.float32), R2D2Config())
    with pytest.raises(ConfigError, match=r"capacity=100 must hold a sequence of every environment: at least 256"):
        R2D2Config(capacity=100)


# --- bookkeeping

def test_every_parameter_moves_and_the_target_network_every_so_many_updates():
    agent = tiny(core="lstm")
    agent.remember(noise_rollout(agent, 5))
    assert agent.update() == {}  # no sequence is complete yet
    agent.remember(noise_rollout(agent, 20))
    before = {name: param.detach().clone() for name, param in agent.online.named_parameters()}
    for update in range(1, 7):
        agent.update()
        assert torch.equal(agent.lagged, agent.params) == (update % 3 == 0)
    assert [name for name, param in agent.online.named_parameters() if torch.equal(param, before[name])] == []


def test_priorities_that_came_without_their_sequences_end_with_the_first_steps_of_its_own():
    one, other = tiny(), tiny()
    one.remember(noise_rollout(one, 30))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    other.remember(noise_rollout(other, 10))
    # of ten steps two sequences of six are complete, from 0 and from 3
    assert np.flatnonzero(other.picker.tree.leaves).tolist() == [0, 1, 2, 3]


def test_all_state_is_put_back_by_load_state_dict():
    one, other = tiny(), tiny()
    one.remember(noise_rollout(one, 20))
    for _ in range(4):
        one.update()
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    other.memory.load_state_dict(one.memory.state_dict())
    more = noise_rollout(one, 30)
    for agent in (one, other):
        agent.remember(more)
        for _ in range(3):
            agent.update()
    assert torch.equal(one.params, other.params) and torch.equal(one.lagged, other.lagged)
    assert one.picker.tree.leaves.tolist() == other.picker.tree.leaves.tolist()


# --- probes

SMALL = {"num_envs": 8, "train_every": 2, "hidden": [16], "core": "gru", "core_size": 16, "burn_in": 2,
         "sequence_length": 6, "sequence_every": 3, "n_step": 2, "learning_rate": 1e-2, "learning_starts": 400,
         "target_every": 10, "capacity": 4000, "gamma": 0.5}


def learn(name: str, env_steps: int, run_dir: str = "run", **changes: Any) -> Any:
    return rl.train("r2d2", name, catalog.config_for("r2d2", "", {**SMALL, **changes}), env_steps=env_steps, seed=1,
                    run_dir=run_dir, checkpoint_s=1e9, progress=False)


def test_remembers_a_cue_until_it_is_asked_for():
    gym.register("Cue-v0", entry_point=probe.Recall, kwargs={"wait": 3})
    agent = learn("Cue-v0", 5000, gamma=0.9)
    assert rl.evaluate(agent, "Cue-v0", episodes=32).mean == 1
    gym.registry.pop("Cue-v0")


def test_the_clock_does_not_end_the_task_but_its_end_does():
    def values(agent: Any, rows: Tensor) -> list[float]:
        """Of an episode's observations, one after another."""
        start = flags(len(rows), 0)
        seqs = Sequences(rows[:, None], start, start, start, start, start, torch.zeros(1, 1, agent.memory_size))
        with torch.no_grad():
            target = R2D2Batch(start, agent.online(seqs, 0).amax(-1), start)
        return unscaled(target)

    assert values(learn("Endless3-v0", 2500), torch.ones(2, 1))[0] == pytest.approx(2, abs=0.15)
    agent = learn("Countdown-v0", 2500, run_dir="down")
    assert values(agent, torch.eye(4)[:3]) == pytest.approx([1.75, 1.5, 1.0], abs=0.15)


def test_the_same_seed_gives_the_same_bits():
    one, other = (learn("Echo-v0", 600, run_dir=name) for name in ("one", "other"))
    assert torch.equal(one.params, other.params)
