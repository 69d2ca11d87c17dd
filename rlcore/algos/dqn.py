"""Deep Q-network. Mnih et al. 2015, Nature 518; arXiv:1312.5602.

One update: pick past steps from memory and move Q(s, a) towards r + γ·max Q̄(s', ·), where Q̄ is a copy of the network
that lags behind. Each later improvement is a setting of its own: `double` lets the online network choose and the copy
judge (van Hasselt et al. 2015), `dueling` splits state value and advantages (Wang et al. 2016), `n_step` looks further
ahead (Sutton 1988), `prioritized` picks what surprised (Schaul et al. 2015), `noisy` explores by learned parameter
noise instead of ε (Fortunato et al. 2018), and `atoms` learns the return's distribution, C51 (Bellemare et al. 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlcore.arrays import Array
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.ranked import replay
from rlcore.data.replay import Ring, Transitions
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.encoders import encoder_for, learn_obs
from rlcore.nets.fused import Precision
from rlcore.nets.heads import (
    QNetwork,
    epsilon_greedy,
    epsilon_lots,
    legal_values,
    numpy_mean,
    numpy_values,
)
from rlcore.nets.noisy import ActingNoise, redraw
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import (
    categorical_divergence,
    categorical_mean,
    categorical_projection,
    double_q_value,
    huber,
    of_action,
    td_target,
)
from rlcore.protocols import Metrics
from rlcore.schedule import linear
from rlcore.spaces import action_mask, require_actions

Values = Callable[[Obs], Tensor]  # [N, *obs] → Q [N, A], or the atoms' logits [N, A, K]


@dataclass(frozen=True, kw_only=True)
class DQNConfig:
    """Settings of DQN; defaults suit small control tasks rather than Atari."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(4, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(64, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(1e-3, "Adam's step size", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    capacity: int = setting(100_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    target_every: int = setting(250, "gradient steps between moves of the target network", low=1)
    tau: float = setting(1.0, "share of the online network in each move; 1 copies it", low=0, high=1)
    double: bool = setting(True, "choose with the online network, judge with the target network")
    dueling: bool = setting(False, "separate streams for the state's value and the actions' advantages")
    n_step: int = setting(1, "rewards in a target before the network's own estimate", low=1, high=1_000)
    prioritized: bool = setting(False, "pick surprising steps more often")
    priority_alpha: float = setting(0.6, "how much more often: 0 not at all, 1 in proportion to the error", low=0,
                                    high=1)
    priority_beta: float = setting(0.4, "how far importance weights make up for it at first; 1 is all the way", low=0,
                                   high=1)
    priority_beta_steps: int = setting(100_000, "steps over which β rises to 1", low=1, unit="env steps")
    noisy: bool = setting(False, "explore by learned parameter noise instead of random actions")
    atoms: int = setting(1, "points of the return's distribution (C51); 1 learns its mean alone", low=1, high=1_000)
    v_min: float = setting(-10.0, "lowest of these points, a discounted return")
    v_max: float = setting(10.0, "highest of these points, a discounted return")
    epsilon_start: float = setting(1.0, "share of random actions at first", low=0, high=1)
    epsilon_end: float = setting(0.05, "share of random actions in the end", low=0, high=1)
    epsilon_steps: int = setting(10_000, "steps over which that share falls", low=1, unit="env steps")
    max_grad_norm: float = setting(10.0, "gradients are scaled down to this norm", low=0)
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    frames: int = setting(1, "images per stacked observation, each then stored once; 1 stores observations as they are",
                          low=1, high=64)
    hidden: tuple[int, ...] = setting((128, 128), "widths of the hidden layers")
    activation: Literal["tanh", "relu"] = setting("relu", "nonlinearity between layers")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)
        require(self.v_max > self.v_min, self, "v_max", f"be above v_min={self.v_min}")


@dataclass(frozen=True)
class DQNBatch(Batch):
    """What the loss reads. All [N, …]; the target is a number, or the atoms' probabilities [N, K].

    importance: makes up for picking some rows more often; weight 0 marks dummy rows.
    """

    obs: Obs
    action: Tensor
    target: Tensor
    importance: Tensor
    weight: Tensor


class DQN:
    """The agent: online and target network, memory, and one gradient step."""

    memory_size, extras = 0, ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: DQNConfig, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("DQN", obs_space, action_space, {"discrete"}, instead="SAC or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        self.atoms = torch.linspace(cfg.v_min, cfg.v_max, cfg.atoms, device=self.device) if cfg.atoms > 1 else None
        self.online, self.target = (self._network(obs_space).to(self.device) for _ in range(2))
        self.target.load_state_dict(self.online.state_dict())
        self.params, self.lagged = flatten(self.online), flatten(self.target)
        self.optimizer = adam(self.params, cfg.learning_rate)
        self.acting, self.forward = self.online, numpy_values(self.online, self.device)
        self.acting_noise = ActingNoise(self.online, seed) if cfg.noisy else None
        self.memory = Ring(cfg.capacity, cfg.num_envs, frames=cfg.frames, reward_scale=reward_scale(cfg))
        self.replay = replay(self.memory, cfg, cfg.priority_beta_steps)
        self.num_updates = 0

    def _network(self, obs_space: spaces.Space[Any]) -> QNetwork:
        cfg = self.cfg
        return QNetwork(encoder_for("DQN", obs_space, cfg.normalize_obs, cfg.precision), self.actions.size, cfg.hidden,
                        activation=cfg.activation, atoms=None if self.atoms is None else cfg.atoms,
                        split=cfg.dueling, noisy=cfg.noisy, precision=cfg.precision)

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # all environments explore alike
        """Where and how to act at random; of a noisy network, which parameter noise all environments share. → [T, 1]"""
        if self.cfg.noisy:
            return np.full((horizon, 1), step + 1.0)  # rows of other samplers' environments hold 0
        return epsilon_lots(rng, horizon, self.epsilon(step))[:, None]

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """The legal action of highest value, except where the noise says otherwise. [B, *obs] → [B]"""
        lot = None if noise is None else noise[:, 0]
        if self.acting_noise is not None:
            self.acting_noise.use(None if lot is None else int(lot.max()))
            lot = None
        value = self.forward(obs)
        if self.atoms is not None:
            value = numpy_mean(value, self.atoms.cpu().numpy())
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
            polyak(self.lagged, self.params, cfg.tau)
        return metrics

    def learn(self, picked: Transitions, importance: Tensor) -> tuple[Tensor, Metrics]:
        """The step itself, a function of tensors alone. → each row's error [N], metrics"""
        self._redraw(self.online, self.target)
        batch = dqn_targets(picked, importance, self.online, self.target, self.atoms, self.cfg)
        self._redraw(self.online)  # the noise that chose an action does not judge it: Fortunato et al. 2018, eq. 16
        loss, error, metrics = dqn_loss(self.online, batch, self.atoms)
        norm = descend(loss, self.optimizer, self.cfg.max_grad_norm)
        return error, metrics | {"loss/grad_norm": norm}

    def _redraw(self, *nets: QNetwork) -> None:
        for net in nets if self.cfg.noisy else ():
            redraw(net, torch.default_generator)

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, priorities, counter and generator; the memory has its own."""
        return {"online": self.online.state_dict(), "target": self.target.state_dict(),
                "optimizer": self.optimizer.state_dict(), "replay": self.replay.state_dict(),
                "num_updates": self.num_updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in ("online", "target", "optimizer", "replay"):
            getattr(self, name).load_state_dict(state[name])
        self.num_updates, self.rng.bit_generator.state = state["num_updates"], state["rng"]


@torch.no_grad()
def dqn_targets(picked: Transitions, importance: Tensor, online: Values, target: Values, atoms: Tensor | None,
                cfg: DQNConfig) -> DQNBatch:
    """Bellman targets, fixed before the gradient step. [N], or over atoms [N, K]"""
    judged = target(picked.next_obs)
    choosing = online(picked.next_obs) if cfg.double else judged
    choosing = choosing if atoms is None else categorical_mean(choosing, atoms)
    ahead = double_q_value(legal_values(choosing, picked.next_obs), judged)
    if atoms is None:
        aim = td_target(picked.reward, picked.discount, ahead)
    else:
        moved = td_target(picked.reward[:, None], picked.discount[:, None], atoms)
        aim = categorical_projection(moved, ahead.softmax(-1), atoms)
    return DQNBatch(picked.obs, picked.action, aim, importance, picked.weight)


def dqn_loss(online: Values, batch: DQNBatch, atoms: Tensor | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The Huber loss of the temporal-difference error, Mnih et al. 2015, "Training algorithm"; over atoms the
    divergence from the target, Bellemare et al. 2017, algorithm 1. → loss, what surprised [N], metrics
    """
    value = of_action(online(batch.obs), batch.action)
    if atoms is None:
        error = value - batch.target
        rows = huber(error)
    else:
        error = rows = categorical_divergence(batch.target, value)
        value = categorical_mean(value.detach(), atoms)
    loss = weighted_mean(batch.importance * rows, batch.weight)
    metrics = {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach(), batch.weight)}
    return loss, error.detach(), metrics
