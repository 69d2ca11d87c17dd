"""The one collect loop: what it writes down and how it counts episodes."""

import numpy as np
import pytest

from rlcore.envs.make import make_env
from rlcore.sampling.collect import Collector


def zeros(obs: np.ndarray) -> np.ndarray:
    return np.zeros(len(obs), np.int64)


def test_an_episodes_end_its_dummy_row_and_the_next_start():
    # three steps, then the end; one-hot observations name the step
    rollout = Collector(make_env("Countdown-v0", 1), horizon=6).collect(zeros)
    assert rollout.obs[:, 0].argmax(-1).tolist() == [0, 1, 2, 3, 0, 1]
    assert rollout.terminated[:, 0].tolist() == [False, False, True, False, False, False]
    assert rollout.valid[:, 0].tolist() == [True, True, True, False, True, True]
    assert rollout.reward[:, 0].tolist() == [1, 1, 1, 0, 1, 1]
    assert rollout.last_obs[0].argmax().item() == 2


def test_an_end_on_a_blocks_last_row_makes_the_next_blocks_first_row_a_dummy():
    collector = Collector(make_env("Countdown-v0", 1), horizon=3)
    first = collector.collect(zeros).map(lambda tensor: tensor.clone())  # the next block overwrites it
    second = collector.collect(zeros)
    assert first.terminated[:, 0].tolist() == [False, False, True]
    assert second.valid[:, 0].tolist() == [False, True, True]
    assert second.obs[0, 0].tolist() == first.last_obs[0].tolist() == [0, 0, 0, 1]


def test_truncation_is_told_from_termination_and_shows_the_true_successor():
    rollout = Collector(make_env("Endless3-v0", 1), horizon=4).collect(zeros)
    assert rollout.truncated[:, 0].tolist() == [False, False, True, False]
    assert not rollout.terminated.any()
    assert rollout.valid[:, 0].tolist() == [True, True, True, False]


@pytest.mark.parametrize("horizon", [1, 2, 3, 5, 12])
def test_episodes_are_counted_whole_whatever_the_block_length(horizon: int):
    collector = Collector(make_env("Countdown-v0", 2), horizon)
    for _ in range(24 // horizon):
        collector.collect(zeros)
    episodes = collector.take_episodes()
    # four rows per episode, the dummy included: 24 rows hold six episodes of each environment
    expected = 2 * ((24 // horizon) * horizon + 1) // 4 // 2 * 2
    assert len(episodes) == expected
    assert {(episode.total, episode.length) for episode in episodes} == {(3.0, 3)}
    assert collector.take_episodes() == []


def test_the_same_policy_and_seed_give_the_same_steps_however_they_are_cut_into_blocks():
    one, many = (Collector(make_env("CartPole-v1", 3, seed=5), horizon) for horizon in (60, 12))
    act = lambda obs: (obs[:, 2] > 0).astype(np.int64)  # noqa: E731
    whole = one.collect(act)
    parts = [many.collect(act).map(lambda tensor: tensor.clone()) for _ in range(5)]
    for name in ("obs", "action", "reward", "terminated", "truncated", "valid"):
        pieces = np.concatenate([getattr(part, name).numpy() for part in parts])
        np.testing.assert_array_equal(getattr(whole, name).numpy(), pieces)
    assert sorted(e.length for e in one.take_episodes()) == sorted(e.length for e in many.take_episodes())


def test_actions_are_stored_as_the_network_meant_them_and_sent_as_the_environment_wants_them():
    env = make_env("Pendulum-v1", 1, seed=0)  # torque in [−2, 2]
    rollout = Collector(env, horizon=2).collect(lambda obs: np.full((len(obs), 1), 0.5, np.float32))
    assert rollout.action.flatten().tolist() == [0.5, 0.5]
    assert env.unwrapped.envs[0].unwrapped.last_u == pytest.approx(1.0)


def test_a_restored_collector_goes_on_in_mid_episode():
    collector = Collector(make_env("CartPole-v1", 2, seed=3), horizon=7)
    act = lambda obs: (obs[:, 2] > 0).astype(np.int64)  # noqa: E731
    collector.collect(act)
    restored = Collector(make_env("CartPole-v1", 2, seed=8), horizon=7)
    assert restored.load_state_dict(collector.state_dict(), fresh_seed=0)
    for _ in range(12):
        a, b = collector.collect(act), restored.collect(act)
        assert a.obs.numpy().tobytes() == b.obs.numpy().tobytes()
        assert a.valid.tolist() == b.valid.tolist()
    assert collector.take_episodes() == restored.take_episodes() != []
