"""The one list of algorithms and environments: what each supports, its paper, its presets and the score to expect.

The wizard, the copilot, the docs and the tests all read it. It imports nothing heavy, so that asking what
exists costs nothing; `algorithm(...)` and `config_of(...)` load an algorithm only when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rlcore.config import ConfigError, Setting, build, check_ranges, nearest, setting, settings, to_dict

Acts = Literal["discrete", "continuous", "multi_discrete", "multi_binary"]
_ANY: frozenset[Acts] = frozenset({"discrete", "continuous", "multi_discrete", "multi_binary"})
_DISCRETE: frozenset[Acts] = frozenset({"discrete"})
_CONTINUOUS: frozenset[Acts] = frozenset({"continuous"})
_NOT_DISCRETE = {"discrete": "dqn", "multi_discrete": "ppo", "multi_binary": "ppo"}
_NOT_CONTINUOUS = {"continuous": "sac", "multi_discrete": "ppo", "multi_binary": "ppo"}

HINDSIGHT = 0.8    # the usual share of replayed steps with another goal: four to one (Andrychowicz et al. 2017, §4.5)


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
    weighs_actions: bool = False   # on-policy, and corrects for an older policy having acted
    needs_cost: bool = False       # learns from info["cost"] too
    freezes: bool = True           # can keep parts of its networks as they are
    sequences: bool = False        # replays sequences instead of single steps

    @property
    def module(self) -> str:
        """One algorithm, one file, flat and guessable."""
        return f"rlcore.algos.{self.name}"

    @property
    def class_name(self) -> str:
        """The agent's class; its config is named after it."""
        return self.title.replace("-", "")

    @property
    def looks_back(self) -> bool:
        """Whether hindsight can give what it replays another goal."""
        return self.loop == "off_policy" and not self.sequences


@dataclass(frozen=True)
class Preset:
    """Settings known to solve an environment, and where they were found."""

    env_steps: int
    config: Mapping[str, Any]
    source: str


@dataclass(frozen=True, kw_only=True)
class BitFlipOptions:
    """What a plan may choose of rlcore/BitFlip-v0."""

    bits: int = setting(8, "switches to bring to the goal; an episode has as many steps", low=2, high=64)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Environment:
    """One environment: its spaces, the score that counts as solved, presets per algorithm."""

    id: str
    title: str
    family: Literal["classic control", "Box2D", "MuJoCo", "with costs", "with goals"]
    acts: Acts
    obs_dim: int                   # numbers in an observation, over all its parts
    act_dim: int                   # number of actions if discrete, of dimensions if continuous
    solved_at: float | None        # mean return that counts as solved; None where nobody agreed on one
    max_steps: int                 # time limit in env steps
    summary: str
    presets: Mapping[str, Preset] = field(default_factory=dict)
    gives_cost: bool = False       # tells info["cost"]
    gives_goals: bool = False      # observations hold an achieved and a desired goal
    options: type[Any] | None = None   # of its constructor, those that a plan may choose


ALGORITHMS: dict[str, Algorithm] = {
    entry.name: entry
    for entry in (
        Algorithm(
            "ppo", "PPO", "Proximal Policy Optimization", "on_policy", _ANY,
            "1707.06347", 2017, "Robust first choice for any action space; learns from many parallel environments.", {},
            weighs_actions=True,
        ),
        Algorithm(
            "a2c", "A2C", "Advantage Actor-Critic", "on_policy", _ANY,
            "1602.01783", 2016, "The simplest actor-critic: one gradient step per short rollout.", {},
        ),
        Algorithm(
            "trpo", "TRPO", "Trust Region Policy Optimization", "on_policy", _ANY,
            "1502.05477", 2015, "Steps as far as a bound on the policy's change allows; steady and hard to break.", {},
            freezes=False,
        ),
        Algorithm(
            "ppo_lagrangian", "PPO-Lagrangian", "PPO with a PID-controlled Lagrange multiplier", "on_policy", _ANY,
            "2007.03964", 2020, "PPO that keeps an episode's cost, info['cost'], below a limit.", {}, needs_cost=True,
        ),
        Algorithm(
            "dqn", "DQN", "Deep Q-Network", "off_policy", _DISCRETE,
            "1312.5602", 2013, "Learns action values from replayed experience; discrete actions only.",
            _NOT_CONTINUOUS,
        ),
        Algorithm(
            "rainbow", "Rainbow", "Rainbow DQN", "off_policy", _DISCRETE,
            "1710.02298", 2017, "DQN with six improvements at once; the most from each step, at more work per step.",
            _NOT_CONTINUOUS,
        ),
        Algorithm(
            "qrdqn", "QR-DQN", "Quantile-Regression DQN", "off_policy", _DISCRETE,
            "1710.10044", 2017, "DQN that learns the quantiles of every return; a strong choice for discrete actions.",
            _NOT_CONTINUOUS,
        ),
        Algorithm(
            "iqn", "IQN", "Implicit Quantile Networks", "off_policy", _DISCRETE,
            "1806.06923", 2018, "DQN that learns whole return distributions, at any quantile that is asked for.",
            _NOT_CONTINUOUS,
        ),
        Algorithm(
            "pqn", "PQN", "Parallelised Q-Network", "on_policy", _DISCRETE,
            "2407.04811", 2024, "Q-learning from many parallel environments, without replay memory or target network.",
            _NOT_CONTINUOUS,
        ),
        Algorithm(
            "r2d2", "R2D2", "Recurrent Replay Distributed DQN", "off_policy", _DISCRETE,
            "", 2019, "Q-learning with memory, from replayed sequences, for tasks that must be remembered.",
            _NOT_CONTINUOUS | {"continuous": "recurrent_sac"},
            sequences=True,
        ),
        Algorithm(
            "sac", "SAC", "Soft Actor-Critic", "off_policy", _CONTINUOUS,
            "1812.05905", 2018, "Sample-efficient continuous control with automatic exploration.",
            _NOT_DISCRETE,
        ),
        Algorithm(
            "ddpg", "DDPG", "Deep Deterministic Policy Gradient", "off_policy", _CONTINUOUS,
            "1509.02971", 2015, "The first deep actor-critic for continuous actions; simple, fast and easily unsteady.",
            _NOT_DISCRETE,
        ),
        Algorithm(
            "td3", "TD3", "Twin Delayed DDPG", "off_policy", _CONTINUOUS,
            "1802.09477", 2018, "A steady deterministic actor for continuous control; you choose its exploring noise.",
            _NOT_DISCRETE,
        ),
        Algorithm(
            "tqc", "TQC", "Truncated Quantile Critics", "off_policy", _CONTINUOUS,
            "2005.04269", 2020, "SAC with critics that predict distributions; often the best scores on locomotion.",
            _NOT_DISCRETE,
        ),
        Algorithm(
            "redq", "REDQ", "Randomized Ensembled Double Q-Learning", "off_policy", _CONTINUOUS,
            "2101.05982", 2021, "Continuous control where steps are dear: few of them, many gradient steps on each.",
            _NOT_DISCRETE,
        ),
        Algorithm(
            "modsac", "ModSAC", "Modified Soft Actor-Critic", "off_policy", _CONTINUOUS,
            "2112.05923", 2021, "SAC with more critics, whose actor waits until they are reliable.",
            _NOT_DISCRETE,
        ),
        Algorithm(
            "sac_discrete", "SAC-Discrete", "Soft Actor-Critic for Discrete Actions", "off_policy", _DISCRETE,
            "1910.07207", 2019, "SAC for discrete actions: explores by entropy instead of by chance.",
            _NOT_CONTINUOUS,
        ),
        Algorithm(
            "recurrent_td3", "Recurrent-TD3", "Recurrent Twin Delayed DDPG", "off_policy", _CONTINUOUS,
            "2110.05038", 2021, "TD3 with memory, for continuous control of what is only partly seen.",
            _NOT_DISCRETE | {"discrete": "r2d2"},
            sequences=True,
        ),
        Algorithm(
            "recurrent_sac", "Recurrent-SAC", "Recurrent Soft Actor-Critic", "off_policy", _CONTINUOUS,
            "2110.05038", 2021, "SAC with memory, for continuous control of what is only partly seen.",
            _NOT_DISCRETE | {"discrete": "r2d2"},
            sequences=True,
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
    "td3": Preset(1_000_000, {"learning_starts": 25_000}, "the code of Fujimoto et al. 2018"),
    "tqc": Preset(1_000_000, {"learning_starts": 10_000}, _ZOO),
    "redq": Preset(300_000, {}, "Chen et al. 2021, appendix"),
}

_LOOKING_BACK = {
    "num_envs": 8, "train_every": 8, "updates": 4, "batch_size": 128, "learning_rate": 2e-3, "gamma": 0.95,
    "target_every": 40, "learning_starts": 500,
}
_FOR_HINDSIGHT = f"tuned with rlcore, for hindsight={HINDSIGHT}"
_BIT_FLIP: dict[str, Preset] = {
    **dict.fromkeys(("dqn", "qrdqn", "iqn"), Preset(
        24_000, {**_LOOKING_BACK, "epsilon_end": 0.1, "epsilon_steps": 4_000}, _FOR_HINDSIGHT)),
    "rainbow": Preset(40_000, {**_LOOKING_BACK, "n_step": 1}, _FOR_HINDSIGHT),
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
                        "a2c": Preset(100_000, {
                            "horizon": 8, "optimizer": "adam", "learning_rate": 2e-3, "gamma": 0.98,
                            "gae_lambda": 0.9, "entropy_coef": 0.0,
                        }, _OURS),
                        "trpo": Preset(100_000, {"gamma": 0.98, "gae_lambda": 0.9}, _OURS),
                        "dqn": Preset(50_000, {
                            "train_every": 256, "updates": 128, "learning_rate": 2.3e-3, "target_every": 128,
                            "epsilon_end": 0.04, "epsilon_steps": 8_000, "n_step": 3, "learning_rate_steps": 50_000,
                        }, _OURS),
                        "rainbow": Preset(50_000, {
                            "learning_rate": 2e-3, "learning_rate_steps": 50_000, "target_every": 200, "v_min": 0.0,
                            "v_max": 100.0, "priority_beta_steps": 50_000,
                        }, _OURS),
                        "qrdqn": Preset(50_000, {
                            "train_every": 256, "updates": 128, "learning_rate": 2.3e-3, "target_every": 128,
                            "epsilon_end": 0.04, "epsilon_steps": 8_000, "quantiles": 10,
                        }, _ZOO),
                        "iqn": Preset(50_000, {
                            "train_every": 256, "updates": 128, "learning_rate": 2.3e-3, "target_every": 128,
                            "epsilon_end": 0.04, "epsilon_steps": 8_000, "n_step": 3, "fractions": 8,
                            "target_fractions": 8,
                        }, _ZOO),
                        "pqn": Preset(200_000, {
                            "learning_rate": 2.5e-4, "learning_rate_decay": "linear", "epsilon_steps": 50_000,
                            "q_lambda": 0.9, "epochs": 2, "normalize_reward": True,
                        }, _OURS),
                        "r2d2": Preset(50_000, {
                            "train_every": 1, "burn_in": 4, "n_step": 3, "priority_alpha": 0.6, "core": "gru",
                        }, _OURS),
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
                        "qrdqn": Preset(120_000, {
                            "train_every": 16, "updates": 8, "batch_size": 128, "learning_rate": 4e-3, "gamma": 0.98,
                            "capacity": 10_000, "target_every": 300, "epsilon_end": 0.07, "epsilon_steps": 24_000,
                            "n_step": 3,
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
                        "trpo": Preset(200_000, {"num_envs": 4, "horizon": 1024, "gamma": 0.9, "max_kl": 0.02}, _OURS),
                        "sac": Preset(20_000, {"learning_rate": 1e-3, "capacity": 20_000}, _ZOO),
                        "ddpg": Preset(20_000, {
                            "learning_rate": 1e-3, "actor_learning_rate": 1e-3, "gamma": 0.98, "tau": 0.005,
                            "capacity": 20_000,
                        }, _ZOO),
                        "td3": Preset(20_000, {"learning_rate": 1e-3, "gamma": 0.98, "capacity": 20_000}, _ZOO),
                        "tqc": Preset(20_000, {"learning_rate": 1e-3, "num_critics": 2, "capacity": 20_000}, _ZOO),
                        "redq": Preset(20_000, {
                            "learning_rate": 1e-3, "updates": 2, "policy_every": 2, "learning_starts": 1_000,
                            "capacity": 20_000, "hidden": (64, 64),
                        }, _OURS),
                        "modsac": Preset(20_000, {
                            "learning_rate": 1e-3, "num_critics": 4, "reward_scale": 0.1, "capacity": 20_000,
                            "hidden": (128, 128),
                        }, _OURS),
                    }),
        Environment("LunarLander-v3", "Lunar Lander", "Box2D", "discrete", 8, 4, 200, 1000,
                    "Land a module between two flags by firing engines.", {
                        "ppo": Preset(500_000, {
                            "num_envs": 16, "horizon": 256, "epochs": 8, "num_minibatches": 32, "learning_rate": 5e-4,
                            "learning_rate_decay": "linear", "gamma": 0.995, "entropy_coef": 0.01,
                            "normalize_obs": True, "normalize_reward": True,
                        }, _OURS),
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
                        "td3": Preset(300_000, {
                            "learning_rate": 1e-3, "gamma": 0.98, "capacity": 200_000, "learning_starts": 10_000,
                            "hidden": (400, 300),
                        }, _ZOO),
                        "tqc": Preset(500_000, {
                            "learning_rate": 7.3e-4, "tau": 0.01, "learning_starts": 10_000, "num_critics": 2,
                        }, _ZOO),
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
                        "td3": Preset(1_000_000, {
                            "learning_rate": 1e-3, "gamma": 0.98, "capacity": 200_000, "learning_starts": 10_000,
                            "hidden": (400, 300),
                        }, _ZOO),
                        "tqc": Preset(500_000, {
                            "train_every": 64, "updates": 64, "learning_rate": 7.3e-4, "gamma": 0.98, "tau": 0.02,
                            "capacity": 300_000, "learning_starts": 10_000, "hidden": (400, 300), "num_critics": 2,
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
        Environment("rlcore/CartPoleBounds-v0", "CartPole in bounds", "with costs", "discrete", 4, 2, None, 500,
                    "Balance a pole; being more than half a metre off the middle costs 1 per step.", gives_cost=True),
        Environment("rlcore/HalfCheetahVelocity-v5", "Half Cheetah with a speed limit", "with costs", "continuous",
                    17, 6, None, 1000, "Run forward; being faster than 3.2 m/s costs 1 per step.",
                    {"ppo_lagrangian": Preset(1_000_000, _MUJOCO["ppo"].config, _USUAL)}, gives_cost=True),
        Environment("rlcore/BitFlip-v0", "Bit flipping", "with goals", "discrete", 24, 8, None, 8,
                    "Flip one bit per step until all match a goal; with 8 bits the best mean return is -5.25.",
                    _BIT_FLIP, gives_goals=True, options=BitFlipOptions),
    )
}


def algorithm(name: str) -> Algorithm:
    """The catalogue's entry for an algorithm, however it is written: qrdqn, QR-DQN, QR_DQN.

    Raises:
        UnknownName: names the nearest known one.
    """
    entry = ALGORITHMS.get(name) or {_letters(known): one for known, one in ALGORITHMS.items()}.get(_letters(name))
    if entry is None:
        raise UnknownName("algorithm", name, list(ALGORITHMS))
    return entry


def _letters(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


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
    return getattr(importlib.import_module(entry.module), f"{entry.class_name}Config")  # type: ignore[no-any-return]


def agent_class(algo: str) -> Any:
    """The agent's class of an algorithm: built from (obs_space, action_space, config, *, seed, device)."""
    entry = algorithm(algo)
    return getattr(importlib.import_module(entry.module), entry.class_name)


def config_for(algo: str, env: str = "", changes: Mapping[str, Any] | None = None) -> Any:
    """An algorithm's config: its defaults, then the environment's preset, then the given changes."""
    return build(config_class(algo), {**preset(algo, env).config, **(changes or {})})


def preset(algo: str, env: str) -> Preset:
    """The settings to start from: the environment's own preset, or the algorithm's defaults."""
    listed = ENVIRONMENTS[env].presets if env in ENVIRONMENTS else {}
    return listed.get(algorithm(algo).name, Preset(200_000, {}, "the algorithm's defaults"))


def refusal(algo: str, env: str) -> str:
    """Why this algorithm cannot learn in this catalogued environment and what can; empty if it can."""
    able, place = algorithm(algo), environment(env)
    if able.needs_cost and not place.gives_cost:
        costly = " or ".join(one.id for one in ENVIRONMENTS.values() if one.gives_cost)
        return (f"{able.title} needs to be told what steps cost, info['cost'], and {place.id} does not say. "
                f"Try {costly}, or PPO.")
    if place.acts in able.acts:
        return ""
    other = ALGORITHMS[able.instead[place.acts]]
    has = "a continuous (Box)" if place.acts == "continuous" else f"a {place.acts.replace('_', '-')}"
    needs = " or ".join(sorted(kind.replace("_", "-") for kind in able.acts))
    return (f"{able.title} needs a {needs} action space, but {place.id} has {has} one. "
            f"{other.title} or PPO can do it.")


def hindsight(algo: str, env: str) -> float | None:
    """The usual share of replayed steps that pursue another goal; None where hindsight does not apply."""
    return None if no_hindsight(algo, env) else HINDSIGHT


def no_hindsight(algo: str, env: str) -> str:
    """Why this algorithm cannot use hindsight in this catalogued environment; empty if it can."""
    able, place = algorithm(algo), environment(env)
    if not place.gives_goals:
        able_places = " or ".join(one.id for one in ENVIRONMENTS.values() if one.gives_goals)
        return f"Hindsight replay needs an environment with goals, and {place.id} has none. Try {able_places}."
    if not able.looks_back:
        learns = "learns from its newest rollout alone" if able.loop == "on_policy" else "replays whole sequences"
        other = next(one for one in ALGORITHMS.values() if one.looks_back and place.acts in one.acts)
        return (f"Hindsight replay needs an algorithm that replays single steps, and {able.title} {learns}. "
                f"{other.title} can do it.")
    return ""


def option_settings(env: str) -> list[Setting]:
    """What a plan may choose of a catalogued environment, beside its id."""
    options = environment(env).options
    return [] if options is None else settings(options)


def options_for(env: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a catalogued environment, checked.

    Raises:
        ConfigError: an option that it has not, or a value out of range.
    """
    options = environment(env).options
    if options is None:
        if values:
            raise ConfigError(f"{env} has no options to choose, so {', '.join(values)} does not apply. Leave it out.")
        return {}
    checked = to_dict(build(options, values))
    return {name: checked[name] for name in values}
