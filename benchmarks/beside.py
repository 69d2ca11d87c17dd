"""A benchmark's learning run by Stable-Baselines3: the settings of our run, in its words, and the same seed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np


def learn(algo: str, env: str, config: Any, env_steps: int, seed: int, episodes: int) -> dict[str, Any]:
    """Train and evaluate: every episode's last step and return, the mean of the evaluation, and the seconds it took."""
    import stable_baselines3
    import torch
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    ended: list[tuple[int, float]] = []

    class Episodes(BaseCallback):
        def _on_step(self) -> bool:
            ended.extend((self.num_timesteps, info["episode"]["r"]) for info in self.locals["infos"]
                         if "episode" in info)
            return True

    torch.set_num_threads(1)
    one: Any = make_vec_env(env, n_envs=config.num_envs, seed=seed)
    if algo == "ppo":
        one = VecNormalize(one, norm_obs=config.normalize_obs, norm_reward=config.normalize_reward, gamma=config.gamma)
    model = getattr(stable_baselines3, algo.upper())("MlpPolicy", one, seed=seed, device="cpu",
                                                     **_settings(algo, one, config))
    started = time.monotonic()
    model.learn(env_steps, callback=Episodes())
    seconds = time.monotonic() - started
    if algo == "ppo":
        one.training = one.norm_reward = False
    else:
        one = make_vec_env(env, n_envs=1, seed=seed + 5_000_000)
    returns, _ = evaluate_policy(model, one, episodes, deterministic=True, return_episode_rewards=True)
    steps, scores = (np.array(column, float) for column in zip(*ended, strict=True))
    return {"evaluation": float(np.mean(returns)), "seconds": seconds, "step": steps, "return": scores}


def _settings(algo: str, env: Any, config: Any) -> dict[str, Any]:
    from stable_baselines3.common.noise import NormalActionNoise

    common = {"learning_rate": config.learning_rate, "gamma": config.gamma}
    if algo == "ppo":
        rate = config.learning_rate
        return common | {
            "learning_rate": (lambda left: left * rate) if config.learning_rate_decay == "linear" else rate,
            "n_steps": config.horizon, "n_epochs": config.epochs,
            "batch_size": config.num_envs * config.horizon // config.num_minibatches, "gae_lambda": config.gae_lambda,
            "clip_range": config.clip, "ent_coef": config.entropy_coef, "vf_coef": config.value_coef,
            "max_grad_norm": config.max_grad_norm,
            "policy_kwargs": {"net_arch": {"pi": list(config.hidden), "vf": list(config.hidden)}}}
    replay = common | {
        "batch_size": config.batch_size, "buffer_size": config.capacity, "learning_starts": config.learning_starts,
        "tau": config.tau, "train_freq": config.train_every, "gradient_steps": config.updates,
        "policy_kwargs": {"net_arch": list(config.hidden)}}
    if algo == "td3":
        size = env.action_space.shape[0]
        replay |= {"action_noise": NormalActionNoise(np.zeros(size), config.noise_std * np.ones(size)),
                   "policy_delay": config.policy_every, "target_policy_noise": config.target_noise,
                   "target_noise_clip": config.target_noise_clip}
    return replay
