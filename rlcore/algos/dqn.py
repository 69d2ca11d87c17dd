"""Deep Q-network. Mnih et al. 2015, Nature 518; arXiv:1312.5602.

One update: pick past steps from memory and move Q(s, a) towards r + γ·max Q̄(s', ·), where Q̄ is a copy of the network
that lags behind. With `double` the online network chooses the action and the copy judges it (van Hasselt et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import check_ranges, setting
from rlcore.data.batch import Batch
from rlcore.data.replay import Ring, Transitions
from rlcore.nets.encoders import mlp
from rlcore.nets.optim import adam, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import double_q_value, greedy_value, huber, td_target
from rlcore.protocols import Metrics
from rlcore.schedule import linear
from rlcore.spaces import require_actions, require_vector_obs
from rlcore.speed import numpy_forward


@dataclass(frozen=True, kw_only=True)
class DQNConfig:
    """Settings of DQN; defaults suit small control tasks rather than Atari."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(4, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(64, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(1e-3, "Adam's step size", low=0, high=1)
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    capacity: int = setting(100_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    target_every: int = setting(250, "gradient steps between moves of the target network", low=1)
    tau: float = setting(1.0, "share of the online network in each move; 1 copies it", low=0, high=1)
    double: bool = setting(True, "choose with the online network, judge with the target network")
    epsilon_start: float = setting(1.0, "share of random actions at first", low=0, high=1)
    epsilon_end: float = setting(0.05, "share of random actions in the end", low=0, high=1)
    epsilon_steps: int = setting(10_000, "steps over which that share falls", low=1, unit="env steps")
    max_grad_norm: float = setting(10.0, "gradients are scaled down to this norm", low=0)
    hidden: tuple[int, ...] = setting((128, 128), "widths of the hidden layers")
    activation: Literal["tanh", "relu"] = setting("relu", "nonlinearity between layers")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class DQNBatch(Batch):
    """What the loss reads. All [N, …]; weight 0 marks dummy rows."""

    obs: Tensor
    action: Tensor
    target: Tensor
    weight: Tensor


class DQN:
    """The agent: online and target network, memory, and one gradient step."""

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: DQNConfig, *,
                 seed: int = 0, device: str = "cpu"):
        obs_dim = require_vector_obs("DQN", obs_space)
        self.actions = require_actions("DQN", action_space, {"discrete"}, instead="SAC or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        sizes = (obs_dim, *cfg.hidden, self.actions.size)
        self.online, self.target = (mlp(sizes, cfg.activation).to(self.device) for _ in range(2))
        self.target.load_state_dict(self.online.state_dict())
        self.params, self.lagged = flatten(self.online), flatten(self.target)
        self.optimizer = adam(self.params, cfg.learning_rate)
        self.forward = numpy_forward(self.online, self.device)
        self.memory = Ring(cfg.capacity, cfg.num_envs)
        self.num_updates = 0

    def act(self, obs: Array, step: int | None = None) -> Array:
        """The action of highest value; while training, a random one with probability ε. [B, obs_dim] → [B]"""
        best: Array = self.forward(obs).argmax(-1)
        if step is None:
            return best
        lucky = self.rng.random(len(obs)) < self.epsilon(step)
        return np.where(lucky, self.actions.random(len(obs), self.rng), best) if lucky.any() else best

    def epsilon(self, step: int) -> float:
        """The share of random actions after `step` env steps: all of them before learning starts."""
        if step < self.cfg.learning_starts:
            return 1.0
        return linear(self.cfg.epsilon_start, self.cfg.epsilon_end, step / self.cfg.epsilon_steps)

    def update(self) -> Metrics:
        """One gradient step on a batch from memory."""
        picked = self.memory.transitions(self.cfg.batch_size, self.rng).to(self.device)
        batch = dqn_targets(picked, self.online, self.target, self.cfg)
        loss, metrics = dqn_loss(self.online, batch)
        norm = descend(loss, self.optimizer, self.cfg.max_grad_norm)
        self.num_updates += 1
        if self.num_updates % self.cfg.target_every == 0:
            polyak(self.lagged, self.params, self.cfg.tau)
        return metrics | {"loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, counter and generator; the memory has its own."""
        return {"online": self.online.state_dict(), "target": self.target.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "num_updates": self.num_updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.num_updates, self.rng.bit_generator.state = state["num_updates"], state["rng"]


@torch.no_grad()
def dqn_targets(picked: Transitions, online: nn.Module, target: nn.Module, cfg: DQNConfig) -> DQNBatch:
    """Bellman targets, fixed before the gradient step. [N]"""
    judged = target(picked.next_obs)
    ahead = double_q_value(online(picked.next_obs), judged) if cfg.double else greedy_value(judged)
    discount = cfg.gamma * (1 - picked.terminated.float())  # the clock does not end the task: truncation bootstraps
    return DQNBatch(picked.obs, picked.action, td_target(picked.reward, discount, ahead), picked.weight)


def dqn_loss(online: nn.Module, batch: DQNBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """The Huber loss of the temporal-difference error. Mnih et al. 2015, "Training algorithm"."""
    value = online(batch.obs).gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
    loss = weighted_mean(huber(value - batch.target), batch.weight)
    return loss, {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach(), batch.weight)}
