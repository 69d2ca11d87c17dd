"""A trained policy in use: one observation in, one action out."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.envs.wrappers import named_parts
from rlcore.protocols import Policy


class Player:
    """Plays one environment with an agent's best actions and keeps what a recurrent agent remembers.

        player = rl.Player(agent)
        obs, info = env.reset()
        player.reset()
        obs, reward, terminated, truncated, info = env.step(player(obs))
    """

    def __init__(self, agent: Policy):
        self.agent = agent
        self.reset()

    def reset(self) -> None:
        """Forget the episode so far."""
        self.memory = np.zeros((1, self.agent.memory_size), np.float32)

    def __call__(self, obs: Any) -> Any:
        """The action for `env.step`, in the environment's own units. obs [*obs] → [*action]"""
        parts = {name: np.asarray(part)[None] for name, part in named_parts(obs)}
        action, self.memory = self.agent.act(parts.get("", parts), self.memory)
        return self.agent.actions.to_env(action)[0]
