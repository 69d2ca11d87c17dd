"""Environments from before Gymnasium."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.config import ConfigError, ShapeError
from rlcore.envs.compat import OldGymEnv, convert_space
from rlcore.envs.make import make_env


class Box:
    def __init__(self, low: float, high: float, shape: tuple[int, ...]) -> None:
        self.low, self.high, self.dtype = np.full(shape, low, np.float32), np.full(shape, high, np.float32), np.float32


class Discrete:
    def __init__(self, n: int) -> None:
        self.n = n


class Graph:
    pass


class Old:
    """Three steps, then done; the clock's doing if `by_clock`."""

    def __init__(self, by_clock: bool = False) -> None:
        self.observation_space, self.action_space = Box(0, 9, (1,)), Discrete(2)
        self.by_clock, self.age, self.seeds = by_clock, 0, []

    def seed(self, seed: int) -> None:
        self.seeds.append(seed)

    def reset(self) -> Any:
        self.age = 0
        return np.array([0.0])

    def step(self, action: int) -> tuple[Any, int, bool, dict[str, Any]]:
        self.age += 1
        done = self.age == 3
        return np.array([float(self.age)]), 2, done, {"TimeLimit.truncated": True} if done and self.by_clock else {}


@pytest.mark.parametrize("by_clock", [False, True])
def test_done_is_told_apart(by_clock: bool):
    env = OldGymEnv(Old(by_clock))
    obs, info = env.reset(seed=5)
    assert (obs.tolist(), obs.dtype, info, env.env.seeds) == ([0], np.float32, {}, [5])
    steps = [env.step(0) for _ in range(3)]
    assert [step[2:4] for step in steps] == [(False, False), (False, False), (not by_clock, by_clock)]
    assert steps[2][:2] == (np.array([3.0]), 2.0)


def test_make_env_takes_old_environments():
    env = make_env(Old, 2)
    assert (env.single_observation_space, env.single_action_space) == (
        spaces.Box(0, 9, (1,), np.float32), spaces.Discrete(2))
    env.reset()
    assert env.step(np.zeros(2, np.int64))[0].tolist() == [[1], [1]]


def test_spaces_are_converted_all_the_way_down():
    old = type("Dict", (), {})()
    old.spaces = {"a": Box(0, 1, (2,)), "b": Discrete(3)}
    assert convert_space(old) == spaces.Dict({"a": spaces.Box(0, 1, (2,), np.float32), "b": spaces.Discrete(3)})
    with pytest.raises(ShapeError, match="A space of type Graph cannot be converted"):
        convert_space(Graph())
    with pytest.raises(ShapeError):
        convert_space(SimpleNamespace())


class From026(Old):
    """Gym 0.26's rules: a seed for reset, which gives two things, and five things from step."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        return super().reset(), {"age": 0}

    def step(self, action: int) -> Any:
        obs, reward, done, info = super().step(action)
        return obs, reward, done and not self.by_clock, done and self.by_clock, info


@pytest.mark.parametrize("by_clock", [False, True])
def test_gym_026_is_understood(by_clock: bool):
    env = OldGymEnv(From026(by_clock))
    obs, info = env.reset(seed=5)
    assert (obs.tolist(), obs.dtype, info, env.env.seeds) == ([0], np.float32, {"age": 0}, [5])
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (not by_clock, by_clock)]


class Three(Old):
    def step(self, action: int) -> Any:
        return super().step(action)[:3]


def test_another_number_of_things_is_told():
    env = OldGymEnv(Three())
    with pytest.raises(ConfigError, match="step of Three returns 3 things"):
        env.step(0)


class Drawn(Old):
    metadata = {"render.modes": ["human", "rgb_array"], "video.frames_per_second": 25}  # noqa: RUF012

    def render(self, mode: str = "human") -> Any:
        return np.full((2, 2, 3), mode == "rgb_array")


class Drawn026(From026):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((2, 2, 3), self.render_mode == "rgb_array")


@pytest.mark.parametrize(("kind", "fps"), [(Drawn, 25), (Drawn026, 10)])
def test_old_environments_draw_by_the_rules_of_their_time(kind: type, fps: int):
    env = make_env(kind, 1, render_mode="rgb_array")
    env.reset()
    assert env.render()[0].all()
    single = env.env.envs[0]
    assert ("rgb_array" in single.metadata["render_modes"], single.metadata["render_fps"]) == (True, fps)


class Wrapped:
    """Passes on whatever it is told, as Gym 0.26's wrappers do; `seed` is gone there."""

    def __init__(self) -> None:
        self.env = From026()
        self.observation_space, self.action_space = self.env.observation_space, self.env.action_space

    def reset(self, **how: Any) -> Any:
        return self.env.reset(**how)

    def step(self, action: int) -> Any:
        return self.env.step(action)


def test_a_seed_passes_through_a_wrapper_of_gym_026():
    env = OldGymEnv(Wrapped())
    env.reset(seed=5)
    env.reset()
    assert env.env.env.seeds == [5, None]
