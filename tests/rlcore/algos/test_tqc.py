"""TQC's targets and losses, worked out by hand; what it shares with its relatives is tested beside it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.algos.tqc import TQC, TQCBatch, TQCConfig, tqc_critic_loss, tqc_loss, tqc_targets
from rlcore.config import ConfigError
from tests.rlcore.algos.stand_ins import Says, Slopes, picked, rollout, squashed_draw

LINE, UNIT = spaces.Box(-100, 100, (1,), np.float32), spaces.Box(-1, 1, (1,), np.float32)


def test_targets_are_the_pooled_quantiles_without_the_largest_less_the_price_of_certainty():
    action, log_prob = squashed_draw(0.3, -1.0, 2)
    lagging = Slopes([[1.0, 5.0, 9.0], [2.0, 3.0, 40.0]], slope=2.0)
    batch = tqc_targets(picked([1.0, 1.0], [0.5, 0.0]), torch.ones(2), Says(0.3, -1.0), Slopes([[0.0] * 3] * 2),
                        lagging, torch.tensor([0.5]), dropped=2)
    shift = 2 * action[0].item() - 0.5 * log_prob[0].item()
    # pooled and sorted: 1 2 3 5 9 40; 9 and 40 are dropped
    assert batch.target[0].tolist() == pytest.approx([1 + 0.5 * (atom + shift) for atom in (1, 2, 3, 5)])
    assert batch.target[1].tolist() == [1.0] * 4


def test_the_critics_loss_is_the_mean_quantile_huber_over_pairs_summed_over_critics():
    zero = torch.zeros(2, 1)
    batch = TQCBatch(zero, zero, torch.tensor([[0.0, 3.0], [1e6, 1e6]]), torch.tensor([1.0, 0]), torch.ones(2))
    loss, _, metrics = tqc_critic_loss(Slopes([[0.0, 1.0], [3.0, 3.0]]), batch, torch.tensor([0.25, 0.75]))
    # u = target − quantile; weight τ where u ≥ 0, 1 − τ where u < 0; Huber of 1 is ½, of 2 is 1½, of 3 is 2½
    # critic 1: θ=0, τ=¼: u = 0, 3 → 0, ¼·2½;        θ=1, τ=¾: u = −1, 2 → ¼·½, ¾·1½
    # critic 2: θ=3, τ=¼: u = −3, 0 → ¾·2½, 0;       θ=3, τ=¾: u = −3, 0 → ¼·2½, 0
    first = (0.25 * 2.5 + 0.25 * 0.5 + 0.75 * 1.5) / 4
    second = (0.75 * 2.5 + 0.25 * 2.5) / 4
    assert loss.item() == pytest.approx(first + second)
    assert metrics["value/mean"].item() == 1.75


def test_the_actor_listens_to_the_mean_of_all_quantiles():
    action, log_prob = squashed_draw(0.3, -1.0, 1)
    batch = TQCBatch(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 4), torch.ones(1), torch.ones(1))
    critics = Slopes([[1.0, 5.0, 9.0], [2.0, 3.0, 40.0]], slope=2.0)
    loss, entropy = tqc_loss(Says(0.3, -1.0), critics, batch, torch.tensor([0.5]))
    assert loss.item() == pytest.approx(0.5 * log_prob.item() - 10 - 2 * action.item(), rel=1e-5)
    assert entropy.item() == pytest.approx(-log_prob.item())


def test_dropping_more_quantiles_than_there_are_is_refused():
    with pytest.raises(ConfigError, match=r"TQCConfig.dropped_quantiles=25 must be less than the 25 of num_quantiles"):
        TQCConfig(dropped_quantiles=25)


def test_the_number_dropped_is_meant_for_each_critic(monkeypatch: pytest.MonkeyPatch):
    agent = TQC(LINE, UNIT, TQCConfig(hidden=(8,), batch_size=4, capacity=50, num_critics=3, num_quantiles=7,
                                      dropped_quantiles=2))
    agent.remember(rollout(torch.randn(21, 1, 1), torch.rand(20, 1, 1)))
    seen: list[TQCBatch] = []
    monkeypatch.setattr("rlcore.algos.tqc.tqc_critic_loss",
                        lambda critics, batch, share: seen.append(batch) or tqc_critic_loss(critics, batch, share))
    agent.update()
    assert seen[0].target.shape == (4, 15)  # 3·7 − 3·2
    assert agent.fractions.tolist() == pytest.approx([1 / 14, 3 / 14, 5 / 14, 7 / 14, 9 / 14, 11 / 14, 13 / 14])
