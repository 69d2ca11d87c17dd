"""Recurrent replay distributed DQN. Kapturowski et al. 2019, ICLR, "Recurrent Experience Replay in Distributed
Reinforcement Learning"; its prioritised replay is that of Horgan et al. 2018, arXiv:1803.00933.

One update: pick stored sequences in proportion to how surprising they were, run the recurrent networks over the first
steps only to refresh the memory that was stored with them, and move Q of the rest towards n-step double-Q targets on a
compressed scale. Each environment explores with a rate of its own. Departs from the paper: the networks do not see the
last action and reward, an n-step target near a sequence's end takes the steps that are left, and new sequences enter
with the largest priority so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.arrays import Array
from rlcore.config import check_ranges, require, setting
from rlcore.data.batch import Batch, tree_map
from rlcore.data.prioritized import Prioritized
from rlcore.data.replay import Ring, Sequences
from rlcore.data.rollout import Rollout
from rlcore.data.scale import reward_scale
from rlcore.nets.encoders import learn_obs
from rlcore.nets.fused import Precision
from rlcore.nets.heads import Dueling, epsilon_greedy, epsilon_lots, legal_values
from rlcore.nets.optim import adam, anneal, descend, flatten, polyak
from rlcore.nets.recurrent import CoreKind, Trunk, unroll
from rlcore.ops.policy import weighted_mean
from rlcore.ops.returns import n_step_returns
from rlcore.ops.td import double_q_value, value_rescale, value_unscale
from rlcore.protocols import Metrics
from rlcore.spaces import action_mask, require_actions


@dataclass(frozen=True, kw_only=True)
class R2D2Config:
    """Settings of R2D2; ratios from the paper's table 2, sizes for small tasks rather than Atari."""

    num_envs: int = setting(8, "parallel environments, each with an exploration rate of its own", low=1, high=100_000)
    train_every: int = setting(4, "steps of each environment between rounds of learning", low=1, unit="env steps")
    updates: int = setting(1, "gradient steps per round of learning", low=1)
    batch_size: int = setting(32, "remembered sequences per gradient step", low=1)
    burn_in: int = setting(8, "first steps of a sequence, which only refresh its memory", low=0, unit="env steps")
    sequence_length: int = setting(16, "steps of a sequence that are learned from", low=1, unit="env steps")
    sequence_every: int = setting(8, "steps between the beginnings of sequences; fewer than sequence_length overlap",
                                  low=1, unit="env steps")
    n_step: int = setting(5, "rewards taken together in a target", low=1)
    learning_rate: float = setting(1e-3, "Adam's step size", low=0, high=1)
    learning_rate_steps: int | None = setting(None, "steps over which the learning rate falls to zero; it stays if not "
                                              "set", low=1, unit="env steps")
    gamma: float = setting(0.99, "discount per step", low=0, high=1)
    capacity: int = setting(100_000, "steps that the replay memory holds", low=10, unit="env steps")
    learning_starts: int = setting(1_000, "steps taken at random before learning", low=1, unit="env steps")
    target_every: int = setting(100, "gradient steps between copies to the target network", low=1)
    rescale_eps: float = setting(1e-3, "ε of the value scale h(x) = sign(x)·(√(|x|+1) − 1) + εx", low=1e-8, high=1)
    epsilon: float = setting(0.4, "share of random actions of the first environment", low=0, high=1)
    epsilon_alpha: float = setting(7.0, "α of the rates: environment i of N has epsilon^(1 + α·i/(N − 1))", low=0)
    priority_alpha: float = setting(0.9, "how much surprise is preferred; 0 picks uniformly", low=0, high=1)
    priority_beta: float = setting(0.6, "how much that preference is corrected in the loss", low=0, high=1)
    priority_eta: float = setting(0.9, "share of the largest error in a priority; the rest is the mean error",
                                  low=0, high=1)
    max_grad_norm: float = setting(40.0, "gradients are scaled down to this norm", low=0)
    reward_scale: float = setting(1.0, "rewards are multiplied by this before learning", low=1e-8)
    normalize_reward: bool = setting(False, "divide rewards by the running deviation of the discounted return")
    normalize_obs: bool = setting(False, "centre and scale observations by running statistics")
    frames: int = setting(1, "images per stacked observation, each then stored once; 1 stores observations as they are",
                          low=1, high=64)
    hidden: tuple[int, ...] = setting((64,), "widths of the hidden layers before the core")
    core: CoreKind = setting("lstm", "recurrent core")
    core_size: int = setting(64, "width of the recurrent core", low=1)
    precision: Precision = setting("float32", "of wide matrix products and convolutions; bfloat16 is faster on CPUs "
                                   "with AMX, slower on others")

    @property
    def length(self) -> int:
        """Env steps of a sequence."""
        return self.burn_in + self.sequence_length

    def __post_init__(self) -> None:
        check_ranges(self)
        least = self.num_envs * (self.length + self.sequence_every + self.frames - 1)
        require(self.capacity >= least, self, "capacity", f"hold a sequence of every environment: at least {least}")


@dataclass(frozen=True)
class R2D2Batch(Batch):
    """What the loss reads besides the values, all [L, N]. The target is on the compressed scale; weight 0 marks dummy
    rows, and elsewhere corrects for how often a sequence is picked.
    """

    action: Tensor
    target: Tensor
    weight: Tensor


class QNetwork(nn.Module):
    """Q(history, ·) on the compressed scale."""

    def __init__(self, obs_space: spaces.Space[Any], num_actions: int, cfg: R2D2Config):
        super().__init__()
        self.trunk = Trunk("R2D2", obs_space, cfg.hidden, cfg.core, cfg.core_size, cfg.normalize_obs,
                           precision=cfg.precision)
        self.head = Dueling(self.trunk.out_dim, num_actions, (cfg.core_size,), precision=cfg.precision)

    def forward(self, seqs: Sequences, burn_in: int) -> Tensor:
        """Behind the burn-in, for every observation. → [L + 1, N, A]"""
        values: Tensor = self.head(unroll(self.trunk, seqs.obs, seqs.memory[0], seqs.start, burn_in))
        return values


class R2D2:
    """The agent: online and target network, memory of sequences with priorities, and one gradient step."""

    extras = ()

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: R2D2Config, *,
                 seed: int = 0, device: str = "cpu"):
        self.actions = require_actions("R2D2", obs_space, action_space, {"discrete"}, instead="Recurrent-SAC or PPO")
        self.cfg, self.device, self.rng = cfg, torch.device(device), np.random.default_rng(seed)
        self.online, self.target = (QNetwork(obs_space, self.actions.size, cfg).to(self.device) for _ in range(2))
        self.target.load_state_dict(self.online.state_dict())
        self.params, self.lagged = flatten(self.online), flatten(self.target)
        self.optimizer = adam(self.params, cfg.learning_rate, eps=1e-3)
        self.acting, self.memory_size = self.online, self.online.trunk.memory_size
        self.memory = Ring(cfg.capacity, cfg.num_envs, memory_every=cfg.sequence_every, frames=cfg.frames,
                           reward_scale=reward_scale(cfg))
        self.picker = Prioritized(self.memory.steps // cfg.sequence_every * cfg.num_envs, cfg.priority_alpha,
                                  cfg.priority_beta)
        self.num_updates = 0

    def noise(self, rng: np.random.Generator, horizon: int, step: int, env: int) -> Array:  # noqa: ARG002  # rates stay
        """Where and how to act at random: with the environment's own probability ε. → [T, 1]"""
        return epsilon_lots(rng, horizon, self.epsilon(env))[:, None]

    def act(self, obs: Any, memory: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """The legal action of highest value, except where the noise says otherwise. [B, *obs], [B, M] → [B], [B, M]"""
        features, memory = self.online.trunk.step(obs, memory, self.device)
        with torch.no_grad():
            value = self.online.head(features).cpu().numpy()
        return epsilon_greedy(value, None if noise is None else noise[:, 0], action_mask(obs)), memory

    def epsilon(self, env: int) -> float:
        """ε_i = ε^(1 + α·i/(N − 1)): the share of random actions of environment i. Horgan et al. 2018, appendix."""
        return float(self.cfg.epsilon ** (1 + self.cfg.epsilon_alpha * env / max(1, self.cfg.num_envs - 1)))

    def remember(self, rollout: Rollout) -> None:
        """Take a rollout into memory; sequences that it completes can be picked, those it overwrites no longer."""
        cfg, before = self.cfg, self.memory.total
        if not before:  # an agent that begins as another's last one has its priorities, but not its rows
            self.picker.forget(np.arange(self.picker.tree.size))
        self.memory.add(rollout)
        total, oldest = self.memory.total, self.memory.oldest
        gone = max(before, total - self.memory.steps)
        # the newest step's successor has overwritten a row, too, and the stacks behind it lack their first frames
        self.picker.forget(self._places(gone, total + cfg.frames))
        self.picker.added(self._places(max(before - cfg.length + 1, oldest), total - cfg.length + 1))
        if cfg.normalize_obs:
            learn_obs(rollout.obs, self.online.trunk.encoder, self.target.trunk.encoder)

    def _places(self, first: int, end: int) -> Array:
        """The picker's places of the sequences that begin at steps first ≤ step < end. → [n]"""
        every, num = self.cfg.sequence_every, self.cfg.num_envs
        begins = np.arange(-(-max(first, 0) // every) * every, max(end, 0), every)
        return (begins % self.memory.steps // every * num + np.arange(num)[:, None]).reshape(-1)

    def update(self) -> Metrics:
        """One gradient step on a batch of sequences; nothing where none is complete yet."""
        cfg = self.cfg
        if not self.picker.tree.total:
            return {}
        anneal(cfg.learning_rate, cfg.learning_rate_steps, self.memory.env_steps, self.optimizer)
        place, probability = self.picker.pick(cfg.batch_size, self.rng)
        row = place // cfg.num_envs * cfg.sequence_every * cfg.num_envs + place % cfg.num_envs
        seqs = self.memory.sequences(torch.from_numpy(row).to(self.memory.device), cfg.length).to(self.device)
        share = torch.as_tensor(self.picker.weight(probability), dtype=torch.float32, device=self.device)
        values = self.online(seqs, cfg.burn_in)
        with torch.no_grad():
            judged = self.target(seqs, cfg.burn_in)
        choosing = legal_values(values.detach(), tree_map(lambda part: part[cfg.burn_in:], seqs.obs))
        batch = r2d2_targets(seqs, share, choosing, judged, cfg)
        loss, error, metrics = r2d2_loss(values, batch, cfg)
        norm = descend(loss, self.optimizer, cfg.max_grad_norm)
        priority = sequence_priority(error, seqs.valid[cfg.burn_in:], cfg.priority_eta)
        self.picker.learned(place, priority.cpu().numpy())
        self.num_updates += 1
        if self.num_updates % cfg.target_every == 0:
            polyak(self.lagged, self.params, 1.0)
        return metrics | {"loss/grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, priorities, counter and generator; the memory has its own."""
        return {"online": self.online.state_dict(), "target": self.target.state_dict(),
                "optimizer": self.optimizer.state_dict(), "picker": self.picker.state_dict(),
                "num_updates": self.num_updates, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in ("online", "target", "optimizer", "picker"):
            getattr(self, name).load_state_dict(state[name])
        self.num_updates, self.rng.bit_generator.state = state["num_updates"], state["rng"]


def r2d2_targets(seqs: Sequences, share: Tensor, choosing: Tensor, judged: Tensor, cfg: R2D2Config) -> R2D2Batch:
    """h(Σ γᵏ·r_{t+k} + γⁿ·h⁻¹(Q̄(s_{t+n}, argmax Q))) behind the burn-in.  Kapturowski et al. 2019, eq. 1.

    choosing, judged [L + 1, N, A] are the values of the online and the target network, without gradients; share [N]
    corrects for how often each sequence is picked.
    """
    action, reward, terminated, valid = (
        column[cfg.burn_in:] for column in (seqs.action, seqs.reward, seqs.terminated, seqs.valid))
    chosen = double_q_value(choosing[1:].flatten(0, 1), judged[1:].flatten(0, 1)).view_as(reward)
    ahead = value_unscale(chosen, cfg.rescale_eps)
    discount = cfg.gamma * (1 - terminated.float())
    goes_on = torch.cat([valid[1:], valid[-1:]]).float()  # the row after an episode's last is a dummy
    returns = n_step_returns(reward, ahead, discount, discount * goes_on, cfg.n_step)
    return R2D2Batch(action, value_rescale(returns, cfg.rescale_eps), valid.float() * share)


def r2d2_loss(values: Tensor, batch: R2D2Batch, cfg: R2D2Config) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Half the squared error of the chosen actions' values [L + 1, N, A], and the error itself [L, N]."""
    value = values[:-1].gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
    error = value - batch.target
    counted = (batch.weight > 0).float()
    loss = weighted_mean(0.5 * batch.weight * error.square(), counted)
    mean = weighted_mean(value_unscale(value.detach(), cfg.rescale_eps), counted)
    return loss, error.detach(), {"loss/value": loss.detach(), "value/mean": mean}


def sequence_priority(error: Tensor, valid: Tensor, eta: float) -> Tensor:
    """η·max_t |δ_t| + (1 − η)·mean_t |δ_t| among the rows that count.  Kapturowski et al. 2019, §2.3.

    [L, N], [L, N] bool → [N]
    """
    size = error.abs() * valid
    return eta * size.amax(0) + (1 - eta) * size.sum(0) / valid.sum(0).clamp_min(1)
