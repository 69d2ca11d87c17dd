"""What an agent is made of, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.optim import Optimizer

from rlcore.config import ConfigError
from rlcore.data.replay import Ring
from rlcore.protocols import Agent


def describe(agent: Agent) -> str:
    """The agent's networks with the shapes of their parameters, its optimisers, memory and action space.

    Raises:
        ConfigError: it is no agent.
    """
    if not hasattr(agent, "actions"):
        raise ConfigError(f"describe({agent!r}) takes an agent, such as rl.train(…) or rl.load_agent(run)[0] gives.")
    lines = [f"{type(agent).__name__}: {agent.actions.kind.replace('_', '-')} actions, {agent.actions.size} outputs"]
    seen: set[int] = set()
    for name, part in vars(agent).items():
        lines += _part(name, part, seen)
    return "\n".join(lines)


def _part(name: str, part: Any, seen: set[int]) -> Iterator[str]:
    if id(part) in seen:  # networks are known by several names: acting, for example
        return
    if isinstance(part, nn.Module):
        fresh = [(key, value) for key, value in part.named_parameters() if id(value) not in seen]
        seen |= {id(part), *(id(value) for _, value in fresh)}
        if fresh:
            yield f"{name}: {type(part).__name__}, {sum(value.numel() for _, value in fresh):,} parameters"
            yield from (f"  {key} {list(value.shape)}" for key, value in fresh)
    elif isinstance(part, Optimizer):
        seen.add(id(part))
        group = part.param_groups[0]
        count = sum(param.numel() for each in part.param_groups for param in each["params"])
        yield f"{name}: {type(part).__name__}, step size {group['lr']:g}, {count:,} parameters"
    elif isinstance(part, Ring):
        yield f"{name}: the last {(part.steps - 1) * part.num_envs:,} steps of {part.num_envs} environments"
