"""A trained policy in use: one observation in, one action out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.config import ShapeError
from rlcore.envs.make import Factory
from rlcore.envs.wrappers import named_parts, named_spaces, narrow_array
from rlcore.evaluation.evaluate import exploring
from rlcore.protocols import Policy
from rlcore.restore import Encoder, Which, load_agent


class Player:
    """Plays one environment with the best actions of an agent, or of a run's, and keeps what it remembers.

    explore: act as at the end of training instead, with its noise, drawn by `seed`.
    env, encoder: of a run whose own are not imported yet, as for `load_agent`.

        player = rl.Player(agent)
        obs, info = env.reset()
        player.reset()
        obs, reward, terminated, truncated, info = env.step(player(obs))
    """

    def __init__(self, agent: Policy | str | Path, which: Which = "last", *, explore: bool = False, seed: int = 0,
                 env: str | Factory | None = None, encoder: Encoder | None = None):
        self.agent = load_agent(agent, which, env=env, encoder=encoder)[0] if isinstance(agent, str | Path) else agent
        space = getattr(self.agent, "obs_space", None)  # an agent built by hand does not say what it sees
        self.shapes = None if space is None else {name: part.shape or () for name, part in named_spaces(space)}
        self.noise = exploring(self.agent, seed, 1) if explore else None
        self.reset()

    def reset(self) -> None:
        """Forget the episode so far."""
        self.memory = np.zeros((1, self.agent.memory_size), np.float32)

    def __call__(self, obs: Any) -> Any:
        """The action for `env.step`, in the environment's own units. obs [*obs] → [*action]

        Raises:
            ShapeError: this is not one observation of the environment that the agent was trained in.
        """
        seen = dict(named_parts(obs))
        shapes = {name: np.shape(part) for name, part in seen.items()}
        if self.shapes is not None and not self.shapes.items() <= shapes.items():
            raise ShapeError(f"This agent sees one observation {_form(self.shapes)} at a time, but got "
                             f"{_form(shapes)}. Give what the environment's reset or step returns first.")
        # what it was not trained on, such as MiniGrid's text, it need not be able to read
        parts = {name: narrow_array(seen[name])[None] for name in self.shapes or seen}
        action, self.memory = self.agent.act(parts.get("", parts), self.memory,
                                              next(self.noise) if self.noise else None)
        return self.agent.actions.to_env(action)[0]


def _form(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """`[4]`, or `{goal: [2], robot/arm: [7]}`"""
    if "" in shapes:
        return str([*shapes[""]])
    return f"{{{', '.join(f'{name}: {[*shape]}' for name, shape in shapes.items())}}}"
