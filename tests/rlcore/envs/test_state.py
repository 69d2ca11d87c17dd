"""Saving an environment: the restored one goes on with the same bits."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from rlcore import checkpoint
from rlcore.envs.make import Env, make_env
from rlcore.envs.state import load_env_state, save_env_state

SAVEABLE = ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "HalfCheetah-v5",
            "Hopper-v5", "Reacher-v5", "Walker2d-v5", "InvertedDoublePendulum-v5", "Swimmer-v5", "Ant-v5"]


def go_on(env: Env, steps: int, rng: np.random.Generator) -> list[tuple[np.ndarray, ...]]:
    """Everything that happens under random actions, as exact copies."""
    rows = []
    for _ in range(steps):
        if isinstance(env.single_action_space, gym.spaces.Discrete):
            action = rng.integers(env.single_action_space.n, size=env.num_envs)
        else:
            action = rng.uniform(-1, 1, size=env.action_space.shape).astype(np.float32)
        obs, reward, terminated, truncated, _ = env.step(action)
        rows.append(tuple(np.array(part) for part in (obs, reward, terminated, truncated)))
    return rows


@pytest.mark.parametrize("name", SAVEABLE)
@pytest.mark.parametrize("before", [0, 1, 61])
def test_a_restored_environment_goes_on_with_the_same_bits(name: str, before: int, tmp_path: Path):
    env = make_env(name, 2, seed=3)
    env.reset()
    go_on(env, before, np.random.default_rng(1))
    state = save_env_state(env)
    assert state is not None
    checkpoint.save(tmp_path / "saved", 0, {"env": state})  # through the file, as a resumed run reads it
    expected = go_on(env, 200, np.random.default_rng(2))

    restored = make_env(name, 2, seed=99)
    load_env_state(restored, checkpoint.load(tmp_path / "saved" / ("0" * 12), "env"))
    for step, (found, wanted) in enumerate(zip(go_on(restored, 200, np.random.default_rng(2)), expected, strict=True)):
        for part, (a, b) in enumerate(zip(found, wanted, strict=True)):
            assert a.tobytes() == b.tobytes(), f"step {step}, part {part}: {a} instead of {b}"
    env.close()
    restored.close()


def test_an_environment_saved_between_an_end_and_its_reset_resets_when_restored():
    env = make_env("CartPole-v1", 1, seed=0)
    env.reset()
    while not env.step(np.ones(1, np.int64))[2][0]:
        pass
    state = save_env_state(env)
    restored = make_env("CartPole-v1", 1, seed=5)
    load_env_state(restored, state)
    a, b = env.step(np.ones(1, np.int64)), restored.step(np.ones(1, np.int64))
    assert a[0].tobytes() == b[0].tobytes()
    assert np.abs(b[0]).max() <= 0.05


def test_what_was_saved_does_not_change_when_the_environment_goes_on():
    env = make_env("HalfCheetah-v5", 1, seed=0)
    env.reset()
    state = save_env_state(env)
    positions = [part["data"]["mujoco"]["qpos"].clone() for part in state if "data" in part]
    go_on(env, 5, np.random.default_rng(0))
    assert [part["data"]["mujoco"]["qpos"].tolist() for part in state if "data" in part] == [
        position.tolist() for position in positions]
    assert len(positions) == 1


@pytest.mark.parametrize("name", ["LunarLander-v3", "BipedalWalker-v3"])
def test_a_box2d_world_cannot_be_saved_and_says_so(name: str):
    env = make_env(name, 1, seed=0)
    env.reset()
    assert save_env_state(env) is None
    env.close()


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1", "rlcore/StockTrading-v0"])
@pytest.mark.parametrize("backend", ["sync", None])
def test_maps_tables_and_markets_are_saved_too(name: str, backend: str | None):
    one, other = (make_env(name, 2, seed=seed, backend=backend) for seed in (1, 2))
    one.reset()
    space, rng = one.action_space, np.random.default_rng(0)
    discrete = isinstance(space, gym.spaces.MultiDiscrete)
    actions = [rng.integers(space.nvec) if discrete else rng.uniform(-1, 1, space.shape).astype(np.float32)
               for _ in range(40)]
    for action in actions:
        one.step(action)
    load_env_state(other, save_env_state(one))
    for action in actions:
        for mine, their in zip(one.step(action)[:4], other.step(action)[:4], strict=True):
            assert np.array_equal(mine, their)
