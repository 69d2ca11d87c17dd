"""From a name to a vector environment that keeps the contract."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlcore as rl
from rlcore.config import ConfigError, MissingExtra, ShapeError
from rlcore.envs.make import Env, make_env
from rlcore.envs.probe import Countdown, Endless
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
    with pytest.raises(ConfigError, match=r"backend='native' has no LunarLander-v3. Try one of: .*sync"):
        make_env("LunarLander-v3", backend="native")


@pytest.mark.parametrize(("name", "backend", "extra"), [
    ("CartPole-v1", "envpool", "envpool"), ("CheetahRun-v1", None, "envpool"), ("CoinrunEasy-v0", None, "envpool"),
    ("ALE/Elsewhere-v5", None, "atari"), ("MiniGrid-Elsewhere-v0", None, "minigrid")])
def test_a_missing_package_names_the_command_that_installs_it(name: str, backend: str, extra: str,
                                                              monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    absent = {"envpool", "ale_py", "minigrid"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None if module in absent else find(module))
    with pytest.raises(MissingExtra, match=rf'pip install "rl-copilot\[{extra}\]"'):
        make_env(name, backend=backend)


def test_no_environments_at_all_are_refused():
    with pytest.raises(ConfigError, match="num_envs=0 must be at least 1"):
        make_env("CartPole-v1", num_envs=0)


@pytest.mark.parametrize(("name", "backend"), [("CartPole-v1", "native"), ("CartPole-v1", "sync"),
                                               ("Pendulum-v1", "sync"), ("Pendulum-v1", "process")])
def test_a_seed_gives_the_same_episodes_and_each_copy_its_own(name: str, backend: str):
    one, same, other = (play(make_env(name, 3, seed=seed, backend=backend), 40) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0][0], one[0][1])


@pytest.mark.parametrize("backend", ["native", "sync", "process"])
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
    with pytest.raises(ConfigError, match="plays in 'my_envs:Mine-v0', which only its folder names"):
        rl.evaluate(run.path)
    assert "Mine-v0" not in gym.registry
    assert rl.evaluate(run.path, "my_envs:Mine-v0", episodes=2).returns == (2.0, 2.0)
    assert rl.evaluate(run.path, episodes=2).returns == (2.0, 2.0)  # its module is imported by now
    gym.registry.pop("Mine-v0")
    with pytest.raises(ConfigError, match="'no_such:Mine-v0': its module cannot be imported"):
        make_env("no_such:Mine-v0")


def test_a_drawing_environment_is_a_loop_of_single_ones():
    env = make_env("CartPole-v1", render_mode="rgb_array")
    assert env.backend == "sync"
    env.close()


def test_loop_and_processes_play_the_same_episodes():
    np.testing.assert_array_equal(play(make_env("Acrobot-v1", 3, seed=4, backend="sync"), 60),
                                  play(make_env("Acrobot-v1", 3, seed=4, backend="process", num_workers=2), 60))


def test_a_class_is_a_name_too(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text("from rlcore.envs.probe import Countdown\nclass Mine(Countdown):\n    pass\n")
    for name in ("rlcore.envs.probe:Countdown", f"{file}:Mine"):
        for backend in ("sync", "process"):
            env = make_env(name, 2, backend=backend, options={"steps": 2})
            assert (env.name, env.single_observation_space.shape, env.options) == (name, (3,), {"steps": 2})
            env.reset()
            ends = [bool(env.step(np.zeros(2, np.int64))[2].all()) for _ in range(3)]
            assert ends == [False, True, False]
            env.close()
    with pytest.raises(ConfigError, match=r"mine\.py has no 'Mien'; did you mean 'Mine'"):
        make_env(f"{file}:Mien")
    with pytest.raises(ConfigError, match="its module cannot be imported"):
        make_env("nowhere.py:Mine")


def test_a_function_is_a_name_too():
    env = make_env(Countdown, 2, options={"steps": 9, "max_episode_steps": 2})
    assert env.name == "rlcore.envs.probe:Countdown"
    env.reset()
    ends = [env.step(np.zeros(2, np.int64))[2:4] for _ in range(2)]
    assert [(bool(terminated[0]), bool(truncated[0])) for terminated, truncated in ends] == [(0, 0), (0, 1)]
    assert make_env(lambda: Countdown(), 2).num_envs == 2


def test_options_reach_the_environment_or_are_refused():
    env = make_env("CartPole-v1", 1, options={"max_episode_steps": 3})
    assert env.backend == "native"
    env.reset()
    assert [bool(env.step(np.zeros(1, np.int64))[3][0]) for _ in range(3)] == [False, False, True]
    assert make_env("Pendulum-v1", options={"g": 2.0}).env.envs[0].unwrapped.g == 2
    with pytest.raises(ConfigError, match=r"options={'gravity': 2}: .*unexpected keyword argument 'gravity'"):
        make_env("Pendulum-v1", options={"gravity": 2})
    with pytest.raises(ConfigError, match="backend='native' has CartPole-v1, but not with these options"):
        make_env("CartPole-v1", backend="native", options={"gravity": 2})


def test_a_mask_of_allowed_actions_can_be_seen():
    env = make_env("Taxi-v4", 2, seed=0, action_mask=True)
    obs, info = env.reset()
    assert obs["action_mask"].tolist() == info["action_mask"].tolist()
    assert env.observation_space.contains(obs)
    with pytest.raises(ConfigError, match=r"gives no info\['action_mask'\]"):
        make_env("CartPole-v1", action_mask=True).reset()
    with pytest.raises(ConfigError, match="needs a Discrete action space"):
        make_env("Pendulum-v1", action_mask=True)


def test_observations_have_32_bits():
    env = make_env("HalfCheetah-v5", 2)
    obs = env.reset()[0]
    assert obs.dtype == env.single_observation_space.dtype == np.float32
    np.testing.assert_array_equal(obs, env.env.reset(seed=[int(s) for s in np.random.SeedSequence(0).generate_state(2)]
                                                     )[0].astype(np.float32))


def test_the_halves_of_a_step():
    whole, halves = make_env("CartPole-v1", 2, seed=3), make_env("CartPole-v1", 2, seed=3)
    whole.reset()
    halves.reset()
    halves.send(np.ones(2, np.int64))
    np.testing.assert_array_equal(halves.recv()[0], whole.step(np.ones(2, np.int64))[0])
    with pytest.raises(ConfigError, match="backend='native' steps all environments at once"):
        halves.send(np.ones(1, np.int64), slice(0, 1))


def installed(module: str) -> Any:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@pytest.mark.parametrize(("env", "backend"), [
    ("Pendulum-v1", "native"), ("Pendulum-v1", "sync"), ("rlcore/PointChasing-v0", "native"),
    ("rlcore/StockTrading-v0", "native"), (Endless, "sync"),
    pytest.param("Pendulum-v1", "envpool", marks=installed("envpool"))])
def test_minus_one_stands_for_no_time_limit(env: Any, backend: Any):
    world = make_env(env, 1, backend=backend, options={"max_episode_steps": -1})
    world.reset()
    idle = np.zeros(world.action_space.shape, world.action_space.dtype)
    assert not any(world.step(idle)[3][0] for _ in range(260))


@pytest.mark.parametrize(("env", "backend"), [
    ("CartPole-v1", "native"), ("CartPole-v1", "sync"), ("CartPole-v1", "process"),
    ("rlcore/StockTrading-v0", "native"), (Endless, "sync")])
@pytest.mark.parametrize("steps", [0, -5, "foo"])
def test_a_time_limit_that_is_none_is_refused_by_every_engine(env: Any, backend: Any, steps: Any):
    with pytest.raises(ConfigError, match=rf"^max_episode_steps={steps!r} must be a whole number of at least 1, or -1"):
        make_env(env, 1, backend=backend, options={"max_episode_steps": steps})


class Stubborn(Countdown):
    """Cannot be closed."""

    def close(self) -> None:
        raise RuntimeError("no display to close")


@pytest.mark.parametrize("backend", ["sync", "process"])
def test_an_environment_that_cannot_be_closed_has_been_of_use_all_the_same(backend: Any, caplog: Any, capfd: Any):
    env = make_env(Stubborn, 2, backend=backend, num_workers=1 if backend == "process" else None)
    env.reset()
    env.close()
    said = "could not be closed: RuntimeError: no display to close"
    assert (caplog.text + capfd.readouterr().err).count(said) == (1 if backend == "sync" else 2)


class FalseMask(Countdown):
    """Its mask has another size than its two choices."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def reset(self, **how: Any):
        return super().reset(**how)[0], {"action_mask": np.ones(self.size, np.int8)}


@pytest.mark.parametrize("size", [1, 3])
def test_a_mask_of_another_size_than_the_choices_is_refused(size: int):
    env = make_env(FalseMask, 2, options={"size": size}, action_mask=True)
    with pytest.raises(ShapeError, match=rf"^There are 2 choices, but info\['action_mask'\] has the shape \[{size}\]"):
        env.reset()


@installed("ale_py")
def test_atari_is_the_same_from_its_threads_and_one_by_one():
    pool, loop = (make_env("ALE/Breakout-v5", 2, seed=1, backend=backend, options={"repeat_action_probability": 0.0})
                  for backend in (None, "sync"))
    assert (pool.backend, pool.single_observation_space.shape) == ("native", (4, 84, 84))
    one, other = play(pool, 200), play(loop, 200)
    same = [bool((a == b).all()) for a, b in zip(one, other, strict=True)]
    ended = same.index(False) if False in same else len(same)
    assert ended > 100  # until the first end at least, since what follows is drawn from other generators
    assert one[0].dtype == np.uint8


@installed("ale_py")
def test_atari_shows_the_last_frame_of_an_episode_and_then_starts_anew():
    env = make_env("ALE/Breakout-v5", 1, seed=1, options={"episodic_life": True, "reward_clip": True})
    env.reset()
    lives = 5
    for _ in range(300):
        before, (_, reward, terminated, truncated, info) = lives, env.step(np.ones(1, np.int64))
        lives = int(info["lives"][0])
        assert reward[0] in (0, 1)
        assert bool(terminated[0]) == (lives < before)  # a lost life ends the episode
        if terminated[0]:
            break
    assert (lives, bool(truncated[0])) == (4, False)
    _, reward, terminated, _, info = env.step(np.ones(1, np.int64))
    assert (int(reward[0]), bool(terminated[0]), int(info["lives"][0])) == (0, False, 4)  # and the game goes on


@installed("minigrid")
@pytest.mark.parametrize("backend", ["sync", "process"])
def test_minigrid_comes_without_its_text(backend: str):
    env = make_env("MiniGrid-Empty-5x5-v0", 2, backend=backend)
    obs = env.reset()[0]
    assert {key: value.shape for key, value in obs.items()} == {"direction": (2,), "image": (2, 7, 7, 3)}
    env.close()


@installed("envpool")
def test_envpool_is_seeded_resets_on_the_next_step_and_keeps_to_its_threads():
    env = make_env("Pendulum-v1", 3, seed=1, backend="envpool", num_workers=2)
    assert env.env.threads == 2
    first = env.reset()[0]
    again, other = make_env("Pendulum-v1", 3, seed=1, backend="envpool").reset()[0], env.reset(seed=2)[0]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(env.reset(seed=1)[0], first)
    assert not np.array_equal(first, other)
    push = np.zeros((3, 1), np.float32)
    ends = [env.step(push) for _ in range(201)]
    assert [step for step, part in enumerate(ends, 1) if part[3].any()] == [200]
    assert ends[199][1].max() < 0
    assert ends[200][1].tolist() == [0, 0, 0]


@installed("envpool")
def test_envpools_copies_get_the_actions_of_their_own_rows():
    env = make_env("Pendulum-v1", 3, seed=1, backend="envpool")
    torque, cos_sin_speed = np.array([[-2], [0.5], [2]], np.float32), env.reset()[0]
    sin, speed = cos_sin_speed[:, 1], cos_sin_speed[:, 2]
    expected = speed + (15 * sin + 3 * torque[:, 0]) * 0.05
    np.testing.assert_allclose(env.step(torque)[0][:, 2], expected, atol=1e-4)


@installed("envpool")
def test_what_only_envpool_has_is_found_there_by_every_backend():
    for backend in (None, "sync"):
        env = make_env("CheetahRun-v1", 2, backend=backend)
        obs = env.reset()[0]
        assert {key: (part.shape, str(part.dtype)) for key, part in obs.items()} == {
            "position": ((2, 8), "float32"), "velocity": ((2, 9), "float32")}
        assert env.observation_space.contains(obs)
        assert np.isinf(env.single_observation_space["velocity"].low).all()
        env.close()


class Misfit(Countdown):
    """Shows more than it says."""

    def reset(self, **how: Any):
        return np.zeros(7, np.float32), {}


class Spaceless(gym.Env[Any, Any]):
    """Says nothing of what it shows."""


def test_what_is_wrong_with_an_own_environment_is_said_with_its_name():
    with pytest.raises(ConfigError, match=r"Misfit gave an observation .* shape of its space. `python -m rlcore check"):
        make_env(Misfit, 2).reset()
    with pytest.raises(ConfigError, match=r"Spaceless has no \w+_space: set one in __init__. `python -m rlcore check"):
        make_env(Spaceless, 2)
    with pytest.raises(ConfigError, match=r"action_mask=True, but CartPole-v1 gives no info\['action_mask'\]"):
        make_env("CartPole-v1", 1, action_mask=True).reset()
