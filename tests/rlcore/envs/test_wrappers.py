"""The normal form of observations, and one rule for autoreset."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlcore.config import ConfigError, ShapeError
from rlcore.envs.probe import Countdown
from rlcore.envs.wrappers import NextStep, normal_obs, normal_space, time_limit


def test_nested_observations_become_one_level_with_paths_for_names():
    space = spaces.Dict({
        "robot": spaces.Dict({"arm": spaces.Box(-1, 1, (2,), np.float64),
                              "eye": spaces.Box(0, 255, (4, 4, 3), np.uint8)}),
        "pair": spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(2)))})
    flat = normal_space(space)
    assert {key: (part.shape, str(part.dtype)) for key, part in flat.items()} == {
        "pair/0": ((), "int64"), "pair/1": ((2,), "int8"), "robot/arm": ((2,), "float32"),
        "robot/eye": ((4, 4, 3), "uint8")}
    obs = space.sample()
    found = normal_obs(space, obs)
    assert flat.contains(found)
    assert found["robot/eye"] is obs["robot"]["eye"]  # pixels are not copied
    assert found["pair/0"] == obs["pair"][0]


def test_bounds_that_32_bits_cannot_hold_become_none():
    space = normal_space(spaces.Box(-1e300, 1e300, (1,), np.float64))
    assert (space.low[0], space.high[0], space.dtype) == (-np.inf, np.inf, np.float32)
    pixels = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    assert normal_space(pixels) is pixels


def test_text_is_refused():
    with pytest.raises(ShapeError, match=r"Observations of Text.* are not supported"):
        normal_space(spaces.Dict({"words": spaces.Text(5)}))


def test_parts_that_would_have_one_path_are_refused():
    space = spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)}), "a/b": spaces.Discrete(3)})
    with pytest.raises(ShapeError, match=r"^2 parts of the observation have the path 'a/b', and only one of them"):
        normal_space(space)


@pytest.mark.parametrize("steps", [0, -5, -2, "foo", 2.5, True])
def test_an_episode_lasts_a_whole_number_of_steps(steps: Any):
    with pytest.raises(ConfigError, match=r"max_episode_steps=.* must be a whole number of at least 1, or -1 for no"):
        time_limit(steps)


class Costly(Countdown):
    """A reset costs nothing, and the n-th step n; the last, the second or third, tells more than the others."""

    def __init__(self, last: int) -> None:
        super().__init__(3)
        self.last = last

    def reset(self, **how: Any):
        return super().reset(**how)[0], {"cost": 0.0}

    def step(self, action: Any):
        obs, reward, *_ = super().step(action)
        ended = self.done == self.last
        more = {"nested": {"sum": np.array([1.0, 2.0])}} if ended else {}
        return obs, reward, ended, False, {"cost": float(self.done), **more}


def test_the_info_of_a_last_step_is_that_of_the_step_and_not_of_the_reset_behind_it():
    lengths = [lambda: Costly(2), lambda: Costly(3)]
    env = NextStep(SyncVectorEnv(lengths, autoreset_mode=AutoresetMode.SAME_STEP))
    env.reset()
    infos = [env.step(np.zeros(2, np.int64))[4] for _ in range(3)]
    assert [info["cost"].tolist() for info in infos][:2] == [[1, 1], [2, 2]]
    assert infos[2]["cost"][1] == 3  # the other's row is a dummy
    assert infos[1]["nested"]["sum"].tolist() == [[1, 2], [0, 0]]


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_every_autoreset_becomes_next_step(mode: AutoresetMode):
    lengths = [lambda: Countdown(2), lambda: Longer()]
    env, expected = NextStep(SyncVectorEnv(lengths, autoreset_mode=mode)), SyncVectorEnv(lengths)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    env.reset()
    expected.reset()
    for _ in range(14):
        for found, wanted in zip(env.step(np.zeros(2, np.int64))[:4], expected.step(np.zeros(2, np.int64))[:4],
                                 strict=True):
            np.testing.assert_array_equal(found, wanted)


class Longer(Countdown):
    """Lasts three steps, but looks as if two."""

    def __init__(self) -> None:
        super().__init__(2)

    def step(self, action: Any):
        if self.done < 2:
            obs, reward, *_ = super().step(action)
            return obs, reward, False, False, {}
        return self.observation_space.high, 7.0, True, False, {}
