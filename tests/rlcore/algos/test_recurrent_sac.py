"""Recurrent-SAC's targets and losses, worked out by hand, and the memory that it must learn to use."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import rlcore as rl
from rlcore import catalog
from rlcore.algos.recurrent_sac import (
    RecurrentSAC,
    RecurrentSACBatch,
    RecurrentSACConfig,
    recurrent_sac_critic_loss,
    recurrent_sac_loss,
    recurrent_sac_targets,
)
from rlcore.config import ConfigError, ShapeError
from rlcore.data.replay import Sequences
from rlcore.data.rollout import Rollout
from rlcore.nets.actors import squashed

LINE = spaces.Box(-100, 100, (1,), np.float32)
PLANE = spaces.Box(-1, 1, (2,), np.float32)


class Flat(nn.Module):
    """Twin critics worth their number plus the feature, whatever is done."""

    def __init__(self, *values: float):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, features: Tensor, action: Tensor) -> Tensor:
        return self.values[:, None, None] + features[..., 0] + 0 * action[..., 0]

    judge = forward


def column(*values: float | bool) -> Tensor:
    return torch.tensor(values)[:, None]


def sequence(reward: Tensor, terminated: Tensor, valid: Tensor) -> Sequences:
    count = len(reward)
    start = torch.zeros(count + 1, 1, dtype=torch.bool)
    return Sequences(torch.zeros(count + 1, 1, 1), torch.zeros(count, 1, 1), reward, terminated, valid, start,
                     torch.zeros(1, 1, 0))


def test_targets_look_one_step_ahead_behind_the_burn_in_and_stop_only_at_termination():
    cfg, alpha = RecurrentSACConfig(gamma=0.5, burn_in=1), torch.tensor([0.5])
    seqs = sequence(column(9.0, 1, 2, 0, 4), column(False, False, True, False, False),
                    column(True, True, True, False, True))
    out, ahead = torch.tensor([0.0, -1.0]).expand(4, 1, 2), column(10.0, 20, 30, 40)[:, :, None]
    torch.manual_seed(3)
    _, log_prob = squashed(out).sample_with_log_prob()
    torch.manual_seed(3)  # the same next actions again, inside
    batch = recurrent_sac_targets(seqs, out, ahead, Flat(8.0, 6.0), alpha, cfg)  # type: ignore[arg-type]
    price = (0.5 * log_prob).flatten().tolist()
    assert batch.target.flatten().tolist() == pytest.approx(
        [1 + 0.5 * (16 - price[0]), 2, 0 + 0.5 * (36 - price[2]), 4 + 0.5 * (46 - price[3])])
    assert batch.weight.flatten().tolist() == [1, 1, 0, 1]


def test_the_critics_loss_sums_both_squared_errors_and_leaves_dummy_rows_out():
    batch = RecurrentSACBatch(torch.zeros(3, 1, 1), target=column(3.0, 5, 1e6), weight=column(1.0, 1, 0))
    critics: Any = Flat(1.0, 2.0)
    loss, metrics = recurrent_sac_critic_loss(critics, torch.zeros(3, 1, 1), batch)
    # ½·(2² + 1²) and ½·(4² + 3²), averaged
    assert loss.item() == (2.5 + 12.5) / 2
    assert metrics["value/mean"].item() == 1.5


def test_the_actors_loss_is_the_price_of_certainty_less_the_smaller_critic():
    out, critics = torch.tensor([0.0, -1.0]).expand(2, 1, 2), Flat(8.0, 6.0)
    torch.manual_seed(3)
    _, log_prob = squashed(out).sample_with_log_prob()
    torch.manual_seed(3)
    loss, entropy = recurrent_sac_loss(critics, torch.zeros(2, 1, 1), out, column(1.0, 0),  # type: ignore[arg-type]
                                       torch.tensor([0.5]))
    assert loss.item() == pytest.approx(0.5 * log_prob[0].item() - 6)
    assert entropy.item() == pytest.approx(-log_prob[0].item())


def tiny(**changes: Any) -> RecurrentSAC:
    return RecurrentSAC(LINE, PLANE, RecurrentSACConfig(**{
        "num_envs": 2, "hidden": (8,), "core_size": 8, "batch_size": 8, "capacity": 80, "burn_in": 2,
        "sequence_length": 4, "sequence_every": 3, **changes}))


def noise_rollout(agent: RecurrentSAC, count: int = 20) -> Rollout:
    obs, no = torch.randn(count + 1, 2, 1), torch.zeros(count, 2, dtype=torch.bool)
    return Rollout(obs[:-1], torch.rand(count, 2, 2) * 2 - 1, torch.randn(count, 2), no, no, ~no, no,
                   torch.randn(count, 2, agent.memory_size), obs[-1], {})


def test_actor_and_critics_carry_their_memories_side_by_side():
    agent = tiny(core="lstm")
    assert agent.memory_size == 2 * 2 * 8
    obs, memory = np.ones((3, 1), np.float32), np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    start = torch.zeros(1, 3, dtype=torch.bool)
    with torch.no_grad():
        rows, before = torch.ones(1, 3, 1), torch.from_numpy(memory)
        own = agent.actor.trunk(rows, before[:, :16], start)[1]
        theirs = agent.critics.trunk(rows, before[:, 16:], start)[1]
    after = agent.act(obs, memory)[1]
    np.testing.assert_allclose(after, torch.cat([own, theirs], 1).numpy(), rtol=1e-5, atol=1e-6)


def test_acting_draws_from_the_policy_that_learning_assumes_and_judged_takes_its_centre():
    agent = tiny()
    obs, memory = np.zeros((20_000, 1), np.float32), np.zeros((20_000, agent.memory_size), np.float32)
    acted = agent.act(obs, memory, agent.noise(np.random.default_rng(0), 20_000, 0, 0))[0]
    start = torch.zeros(1, 20_000, dtype=torch.bool)
    out = agent.actor(torch.zeros(1, 20_000, 1), torch.zeros(20_000, agent.half), start, 0)[0]
    sampled, _ = squashed(out).sample_with_log_prob()
    np.testing.assert_allclose(acted.mean(0), sampled.detach().numpy().mean(0), atol=0.02)
    np.testing.assert_allclose(acted.std(0), sampled.detach().numpy().std(0), atol=0.02)
    centre = agent.act(obs[:1], memory[:1])[0]
    np.testing.assert_allclose(centre, squashed(out[:1]).mode().detach().numpy(), rtol=1e-4, atol=1e-6)


def test_every_network_moves_in_one_update_and_the_lagging_critics_follow_slowly():
    agent = tiny(tau=0.25)
    assert agent.update() == {}  # no sequence is complete yet
    agent.remember(noise_rollout(agent))
    lagging = agent.lagging_params.detach().clone()
    before = {name: param.detach().clone() for name, param in
              (*agent.actor.named_parameters("actor"), *agent.critics.named_parameters("critics"))}
    temperature = agent.log_alpha.item()
    agent.update()
    after = dict((*agent.actor.named_parameters("actor"), *agent.critics.named_parameters("critics")))
    assert [name for name, param in after.items() if torch.equal(param, before[name])] == []
    assert agent.log_alpha.item() != temperature
    torch.testing.assert_close(agent.lagging_params.detach(), 0.75 * lagging + 0.25 * agent.critic_params.detach())


def test_the_actors_step_leaves_no_trace_in_the_critics():
    agent = tiny()
    features = torch.randn(4, 3, 8 + 8)
    out = agent.actor(torch.randn(4, 3, 1), torch.zeros(3, 8), torch.zeros(4, 3, dtype=torch.bool), 0)
    agent.critic_optimizer.zero_grad(set_to_none=False)
    recurrent_sac_loss(agent.critics, features, out, torch.ones(4, 3), torch.tensor([0.1]))[0].backward()
    assert agent.critic_params.grad is not None and not agent.critic_params.grad.any()
    assert agent.actor_params.grad is not None and agent.actor_params.grad.any()


def test_what_it_cannot_do_is_refused_in_a_sentence():
    with pytest.raises(ShapeError, match=r"Recurrent-SAC needs a continuous action space.*R2D2 or PPO can act here"):
        RecurrentSAC(LINE, spaces.Discrete(2), RecurrentSACConfig())
    with pytest.raises(ConfigError, match=r"capacity=20 must hold a sequence of every environment: at least 24"):
        RecurrentSACConfig(capacity=20)


def test_all_state_is_put_back_by_load_state_dict():
    one, other = tiny(), tiny()
    one.remember(noise_rollout(one))
    for _ in range(3):
        one.update()
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    other.memory.load_state_dict(one.memory.state_dict())
    for agent in (one, other):
        torch.manual_seed(5)
        for _ in range(3):
            agent.update()
    for name in ("actor_params", "critic_params", "lagging_params", "log_alpha"):
        assert torch.equal(getattr(one, name), getattr(other, name))


# --- probes

SMALL = {"num_envs": 8, "train_every": 2, "hidden": [16], "core_size": 32, "burn_in": 2, "sequence_length": 6,
         "sequence_every": 3, "learning_rate": 5e-3, "learning_starts": 400, "tau": 0.05, "capacity": 8000,
         "adjust_alpha": False, "alpha": 0.01}


def learn(name: str, env_steps: int, run_dir: str = "run", **changes: Any) -> Any:
    return rl.train("recurrent_sac", name, catalog.config_for("recurrent_sac", "", {**SMALL, **changes}),
                    env_steps=env_steps, seed=1, run_dir=run_dir, checkpoint_s=1e9, progress=False)


def test_remembers_a_number_until_it_is_asked_for():
    agent = learn("rlcore.envs.probe:Hold", 6000, gamma=0.9)
    assert rl.evaluate(agent, "rlcore.envs.probe:Hold", episodes=64).mean > 0.85  # without memory at best ½


def test_the_clock_does_not_end_the_task():
    agent = learn("Endless3Continuous-v0", 2500, gamma=0.5, alpha=0.001)
    start = torch.tensor([[True], [False]])
    with torch.no_grad():
        features = agent.critics.features(torch.ones(2, 1, 1), torch.zeros(1, agent.memory_size - agent.half), start, 0)
        value = agent.critics(features, torch.zeros(2, 1, 1)).amin(0)[0].item()
    assert value == pytest.approx(2, abs=0.15)  # 1/(1 − ½), where three ones would be 1.75


def test_the_same_seed_gives_the_same_bits():
    one, other = (learn("EchoContinuous-v0", 500, run_dir=name) for name in ("one", "other"))
    assert torch.equal(one.actor_params, other.actor_params) and torch.equal(one.critic_params, other.critic_params)
