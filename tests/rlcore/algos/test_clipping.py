"""Gradients are scaled down to their limit, in every algorithm that has one."""

from typing import Any

import pytest
from torch import nn
from torch.optim import Optimizer

import rlcore as rl
from rlcore import catalog
from rlcore.config import settings
from tests.rlcore.algos.test_normalisation import OFF_POLICY
from tests.rlcore.small import config_of

CLIPPED = [name for name in catalog.ALGORITHMS
           if any(item.name == "max_grad_norm" for item in settings(catalog.config_class(name)))]
LIMIT = 1e-4


@pytest.mark.parametrize("algo", CLIPPED)
def test_the_last_gradient_of_every_optimiser_is_as_long_as_allowed(algo: str):
    # PPO's step in NumPy has a test of its own: without standardised advantages the readable one is taken
    readable: dict[str, Any] = {"normalize_advantage": False} if algo == "ppo" else {}
    small = {"learning_starts": 32, "batch_size": 8} if algo in OFF_POLICY else {"horizon": 16}
    env = "CartPole-v1" if "discrete" in catalog.algorithm(algo).acts else "Pendulum-v1"
    agent = rl.train(algo, "DelayedContinuous-v0" if algo == "ppo_lagrangian" else env,
                     config_of(algo, num_envs=2, hidden=[8], max_grad_norm=LIMIT, **small, **readable),
                     env_steps=64, run_dir="run", progress=False)
    parts = vars(agent).items()
    norms = [part.grad.norm().item() for _, part in parts if isinstance(part, nn.Parameter) and part.grad is not None]
    optimizers = [name for name, part in parts if isinstance(part, Optimizer) and name != "alpha_optimizer"]
    # lagging copies have no gradient, a fixed temperature neither
    assert [norm for norm in norms if norm] == [pytest.approx(LIMIT, rel=0.01)] * len(optimizers)
