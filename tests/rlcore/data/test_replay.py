"""The ring that remembers: what is written, what is overwritten, what is picked, and how rows become batches."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rlcore.config import ConfigError, ShapeError
from rlcore.data.batch import tree_map
from rlcore.data.replay import Ring
from rlcore.data.rollout import Rollout
from rlcore.data.scale import RewardScale

RNG = np.random.default_rng


@pytest.fixture(autouse=True, params=[True, False], ids=["numpy", "torch"])
def _whoever_picks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU rows are seen by NumPy, elsewhere by torch alone: both must do the same."""
    monkeypatch.setattr(Ring, "on_cpu", request.param)


def steps(first: int, count: int, num_envs: int = 1, ends: tuple[int, ...] = (), cuts: tuple[int, ...] = ()) -> Rollout:
    """Steps numbered from `first`: observation t (+ ½ in the second environment), action t, reward 10·t, memory t.

    `ends` are steps that terminate, `cuts` steps that the clock ends; each is followed by a dummy row.
    """
    t = torch.arange(first, first + count + 1)
    obs = t[:, None].float() + torch.arange(num_envs) / 2
    number = t[:-1, None].expand(count, num_envs)

    def among(which: tuple[int, ...], later: int = 0) -> Tensor:
        return torch.isin(number - later, torch.tensor(which, dtype=torch.long))

    return Rollout(obs[:-1, :, None], number.clone(), 10.0 * number, among(ends), among(cuts),
                   ~among(ends + cuts, later=1), among(ends + cuts, later=2) | (number == 0),
                   number[:, :, None].float(), obs[-1, :, None], {})


def afresh(rollout: Rollout) -> Rollout:
    """The same, begun by environments that were made anew."""
    rollout.start[0] = True
    return rollout


def pick_all(ring: Ring, count: int = 4000) -> list[tuple[float, int, float, float]]:
    """Every distinct transition a large pick finds: (obs, action, reward, next_obs)."""
    found = ring.transitions(ring.pick(count, RNG(0)), gamma=0.5)
    columns = (found.obs[:, 0], found.action, found.reward, found.next_obs[:, 0])
    return sorted(set(zip(*(column.tolist() for column in columns), strict=True)))


def row(ring: Ring, step: int, env: int = 0) -> Tensor:
    return torch.tensor([step % ring.steps * ring.num_envs + env])


# --- what can be picked

def test_every_written_step_can_be_picked_and_nothing_else():
    ring = Ring(capacity=10, num_envs=1)
    assert not ring.can_pick()
    ring.add(steps(1, 3))  # rows of zeros behind them are not written yet
    assert pick_all(ring) == [(1.0, 1, 10.0, 2.0), (2.0, 2, 20.0, 3.0), (3.0, 3, 30.0, 4.0)]
    assert len(ring) == 3
    assert ring.can_pick()


def test_picks_are_uniform():
    ring = Ring(capacity=4, num_envs=1)
    ring.add(steps(0, 4))
    counts = torch.bincount(ring.pick(40_000, RNG(0)))
    assert (counts - 10_000).abs().max() < 400  # more than four standard deviations


def test_a_full_ring_forgets_the_oldest_and_keeps_exactly_its_capacity():
    ring = Ring(capacity=4, num_envs=1)
    for first in (0, 3, 6):
        ring.add(steps(first, 3))
    # nine steps written, the last four remembered; each successor is right, across the seam too
    assert pick_all(ring) == [(5.0, 5, 50.0, 6.0), (6.0, 6, 60.0, 7.0), (7.0, 7, 70.0, 8.0), (8.0, 8, 80.0, 9.0)]
    assert len(ring) == 4


@pytest.mark.parametrize("length", [4, 5, 23])
def test_a_block_as_long_as_the_ring_or_longer_leaves_its_last_steps(length: int):
    ring = Ring(capacity=4, num_envs=1, memory_every=1)
    written = ring.add(steps(0, length))
    assert [obs for obs, *_ in pick_all(ring)] == [length - 4.0, length - 3.0, length - 2.0, length - 1.0]
    assert written.tolist() == [step % 5 for step in range(length - 4, length)]  # only rows that can be picked
    assert ring.sequences(row(ring, length - 3), 2).memory.item() == length - 3


def test_add_tells_the_flat_rows_it_wrote():
    ring = Ring(capacity=8, num_envs=2)  # five rows of two
    assert ring.add(steps(0, 4, num_envs=2)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert ring.add(steps(4, 2, num_envs=2)).tolist() == [8, 9, 0, 1]


def test_environments_keep_their_own_successors():
    ring = Ring(capacity=8, num_envs=2)
    for first in (0, 4):
        ring.add(steps(first, 4, num_envs=2))
    found = pick_all(ring)
    assert len(found) == 8  # four steps of two environments
    assert all(next_obs == obs + 1 for obs, _, _, next_obs in found)
    assert {obs % 1 for obs, *_ in found} == {0.0, 0.5}


def test_a_ring_too_small_for_its_environments_is_refused_with_a_size_that_works():
    with pytest.raises(ConfigError, match=r"capacity=10 must hold at least two steps of 64 environments. Try 6400"):
        Ring(capacity=10, num_envs=64)
    Ring(capacity=6400, num_envs=64)


def test_the_ring_copies_what_it_is_given():
    ring, block = Ring(capacity=10, num_envs=1), steps(0, 3)
    ring.add(block)
    assert isinstance(block.obs, Tensor)
    block.obs.fill_(-1)  # a sampler's buffers are written again
    assert [obs for obs, *_ in pick_all(ring)] == [0.0, 1.0, 2.0]


# --- transitions over one reward or several

def test_termination_stops_value_and_truncation_does_not():
    ring = Ring(capacity=20, num_envs=1)
    ring.add(steps(0, 8, ends=(2,), cuts=(5,)))
    found = ring.transitions(torch.arange(8), gamma=0.5)
    assert found.discount.tolist() == [0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert found.weight.tolist() == [1, 1, 1, 0, 1, 1, 0, 1]  # the dummy rows behind steps 2 and 5
    assert found.next_obs[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_n_rewards_are_discounted_and_stop_at_episode_ends_and_at_the_newest_row():
    ring = Ring(capacity=20, num_envs=1)
    ring.add(steps(0, 12, ends=(3,), cuts=(8,)))
    found = ring.transitions(torch.tensor([0, 2, 3, 5, 7, 8, 10, 11]), gamma=0.5, n=3)
    assert found.reward.tolist() == [
        0 + 5 + 5,          # steps 0, 1, 2: 0 + ½·10 + ¼·20
        20 + 15, 30,        # 2 and 3, where the task ends; 3 alone
        50 + 30 + 17.5,     # 5, 6, 7
        70 + 40, 80,        # 7 and 8, where the clock ends it; 8 alone
        100 + 55, 110]      # 10 and 11, the newest
    assert found.discount.tolist() == [0.125, 0, 0, 0.125, 0.25, 0.5, 0.25, 0.5]
    assert found.next_obs[:, 0].tolist() == [3, 4, 4, 8, 9, 9, 12, 12]
    assert found.weight.tolist() == [1] * 8


def test_n_steps_go_on_across_the_seam_but_never_from_the_newest_row_to_the_oldest():
    ring = Ring(capacity=5, num_envs=1)  # six rows
    ring.add(steps(0, 4))
    ring.add(steps(4, 4))  # steps 3 to 7 remain, the newest in row 1, its successor in row 2
    found = ring.transitions(torch.cat([row(ring, step) for step in (4, 5, 6, 7)]), gamma=1, n=3)
    assert found.reward.tolist() == [40 + 50 + 60, 50 + 60 + 70, 60 + 70, 70]
    assert found.next_obs[:, 0].tolist() == [7, 8, 8, 8]


def test_nothing_is_learned_across_a_break():
    ring = Ring(capacity=20, num_envs=1)
    ring.add(steps(0, 3))
    ring.add(afresh(steps(50, 3)))  # row 3 holds another episode's first observation
    found = ring.transitions(torch.arange(4), gamma=1, n=3)
    assert found.weight.tolist() == [1, 1, 0, 1]
    assert found.reward.tolist() == [0 + 10, 10, 20 + 500 + 510, 500 + 510 + 520]  # the third weighs nothing
    assert found.next_obs[:2, 0].tolist() == [2, 2]


def test_a_break_at_the_seam_is_noticed_too():
    ring = Ring(capacity=3, num_envs=1)
    ring.add(steps(0, 4))  # the newest step is in the last row, the next goes to the first
    ring.add(afresh(steps(4, 1)))
    assert ring.transitions(row(ring, 3), gamma=1).weight.item() == 0
    assert ring.transitions(row(ring, 4), gamma=1).weight.item() == 1


def test_a_break_concerns_only_the_environments_that_began_anew():
    ring = Ring(capacity=20, num_envs=2)
    ring.add(steps(0, 2, num_envs=2))
    block = steps(2, 2, num_envs=2)
    block.start[0, 1] = True
    ring.add(block)
    assert ring.transitions(torch.arange(6), gamma=1).weight.tolist() == [1, 1, 1, 0, 1, 1]


# --- scaled rewards

def scaling(limit: float = 10.0, **options: Any) -> Ring:
    """Has learned returns of ±8 with γ = 0, so it divides by 8."""
    ring = Ring(20, 1, reward_scale=RewardScale(1, gamma=0.0, limit=limit), **options)
    ring.add(replace(steps(0, 6), reward=torch.tensor([8.0, -8, 8, -8, 8, -8])[:, None]))
    return ring


def test_rewards_are_scaled_when_handed_out_and_kept_as_they_were():
    ring = scaling()
    assert ring.transitions(torch.tensor([0, 1]), gamma=0.5).reward.tolist() == pytest.approx([1, -1], rel=1e-3)
    assert ring.sequences(torch.tensor([2]), 3).reward.flatten().tolist() == pytest.approx([1, -1, 1], rel=1e-3)
    assert ring.rows["reward"][:2].flatten().tolist() == [8, -8]
    ring.add(replace(steps(6, 6), reward=torch.tensor([8.0, -8, 8, -8, 8, -8])[:, None] * 7**0.5))
    # the squares' mean is now (64 + 7·64)/2 = 16², and the same steps are worth half as much
    assert ring.transitions(torch.tensor([0]), gamma=0.5).reward.item() == pytest.approx(0.5, rel=1e-3)


def test_each_reward_is_clipped_before_several_are_added_up():
    ring = scaling(limit=0.7)
    # 0.7 − ½·0.7 + ¼·0.7; clipped as one, 8 − ½·8 + ¼·8 = 6 eighths would have been 0.7
    assert ring.transitions(torch.tensor([0]), gamma=0.5, n=3).reward.item() == pytest.approx(0.7 * 0.75)


def test_what_a_step_is_relabelled_to_is_scaled_too():
    ring = scaling()
    ring.relabel = lambda _index, found: replace(found, reward=torch.full_like(found.reward, 24.0))
    assert ring.transitions(torch.tensor([0]), gamma=0.5).reward.item() == pytest.approx(3, rel=1e-3)


def test_a_restored_ring_scales_as_before_and_goes_on_with_the_return_under_way():
    ring, other = (Ring(20, 1, reward_scale=RewardScale(1, gamma=0.5)) for _ in range(2))
    ring.add(steps(0, 6))
    other.load_state_dict(ring.state_dict())
    for one in (ring, other):
        one.add(steps(6, 2))
    index = torch.arange(8)
    assert torch.equal(ring.transitions(index, 0.5).reward, other.transitions(index, 0.5).reward)


# --- sequences

def test_a_sequence_is_consecutive_and_brings_the_memory_that_acting_had_at_its_first_step():
    ring = Ring(capacity=20, num_envs=2, memory_every=4)  # twelve rows
    for first in range(0, 18, 3):
        ring.add(steps(first, 3, num_envs=2, ends=(9,)))
    found = ring.sequences(torch.cat([row(ring, 8, 1), row(ring, 12, 0)]), length=5)
    assert isinstance(found.obs, Tensor)
    assert found.obs[:, :, 0].T.tolist() == [[8.5, 9.5, 10.5, 11.5, 12.5, 13.5], [12, 13, 14, 15, 16, 17]]
    assert found.action.T.tolist() == [[8, 9, 10, 11, 12], [12, 13, 14, 15, 16]]
    assert found.terminated[:, 0].tolist() == [False, True, False, False, False]
    assert found.valid[:, 0].tolist() == [True, True, False, True, True]
    assert found.start[:, 0].tolist() == [False, False, False, True, False, False]
    assert found.memory.tolist() == [[[8.0], [12.0]]]


@pytest.mark.parametrize("block", [1, 3, 4, 7])
def test_sequences_begin_at_multiples_and_never_straddle_the_newest_row(block: int):
    ring = Ring(capacity=23, num_envs=1, memory_every=4)  # 24 rows
    for first in range(0, 30 * block, block):
        ring.add(steps(first, block))
        newest = first + block - 1
        if ring.can_pick(length=6, every=4):
            found = ring.sequences(ring.pick(60, RNG(first), length=6, every=4), 6)
            begins = found.action[0]
            assert (found.action == begins + torch.arange(6)[:, None]).all()
            assert (begins % 4 == 0).all()
            assert (found.memory[0, :, 0] == begins).all()
            assert begins.max() + 5 <= newest and begins.min() > newest - 23
            wanted = [step for step in range(0, newest - 4, 4) if step > newest - 23]
            assert set(begins.tolist()) == set(wanted)
        else:
            assert newest < 5


def test_what_stands_behind_a_dummy_row_begins_an_episode_also_before_its_step_is_written():
    ring = Ring(capacity=20, num_envs=1, memory_every=1)
    ring.add(steps(0, 5, ends=(3,)))  # row 4 is the dummy; what is seen after it is already known
    assert ring.sequences(row(ring, 2), 3).start[:, 0].tolist() == [False, False, False, True]
    ring.add(steps(5, 2, ends=(3,)))
    assert ring.sequences(row(ring, 2), 4).start[:, 0].tolist() == [False, False, False, True, False]


def test_sequences_that_would_begin_where_no_memory_is_kept_are_refused():
    ring = Ring(capacity=20, num_envs=1, memory_every=4)
    ring.add(steps(0, 10))
    with pytest.raises(ConfigError, match="every=6 must be a multiple of memory_every=4"):
        ring.pick(1, RNG(0), length=3, every=6)


# --- frames stored once

class Film:
    """What an environment with stacked frames shows: a fresh random frame per step, episodes of uneven length."""

    def __init__(self, padding: str, frames: int = 3, lives: int = 1):
        self.rng, self.padding, self.frames, self.left = RNG(3), padding, frames, 0
        self.lives = self.left_lives = lives
        self.ended, self.stack = False, self.first()

    def first(self) -> Any:
        self.left = int(self.rng.integers(1, 7))
        if self.left_lives < self.lives:  # the next life goes on with the pictures of the last one
            return np.concatenate([self.stack[1:], self.rng.integers(1, 256, (1, 2, 2), dtype=np.uint8)])
        image = self.rng.integers(1, 256, (2, 2), dtype=np.uint8)
        blank = image if self.padding == "repeats" else np.zeros_like(image)
        return np.stack([blank] * (self.frames - 1) + [image])

    def rollout(self, count: int, fresh: bool) -> Rollout:
        seen, done, valid, start = [], [], [], []
        for _ in range(count):
            seen.append(self.stack)
            valid.append(not self.ended)
            start.append(fresh)
            fresh = self.ended
            if self.ended:
                self.stack, self.ended = self.first(), False
            else:
                self.left -= 1
                self.ended = self.left == 0
                self.left_lives = (self.left_lives - self.ended) or self.lives
                self.stack = np.concatenate([self.stack[1:], self.rng.integers(1, 256, (1, 2, 2), dtype=np.uint8)])
            done.append(self.ended)
        self.fresh = fresh
        flags = [torch.tensor(flag)[:, None] for flag in (done, valid, start)]
        obs, zero = torch.from_numpy(np.stack(seen))[:, None], torch.zeros(count, 1)
        return Rollout(obs, zero.long(), zero, torch.zeros_like(flags[0]), *flags, torch.zeros(count, 1, 0),
                       torch.from_numpy(self.stack)[None], {})


@pytest.mark.parametrize("padding", ["repeats", "zeros"])
@pytest.mark.parametrize(("named", "lives"), [(False, 1), (True, 1), (False, 3)])
def test_stacks_put_together_again_are_what_the_environment_showed(padding: str, named: bool, lives: int):
    once, whole = Ring(capacity=17, num_envs=1, frames=3), Ring(capacity=17, num_envs=1)
    film, fresh = Film(padding, lives=lives), True
    for block in range(40):  # four times around, with truncated episodes all over
        rollout = film.rollout(3, fresh)
        fresh = film.fresh
        if named:
            level = torch.arange(3.0)[:, None, None]
            rollout = Rollout(**{**vars(rollout), "obs": {"view": rollout.obs, "level": level},
                                 "last_obs": {"view": rollout.last_obs, "level": torch.tensor([[3.0]])}})
        once.add(rollout)
        whole.add(rollout)
        index = once.pick(50, RNG(block))
        a, b = once.transitions(index, 1, n=2), whole.transitions(index, 1, n=2)
        for one, other in ((a.obs, b.obs), (a.next_obs, b.next_obs)):
            tree_map(lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=0), one, other)
        if once.can_pick(length=4):
            index = once.pick(50, RNG(block), length=4)
            c, d = once.sequences(index, 4), whole.sequences(index, 4)
            tree_map(lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=0), c.obs, d.obs)
    assert once.padding == padding


def test_before_the_ring_is_full_its_very_first_stacks_can_be_picked_and_afterwards_the_torn_ones_cannot():
    ring, film = Ring(capacity=9, num_envs=1, frames=3), Film("zeros")
    ring.add(film.rollout(9, True))
    assert set(ring.pick(500, RNG(0)).tolist()) == set(range(9))
    ring.add(film.rollout(1, film.fresh))  # step 0 is gone, and with it a frame of the stacks of steps 1 and 2
    assert set(ring.pick(500, RNG(0)).tolist()) == set(range(3, 10))


def test_episodes_that_begin_with_unequal_frames_cannot_be_stored_once():
    film, ring = Film("repeats"), Ring(capacity=20, num_envs=1, frames=3)
    film.stack = np.stack([film.stack[0], film.stack[1] // 2, film.stack[2]])
    with pytest.raises(ShapeError, match="Use frames=1"):
        ring.add(film.rollout(2, True))
    mixed = Ring(capacity=20, num_envs=1, frames=3)
    mixed.add(Film("repeats").rollout(1, True))
    with pytest.raises(ShapeError, match="Use frames=1"):
        mixed.add(Film("zeros").rollout(1, True))


def test_plain_images_are_no_stacks_even_if_a_side_is_as_long_as_one():
    image, no = torch.arange(5 * 3 * 9).byte().view(5, 3, 3, 3), torch.zeros(4, 3, dtype=torch.bool)
    plain = Rollout(image[:4], no.long(), no.float(), no, no, ~no, no, torch.zeros(4, 3, 0), image[4], {})
    with pytest.raises(ShapeError, match=r"frames=3 .* needs images of uint8 \(3, height, width\); .* \(3, 3\). Use"):
        Ring(capacity=20, num_envs=3, frames=3).add(plain)
    beside = Rollout(**{**vars(plain), "obs": {"eye": image[:4], "stack": image[:4, :, None].repeat(1, 1, 3, 1, 1)},
                        "last_obs": {"eye": image[4], "stack": image[4][:, None].repeat(1, 3, 1, 1)}})
    ring = Ring(capacity=20, num_envs=3, frames=3)
    ring.add(beside)
    assert ring.stacks == ["obs/stack"]


def test_parts_whose_names_differ_in_a_slash_have_files_of_their_own(tmp_path: Path):
    ring, block = Ring(capacity=20, num_envs=1, folder=tmp_path), steps(0, 4)
    parts = {"goal/x": torch.ones(4, 1, 2), "goal-x": torch.full((4, 1, 2), 7.0)}
    ring.add(replace(block, obs=parts, last_obs={name: part[0] for name, part in parts.items()}))
    found = ring.obs(torch.tensor([0]))
    assert [found[name].unique().tolist() for name in parts] == [[1], [7]]


def test_a_million_atari_steps_take_little_more_than_their_frames():
    ring, length = Ring(capacity=999, num_envs=1, frames=4), 2
    no = torch.zeros(length, 1, dtype=torch.bool)
    ring.add(Rollout(torch.zeros(length, 1, 4, 84, 84, dtype=torch.uint8), no.long(), no.float(), no, no, ~no, no,
                     torch.zeros(length, 1, 0), torch.zeros(1, 4, 84, 84, dtype=torch.uint8), {}))
    # 84 · 84 of the frame, 8 of the action, 4 of the reward, and four flags
    assert ring.num_bytes() == 1000 * (7056 + 8 + 4 + 4)
    assert ring.num_bytes() * 1000 < 7.2e9


# --- parts, files, saving

def test_observations_with_parts_keep_each_part_its_shape_and_type():
    ring, block = Ring(capacity=20, num_envs=2), steps(0, 4, num_envs=2)
    both: dict[str, Any] = {
        "obs": {"place": block.obs, "count": block.action.to(torch.int32)},
        "last_obs": {"place": block.last_obs, "count": torch.tensor([4, 4], dtype=torch.int32)}}
    ring.add(Rollout(**{**vars(block), **both}))
    found = ring.transitions(row(ring, 1, 1), gamma=1)
    assert isinstance(found.obs, dict) and isinstance(found.next_obs, dict)
    assert found.obs["place"].tolist() == [[1.5]] and found.next_obs["place"].tolist() == [[2.5]]
    assert (found.obs["count"].item(), found.next_obs["count"].item()) == (1, 2)
    assert found.obs["count"].dtype == torch.int32


def test_a_ring_in_files_is_a_ring(tmp_path: Path):
    disk = Ring(capacity=7, num_envs=1, memory_every=2, folder=tmp_path / "rows")
    ram = Ring(capacity=7, num_envs=1, memory_every=2)
    for first in range(0, 20, 5):
        for ring in (disk, ram):
            ring.add(steps(first, 5, ends=(6,)))
    assert pick_all(disk) == pick_all(ram)
    restored = Ring(capacity=7, num_envs=1, memory_every=2, folder=tmp_path / "other")
    restored.load_state_dict(disk.state_dict())
    assert pick_all(restored) == pick_all(ram)
    # eight rows of 4 bytes, written through the map into the file
    assert np.fromfile(tmp_path / "rows/reward.bin", np.float32).tolist() == ram.rows["reward"].flatten().tolist()


@pytest.mark.parametrize("written", [0, 2, 4, 9])
def test_a_restored_ring_picks_the_same_and_goes_on_the_same(written: int):
    ring, other = (Ring(capacity=4, num_envs=1, memory_every=2) for _ in range(2))
    for first in range(written):
        ring.add(steps(first, 1))
    other.load_state_dict(ring.state_dict())
    for one in (ring, other):
        one.add(steps(written, 2))
    index = ring.pick(50, RNG(1))
    assert torch.equal(index, other.pick(50, RNG(1)))
    a, b = ring.transitions(index, 0.5), other.transitions(index, 0.5)
    assert torch.equal(a.obs, b.obs) and torch.equal(a.next_obs, b.next_obs) and torch.equal(a.reward, b.reward)
    assert torch.equal(ring.rows["memory"], other.rows["memory"])


def test_the_state_of_stacks_remembers_how_they_begin():
    ring, other, film = Ring(9, 1, frames=3), Ring(9, 1, frames=3), Film("zeros")
    for block in range(5):
        ring.add(film.rollout(3, block == 0 or film.fresh))
    other.load_state_dict(ring.state_dict())
    index = ring.pick(40, RNG(0))
    assert torch.equal(ring.transitions(index, 1).obs, other.transitions(index, 1).obs)
    old = ring.state_dict()
    del old["rows"]["fresh"]  # as it was saved before lost lives were told from ends
    other.load_state_dict(old)
    assert torch.equal(ring.transitions(index, 1).obs, other.transitions(index, 1).obs)


def test_a_lost_life_ends_bootstrapping_but_not_the_stack():
    image = torch.arange(1, 9, dtype=torch.uint8).view(8, 1, 1).expand(8, 2, 2)
    # a life lost at step 2: step 3 is the dummy that shows its last picture, step 4 the next life's first
    shown = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    stacks = torch.stack([image[picture] for picture in shown])[:, None]
    done, start = torch.zeros(2, 5, 1, dtype=torch.bool)
    done[2], start[[0, 4]] = True, True
    valid = torch.ones(5, 1, dtype=torch.bool)
    valid[3] = False
    ring = Ring(capacity=20, num_envs=1, frames=3)
    ring.add(Rollout(stacks[:5], done.long(), done.float(), done, torch.zeros_like(done), valid, start,
                     torch.zeros(5, 1, 0), stacks[5], {}))
    found = ring.transitions(torch.arange(5), gamma=0.5, n=2)
    assert found.obs[:, :, 0, 0].tolist() == [[first + 1 for first in picture] for picture in shown[:5]]
    assert found.next_obs[4, :, 0, 0].tolist() == [4, 5, 6]
    assert found.discount[[0, 1, 2, 4]].tolist() == [0.25, 0, 0, 0.5]  # nothing flows across the lost life
    assert found.weight.tolist() == [1, 1, 1, 0, 1]


def test_the_state_of_a_half_empty_ring_holds_only_what_was_written():
    ring = Ring(capacity=1_000_000, num_envs=1)
    ring.add(steps(0, 5))
    assert len(ring.state_dict()["rows"]["obs"]) == 6  # five steps and the newest successor


def test_a_ring_refuses_the_state_of_a_longer_one():
    ring = Ring(capacity=10, num_envs=1)
    ring.add(steps(0, 5))
    with pytest.raises(ConfigError, match="A memory of 10 steps of each environment cannot be restored into one of 20"):
        Ring(capacity=20, num_envs=1).load_state_dict(ring.state_dict())


# --- against a model that keeps everything

class Diary:
    """All steps of all environments in lists: slow, and plainly right."""

    def __init__(self, num_envs: int):
        self.rows: list[list[dict[str, Any]]] = [[] for _ in range(num_envs)]

    def add(self, rollout: Rollout, after: Tensor) -> None:
        for b, rows in enumerate(self.rows):
            for t in range(len(rollout.reward)):
                rows.append({name: getattr(rollout, name)[t, b].item() for name in
                             ("obs", "reward", "terminated", "valid", "start", "memory")})
            self.last = after

    def n_step(self, b: int, step: int, gamma: float, n: int) -> tuple[float, float, float]:
        """Reward, discount and what is seen afterwards."""
        rows, total, worth = self.rows[b], 0.0, 1.0
        while True:
            total, worth = total + worth * rows[step]["reward"], worth * gamma
            over, step, n = rows[step]["terminated"], step + 1, n - 1
            after = rows[step]["obs"] if step < len(rows) else self.last[b].item()
            if n == 0 or step == len(rows) or not rows[step]["valid"]:
                return total, 0.0 if over else worth, after


@pytest.mark.parametrize("seed", range(4))
def test_random_operations_give_what_lists_give(seed: int):
    rng, num_envs, every = RNG(seed), 3, 4
    ring, diary = Ring(capacity=60, num_envs=num_envs, memory_every=every), Diary(num_envs)  # 24 rows
    ended, fresh = np.zeros(num_envs, bool), np.ones(num_envs, bool)
    seen = rng.normal(size=num_envs).astype(np.float32)
    for turn in range(150):
        length = int(rng.integers(1, 9))
        columns: dict[str, list[Any]] = {name: [] for name in ("obs", "done", "cut", "valid", "start")}
        for _ in range(length):
            done, cut = (~ended & (rng.random(num_envs) < 0.1) for _ in range(2))
            for name, value in zip(columns, (seen, done, cut, ~ended, fresh), strict=True):
                columns[name].append(value)
            fresh, ended, seen = ended, done | cut, rng.normal(size=num_envs).astype(np.float32)
        obs, done, cut, valid, start = (torch.from_numpy(np.stack(column)) for column in columns.values())
        reward, last = torch.from_numpy(rng.normal(size=(length, num_envs)).astype(np.float32)), torch.from_numpy(seen)
        rollout = Rollout(obs, torch.zeros_like(done).long(), reward, done, cut, valid, start, obs[:, :, None] * 2,
                          last, {})
        if turn and turn % 10 == 0:
            for rows in diary.rows:
                rows[-1]["valid"] = False
        ring.add(rollout)
        diary.add(rollout, last)
        if turn % 10 == 9:  # environments start anew
            ended, fresh = np.zeros(num_envs, bool), np.ones(num_envs, bool)
            seen = rng.normal(size=num_envs).astype(np.float32)
        if turn % 7 == 6:
            copy = Ring(capacity=60, num_envs=num_envs, memory_every=every)
            copy.load_state_dict(ring.state_dict())
            ring = copy
        compare(ring, diary, rng)


def compare(ring: Ring, diary: Diary, rng: np.random.Generator) -> None:
    total, n = len(diary.rows[0]), int(rng.integers(1, 6))
    numbers = {step % ring.steps: step for step in range(max(0, total - ring.steps + 1), total)}
    index = ring.pick(8, rng)
    found = ring.transitions(index, 0.9, n)
    for k, flat in enumerate(index.tolist()):
        step, b = numbers[flat // 3], flat % 3
        wanted = diary.rows[b][step]
        assert found.obs[k].item() == wanted["obs"] and found.weight[k].item() == wanted["valid"]
        if wanted["valid"]:
            given = (found.reward[k].item(), found.discount[k].item(), found.next_obs[k].item())
            assert given == pytest.approx(diary.n_step(b, step, 0.9, n), abs=1e-5)
    if ring.can_pick(length=6, every=4):
        index = ring.pick(4, rng, length=6, every=4)
        parts = ring.sequences(index, 6)
        for k, flat in enumerate(index.tolist()):
            step, b = numbers[flat // 3], flat % 3
            rows = diary.rows[b][step:step + 6]
            for name in ("obs", "reward", "terminated", "valid", "start"):
                assert getattr(parts, name)[:6, k].tolist() == [each[name] for each in rows]
            assert parts.memory[0, k].item() == rows[0]["memory"]
