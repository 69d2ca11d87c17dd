"""Implicit quantile networks. Dabney et al. 2018, arXiv:1806.06923.

One update: pick past steps from memory, ask the network for the quantiles of each return at N random fractions τ, and
move them towards r + γ·(N' quantiles, at other random fractions, of the best next action by the lagging network).
Departs from the paper where it chooses actions: their mean is taken at K fixed, evenly spread fractions instead of K
random ones, which estimates the same number with less noise and keeps acting a pure function. n-step targets and
prioritised replay (Schaul et al. 2015) are settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlcore.arrays import Array
from rlcore.config import check_ranges, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.ranked import replay
from rlcore.data.replay import Ring, Transitions
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.acting import to_torch
from rlcore.nets.encoders import encoder_for, learn_obs
from rlcore.nets.fused import Precision
from rlcore.nets.heads import ImplicitQuantiles, epsilon_greedy, epsilon_lots, legal_values
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import double_q_value, of_action, quantile_huber, quantile_midpoints, td_target
from rlcore.protocols import Metrics
from rlcore.schedule import linear
from rlcore.spaces import action_mask, require_actions

Quantiles = Callable[[Obs, Tensor], Tensor]  # [N, *obs], τ [N, Q] → [N, A, Q]


@dataclass(frozen=True, kw_only=True)
class IQNConfig:
    """Settings of IQN; defaults suit small control tasks rather than Atari."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(4, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(64, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(1e-3, "Adam's step size", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    adam_eps: float = setting(0.01 / 32, "Adam's ε, the paper's: smaller gradients make smaller steps", low=0, high=1)
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    n_step: int = setting(1, "rewards in a target before the network's own estimate", low=1, high=1_000)
    prioritized: bool = setting(False, "pick surprising steps more often")
    priority_alpha: float = setting(0.6, "how much more often: 0 not at all, 1 in proportion to the loss", low=0,
                                    high=1)
    priority_beta: float = setting(0.4, "how far importance weights make up for it at first; 1 is all the way", low=0,
                                   high=1)
    priority_beta_steps: int = setting(100_000, "steps over which β rises to 1", low=1, unit="env steps")
    fractions: int = setting(16, "random fractions at which the online network is trained, N", low=1, high=1_000)
    target_fractions: int = setting(16, "random fractions of the target's distribution, N'", low=1, high=1_000)
    acting_fractions: int = setting(32, "fixed fractions whose mean is an action's value, K", low=1, high=1_000)
    cosines: int = setting(64, "features cos(πiτ) of a fraction; the paper's number", low=1, high=1_000)
    capacity: int = setting(100_000, "steps that the replay memory holds", low=10, unit="env steps")
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    frames: int = setting(1, "images per stacked observation, each then stored once; 1 stores observations as they are",
                          low=1, high=64)
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    target_every: int = setting(250, "gradient steps between copies into the target network", low=1)
    epsilon_start: float = setting(1.0, "share of random actions at first", low=0, high=1)
    epsilon_end: float = setting(0.05, "share of random actions in the end", low=0, high=1)
    epsilon_steps: int = setting(10_000, "steps over which that share falls", low=1, unit="env steps")
    max_grad_norm: float = setting(10.0, "gradients are scaled down to this norm", low=0)
    hidden: tuple[int, ...] = setting((128, 128), "widths of the hidden layers")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class IQNBatch(Batch):
    """What the loss reads. All [N, …]; the target is a set of returns [N, N'].

    importance: makes up for picking some rows more often; weight 0 marks dummy rows.
    """

    obs: Obs
    action: Tensor
    target: Tensor
    importance: Tensor
    weight: Tensor


class IQN:
    """The agent: online and target network, memory, and one gradient step."""

    memory_size, extras = 0, ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: IQNConfig, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("IQN", obs_space, action_space, {"discrete"}, instead="SAC or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        self.online, self.target = (
            ImplicitQuantiles(encoder_for("IQN", obs_space, cfg.normalize_obs, cfg.precision), self.actions.size,
                              cfg.hidden, cfg.cosines, precision=cfg.precision).to(self.device) for _ in range(2))
        self.target.load_state_dict(self.online.state_dict())
        self.params, self.lagged = flatten(self.online), flatten(self.target)
        self.optimizer = adam(self.params, cfg.learning_rate, cfg.adam_eps)
        self.spread = quantile_midpoints(cfg.acting_fractions)[None].to(self.device)
        self.acting = self.online
        self.memory = Ring(cfg.capacity, cfg.num_envs, frames=cfg.frames, reward_scale=reward_scale(cfg))
        self.replay = replay(self.memory, cfg, cfg.priority_beta_steps)
        self.num_updates = 0

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # all environments explore alike
        """Where and how to act at random. → [T, 1]"""
        return epsilon_lots(rng, horizon, self.epsilon(step))[:, None]

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """The legal action of highest mean, except where the noise says otherwise. [B, *obs] → [B]"""
        lot = None if noise is None else noise[:, 0]
        with torch.inference_mode():
            value = self.online(to_torch(obs, self.device), self.spread).mean(-1).cpu().numpy()
        return epsilon_greedy(value, lot, action_mask(obs)), memory

    def epsilon(self, step: int) -> float:
        """The share of random actions after `step` env steps."""
        return linear(self.cfg.epsilon_start, self.cfg.epsilon_end, step / self.cfg.epsilon_steps)

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory, and its observations into the running statistics."""
        self.replay.add(rollout)
        if self.cfg.normalize_obs:
            learn_obs(rollout.obs, self.online.encoder, self.target.encoder)

    def update(self) -> Metrics:
        """One gradient step on a batch from memory."""
        cfg = self.cfg
        anneal(cfg.learning_rate, cfg.learning_rate_steps, self.memory.env_steps, self.optimizer)
        index, importance = self.replay.pick(cfg.batch_size, self.rng)
        picked = self.memory.transitions(index, cfg.gamma, cfg.n_step).to(self.device)
        error, metrics = self.learn(picked, importance.to(self.device))
        self.replay.learned(index, error, picked.weight)
        self.num_updates += 1
        if self.num_updates % cfg.target_every == 0:
            polyak(self.lagged, self.params, 1.0)
        return metrics

    def learn(self, picked: Transitions, importance: Tensor) -> tuple[Tensor, Metrics]:
        """The step itself, a function of tensors alone. → each row's error [N], metrics"""
        cfg = self.cfg
        fraction = torch.rand(cfg.batch_size, cfg.fractions, device=self.device)
        ahead = torch.rand(cfg.batch_size, cfg.target_fractions, device=self.device)
        batch = iqn_targets(picked, importance, self.target, ahead, self.spread)
        loss, error, metrics = iqn_loss(self.online, batch, fraction)
        return error, metrics | {"loss/grad_norm": descend(loss, self.optimizer, cfg.max_grad_norm)}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, priorities, counter and generator; the memory has its own."""
        return {"online": self.online.state_dict(), "target": self.target.state_dict(),
                "optimizer": self.optimizer.state_dict(), "replay": self.replay.state_dict(),
                "num_updates": self.num_updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.replay.load_state_dict(state.get("replay", {}))  # older checkpoints know only even replay
        self.num_updates, self.rng.bit_generator.state = state["num_updates"], state["rng"]


@torch.no_grad()
def iqn_targets(picked: Transitions, importance: Tensor, target: Quantiles, fraction: Tensor,
                spread: Tensor) -> IQNBatch:
    """r + γ·Z̄_τ'(s', a*) at N' fractions, a* the action of highest mean over `spread`. Dabney et al. 2018, §3.1.

    fraction [N, N'], spread [1, K] → [N, N']
    """
    choosing = legal_values(target(picked.next_obs, spread).mean(-1), picked.next_obs)
    ahead = double_q_value(choosing, target(picked.next_obs, fraction))
    aim = td_target(picked.reward[:, None], picked.discount[:, None], ahead)
    return IQNBatch(picked.obs, picked.action, aim, importance, picked.weight)


def iqn_loss(online: Quantiles, batch: IQNBatch, fraction: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The quantile Huber loss at sampled fractions [N, Q]. Dabney et al. 2018, eq. 3. → loss, what surprised [N],
    metrics

    What surprised is each row's loss, as where distributions are learned by Rainbow (Hessel et al. 2018) and in
    Dopamine (Castro et al. 2018, arXiv:1812.06110): a return that is only uncertain surprises too.
    """
    quantile = of_action(online(batch.obs, fraction), batch.action)
    rows = quantile_huber(quantile, batch.target, fraction)
    loss = weighted_mean(batch.importance * rows, batch.weight)
    metrics = {"loss/value": loss.detach(), "value/mean": weighted_mean(quantile.detach().mean(-1), batch.weight)}
    return loss, rows.detach(), metrics
