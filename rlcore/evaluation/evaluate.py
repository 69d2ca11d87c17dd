"""Playing episodes with an agent that no longer explores."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.config import ConfigError
from rlcore.envs.make import make_env
from rlcore.evaluation.statistics import bootstrap_interval, iqm
from rlcore.protocols import Agent
from rlcore.spaces import Actions
from rlcore.training import load_agent_at


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns and lengths of whole episodes, with their summary."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Standard deviation of the return."""
        return float(np.std(self.returns))

    @property
    def iqm(self) -> float:
        """Interquartile mean of the return."""
        return float(iqm(np.array(self.returns)))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the interquartile mean, over episodes of one policy."""
        return bootstrap_interval(np.array(self.returns))

    def __str__(self) -> str:
        low, high = self.interval
        return (f"{len(self.returns)} episodes: return {self.mean:.1f} ± {self.std:.1f}, "
                f"IQM {self.iqm:.1f} (95 % interval {low:.1f} to {high:.1f}), length {np.mean(self.lengths):.0f}")

    def row(self, step: int) -> dict[str, Any]:
        """What evaluations.jsonl keeps."""
        low, high = self.interval
        return {"step": step, "episodes": len(self.returns), "mean": self.mean, "std": self.std, "iqm": self.iqm,
                "low": low, "high": high, "returns": list(self.returns), "time": time.strftime("%Y-%m-%dT%H:%M:%S")}


def evaluate(agent: Agent | str | Path, env: str | None = None, *, episodes: int = 20,
             seed: int = 10_000) -> Evaluation:
    """Play whole episodes with the agent's best actions, on seeds that training does not use.

    Args:
        agent: an agent, or the folder of a run, which then keeps the result in its evaluations.jsonl.
        env: an environment's name; the run's own if None.
        episodes: how many; each starts from a seed of its own.
        seed: of the first environment.

    Raises:
        ConfigError: no environment to play in, or a run without a checkpoint.
    """
    if episodes < 1:
        raise ConfigError(f"episodes={episodes} must be at least 1.")
    if isinstance(agent, str | Path):
        return _evaluate_run(Path(agent), env, episodes, seed)
    if env is None:
        raise ConfigError("evaluate(agent) needs the environment's name, such as 'CartPole-v1'.")
    vector = make_env(env, min(episodes, 16), seed=seed, backend="sync")
    try:
        return _play(agent, vector, episodes)
    finally:
        vector.close()


def _play(agent: Agent, env: Any, episodes: int) -> Evaluation:
    """Each environment plays a fixed share of the episodes: taking whichever ends first would favour short ones."""
    num = env.num_envs
    left = np.full(num, episodes // num) + (np.arange(num) < episodes % num)
    actions, total, length = Actions(env.single_action_space), np.zeros(num), np.zeros(num, np.int64)
    returns: list[float] = []
    lengths: list[int] = []
    obs, fresh = env.reset()[0], np.zeros(num, bool)
    while left.any():
        obs, reward, terminated, truncated, _ = env.step(actions.to_env(agent.act(obs.astype(np.float32))))
        total, length = np.where(fresh, 0, total + reward), np.where(fresh, 0, length + 1)
        fresh = terminated | truncated
        for index in np.flatnonzero(fresh & (left > 0)):
            returns.append(float(total[index]))
            lengths.append(int(length[index]))
            left[index] -= 1
    return Evaluation(tuple(returns), tuple(lengths))


def _evaluate_run(folder: Path, env: str | None, episodes: int, seed: int) -> Evaluation:
    agent, spec, step = load_agent_at(folder)
    result = evaluate(agent, env or spec.env, episodes=episodes, seed=seed)
    if env in (None, spec.env):
        with (folder / "evaluations.jsonl").open("a") as file:
            file.write(json.dumps(result.row(step)) + "\n")
    return result
