"""Sentences → plans. Every sentence here was written for this test."""

from __future__ import annotations

import json
import time

import pytest

from copilot import lexicon
from copilot.plan import Refusal, TrainingPlan, amended, describe, plan_for, plan_from_text, to_row
from copilot.request import algorithms, base, environments, handles_run
from copilot.wishes import read_wishes
from rlcore import catalog
from rlcore.config import ConfigError, settings

ORDERS = [
    # sentence, algorithm, environment, what it sets
    ("train PPO on CartPole with 8 envs", "ppo", "CartPole-v1", {"num_envs": 8}),
    ("Train DQN on cart pole for 100k steps, lr 5e-4, seed 7", "dqn", "CartPole-v1",
     {"env_steps": 100_000, "learning_rate": 5e-4, "seed": 7}),
    ("please run sac on half cheetah, 2 million timesteps", "sac", "HalfCheetah-v5", {"env_steps": 2_000_000}),
    ("can you train SAC on Pendulum for 20,000 steps?", "sac", "Pendulum-v1", {"env_steps": 20_000}),
    ("how do I train PPO on CartPole?", "ppo", "CartPole-v1", {}),
    ("solve LunarLander", "ppo", "LunarLander-v3", {}),
    ("Solve the continuous mountain car", "sac", "MountainCarContinuous-v0", {}),
    ("I'd like to train an agent on Acrobot using 16 parallel environments", "ppo", "Acrobot-v1", {"num_envs": 16}),
    ("let's train dqn", "dqn", "CartPole-v1", {}),
    ("Let us train sac", "sac", "Pendulum-v1", {}),
    ("quick PPO run on Hopper-v4 please", "ppo", "Hopper-v5", {}),
    ("SAC on Ant, batch size 512, tau=0.01, buffer_size 300k", "sac", "Ant-v5",
     {"batch_size": 512, "tau": 0.01, "capacity": 300_000}),
    ("use SAC to swing up the inverted pendulum", "sac", "InvertedPendulum-v5", {}),
    ("Train PPO on CartPole. Use 4 envs, a learning rate of 0.0025 and gamma 0.98.", "ppo", "CartPole-v1",
     {"num_envs": 4, "learning_rate": 0.0025, "gamma": 0.98}),
    ("Hi! I have a laptop. Could you train PPO on LunarLander-v2 with 8 envs, n_steps=1024, batch_size=64, n_epochs=4, "
     "ent_coef=0.01, gae_lambda=0.98?", "ppo", "LunarLander-v3",
     {"num_envs": 8, "horizon": 1024, "num_minibatches": 128, "epochs": 4, "entropy_coef": 0.01, "gae_lambda": 0.98}),
    ("train PPO on CartPole until the mean reward reaches 475", "ppo", "CartPole-v1", {"target_return": 475}),
    ("train dqn on CartPole until solved, no video", "dqn", "CartPole-v1",
     {"target_return": 475, "record_video": False}),
    ("SAC on Pendulum, stop when the average return hits -150", "sac", "Pendulum-v1", {"target_return": -150}),
    ("ppo on walker2d: hidden [256, 128], relu activation, normalise observations, linear lr decay, 1e6 steps",
     "ppo", "Walker2d-v5",
     {"hidden": [256, 128], "activation": "relu", "normalize_obs": True, "learning_rate_decay": "linear",
      "env_steps": 1_000_000}),
    ("PPO CartPole 32 envs 64 steps per env 10 epochs clip 0.1", "ppo", "CartPole-v1",
     {"num_envs": 32, "horizon": 64, "epochs": 10, "clip": 0.1}),
    ("run DQN on LunarLander, double=False, target_update_interval 500, train_freq 8, 3e5 steps", "dqn",
     "LunarLander-v3", {"double": False, "target_every": 500, "train_every": 8, "env_steps": 300_000}),
    ("train PPO on LunarLander (continuous=True), one million steps", "ppo", "LunarLanderContinuous-v3",
     {"env_steps": 1_000_000}),
    ("PPO on BipedalWalker with sixteen envs for 1.1 million steps", "ppo", "BipedalWalker-v3",
     {"num_envs": 16, "env_steps": 1_100_000}),
    ("Train PPO on Acrobot: num_envs 4 epochs 10 horizon 32 num_minibatches 8", "ppo", "Acrobot-v1",
     {"num_envs": 4, "epochs": 10, "horizon": 32, "num_minibatches": 8}),
    ("train SAC on Pendulum with gradient_steps 2 and learning starts after... well, warmup of 500 steps", "sac",
     "Pendulum-v1", {"updates": 2, "learning_starts": 500}),
    ("train PPO on CartPole-v1 for 10⁵ steps", "ppo", "CartPole-v1", {"env_steps": 100_000}),
    ("train PPO on CartPole for 2^16 env steps", "ppo", "CartPole-v1", {"env_steps": 65_536}),
    ("train PPO on CartPole with --num_envs 16 --learning_rate 1e-3", "ppo", "CartPole-v1",
     {"num_envs": 16, "learning_rate": 1e-3}),
    ('train ppo on "CartPole-v1" with {"gamma": 0.95, "clip": 0.3}', "ppo", "CartPole-v1",
     {"gamma": 0.95, "clip": 0.3}),
    ("Train SAC on Reacher with ent_coef 0.1", "sac", "Reacher-v5", {"alpha": 0.1, "adjust_alpha": False}),
    ("train PPO on MountainCar, 500k env steps, evaluate for 50 episodes", "ppo", "MountainCar-v0",
     {"env_steps": 500_000, "evaluate_episodes": 50}),
    ("write a script that trains DQN on CartPole", "dqn", "CartPole-v1", {}),
    ("set up a PPO run for Swimmer with gamma 0.9999", "ppo", "Swimmer-v5", {"gamma": 0.9999}),
    ("train a Double DQN on Acrobot", "dqn", "Acrobot-v1", {"double": True}),
    ("Train PPO on CartPole without reward normalization", "ppo", "CartPole-v1", {"normalize_reward": False}),
    ("Train PPO on CartPole and explain what the clip does", "ppo", "CartPole-v1", {}),
    ("on CartPole, train PPO with 8 envs", "ppo", "CartPole-v1", {"num_envs": 8}),
    ("teach the bipedal walker to walk", "sac", "BipedalWalker-v3", {}),
    ("Please train a PPO agent (lr=3e-4, 8 envs, 200k steps) on Acrobot-v1.", "ppo", "Acrobot-v1",
     {"learning_rate": 3e-4, "num_envs": 8, "env_steps": 200_000}),
    ("What does the clip do? Train PPO on CartPole with clip 0.3.", "ppo", "CartPole-v1", {"clip": 0.3}),
    ("ppo on hopper, lr from 1e-3 to 0, two hidden layers of 32", "ppo", "Hopper-v5",
     {"learning_rate": 1e-3, "learning_rate_decay": "linear", "hidden": [32, 32]}),
    ("proximal policy optimisation for the lunar lander, 4 vectorised envs, GAE lambda 0.9", "ppo", "LunarLander-v3",
     {"num_envs": 4, "gae_lambda": 0.9}),
    ("run ppo on Acrobot, 8 envs x 64 steps", "ppo", "Acrobot-v1", {"num_envs": 8, "horizon": 64}),
    ("train DQN on MountainCar with epsilon from 1 to 0.02", "dqn", "MountainCar-v0",
     {"epsilon_start": 1.0, "epsilon_end": 0.02}),
    ("训练PPO玩CartPole，8个环境，学习率0.001", "ppo", "CartPole-v1", {"num_envs": 8, "learning_rate": 0.001}),
    ("用SAC训练HalfCheetah一百万步，随机种子3", "sac", "HalfCheetah-v5", {"env_steps": 1_000_000, "seed": 3}),
    ("请帮我用DQN训练月球着陆，15万步，批大小128，折扣因子设为0.995", "dqn", "LunarLander-v3",
     {"env_steps": 150_000, "batch_size": 128, "gamma": 0.995}),
    ("能不能帮我在倒立摆上训练SAC？", "sac", "Pendulum-v1", {}),
    ("小车倒立摆（CartPole）用PPO训练，四个并行环境", "ppo", "CartPole-v1", {"num_envs": 4}),
    ("帮我写一个训练LunarLander的脚本", "ppo", "LunarLander-v3", {}),
    ("如何训练PPO玩CartPole？", "ppo", "CartPole-v1", {}),
    ("用PPO训练连续版LunarLander，16个并行环境", "ppo", "LunarLanderContinuous-v3", {"num_envs": 16}),
    ("训练一个智能体玩Acrobot", "ppo", "Acrobot-v1", {}),
    ("PPO跑Hopper，熵系数0.01，裁剪0.1，每次采样步数2048", "ppo", "Hopper-v5",
     {"entropy_coef": 0.01, "clip": 0.1, "horizon": 2048}),
    ("训练PPO，环境CartPole-v1，步数：30万，环境数：4", "ppo", "CartPole-v1", {"env_steps": 300_000, "num_envs": 4}),
    ("用DQN解决CartPole问题，直到平均奖励达到450", "dqn", "CartPole-v1", {"target_return": 450}),
    ("train PPO with an LSTM on CartPole", "ppo", "CartPole-v1", {"core": "lstm"}),
    ("recurrent PPO on CartPole, lstm hidden size 32", "ppo", "CartPole-v1", {"core": "lstm", "core_size": 32}),
    ("train LSTM-PPO on CartPole", "ppo", "CartPole-v1", {"core": "lstm"}),
    ("RecurrentPPO on CartPole with a GRU", "ppo", "CartPole-v1", {"core": "gru"}),
    ("A2C on CartPole with a GRU core", "a2c", "CartPole-v1", {"core": "gru"}),
    ("用带LSTM的PPO训练CartPole", "ppo", "CartPole-v1", {"core": "lstm"}),
    ("train recurrent TD3 on Pendulum", "recurrent_td3", "Pendulum-v1", {}),
    ("train TD3 with recurrent networks on Pendulum", "recurrent_td3", "Pendulum-v1", {}),
    ("train SAC with an LSTM on Pendulum", "recurrent_sac", "Pendulum-v1", {"core": "lstm"}),
    ("recurrent DQN on CartPole", "r2d2", "CartPole-v1", {}),
    ("train DRQN on CartPole", "r2d2", "CartPole-v1", {}),
    ("DQN with a GRU on CartPole", "r2d2", "CartPole-v1", {"core": "gru"}),
    ("discrete SAC on CartPole", "sac_discrete", "CartPole-v1", {}),
    ("train SAC (discrete) on CartPole", "sac_discrete", "CartPole-v1", {}),
    ("train DQN without double on CartPole", "dqn", "CartPole-v1", {"double": False}),
    ("DDPG with gaussian exploration noise 0.2 on Pendulum", "ddpg", "Pendulum-v1",
     {"exploration": "gaussian", "noise_std": 0.2}),
    ("train C51 on CartPole", "dqn", "CartPole-v1", {"atoms": 51}),
    ("C51 with 21 atoms on CartPole, v_max 100", "dqn", "CartPole-v1", {"atoms": 21, "v_max": 100.0}),
    ("dueling DQN with PER on Acrobot", "dqn", "Acrobot-v1", {"dueling": True, "prioritized": True}),
    ("IQN with PER on Acrobot", "iqn", "Acrobot-v1", {"prioritized": True}),
    ("noisy DQN with 5-step returns on CartPole", "dqn", "CartPole-v1", {"noisy": True, "n_step": 5}),
    ("train SAC on Hopper with linear lr decay", "sac", "Hopper-v5", {"learning_rate_steps": 1_000_000}),
    ("train DQN on CartPole for 30k steps with linear lr decay", "dqn", "CartPole-v1",
     {"env_steps": 30_000, "learning_rate_steps": 30_000}),
    ("Rainbow with dueling and PER on CartPole", "rainbow", "CartPole-v1", {}),
    ("PPO-Lagrangian on CartPoleBounds with cost limit 10", "ppo_lagrangian", "rlcore/CartPoleBounds-v0",
     {"cost_limit": 10.0}),
    ("TRPO on Pendulum, target_kl 0.02", "trpo", "Pendulum-v1", {"max_kl": 0.02}),
    ("PQN on CartPole with 64 envs and lambda 0.8", "pqn", "CartPole-v1", {"num_envs": 64, "q_lambda": 0.8}),
    ("QR-DQN with 50 quantiles on CartPole", "qrdqn", "CartPole-v1", {"quantiles": 50}),
    ("TQC on Hopper with 2 critics and 20 quantiles", "tqc", "Hopper-v5", {"num_critics": 2, "num_quantiles": 20}),
    ("TD3 on Hopper: exploration noise 0.2, policy noise 0.3, noise clip 0.4, policy delay 3", "td3", "Hopper-v5",
     {"noise_std": 0.2, "target_noise": 0.3, "target_noise_clip": 0.4, "policy_every": 3}),
    ("DDPG with OU noise on Pendulum, actor lr 2e-4, critic lr 2e-3", "ddpg", "Pendulum-v1",
     {"exploration": "ornstein_uhlenbeck", "actor_learning_rate": 2e-4, "learning_rate": 2e-3}),
    ("train PPO with a KL penalty on CartPole", "ppo", "CartPole-v1", {"surrogate": "kl_penalty"}),
    ("train IQN on CartPole for 40k frames", "iqn", "CartPole-v1", {"env_steps": 40_000}),
    ("train PPO on Pong", "ppo", "ALE/Pong-v5", {}),
    ("DQN on Breakout for 1M steps", "dqn", "ALE/Breakout-v5", {"env_steps": 1_000_000}),
    ("训练DQN玩打砖块", "dqn", "ALE/Breakout-v5", {}),
    ("用PPO训练Pong", "ppo", "ALE/Pong-v5", {}),
    ("在打砖块上用DQN", "dqn", "ALE/Breakout-v5", {}),
    ("train rainbow on atari", "rainbow", "ALE/Pong-v5", {}),
    ("PPO on ALE/Tennis-v5, 16 envs", "ppo", "ALE/Tennis-v5", {"num_envs": 16}),
    ("train QR-DQN on Ms. Pac-Man", "qrdqn", "ALE/MsPacman-v5", {}),
    ("train PPO on Montezuma’s Revenge", "ppo", "ALE/MontezumaRevenge-v5", {}),
    ("train DQN on PongNoFrameskip-v4", "dqn", "ALE/Pong-v5", {}),
    ("train PPO on MiniGrid DoorKey", "ppo", "MiniGrid-DoorKey-5x5-v0", {}),
    ("PPO on DoorKey 8x8 with 32 envs", "ppo", "MiniGrid-DoorKey-8x8-v0", {"num_envs": 32}),
    ("recurrent PPO on MiniGrid Memory", "ppo", "MiniGrid-MemoryS7-v0", {"core": "lstm"}),
    ("train PPO on four rooms", "ppo", "MiniGrid-FourRooms-v0", {}),
    ("FrozenLake with DQN", "dqn", "FrozenLake-v1", {}),
    ("train DQN on FrozenLake 8x8", "dqn", "FrozenLake8x8-v1", {}),
    ("用DQN训练冰湖", "dqn", "FrozenLake-v1", {}),
    ("solve taxi with DQN", "dqn", "Taxi-v4", {}),
    ("train PPO on blackjack", "ppo", "Blackjack-v1", {}),
    ("train SAC on CarRacing", "sac", "CarRacing-v3", {}),
    ("run SAC on the hardcore bipedal walker", "sac", "BipedalWalkerHardcore-v3", {}),
    ("train a PPO agent on Pusher", "ppo", "Pusher-v5", {}),
    ("train TD3 on point chasing", "td3", "rlcore/PointChasing-v0", {"record_video": False}),
    ("用PPO训练股票交易", "ppo", "rlcore/StockTrading-v0", {"record_video": False}),
    ("solve MontezumaRevenge while others play Atari", "ppo", "ALE/MontezumaRevenge-v5", {}),
    ("train PPO on CartPole, a defender of balance", "ppo", "CartPole-v1", {}),
    ("I need a script to train TD3 on Hopper", "td3", "Hopper-v5", {}),
    ("python code for PPO on CartPole", "ppo", "CartPole-v1", {}),
    ("i'd like some code that trains dqn on LunarLander with lr 1e-3", "dqn", "LunarLander-v3",
     {"learning_rate": 1e-3}),
    ("Write a bot that plays Breakout with DQN", "dqn", "ALE/Breakout-v5", {}),
    ("Give me a PPO agent for CartPole", "ppo", "CartPole-v1", {}),
    ("new run: PPO on CartPole, 16 envs", "ppo", "CartPole-v1", {"num_envs": 16}),
    ("Another run of PPO on CartPole", "ppo", "CartPole-v1", {}),
    ("Train SAC on Pendulum and plot the results", "sac", "Pendulum-v1", {}),
    ("Train PPO on CartPole but stop if the loss explodes", "ppo", "CartPole-v1", {}),
    ("How do I train SAC?", "sac", "Pendulum-v1", {}),
    ("how can I train with TD3", "td3", "Pendulum-v1", {}),
    ("How would I train a recurrent PPO agent with LSTM?", "ppo", "CartPole-v1", {"core": "lstm"}),
    ("怎么用DQN训练", "dqn", "CartPole-v1", {}),
    ("如何训练SAC", "sac", "Pendulum-v1", {}),
    ("来一个PPO玩CartPole", "ppo", "CartPole-v1", {}),
    ("PPO on CartPole reward normalization", "ppo", "CartPole-v1", {"normalize_reward": True}),
    ("DQN CartPole dueling", "dqn", "CartPole-v1", {"dueling": True}),
    ("帮我训练好PPO玩CartPole", "ppo", "CartPole-v1", {}),
    ("评估10回合，训练PPO玩CartPole", "ppo", "CartPole-v1", {"evaluate_episodes": 10}),
    ("给我一个能玩CartPole的PPO智能体", "ppo", "CartPole-v1", {}),
    # what is not wanted
    ("instead of PPO train DQN on CartPole", "dqn", "CartPole-v1", {}),
    ("Please use A2C rather than PPO for Acrobot", "a2c", "Acrobot-v1", {}),
    ("Replace PPO with DQN on CartPole", "dqn", "CartPole-v1", {}),
    ("Don't train PPO on CartPole, train DQN", "dqn", "CartPole-v1", {}),
    ("Train PPO not on CartPole but on Acrobot", "ppo", "Acrobot-v1", {}),
    ("No, PPO on CartPole please", "ppo", "CartPole-v1", {}),
    ("train PPO on CartPole but not with 8 envs, use 4", "ppo", "CartPole-v1", {"num_envs": 4}),
    ("train PPO on CartPole with 4 envs, not 8", "ppo", "CartPole-v1", {"num_envs": 4}),
    ("train PPO on CartPole with no more than 8 envs", "ppo", "CartPole-v1", {"num_envs": 8}),
    ("train DQN on CartPole but not double", "dqn", "CartPole-v1", {"double": False}),
    ("别用PPO，用A2C训练CartPole", "a2c", "CartPole-v1", {}),
    ("把PPO换成DQN训练CartPole", "dqn", "CartPole-v1", {}),
    ("用A2C而不是PPO训练CartPole", "a2c", "CartPole-v1", {}),
    ("用PPO训练CartPole，不要用8个环境，用16个", "ppo", "CartPole-v1", {"num_envs": 16}),
    ("训练PPO玩CartPole，学习率0.0005而不是0.001", "ppo", "CartPole-v1", {"learning_rate": 0.0005}),
    # the return at which to stop
    ("train PPO on CartPole with patience 3, evaluate every 2k steps and 4 envs", "ppo", "CartPole-v1",
     {"patience": 3, "evaluate_every": 2000, "num_envs": 4}),
    ("train PPO on CartPole, stop if there is no improvement for 10 evaluations", "ppo", "CartPole-v1",
     {"patience": 10, "evaluate_every": 5000}),
    ("train PPO on CartPole and stop if it does not improve for 4 evaluations", "ppo", "CartPole-v1",
     {"patience": 4, "evaluate_every": 5000}),
    ("用PPO训练CartPole，连续三次测试未提高则停止", "ppo", "CartPole-v1", {"patience": 3, "evaluate_every": 5000}),
    ("train PPO on CartPole, stop after five evaluations without improvement", "ppo", "CartPole-v1",
     {"patience": 5, "evaluate_every": 5000}),
    ("train PPO on CartPole, eval_freq=1000, 7 evaluation episodes", "ppo", "CartPole-v1",
     {"evaluate_every": 1000, "evaluate_episodes": 7}),
    ("用PPO训练CartPole，每5000步评估一次，连续3次评估没有提升就停止", "ppo", "CartPole-v1",
     {"patience": 3, "evaluate_every": 5000}),
    ("train TD3 on Pendulum with two hidden layers of 400 and 300", "td3", "Pendulum-v1", {"hidden": [400, 300]}),
    ("train PPO on CartPole with two layers of 64 and 8 envs", "ppo", "CartPole-v1",
     {"hidden": [64, 64], "num_envs": 8}),
    ("train PPO on CartPole with a learning rate of 1e-3 decaying linearly", "ppo", "CartPole-v1",
     {"learning_rate": 1e-3, "learning_rate_decay": "linear"}),
    ("train SAC on Pendulum with linear lr decay from 1e-3", "sac", "Pendulum-v1",
     {"learning_rate": 1e-3, "learning_rate_steps": 20_000}),
    ("train A2C on Acrobot with no entropy bonus", "a2c", "Acrobot-v1", {"entropy_coef": 0.0}),
    ("train PPO on CartPole with relu and 256 units, without entropy regularisation", "ppo", "CartPole-v1",
     {"activation": "relu", "hidden": [256, 256], "entropy_coef": 0.0}),
    ("train PPO on CartPole with learning rate 1e-3 and clip 0.1 decaying", "ppo", "CartPole-v1",
     {"clip": 0.1, "clip_decay": "linear", "learning_rate": 1e-3}),
    ("train a value-based agent on LunarLander", "dqn", "LunarLander-v3", {}),
    ("train PPO on CartPole until it reaches 475", "ppo", "CartPole-v1", {"target_return": 475}),
    ("train PPO on CartPole, stop at 400", "ppo", "CartPole-v1", {"target_return": 400}),
    ("train PPO on CartPole until reward > 400", "ppo", "CartPole-v1", {"target_return": 400}),
    ("train PPO on CartPole until the mean of 100 episodes is at least 450", "ppo", "CartPole-v1",
     {"target_return": 450}),
    ("训练PPO玩CartPole直到平均100回合回报达到475", "ppo", "CartPole-v1", {"target_return": 475}),
    ("用PPO训练CartPole，奖励达到400就停", "ppo", "CartPole-v1", {"target_return": 400}),
    ("用PPO训练CartPole，到450分就停", "ppo", "CartPole-v1", {"target_return": 450}),
    ("训练PPO玩CartPole，连续100回合平均450分时停止", "ppo", "CartPole-v1", {"target_return": 450}),
    ("train PPO on CartPole, end when the mean reward is at least 460", "ppo", "CartPole-v1", {"target_return": 460}),
]


@pytest.mark.parametrize(("sentence", "algo", "env", "wanted"), ORDERS)
def test_an_order_becomes_the_plan_it_describes(sentence, algo, env, wanted):
    plan = plan_from_text(sentence)
    assert isinstance(plan, TrainingPlan), plan
    got = {"seed": 1, "env_steps": catalog.preset(algo, env).env_steps, "target_return": None,
           "evaluate_every": None, "patience": None, "evaluate_episodes": 20, "record_video": True}
    got |= wanted
    run = ("seed", "env_steps", "target_return", "evaluate_every", "patience", "evaluate_episodes", "record_video")
    assert (plan.algo, plan.env, dict(plan.params) | {name: getattr(plan, name) for name in run}) == (algo, env, got)


@pytest.mark.parametrize(("order", "change", "algo", "env", "wanted"), [
    ("train ppo on cartpole", "with 8 envs", "ppo", "CartPole-v1", {"num_envs": 8}),
    ("train ppo on cartpole with 4 envs, lr=1e-3", "use 8 envs and learning rate 3e-4", "ppo", "CartPole-v1",
     {"num_envs": 8, "learning_rate": 3e-4}),
    ("train PPO on CartPole with 4 envs", "make it 200k steps please", "ppo", "CartPole-v1", {"num_envs": 4}),
    ("train ppo on cartpole with 4 envs", "same on Acrobot", "ppo", "Acrobot-v1", {"num_envs": 4}),
    ("train PPO on LunarLander", "ok, now with DQN", "dqn", "LunarLander-v3", {}),
    ("train DQN on Pendulum", "then SAC", "sac", "Pendulum-v1", {}),
    ("train dqn on cartpole", "with prioritized replay", "dqn", "CartPole-v1", {"prioritized": True}),
    ("用PPO训练CartPole", "改成8个环境", "ppo", "CartPole-v1", {"num_envs": 8}),
    ("用PPO训练CartPole", "学习率0.001", "ppo", "CartPole-v1", {"learning_rate": 1e-3}),
    ("train ppo on cartpole", "lr 1e-4", "ppo", "CartPole-v1", {"learning_rate": 1e-4}),
    ("train ppo on cartpole", "replace PPO with DQN", "dqn", "CartPole-v1", {}),
    ("train ppo on cartpole", "DQN with PER please", "dqn", "CartPole-v1", {"prioritized": True}),
    ("train ppo on cartpole", "go with A2C", "a2c", "CartPole-v1", {}),
    ("train ppo on cartpole", "bump the envs to 32", "ppo", "CartPole-v1", {"num_envs": 32}),
    ("用PPO训练CartPole", "那就DQN吧", "dqn", "CartPole-v1", {}),
    ("用PPO训练CartPole，学习率1e-3", "学习率不要1e-3，用3e-4", "ppo", "CartPole-v1", {"learning_rate": 3e-4}),
    ("用PPO训练CartPole", "环境数减到4", "ppo", "CartPole-v1", {"num_envs": 4}),
    ("用PPO训练CartPole", "同样的设置，换成Acrobot", "ppo", "Acrobot-v1", {}),
])
def test_a_message_after_an_order_changes_what_it_names_and_keeps_the_rest(order, change, algo, env, wanted):
    assert plan_from_text(change) is None
    both = amended(order, change)
    assert both is not None
    plan = plan_for(both)
    assert isinstance(plan, TrainingPlan), plan
    assert (plan.algo, plan.env, dict(plan.params), plan.notes) == (algo, env, wanted, ())
    assert plan.env_steps == (200_000 if "200k" in change else catalog.preset(algo, env).env_steps)


@pytest.mark.parametrize("message", [
    "thanks", "what is gae?", "why", "it got stuck at 20", "the reward was 200 after 8 episodes", "I have 8 cores",
    "it uses 8 envs by default", "gamma", "prioritized replay", "is 8 envs better?", "that took 3 hours",
    "explain SAC", "SAC temperature", "show me the SAC objective", "summarize the TD3 paper", "PPO loss function",
    "A2C values explode", "write the Bellman equation of Rainbow", "gamma 0.99 vs 0.999", "Acrobot reward function",
    "entropy coefficient 0.01 meaning", "in SAC the temperature is learned", "let me think about PPO", "PPO vs A2C",
    "cancel the PPO run", "解释SAC", "PPO 过估计", "SAC的原理", "给我讲讲TD3", "写出PPO的损失函数",
    "Rainbow的组成部分", "A2C 优缺点",
])
def test_other_messages_after_an_order_change_nothing(message):
    assert amended("train dqn on cartpole", message) is None


def test_an_algorithm_that_is_no_longer_wanted_gives_way_to_another():
    plan = plan_for(amended("train ppo on cartpole", "not PPO"))
    assert (plan.algo, plan.env) == ("dqn", "CartPole-v1")


@pytest.mark.parametrize("sentence", [
    "why does PPO clip the ratio?",
    "how do I use Atari with rlcore?",
    "How can I set up MiniGrid?",
    "如何使用Atari游戏",
    "What is the difference between DQN and SAC?",
    "which algorithm should I use to train LunarLander?",
    "What learning rate should I use for PPO on CartPole?",
    "how long does it take to train SAC on HalfCheetah?",
    "I trained PPO on CartPole and the reward is stuck at 9.",
    "My DQN on LunarLander does not learn, lr 1e-3",
    "the code for PPO is hard to read",
    "give me the code for the DQN loss",
    "DQN训练CartPole reward没有上升还在下降",
    "运行DQN玩CartPole，日志显示训练奖励越来越低？",
    "训练DQN玩打砖块，奖励不涨",
    "PPO 全参数训练 cosine lr scheduler 应用在每个 epoch",
    "DQN 训练的 loss 一直下不去",
    "PPO训练技巧",
    "DQN CartPole: average return 40 after 500 episodes",
    "the script to train TD3 on Hopper is slow",
    "PPO on CartPole is unstable",
    "my agent gets nan when I train SAC on Pendulum",
    "Explain the SAC temperature",
    "PPO vs DQN on CartPole",
    "Can DQN solve Pendulum?",
    "how does train_freq work in DQN?",
    "What does the training curve of PPO on CartPole look like?",
    "how do I train PPO faster?",
    "the train loss of PPO on CartPole goes up",
    "Does SAC train faster than PPO on Hopper?",
    "I want to learn about PPO",
    "explain how PPO trains on CartPole",
    "How many steps does DQN need to solve CartPole?",
    "We ran PPO on Hopper for 1M steps; returns are flat",
    "don't train PPO on CartPole",
    "hello",
    "",
    "为什么PPO要裁剪比率？",
    "DQN和SAC有什么区别",
    "如何调整PPO的学习率",
    "我用PPO训练CartPole，奖励一直不上升",
    "PPO训练CartPole时loss为nan怎么办",
    "LunarLander适合用什么算法训练？",
    "DQN能解决Pendulum吗？",
    # to be told something
    "Give me tips for PPO on LunarLander",
    "Show me papers about PPO on Atari",
    "Send me a link to the PPO on Atari results",
    "Write an essay comparing PPO and SAC on Hopper",
    "I want to understand DQN on Pong",
    "I need help with PPO on CartPole",
    "Walk me through DQN on CartPole",
    "Summarize DQN on Atari",
    "Compare SAC and TD3 on HalfCheetah",
    "SAC HalfCheetah score",
    "Training time of PPO on CartPole",
    "Sample efficiency of SAC on Hopper",
    "给些DQN玩Pong的建议",
    "总结一下DQN在Atari上的结果",
    "PPO在CartPole上的训练曲线",
    "SAC在HalfCheetah上的得分",
    # how one went
    "PPO on CartPole: return drops after 50k steps",
    "DQN on Pong - score never rises above -21",
    "We want to train PPO on CartPole but it crashes",
    "PPO在CartPole上回报突然下降",
    "DQN在打砖块上训练了一天没有效果",
    "Reviewing PPO on CartPole for class",
    "learning curves: PPO on CartPole",
    "Hopper SAC baseline numbers",
    "Rename the PPO run on CartPole",
    # what is not wanted, and no more
    "Please no PPO on CartPole",
    "Never train DQN on Pendulum",
    "不要训练PPO玩CartPole",
    # how to do more than to train it
    "how do I train PPO on my own environment",
    "怎么训练PPO才能收敛",
])
def test_a_question_is_no_order(sentence):
    assert plan_from_text(sentence) is None


@pytest.mark.parametrize(("sentence", "what"), [
    ("Stop training PPO on CartPole", "stop"), ("Could you cancel the PPO run on CartPole?", "stop"),
    ("停止训练PPO CartPole", "stop"), ("把PPO CartPole的训练停掉", "stop"), ("Resume the PPO run", "resume"),
    ("Pick up the DQN training on Pong where it stopped", "resume"), ("恢复上次的PPO训练", "resume"),
    ("Evaluate PPO on CartPole", "evaluate"), ("评估PPO在CartPole上的表现", "evaluate"),
    ("Delete my PPO run on CartPole", "delete"), ("Open the PPO run", "open"), ("Plot the PPO run on CartPole", "open"),
    ("画出PPO在CartPole上的学习曲线", "open"), ("Use the trained PPO agent on CartPole in my own script", "play"),
    ("把训练好的PPO用在CartPole上", "play"),
    ("Start a PPO run on CartPole", ""), ("train PPO on CartPole and stop at 400", ""), ("How do I stop the run?", ""),
    ("open a PPO run on CartPole", ""), ("训练PPO玩CartPole，达到400分停止", ""),
])
def test_what_is_to_be_done_to_a_run_that_is_there_is_no_order_for_a_new_one(sentence, what):
    assert handles_run(sentence) == what
    assert not what or plan_from_text(sentence) is None


@pytest.mark.parametrize(("sentence", "algo", "env", "note"), [
    ("Train an agent on CartPole, not PPO", "dqn", "CartPole-v1", "PPO is not wanted; DQN is the next choice here."),
    ("Use anything but PPO on CartPole", "dqn", "CartPole-v1", "PPO is not wanted"),
    ("Train an agent on Pendulum, not SAC or TD3", "ppo", "Pendulum-v1", "SAC is not wanted"),
    ("除了PPO以外的算法训练CartPole", "dqn", "CartPole-v1", "PPO is not wanted"),
    ("train PPO on anything but CartPole", "ppo", "Acrobot-v1", "No environment was named"),
])
def test_what_is_not_wanted_is_not_chosen_for_want_of_another(sentence, algo, env, note):
    plan = plan_from_text(sentence)
    assert (plan.algo, plan.env) == (algo, env)
    assert note in plan.notes[0]


@pytest.mark.parametrize("said", [
    "do not use the GPU", "without a GPU", "no GPU", "avoiding the GPU", "I don't have a GPU", "不用GPU", "没有GPU"])
def test_who_wants_no_gpu_is_not_told_how_to_use_one(said):
    assert plan_from_text(f"train PPO on CartPole, {said}").notes == ()


REFUSALS = [
    # sentence, in the reason, what is offered
    ("train DQN on Pendulum, lr 1e-3", "DQN needs a discrete action space", "sac", "Pendulum-v1"),
    ("train SAC on CartPole", "SAC needs a continuous action space", "dqn", "CartPole-v1"),
    ("train SAC on LunarLander with 4 envs", "SAC needs a continuous action space", "sac", "LunarLanderContinuous-v3"),
    ("train TD3 on CartPole", "TD3 needs a continuous action space", "dqn", "CartPole-v1"),
    ("train CrossQ on CartPole", "CrossQ needs a continuous action space", "ppo", "CartPole-v1"),
    ("train PPO-Lagrangian on CartPole", "CartPole-v1 does not say", "ppo_lagrangian", "rlcore/CartPoleBounds-v0"),
    ("safe PPO for the hopper", "Hopper-v5 does not say", "ppo_lagrangian", "rlcore/HalfCheetahVelocity-v5"),
    ("run SAC on Breakout", "SAC needs a continuous action space", "dqn", "ALE/Breakout-v5"),
    ("训练DQN玩FetchReach", "DQN needs a discrete action space", "sac", "rlcore/ReacherGoal-v5"),
    ("A3C on LunarLander with 4 envs", "rlcore does not have A3C yet", "a2c", "LunarLander-v3"),
    ("用CrossQ训练Walker2d", "rlcore does not have CrossQ yet", "sac", "Walker2d-v5"),
    ("MuZero on CartPole", "rlcore does not have MuZero yet", "dqn", "CartPole-v1"),
    ("train FQF on CartPole", "rlcore does not have FQF yet", "iqn", "CartPole-v1"),
    ("train DroQ on Hopper", "rlcore does not have DroQ yet", "redq", "Hopper-v5"),
    ("train Decision Transformer on Hopper", "rlcore does not have Decision Transformer yet", "ppo", "Hopper-v5"),
    ("recurrent QR-DQN on CartPole", "rlcore does not have recurrent QR-DQN yet", "qrdqn", "CartPole-v1"),
    ("train PPO + RND on MountainCar", "rlcore does not have PPO+RND yet", "ppo", "MountainCar-v0"),
    ("noisy dueling IQN on Acrobot", "rlcore does not have Noisy Dueling IQN yet", "iqn", "Acrobot-v1"),
    ("recurrent SAC with PER on Pendulum", "rlcore does not have Recurrent-SAC+PER yet", "recurrent_sac",
     "Pendulum-v1"),
    ("MaskablePPO on CartPole", "rl.train(…, action_mask=True)", "ppo", "CartPole-v1"),
    ("SAC with HER on FetchReach", "FetchReach (Gymnasium-Robotics) is not bundled yet. In any environment with goals, "
     "rl.train(…, hindsight=0.8) has hindsight replay", "sac", "rlcore/ReacherGoal-v5"),
    ("train PPO with HER on BitFlip", "and PPO learns from its newest rollout alone. DQN can do it.", "dqn",
     "rlcore/BitFlip-v0"),
    ("R2D2 with hindsight on bit flipping", "and R2D2 replays whole sequences", "dqn", "rlcore/BitFlip-v0"),
    ("SAC with HER on BitFlip", "SAC needs a continuous action space", "dqn", "rlcore/BitFlip-v0"),
    ("DQN with HER on CartPole", "CartPole-v1 has no goals. Try rlcore/BitFlip-v0.", "dqn", "CartPole-v1"),
    ("use HER on Reacher", "Reacher-v5 has no goals. Try rlcore/ReacherGoal-v5.", "sac", "Reacher-v5"),
    ("train DQN with HER on BitFlip with 100 bits", "bits=100 must be between 2 and 64", "dqn", "rlcore/BitFlip-v0"),
    ("train DQN with HER on BitFlip, n_step=3", "hindsight=0.8 asks for the reward of single steps: n_step=3", "dqn",
     "rlcore/BitFlip-v0"),
    ("DQN on BitFlip, hindsight ratio 1.5", "hindsight=1.5 must be between 0 and 1", "dqn", "rlcore/BitFlip-v0"),
    ("train PPO on MyGame-v0", "'MyGame-v0' is an unknown environment", "ppo", "CartPole-v1"),
    ("train PPO on flappy gorilla", "'flappy gorilla' is an unknown environment", "ppo", "CartPole-v1"),
    ("train PPO on LunarLandr-v3", "'LunarLandr-v3' is an unknown environment", "ppo", "LunarLander-v3"),
    ("train PPO on CartPole-v9", "'CartPole-v9' is an unknown environment", "ppo", "CartPole-v1"),
    ("train SAC on my own env", "'your own environment' is an unknown environment", "sac", "Pendulum-v1"),
    ("train Frobnicate on LunarLander", "'Frobnicate' is an unknown algorithm", "ppo", "LunarLander-v3"),
    ("用PPO训练魔方世界", "'魔方世界' is an unknown environment", "ppo", "CartPole-v1"),
    ("train Frobnicate on CartPole", "'Frobnicate' is an unknown algorithm", "ppo", "CartPole-v1"),
    ("train DQN on ALE/Backgammon-v5 for 1M steps", "ALE/Backgammon-v5 (Atari) is not bundled yet; rl.train takes it "
     "by its id once rl-copilot[atari] is installed.", "dqn", "ALE/Pong-v5"),
    ("train DQN on ALE/Pacman-v5", "ALE/Pacman-v5 (Atari) is not bundled yet", "dqn", "ALE/Pong-v5"),
    ("train DQN on ALE/Blackjack-v5", "ALE/Blackjack-v5 (Atari) is not bundled yet", "dqn", "ALE/Pong-v5"),
    ("PPO on MiniGrid-KeyCorridorS4R3-v0", "rl-copilot[minigrid] is installed", "ppo", "MiniGrid-DoorKey-5x5-v0"),
    ("train PPO on BabyAI-GoToLocal-v0", "BabyAI-GoToLocal-v0 (MiniGrid) is not bundled", "ppo",
     "MiniGrid-DoorKey-5x5-v0"),
    ("train TD3 on atari", "TD3 needs a continuous action space, but ALE/Pong-v5 has a discrete one", "dqn",
     "ALE/Pong-v5"),
    ("train PPO on MinAtar", "MinAtar (MinAtar) is not bundled yet", "ppo", "LunarLander-v3"),
    ("train DQN on CarRacing", "CarRacing-v3 has a continuous (Box) one", "sac", "CarRacing-v3"),
    ("用SAC训练FinRL", "FinRL (trading) is not bundled yet", "sac", "rlcore/StockTrading-v0"),
    ("train sac with hindsight replay on half cheetah", "has no goals", "sac", "HalfCheetah-v5"),
    ("train QMIX on CartPole", "QMIX trains several agents together", "dqn", "CartPole-v1"),
    ("VDN on simple_tag with continuous actions", "VDN needs a discrete action space", "dqn", "CartPole-v1"),
    ("train PPO on CartPole with gamma 1.5 and 4 envs", "gamma=1.5 must be between 0 and 1", "ppo", "CartPole-v1"),
    ("train PPO on CartPole with 0 envs", "num_envs=0 must be", "ppo", "CartPole-v1"),
    ("train PPO on CartPole with 2.5 envs", "num_envs=2.5 is not valid", "ppo", "CartPole-v1"),
    ("PPO on CartPole, 8 envs, horizon 128, batch size 100", "batch_size=100 must divide the rollout of 1024 steps",
     "ppo", "CartPole-v1"),
    ("train PPO on CartPole for 0 steps", "env_steps=0 must be a whole number of at least 1", "ppo", "CartPole-v1"),
    ("train PPO on CartPole with seed -3", "seed=-3 must be", "ppo", "CartPole-v1"),
]


@pytest.mark.parametrize(("sentence", "reason", "algo", "env"), REFUSALS)
def test_a_refusal_gives_the_reason_and_a_request_that_works(sentence, reason, algo, env):
    refusal = plan_from_text(sentence)
    assert isinstance(refusal, Refusal), refusal
    assert reason in refusal.reason
    offer = plan_from_text(refusal.alternative)
    assert isinstance(offer, TrainingPlan), refusal.alternative
    assert (offer.algo, offer.env) == (algo, env)


GOALS = [
    # sentence, algorithm, its title, bits, share of hindsight
    ("train DQN with hindsight replay on bit flipping", "dqn", "DQN+HER", None, 0.8),
    ("use HER on BitFlip with 10 bits", "dqn", "DQN+HER", 10, 0.8),
    ("train DQN on rlcore/BitFlip-v0, bits=6", "dqn", "DQN+HER", 6, 0.8),
    ("DQN + PER + HER on a 12-bit BitFlip", "dqn", "DQN+PER+HER", 12, 0.8),
    ("train with hindsight experience replay", "dqn", "DQN+HER", None, 0.8),
    ("solve the bit flipping task with nine bits", "dqn", "DQN+HER", 9, 0.8),
    ("train DQN on BitFlip, HER ratio 0.5, 30k steps", "dqn", "DQN+HER", None, 0.5),
    ("train Rainbow with HER on BitFlip", "rainbow", "Rainbow+HER", None, 0.8),
    ("train DQN without hindsight on BitFlip", "dqn", "DQN", None, None),
    ("train PPO on BitFlip with 4 bits", "ppo", "PPO", 4, None),
    ("用DQN和事后经验回放训练比特翻转，10位", "dqn", "DQN+HER", 10, 0.8),
    *((f"train DQN on {place}", "dqn", "DQN+HER", 10, 0.8) for place in (
        "BitFlip, 10-bit flipping", "10-bit bit flipping", "10 bit flipping", "10-Bit-Flipping", "ten-bit flipping",
        "a 10bit BitFlip", "BitFlip10", "BitFlip-10", "BitFlip(10)", "BitFlip (10 bits)", "BitFlip 10 for 20k steps",
        "flipping 10 bits", "BitFlip with strings of length 10", "10-dimensional BitFlip", "BitFlip 10.")),
    ("train DQN to flip 10 bits", "dqn", "DQN+HER", 10, 0.8),
    *((sentence, "dqn", "DQN+HER", 10, 0.8) for sentence in (
        "用 DQN 训练 10 位翻转", "用 DQN 训练十比特翻转", "用 DQN 翻转 10 个比特", "用 DQN 训练 BitFlip,10 个比特")),
    ("train DQN on BitFlip 20k steps", "dqn", "DQN+HER", None, 0.8),
    ("train DQN on BitFlip-v0, seed 10", "dqn", "DQN+HER", None, 0.8),
]


@pytest.mark.parametrize(("sentence", "algo", "title", "bits", "share"), GOALS)
def test_a_plan_with_goals_holds_its_bits_and_its_hindsight(sentence, algo, title, bits, share):
    plan = plan_from_text(sentence)
    assert isinstance(plan, TrainingPlan), plan
    assert (plan.algo, plan.title, plan.env) == (algo, title, "rlcore/BitFlip-v0")
    assert plan.env_options == ({} if bits is None else {"bits": bits})
    assert plan.hindsight == share
    assert not any("left out" in note for note in plan.notes)


@pytest.mark.parametrize(("sentence", "algo"), [
    ("train SAC with HER", "sac"), ("train TD3 on the goal reacher", "td3"), ("用SAC和HER训练", "sac"),
    ("train an agent with HER and continuous actions", "sac"), ("train SAC with HER on the reacher with goals", "sac"),
])
def test_hindsight_with_continuous_actions_is_planned_on_the_reacher_with_goals(sentence, algo):
    plan = plan_from_text(sentence)
    assert isinstance(plan, TrainingPlan), plan
    assert (plan.algo, plan.env, plan.hindsight) == (algo, "rlcore/ReacherGoal-v5", 0.8)


def test_an_offer_keeps_the_bits_and_says_hindsight():
    refusal = plan_from_text("train A2C with HER on BitFlip with 10 bits and 16 envs")
    assert refusal.alternative == "Train DQN with hindsight on rlcore/BitFlip-v0 with num_envs=16, bits=10."
    assert plan_from_text(refusal.alternative).env_options == {"bits": 10}
    refusal = plan_from_text("SAC with HER on FetchReach, 40k steps")
    assert refusal.alternative == "Train SAC with hindsight on rlcore/ReacherGoal-v5 with env_steps=40000."


@pytest.mark.parametrize(("sentence", "options"), [
    ("train DQN on Breakout with episodic life and reward clipping", {"episodic_life": True, "reward_clip": True}),
    ("train DQN on Breakout, reward_clip=true", {"reward_clip": True}),
    ("train DQN on Breakout", {}),
    ("train DQN on cliff walking", {"max_episode_steps": 200}),
    ("train DQN on cliff walking with a time limit of 500", {"max_episode_steps": 500}),
])
def test_a_plan_holds_what_its_environment_is_made_with(sentence, options):
    plan = plan_from_text(sentence)
    assert isinstance(plan, TrainingPlan), plan
    assert (plan.env_options, plan.notes) == (options, ())
    assert to_row(plan, "x")["params"].keys() <= {"total_timesteps", *options}


def test_a_plan_says_what_must_be_installed_first(monkeypatch):
    plan = plan_from_text("train PPO on Pong")
    assert "pip install" not in describe(plan)
    monkeypatch.setitem(catalog._PACKAGES, "atari", "not_installed")
    assert 'pip install "rl-copilot[atari]"' in describe(plan)


def test_a_question_about_hindsight_is_no_order():
    for question in ("what is HER?", "why does HER help on BitFlip?", "DQN with HER on BitFlip does not learn"):
        assert plan_from_text(question) is None


def test_an_offer_keeps_the_settings_that_mean_the_same():
    refusal = plan_from_text("train CrossQ on Hopper with 4 envs, tau 0.01, 300k steps, seed 5")
    assert refusal.alternative == "Train SAC on Hopper-v5 with num_envs=4, env_steps=300000, seed=5."


NOTES = [
    ("train PPO on CartPole with a replay buffer of 1e5", "capacity=100000 is left out"),
    ("train DQN on CartPole with clip 0.2", "clip=0.2 is left out: DQN has no such setting"),
    ("train PPO on CartPole, foo=3", "Not understood, left out: foo=3"),
    ("train PPO on CartPole for 5 minutes", "left out: 5 minutes"),
    ("train PPO on CartPole, stop after 2 hours", "left out: 2 hours"),
    ("train PPO on CartPole with early stopping patience 5", "evaluate_every=5000, because patience counts"),
    ("训练PPO玩CartPole，损失小于0.1时停止", "left out: 0.1"),
    ("train DQN on Pong with 4 frames stacked", "frame_stack=4 is how games are seen here anyway"),
    ("train DQN on Pong with 3 frames stacked", "frame_stack=3 is left out"),
    ("train PPO on CartPole with the parallel sampler with 2 workers", 'pass sampler="parallel", num_workers=2 to'),
    ("train PPO on CartPole, sampler=async", 'pass sampler="async" to rl.train'),
    ("train an off-policy agent on MountainCar", "DQN is the usual off-policy choice here"),
    ("train an on-policy agent on HalfCheetah", "PPO is the usual on-policy choice here"),
    ("train an agent that is not off-policy on Hopper", "SAC is the usual first choice here"),
    ("train PPO on CartPole until the loss is below 0.01", "left out: loss is below 0.01"),
    ("train PPO on CartPole until the entropy is 0.1", "left out: entropy is 0.1"),
    ("train PPO on CartPole until 90% success", "left out: 90%"),
    ("训练PPO玩CartPole，2小时后停止", "left out: 2小时"),
    ("训练PPO玩CartPole，三小时后停止", "left out: 三小时"),
    ("用PPO训练CartPole，直到成功率90%", "left out: 90%"),
    ("train PPO on CartPole but not with 8 envs", "left out: not 8 envs"),
    ("用PPO训练CartPole，不要用8个环境", "left out: not 8个环境"),
    ("train PPO on CartPole with lr 1e-3, then lr 1e-4", "left out: lr 1e-4"),
    ("train DQN on BitFlip", "hindsight=0.8, because chance hardly ever reaches a goal here"),
    ("train PPO on BitFlip", "Without it next to nothing is learned here."),
    ("train DQN on CartPole with 10 bits", "left out: 10 bits"),
    ("train PPO on CartPole with 5 seeds", "launch it once per seed"),
    ("train DQN on CartPole for 300 episodes", "num_episodes=300 is left out: a run's length is counted in env"),
    ("train DQN on CartPole with temperature 0.2", "temperature=0.2 is left out: DQN has no such setting"),
    ("train Rainbow on CartPole without noisy nets", "'noisy' is part of Rainbow and stays."),
    ("train PPO with an LSTM on CartPole, 2 envs, 24 steps per env", "sequence_length=12, because 16 would not divide"),
    ("train PPO on CartPole and LunarLander", "left out: LunarLander"),
    ("train PPO and DQN on CartPole", "left out: DQN"),
    ("train PPO on CartPole with 4 frames stacked", "frame_stack=4 is left out"),
    ("train PPO on CartPole-v0", "CartPole-v0 is now CartPole-v1"),
    ("train PPO on Hopper on my GPU", 'device="cuda"'),
    ("train PPO", "No environment was named"),
    ("train PPO on atari", "Atari is many environments; ALE/Pong-v5 is a good first one."),
    ("用DQN训练雅达利", "Atari is many environments; ALE/Pong-v5 is a good first one."),
    ("train PPO on MiniGrid", "MiniGrid is many environments; MiniGrid-DoorKey-5x5-v0 is a good first one."),
    ("train PPO on PongNoFrameskip-v4", "Pong-v4 is now ALE/Pong-v5. Its actions are sticky."),
    ("train PPO on CartPole with episodic life", "PPO has no setting for episodes of single lives; left out."),
    ("solve CartPole", "No algorithm was named"),
    ("train PPO on CartPole for half an hour", "left out: an hour"),
    ("evaluate every 50 episodes while you train DQN on CartPole", "eval_every=50 is left out"),
]


@pytest.mark.parametrize(("sentence", "note"), NOTES)
def test_nothing_is_dropped_without_a_word(sentence, note):
    plan = plan_for(sentence)
    assert isinstance(plan, TrainingPlan), plan
    assert any(note in said for said in plan.notes), plan.notes
    assert plan.target_return is None


def test_a_number_of_minibatches_that_nobody_asked_for_gives_way(monkeypatch):
    monkeypatch.setattr(catalog, "preset", lambda *_: catalog.Preset(1_000, {"num_minibatches": 4}, "a test"))
    plan = plan_from_text("train PPO on CartPole with 5 envs and n_steps 3")
    assert plan.params == {"num_envs": 5, "horizon": 3, "num_minibatches": 3}
    assert plan.notes == ("num_minibatches=3, because 4 would not divide a rollout of 15 steps.",)


@pytest.mark.parametrize(("sentence", "algo", "env"), [
    ("CartPole, PPO?", "ppo", "CartPole-v1"), ("my PPO is stuck on Hopper", "ppo", "Hopper-v5")])
def test_a_known_request_needs_no_verb(sentence, algo, env):
    assert plan_from_text(sentence) is None
    plan = plan_for(sentence)
    assert (plan.algo, plan.env) == (algo, env)


def test_a_known_request_that_names_nothing_is_refused():
    assert "neither an algorithm nor an environment" in plan_for("make it nice").reason


# ---------------------------------------------------------------- the vocabulary


@pytest.mark.parametrize("name", sorted(catalog.ALGORITHMS))
@pytest.mark.parametrize("env", [one.id for one in catalog.ENVIRONMENTS.values() if not one.extra or one.id in (
    "ALE/Breakout-v5", "MiniGrid-DoorKey-8x8-v0")])
def test_every_pair_of_the_catalogue_is_understood(name, env):
    entry = catalog.algorithm(name)
    for said in (name, entry.title, entry.long_title):
        result = plan_from_text(f"train {said} on {env} with 2 envs")
        assert isinstance(result, Refusal if catalog.refusal(name, env) else TrainingPlan), result
        assert result.env == env


@pytest.mark.parametrize("place", catalog.ENVIRONMENTS.values(), ids=lambda place: place.id)
def test_an_environment_is_known_by_its_id_and_by_its_name(place):
    algo = "ppo" if place.acts == "discrete" else "sac"
    for said in (place.id, place.title):
        plan = plan_from_text(f"train {algo} on {said}")
        assert isinstance(plan, TrainingPlan), plan
        assert plan.env == place.id
        assert not [note for note in plan.notes if "left out" in note or "named" in note]


def test_every_algorithm_name_stands_for_one_algorithm():
    said = {name.lstrip("!"): key for key, entry in lexicon.ALGORITHMS.items() for name in entry.names.split(" | ")}
    assert not [(name, key) for name, key in said.items() if [one.key for one in algorithms(f"a {name} x")] != [key]]


def test_every_environment_name_stands_for_one_environment():
    said = {name: one for one, names in lexicon.ENV_NAMES.items() for name in names.split(" | ")}
    said |= {lexicon.spoken(name): name for family in lexicon.FAMILIES for name in family.names.split()}
    said |= {name: name for name in lexicon.COLLECTIONS}
    said |= {one.title: base(one.id) for one in catalog.ENVIRONMENTS.values()}
    assert not [(name, key) for name, key in said.items() if [one.key for one in environments(f"on {name} x")] != [key]]


def test_words_that_are_also_names_need_capitals():
    assert algorithms("reinforce her mat per bc") == []
    assert isinstance(plan_from_text("train PPO on CartPole, 2 epochs per rollout, for her"), TrainingPlan)


@pytest.mark.parametrize("name", sorted(catalog.ALGORITHMS))
def test_every_setting_is_understood_under_its_own_name(name):
    own = settings(catalog.config_class(name))
    for item in own:
        value = {"int": 3, "float": 0.5, "bool": True, "choice": item.choices[-1:], "ints": [7, 9]}[item.kind]
        value = value[0] if item.kind == "choice" else value
        assert read_wishes(f"run it, {item.name}={value}, please", own).values == {item.name: value}


@pytest.mark.parametrize(("said", "steps"), [
    ("100k steps", 100_000), ("2M timesteps", 2_000_000), ("1.5m frames", 1_500_000), ("3e6 steps", 3_000_000),
    ("250,000 env steps", 250_000), ("1_000_000 steps", 1_000_000), ("half a million steps", 500_000),
    ("two hundred thousand steps", 200_000), ("steps: 40k", 40_000), ("10^6 steps", 1_000_000),
    ("１０００ steps", 1_000), ("1 000 000 steps", 1_000_000), ("128\u202f000 steps", 128_000),
    ("1.000.000 steps", 1_000_000), ("3×10⁵ steps", 300_000), ("2,5e5 steps", 250_000),
    ("5 hundred thousand steps", 500_000),
    ("twenty five thousand steps", 25_000), ("one hundred and fifty thousand steps", 150_000),
    ("a quarter of a million steps", 250_000), ("three quarters of a million steps", 750_000),
    ("one and a half million steps", 1_500_000), ("thirty thousand steps", 30_000),
    ("one million five hundred thousand steps", 1_500_000), ("twelve hundred steps", 1_200),
    ("1万5千步", 15_000), ("一点五百万步", 1_500_000), ("1亿5000万步", 150_000_000), ("一百二十万步", 1_200_000),
    ("1000万步", 10_000_000), ("五十万步", 500_000), ("一千五百步", 1_500), ("两百万步", 2_000_000), ("3千步", 3_000),
    ("1亿步", 100_000_000),
])
def test_numbers_in_figures_words_and_chinese(said, steps):
    assert plan_from_text(f"train PPO on CartPole, {said}").env_steps == steps


@pytest.mark.parametrize(("said", "params"), [
    ("lr 0,001", {"learning_rate": 0.001}), ("lr=2.5e−4", {"learning_rate": 2.5e-4}),
    ("lr 2.5×10⁻⁴", {"learning_rate": 2.5e-4}), ("lr 1e–4", {"learning_rate": 1e-4}),
    ("hidden 64,64", {"hidden": [64, 64]}), ("hidden [0,1]", None), ("seed 5, 16 envs", {"num_envs": 16}),
])
def test_decimal_commas_and_typeset_minus_signs_are_read_and_lists_are_left_alone(said, params):
    plan = plan_from_text(f"train PPO on CartPole, {said}")
    assert isinstance(plan, Refusal) if params is None else plan.params == params


# ---------------------------------------------------------------- a plan holds what it says


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"algo": "poo"}, "Unknown algorithm 'poo'; did you mean 'ppo'?"),
    ({"env": "CartPole"}, "Unknown environment 'CartPole'; did you mean 'CartPole-v1'?"),
    ({"algo": "dqn", "env": "Pendulum-v1"}, "DQN needs a discrete action space"),
    ({"params": {"lr": 0.1}}, "PPOConfig has no setting 'lr'"),
    ({"params": {"clip": -1}}, "PPOConfig.clip=-1.0 must be between 0 and 10"),
    ({"env_steps": 1.5}, "env_steps=1.5 must be a whole number of at least 1"),
    ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
    ({"evaluate_episodes": 0}, "evaluate_episodes=0 must be"),
    ({"evaluate_every": 0}, "evaluate_every=0 must be a whole number of at least 1"),
    ({"patience": 3}, "patience=3 counts evaluations: give evaluate_every too"),
    ({"env_options": {"bits": 8}}, "CartPole-v1 has no options to choose"),
    ({"env": "rlcore/BitFlip-v0", "env_options": {"bits": 65}}, "bits=65 must be between 2 and 64"),
    ({"hindsight": 0.8}, "Hindsight replay needs an environment with goals, and CartPole-v1 has none"),
    ({"env": "rlcore/BitFlip-v0", "hindsight": 0.8}, "PPO learns from its newest rollout alone. DQN can do it."),
    ({"algo": "dqn", "env": "rlcore/BitFlip-v0", "hindsight": 1.2}, "hindsight=1.2 must be between 0 and 1"),
    ({"algo": "dqn", "env": "rlcore/BitFlip-v0", "hindsight": 0.8, "params": {"n_step": 2}}, "n_step=2 must be 1"),
    ({"target_return": float("nan")}, "target_return=nan must be a finite number"),
])
def test_a_plan_that_cannot_run_cannot_be_made(changes, sentence):
    good = {"algo": "ppo", "env": "CartPole-v1", "env_steps": 1000, "seed": 1, "params": {}}
    assert TrainingPlan(**good).title == "PPO"
    with pytest.raises(ConfigError) as error:
        TrainingPlan(**(good | changes))
    assert sentence in str(error.value)


def test_values_typed_as_text_become_the_config_s_types():
    plan = TrainingPlan("PPO", "CartPole-v1", 1000, 1, {"num_envs": "4", "learning_rate": "3e-4", "hidden": (8, 8)})
    assert plan.algo == "ppo"
    assert plan.params == {"num_envs": 4, "learning_rate": 3e-4, "hidden": [8, 8]}
    assert plan.changes["num_envs"] == 4


def test_the_description_tells_what_differs_and_what_to_expect():
    text = describe(plan_from_text("train PPO on CartPole with 32 envs, lr 0.0007, 5 seeds, until 400"))
    assert "**PPO on CartPole-v1** — Balance a pole" in text
    assert "| num_envs | 32 | 8 | parallel environments |" in text
    assert "| learning_rate | 0.0007 |" in text
    assert "| target_return | 400 |" in text
    assert "20 evaluation episodes and a video" in text
    assert "A mean return of 475 counts as solved." in text
    assert "\n- num_seeds=5 is left out" in text
    goals = describe(plan_from_text("use HER on BitFlip with 10 bits"))
    assert "| bits | 10 | 8 | switches" in goals
    assert "| hindsight | 0.8 |  | share of replayed steps that pursue a goal" in goals


@pytest.mark.parametrize(("sentence", "title"), [
    ("train C51 on CartPole", "C51 DQN"), ("train recurrent PPO on CartPole", "recurrent PPO"),
    ("train SAC with PER on Hopper", "SAC+PER"), ("train Rainbow with C51 on CartPole", "Rainbow"),
    ("train recurrent SAC on Hopper with an LSTM", "Recurrent-SAC"), ("double DQN on CartPole", "Double DQN"),
])
def test_a_title_names_what_was_added_and_not_what_is_always_there(sentence, title):
    assert plan_from_text(sentence).title == title


def test_a_row_for_each_kind_of_result():
    plan = to_row(plan_from_text("train a double DQN on CartPole, lr 1e-3, 5k steps"), "a")
    assert plan == {"id": "a", "algo": "Double DQN", "env": "CartPole-v1", "refused": False, "reason": "",
                    "params": {"learning_rate": 1e-3, "double": True, "total_timesteps": 5_000}}
    refusal = to_row(plan_from_text("train DQN on Pendulum"), "b")
    assert (refusal["refused"], refusal["algo"], refusal["env"]) == (True, "DQN", "Pendulum-v1")
    assert refusal["reason"].endswith("Train SAC on Pendulum-v1.")
    assert to_row(None, "c") == {"id": "c", "algo": "", "env": "", "params": {}, "refused": False,
                                 "reason": "Not a training request."}
    json.dumps([plan, refusal])


# ---------------------------------------------------------------- hostile text

HOSTILE = [
    "train PPO on CartPole\n'''\nimport os; os.system('x')\n'''",
    'train PPO on gym.make("__import__(\'os\').system(\'x\')")',
    "train PPO on Env\"); import os; os.system('x') #-v0",
    "train PPO on <script>alert(1)</script>-v3",
    "train PPO on CartPole, seed=__import__('os').getpid()",
    "train PPO on CartPole with lr={'a': 1} and gamma='; drop table runs; --",
    "train PPO on CartPole with 1e999 steps",
    "train PPO on CartPole with 9999999999999999999999 steps",
    "train PPO on CartPole with 10^9999999 envs",
    "train PPO on CartPole with 1e307 envs and horizon 1e307",
    "train PPO on CartPole with 1e17 envs and horizon 1e17",
    "train PPO on ../../etc/passwd-v1",
    "train PPO on CartPole \x00\x1b[31m \u202e |table|",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_ends_as_plain_values_or_a_refusal(text):
    result = plan_from_text(text)
    assert isinstance(result, TrainingPlan | Refusal)
    if isinstance(result, TrainingPlan):
        assert result.env in catalog.ENVIRONMENTS
        assert all(isinstance(value, bool | int | float | str | list) for value in result.params.values())
    else:
        assert isinstance(plan_from_text(result.alternative), TrainingPlan)
    shown = " ".join(map(str, to_row(result, "x").values()))
    assert not set("<>`|\x00\x1b\u202e") & set(shown)


@pytest.mark.parametrize("text", [
    "train PPO on CartPole " + "1 " * 2_000, "please " * 400 + "train PPO on CartPole", "训练" * 1_000 + "PPO",
    "train PPO on " + "a-" * 1_000 + "v1", "train PPO on CartPole lr=" * 100, "make(" + "'" * 2_000,
    "train PPO on CartPole hidden 1" + " , 1" * 500, "until " * 400 + "train PPO on CartPole",
    "," * 5_000 + "solve CartPole", "train DQN on CartPole, epsilon" + " " * 2_000, "on my " + "own " * 500,
])
def test_reading_stays_quick_on_long_text(text):
    start = time.perf_counter()
    plan_from_text(text)
    assert time.perf_counter() - start < 3    # 0.5 s at worst when this was written; a runaway pattern takes minutes
