"""Trading several assets on synthetic prices, as a single and a vectorised environment.

The task is ElegantRL's stock trading (Liu et al. 2021, arXiv:2112.05923). The prices are no market's but a correlated
geometric Brownian motion (Black & Scholes 1973, Journal of Political Economy 81), drawn anew from the episode's seed.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlcore.arrays import Array
from rlcore.envs.wrappers import time_limit

ID = "rlcore/StockTrading-v0"
EPISODE_STEPS = 250  # trading days of a year
_DRIFT, _VOLATILITY, _TOGETHER = 0.1, 0.25, 0.3   # per year; share of the variance that all assets have in common
_WARM_UP = 30        # days of prices before the first decision, for the indicators
_FAST, _SLOW, _RSI = 10, 30, 14   # days
_CASH = 1e6          # at the start
_LOT = 0.1           # of the starting cash: what a full action buys or sells of one asset in a day
_COST = 1e-3         # of what is traded
_SCALE = 100.0 / _CASH   # of rewards: a percent of the starting wealth is 1


class StockTrading(gym.Env[Array, Array]):
    """Buy and sell A assets once a day for a year, at a cost.

    wealth = cash + Σ shares·price;   reward = (wealth tomorrow − wealth today) / (1 % of the wealth at the start)

    Observation  Box [1 + 5·A] float32: cash over starting cash − 1; for each asset the worth of what is held over
                 starting cash, yesterday's return ×10, price over its 10-day and over its 30-day mean (minus 1, ×10),
                 and the 14-day relative strength (Wilder 1978) in [−1, 1]
    Action       Box [−1, 1] per asset: part of 10 % of the starting cash to buy (+) or sell (−). One sells no more than
                 one holds; where cash falls short, all purchases shrink alike
    Cost         0.1 % of what is traded
    Ends         never by itself; truncated after 250 days by the registered id
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # Gymnasium's own way of saying so

    def __init__(self, assets: int = 4):
        self.observation_space, self.action_space = _spaces(assets)
        self.market = _Market(1, assets)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """A new year of prices; all wealth is cash."""
        super().reset(seed=seed, options=options)
        self.market.begin(0, self.np_random)
        return self.market.observe()[0], {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Trade at today's prices, and see tomorrow's."""
        reward = self.market.trade(np.asarray(action)[None], np.zeros(1, bool))
        return self.market.observe()[0], float(reward[0]), False, False, {"wealth": float(self.market.wealth()[0])}


class StockTradingVector(VectorEnv[Array, Array, Array]):
    """B markets at once: bit for bit what B of `StockTrading` do. Autoreset is next-step."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int, assets: int = 4, max_episode_steps: int = EPISODE_STEPS):
        self.num_envs, self.max_episode_steps = num_envs, time_limit(max_episode_steps)
        self.single_observation_space, self.single_action_space = _spaces(assets)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.market = _Market(num_envs, assets)
        self.elapsed, self.ended = np.zeros(num_envs, np.int64), np.zeros(num_envs, bool)
        self.draws = [np.random.default_rng() for _ in range(num_envs)]

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None  # noqa: ARG002
              ) -> tuple[Array, dict[str, Any]]:
        """Start all episodes anew; one seed per copy, or copy b takes seed + b."""
        if seed is not None:
            seeds = range(seed, seed + self.num_envs) if isinstance(seed, int) else seed
            self.draws = [gym.utils.seeding.np_random(one)[0] for one in seeds]
        self._begin(np.arange(self.num_envs))
        self.ended = np.zeros(self.num_envs, bool)
        return self.market.observe(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One day of every market; those whose year had ended begin anew."""
        fresh = self.ended
        reward = np.where(fresh, 0, self.market.trade(np.asarray(actions), fresh))
        self.elapsed += 1
        self._begin(np.flatnonzero(fresh))
        self.ended = self.elapsed >= self.max_episode_steps
        info = {"wealth": self.market.wealth()}
        return self.market.observe(), reward, np.zeros(self.num_envs, bool), self.ended.copy(), info

    def _begin(self, rows: Array) -> None:
        for row in rows:
            self.market.begin(int(row), self.draws[row])
        self.elapsed[rows] = 0


def register() -> None:
    """Make the id known to Gymnasium."""
    if ID not in gym.registry:
        gym.register(ID, entry_point=StockTrading, vector_entry_point=StockTradingVector,  # type: ignore[arg-type]
                     max_episode_steps=EPISODE_STEPS)


def _spaces(assets: int) -> tuple[spaces.Box, spaces.Box]:
    return spaces.Box(-np.inf, np.inf, (1 + 5 * assets,), np.float32), spaces.Box(-1.0, 1.0, (assets,), np.float32)


class _Market:
    """B markets of A assets.

    cash    [B]
    shares  [B, A]
    recent  [B, A, 31]  prices, oldest first; the last is today's
    """

    def __init__(self, count: int, assets: int):
        self.cash, self.shares = np.zeros(count), np.zeros((count, assets))
        self.recent = np.ones((count, assets, _WARM_UP + 1))
        self.noise = [np.random.default_rng() for _ in range(count)]

    def begin(self, row: int, draw: np.random.Generator) -> None:
        """A new year in one market: prices so far, from 10 to 100 today."""
        self.noise[row] = draw
        self.cash[row], self.shares[row] = _CASH, 0
        walk = np.stack([self._growth(draw) for _ in range(_WARM_UP)]).cumsum(0)
        today = draw.uniform(10, 100, len(self.shares[row]))
        self.recent[row] = today[:, None] * np.exp(np.vstack([-walk[-1], walk - walk[-1]])).T

    def trade(self, action: Array, closed: Array) -> Array:
        """Trade, then let a day pass, for which closed markets draw no chance. [B, A], [B] → reward [B]"""
        price = self.recent[:, :, -1]
        before = self.wealth()
        wanted = np.clip(action, -1, 1).astype(np.float64) * _LOT * _CASH   # money
        sold = np.minimum(np.maximum(-wanted, 0), self.shares * price)
        bought = np.maximum(wanted, 0)
        funds = self.cash + (1 - _COST) * sold.sum(1)
        needed = (1 + _COST) * bought.sum(1)
        bought = bought * (funds / np.maximum(needed, funds))[:, None]
        self.cash = np.maximum(funds - (1 + _COST) * bought.sum(1), 0)
        self.shares = np.maximum(self.shares + (bought - sold) / price, 0)
        still = np.zeros(self.shares.shape[1])
        growth = np.stack([still if shut else self._growth(draw)
                           for draw, shut in zip(self.noise, closed, strict=True)])
        self.recent = np.concatenate([self.recent[:, :, 1:], (price * np.exp(growth))[:, :, None]], axis=2)
        reward: Array = (self.wealth() - before) * _SCALE
        return reward

    def wealth(self) -> Array:
        """Cash and what the shares are worth today. [B]"""
        wealth: Array = self.cash + (self.shares * self.recent[:, :, -1]).sum(1)
        return wealth

    def observe(self) -> Array:
        """What `StockTrading` describes. [B, 1 + 5·A]"""
        price, growth = self.recent[:, :, -1], np.diff(np.log(self.recent), axis=2)
        held = self.shares * price / _CASH
        fast, slow = (10 * (price / self.recent[:, :, -days:].mean(2) - 1) for days in (_FAST, _SLOW))
        gained = np.maximum(growth[:, :, -_RSI:], 0).sum(2)
        strength = 2 * gained / np.abs(growth[:, :, -_RSI:]).sum(2) - 1
        parts = [self.cash[:, None] / _CASH - 1, held, 10 * growth[:, :, -1], fast, slow, strength]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _growth(self, draw: np.random.Generator) -> Array:
        """A day's logarithmic returns: (μ − σ²/2)·dt + σ·√dt·z, with correlated z. [A]"""
        day = 1 / EPISODE_STEPS
        shared, own = draw.normal(), draw.normal(size=self.shares.shape[1])
        shock = np.sqrt(_TOGETHER) * shared + np.sqrt(1 - _TOGETHER) * own
        growth: Array = (_DRIFT - _VOLATILITY**2 / 2) * day + _VOLATILITY * np.sqrt(day) * shock
        return growth
