"""The ring that remembers: what is written, what is overwritten, what is never picked."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rlcore.config import ConfigError
from rlcore.data.replay import Ring
from rlcore.data.rollout import Rollout

RNG = np.random.default_rng


def steps(first: int, count: int, num_envs: int = 1, ends: tuple[int, ...] = ()) -> Rollout:
    """Steps numbered from `first`: observation t (+ ½ in the second environment), action t, reward 10·t.

    `ends` are steps that terminate; each is followed by a dummy row.
    """
    t = torch.arange(first, first + count + 1)
    obs = t[:, None].float() + torch.arange(num_envs) / 2
    number = t[:-1, None].expand(count, num_envs)
    terminated = torch.isin(number, torch.tensor(ends, dtype=torch.long))
    dummy = torch.isin(number - 1, torch.tensor(ends, dtype=torch.long))
    return Rollout(obs[:-1, :, None], number.clone(), 10.0 * number, terminated, torch.zeros_like(terminated),
                   ~dummy, obs[-1, :, None])


def pick_all(ring: Ring, count: int = 4000) -> Iterator[tuple[float, int, float, float]]:
    """Every distinct transition a large pick finds: (obs, action, reward, next_obs)."""
    picked = ring.transitions(count, RNG(0))
    columns = (picked.obs[:, 0], picked.action, picked.reward, picked.next_obs[:, 0])
    return iter(sorted(set(zip(*(column.tolist() for column in columns), strict=True))))


def test_every_written_step_can_be_picked_and_nothing_else():
    ring = Ring(capacity=10, num_envs=1)
    ring.add(steps(1, 3))  # rows of zeros behind them are not written yet
    assert list(pick_all(ring)) == [(1.0, 1, 10.0, 2.0), (2.0, 2, 20.0, 3.0), (3.0, 3, 30.0, 4.0)]
    assert len(ring) == 3


def test_picks_are_uniform():
    ring = Ring(capacity=4, num_envs=1)
    ring.add(steps(0, 4))
    counts = torch.bincount(ring.transitions(40_000, RNG(0)).action)
    assert (counts - 10_000).abs().max() < 400  # four standard deviations


def test_a_full_ring_forgets_the_oldest_and_keeps_exactly_its_capacity():
    ring = Ring(capacity=4, num_envs=1)
    for first in (0, 3, 6):
        ring.add(steps(first, 3))
    # nine steps written, the last four remembered; each successor is right, across the seam too
    assert list(pick_all(ring)) == [(5.0, 5, 50.0, 6.0), (6.0, 6, 60.0, 7.0), (7.0, 7, 70.0, 8.0), (8.0, 8, 80.0, 9.0)]
    assert len(ring) == 4


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_no_pick_ever_mixes_two_rounds_of_the_ring(length: int):
    ring = Ring(capacity=4, num_envs=1)
    for first in range(0, 12 * length, length):
        ring.add(steps(first, length))
        newest = first + length - 1
        for obs, action, reward, next_obs in pick_all(ring, 200):
            assert (action, reward, next_obs) == (obs, 10 * obs, obs + 1)
            assert newest - 4 < obs <= newest


def test_a_block_longer_than_the_ring_leaves_its_last_steps():
    ring = Ring(capacity=4, num_envs=1)
    ring.add(steps(0, 23))
    assert [obs for obs, *_ in pick_all(ring)] == [19.0, 20.0, 21.0, 22.0]


def test_environments_keep_their_own_successors():
    ring = Ring(capacity=8, num_envs=2)
    for first in (0, 4):
        ring.add(steps(first, 4, num_envs=2))
    found = list(pick_all(ring))
    assert len(found) == 8  # four steps of two environments
    assert all(next_obs == obs + 1 for obs, _, _, next_obs in found)
    assert {obs % 1 for obs, *_ in found} == {0.0, 0.5}


def test_dummy_rows_weigh_nothing_and_terminations_are_kept():
    ring = Ring(capacity=10, num_envs=1)
    ring.add(steps(0, 6, ends=(2,)))
    picked = ring.transitions(1000, RNG(0))
    assert set(picked.action[picked.weight == 0].tolist()) == {3}
    assert set(picked.action[picked.terminated].tolist()) == {2}
    assert set(picked.weight.tolist()) == {0.0, 1.0}


def test_a_ring_too_small_for_its_environments_is_refused_with_a_size_that_works():
    with pytest.raises(ConfigError, match=r"capacity=10 must hold at least two steps of 64 environments. Try 6400"):
        Ring(capacity=10, num_envs=64)
    Ring(capacity=6400, num_envs=64)


def test_the_ring_copies_what_it_is_given():
    ring, block = Ring(capacity=10, num_envs=1), steps(0, 3)
    ring.add(block)
    block.obs.fill_(-1)  # a sampler's buffers are written again
    assert [obs for obs, *_ in pick_all(ring)] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("written", [0, 2, 4, 9])
def test_a_restored_ring_picks_the_same_and_goes_on_the_same(written: int):
    ring, other = Ring(capacity=4, num_envs=1), Ring(capacity=4, num_envs=1)
    for first in range(written):
        ring.add(steps(first, 1))
    other.load_state_dict(ring.state_dict())
    for one in (ring, other):
        one.add(steps(written, 2))
    a, b = ring.transitions(50, RNG(1)), other.transitions(50, RNG(1))
    assert a.obs.tolist() == b.obs.tolist()
    assert a.next_obs.tolist() == b.next_obs.tolist()
    assert a.reward.tolist() == b.reward.tolist()


def test_the_state_of_a_half_empty_ring_holds_only_what_was_written():
    ring = Ring(capacity=1_000_000, num_envs=1)
    ring.add(steps(0, 5))
    assert len(ring.state_dict()["rows"]["obs"]) == 6  # five steps and the newest successor
