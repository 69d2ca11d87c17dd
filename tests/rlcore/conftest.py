"""What the tests of rlcore share: a seed, an empty folder to work in, and names for the probe environments."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch

from rlcore.envs import probe

PROBES = {
    "Endless": (probe.Endless, {}, 1),
    "Endless3": (probe.Endless, {}, 3),
    "One": (probe.Countdown, {"steps": 1}, None),
    "Countdown": (probe.Countdown, {"steps": 3}, None),
    "Echo": (probe.Echo, {}, None),
    "Delayed": (probe.Delayed, {}, None),
}


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in a folder of its own, from the same random numbers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLCORE_RUN_DIR", raising=False)
    torch.manual_seed(0)
    torch.set_num_threads(1)


class Free(gym.Wrapper):
    """Every step costs nothing, for the algorithms that ask."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        *step, info = self.env.step(action)
        return (*step, {**info, "cost": 0.0})


def _free(entry: Any, **options: Any) -> gym.Env:
    return Free(entry(**options))


@pytest.fixture(scope="session", autouse=True)
def _probes() -> Iterator[None]:
    """Probe-v0 acts discretely, ProbeContinuous-v0 does not; Endless has a time limit of 1 step, Endless3 of 3."""
    names = []
    for title, (entry, options, limit) in PROBES.items():
        for suffix, acts in (("", "discrete"), ("Continuous", "continuous")):
            names.append(f"{title}{suffix}-v0")
            gym.register(names[-1], entry_point=partial(_free, entry), kwargs={**options, "acts": acts},
                         max_episode_steps=limit)
    names.append("Uneven-v0")
    gym.register("Uneven-v0", entry_point=probe.Uneven)
    yield
    for name in names:
        gym.registry.pop(name)
