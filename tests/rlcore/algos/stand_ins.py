"""Networks with known values and hand-made experience, for tests of algorithms that learn from memory."""

from typing import Any

import torch
from torch import Tensor, nn

from rlcore.data.replay import Transitions
from rlcore.data.rollout import Rollout


class Says(nn.Module):
    """A network that says the same about everything. [N, …] → [N, len(numbers)]"""

    def __init__(self, *numbers: float):
        super().__init__()
        self.numbers = nn.Parameter(torch.tensor(numbers))

    def forward(self, features: Tensor) -> Tensor:
        return self.numbers.expand(len(features), -1)


class Slopes(nn.Module):
    """Critics of the form value + slope·Σ action; observations are their own features. value [K] or [K, Q]"""

    def __init__(self, value: Any, slope: float = 0.0):
        super().__init__()
        self.value, self.slope = nn.Parameter(torch.tensor(value)), slope

    def features(self, obs: Tensor) -> Tensor:
        return obs

    def forward(self, features: Tensor, action: Tensor) -> Tensor:
        constant = self.value[:, None].expand(-1, len(features), *self.value.shape[1:])
        rise = self.slope * action.sum(-1)
        return constant + (rise if self.value.dim() == 1 else rise[:, None])

    def judge(self, features: Tensor, action: Tensor) -> Tensor:
        return self(features, action)

    def judge_first(self, features: Tensor, action: Tensor) -> Tensor:
        return self.judge(features, action)[0]

    def some(self, features: Tensor, action: Tensor, members: Tensor) -> Tensor:
        return self(features, action)[members]

    def choices(self, features: Tensor) -> Tensor:
        return self.value[:, None].expand(-1, len(features), -1)


def picked(reward: list[float], discount: list[float], weight: list[float] | None = None) -> Transitions:
    """Steps of one-number observations and actions, all zero."""
    zero = torch.zeros(len(reward), 1)
    return Transitions(zero, zero, torch.tensor(reward), torch.tensor(discount), zero,
                       torch.ones(len(reward)) if weight is None else torch.tensor(weight))


def rollout(obs: Any, action: Tensor, reward: Tensor | None = None, valid: Tensor | None = None) -> Rollout:
    """T steps [T, B] between T + 1 observations; nothing ends."""
    steps, envs = action.shape[:2]
    no = torch.zeros(steps, envs, dtype=torch.bool)
    whole = {name: part[:-1] for name, part in obs.items()} if isinstance(obs, dict) else obs[:-1]
    last = {name: part[-1] for name, part in obs.items()} if isinstance(obs, dict) else obs[-1]
    return Rollout(whole, action, torch.randn(steps, envs) if reward is None else reward, no, no,
                   ~no if valid is None else valid, no, torch.zeros(steps, envs, 0), last, {})


def squashed_draw(mean: float, log_std: float, rows: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    """What torch draws next from tanh of a normal after this seed, and its log-density by the change of variables."""
    torch.manual_seed(seed)
    noise = torch.randn(rows, 1)
    torch.manual_seed(seed)
    normal = torch.distributions.Normal(mean, torch.tensor(log_std).exp())
    raw = mean + normal.scale * noise
    return raw.tanh(), (normal.log_prob(raw) - (1 - raw.tanh() ** 2).log()).squeeze(-1)
