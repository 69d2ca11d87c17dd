"""TD3's targets, losses and delay, worked out by hand; what it shares with its relatives is tested beside it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.algos.td3 import TD3, TD3Batch, TD3Config, td3_critic_loss, td3_loss, td3_targets
from tests.rlcore.algos.stand_ins import Says, Slopes, picked, rollout

LINE, UNIT = spaces.Box(-100, 100, (1,), np.float32), spaces.Box(-1, 1, (1,), np.float32)


def test_targets_smooth_the_lagging_actors_action_with_clipped_noise_and_take_the_smaller_critic():
    cfg = TD3Config(target_noise=0.2, target_noise_clip=0.5)
    noise = torch.tensor([[1.0], [-10.0], [1.0]])
    batch = td3_targets(picked([1.0, 1.0, 1.0], [0.5, 0.5, 0.0]), torch.ones(3), noise, Says(0.3),
                        Slopes([8.0, 6.0], slope=2.0), cfg)
    centre = float(np.tanh(0.3))
    # noise 0.2 as drawn; −2 clipped to −½; and no future where the task ended
    near, clipped = 6 + 2 * (centre + 0.2), 6 + 2 * (centre - 0.5)
    assert batch.target.tolist() == pytest.approx([1 + 0.5 * near, 1 + 0.5 * clipped, 1.0])
    far = td3_targets(picked([0.0], [1.0]), torch.ones(1), torch.tensor([[10.0]]), Says(3.0),
                      Slopes([0.0, 0.0], slope=2.0), cfg)
    assert far.target.item() == 2.0  # tanh 3 + ½ is beyond the range: 1


def test_the_critics_loss_sums_both_and_the_actor_listens_to_the_first_alone():
    zero = torch.zeros(2, 1)
    batch = TD3Batch(zero, zero, torch.tensor([3.0, 1e6]), torch.tensor([1.0, 0]), torch.ones(2))
    assert td3_critic_loss(Slopes([1.0, 2.0]), batch)[0].item() == 0.5 * (2**2 + 1**2)
    assert td3_loss(Says(0.3), Slopes([9.0, 1.0], slope=2.0), batch).item() == pytest.approx(-9 - 2 * np.tanh(0.3))


def test_actor_and_lagging_copies_move_only_with_every_third_critic_step():
    agent = TD3(LINE, UNIT, TD3Config(hidden=(8,), batch_size=8, capacity=50, policy_every=3, tau=0.5))
    agent.remember(rollout(torch.randn(21, 1, 1), torch.rand(20, 1, 1)))
    for update in range(1, 7):
        before = [params.detach().clone() for params in (
            agent.critic_params, agent.actor_params, agent.lagging_params, agent.lagging_actor_params)]
        metrics = agent.update()
        after = (agent.critic_params, agent.actor_params, agent.lagging_params, agent.lagging_actor_params)
        moved = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
        assert moved == [True, *[update % 3 == 0] * 3]
        assert ("loss/policy" in metrics) == (update >= 3)  # its last value is repeated in between
    torch.testing.assert_close(after[3].detach(), 0.5 * before[3] + 0.5 * after[1].detach())


def test_exploring_noise_is_added_and_clipped_to_the_range():
    agent = TD3(LINE, UNIT, TD3Config(hidden=(8,), noise_std=0.5))
    with torch.no_grad():
        agent.actor_params.zero_()
    noise = np.array([[1.0], [-1.0], [9.0]], np.float32)
    action, _ = agent.act(np.zeros((3, 1), np.float32), np.zeros((3, 0), np.float32), noise)
    assert action[:, 0].tolist() == [0.5, -0.5, 1.0]
