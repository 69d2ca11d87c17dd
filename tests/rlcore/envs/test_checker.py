"""The checker finds each fault it knows, in one sentence, and never falls over what it checks."""

import functools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.envs.checker import check_env


class Broken(gym.Env[Any, Any]):
    """A healthy environment of ten steps, but for one fault."""

    def __init__(self, fault: str = "") -> None:
        self.fault, self.age = fault, 0
        if fault == "init":
            raise RuntimeError("no licence")
        bound = np.inf if fault == "bounds" else 1.0
        self.observation_space = spaces.Box(-2000, 2000, (2,), np.float32)
        self.action_space: spaces.Space[Any] = spaces.Box(-bound, bound, (1,), np.float32)
        if fault in ("mask", "wide"):
            self.action_space = spaces.Discrete(2)
        self.shared = np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed, options=options)
        self.age = 0
        return self.obs() if self.fault == "no info" else (self.obs(), {})

    def obs(self) -> Any:
        draw = np.random.default_rng() if self.fault == "chance" else self.np_random
        obs = draw.uniform(-1, 1, 2).astype(np.float32)
        if self.fault == "in place":
            self.shared[:] = obs
        return {"in place": self.shared,
                "outside": obs * 0 - 3000, "dtype": obs.astype(np.float64), "shape": obs[:1], "list": obs.tolist(),
                "nan obs": obs * np.nan, "huge": obs * 0 + 1500}.get(self.fault, obs)

    def step(self, action: Any):
        self.age += 1
        ended = self.age >= 10 and self.fault != "endless"
        reward = {"nan": float("nan"), "array": np.ones(1), "string": "1"}.get(self.fault, 1.0)
        if self.fault == "raise" and self.age == 5:
            raise ZeroDivisionError("division by zero")
        if self.fault == "four":
            return self.obs(), reward, ended, {}
        info = {"mask": {"action_mask": np.zeros(2, np.int8)}, "wide": {"action_mask": np.ones(3)}}.get(self.fault, {})
        return self.obs(), reward, 0 if self.fault == "flag" else ended and self.fault == "both", ended, info


@pytest.mark.parametrize(("fault", "sentence"), [
    ("outside", "The observation of reset lies outside of the observation space Box(-2000.0, 2000.0, (2,), float32)."),
    ("dtype", "The observation of step has the dtype float64; the space says float32."),
    ("shape", "The observation of step has the shape [1]; the space says [2]."),
    ("list", "The observation of step is a list; the space says a NumPy array."),
    ("nan obs", "The observation of step holds NaN or infinity."),
    ("nan", "The reward is NaN or infinite."),
    ("array", "The reward is a ndarray; it must be a float."),
    ("string", "The reward is a str; it must be a float."),
    ("chance", "The same seed and actions gave different results after 0 steps."),
    ("four", "step returns 4 things instead of 5"),
    ("no info", "reset must return two things"),
    ("endless", "No episode ended within 100 steps"),
    ("endless", "It has no time limit"),
    ("bounds", "The action space has bounds that are not finite."),
    ("huge", "Observations reach 1.5e+03."),
    ("flag", "`terminated` is a int; it must be a bool."),
    ("raise", "It fails while it is played: ZeroDivisionError: division by zero"),
    ("in place", "step changes the array that it or reset gave before"),
    ("both", "Every episode ends with terminated and truncated at once."),
    ("mask", "info['action_mask'] forbids every action while the episode goes on."),
    ("wide", "info['action_mask'] has the shape [3]; Discrete(2) needs [2]."),
    ("init", "It cannot be made: RuntimeError: no licence"),
])
def test_each_fault_has_its_sentence(fault: str, sentence: str):
    found = check_env(functools.partial(Broken, fault), steps=100)
    assert any(finding.startswith(sentence) for finding in found), found


def test_a_healthy_environment_gets_no_complaints():
    assert check_env(Broken, steps=100) == []
    assert check_env("CartPole-v1", steps=300) == []
    for limit in (20, 1000):
        assert check_env(functools.partial(Broken, "endless"), options={"max_episode_steps": limit}, steps=100) == []


class Steered(gym.ActionWrapper[Any, Any, Any]):
    """Three torques in place of all."""

    def __init__(self) -> None:
        super().__init__(gym.make("Pendulum-v1"))
        self.action_space = spaces.Discrete(3)

    def action(self, action: Any) -> Any:
        return np.array([2.0 * (action - 1)], np.float32)


class OneMove(gym.Env[Any, Any]):
    """At every step one action is legal; another raises."""

    observation_space, action_space = spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.age = 0
        return np.zeros(2, np.float32), self.info()

    def info(self) -> dict[str, Any]:
        return {"action_mask": [place == self.age % 4 for place in range(4)]}

    def step(self, action: Any):
        if action != self.age % 4:
            raise ValueError(f"{action} is no legal move")
        self.age += 1
        return np.zeros(2, np.float32), 0.0, self.age == 6, False, self.info()


def test_only_actions_that_the_environment_takes_are_played():
    assert check_env(Steered, steps=100) == []
    assert check_env(OneMove, options={"max_episode_steps": 100}, steps=100) == []


@pytest.mark.parametrize("env", ["Echo-v0", OneMove])
def test_an_environment_without_a_clock_is_told_so(env: Any):
    assert check_env(env, steps=100) == [
        "It has no time limit: an agent that avoids the end plays for ever. Register it with max_episode_steps, or "
        "give options={'max_episode_steps': …}."]


def test_our_own_tasks_pass():
    assert check_env("rlcore/PointChasing-v0", steps=300) == []
    assert check_env("rlcore/StockTrading-v0", steps=300) == []


class Hidden(Broken):
    """Two parts of what it shows have one path."""

    def __init__(self) -> None:
        super().__init__()
        part = self.observation_space
        self.observation_space = spaces.Dict({"a/b": part, "a": spaces.Dict({"b": part})})

    def obs(self) -> Any:
        return {"a/b": super().obs(), "a": {"b": super().obs()}}


def test_a_part_that_nobody_would_see_is_found():
    assert any("2 parts of the observation have the path 'a/b'" in finding for finding in check_env(Hidden, steps=20))


def test_even_nonsense_is_answered_in_words():
    assert check_env("CartPol-v1") == [
        "It cannot be made: ConfigError: Unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'?"]
    assert check_env(dict)[0].startswith("It cannot be made: ConfigError: builtins:dict made a dict")
