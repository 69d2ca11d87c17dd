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

_ZOO = "RL Baselines3 Zoo, adapted"
_OURS = "tuned with rlcore"
_USUAL = "the usual MuJoCo settings (Huang et al. 2022, 37 implementation details)"

_MUJOCO: dict[str, Preset] = {
    "ppo": Preset(1_000_000, {
        "horizon": 256, "epochs": 10, "num_minibatches": 32, "learning_rate": 3e-4, "learning_rate_decay": "linear",
        "normalize_obs": True, "normalize_reward": True,
    }, _USUAL),
    "sac": Preset(1_000_000, {"learning_starts": 10_000}, "Haarnoja et al. 2018, table 1"),
}

ENVIRONMENTS: dict[str, Environment] = {
    entry.id: entry
    for entry in (
        Environment("CartPole-v1", "CartPole", "classic control", "discrete", 4, 2, 475, 500,
                    "Balance a pole on a cart by pushing left or right.", {
                        "ppo": Preset(100_000, {
                            "horizon": 64, "epochs": 10, "learning_rate_decay": "linear", "gamma": 0.98,
                            "gae_lambda": 0.9,
                        }, _OURS),
                        "dqn": Preset(50_000, {
                            "train_every": 256, "updates": 128, "learning_rate": 2.3e-3, "target_every": 128,
                            "epsilon_end": 0.04, "epsilon_steps": 8_000,
                        }, _ZOO),
                    }),
        Environment("Acrobot-v1", "Acrobot", "classic control", "discrete", 6, 3, -100, 500,
                    "Swing a two-link pendulum above a line.", {
                        "ppo": Preset(300_000, {
                            "num_envs": 16, "horizon": 256, "num_minibatches": 64, "learning_rate": 3e-4,
                            "gae_lambda": 0.94, "normalize_obs": True, "normalize_reward": True,
                        }, _ZOO),
                        "dqn": Preset(100_000, {
                            "updates": 4, "batch_size": 128, "learning_rate": 6.3e-4, "capacity": 50_000,
                            "epsilon_end": 0.1, "epsilon_steps": 12_000, "hidden": (256, 256),
                        }, _ZOO),
                    }),
        Environment("MountainCar-v0", "Mountain Car", "classic control", "discrete", 2, 3, -110, 200,
                    "Rock an underpowered car up a hill; reward only at the top.", {
                        "dqn": Preset(120_000, {
                            "train_every": 16, "updates": 8, "batch_size": 128, "learning_rate": 4e-3, "gamma": 0.98,
                            "capacity": 10_000, "target_every": 300, "epsilon_end": 0.07, "epsilon_steps": 24_000,
                            "hidden": (256, 256),
                        }, _ZOO),
                    }),
        Environment("MountainCarContinuous-v0", "Mountain Car (continuous)", "classic control", "continuous",
                    2, 1, 90, 999,
                    "The hill again, with a continuous throttle and a cost on effort."),
        Environment("Pendulum-v1", "Pendulum", "classic control", "continuous", 3, 1, -180, 200,
                    "Swing up and balance a pendulum with limited torque.", {
                        "ppo": Preset(200_000, {
                            "num_envs": 4, "horizon": 1024, "epochs": 10, "num_minibatches": 64, "gamma": 0.9,
                        }, _ZOO),
                        "sac": Preset(20_000, {"learning_rate": 1e-3, "capacity": 20_000}, _ZOO),
                    }),
        Environment("LunarLander-v3", "Lunar Lander", "Box2D", "discrete", 8, 4, 200, 1000,
                    "Land a module between two flags by firing engines.", {
                        "ppo": Preset(1_000_000, {
                            "num_envs": 16, "horizon": 1024, "num_minibatches": 64, "learning_rate": 3e-4,
                            "gamma": 0.999, "gae_lambda": 0.98, "entropy_coef": 0.01,
                        }, _ZOO),
                        "dqn": Preset(200_000, {
                            "updates": 4, "batch_size": 128, "learning_rate": 6.3e-4, "capacity": 50_000,
                            "epsilon_end": 0.1, "epsilon_steps": 12_000, "hidden": (256, 256),
                        }, _ZOO),
                    }),
        Environment("LunarLanderContinuous-v3", "Lunar Lander (continuous)", "Box2D", "continuous", 8, 2, 200, 1000,
                    "Land a module with throttled engines.", {
                        "ppo": Preset(1_000_000, {
                            "num_envs": 16, "horizon": 1024, "num_minibatches": 64, "learning_rate": 3e-4,
                            "gamma": 0.999, "gae_lambda": 0.98, "entropy_coef": 0.01,
                        }, _ZOO),
                        "sac": Preset(500_000, {"learning_rate": 7.3e-4, "tau": 0.01, "learning_starts": 10_000}, _ZOO),
                    }),
        Environment("BipedalWalker-v3", "Bipedal Walker", "Box2D", "continuous", 24, 4, 300, 1600,
                    "Walk over gentle terrain on two legs.", {
                        "ppo": Preset(5_000_000, {
                            "num_envs": 32, "horizon": 2048, "epochs": 10, "num_minibatches": 1024,
                            "learning_rate": 3e-4, "gamma": 0.999, "normalize_obs": True, "normalize_reward": True,
                        }, _ZOO),
                        "sac": Preset(500_000, {
                            "train_every": 64, "updates": 64, "learning_rate": 7.3e-4, "gamma": 0.98, "tau": 0.02,
                            "capacity": 300_000, "learning_starts": 10_000, "hidden": (400, 300),
                        }, _ZOO),
                    }),
        Environment("HalfCheetah-v5", "Half Cheetah", "MuJoCo", "continuous", 17, 6, 4800, 1000,
                    "Run a two-legged planar cheetah as fast as possible.", _MUJOCO),
        Environment("Hopper-v5", "Hopper", "MuJoCo", "continuous", 11, 3, 3000, 1000,
                    "Hop forward on one leg without falling.", _MUJOCO),
        Environment("Walker2d-v5", "Walker 2D", "MuJoCo", "continuous", 17, 6, 3500, 1000,
                    "Walk forward on two planar legs without falling.", _MUJOCO),
        Environment("Ant-v5", "Ant", "MuJoCo", "continuous", 105, 8, 4000, 1000,
                    "Walk a four-legged ant forward.", _MUJOCO),
        Environment("Swimmer-v5", "Swimmer", "MuJoCo", "continuous", 8, 2, 340, 1000,
                    "Swim a three-link snake forward; needs a long horizon.", _MUJOCO),
        Environment("Reacher-v5", "Reacher", "MuJoCo", "continuous", 10, 2, -5, 50,
                    "Bring a two-joint arm's tip to a random target.", _MUJOCO),
        Environment("InvertedPendulum-v5", "Inverted Pendulum", "MuJoCo", "continuous", 4, 1, 950, 1000,
                    "Balance a pole on a cart with a continuous force.", _MUJOCO),
        Environment("InvertedDoublePendulum-v5", "Inverted Double Pendulum", "MuJoCo", "continuous", 9, 1, 9100, 1000,
                    "Balance two linked poles on a cart.", _MUJOCO),
        Environment("Humanoid-v5", "Humanoid", "MuJoCo", "continuous", 348, 17, 5000, 1000,
                    "Walk a 3D humanoid forward without falling.", _MUJOCO),
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
