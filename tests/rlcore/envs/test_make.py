"""From a name to a vector environment that keeps the contract."""

import importlib.util
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import rlcore as rl
from rlcore.config import ConfigError, MissingExtra
from rlcore.envs.make import Env, make_env
from rlcore.runs import list_runs


def play(env: Env, steps: int) -> list[np.ndarray]:
    """Observations under actions that depend on nothing but the step."""
    rng, seen = np.random.default_rng(0), [env.reset()[0].copy()]
    for _ in range(steps):
        if isinstance(env.single_action_space, gym.spaces.Discrete):
            action = rng.integers(env.single_action_space.n, size=env.num_envs)
        else:
            action = rng.uniform(-1, 1, size=env.action_space.shape).astype(np.float32)
        seen.append(env.step(action)[0].copy())
    return seen


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"Unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'\?"):
        make_env("CartPol-v1")


@pytest.mark.filterwarnings("ignore:.*The environment Hopper-v3 is out of date:DeprecationWarning")
def test_a_version_that_no_longer_works_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match="Hopper-v3 cannot be made here: The mujoco v2 and v3 based environments"):
        make_env("Hopper-v3")


def test_an_environment_that_knows_no_render_mode_can_be_trained_in():
    assert make_env("Countdown-v0", 2).num_envs == 2


def test_the_fastest_backend_is_chosen_unless_told_otherwise():
    assert make_env("CartPole-v1").backend == "native"
    assert make_env("CartPole-v1", backend="sync").backend == "sync"
    assert make_env("Acrobot-v1", backend="sync").backend == "sync"


def test_a_backend_without_the_environment_is_refused_with_those_that_have_it():
    with pytest.raises(ConfigError, match=r"backend='native' has no Acrobot-v1. Try one of: .*sync"):
        make_env("Acrobot-v1", backend="native")


@pytest.mark.skipif(importlib.util.find_spec("envpool") is not None, reason="EnvPool is installed here")
def test_a_missing_envpool_names_the_command_that_installs_it():
    with pytest.raises(MissingExtra, match=r'pip install "rl-copilot\[envpool\]"'):
        make_env("CartPole-v1", backend="envpool")


def test_no_environments_at_all_are_refused():
    with pytest.raises(ConfigError, match="num_envs=0 must be at least 1"):
        make_env("CartPole-v1", num_envs=0)


@pytest.mark.parametrize(("name", "backend"), [("CartPole-v1", "native"), ("CartPole-v1", "sync"),
                                               ("Pendulum-v1", "sync")])
def test_a_seed_gives_the_same_episodes_and_each_copy_its_own(name: str, backend: str):
    one, same, other = (play(make_env(name, 3, seed=seed, backend=backend), 40) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0][0], one[0][1])


@pytest.mark.parametrize("backend", ["native", "sync"])
def test_after_an_end_the_next_step_only_resets(backend: str):
    env = make_env("CartPole-v1", 2, seed=0, backend=backend)
    obs, _ = env.reset()
    for _ in range(200):  # always to the right: falls within a dozen steps
        before = obs.copy()
        obs, reward, terminated, truncated, _ = env.step(np.ones(2, np.int64))
        if terminated[0]:
            break
    assert terminated[0]
    assert reward[0] == 1
    assert abs(obs[0, 2]) > 0.2  # this is the fallen pole itself, not the next episode's start
    assert np.abs(obs[0] - before[0]).max() < 1  # and it follows from the step before
    obs, reward, terminated, truncated, _ = env.step(np.ones(2, np.int64))
    assert np.abs(obs[0]).max() <= 0.05  # now a new episode starts
    assert (reward[0], terminated[0], truncated[0]) == (0, False, False)


@pytest.mark.parametrize("backend", ["native", "sync"])
def test_a_pole_held_up_is_cut_off_at_500_steps(backend: str):
    env = make_env("CartPole-v1", 1, seed=0, backend=backend)
    obs, _ = env.reset()
    ends = []
    for _ in range(501):
        push_right = obs[:, 2] + 0.5 * obs[:, 3] + 0.05 * obs[:, 0] + 0.1 * obs[:, 1] > 0
        obs, _, terminated, truncated, _ = env.step(push_right.astype(np.int64))
        assert not terminated[0]
        ends.append(bool(truncated[0]))
    assert [step for step, end in enumerate(ends, 1) if end] == [500]


def test_a_name_may_bring_the_module_that_registers_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_envs.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', entry_point='rlcore.envs.probe:Countdown', kwargs={'steps': 2})\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = rl.PPOConfig(num_envs=2, horizon=8, hidden=(8,))
    rl.train("ppo", "my_envs:Mine-v0", config, env_steps=32)
    gym.registry.pop("Mine-v0")
    monkeypatch.delitem(sys.modules, "my_envs")  # as in another process
    run = list_runs()[0]
    assert run.config["env"] == "my_envs:Mine-v0"
    assert rl.evaluate(run.path, episodes=2).returns == (2.0, 2.0)
    gym.registry.pop("Mine-v0")
    with pytest.raises(ConfigError, match="'no_such:Mine-v0': its module cannot be imported"):
        make_env("no_such:Mine-v0")


def test_a_drawing_environment_is_a_loop_of_single_ones():
    env = make_env("CartPole-v1", render_mode="rgb_array")
    assert env.backend == "sync"
    env.close()
