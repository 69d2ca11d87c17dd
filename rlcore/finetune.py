"""Beginning as another run's agent, and keeping parts of a network as they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from rlcore.config import ConfigError, nearest
from rlcore.nets.optim import hold
from rlcore.protocols import Agent
from rlcore.restore import agent_state, restore

logger = logging.getLogger("rlcore")


def start_from(agent: Agent, run_dir: str | Path) -> None:
    """Make an agent what the last one of a run is, optimisers and statistics included.

    Raises:
        ConfigError: the run has no checkpoint, or its agent is of another kind or size.
    """
    step, state = agent_state(Path(run_dir))
    restore(agent, state, Path(run_dir), f"start_from='{run_dir}'")
    logger.info("Begins as the agent of %s after %s env steps", run_dir, f"{step:,}")


def freeze(agent: Agent, words: Sequence[str]) -> None:
    """Keep every parameter whose name, as `describe` prints it, contains one of the words. Statistics still move.

    Raises:
        ConfigError: a word that no parameter's name contains.
    """
    named = {f"{attribute}.{name}": param for attribute, part in vars(agent).items() if isinstance(part, nn.Module)
             for name, param in part.named_parameters()}
    vectors = [part for part in vars(agent).values() if isinstance(part, nn.Parameter)]
    for word in words:
        found = [param for name, param in named.items() if word in name]
        if not found:
            parts = {part for name in named for part in name.split(".") if not part.isdigit()}
            hint = nearest(word, parts | {name.rsplit(".", 1)[0] for name in named}) or "."
            raise ConfigError(f"freeze='{word}' is part of no parameter's name{hint} `rl.describe(agent)` lists them.")
        for param in found:
            hold(next(vector for vector in vectors if _inside(param, vector)), param)


def _inside(param: Tensor, vector: Tensor) -> bool:
    first = param.data_ptr() - vector.data_ptr()
    return 0 <= first < vector.numel() * vector.element_size()
