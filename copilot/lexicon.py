"""What people call things: the field's algorithms, environments and settings, in English and Chinese.

Tables, plus the two functions that turn a name into a pattern. Names are plain text, several of them separated by
`|`; a space stands for a space, an underscore, a hyphen, a bracket or nothing. A name in capitals behind `!` counts
only in capitals, because in small letters it is an English word (HER, PER). What rlcore itself offers is not repeated
here: the catalogue's own names are always known, and its entry decides wherever both have one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

Acts = Literal["discrete", "continuous"]
DISCRETE, CONTINUOUS = frozenset({"discrete"}), frozenset({"continuous"})
ANY = DISCRETE | CONTINUOUS


@cache
def pattern(names: str, prefix: str = "", suffix: str = "") -> re.Pattern[str]:
    """What matches any of the names, longest first; ASCII edges must be word edges, Chinese ones need not be."""
    found = []
    for name in sorted((part.strip() for part in names.split("|")), key=len, reverse=True):
        body = r"[\s_(-]*".join(re.escape(word) for word in name.lstrip("!").split())
        body = f"(?-i:{body})" if name.startswith("!") else body
        before = r"(?<![a-z0-9_])" if name[0].isascii() else ""
        after = r"(?![a-z0-9_])" if name[-1].isascii() else ""
        found.append(before + prefix + body + suffix + after)
    return re.compile("|".join(found), re.IGNORECASE)


def spoken(name: str) -> str:
    """An identifier as words: `HalfCheetah` → `Half Cheetah`, `simple_spread` → `simple spread`."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\sA-Za-z0-9_-]+", name))


@dataclass(frozen=True)
class KnownAlgorithm:
    """An algorithm of the field: how it is called, what its mathematics allows, which others are near."""

    title: str
    names: str
    acts: frozenset[str] = ANY
    like: tuple[str, ...] = ("ppo",)
    agents: bool = False    # trains several agents together


# Keys are the names that rlcore gives or would give them.
ALGORITHMS: dict[str, KnownAlgorithm] = {
    "ppo": KnownAlgorithm("PPO",
        "PPO2 | PPO clip | proximal policy optimization | recurrent PPO | PPO LSTM | LSTM PPO | PPO GRU | GRU PPO | "
        "maskable PPO | 近端策略优化"),
    "ppo_lagrangian": KnownAlgorithm("PPO-Lagrangian",
        "PPO lag | lagrangian PPO | constrained PPO | safe PPO | PPO拉格朗日 | 拉格朗日PPO | 约束PPO"),
    "cpo": KnownAlgorithm("CPO", "!CPO | constrained policy optimization", ANY, ("ppo_lagrangian", "ppo")),
    "dqn": KnownAlgorithm("DQN",
        "DDQN | D3QN | C51 | categorical DQN | distributional DQN | deep q | deep q learning | deep q network | "
        "deep q networks | 双DQN | 双重DQN | 深度Q网络 | 深度Q学习", DISCRETE, ("dqn", "ppo")),
    "sac": KnownAlgorithm("SAC", "soft actor critic | 柔性演员评论家 | 软演员评论家", CONTINUOUS, ("sac",)),
    "sac_discrete": KnownAlgorithm("Discrete SAC",
        "discrete SAC | SAC discrete | discrete soft actor critic | SACD | SAC离散 | 离散SAC | 离散版SAC | "
        "离散动作SAC", DISCRETE, ("dqn",)),
    "a2c": KnownAlgorithm("A2C",
        "A2C | advantage actor critic | actor critic | recurrent A2C | A2C LSTM | LSTM A2C | 优势演员评论家 | "
        "演员评论家"),
    "a3c": KnownAlgorithm("A3C", "A3C | asynchronous advantage actor critic", ANY, ("a2c", "ppo")),
    "reinforce": KnownAlgorithm("REINFORCE",
        "!REINFORCE | !VPG | vanilla policy gradient | 朴素策略梯度", ANY, ("a2c", "ppo")),
    "trpo": KnownAlgorithm("TRPO", "TRPO | trust region policy optimization | 信赖域策略优化"),
    "ppg": KnownAlgorithm("PPG", "PPG | phasic policy gradient"),
    "impala": KnownAlgorithm("IMPALA", "IMPALA | v trace"),
    "appo": KnownAlgorithm("APPO", "APPO | asynchronous PPO"),
    "acktr": KnownAlgorithm("ACKTR", "ACKTR", ANY, ("trpo", "ppo")),
    "acer": KnownAlgorithm("ACER", "ACER", ANY, ("a2c", "ppo")),
    "daac": KnownAlgorithm("DAAC", "DAAC"),
    "drac": KnownAlgorithm("DrAC", "DrAC"),
    "q_learning": KnownAlgorithm("tabular Q-learning",
        "q learning | tabular q learning | q table | Q学习 | Q表", DISCRETE, ("dqn",)),
    "sarsa": KnownAlgorithm("SARSA", "SARSA", DISCRETE, ("dqn",)),
    "rainbow": KnownAlgorithm("Rainbow", "rainbow | rainbow DQN", DISCRETE, ("dqn",)),
    "qrdqn": KnownAlgorithm("QR-DQN", "QR DQN | quantile DQN | quantile regression DQN | 分位数回归DQN",
        DISCRETE, ("dqn",)),
    "iqn": KnownAlgorithm("IQN", "IQN | implicit quantile network | implicit quantile networks | 隐式分位数网络",
        DISCRETE, ("dqn",)),
    "fqf": KnownAlgorithm("FQF", "FQF | fully parameterized quantile function", DISCRETE, ("iqn", "dqn")),
    "r2d2": KnownAlgorithm("R2D2",
        "R2D2 | DRQN | recurrent DQN | DQN LSTM | LSTM DQN | DQN GRU | GRU DQN | recurrent q learning | "
        "deep recurrent q learning | deep recurrent q network | 循环DQN", DISCRETE, ("dqn",)),
    "pqn": KnownAlgorithm("PQN", "PQN | parallelized q network", DISCRETE, ("dqn",)),
    "ddpg": KnownAlgorithm("DDPG",
        "DDPG | deep deterministic policy gradient | 深度确定性策略梯度", CONTINUOUS, ("sac",)),
    "td3": KnownAlgorithm("TD3", "TD3 | twin delayed DDPG | 双延迟DDPG", CONTINUOUS, ("sac",)),
    "tqc": KnownAlgorithm("TQC", "TQC | truncated quantile critics", CONTINUOUS, ("sac",)),
    "recurrent_td3": KnownAlgorithm("Recurrent-TD3",
        "recurrent TD3 | TD3 LSTM | LSTM TD3 | TD3 GRU | GRU TD3 | RTD3 | 循环TD3", CONTINUOUS, ("td3",)),
    "recurrent_sac": KnownAlgorithm("Recurrent-SAC",
        "recurrent SAC | SAC LSTM | LSTM SAC | SAC GRU | GRU SAC | RSAC | 循环SAC", CONTINUOUS, ("sac",)),
    "rdpg": KnownAlgorithm("RDPG", "RDPG | recurrent DDPG | recurrent deterministic policy gradient", CONTINUOUS,
        ("recurrent_td3", "sac")),
    "redq": KnownAlgorithm("REDQ", "REDQ | randomized ensembled double q learning", CONTINUOUS, ("sac",)),
    "droq": KnownAlgorithm("DroQ", "DroQ", CONTINUOUS, ("redq", "sac")),
    "crossq": KnownAlgorithm("CrossQ", "CrossQ", CONTINUOUS, ("sac",)),
    "d4pg": KnownAlgorithm("D4PG", "D4PG", CONTINUOUS, ("ddpg", "sac")),
    "modsac": KnownAlgorithm("ModSAC", "ModSAC | reliable SAC", CONTINUOUS, ("sac",)),
    "drqv2": KnownAlgorithm("DrQ-v2", "DrQ v2 | DrQ", CONTINUOUS, ("td3", "sac")),
    "mpo": KnownAlgorithm("MPO", "!MPO | V MPO", ANY, ("sac", "ppo")),
    "ars": KnownAlgorithm("ARS", "!ARS | augmented random search"),
    "es": KnownAlgorithm("evolution strategies", "evolution strategies | CMA ES | OpenAI ES"),
    "bc": KnownAlgorithm("BC", "!BC | behavior cloning | 行为克隆", ANY, ("sac", "ppo")),
    "gail": KnownAlgorithm("GAIL", "GAIL | AIRL"),
    "cql": KnownAlgorithm("CQL", "CQL | conservative q learning", ANY, ("sac", "dqn")),
    "iql": KnownAlgorithm("IQL", "IQL | implicit q learning", ANY, ("sac", "dqn")),
    "td3bc": KnownAlgorithm("TD3+BC", "TD3 BC | TD3+BC", CONTINUOUS, ("td3", "sac")),
    "awac": KnownAlgorithm("AWAC", "AWAC | AWR", ANY, ("sac", "ppo")),
    "bcq": KnownAlgorithm("BCQ", "BCQ", ANY, ("sac", "dqn")),
    "decision_transformer": KnownAlgorithm("Decision Transformer", "decision transformer"),
    "muzero": KnownAlgorithm("MuZero", "MuZero | EfficientZero | AlphaZero | AlphaGo", DISCRETE, ("dqn",)),
    "dreamer": KnownAlgorithm("Dreamer", "Dreamer | DreamerV2 | DreamerV3 | Dreamer v3"),
    "mbpo": KnownAlgorithm("MBPO", "MBPO", CONTINUOUS, ("redq", "sac")),
    "grpo": KnownAlgorithm("GRPO", "GRPO | group relative policy optimization"),
    "dpo": KnownAlgorithm("DPO", "DPO | direct preference optimization"),
    "qmix": KnownAlgorithm("QMIX", "QMIX", DISCRETE, ("dqn",), agents=True),
    "vdn": KnownAlgorithm("VDN", "VDN", DISCRETE, ("dqn",), agents=True),
    "coma": KnownAlgorithm("COMA", "!COMA", DISCRETE, agents=True),
    "maddpg": KnownAlgorithm("MADDPG", "MADDPG | MATD3", ANY, ("sac", "ppo"), agents=True),
    "mappo": KnownAlgorithm("MAPPO", "MAPPO | IPPO | multi agent PPO | 多智能体PPO", agents=True),
    "mat": KnownAlgorithm("MAT", "!MAT | multi agent transformer", agents=True),
}


@dataclass(frozen=True)
class Variant:
    """Something added to an algorithm: a setting where rlcore has it, otherwise refused or noted."""

    title: str              # with `{}` for the algorithm where leaving it out would make another algorithm
    names: str
    setting: str            # the rlcore setting that switches it on, where an algorithm has it
    value: object = True
    of: frozenset[str] = frozenset()    # an addition to these algorithms alone; empty: to any

    @property
    def essential(self) -> bool:
        """Whether leaving it out would train another algorithm than the one asked for."""
        return "{}" in self.title


_Q_LEARNING = frozenset({"dqn", "rainbow", "qrdqn", "iqn", "r2d2", "pqn"})
_MEMORY = Variant("recurrent {}",
    "recurrent | recurrent PPO | recurrent A2C | RNN | 循环网络 | 循环神经网络 | 循环", "core", "lstm")
HINDSIGHT = Variant("{}+HER",
    "!HER | hindsight | hindsight replay | hindsight experience replay | 事后经验回放 | 后见经验回放", "hindsight")
VARIANTS: tuple[Variant, ...] = (
    Variant("Double {}",
        "double | double DQN | double q | DDQN | D3QN | 双DQN | 双重DQN | 双Q | 双重Q", "double", of=_Q_LEARNING),
    Variant("Dueling {}", "dueling | duelling | D3QN | 对决网络 | 竞争网络", "dueling", of=_Q_LEARNING),
    Variant("Noisy {}",
        "noisy | noisy nets | noisy net | noisy networks | noisy layers | noisy DQN | 噪声网络", "noisy",
        of=_Q_LEARNING),
    Variant("C51 {}", "C51 | categorical | categorical DQN | distributional | distributional DQN", "atoms", 51,
        frozenset({"dqn", "rainbow"})),
    _MEMORY,
    Variant("recurrent {}",
        "LSTM | PPO LSTM | LSTM PPO | A2C LSTM | LSTM A2C | DQN LSTM | LSTM DQN | TD3 LSTM | LSTM TD3 | SAC LSTM | "
        "LSTM SAC", "core", "lstm"),
    Variant("recurrent {}", "GRU | PPO GRU | GRU PPO | DQN GRU | GRU DQN | TD3 GRU | GRU TD3 | SAC GRU | GRU SAC",
        "core", "gru"),
    Variant("transformer {}", "transformer | transformers | GTrXL | attention memory", "core", "transformer"),
    Variant("masked {}",
        "action masking | action mask | action masks | maskable | maskable PPO | invalid action masking | 动作掩码 | "
        "动作屏蔽", "action_mask"),
    Variant("{}+PER",
        "!PER | prioritized | prioritized replay | prioritized experience replay | prioritized buffer | 优先经验回放 | "
        "优先级经验回放 | 优先回放", "prioritized"),
    HINDSIGHT,
    Variant("{}+ICM", "ICM | intrinsic curiosity | intrinsic curiosity module | curiosity | 好奇心", "bonus", "icm"),
    Variant("{}+RND", "RND | random network distillation | 随机网络蒸馏", "bonus", "rnd"),
    Variant("{}+NGU", "NGU | never give up", "bonus", "ngu"),
    Variant("{}+RIDE", "!RIDE", "bonus", "ride"),
    Variant("{}+RE3", "RE3", "bonus", "re3"),
    Variant("self-play {}", "self play | 自博弈 | 自我对弈", "self_play"),
    Variant("a falling learning rate",
        "linear decay | linearly decayed | linearly decaying | linear schedule | linear annealing | "
        "linear learning rate | linear lr | linearly annealed | annealed | anneal | annealing | lr decay | "
        "lr schedule | learning rate decay | learning rate schedule | learning rate annealing | "
        "decay the learning rate | decay the lr | 线性衰减 | 线性下降 | 线性递减 | 线性退火 | 线性学习率 | "
        "学习率衰减 | 学习率下降 | 学习率退火 | 学习率线性衰减 | 学习率线性下降", "learning_rate_decay", "linear"),
    Variant("a constant learning rate",
        "constant lr | constant learning rate | fixed learning rate | fixed lr | no lr decay | 固定学习率 | "
        "恒定学习率", "learning_rate_decay", "constant"),
    Variant("normalised observations",
        "normalize obs | normalized obs | normalize observations | normalized observations | "
        "observation normalization | obs norm | VecNormalize | 观测归一化 | 归一化观测 | 状态归一化 | 观察归一化",
        "normalize_obs"),
    Variant("normalised rewards",
        "normalize reward | normalize rewards | normalized rewards | reward normalization | reward scaling | "
        "VecNormalize | 奖励归一化 | 归一化奖励", "normalize_reward"),
    Variant("episodes of single lives",
        "episodic life | terminal on life loss | life loss | one life per episode | 每条命一个回合", "episodic_life"),
    Variant("clipped rewards",
        "reward clip | reward clipping | clip rewards | clip the rewards | clipped rewards | 奖励裁剪 | 裁剪奖励",
        "reward_clip"),
    Variant("n-step returns",
        "n step returns | n step DQN | n step q learning | multi step | multi step returns | multi step DQN | "
        "多步回报 | 多步", "n_step", 3),
    Variant("the KL penalty", "KL penalty | adaptive KL | adaptive KL penalty | KL惩罚", "surrogate", "kl_penalty"),
    Variant("PopArt", "PopArt | pop art", "normalize_value", "popart"),
    Variant("Ornstein-Uhlenbeck noise", "Ornstein Uhlenbeck | OU noise | OU噪声", "exploration", "ornstein_uhlenbeck"),
    Variant("bfloat16", "bfloat16 | bf16", "precision", "bfloat16"),
    Variant("gSDE", "gSDE | SDE | use SDE | state dependent exploration", "state_dependent_noise"),
    Variant("convolutional networks", "CnnPolicy | CNN | convolutional | 卷积", "encoder", "cnn"),
)


# What an algorithm always has, as settings of others.
INCLUDED: dict[str, frozenset[str]] = {
    "rainbow": frozenset({"double", "dueling", "noisy", "prioritized", "atoms", "n_step"}),
    "r2d2": frozenset({"double", "prioritized", "n_step", "core"}),
    "recurrent_td3": frozenset({"core"}),
    "recurrent_sac": frozenset({"core"}),
    "qrdqn": frozenset({"double"}),
    "iqn": frozenset({"double"}),
}
USUAL_MEMORY = _MEMORY    # names no core: an algorithm that always has one keeps its own
# With memory, these are algorithms of their own.
RECURRENT = {"dqn": "r2d2", "td3": "recurrent_td3", "sac": "recurrent_sac"}
# Additions that are options of `rl.train` and not in a plan, or not everywhere → why, and how else.
RUN_OPTIONS: dict[str, str] = {
    "action_mask": 'No bundled environment says which actions are legal; where one does, in info["action_mask"], '
                   "rl.train(…, action_mask=True) lets the agent choose among them alone.",
    "hindsight": "In any environment with goals, rl.train(…, hindsight=0.8) has hindsight replay for algorithms that "
                 "replay single steps.",
}


@dataclass(frozen=True)
class Family:
    """Environments of the field that may not be bundled: what they need and what comes nearest."""

    title: str
    names: str                 # identifiers separated by spaces; one also stands for the ids that begin with it
    like: str                  # the bundled environment to offer instead
    acts: frozenset[str] = DISCRETE
    goal: bool = False         # observations carry an achieved and a desired goal
    agents: bool = False       # several agents at once
    extra: str = ""            # what brings them for `rl.train`: pip install "rl-copilot[extra]"


FAMILIES: tuple[Family, ...] = (
    Family("Atari", "ALE", "ALE/Pong-v5", extra="atari"),
    Family("MinAtar", "MinAtar", "LunarLander-v3"),
    Family("Gymnasium-Robotics",
        "FetchReach FetchPush FetchSlide FetchPickAndPlace HandReach HandManipulateBlock HandManipulateEgg "
        "HandManipulatePen PointMaze AntMaze AdroitHand FrankaKitchen PandaReach PandaPush",
        "rlcore/ReacherGoal-v5", CONTINUOUS, goal=True),
    Family("MiniGrid",
        "MiniGrid BabyAI ObstructedMaze DynamicObstacles LockedRoom RedBlueDoors UnlockPickup BlockedUnlockPickup "
        "GoToDoor GoToObject PutNear DistShift", "MiniGrid-DoorKey-5x5-v0", extra="minigrid"),
    Family("Procgen", "Procgen CoinRun StarPilot BigFish", "LunarLander-v3", extra="envpool"),
    Family("VizDoom", "VizDoom Doom", "LunarLander-v3"),
    Family("Crafter", "Crafter NetHack MineRL Minecraft", "LunarLander-v3"),
    Family("DeepMind Control",
        "cheetah_run walker_walk walker_run walker_stand hopper_hop hopper_stand humanoid_walk humanoid_run "
        "cartpole_swingup cartpole_balance pendulum_swingup ball_in_cup finger_spin reacher_easy reacher_hard "
        "quadruped_walk quadruped_run DMControl", "HalfCheetah-v5", CONTINUOUS, extra="envpool"),
    Family("Safety-Gymnasium", "SafetyGym SafetyPointGoal1 SafetyCarGoal1 SafetyPointButton1 SafetyAntVelocity",
        "rlcore/HalfCheetahVelocity-v5", CONTINUOUS),
    Family("Meta-World", "MetaWorld", "Reacher-v5", CONTINUOUS),
    Family("Isaac", "IsaacGym IsaacLab Brax", "Ant-v5", CONTINUOUS),
    Family("trading", "FinRL", "rlcore/StockTrading-v0", CONTINUOUS),
    Family("offline data sets", "Minari D4RL", "HalfCheetah-v5", CONTINUOUS),
    Family("MPE",
        "simple_spread simple_tag simple_adversary simple_reference simple_speaker_listener simple_push "
        "simple_crypto simple_world_comm MPE", "CartPole-v1", ANY, agents=True),
    Family("PettingZoo",
        "PettingZoo Pistonball Multiwalker Waterworld KnightsArchersZombies TicTacToe ConnectFour Gomoku Chess "
        "LiarsDice Overcooked Hanabi", "CartPole-v1", agents=True),
    Family("StarCraft", "SMAC SMACv2 StarCraft", "LunarLander-v3", agents=True),
    Family("Google Research Football", "GRF gfootball GoogleFootball", "LunarLander-v3", agents=True),
    Family("other games", "SuperMarioBros Mario FlappyBird Tetris Snake Sonic", "LunarLander-v3"),
    Family("language tasks", "GSM8K RLHF LLM", "CartPole-v1"),
)

# What stands for a whole collection → the environment that it is begun with.
COLLECTIONS: dict[str, str] = {"Atari": "ALE/Pong-v5", "ALE": "ALE/Pong-v5", "MiniGrid": "MiniGrid-DoorKey-5x5-v0"}

# Identifier without version → further names.
ENV_NAMES: dict[str, str] = {
    "CartPole": "pole balancing | 车杆 | 小车杆 | 推车杆 | 平衡杆 | 小车倒立摆 | 小车平衡",
    "Acrobot": "双连杆 | 体操机器人",
    "MountainCar": "山地车 | 爬山小车 | 小车爬山 | 小车上山 | 登山车",
    "MountainCarContinuous": "连续山地车 | 连续爬山小车",
    "Pendulum": "inverted pendulum swingup | inverted pendulum swing up | 倒立摆 | 单摆 | 钟摆",
    "LunarLander": "moon lander | 登月 | 登月器 | 登月小艇 | 月球着陆 | 月球着陆器 | 月球登陆 | 月球登陆器",
    "BipedalWalker": "bipedal | 双足步行 | 双足行走 | 双足机器人 | 两足行走",
    "HalfCheetah": "cheetah | 猎豹 | 半猎豹",
    "Walker2d": "walker",
    "Ant": "蚂蚁 | 四足蚂蚁",
    "ReacherGoal": "goal reacher | reacher with a goal | reacher with goals | goal-conditioned reacher",
    "BitFlip": "bit flipping env | bit flipping environment | flip bits | flipping bits | 比特翻转 | 位翻转 | 翻转比特",
    "Hopper": "单腿跳 | 单足跳 | 单腿跳跃",
    "Humanoid": "人形机器人 | 人形",
    "Swimmer": "游泳者",
    "InvertedDoublePendulum": "double inverted pendulum | 二级倒立摆 | 双倒立摆",
    "Atari": "雅达利",
    "DMControl": "dmc | DeepMind control | DeepMind control suite",
    "BipedalWalkerHardcore": "hardcore bipedal walker | bipedal walker hardcore",
    "CarRacing": "赛车",
    "FrozenLake": "frozen lake 4x4 | 冰湖 | 冰冻湖",
    "Blackjack": "二十一点 | 21点",
    "StockTrading": "trading stocks | 股票交易",
    "PointChasing": "chasing a point | 追逐目标",
    "MiniGrid-DoorKey-5x5": "door key | mini grid door key",
    "MiniGrid-Empty-5x5": "mini grid empty",
    "MiniGrid-FourRooms": "four rooms",
    "MiniGrid-MultiRoom-N2-S4": "multi room | mini grid multi room",
    "MiniGrid-KeyCorridorS3R1": "key corridor | mini grid key corridor",
    "MiniGrid-LavaCrossingS9N1": "lava crossing | mini grid lava crossing",
    "MiniGrid-LavaGapS5": "lava gap | mini grid lava gap",
    "MiniGrid-SimpleCrossingS9N1": "simple crossing | mini grid simple crossing",
    "MiniGrid-MemoryS7": "mini grid memory",
    "Taxi": "出租车",
    "CliffWalking": "悬崖漫步 | 悬崖行走",
    "Breakout": "打砖块",
    "Pong": "乒乓球 | 乒乓",
    "SpaceInvaders": "太空侵略者",
    "MsPacman": "pacman | 吃豆人 | 吃豆小姐",
    "MontezumaRevenge": "montezuma | 蒙特祖玛的复仇 | 蒙特祖马的复仇 | 蒙特祖玛",
    "Enduro": "耐力赛车",
    "Freeway": "小鸡过马路",
    "SuperMarioBros": "马里奥 | 超级马里奥",
    "Snake": "贪吃蛇",
    "Tetris": "俄罗斯方块",
    "Gomoku": "五子棋",
    "StarCraft": "星际争霸 | 星际",
}
# These count only if nothing clearer is named: 倒立摆 beside CartPole, a collection beside one of its members, a game
# whose name is a common word.
WEAK_ENV_NAMES = frozenset(
    {"倒立摆", "MPE", "PettingZoo", "Minari", "D4RL", "DMControl", "Procgen", *COLLECTIONS, "Adventure", "Alien",
     "Assault", "Carnival", "Defender", "Hero", "Phoenix", "Venture"})

# A setting's further names; rlcore's own are always known. Where an algorithm has no such setting, the plan says so.
SETTINGS: dict[str, str] = {
    "learning_rate": "lr | learning rate | step size | actor lr | critic lr | learning rate start | lr decay from | "
                     "learning rate decay from | lr schedule from | lr annealed from | learning rate annealed from | "
                     "lr decaying from | learning rate decaying from | 学习率 | 步长",
    "num_envs": (
        "num envs | n envs | num env | n env | nenvs | num environments | number of envs | number of environments | "
        "number of parallel environments | n parallel envs | num workers | n rollout threads | 环境数 | 环境数量 | "
        "环境个数 | 并行环境数 | 并行数"
    ),
    "env_steps": (
        "env steps | environment steps | total timesteps | total steps | total env steps | n timesteps | "
        "num timesteps | max steps | number of steps | number of timesteps | training steps | train steps | "
        "step budget | 总步数 | 训练步数 | 环境步数 | 总时间步"
    ),
    "seed": "seed | random seed | rng seed | 种子 | 随机种子",
    "gamma": "gamma | γ | discount | discount factor | 折扣 | 折扣因子 | 折扣率",
    "gae_lambda": "gae lambda | gae lam | gae | lambda | lam | λ",
    "batch_size": (
        "batch size | batch | minibatch size | mini batch size | batches of | minibatches of | 批大小 | 批量大小 | "
        "批次大小 | 批量"
    ),
    "num_minibatches": (
        "num minibatches | n minibatches | nminibatches | num mini batch | num mini batches | "
        "number of minibatches | 小批量数 | 小批次数 | 小批数"
    ),
    "epochs": (
        "n epochs | num epochs | update epochs | ppo epochs | noptepochs | number of epochs | 更新轮数 | 迭代轮数"
    ),
    "horizon": (
        "horizon | n steps | num steps | nsteps | rollout steps | rollout length | rollout size | unroll length | "
        "rollout | steps per env | steps per environment | steps per rollout | steps per update | "
        "steps per iteration | 采样步数 | 采样长度 | 轨迹长度"
    ),
    "clip": (
        "clip | clip range | clip coef | clip param | clip eps | clip epsilon | clip ratio | eps clip | clipping | "
        "clipping range | clipping parameter | 裁剪 | 裁剪系数 | 裁剪范围 | 截断系数 | 裁剪参数"
    ),
    "value_coef": (
        "vf coef | value coef | value coefficient | value loss coef | value loss weight | critic coef | 价值系数 | "
        "值函数系数"
    ),
    "entropy_coef": (
        "ent coef | entropy coef | entropy coefficient | entropy weight | entropy bonus | entropy | 熵系数 | "
        "熵权重 | 熵正则 | 熵"
    ),
    "max_grad_norm": (
        "max grad norm | gradient clipping | gradient clip | grad clip | clip grad | grad norm | 梯度裁剪"
    ),
    "target_kl": "target kl | kl target | kl limit | max kl",
    "max_kl": (
        "max kl | kl bound | max kl divergence | trust region | trust region size | target kl | kl target | kl limit"
    ),
    "cost_limit": "cost limit | cost budget | cost threshold | max cost | 成本上限 | 代价上限",
    "q_lambda": "q lambda | td lambda | lambda | λ",
    "core_size": (
        "core size | lstm size | lstm hidden size | lstm units | gru size | gru hidden size | gru units | rnn size | "
        "rnn hidden size | rnn hidden dim"
    ),
    "sequence_length": "sequence length | seq len | seq length | bptt length | bptt | 序列长度",
    "burn_in": "burn in | burn in length",
    "actor_learning_rate": "actor lr | actor learning rate | policy lr | pi lr",
    "noise_std": (
        "noise std | exploration noise | action noise | expl noise | exploration std | sigma | noise sigma | "
        "探索噪声 | 动作噪声"
    ),
    "target_noise": "target noise | policy noise | target policy noise | 目标噪声",
    "target_noise_clip": "target noise clip | noise clip",
    "policy_every": "policy every | policy delay | policy freq | policy frequency | actor delay | 策略延迟",
    "num_critics": "num critics | n critics | number of critics | critic ensemble size | ensemble size",
    "num_quantiles": "num quantiles | n quantiles | number of quantiles",
    "quantiles": "num quantiles | n quantiles | number of quantiles | 分位数",
    "dropped_quantiles": "dropped quantiles | top quantiles to drop | top quantiles to drop per net",
    "atoms": "num atoms | n atoms | number of atoms | 原子数",
    "v_min": "v min | vmin",
    "v_max": "v max | vmax",
    "target_entropy": "target entropy | 目标熵",
    "reward_scale": "reward scale | 奖励缩放",
    "dual_clip": "dual clip | dual clip coef",
    "value_clip": "value clip | clip range vf | vf clip | value clipping",
    "capacity": (
        "capacity | buffer size | buffer | replay buffer | replay size | replay buffer size | replay memory | "
        "replay capacity | memory | memory size | memory capacity | buffer capacity | 经验池 | 经验池大小 | 缓冲区 | "
        "缓冲区大小 | 回放池 | 回放缓冲区 | 经验回放大小"
    ),
    "learning_starts": (
        "learning starts | learning start | warmup | warm up | warmup steps | warm up steps | start steps | "
        "random steps | initial random steps | 预热 | 预热步数 | 起始步数 | 随机步数"
    ),
    "tau": "tau | τ | polyak | soft update | soft update tau | target tau | 软更新 | 软更新系数",
    "target_every": (
        "target update interval | target network frequency | target update frequency | target update every | "
        "update target every | target network update interval | target update | 目标网络更新间隔 | 目标网络更新频率"
    ),
    "train_every": "train freq | train frequency | train every | update every | train interval | 训练频率 | 训练间隔",
    "updates": "gradient steps | updates per step | utd | utd ratio | update to data ratio | replay ratio | 梯度步数",
    "epsilon_start": (
        "epsilon start | eps start | start epsilon | start e | initial epsilon | exploration initial eps"
    ),
    "epsilon_end": (
        "epsilon end | eps end | end epsilon | end e | final epsilon | exploration final eps | epsilon min | "
        "min epsilon | 最小探索率"
    ),
    "epsilon_steps": "epsilon decay | epsilon decay steps | eps decay | exploration steps",
    "alpha": "alpha | α",
    "temperature": "temperature | 温度 | 温度系数",
    "priority_alpha": "priority alpha | per alpha",
    "priority_beta": "priority beta | per beta | beta | β",
    "hidden": (
        "hidden | hidden sizes | hidden size | hidden layers | hidden units | hidden dims | hidden dim | net arch | "
        "mlp layers | 隐藏层 | 隐层 | 网络结构"
    ),
    "activation": "activation | activation function | 激活函数",
    "log_std": "log std init | init log std",
    "target_return": (
        "target return | target reward | target score | reward threshold | return threshold | stop reward | "
        "目标回报 | 目标奖励 | 目标分数 | 目标得分"
    ),
    "evaluate_episodes": (
        "evaluation episodes | eval episodes | n eval episodes | num eval episodes | test episodes | "
        "evaluate episodes | 评估回合 | 评估回合数 | 测试回合 | 测试回合数 | 评估局数"
    ),
    "num_episodes": "num episodes | n episodes | max episodes | total episodes | number of episodes | 回合数 | 局数",
    "num_seeds": "num seeds | n seeds | number of seeds",
    "n_step": "n step | n step return | n step returns | nstep | multi step",
    "frame_stack": "frame stack | frame stacking | framestack | n stack | stack | 帧堆叠 | 堆叠帧",
    "frameskip": "frame skip | frameskip | action repeat | frames skipped | 跳帧 | 帧跳 | 帧跳过",
    "repeat_action_probability": (
        "sticky actions | sticky action | sticky action probability | sticky | repeat action probability | "
        "stickiness | 粘性动作"
    ),
    "evaluate_every": (
        "eval freq | eval interval | eval every | evaluate every | evaluation interval | evaluation frequency | "
        "test every | 评估间隔 | 评估频率"
    ),
    "patience": "patience | early stopping patience | 耐心 | 早停耐心",
    "bits": (
        "bit | num bits | n bits | number of bits | bit length | string length | bit string length | of length | "
        "dimensional | 比特 | 比特数 | 个比特 | 个位 | 位数 | 位"
    ),
    "max_episode_steps": "max episode steps | episode limit | time limit | 时间限制",
    "hindsight": "hindsight share | hindsight ratio | HER ratio | HER share | share of hindsight",
    "save_every": "save freq | save every | checkpoint every | checkpoint interval | 保存间隔",
}

# What pages call a setting where its own name, read aloud, is not that.
CALLED: dict[str, str] = {
    "num_envs": "number of parallel environments",
    "env_steps": "training steps",
    "gamma": "discount factor gamma",
    "epochs": "epochs per update",
    "horizon": "rollout length, horizon",
    "clip": "clip range",
    "value_coef": "value coefficient",
    "entropy_coef": "entropy coefficient",
    "max_grad_norm": "gradient clipping, max grad norm",
    "noise_std": "std of the exploration noise",
    "policy_every": "policy delay",
    "capacity": "replay buffer size, capacity",
    "learning_starts": "learning starts (warm-up)",
    "tau": "soft target update tau",
    "target_every": "target network update interval",
    "train_every": "steps between updates",
    "updates": "updates per step (update-to-data ratio)",
    "epsilon_start": "epsilon schedule",
    "epsilon_end": "epsilon schedule",
    "epsilon_steps": "epsilon decay",
    "hidden": "hidden layers, network size",
    "evaluate_every": "evaluation interval",
}

# Nouns behind a number: "8 envs", "10万步".
COUNTS: dict[str, str] = {
    "num_envs": (
        "envs | env | environments | environment | workers | actors | processes | threads | 环境 | 并行 | 进程 | "
        "线程"
    ),
    "env_steps": (
        "steps | step | timesteps | time steps | frames | interactions | transitions | env steps | "
        "environment steps | training steps | train steps | total timesteps | total steps | 步 | 步数 | 时间步 | 帧"
    ),
    "epochs": "epochs | epoch | passes",
    "num_minibatches": "minibatches | mini batches | 小批量 | 小批次",
    "num_episodes": "episodes | episode | games | 回合 | 局 | 轮",
    "frame_stack": "frames stacked | stacked frames | 堆叠帧",
    "n_step": (
        "step return | step returns | step target | step targets | step TD | step bootstrapping | step q learning | "
        "步回报 | 步自举"
    ),
    "num_seeds": "seeds | random seeds | runs | 个种子 | 个随机种子 | 个不同种子",
}

# Why something that was asked for is not part of a plan.
NOT_IN_A_PLAN: dict[str, str] = {
    "num_episodes": "a run's length is counted in environment steps, not episodes",
    "num_seeds": "a plan is one run; launch it once per seed and compare the runs",
    "eval_every": "evaluations in training are counted in environment steps, as in \"evaluate every 10000 steps\"",
    "interval": "a plan has no setting for it",
    "save_every": "checkpoints are saved on their own schedule",
}
