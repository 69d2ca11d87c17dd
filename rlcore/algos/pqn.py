"""Parallelised Q-network. Gallici et al. 2024, arXiv:2407.04811.

One update: fix the Q(λ) targets of a rollout, then descend the squared error of Q over it `epochs` times in shuffled
minibatches. There is neither a replay memory nor a target network: many parallel environments decorrelate the steps,
and layer normalisation keeps the bootstrapped values from running away. Departs from the authors' code: Adam
instead of RAdam, and images pass their convolutions before the first normalisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch, Obs
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.acting import numpy_forward
from rlcore.nets.encoders import ACTIVATIONS, encoder_for, is_plain, learn_obs
from rlcore.nets.fused import Precision, RoundedLinear
from rlcore.nets.heads import epsilon_greedy, epsilon_lots, legal_values
from rlcore.nets.optim import adam, descend, flatten, set_learning_rate
from rlcore.ops.policy import weighted_mean
from rlcore.ops.returns import lambda_returns
from rlcore.ops.td import greedy_value
from rlcore.protocols import Metrics
from rlcore.schedule import Decay, linear, scheduled
from rlcore.spaces import action_mask, require_actions

Values = Callable[[Obs], Tensor]


@dataclass(frozen=True, kw_only=True)
class PQNConfig:
    """Settings of PQN; defaults suit small control tasks, in the proportions of the authors' code."""

    num_envs: int = setting(32, "parallel environments: they stand in for a replay memory", low=1, high=100_000)
    horizon: int = setting(32, "steps of each environment per update", low=1, high=1_000_000, unit="env steps")
    epochs: int = setting(4, "passes over each rollout", low=1)
    num_minibatches: int = setting(16, "gradient steps per pass; divides num_envs × horizon", low=1, high=1_000_000)
    learning_rate: float = setting(5e-4, "Adam's step size", low=0, high=1)
    learning_rate_decay: Decay = setting("constant", "how the learning rate changes over the run")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    q_lambda: float = setting(0.65, "targets: 0 looks one step ahead, 1 to the rollout's end", low=0, high=1)
    epsilon_start: float = setting(1.0, "share of random actions at first", low=0, high=1)
    epsilon_end: float = setting(0.05, "share of random actions in the end", low=0, high=1)
    epsilon_steps: int = setting(20_000, "steps over which that share falls", low=1, unit="env steps")
    max_grad_norm: float = setting(10.0, "gradients are scaled down to this norm", low=0)
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    hidden: tuple[int, ...] = setting((128, 128), "widths of the hidden layers, each normalised")
    activation: Literal["tanh", "relu"] = setting("relu", "nonlinearity between layers")
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    @property
    def batch_size(self) -> int:
        """Env steps per update."""
        return self.num_envs * self.horizon

    def __post_init__(self) -> None:
        check_ranges(self)
        parts = min(self.num_minibatches, self.batch_size)
        close = next(n for n in range(parts, 0, -1) if self.batch_size % n == 0)
        require(close == self.num_minibatches, self, "num_minibatches",
                f"divide the rollout of {self.batch_size} steps (num_envs × horizon)", f"Try {close}.")


@dataclass(frozen=True)
class PQNBatch(Batch):
    """What the loss reads. All [N, …]; weight 0 marks dummy rows."""

    obs: Obs
    action: Tensor
    target: Tensor
    weight: Tensor


class PQN:
    """The agent: one network, its optimiser and one round of learning."""

    memory_size, extras = 0, ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: PQNConfig, *,
                 seed: int = 0, device: str = "cpu"):  # noqa: ARG002  # what is random draws from the samplers and torch
        self.actions = require_actions("PQN", obs_space, action_space, {"discrete"}, instead="SAC or PPO")
        self.cfg, self.device = cfg, torch.device(device)
        self.network = self._network(obs_space).to(self.device)
        self.params = flatten(self.network)
        self.optimizer = adam(self.params, cfg.learning_rate)
        self.acting, self.forward = self.network, numpy_forward(self.network, self.device)
        self.returns = reward_scale(cfg)

    def _network(self, obs_space: spaces.Space[Any]) -> nn.Sequential:
        encoder = encoder_for("PQN", obs_space, self.cfg.normalize_obs, self.cfg.precision)
        linear = RoundedLinear if self.cfg.precision == "bfloat16" else nn.Linear
        layers: list[nn.Module] = [encoder, *([] if is_plain(obs_space) else [nn.LayerNorm(encoder.out_dim)])]
        for width, following in pairwise((encoder.out_dim, *self.cfg.hidden)):
            layers += [linear(width, following), nn.LayerNorm(following), ACTIVATIONS[self.cfg.activation]()]
        return nn.Sequential(*layers, nn.Linear(self.cfg.hidden[-1], self.actions.size))

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # all environments explore alike
        """Where and how to act at random: with probability ε. → [T, 1]"""
        return epsilon_lots(rng, horizon, self.epsilon(step))[:, None]

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """The legal action of highest value, except where the noise says otherwise. [B, *obs] → [B]"""
        lot = None if noise is None else noise[:, 0]
        return epsilon_greedy(self.forward(obs), lot, action_mask(obs)), memory

    def epsilon(self, step: int) -> float:
        """The share of random actions after `step` env steps."""
        return linear(self.cfg.epsilon_start, self.cfg.epsilon_end, step / self.cfg.epsilon_steps)

    def update(self, rollout: Rollout, progress: float) -> Metrics:
        """Learn from one rollout. progress in [0, 1] drives the learning rate."""
        cfg = self.cfg
        set_learning_rate(self.optimizer, scheduled(cfg.learning_rate, cfg.learning_rate_decay, progress))
        rollout, reward = rollout.to(self.device), rollout.reward
        if self.returns is not None:
            self.returns.learn(rollout)
            reward = self.returns.scale(rollout.reward)
        batch = pqn_targets(rollout, reward.to(self.device), self.network, cfg)
        size = cfg.batch_size // cfg.num_minibatches
        for _ in range(cfg.epochs):
            shuffled = batch[torch.randperm(cfg.batch_size, device=self.device)]
            for first in range(0, cfg.batch_size, size):
                loss, metrics = pqn_loss(self.network, shuffled[first:first + size])
                norm = descend(loss, self.optimizer, cfg.max_grad_norm)
        if cfg.normalize_obs:  # only now: acting, targets and loss have seen the same statistics
            learn_obs(rollout.obs, self.network[0])
        return metrics | {"loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser and statistics."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
                "returns": None if self.returns is None else self.returns.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.returns is not None:
            self.returns.load_state_dict(state["returns"])


@torch.no_grad()
def pqn_targets(rollout: Rollout, reward: Tensor, network: Values, cfg: PQNConfig) -> PQNBatch:
    """Q(λ) targets with V(s) = max_a Q(s, a), fixed before the first gradient step. [T, B] → [T·B]

    Credit passes exploring actions, as in Peng & Williams 1994.
    """
    seen = rollout.all_obs()
    ahead = greedy_value(legal_values(network(seen), seen))[1:]
    alive = 1 - rollout.terminated.float()
    unbroken = alive * (1 - rollout.truncated.float())
    target = lambda_returns(reward, ahead, discount=cfg.gamma * alive,
                            trace=cfg.gamma * cfg.q_lambda * unbroken)
    return PQNBatch(rollout.obs, rollout.action, target, rollout.valid.float()).flatten()


def pqn_loss(network: Values, batch: PQNBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Half the squared error of the chosen actions' values."""
    value = network(batch.obs).gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
    loss = weighted_mean(0.5 * (value - batch.target).square(), batch.weight)
    return loss, {"loss/value": loss.detach(), "value/mean": weighted_mean(value.detach(), batch.weight)}
