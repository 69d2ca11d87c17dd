"""DDPG's targets, losses and noise, worked out by hand; what it shares with its relatives is tested beside it."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.algos.ddpg import DDPG, DDPGBatch, DDPGConfig, ddpg_critic_loss, ddpg_loss, ddpg_targets
from rlcore.envs.make import make_env
from rlcore.sampling.collect import Collector
from tests.rlcore.algos.stand_ins import Says, Slopes, picked

LINE, UNIT = spaces.Box(-100, 100, (1,), np.float32), spaces.Box(-1, 1, (1,), np.float32)


def test_targets_are_the_lagging_critics_value_of_the_lagging_actors_action():
    batch = ddpg_targets(picked([1.0, 1.0], [0.5, 0.0]), torch.ones(2), Says(0.3), Slopes([6.0], slope=2.0))
    # 1 + ½·(6 + 2·tanh 0.3); and 1 where the task ended
    assert batch.target.tolist() == pytest.approx([1 + 0.5 * (6 + 2 * np.tanh(0.3)), 1.0])


def test_the_losses_are_half_the_squared_error_and_minus_the_value_without_dummy_rows():
    zero = torch.zeros(3, 1)
    batch = DDPGBatch(zero, zero, torch.tensor([3.0, 5.0, 1e6]), torch.tensor([1.0, 1, 0]), torch.ones(3))
    assert ddpg_critic_loss(Slopes([1.0]), batch)[0].item() == (0.5 * 2**2 + 0.5 * 4**2) / 2
    assert ddpg_loss(Says(0.3), Slopes([1.0], slope=2.0), batch).item() == pytest.approx(-1 - 2 * np.tanh(0.3))


def agent_with(**changes: Any) -> DDPG:
    agent = DDPG(LINE, UNIT, DDPGConfig(hidden=(8,), **changes))
    with torch.no_grad():
        agent.actor_params.zero_()  # μ(s) = 0, so actions are the noise
    return agent


def test_gaussian_noise_is_fresh_and_clipped_to_the_range():
    agent, noise = agent_with(noise_std=0.5), np.array([[1.0], [-1.0], [9.0]], np.float32)
    action, memory = agent.act(np.zeros((3, 1), np.float32), np.zeros((3, 0), np.float32), noise)
    assert action[:, 0].tolist() == [0.5, -0.5, 1.0]
    assert memory.shape == (3, 0)


def test_drifting_noise_loses_a_share_of_itself_each_step_and_is_handed_on():
    agent = agent_with(exploration="ornstein_uhlenbeck", noise_std=0.2, noise_decay=0.25)
    obs, memory = np.zeros((2, 1), np.float32), np.array([[0.4], [0.0]], np.float32)
    action, after = agent.act(obs, memory, np.array([[1.0], [-1.0]], np.float32))
    assert action[:, 0].tolist() == pytest.approx([0.75 * 0.4 + 0.2, -0.2])
    assert np.array_equal(after, action)
    best, kept = agent.act(obs, after)  # judged: no noise, and none is forgotten
    assert best[:, 0].tolist() == [0, 0]
    assert np.array_equal(kept, after)
    assert memory[0, 0] == np.float32(0.4)


def drift(horizon: int, rounds: int, interrupted: bool = False) -> np.ndarray:
    """Actions of two environments with episodes of three steps and a dummy row, collected in pieces."""
    gym.register("Three-v0", entry_point="rlcore.envs.probe:Endless", kwargs={"acts": "continuous"},
                 max_episode_steps=3)
    agent, pieces = agent_with(exploration="ornstein_uhlenbeck", noise_std=0.2), []
    sampler = Collector(make_env("Three-v0", 2, seed=1, backend="sync"), agent, horizon, seed=5)
    for piece in range(rounds):
        if interrupted and piece == rounds // 2:
            saved = sampler.state_dict()
            sampler = Collector(make_env("Three-v0", 2, seed=9, backend="sync"), agent, horizon, seed=6)
            sampler.load_state_dict(saved, fresh_seed=0)
        pieces.append(sampler.collect(10_000).action.numpy().copy())
    gym.registry.pop("Three-v0")
    return np.concatenate(pieces)[..., 0]


def test_drifting_noise_belongs_to_each_environment_begins_anew_with_an_episode_and_survives_a_checkpoint():
    path = drift(8, 1)
    first = np.random.default_rng([5, 0]).standard_normal((8, 1), np.float32)[:, 0] * 0.2
    assert path[:3, 0] == pytest.approx([first[0], 0.85 * first[0] + first[1],
                                         0.85**2 * first[0] + 0.85 * first[1] + first[2]], rel=1e-5)
    assert path[4, 0] == pytest.approx(first[4], rel=1e-5)  # row 3 is the dummy row of the reset
    assert not np.allclose(path[:, 0], path[:, 1])
    assert np.array_equal(path, drift(1, 8))
    assert np.array_equal(path, drift(2, 4, interrupted=True))
