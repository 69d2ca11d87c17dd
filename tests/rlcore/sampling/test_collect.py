"""The one collect loop: what it writes down and how it counts episodes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import rlcore as rl
from rlcore.config import ShapeError
from rlcore.envs.make import Backend, Env, make_env
from rlcore.runs import open_run
from rlcore.sampling.collect import Collector
from tests.rlcore.fakes import Counting, Scripted

Script = Callable[[np.ndarray], np.ndarray]


def collector(env: Env, horizon: int, script: Script | None = None) -> Collector:
    return Collector(env, Scripted(env.single_action_space, script), horizon)


def lean(obs: np.ndarray) -> np.ndarray:
    return (obs[:, 2] > 0).astype(np.int64)


def test_an_episodes_end_its_dummy_row_and_the_next_start():
    # three steps, then the end; one-hot observations name the step
    rollout = collector(make_env("Countdown-v0", 1), horizon=6).collect(0)
    assert rollout.obs[:, 0].argmax(-1).tolist() == [0, 1, 2, 3, 0, 1]
    assert rollout.terminated[:, 0].tolist() == [False, False, True, False, False, False]
    assert rollout.valid[:, 0].tolist() == [True, True, True, False, True, True]
    assert rollout.reward[:, 0].tolist() == [1, 1, 1, 0, 1, 1]
    assert rollout.last_obs[0].argmax().item() == 2


def test_an_end_on_a_blocks_last_row_makes_the_next_blocks_first_row_a_dummy():
    sampler = collector(make_env("Countdown-v0", 1), horizon=3)
    first = sampler.collect(0).map(lambda tensor: tensor.clone())  # the next block overwrites it
    second = sampler.collect(3)
    assert first.terminated[:, 0].tolist() == [False, False, True]
    assert second.valid[:, 0].tolist() == [False, True, True]
    assert second.obs[0, 0].tolist() == first.last_obs[0].tolist() == [0, 0, 0, 1]


def test_truncation_is_told_from_termination_and_shows_the_true_successor():
    rollout = collector(make_env("Endless3-v0", 1), horizon=4).collect(0)
    assert rollout.truncated[:, 0].tolist() == [False, False, True, False]
    assert not rollout.terminated.any()
    assert rollout.valid[:, 0].tolist() == [True, True, True, False]


@pytest.mark.parametrize("horizon", [1, 2, 3, 5, 12])
def test_episodes_are_counted_whole_whatever_the_block_length(horizon: int):
    sampler = collector(make_env("Countdown-v0", 2), horizon)
    for _ in range(24 // horizon):
        sampler.collect(0)
    episodes = sampler.take_episodes()
    # four rows per episode, the dummy included: 24 rows hold six episodes of each environment
    expected = 2 * ((24 // horizon) * horizon + 1) // 4 // 2 * 2
    assert len(episodes) == expected
    assert {(episode.total, episode.length) for episode in episodes} == {(3.0, 3)}
    assert sampler.take_episodes() == []


def test_the_same_policy_and_seed_give_the_same_steps_however_they_are_cut_into_blocks():
    one, many = (collector(make_env("CartPole-v1", 3, seed=5), horizon, lean) for horizon in (60, 12))
    whole = one.collect(0)
    parts = [many.collect(0).map(lambda tensor: tensor.clone()) for _ in range(5)]
    for name in ("obs", "action", "reward", "terminated", "truncated", "valid", "start"):
        pieces = np.concatenate([getattr(part, name).numpy() for part in parts])
        np.testing.assert_array_equal(getattr(whole, name).numpy(), pieces)
    assert sorted(e.length for e in one.take_episodes()) == sorted(e.length for e in many.take_episodes())


def test_actions_are_stored_as_the_network_meant_them_and_sent_as_the_environment_wants_them():
    env = make_env("Pendulum-v1", 1, seed=0, backend="sync")  # torque in [−2, 2]
    rollout = collector(env, 2, lambda obs: np.full((len(obs), 1), 0.5, np.float32)).collect(0)
    assert rollout.action.flatten().tolist() == [0.5, 0.5]
    assert env.unwrapped.envs[0].unwrapped.last_u == pytest.approx(1.0)


def test_a_restored_collector_goes_on_in_mid_episode():
    old = collector(make_env("CartPole-v1", 2, seed=3), 7, lean)
    old.collect(0)
    restored = collector(make_env("CartPole-v1", 2, seed=8), 7, lean)
    assert restored.load_state_dict(old.state_dict(), fresh_seed=0)
    for _ in range(12):
        a, b = old.collect(0), restored.collect(0)
        assert a.obs.numpy().tobytes() == b.obs.numpy().tobytes()
        assert a.valid.tolist() == b.valid.tolist()
        assert a.start.tolist() == b.start.tolist()
    assert old.take_episodes() == restored.take_episodes() != []


@pytest.mark.parametrize("horizon", [1, 2, 5, 20])
def test_memory_is_that_of_the_episode_under_way_and_nothing_older(horizon: int):
    env = make_env("Countdown-v0", 2)  # three steps and a dummy row
    sampler = Collector(env, Counting(env.single_observation_space, env.single_action_space), horizon)
    rows = [sampler.collect(0).map(lambda tensor: tensor.clone()) for _ in range(20 // horizon)]
    before = np.concatenate([part.memory[:, 0, 0].numpy() for part in rows])
    assert before[:9].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    starts = np.concatenate([part.start[:, 0].numpy() for part in rows])
    assert starts[:9].tolist() == [True, False, False, False, True, False, False, False, True]


def test_before_learning_starts_actions_are_random_and_afterwards_the_policys():
    env = make_env("CartPole-v1", 4, seed=0)
    sampler = Collector(env, Scripted(env.single_action_space), 16, random_steps=64)
    drawn = sampler.collect(0).action
    assert 16 < drawn.sum() < 48
    assert sampler.collect(64).action.sum() == 0


def test_without_a_mask_random_actions_are_what_each_environments_generator_draws_first():
    env = make_env("CartPole-v1", 2, seed=0)
    drawn = Collector(env, Scripted(env.single_action_space), 16, seed=7, random_steps=64).collect(0).action
    for b in range(2):
        assert drawn[:, b].tolist() == np.random.default_rng([7, b]).integers(2, size=16).tolist()


class Odd(gym.Env):
    """Five choices, of which only 1, 2 and 4 are legal; nothing ends."""

    observation_space = spaces.Dict({"obs": spaces.Discrete(2), "action_mask": spaces.MultiBinary(5)})
    action_space = spaces.Discrete(5)

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**how)
        return {"obs": 0, "action_mask": np.int8([0, 1, 1, 0, 1])}, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.reset()[0], 0.0, False, False, {}


@pytest.mark.parametrize(("num_groups", "backend"), [(1, "sync"), (2, "process")])
def test_random_actions_are_even_among_the_legal_ones_and_the_environments_own(num_groups: int, backend: Backend):
    three = make_env(Odd, 3, seed=0, backend=backend)
    sampler = Collector(three, Scripted(three.single_action_space), 2000, seed=7, random_steps=9000,
                        num_groups=num_groups)
    drawn = sampler.collect(0).action.clone()
    sampler.close()
    shares = np.bincount(drawn.flatten(), minlength=5) / drawn.numel()
    assert shares == pytest.approx([0, 1 / 3, 1 / 3, 0, 1 / 3], abs=0.02)
    single = make_env(Odd, 1, seed=0, backend="sync")
    one = Collector(single, Scripted(single.single_action_space), 2000, seed=7, random_steps=9000).collect(0).action
    assert drawn[:, 0].tolist() == one[:, 0].tolist()
    assert drawn[:, 0].tolist() != drawn[:, 1].tolist()


def test_each_environment_explores_by_a_generator_of_its_own():
    env = make_env("CartPole-v1", 3, seed=0)
    three = Collector(env, Counting(None, env.single_action_space), 16, seed=7).collect(0).action.clone()
    single = make_env("CartPole-v1", 1, seed=0)
    one = Collector(single, Counting(None, single.single_action_space), 16, seed=7).collect(0).action
    assert three[:, 0].tolist() == one[:, 0].tolist()
    assert three[:, 0].tolist() != three[:, 1].tolist()


def test_what_an_algorithm_asks_of_the_environments_info_is_refused_where_there_is_none():
    env = make_env("CartPole-v1", 1)
    policy = Scripted(env.single_action_space)
    policy.extras = ("cost",)
    with pytest.raises(ShapeError, match=r"CartPole-v1 gives no info\['cost'\]"):
        Collector(env, policy, 4).collect(0)


class Faulty(gym.Env):
    """Says one thing that is not finite, or too large to be added up, at its third step."""

    observation_space, action_space = spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Discrete(2)

    def __init__(self, obs: float = 0.0, reward: float = 0.0, cost: float = 0.0):
        self.third, self.steps = (obs, reward, cost), 0

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**how)
        return np.zeros(2, np.float32), {"cost": 0.0}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        obs, reward, cost = self.third if self.steps == 3 else (0.0, 0.0, 0.0)
        return np.float32([obs, obs]), reward, False, False, {"cost": cost}


def priced(horizon: int, **third: float) -> Collector:
    env = make_env(partial(Faulty, **third), 2, backend="sync")
    policy = Scripted(env.single_action_space)
    policy.extras = ("cost",)
    return Collector(env, policy, horizon)


@pytest.mark.parametrize("horizon", [1, 2, 5])
@pytest.mark.parametrize(("third", "what"), [
    ({"obs": np.nan}, r"an observation that is not finite: \[nan nan\]"), ({"reward": np.nan}, "a reward .*: nan"),
    ({"obs": -np.inf}, "an observation"), ({"reward": np.inf}, "a reward"), ({"cost": np.nan}, "a cost")])
def test_what_is_not_finite_is_refused_with_its_place_in_the_run(third: dict[str, float], what: str, horizon: int):
    sampler = priced(horizon, **third)
    with pytest.raises(ShapeError, match=rf"Faulty.* gave {what}.*environment 0 at env step 6 of .*rlcore check"):
        for step in range(0, 6, 2 * horizon):
            sampler.collect(step)


def test_what_is_finite_but_too_large_to_be_added_up_is_not_refused():
    assert priced(5, obs=3e38).collect(0).obs.max() > 2e38


@pytest.mark.parametrize("algo", ["a2c", "dqn"])
def test_a_run_ends_before_its_agent_learns_from_what_is_not_finite(algo: str, tmp_path: Path):
    config = {"num_envs": 2, "hidden": [8]} | ({"horizon": 8} if algo == "a2c" else {"learning_starts": 1})
    with pytest.raises(rl.ShapeError, match="a reward that is not finite"):
        rl.train(algo, Faulty, config, env_options={"reward": np.nan}, env_steps=100, run_dir=tmp_path / "run",
                 progress=False)
    assert open_run(tmp_path / "run").state == "failed"
