"""Our vectorised classic control: the same episodes as Gymnasium's single environments."""

import numpy as np
import pytest

from rlcore.envs.classic import CLASSIC
from rlcore.envs.make import make_env
from rlcore.envs.state import load_env_state, save_env_state


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("num_envs", [1, 5])
def test_it_plays_the_same_episodes_bit_for_bit(name: str, num_envs: int):
    rng = np.random.default_rng(0)
    ours, theirs = (make_env(name, num_envs, seed=3, backend=backend) for backend in ("native", "sync"))
    assert ours.backend == "native"
    seen, expected = ours.reset()[0], theirs.reset()[0]
    assert ours.single_observation_space == theirs.single_observation_space
    ends = 0
    for _ in range(700):
        assert np.array_equal(seen, expected)
        space = ours.single_action_space
        actions = rng.integers(space.n, size=num_envs) if hasattr(space, "n") else rng.uniform(
            -3, 3, (num_envs, 1)).astype(np.float32)
        (seen, *told, _), (expected, *truth, _) = ours.step(actions), theirs.step(actions)
        for mine, their in zip(told, truth, strict=True):
            assert np.array_equal(mine, their)
        ends += int(told[1].sum() + told[2].sum())
    assert ends


def test_a_time_limit_is_kept():
    env = make_env("CartPole-v1", 2, backend="native", options={"max_episode_steps": 3})
    env.reset()
    cuts = [env.step(np.array([t % 2, (t + 1) % 2]))[3].tolist() for t in range(4)]
    assert cuts == [[False] * 2, [False] * 2, [True] * 2, [False] * 2]


def test_its_state_is_saved_generators_included():
    one, other = (make_env("CartPole-v1", 3, seed=seed, backend="native") for seed in (1, 2))
    one.reset()
    for _ in range(40):
        one.step(np.ones(3, np.int64))
    load_env_state(other, save_env_state(one))
    for _ in range(40):
        for mine, their in zip(one.step(np.ones(3, np.int64)), other.step(np.ones(3, np.int64)), strict=True):
            assert np.array_equal(mine, their)
