"""Step sizes that fall over a run, in every algorithm: what is left of them, after a resume too, and that it counts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

import rlcore as rl
from rlcore import catalog
from rlcore.algos import ppo_lagrangian as module
from rlcore.fast import graph
from tests.rlcore.algos.test_normalisation import OFF_POLICY, agent_of, experience, seen
from tests.rlcore.small import config_of

ON_POLICY = [name for name in catalog.ALGORITHMS if name not in OFF_POLICY]
FIRST = {"actor_optimizer": "actor_learning_rate"}  # DDPG's actor has a rate of its own


def shares(agent: Any) -> list[float]:
    """What is left of each optimiser's step size."""
    parts = {name: part for name, part in vars(agent).items() if isinstance(part, Optimizer)}
    starts = {name: getattr(agent.cfg, FIRST.get(name, ""), agent.cfg.learning_rate) for name in parts}
    return [part.param_groups[0]["lr"] / starts[name] for name, part in parts.items()]


@pytest.mark.parametrize("algo", catalog.ALGORITHMS)
def test_every_step_size_falls_to_its_share_of_the_run_and_goes_on_falling_after_a_resume(algo: str, tmp_path: Path):
    entry, changes = catalog.algorithm(algo), {"num_envs": 2, "hidden": [8]}
    env = "CartPole-v1" if "discrete" in entry.acts else "Pendulum-v1"
    env = "DelayedContinuous-v0" if algo == "ppo_lagrangian" else env
    if algo in OFF_POLICY:
        changes |= {"train_every": 16, "learning_starts": 32, "updates": 1, "batch_size": 8, "learning_rate_steps": 256}
        left = [(96, 1 - 96 / 256), (160, 1 - 160 / 256), (288, 0.0)]  # of the agent's own 256 steps, those taken
    else:
        changes |= {"horizon": 16, "learning_rate_decay": "linear"}
        left = [(96, 1 - 64 / 96), (160, 1 - 128 / 160)]               # at the beginning of the run's last update
    config, runs = config_of(algo, **changes), tmp_path / "run"
    for env_steps, share in left:
        agent = (rl.resume(runs, env_steps=env_steps, progress=False) if runs.exists() else
                 rl.train(algo, env, config, env_steps=env_steps, run_dir=runs, progress=False))
        assert shares(agent) == [pytest.approx(share)] * len(shares(agent))
        assert shares(agent)


def weights(agent: Any) -> list[torch.Tensor]:
    return [part.detach().clone() for name, part in vars(agent).items()
            if isinstance(part, torch.nn.Parameter) and "lag" not in name]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("algo", ["dqn", "sac", "ddpg"])
def test_an_update_moves_the_weights_until_nothing_is_left_of_the_step_size(algo: str, compiled: bool):
    agent, obs = agent_of(algo, learning_rate_steps=60, **{"adjust_alpha": True} if algo == "sac" else {}), seen()
    if compiled:
        graph.compile_steps(agent, lambda traced, _inputs: traced)  # the graph's operations one by one
    for moves in (True, False):                                     # after 40 steps of 60, and after 80
        agent.remember(experience(agent, obs))
        before = weights(agent)
        agent.update()
        assert all(torch.equal(old, new) != moves for old, new in zip(before, weights(agent), strict=True))


def test_what_begins_as_another_runs_agent_learns_at_its_own_rate():
    old, new = (agent_of("sac", learning_rate=rate) for rate in (1e-3, 1e-5))
    for agent in (old, new):
        agent.remember(experience(agent, seen()))
    old.update()
    new.load_state_dict(old.state_dict())
    new.update()
    assert shares(new) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("decay", "widest"), [("constant", 0.2), ("linear", 0.05)])
def test_the_clip_range_of_ppo_lagrangian_falls_with_the_run(
        decay: str, widest: float, monkeypatch: pytest.MonkeyPatch):
    seen_clips: list[float] = []
    true_loss = module.ppo_lagrangian_loss

    def loss(model: Any, batch: Any, clip: float, cfg: Any) -> Any:
        seen_clips.append(clip)
        return true_loss(model, batch, clip, cfg)

    monkeypatch.setattr(module, "ppo_lagrangian_loss", loss)
    config = config_of("ppo_lagrangian", num_envs=2, horizon=16, hidden=[8], epochs=1, clip=0.2, clip_decay=decay)
    rl.train("ppo_lagrangian", "DelayedContinuous-v0", config, env_steps=128, run_dir="run", progress=False)
    assert (len(seen_clips), seen_clips[0]) == (8, pytest.approx(0.2))
    assert seen_clips[-1] == pytest.approx(widest)  # 96 of 128 steps were taken when the last update began
