"""The one list of algorithms and environments: what each supports, its paper, its presets and the score to expect.

The wizard, the copilot, the docs and the tests all read it. It imports nothing heavy, so that asking what
exists costs nothing; `algorithm(...)` and `config_of(...)` load an algorithm only when it is used.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rlcore.config import ConfigError, MissingExtra, Setting, build, check_ranges, nearest, setting, settings, to_dict

Acts = Literal["discrete", "continuous", "multi_discrete", "multi_binary"]
_ANY: frozenset[Acts] = frozenset({"discrete", "continuous", "multi_discrete", "multi_binary"})
_DISCRETE: frozenset[Acts] = frozenset({"discrete"})
_CONTINUOUS: frozenset[Acts] = frozenset({"continuous"})
_NOT_DISCRETE = {"discrete": "dqn", "multi_discrete": "ppo", "multi_binary": "ppo"}
_NOT_CONTINUOUS = {"continuous": "sac", "multi_discrete": "ppo", "multi_binary": "ppo"}

_PACKAGES = {"atari": "ale_py", "minigrid": "minigrid"}    # extra → the package whose absence means that it is missing
_NAMED = 30        # an error names what is known up to so many
HINDSIGHT = 0.8    # the usual share of replayed steps with another goal: four to one (Andrychowicz et al. 2017, §4.5)


class UnknownName(ConfigError):
    """An algorithm or environment that the catalogue does not list."""

    def __init__(self, what: str, name: str, known: list[str]):
        hint = nearest(name, known)
        listed = (f"Known: {', '.join(sorted(known))}." if len(known) <= _NAMED else
                  f"`python -m rlcore list {what}s` names all {len(known)}.")
        super().__init__(f"Unknown {what} '{name}'{hint or '.'} {listed}")


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


@dataclass(frozen=True, kw_only=True)
class ClockOptions:
    """What a plan may choose of an environment that has no time limit of its own."""

    max_episode_steps: int = setting(200, "time limit of an episode: without one, a poor policy need never end it",
                                     low=1, high=100_000, unit="steps")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class AtariOptions:
    """What a plan may choose of a game."""

    episodic_life: bool = setting(False, "end an episode with each lost life, in evaluations too")
    reward_clip: bool = setting(False, "keep only the sign of rewards, in evaluations too")
    frameskip: int = setting(4, "frames of the game that one action lasts", low=1, high=60, unit="frames")
    repeat_action_probability: float = setting(0.25, "sticky actions: how often the game repeats the action before",
                                               low=0, high=1)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Environment:
    """One environment: its spaces, the score that counts as solved, presets per algorithm."""

    id: str
    title: str
    family: Literal["classic control", "toy text", "Box2D", "MuJoCo", "MiniGrid", "Atari", "with costs", "with goals",
                    "trading, chasing"]
    acts: Acts
    obs_dim: int                   # numbers in an observation, over all its parts
    act_dim: int                   # number of actions if discrete, of dimensions if continuous
    solved_at: float | None        # mean return that counts as solved; None where nobody agreed on one
    max_steps: int | None          # time limit in env steps; None where an episode ends by itself
    summary: str
    presets: Mapping[str, Preset] = field(default_factory=dict)
    gives_cost: bool = False       # tells info["cost"]
    gives_goals: bool = False      # observations hold an achieved and a desired goal
    options: type[Any] | None = None   # of its constructor, those that a plan may choose
    always: tuple[str, ...] = ()   # of these, what a plan holds also where nobody chose it
    extra: str = ""                # the optional part that brings it: pip install "rl-copilot[extra]"
    sees: str = ""                 # an observation in words, where its count of numbers says little
    films: bool = True             # can be drawn


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
_REACHING_SAC = Preset(30_000, {
    "num_envs": 4, "train_every": 1, "updates": 4, "learning_rate": 1e-3, "gamma": 0.9, "learning_starts": 1_000,
    "hidden": (128, 128)}, _FOR_HINDSIGHT)
_REACHING: dict[str, Preset] = {
    "sac": _REACHING_SAC,
    **dict.fromkeys(("td3", "ddpg", "tqc"), Preset(
        30_000, _REACHING_SAC.config, f"those of SAC, for hindsight={HINDSIGHT}, not tuned")),
}

_HOLDING = {
    "num_envs": 8, "train_every": 2, "burn_in": 2, "sequence_length": 6, "sequence_every": 3, "learning_rate": 3e-3,
    "gamma": 0.9, "tau": 0.05, "learning_starts": 400, "hidden": (32,), "core_size": 32,
}
PROBES: dict[str, dict[str, Preset]] = {    # of environments that are too small to be listed
    "rlcore.envs.probe:Hold": {
        "recurrent_sac": Preset(20_000, _HOLDING, _OURS),
        "recurrent_td3": Preset(20_000, {**_HOLDING, "noise_std": 0.3}, _OURS),
    },
}

_HARDCORE: dict[str, Preset] = {
    "ppo": Preset(10_000_000, {
        "num_envs": 16, "horizon": 2048, "epochs": 10, "num_minibatches": 512, "learning_rate": 2.5e-4,
        "learning_rate_decay": "linear", "entropy_coef": 0.001, "normalize_obs": True, "normalize_reward": True,
    }, _ZOO),
    **dict.fromkeys(("sac", "tqc"), Preset(5_000_000, {
        "learning_rate": 7.3e-4, "tau": 0.01, "learning_starts": 10_000, "hidden": (400, 300),
    }, _ZOO)),
}
_RACING: dict[str, Preset] = {
    "ppo": Preset(4_000_000, {
        "horizon": 512, "epochs": 10, "num_minibatches": 32, "learning_rate": 1e-4, "learning_rate_decay": "linear",
        "shared": True, "hidden": (256,), "activation": "relu", "normalize_reward": True,
    }, f"{_ZOO}, not measured here"),
    **dict.fromkeys(("sac", "tqc", "td3", "ddpg", "redq", "modsac"), Preset(500_000, {
        "capacity": 50_000, "hidden": (256,)}, "the algorithm's defaults with a memory that fits, not measured here")),
}

_FROZEN_LAKE: dict[str, Preset] = {
    "ppo": Preset(300_000, {"num_envs": 16, "entropy_coef": 0.03, "learning_rate": 3e-3, "gae_lambda": 0.98}, _OURS),
    "dqn": Preset(60_000, {"epsilon_steps": 30_000, "learning_rate": 5e-4, "gamma": 0.98}, _OURS),
}
_LARGER_LAKE: dict[str, Preset] = {
    "ppo": Preset(1_000_000, _FROZEN_LAKE["ppo"].config, "the settings of FrozenLake-v1, not measured here"),
    "dqn": Preset(200_000, {**_FROZEN_LAKE["dqn"].config, "epsilon_steps": 100_000},
                  "those of FrozenLake-v1 with longer exploration, not measured here"),
}
_TAXI: dict[str, Preset] = {
    "dqn": Preset(100_000, {"epsilon_steps": 50_000, "normalize_reward": True}, _OURS),
}
_CLIFF: dict[str, Preset] = {
    "ppo": Preset(200_000, {"num_envs": 16, "entropy_coef": 0.01, "normalize_reward": True}, _OURS),
    "dqn": Preset(50_000, {"epsilon_steps": 20_000, "learning_rate": 5e-4}, _OURS),
}

_FRAMES = {"frames": 4, "capacity": 100_000, "batch_size": 32, "hidden": (512,), "normalize_reward": True,
           "epsilon_steps": 1_000_000, "epsilon_end": 0.01}
_SCALED = "rewards scaled instead of clipped"
_ATARI: dict[str, Preset] = {
    "ppo": Preset(10_000_000, {
        "learning_rate": 2.5e-4, "learning_rate_decay": "linear", "clip": 0.1, "clip_decay": "linear",
        "entropy_coef": 0.01, "shared": True, "hidden": (512,), "activation": "relu", "normalize_reward": True,
    }, f"Schulman et al. 2017, table 5, with 4 epochs and {_SCALED}"),
    "a2c": Preset(10_000_000, {
        "num_envs": 16, "value_coef": 0.25, "shared": True, "hidden": (512,), "activation": "relu",
        "normalize_reward": True,
    }, f"{_ZOO}: {_SCALED}"),
    "dqn": Preset(10_000_000, {**_FRAMES, "learning_rate": 1e-4, "learning_starts": 20_000}, f"{_ZOO}: {_SCALED}"),
    "qrdqn": Preset(10_000_000, {
        **_FRAMES, "learning_rate": 5e-5, "quantiles": 200, "target_every": 2_500, "learning_starts": 20_000,
    }, f"Dabney et al. 2017, §5, with a smaller memory and {_SCALED}"),
    "iqn": Preset(10_000_000, {
        **_FRAMES, "learning_rate": 5e-5, "fractions": 64, "target_fractions": 64, "target_every": 2_500,
        "learning_starts": 20_000,
    }, f"Dabney et al. 2018, §4, with a smaller memory and {_SCALED}"),
    "rainbow": Preset(10_000_000, {
        "frames": 4, "hidden": (512,), "normalize_reward": True, "learning_rate": 6.25e-5, "learning_starts": 20_000,
        "target_every": 2_000, "priority_beta_steps": 10_000_000,
    }, f"Hessel et al. 2017, table 1, with a smaller memory and {_SCALED}"),
    "pqn": Preset(10_000_000, {
        "num_envs": 128, "epochs": 2, "num_minibatches": 32, "learning_rate": 2.5e-4, "learning_rate_decay": "linear",
        "epsilon_end": 0.001, "epsilon_steps": 1_000_000, "hidden": (512,), "normalize_reward": True,
    }, f"Gallici et al. 2024, Atari, over fewer steps and with {_SCALED}"),
    "r2d2": Preset(10_000_000, {
        "frames": 4, "capacity": 100_000, "learning_rate": 1e-4, "learning_starts": 20_000, "target_every": 2_500,
        "hidden": (512,), "core_size": 512,
    }, "Kapturowski et al. 2019, table 2, for one machine: a small memory and short sequences"),
    "sac_discrete": Preset(1_000_000, {
        "frames": 4, "capacity": 100_000, "learning_starts": 20_000, "hidden": (512,), "normalize_reward": True,
    }, f"Christodoulou 2019, with a small memory and {_SCALED}"),
}
# Game, its name as written, how many actions it has, what is to be done: the best known first, the others by name.
_GAMES = """
Pong|Pong|6|Bring the ball past the opponent's paddle; the first with 21 points wins.
Breakout|Breakout|4|Keep a ball in play and knock the bricks out of a wall.
SpaceInvaders|Space Invaders|6|Shoot down rows of invaders from behind shields before they land.
MsPacman|Ms. Pac-Man|9|Eat all the dots of a maze and keep away from its ghosts.
Qbert|Q*bert|6|Hop over a pyramid of cubes until all have changed their colour.
Seaquest|Seaquest|18|Rescue divers, shoot sharks and surface before the air runs out.
BeamRider|Beam Rider|9|Shoot the saucers that come down five beams.
Enduro|Enduro|9|Overtake the day's number of cars, also by night and in snow.
Asterix|Asterix|9|Gather what crosses eight lanes and keep away from the lyres.
Freeway|Freeway|3|Bring a chicken over ten lanes of traffic, again and again.
Boxing|Boxing|18|Land more punches than the opponent in two minutes.
MontezumaRevenge|Montezuma's Revenge|18|Find keys in a labyrinth; points are so rare that chance finds hardly any.
Adventure|Adventure|18|Bring a chalice home past dragons; points only at the end.
AirRaid|Air Raid|6|Defend buildings against bombers.
Alien|Alien|18|Crush the eggs in a maze and keep away from the aliens.
Amidar|Amidar|10|Paint a grid's edges by walking along all of them.
Assault|Assault|7|Shoot what a mother ship sends down, and keep the gun cool.
Asteroids|Asteroids|14|Shoot rocks that drift about and break apart.
Atlantis|Atlantis|4|Defend a city with three guns.
BankHeist|Bank Heist|18|Rob the banks of town after town before the petrol runs out.
BattleZone|Battle Zone|18|Drive a tank and shoot others, seen from inside.
Berzerk|Berzerk|18|Leave mazes full of robots alive.
Bowling|Bowling|6|Knock down all ten pins; one game is an episode.
Carnival|Carnival|6|Shoot the moving targets of a shooting gallery.
Centipede|Centipede|18|Shoot a centipede that winds down between mushrooms.
ChopperCommand|Chopper Command|18|Protect lorries from the air.
CrazyClimber|Crazy Climber|9|Climb a house while windows close and things fall.
Defender|Defender|18|Keep landers from carrying people off.
DemonAttack|Demon Attack|6|Shoot demons that come in waves and split.
DoubleDunk|Double Dunk|18|Basketball, two against two; the reward is the lead.
ElevatorAction|Elevator Action|18|Collect documents floor by floor and get out.
FishingDerby|Fishing Derby|18|Catch more fish than the other angler, past the shark.
Frostbite|Frostbite|18|Build an igloo by jumping over ice floes.
Gopher|Gopher|8|Keep gophers from a bed of carrots.
Gravitar|Gravitar|18|Fly against gravity and destroy bunkers; points are rare.
Hero|H.E.R.O.|18|Blast a way down to miners who are trapped.
IceHockey|Ice Hockey|18|Two against two on ice; the reward is the lead.
Jamesbond|James Bond|18|Drive, dive and shoot through a secret agent's missions.
JourneyEscape|Journey Escape|16|Lead a rock band past fans and promoters to their car.
Kangaroo|Kangaroo|18|Climb to the young one past monkeys that throw apples.
Krull|Krull|18|Four scenes of a film, one after the other.
KungFuMaster|Kung-Fu Master|14|Fight through five floors of a temple.
NameThisGame|Name This Game|6|Guard treasure against an octopus and keep the air coming.
Phoenix|Phoenix|8|Shoot birds that swoop, then their mother ship.
Pitfall|Pitfall!|18|Swing and jump through a jungle; chance collects next to nothing but losses.
Pooyan|Pooyan|6|Shoot wolves that come down on balloons.
PrivateEye|Private Eye|18|Solve cases by car; points are rare and far apart.
Riverraid|River Raid|18|Fly up a river, shoot and refuel.
RoadRunner|Road Runner|18|Outrun a coyote and eat seeds on the way.
Robotank|Robotank|18|Command a tank in fog, rain and dark.
Skiing|Skiing|3|Ski through gates; every step costs, and missed gates are charged at the end.
Solaris|Solaris|18|Cross a galaxy to a lost planet; points are rare.
StarGunner|Star Gunner|18|Shoot flying saucers.
Tennis|Tennis|18|A set against the computer; never serving is a trap.
TimePilot|Time Pilot|10|Shoot aircraft of five ages.
Tutankham|Tutankham|8|Collect a tomb's treasures; you can shoot only sideways.
UpNDown|Up 'n Down|6|Drive over hills, collect flags and jump over cars.
Venture|Venture|18|Fetch treasures from rooms of monsters; chance gets none.
VideoPinball|Video Pinball|9|Keep a pinball in play.
WizardOfWor|Wizard of Wor|10|Shoot the monsters of a dungeon's mazes.
YarsRevenge|Yars' Revenge|18|Nibble a way through a shield and hit what it hides.
Zaxxon|Zaxxon|18|Fly through a fortress seen at an angle.
"""


def _games() -> list[Environment]:
    rows = [line.split("|") for line in _GAMES.strip().splitlines()]
    return [Environment(f"ALE/{name}-v5", title, "Atari", "discrete", 4 * 84 * 84, int(actions),
                        18 if name == "Pong" else None, 27_000, summary, _ATARI,
                        options=AtariOptions, extra="atari", sees="4 frames of 84 × 84 pixels")
            for name, title, actions, summary in rows]


_GRID = {"num_envs": 16, "num_minibatches": 8, "learning_rate": 5e-4, "entropy_coef": 0.01, "shared": True,
         "hidden": (128,)}
_ROOMS: dict[str, Preset] = {"ppo": Preset(200_000, _GRID, _OURS)}
_EMPTY_ROOMS: dict[str, Preset] = {
    "ppo": Preset(200_000, _GRID, "the settings of MiniGrid-DoorKey-5x5-v0, not measured here")}
_MORE_ROOMS: dict[str, Preset] = {"ppo": Preset(1_000_000, _GRID, "the settings of MiniGrid-DoorKey-5x5-v0")}
_RECALL: dict[str, Preset] = {"ppo": Preset(
    1_000_000, {**_GRID, "core": "gru"}, "the settings of MiniGrid-DoorKey-5x5-v0 with a memory, not measured here")}

# Level, its name as written, its time limit, what is to be done, settings: first one of each kind.
_LEVELS: tuple[tuple[str, str, int, str, dict[str, Preset]], ...] = (
    ("Empty-5x5", "Empty 5x5", 100, "Find the goal in an empty room.", _EMPTY_ROOMS),
    ("Empty-8x8", "Empty 8x8", 256, "Find the goal in a larger empty room.", _EMPTY_ROOMS),
    ("DoorKey-5x5", "DoorKey 5x5", 250, "Take the key, open the door, go to the goal.", _ROOMS),
    ("DoorKey-8x8", "DoorKey 8x8", 640, "Key, door and goal; chance rarely gets there.", _MORE_ROOMS),
    ("FourRooms", "FourRooms", 100, "Find the goal in one of four rooms.", _MORE_ROOMS),
    ("Unlock", "Unlock", 288, "Take the key and open the door.", _MORE_ROOMS),
    ("LavaGapS5", "LavaGap S5", 100, "Reach the goal through a gap in a strip of lava.", _MORE_ROOMS),
    ("LavaCrossingS9N1", "LavaCrossing S9N1", 324, "Cross a river of lava by its one bridge.", _MORE_ROOMS),
    ("SimpleCrossingS9N1", "SimpleCrossing S9N1", 324, "Get past a wall with one gap.", _MORE_ROOMS),
    ("MultiRoom-N2-S4", "MultiRoom N2-S4", 40, "Through a door into a second room.", _MORE_ROOMS),
    ("KeyCorridorS3R1", "KeyCorridor S3R1", 270, "Find the key that opens a locked room, take the ball.", _MORE_ROOMS),
    ("MemoryS7", "Memory S7", 245, "Remember an object and find its like; needs a memory.", _RECALL),
    ("Empty-16x16", "Empty 16x16", 1024, "Find the goal in a hall.", _MORE_ROOMS),
    ("DoorKey-6x6", "DoorKey 6x6", 360, "Key, door and goal in a larger room.", _MORE_ROOMS),
    ("DoorKey-16x16", "DoorKey 16x16", 2560, "Key, door and goal where chance gets nowhere.", _MORE_ROOMS),
    ("MultiRoom-N6", "MultiRoom N6", 120, "Through six rooms; chance never arrives.", _MORE_ROOMS),
    ("KeyCorridorS3R3", "KeyCorridor S3R3", 270, "The same among six rooms; chance never gets there.", _MORE_ROOMS),
    ("MemoryS13", "Memory S13", 845, "Remember an object over a longer way.", _RECALL),
)


def _levels() -> list[Environment]:
    return [Environment(f"MiniGrid-{level}-v0", title, "MiniGrid", "discrete", 7 * 7 * 3 + 4, 7, None, limit, summary,
                        presets, extra="minigrid", sees="7 × 7 cells ahead")
            for level, title, limit, summary, presets in _LEVELS]


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
                            "train_every": 256, "updates": 128, "batch_size": 64, "learning_rate": 2e-3,
                            "learning_rate_steps": 50_000, "target_every": 128, "gamma": 0.98, "v_min": 0.0,
                            "v_max": 55.0, "adam_eps": 1e-6, "priority_beta_steps": 50_000,
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
                        "sac_discrete": Preset(50_000, {
                            "train_every": 1, "n_step": 3, "target_entropy_share": 0.5,
                        }, _OURS),
                        "pqn": Preset(200_000, {
                            "learning_rate": 5e-4, "learning_rate_decay": "linear", "epsilon_steps": 50_000,
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
        Environment("FrozenLake-v1", "Frozen Lake", "toy text", "discrete", 16, 4, 0.7, 100,
                    "Cross a frozen lake without falling into its holes; the ice is slippery.", _FROZEN_LAKE,
                    sees="one of 16 places"),
        Environment("FrozenLake8x8-v1", "Frozen Lake 8x8", "toy text", "discrete", 64, 4, 0.85, 200,
                    "The same on a larger lake; chance hardly ever arrives.", _LARGER_LAKE, sees="one of 64 places"),
        Environment("Taxi-v4", "Taxi", "toy text", "discrete", 500, 6, None, 200,
                    "Pick a passenger up and bring them to one of four stands.", _TAXI, sees="one of 500 states"),
        Environment("CliffWalking-v1", "Cliff Walking", "toy text", "discrete", 48, 4, -13, None,
                    "Walk along a cliff to the goal; falling costs 100.", _CLIFF, options=ClockOptions,
                    always=("max_episode_steps",), sees="one of 48 places"),
        Environment("Blackjack-v1", "Blackjack", "toy text", "discrete", 45, 2, None, None,
                    "Draw cards up to 21 against a dealer; the best policy loses about 5 % of its stakes.", {
                        "ppo": Preset(200_000, {"num_envs": 16, "entropy_coef": 0.01, "gamma": 1.0}, _OURS),
                    }, sees="own sum, dealer's card, ace"),
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
        Environment("BipedalWalkerHardcore-v3", "Bipedal Walker (hardcore)", "Box2D", "continuous", 24, 4, 300, 2000,
                    "Walk over stumps, pits and stairs.", _HARDCORE),
        Environment("CarRacing-v3", "Car Racing", "Box2D", "continuous", 96 * 96 * 3, 3, 900, 1000,
                    "Drive a lap seen from above, on a new track each time.", _RACING, sees="96 × 96 pixels in colour"),
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
        Environment("Pusher-v5", "Pusher", "MuJoCo", "continuous", 23, 7, None, 100,
                    "Push a cylinder to a place with a seven-joint arm.", _MUJOCO),
        Environment("HumanoidStandup-v5", "Humanoid Standup", "MuJoCo", "continuous", 348, 17, None, 1000,
                    "Get a 3D humanoid up from the ground.", _MUJOCO),
        *_levels(),
        *_games(),
        Environment("rlcore/CartPoleBounds-v0", "CartPole in bounds", "with costs", "discrete", 4, 2, None, 500,
                    "Balance a pole; being more than half a metre off the middle costs 1 per step.", gives_cost=True),
        Environment("rlcore/HalfCheetahVelocity-v5", "Half Cheetah with a speed limit", "with costs", "continuous",
                    17, 6, None, 1000, "Run forward; being faster than 3.2 m/s costs 1 per step.",
                    {"ppo_lagrangian": Preset(1_000_000, _MUJOCO["ppo"].config, _USUAL)}, gives_cost=True),
        Environment("rlcore/BitFlip-v0", "Bit flipping", "with goals", "discrete", 24, 8, None, 8,
                    "Flip one bit per step until all match a goal; with 8 bits the best mean return is -5.25.",
                    _BIT_FLIP, gives_goals=True, options=BitFlipOptions),
        Environment("rlcore/ReacherGoal-v5", "Reacher with goals", "with goals", "continuous", 10, 2, None, 50,
                    "Bring an arm's tip within 2 cm of a goal; every step away from it costs 1.", _REACHING,
                    gives_goals=True),
        Environment("rlcore/StockTrading-v0", "Stock Trading", "trading, chasing", "continuous", 21, 4, None, 250,
                    "Trade four shares for a year on made-up prices; the return is the gain in percent.", {
                        "ppo": Preset(500_000, {"num_envs": 16, "gamma": 0.995, "normalize_obs": True}, _OURS)},
                    films=False),
        Environment("rlcore/PointChasing-v0", "Point Chasing", "trading, chasing", "continuous", 8, 2, None, 200,
                    "Catch a moving target with a point that has inertia.", {
                        "ppo": Preset(50_000, {"num_envs": 16, "gamma": 0.95, "learning_rate": 3e-3}, _OURS)},
                    films=False),
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
    listed = ENVIRONMENTS[env].presets if env in ENVIRONMENTS else PROBES.get(env, {})
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


def with_goals(acts: Collection[str]) -> list[str]:
    """The environments with goals for these kinds of actions."""
    return [one.id for one in ENVIRONMENTS.values() if one.gives_goals and one.acts in acts]


def no_hindsight(algo: str, env: str) -> str:
    """Why this algorithm cannot use hindsight in this catalogued environment; empty if it can."""
    able, place = algorithm(algo), environment(env)
    if not place.gives_goals:
        return (f"Hindsight replay needs an environment with goals, and {place.id} has none. "
                f"Try {' or '.join(with_goals(able.acts))}.")
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
    place = environment(env)
    if place.options is None:
        if values:
            raise ConfigError(f"{env} has no options to choose, so {', '.join(values)} does not apply. Leave it out.")
        return {}
    checked = to_dict(build(place.options, values))
    return {name: checked[name] for name in dict.fromkeys([*place.always, *values])}


def missing_extra(env: str) -> str:
    """What to install before a catalogued environment can be made, in one sentence; empty if nothing."""
    place = environment(env)
    found = not place.extra or importlib.util.find_spec(_PACKAGES[place.extra]) is not None
    return "" if found else str(MissingExtra(place.family, place.extra))
