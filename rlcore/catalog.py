"""The one list of algorithms and environments: what each supports, its paper, its presets and the score to expect.

The wizard, the copilot, the docs and the tests all read it. It imports nothing heavy, so that asking what
exists costs nothing; `algorithm(...)` and `config_of(...)` load an algorithm only when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rlcore.config import ConfigError, build, nearest

Acts = Literal["discrete", "continuous"]


class UnknownName(ConfigError):
    """An algorithm or environment that the catalogue does not list."""

    def __init__(self, what: str, name: str, known: list[str]):
        hint = nearest(name, known)
        super().__init__(f"Unknown {what} '{name}'{hint or '.'} Known: {', '.join(sorted(known))}.")


@dataclass(frozen=True)
class Algorithm:
    """One algorithm: where it lives, what it can act on and where it comes from."""

    name: str                      # as typed on the command line
    title: str                     # as printed: PPO
    long_title: str
    loop: Literal["on_policy", "off_policy"]
    acts: frozenset[Acts]          # action spaces its mathematics allows
    arxiv: str
    year: int
    summary: str                   # one sentence for the wizard
    instead: Mapping[str, str]     # action kind it cannot do → the algorithm to offer

    @property
    def module(self) -> str:
        """One algorithm, one file, flat and guessable."""
        return f"rlcore.algos.{self.name}"


@dataclass(frozen=True)
class Preset:
    """Settings known to solve an environment, and where they were found."""

    env_steps: int
    config: Mapping[str, Any]
    source: str


@dataclass(frozen=True)
class Environment:
    """One environment: its spaces, the score that counts as solved, presets per algorithm."""

    id: str
    title: str
    family: Literal["classic control", "Box2D", "MuJoCo"]
    acts: Acts
    obs_dim: int
    act_dim: int                   # number of actions if discrete, of dimensions if continuous
    solved_at: float | None        # mean return that counts as solved; None where nobody agreed on one
    max_steps: int                 # time limit in env steps
    summary: str
    presets: Mapping[str, Preset] = field(default_factory=dict)


ALGORITHMS: dict[str, Algorithm] = {
    entry.name: entry
    for entry in (
        Algorithm(
            "ppo", "PPO", "Proximal Policy Optimization", "on_policy", frozenset({"discrete", "continuous"}),
            "1707.06347", 2017, "Robust first choice for any action space; learns from many parallel environments.", {},
        ),
        Algorithm(
            "dqn", "DQN", "Deep Q-Network", "off_policy", frozenset({"discrete"}),
            "1312.5602", 2013, "Learns action values from replayed experience; discrete actions only.",
            {"continuous": "sac"},
        ),
        Algorithm(
            "sac", "SAC", "Soft Actor-Critic", "off_policy", frozenset({"continuous"}),
            "1812.05905", 2018, "Sample-efficient continuous control with automatic exploration.",
            {"discrete": "dqn"},
        ),
    )
}

_ZOO = "RL Baselines3 Zoo hyperparameters, adapted"
_OURS = "tuned for rlcore; see benchmarks/"

ENVIRONMENTS: dict[str, Environment] = {
    entry.id: entry
    for entry in (
        Environment("CartPole-v1", "CartPole", "classic control", "discrete", 4, 2, 475, 500,
                    "Balance a pole on a cart by pushing left or right."),
        Environment("Acrobot-v1", "Acrobot", "classic control", "discrete", 6, 3, -100, 500,
                    "Swing a two-link pendulum above a line."),
        Environment("MountainCar-v0", "Mountain Car", "classic control", "discrete", 2, 3, -110, 200,
                    "Rock an underpowered car up a hill; reward only at the top."),
        Environment("MountainCarContinuous-v0", "Mountain Car (continuous)", "classic control", "continuous",
                    2, 1, 90, 999,
                    "The hill again, with a continuous throttle and a cost on effort."),
        Environment("Pendulum-v1", "Pendulum", "classic control", "continuous", 3, 1, -180, 200,
                    "Swing up and balance a pendulum with limited torque."),
        Environment("LunarLander-v3", "Lunar Lander", "Box2D", "discrete", 8, 4, 200, 1000,
                    "Land a module between two flags by firing engines."),
        Environment("LunarLanderContinuous-v3", "Lunar Lander (continuous)", "Box2D", "continuous", 8, 2, 200, 1000,
                    "Land a module with throttled engines."),
        Environment("BipedalWalker-v3", "Bipedal Walker", "Box2D", "continuous", 24, 4, 300, 1600,
                    "Walk over gentle terrain on two legs."),
        Environment("HalfCheetah-v5", "Half Cheetah", "MuJoCo", "continuous", 17, 6, 4800, 1000,
                    "Run a two-legged planar cheetah as fast as possible."),
        Environment("Hopper-v5", "Hopper", "MuJoCo", "continuous", 11, 3, 3000, 1000,
                    "Hop forward on one leg without falling."),
        Environment("Walker2d-v5", "Walker 2D", "MuJoCo", "continuous", 17, 6, 3500, 1000,
                    "Walk forward on two planar legs without falling."),
        Environment("Ant-v5", "Ant", "MuJoCo", "continuous", 105, 8, 4000, 1000,
                    "Walk a four-legged ant forward."),
        Environment("Swimmer-v5", "Swimmer", "MuJoCo", "continuous", 8, 2, 340, 1000,
                    "Swim a three-link snake forward; needs a long horizon."),
        Environment("Reacher-v5", "Reacher", "MuJoCo", "continuous", 10, 2, -5, 50,
                    "Bring a two-joint arm's tip to a random target."),
        Environment("InvertedPendulum-v5", "Inverted Pendulum", "MuJoCo", "continuous", 4, 1, 950, 1000,
                    "Balance a pole on a cart with a continuous force."),
        Environment("InvertedDoublePendulum-v5", "Inverted Double Pendulum", "MuJoCo", "continuous", 9, 1, 9100, 1000,
                    "Balance two linked poles on a cart."),
        Environment("Humanoid-v5", "Humanoid", "MuJoCo", "continuous", 348, 17, 5000, 1000,
                    "Walk a 3D humanoid forward without falling."),
    )
}


def algorithm(name: str) -> Algorithm:
    """The catalogue's entry for an algorithm, in any case.

    Raises:
        UnknownName: names the nearest known one.
    """
    entry = ALGORITHMS.get(name.lower())
    if entry is None:
        raise UnknownName("algorithm", name, list(ALGORITHMS))
    return entry


def environment(name: str) -> Environment:
    """The catalogue's entry for an environment id.

    Raises:
        UnknownName: names the nearest known one.
    """
    if name not in ENVIRONMENTS:
        raise UnknownName("environment", name, list(ENVIRONMENTS))
    return ENVIRONMENTS[name]


def config_class(algo: str) -> type[Any]:
    """The frozen config dataclass of an algorithm."""
    entry = algorithm(algo)
    return getattr(importlib.import_module(entry.module), f"{entry.title}Config")  # type: ignore[no-any-return]


def agent_class(algo: str) -> Any:
    """The agent's class of an algorithm: built from (obs_space, action_space, config, *, seed, device)."""
    entry = algorithm(algo)
    return getattr(importlib.import_module(entry.module), entry.title)


def config_for(algo: str, env: str = "", changes: Mapping[str, Any] | None = None) -> Any:
    """An algorithm's config: its defaults, then the environment's preset, then the given changes."""
    return build(config_class(algo), {**preset(algo, env).config, **(changes or {})})


def preset(algo: str, env: str) -> Preset:
    """The settings to start from: the environment's own preset, or the algorithm's defaults."""
    listed = ENVIRONMENTS[env].presets if env in ENVIRONMENTS else {}
    return listed.get(algorithm(algo).name, Preset(200_000, {}, "the algorithm's defaults"))


def refusal(algo: str, env: str) -> str:
    """Why this algorithm cannot act in this catalogued environment and what can; empty if it can."""
    able, place = algorithm(algo), environment(env)
    if place.acts in able.acts:
        return ""
    other = ALGORITHMS[able.instead[place.acts]]
    has = "a continuous (Box)" if place.acts == "continuous" else "a discrete"
    needs = " or ".join(sorted(able.acts))
    return (f"{able.title} needs a {needs} action space, but {place.id} has {has} one. "
            f"{other.title} or PPO can do it.")
