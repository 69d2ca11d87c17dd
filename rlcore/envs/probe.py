"""Tiny environments whose right answers can be worked out by hand.

Each asks a learner one question: can you fit a value, read what you see, pass credit back, tell the clock from the
end of the task? Nothing registers itself: whoever wants a name for one calls `gymnasium.register`.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlcore.arrays import Array

Acts = Literal["discrete", "continuous"]
Step = tuple[Array, float, bool, bool, dict[str, Any]]


def action_space(acts: Acts, choices: int = 2) -> spaces.Discrete | spaces.Box:
    """Two or more choices, or one number in [−1, 1]."""
    return spaces.Discrete(choices) if acts == "discrete" else spaces.Box(-1.0, 1.0, (1,), np.float32)


def obs_space(size: int) -> spaces.Box:
    """`size` numbers in [−1, 1]."""
    return spaces.Box(-1.0, 1.0, (size,), np.float32)


def row(*numbers: float) -> Array:
    """An observation."""
    return np.array(numbers, np.float32)


def one_hot(index: int, size: int) -> Array:
    """All zeros but a one. [size]"""
    return row(*(float(place == index) for place in range(size)))


class Endless(gym.Env[Array, Any]):
    """Reward 1 at every step, for ever, whatever is done. V = 1 / (1 − γ), also where a time limit cuts it off."""

    def __init__(self, acts: Acts = "discrete"):
        self.observation_space, self.action_space = obs_space(1), action_space(acts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Always the same observation."""
        super().reset(seed=seed, options=options)
        return row(1), {}

    def step(self, action: Any) -> Step:  # noqa: ARG002  # nothing depends on it
        """Reward 1; never ends by itself."""
        return row(1), 1.0, False, False, {}


class Countdown(gym.Env[Array, Any]):
    """Reward 1 at every step; the task ends after `steps` of them. V = 1 + γ + … with as many terms as are left."""

    def __init__(self, steps: int = 1, acts: Acts = "discrete"):
        self.steps, self.done = steps, 0
        self.observation_space, self.action_space = obs_space(steps + 1), action_space(acts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """The observation names the step, one-hot."""
        super().reset(seed=seed, options=options)
        self.done = 0
        return one_hot(0, self.steps + 1), {}

    def step(self, action: Any) -> Step:  # noqa: ARG002  # nothing depends on it
        """Reward 1; terminated after the last."""
        self.done += 1
        return one_hot(self.done, self.steps + 1), 1.0, self.done == self.steps, False, {}


class Echo(gym.Env[Array, Any]):
    """Say what you see: an episode of one step. Return 1 for the right answer.

    discrete: one of `choices` symbols, reward 1 for naming it, otherwise 0.
    continuous: a number x in [−1, 1], reward 1 − |action − x/2|.
    """

    def __init__(self, choices: int = 2, acts: Acts = "discrete"):
        self.choices, self.acts = choices, acts
        self.shown: float = 0
        self.action_space = action_space(acts, choices)
        self.observation_space = obs_space(choices if acts == "discrete" else 1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Something to echo."""
        super().reset(seed=seed, options=options)
        draw = self.np_random
        self.shown = int(draw.integers(self.choices)) if self.acts == "discrete" else float(draw.uniform(-1, 1))
        return self._obs(), {}

    def step(self, action: Any) -> Step:
        """Judge the answer."""
        right = float(action == self.shown) if self.acts == "discrete" else 1 - abs(float(action[0]) - self.shown / 2)
        return self._obs(), right, True, False, {}

    def _obs(self) -> Array:
        return one_hot(int(self.shown), self.choices) if self.acts == "discrete" else row(self.shown)


class Delayed(gym.Env[Array, Any]):
    """Two steps; the first action decides the reward of the second. Return 1 for choosing 1 (or a number above 0)."""

    def __init__(self, acts: Acts = "discrete"):
        self.first: float | None = None
        self.acts = acts
        self.observation_space, self.action_space = obs_space(2), action_space(acts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """[0, 0]: nothing was chosen yet."""
        super().reset(seed=seed, options=options)
        self.first = None
        return row(0, 0), {}

    def step(self, action: Any) -> Step:
        """Step one shows what was chosen, [1, choice]; step two pays for it."""
        if self.first is not None:
            return row(-1, self.first), self.first, True, False, {}
        self.first = float(action == 1) if self.acts == "discrete" else float(action[0] > 0)
        return row(1, self.first), 0.0, False, False, {}


class Uneven(gym.Env[Array, Any]):
    """Two kinds of world: those of an even seed end after 1 step with return 0, the others after 9 with return 1.

    Whoever counts the first episodes to end, instead of a fixed share of every world, finds a mean below ½.
    """

    def __init__(self) -> None:
        self.observation_space, self.action_space = obs_space(1), action_space("discrete")
        self.long, self.elapsed = False, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """The world keeps its kind until it gets another seed."""
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.long = seed % 2 == 1
        self.elapsed = 0
        return row(0), {}

    def step(self, action: Any) -> Step:  # noqa: ARG002  # nothing depends on it
        """Reward 1 at the end of a long episode."""
        self.elapsed += 1
        ended = self.elapsed == (9 if self.long else 1)
        return row(0), float(ended and self.long), ended, False, {}


class Recall(gym.Env[Array, Any]):
    """A symbol is shown on the first step and asked for on the last, `wait` blank steps later. Return 1 for naming it.

    Observation: the symbol one-hot, then 1 where it is asked for. Without memory nothing beats 1 / choices.
    """

    def __init__(self, choices: int = 2, wait: int = 3):
        self.choices, self.wait = choices, wait
        self.shown = self.elapsed = 0
        self.observation_space, self.action_space = obs_space(choices + 1), action_space("discrete", choices)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """The symbol to keep in mind."""
        super().reset(seed=seed, options=options)
        self.shown, self.elapsed = int(self.np_random.integers(self.choices)), 0
        return one_hot(self.shown, self.choices + 1), {}

    def step(self, action: Any) -> Step:
        """Nothing while waiting; then the question, and its answer is judged."""
        self.elapsed += 1
        if self.elapsed <= self.wait:
            return one_hot(self.choices, self.choices + 1) * (self.elapsed == self.wait), 0.0, False, False, {}
        return row(*[0.0] * (self.choices + 1)), float(action == self.shown), True, False, {}


class Hold(gym.Env[Array, Any]):
    """A number x ~ U[−1, 1] is shown on the first step and asked for on the last, `wait` blank steps later. Return
    1 − |action − x|. Without memory nothing beats ½, for always answering 0.

    Observation: the number, then 1 where it is asked for.
    """

    def __init__(self, wait: int = 2):
        self.observation_space, self.action_space = obs_space(2), action_space("continuous")
        self.wait, self.shown, self.elapsed = wait, 0.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """The number to keep in mind."""
        super().reset(seed=seed, options=options)
        self.shown, self.elapsed = float(self.np_random.uniform(-1, 1)), 0
        return row(self.shown, 0.0), {}

    def step(self, action: Any) -> Step:
        """Nothing while waiting; then the question, and how near its answer is."""
        self.elapsed += 1
        if self.elapsed <= self.wait:
            return row(0.0, float(self.elapsed == self.wait)), 0.0, False, False, {}
        return row(0.0, 0.0), 1 - abs(float(action[0]) - self.shown), True, False, {}


class Tempting(gym.Env[Array, Any]):
    """Ten offers x ~ U[0, 1], one after another: taking one pays x and costs 1, as info["cost"] says.

    Greed takes all: return 5, cost 10. With at most d expected takes the best policy takes those above 1 − d/10, for
    a return of 10·(1 − (1 − d/10)²)/2; there one unit of cost is worth λ = 1 − d/10 of reward.
    """

    offers = 10

    def __init__(self, acts: Acts = "discrete"):
        self.acts, self.offer, self.elapsed = acts, 0.0, 0
        self.observation_space, self.action_space = obs_space(1), action_space(acts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """The first offer, as 2x − 1."""
        super().reset(seed=seed, options=options)
        self.elapsed = 0
        return self._next(), {"cost": 0.0}

    def step(self, action: Any) -> Step:
        """Choosing 1, or a number above 0, takes the offer."""
        taken = float(action == 1) if self.acts == "discrete" else float(action[0] > 0)
        self.elapsed += 1
        reward, ended = taken * self.offer, self.elapsed == self.offers
        return self._next(), reward, ended, False, {"cost": taken}

    def _next(self) -> Array:
        self.offer = float(self.np_random.uniform())
        return row(2 * self.offer - 1)
