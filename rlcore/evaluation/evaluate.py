"""Playing episodes with an agent that no longer learns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.arrays import Array
from rlcore.config import ConfigError, ShapeError
from rlcore.envs.make import Backend, Env, Factory, make_env
from rlcore.envs.wrappers import named_spaces
from rlcore.evaluation.statistics import bootstrap_interval, iqm
from rlcore.protocols import Agent, Policy
from rlcore.restore import Encoder, Which, load_player
from rlcore.runs import append_evaluation, checked
from rlcore.spaces import Actions


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
        if len(self.returns) == 1:         # which has no spread
            return f"1 episode: return {self.mean:.1f}, length {self.lengths[0]}"
        low, high = self.interval
        return (f"{len(self.returns)} episodes: return {self.mean:.1f} ± {self.std:.1f}, "
                f"IQM {self.iqm:.1f} (95 % interval {low:.1f} to {high:.1f}), length {np.mean(self.lengths):.0f}")

    def row(self, step: int) -> dict[str, Any]:
        """What evaluations.jsonl keeps."""
        low, high = self.interval
        return {"step": step, "episodes": len(self.returns), "mean": self.mean, "std": self.std, "iqm": self.iqm,
                "low": low, "high": high, "returns": list(self.returns), "time": time.strftime("%Y-%m-%dT%H:%M:%S")}


def evaluate(agent: Agent | str | Path, env: str | Factory | None = None, *, episodes: int = 20,
             seed: int = 10_000, which: Which = "last", explore: bool = False, max_steps: int = 1_000_000,
             backend: Backend = "sync", env_options: Mapping[str, Any] | None = None, action_mask: bool = False,
             encoder: Encoder | None = None) -> Evaluation:
    """Play whole episodes with the agent's best actions, on seeds that training does not use.

    Args:
        agent: an agent, or the folder of a run, which then keeps the result in its evaluations.jsonl.
        env: an environment's name, or a function or class that makes one; the run's own if None, which must be given
            where its module is not imported yet. In another one, whose spaces must be the same, a run keeps no result.
        episodes: how many; each starts from a seed of its own.
        seed: of the first environment.
        which: of a run's checkpoints: "last", "best", or the step of one that was kept.
        explore: act as at the end of training instead, with its noise: where the best policy is a random one, as in
            many games of hidden information, the likeliest actions can be worse.
        max_steps: an episode that is longer is taken for one that never ends.
        backend, env_options, action_mask: of the environment, as for `train`; a run's own are used by themselves, also
            with a function or class. Options that are given beside a run change its own.
        encoder: the class of a run's custom encoder, or "module:Class", where its module is not imported yet.

    Raises:
        ConfigError: no environment to play in, a run without a checkpoint or whose folder names code of which nothing
            was imported, or an episode that does not end.
        ShapeError: the environment's observations or actions are not those that the agent was trained with.
    """
    episodes, seed = checked("episodes", episodes), checked("seed", seed)
    env_options = checked("env_options", env_options or {})
    if isinstance(agent, str | Path):
        return _evaluate_run(Path(agent), which, env, episodes, seed, explore, env_options, encoder)
    if env is None:
        raise ConfigError("evaluate(agent) needs the environment's name, such as 'CartPole-v1'.")
    vector = make_env(env, min(episodes, 16), seed=seed, backend=backend, options=env_options,
                      action_mask=action_mask)
    try:
        check_spaces(agent, vector)
        return _play(agent, vector, episodes, max_steps, exploring(agent, seed, vector.num_envs) if explore else None)
    finally:
        vector.close()


def check_spaces(agent: Policy, env: Env) -> None:
    """Make sure that an agent can play in an environment. Bounds may differ: they are the environment's own units.

    Raises:
        ShapeError: its observations or actions are not those that the agent was trained with.
    """
    space = getattr(agent, "obs_space", None)  # an agent built by hand does not say what it sees
    if space is None:
        return
    mine, other = agent.actions, Actions(env.single_action_space)
    trained, found = ((_kinds(seen), f"{acts.kind.replace('_', '-')} actions {[*acts.nvec] or acts.size}")
                      for seen, acts in ((space, mine), (env.single_observation_space, other)))
    if trained != found:
        raise ShapeError(f"This agent was trained with observations {trained[0]} and {trained[1]}, but {env.name} has "
                         f"{found[0]} and {found[1]}. It can play only where both are the same.")


def _kinds(space: Any) -> str:
    """`float32 [4]`, or `{goal: float32 [2], on: MultiBinary(3)}`"""
    parts = {name: f"{part.dtype} {[*part.shape]}" if isinstance(part, spaces.Box) else str(part)
             for name, part in sorted(named_spaces(space))}
    return parts[""] if "" in parts else f"{{{', '.join(f'{name}: {kind}' for name, kind in parts.items())}}}"


def exploring(agent: Policy, seed: int, num_envs: int) -> Iterator[Array]:
    """The randomness of one step after another, as at the end of training, drawn for each environment by itself.

    Parameter noise is chosen by the step of the run alone: the seed draws one for each block, as if at a rollout then.
    """
    *rngs, steps = (np.random.default_rng([seed, b]) for b in range(num_envs + 1))
    while True:
        step = int(steps.integers(_LATE, 2 * _LATE))
        blocks = [agent.noise(rng, _NOISE_BLOCK, step, b) for b, rng in enumerate(rngs)]
        yield from np.stack(blocks, 1)


_NOISE_BLOCK = 4      # steps drawn at once: what a rollout has by default where parameters are noisy
_LATE = 10**12        # env steps after which every schedule of exploration has ended


def _play(agent: Agent, env: Any, episodes: int, max_steps: int, noise: Iterator[Array] | None) -> Evaluation:
    """Each environment plays a fixed share of the episodes: taking whichever ends first would favour short ones."""
    num = env.num_envs
    left = np.full(num, episodes // num) + (np.arange(num) < episodes % num)
    actions, total, length = Actions(env.single_action_space), np.zeros(num), np.zeros(num, np.int64)
    returns: list[float] = []
    lengths: list[int] = []
    obs, over = env.reset()[0], np.zeros(num, bool)
    memory = np.zeros((num, agent.memory_size), np.float32)
    while left.any():
        action, memory = agent.act(obs, memory, next(noise) if noise else None)
        obs, reward, terminated, truncated, _ = env.step(actions.to_env(action))
        total, length = np.where(over, 0, total + reward), np.where(over, 0, length + 1)
        memory = np.where(over[:, None], 0, memory)  # that step was the reset: the next one begins an episode
        over = terminated | truncated
        for index in np.flatnonzero(over & (left > 0)):
            returns.append(float(total[index]))
            lengths.append(int(length[index]))
            left[index] -= 1
        if length.max() >= max_steps:
            raise ConfigError(f"{env.name} has played {max_steps} steps without an episode's end. Give it a time "
                              "limit: register it with max_episode_steps.")
    return Evaluation(tuple(returns), tuple(lengths))


def _evaluate_run(folder: Path, which: Which, env: str | Factory | None, episodes: int, seed: int,
                  explore: bool, env_options: Mapping[str, Any] | None, encoder: Encoder | None) -> Evaluation:
    agent, where, step = load_player(folder, which, env, env_options, encoder)
    result = evaluate(agent, where.env, episodes=episodes, seed=seed, explore=explore, env_options=where.options,
                      action_mask=where.action_mask, backend=where.backend)
    if where.own:
        append_evaluation(folder, result.row(step) | ({"exploring": True} if explore else {}))
    return result
