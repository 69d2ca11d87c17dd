"""Every algorithm reads every observation and acts in every space that its mathematics allows, or says why not."""

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore import catalog
from rlcore.config import ShapeError
from rlcore.envs.make import make_env
from rlcore.sampling.collect import Collector
from tests.rlcore.small import config_of

OBS: dict[str, spaces.Space[Any]] = {
    "vector": spaces.Box(-1, 1, (3,)),
    "table": spaces.Box(-1, 1, (2, 2)),
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
    "small image": spaces.Box(0, 9, (7, 7, 3), np.uint8),
    "discrete": spaces.Discrete(4, start=2),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(3),
    "nested dict": spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Dict(c=spaces.Discrete(3), d=spaces.MultiBinary(2))),
    "dict with image": spaces.Dict(eye=spaces.Box(0, 255, (36, 36), np.uint8), body=spaces.Box(-1, 1, (2,))),
}
ACTS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "continuous": spaces.Box(-1, 1, (1,)),
    "continuous three": spaces.Box(-2, 2, (3,)),
    "continuous table": spaces.Box(0, 5, (2, 2)),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(2),
}


class Anything(gym.Env[Any, Any]):
    """Noise of given spaces; refuses actions outside its own. Episodes of five steps end either way."""

    def __init__(self, obs: spaces.Space[Any], acts: spaces.Space[Any]):
        self.observation_space, self.action_space, self.elapsed = obs, acts, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.elapsed = 0
        return self.observation_space.sample(), {"cost": 0.0}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, self.action_space)
        self.elapsed += 1
        over = self.elapsed == 5
        terminated = over and bool(self.np_random.integers(2))
        return (self.observation_space.sample(), float(self.np_random.normal()), terminated,
                over, {"cost": 1.0})


def rounds(algo: str, obs: str, acts: str, num_envs: int, **changes: Any) -> Any:
    """An agent after two rounds of learning in that environment."""
    name = f"Anything-{obs.replace(' ', '')}-{acts.replace(' ', '')}-v0"
    if name not in gym.registry:
        gym.register(name, Anything, kwargs={"obs": OBS[obs], "acts": ACTS[acts]}, disable_env_checker=True)
    env = make_env(name, num_envs)
    entry = catalog.algorithm(algo)
    small = {"num_envs": num_envs, "hidden": [8], **changes}
    cfg = config_of(algo, **small, **({"horizon": 16} if entry.loop == "on_policy" else
                                      {"train_every": 16, "batch_size": 4, "updates": 1, "learning_starts": 16}))
    agent = catalog.agent_class(algo)(env.single_observation_space, env.single_action_space, cfg, seed=1)
    sampler = Collector(env, agent, 16, random_steps=16)
    for step in range(0, 48, 16):
        rollout = sampler.collect(step)
        if entry.loop == "on_policy":
            metrics = agent.update(rollout, 0.0)
        else:
            agent.remember(rollout)
            metrics = agent.update()
    env.close()
    assert metrics
    assert all(torch.isfinite(value).all() for value in metrics.values())
    return agent


@pytest.mark.parametrize("num_envs", [1, 4])
@pytest.mark.parametrize("obs", OBS)
@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_every_observation_is_read(algo: str, obs: str, num_envs: int):
    rounds(algo, obs, min(catalog.algorithm(algo).acts - {"multi_discrete", "multi_binary"}), num_envs)


@pytest.mark.parametrize("num_envs", [1, 4])
@pytest.mark.parametrize("acts", ACTS)
@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_every_action_space_is_acted_in_or_refused_with_somebody_who_can(algo: str, acts: str, num_envs: int):
    entry = catalog.algorithm(algo)
    if acts.split()[0] in entry.acts:
        rounds(algo, "vector", acts, num_envs)
    else:
        with pytest.raises(ShapeError) as refused:
            rounds(algo, "vector", acts, num_envs)
        assert str(refused.value).startswith(entry.title)
        named = re.search(r"\. ([\w-]+)(?: or ([\w-]+))? can act here\.$", str(refused.value))
        assert named is not None
        offered = [catalog.algorithm(title) for title in named.groups() if title is not None]
        assert catalog.algorithm(entry.instead[acts.split()[0]]) in offered
        for other in offered:
            agent_space = (OBS["vector"], ACTS[acts], config_of(other.name, hidden=[8]))
            assert catalog.agent_class(other.name)(*agent_space).actions.kind == acts.split()[0]


@pytest.mark.parametrize("num_envs", [1, 4])
@pytest.mark.parametrize("obs", ["small image", "nested dict", "discrete"])
@pytest.mark.parametrize("core", ["gru", "lstm", "transformer"])
@pytest.mark.parametrize("algo", ["a2c", "ppo", "trpo", "ppo_lagrangian"])
def test_every_core_remembers_every_observation(algo: str, core: str, obs: str, num_envs: int):
    sequences = {"sequence_length": 4} if algo.startswith("ppo") else {}
    agent = rounds(algo, obs, "discrete", num_envs, core=core, core_size=4, **sequences)
    assert agent.memory_size > 0
