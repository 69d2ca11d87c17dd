"""Rainbow. Hessel et al. 2018, arXiv:1710.02298.

One update: pick past steps in proportion to how wrong they were, take n rewards together, and move the distribution of
the return towards the lagging network's, judged for the action that the online network would choose. It puts six
improvements of DQN together: double Q-learning, prioritised replay, dueling streams, n-step targets, distributions
(C51) and noisy networks, which also explore. Departs from the paper where small tasks want it: a larger step size,
shorter target periods, the range of returns per task.
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
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.ranked import Ranked
from rlcore.data.replay import Ring, Transitions
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.encoders import encoder_for, learn_obs
from rlcore.nets.fused import Precision
from rlcore.nets.heads import QNetwork, epsilon_greedy, legal_values, numpy_mean, numpy_values
from rlcore.nets.noisy import ActingNoise, redraw
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.ops.policy import weighted_mean
from rlcore.ops.td import (
    categorical_divergence,
    categorical_mean,
    categorical_projection,
    double_q_value,
    of_action,
    td_target,
)
from rlcore.protocols import Metrics
from rlcore.spaces import action_mask, require_actions

Logits = Callable[[Obs], Tensor]  # [N, *obs] → [N, A, K]


@dataclass(frozen=True, kw_only=True)
class RainbowConfig:
    """Settings of Rainbow; α, β, n, atoms and Adam's ε from the paper's table 1, the rest suits small tasks."""

    num_envs: int = setting(1, "parallel environments", low=1, high=100_000)
    train_every: int = setting(4, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(32, "remembered steps per gradient step", low=1)
    learning_rate: float = setting(5e-4, "Adam's step size", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    adam_eps: float = setting(1.5e-4, "Adam's ε: smaller gradients make smaller steps", low=0, high=1)
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    n_step: int = setting(3, "rewards in a target before the network's own estimate", low=1, high=1_000)
    atoms: int = setting(51, "points of the return's distribution", low=2, high=1_000)
    v_min: float = setting(-10.0, "lowest of these points, a discounted return")
    v_max: float = setting(10.0, "highest of these points, a discounted return")
    priority_alpha: float = setting(0.5, "how much more often surprising steps are picked: 0 not at all", low=0,
                                    high=1)
    priority_beta: float = setting(0.4, "how far importance weights make up for it at first; 1 is all the way", low=0,
                                   high=1)
    priority_beta_steps: int = setting(100_000, "steps over which β rises to 1", low=1, unit="env steps")
    capacity: int = setting(100_000, "steps that the replay memory holds", low=10, unit="env steps")
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    frames: int = setting(1, "images per stacked observation, each then stored once; 1 stores observations as they are",
                          low=1, high=64)
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    target_every: int = setting(250, "gradient steps between copies into the target network", low=1)
    max_grad_norm: float = setting(10.0, "gradients are scaled down to this norm", low=0)
    hidden: tuple[int, ...] = setting((128, 128), "widths of the hidden layers")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    def __post_init__(self) -> None:
        check_ranges(self)
        require(self.v_max > self.v_min, self, "v_max", f"be above v_min={self.v_min}")


@dataclass(frozen=True)
class RainbowBatch(Batch):
    """What the loss reads. All [N, …]; the target is the atoms' probabilities [N, K], weight 0 marks dummy rows."""

    obs: Obs
    action: Tensor
    target: Tensor
    importance: Tensor
    weight: Tensor


class Rainbow:
    """The agent: online and target network, memory, and one gradient step."""

    memory_size, extras = 0, ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: RainbowConfig, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("Rainbow", obs_space, action_space, {"discrete"}, instead="SAC or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        self.atoms = torch.linspace(cfg.v_min, cfg.v_max, cfg.atoms, device=self.device)
        self.online, self.target = (
            QNetwork(encoder_for("Rainbow", obs_space, cfg.normalize_obs, cfg.precision), self.actions.size, cfg.hidden,
                     atoms=cfg.atoms, split=True, noisy=True, precision=cfg.precision).to(self.device)
            for _ in range(2))
        self.target.load_state_dict(self.online.state_dict())
        self.params, self.lagged = flatten(self.online), flatten(self.target)
        self.optimizer = adam(self.params, cfg.learning_rate, cfg.adam_eps)
        self.acting, self.forward = self.online, numpy_values(self.online, self.device)
        self.acting_noise = ActingNoise(self.online, seed)
        self.memory = Ring(cfg.capacity, cfg.num_envs, frames=cfg.frames, reward_scale=reward_scale(cfg))
        self.replay = Ranked(self.memory, cfg.priority_alpha, cfg.priority_beta, cfg.priority_beta_steps)
        self.num_updates = 0

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # all environments share a draw
        """Which parameter noise to act with: one for all environments, until the next rollout. → [T, 1]"""
        return np.full((horizon, 1), step + 1.0)  # rows of other samplers' environments hold 0

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """The legal action of highest value by the noisy network, or by its mean if judged. [B, *obs] → [B]"""
        self.acting_noise.use(None if noise is None else int(noise.max()))
        value = numpy_mean(self.forward(obs), self.atoms.cpu().numpy())
        return epsilon_greedy(value, None, action_mask(obs)), memory

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
        for net in (self.online, self.target):
            redraw(net, torch.default_generator)
        batch = rainbow_targets(picked, importance.to(self.device), self.online, self.target, self.atoms)
        redraw(self.online, torch.default_generator)
        loss, error, metrics = rainbow_loss(self.online, batch, self.atoms)
        norm = descend(loss, self.optimizer, cfg.max_grad_norm)
        self.replay.learned(index, error, batch.weight)
        self.num_updates += 1
        if self.num_updates % cfg.target_every == 0:
            polyak(self.lagged, self.params, 1.0)
        return metrics | {"loss/grad_norm": norm}

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
def rainbow_targets(picked: Transitions, importance: Tensor, online: Logits, target: Logits, atoms: Tensor,
                    ) -> RainbowBatch:
    """The lagging distribution of the online network's choice, moved by n rewards. "The Integrated Agent". [N, K]"""
    choosing = categorical_mean(online(picked.next_obs), atoms)
    ahead = double_q_value(legal_values(choosing, picked.next_obs), target(picked.next_obs)).softmax(-1)
    moved = td_target(picked.reward[:, None], picked.discount[:, None], atoms)
    return RainbowBatch(picked.obs, picked.action, categorical_projection(moved, ahead, atoms), importance,
                        picked.weight)


def rainbow_loss(online: Logits, batch: RainbowBatch, atoms: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The divergence from the target, by which rows are also ranked. → loss, divergences [N], metrics"""
    logits = of_action(online(batch.obs), batch.action)
    error = categorical_divergence(batch.target, logits)
    loss = weighted_mean(batch.importance * error, batch.weight)
    value = categorical_mean(logits.detach(), atoms)
    return loss, error.detach(), {"loss/value": loss.detach(), "value/mean": weighted_mean(value, batch.weight)}
