"""Beginning as another run's agent, and keeping parts of a network as they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from rlcore.config import ConfigError, nearest
from rlcore.nets.actor_critic import ActorCritic
from rlcore.nets.optim import hold
from rlcore.protocols import Agent
from rlcore.restore import agent_state, learnt_reward_scale, require_same_meaning, restore

logger = logging.getLogger("rlcore")


def start_from(agent: Agent, run_dir: str | Path) -> None:
    """Make an agent what the last one of a run is, optimisers and statistics included, by its own settings.

    Raises:
        ConfigError: the run has no checkpoint, or its agent is of another kind or size, or means something else by its
            numbers.
    """
    folder, what = Path(run_dir), f"start_from='{run_dir}'"
    step, state = agent_state(folder)
    require_same_meaning(agent, folder, what)
    restore(agent, state | _own(agent, state), folder, what)
    memory = getattr(agent, "memory", None)
    if memory is not None and agent.cfg.normalize_reward:
        memory.reward_scale.load_state_dict(learnt_reward_scale(folder))
    logger.info("Begins as the agent of %s after %s env steps", run_dir, f"{step:,}")


def _own(agent: Agent, state: dict[str, Any]) -> dict[str, Any]:
    """What an agent keeps when it is given another's state: settings, and what belongs to its memory's rows."""
    mine = agent.state_dict()
    own: dict[str, Any] = {name: mine[name] for name in ("replay", "picker") if name in mine}
    for name, part in vars(agent).items():
        if isinstance(part, Optimizer) and name in state:
            own[name] = {**state[name], "param_groups": mine[name]["param_groups"]}
    if not getattr(agent.cfg, "adjust_alpha", True):
        own["log_alpha"] = mine["log_alpha"]
    return own


def freeze(agent: Agent, words: Sequence[str]) -> None:
    """Keep every parameter whose name, as `describe` prints it, contains one of the words. Statistics still move.

    Raises:
        ConfigError: a word that no parameter's name contains, or one of a layer that Pop-Art rewrites.
    """
    named = {f"{attribute}.{name}": param for attribute, part in vars(agent).items() if isinstance(part, nn.Module)
             for name, param in part.named_parameters()}
    vectors = [part for part in vars(agent).values() if isinstance(part, nn.Parameter)]
    rewritten = {param for part in vars(agent).values() if isinstance(part, ActorCritic) and part.preserving
                 for param in part.critic[-1].parameters()}
    for word in words:
        found = [param for name, param in named.items() if word in name]
        if not found:
            parts = {part for name in named for part in name.split(".") if not part.isdigit()}
            hint = nearest(word, parts | {name.rsplit(".", 1)[0] for name in named}) or "."
            raise ConfigError(f"freeze='{word}' is part of no parameter's name{hint} `rl.describe(agent)` lists them.")
        if rewritten.intersection(found):
            raise ConfigError(f"freeze='{word}' cannot hold the critic's last layer, which normalize_value='popart' "
                              "rewrites as values grow. Use normalize_value='off' or freeze less.")
        for param in found:
            hold(next(vector for vector in vectors if _inside(param, vector)), param)


def _inside(param: Tensor, vector: Tensor) -> bool:
    first = param.data_ptr() - vector.data_ptr()
    return 0 <= first < vector.numel() * vector.element_size()
