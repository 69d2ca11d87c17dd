from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from rlcore.algos.ppo import PPO, PPOConfig
from rlcore.envs.make import make_env
from rlcore.fast.ppo import PPOCoefs, PPOStep, fits
from rlcore.nets.dists import Categorical, Gaussian
from rlcore.nets.encoders import RunningNorm, mlp
from rlcore.nets.optim import adam, descend, flatten
from rlcore.ops.policy import clipped_surrogate, standardise, weighted_mean
from rlcore.sampling.collect import Collector

ROWS, OBS_DIM = 96, 5


class Walk(gym.Env):
    """A random walk of five numbers that pays for the first and ends at times."""

    def __init__(self, acts: spaces.Space):
        self.observation_space, self.action_space = spaces.Box(-1, 1, (5,)), acts

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 5).astype(np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs = self.np_random.uniform(-1, 1, 5).astype(np.float32)
        return obs, float(obs[0] + np.sum(action)), bool(self.np_random.random() < 0.1), False, {}


class Player(nn.Module):
    """An actor and a critic with their optimiser, the same for every copy of one seed."""

    def __init__(self, discrete: bool, activation: str):
        super().__init__()
        torch.manual_seed(3)
        self.actor = mlp((OBS_DIM, 16, 16, 3), activation, out_gain=1.0)
        self.critic = mlp((OBS_DIM, 16, 1), activation, out_gain=1.0)
        self.log_std = None if discrete else nn.Parameter(torch.tensor([-0.5, 0.0, 0.3]))
        self.params = flatten(self)
        self.optimizer = adam(self.params, 1e-2, eps=1e-5)

    def quick(self) -> PPOStep:
        return PPOStep(self.actor, self.critic, self.log_std, self.params, self.optimizer)

    def readable(self, batch: tuple[Tensor, ...], coefs: PPOCoefs) -> Tensor:
        obs, action, log_prob, advantage, target, weight = batch
        out, value = self.actor(obs), self.critic(obs).squeeze(-1)
        dist = Categorical(out) if self.log_std is None else Gaussian(out, self.log_std)
        ratio = (dist.log_prob(action) - log_prob).exp()
        rows = clipped_surrogate(ratio, standardise(advantage, weight), coefs.clip)
        rows = rows + coefs.value_coef * 0.5 * (value - target).square() - coefs.entropy_coef * dist.entropy()
        return descend(weighted_mean(rows, weight), self.optimizer, coefs.max_grad_norm)


def minibatch(discrete: bool, seed: int) -> tuple[Tensor, ...]:
    gen = torch.Generator().manual_seed(seed)
    obs = torch.randn(ROWS, OBS_DIM, generator=gen)
    action = (torch.randint(3, (ROWS,), generator=gen) if discrete
              else torch.randn(ROWS, 3, generator=gen))
    log_prob = torch.randn(ROWS, generator=gen) * 0.5 - (1.1 if discrete else 4.0)
    advantage, target = torch.randn(ROWS, generator=gen) + 2, torch.randn(ROWS, generator=gen)
    weight = (torch.rand(ROWS, generator=gen) > 0.2).float()
    return obs, action, log_prob, advantage, target, weight


def arrays(batch: tuple[Tensor, ...]) -> list[np.ndarray]:
    return [column.numpy() for column in batch]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("entropy_coef", [0.0, 0.1])
@pytest.mark.parametrize("discrete", [True, False])
def test_the_written_out_gradient_is_the_readable_losss(discrete: bool, entropy_coef: float, activation: str):
    limit = 0.45 if discrete else 0.75
    coefs = PPOCoefs(clip=0.2, value_coef=0.5, entropy_coef=entropy_coef, max_grad_norm=limit)
    slow, fast = Player(discrete, activation), Player(discrete, activation)
    step, before, norms = fast.quick(), fast.params.detach().clone(), []
    for seed in range(10):
        batch = minibatch(discrete, seed)
        expected = slow.readable(batch, coefs)
        norms.append(step(coefs, *arrays(batch)))
        assert norms[-1] == pytest.approx(float(expected), rel=1e-4)
    assert min(norms) < limit < max(norms)  # some steps were clipped, others left alone
    torch.testing.assert_close(fast.params, slow.params, rtol=1e-4, atol=1e-5)
    assert float((fast.params.detach() - before).abs().max()) > 0.01


def test_clipping_scales_the_whole_gradient_down_to_the_norm_asked_for():
    coefs = PPOCoefs(clip=0.2, value_coef=0.5, entropy_coef=0.0, max_grad_norm=1e-3)
    player = Player(True, "tanh")
    norm = player.quick()(coefs, *arrays(minibatch(True, 0)))
    assert norm > 1e-3
    assert player.params.grad is not None
    assert float(player.params.grad.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_dummy_rows_teach_nothing():
    coefs = PPOCoefs(clip=0.2, value_coef=0.5, entropy_coef=0.01, max_grad_norm=10.0)
    clean, dirty = Player(False, "tanh"), Player(False, "tanh")
    batch = arrays(minibatch(False, 0))
    spoilt = [column.copy() for column in batch]
    for column in spoilt[:-1]:
        column[spoilt[-1] == 0] = 3.0
    assert dirty.quick().metrics(0.2, *spoilt) == pytest.approx(clean.quick().metrics(0.2, *batch), rel=1e-5)
    clean.quick()(coefs, *batch)
    dirty.quick()(coefs, *spoilt)
    torch.testing.assert_close(clean.params, dirty.params, rtol=0, atol=1e-7)


def test_two_runs_agree_bit_for_bit_and_batch_sizes_may_change():
    coefs = PPOCoefs(clip=0.2, value_coef=0.5, entropy_coef=0.01, max_grad_norm=0.5)
    players = [Player(True, "tanh") for _ in range(2)]
    for player in players:
        step = player.quick()
        for seed in range(4):
            step(coefs, *(column[:ROWS - 7 * seed] for column in arrays(minibatch(True, seed))))
    assert torch.equal(players[0].params, players[1].params)


@pytest.mark.parametrize("acts", [spaces.Discrete(3), spaces.Box(-2, 2, (2,))])
@pytest.mark.parametrize("changes", [{}, {"normalize_obs": True, "normalize_reward": True, "entropy_coef": 0.01},
                                     {"target_kl": 0.002, "clip_decay": "linear"}])
def test_a_whole_update_is_the_readable_one(acts: spaces.Space, changes: dict[str, Any]):
    config = PPOConfig(num_envs=4, horizon=32, epochs=3, hidden=(16, 8), **changes)
    agents = []
    for quick in (True, False):
        torch.manual_seed(5)
        agent = PPO(spaces.Box(-1, 1, (5,)), acts, config)
        assert agent.quick is not None
        agent.quick = agent.quick if quick else None
        collector = Collector(make_env(partial(Walk, acts), 4, seed=2), agent, config.horizon, seed=1)
        metrics = [agent.update(collector.collect(0), 0.5) for _ in range(3)][-1]
        agents.append((agent, metrics))
    (one, metrics), (other, expected) = agents
    torch.testing.assert_close(one.params, other.params, rtol=1e-3, atol=2e-5)
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-2, abs=2e-5)


@pytest.mark.parametrize("changes", [{"dual_clip": 3.0}, {"surrogate": "kl_penalty"}, {"value_clip": 0.2},
                                     {"normalize_value": "popart"}, {"normalize_advantage": False}, {"shared": True},
                                     {"core": "gru"}])
def test_what_it_does_not_know_stays_with_the_readable_loss(changes: dict[str, Any]):
    assert PPO(spaces.Box(-1, 1, (5,)), spaces.Discrete(2), PPOConfig(**changes)).quick is None


def test_only_plain_networks_fit():
    assert fits(mlp((4, 8, 2), "tanh"))
    assert fits(nn.Sequential(nn.Linear(4, 2)))
    assert not fits(nn.Sequential(RunningNorm((4,)), nn.Linear(4, 2)))
    assert not fits(nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
    assert not fits(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)))
    assert not fits(nn.Linear(4, 2))
