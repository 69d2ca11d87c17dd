"""Prioritised picking: the tree's sums by hand, the picks by counting."""

import numpy as np
import pytest
import torch

from rlcore.config import ConfigError
from rlcore.data.prioritized import Prioritized, SumTree

RNG = np.random.default_rng


def rows(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_a_tree_finds_the_leaf_whose_stretch_holds_the_prefix():
    tree = SumTree(5)
    tree.set(rows(0, 1, 3, 4), numbers(1, 2, 4, 8))
    # stretches: 0 → [0, 1), 1 → [1, 3), 2 → nothing, 3 → [3, 7), 4 → [7, 15)
    assert tree.total == 15.0
    assert tree.low == 1.0
    assert tree.find(numbers(0, 0.5, 1, 2.5, 3, 6.5, 7, 14.5)).tolist() == [0, 0, 1, 1, 3, 3, 4, 4]


@pytest.mark.parametrize("size", [1, 31, 32, 33, 1024, 1025, 5000])
def test_a_tree_of_any_size_agrees_with_plain_sums(size: int):
    rng, tree, plain = RNG(size), SumTree(size), np.zeros(size)
    for count in (1, 3, 40, size):  # few leaves, and so many that all is summed afresh
        index = rng.integers(size, size=count)
        value = rng.integers(0, 4, size=count).astype(float)  # whole numbers: sums are exact
        tree.set(index, value)
        plain[index] = value
    tree.set(rows(size - 1), numbers(2))
    plain[size - 1] = 2
    assert tree.leaves.tolist() == plain.tolist()
    assert tree.total == plain.sum()
    assert tree.low == plain[plain > 0].min()
    prefix = np.arange(int(plain.sum())) + 0.5
    assert tree.find(prefix).tolist() == np.repeat(np.arange(size), plain.astype(int)).tolist()


def test_a_trees_minimum_follows_single_leaves_and_leaves_out_zeros():
    tree = SumTree(5000)
    tree.set(np.arange(5000), np.full(5000, 4.0))
    for value, low in ((0.5, 0.5), (8, 4), (0.25, 0.25), (0, 4)):
        tree.set(rows(4321), numbers(value))
        assert tree.low == low


def test_no_prefix_however_close_to_the_total_finds_a_leaf_of_zero():
    tree, rng = SumTree(4000), RNG(0)
    index = np.arange(0, 4000, 7)[:-3]  # zeros between them, and behind the last
    for _ in range(20):
        tree.set(index, rng.random(len(index)) * 10.0 ** rng.integers(-12, 3, len(index)))
        total = tree.total
        edge = numbers(0, np.nextafter(total, 0), total, total * (1 + 1e-12))
        found = tree.find(np.concatenate([edge, rng.random(500) * total]))
        assert np.isin(found, index).all()


def test_many_changes_leave_no_drift():
    tree, rng = SumTree(100), RNG(0)
    for _ in range(2000):
        tree.set(rng.integers(100, size=3), rng.random(3) * 1e9)
    tree.set(np.arange(100), np.full(100, 0.25))
    assert tree.total == 25.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_a_priority_that_would_poison_the_tree_is_refused(bad: float):
    tree = SumTree(3)
    with pytest.raises(ConfigError, match="finite and at least 0"):
        tree.set(rows(1), numbers(bad))
    assert tree.total == 0


def test_every_way_of_setting_a_priority_applies_alpha_exactly_once():
    picker = Prioritized(4, alpha=0.5, beta=1, eps=1.0)
    picker.added(rows(0), numbers(3))   # √(3 + 1)
    picker.added(rows(1), numbers(-8))  # √(8 + 1)
    picker.added(rows(2))               # the largest so far, as it is: 3, not √3
    picker.added(rows(3))
    picker.learned(rows(3), numbers(24))
    assert picker.tree.leaves.tolist() == [2.0, 3.0, 3.0, 5.0]
    picker.added(rows(0))
    assert picker.tree.leaves[0] == 5.0
    other = Prioritized(4, alpha=0.5, beta=1, eps=1.0)
    other.load_state_dict(picker.state_dict())
    assert other.tree.leaves.tolist() == [5.0, 3.0, 3.0, 5.0]
    other.added(rows(1))
    assert other.tree.leaves[1] == 5.0


def test_the_first_rows_of_all_have_priority_one():
    picker = Prioritized(4, alpha=0.5, beta=1)
    picker.added(rows(0, 1))
    assert picker.tree.leaves.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_picks_follow_the_priorities():
    picker = Prioritized(5, alpha=1, beta=1, eps=1e-9)
    picker.added(rows(0, 2, 4), numbers(1, 3, 6))
    index, probability = picker.pick(100_000, RNG(0))
    assert index.dtype == np.int64
    np.testing.assert_allclose(np.bincount(index, minlength=5) / 100_000, [0.1, 0, 0.3, 0, 0.6], atol=1e-4)
    np.testing.assert_allclose(probability, np.array([0.1, 0, 0.3, 0, 0.6])[index])


def test_picks_are_stratified():
    picker = Prioritized(8, alpha=1, beta=1)
    picker.added(np.arange(8), np.ones(8))
    for seed in range(20):
        assert picker.pick(8, RNG(seed))[0].tolist() == list(range(8))  # one from each eighth, every time


def test_alpha_zero_is_uniform_whatever_the_errors():
    picker = Prioritized(4, alpha=0, beta=1)
    picker.added(np.arange(4), numbers(0, 1, 100, 1e9))
    assert picker.pick(16, RNG(0))[1].tolist() == [0.25] * 16


def test_weights_by_hand():
    picker = Prioritized(3, alpha=1, beta=0.5, eps=1e-12)
    picker.added(np.arange(3), numbers(1, 4, 16))
    # (N·P)^−½ is √(21/3), √(21/12), √(21/48); over the largest: 1, ½, ¼
    assert picker.weight(numbers(1 / 21, 4 / 21, 16 / 21)).tolist() == pytest.approx([1, 0.5, 0.25])
    picker.beta = 0.0
    assert picker.weight(numbers(1 / 21, 4 / 21, 16 / 21)).tolist() == [1, 1, 1]


def test_weights_undo_the_picking_on_average():
    picker, value = Prioritized(50, alpha=0.7, beta=1), RNG(1).normal(size=50)
    picker.added(np.arange(50), RNG(2).exponential(size=50))
    index, probability = picker.pick(200_000, RNG(0))
    weight = picker.weight(probability)
    assert weight.max() == pytest.approx(1)
    assert (weight * value[index]).sum() / weight.sum() == pytest.approx(value.mean(), abs=0.01)


def test_an_error_of_zero_leaves_a_row_in_reach():
    picker = Prioritized(2, alpha=0.6, beta=0.4)
    picker.added(rows(0, 1))
    picker.learned(rows(0, 1), numbers(0, 0))
    index, probability = picker.pick(2, RNG(0))
    assert index.tolist() == [0, 1]
    assert picker.weight(probability).tolist() == [1, 1]


def test_forgotten_rows_are_not_picked_and_learning_does_not_bring_them_back():
    picker = Prioritized(4, alpha=1, beta=1)
    picker.added(np.arange(4))
    picker.forget(rows(1, 3))
    picker.learned(rows(1, 2), numbers(1000, 1))
    assert set(picker.pick(1000, RNG(0))[0].tolist()) == {0, 2}
    picker.added(rows(1))
    assert 1 in picker.pick(1000, RNG(0))[0]


def test_a_wrapped_ring_overwrites_what_the_old_rows_had():
    picker = Prioritized(4, alpha=1, beta=1, eps=1e-12)
    picker.added(np.arange(4), numbers(1, 2, 3, 4))
    picker.added(np.arange(4, 6) % 4, numbers(10, 20))
    assert picker.tree.leaves.tolist() == pytest.approx([10, 20, 3, 4])
    assert picker.tree.total == pytest.approx(37)


def test_picking_from_nothing_is_refused():
    with pytest.raises(ConfigError, match="no row to pick"):
        Prioritized(4, alpha=1, beta=1).pick(2, RNG(0))


def test_settings_without_meaning_are_refused():
    for alpha, beta, eps in ((-1, 0, 1), (1, -1, 1), (1, 1, 0), (float("nan"), 1, 1)):
        with pytest.raises(ConfigError, match="must be at least 0"):
            Prioritized(4, alpha=alpha, beta=beta, eps=eps)


def test_a_restored_picker_picks_the_same_and_its_state_is_as_long_as_what_is_in_use():
    picker = Prioritized(100_000, alpha=0.6, beta=0.4)
    picker.added(np.arange(50), RNG(0).exponential(size=50))
    state = picker.state_dict()
    assert isinstance(state["priority"], torch.Tensor)
    assert len(state["priority"]) == 50
    other = Prioritized(100_000, alpha=0.6, beta=0.4)
    other.added(np.arange(60, 90))  # what it held before is gone
    other.load_state_dict(state)
    assert other.pick(64, RNG(3))[0].tolist() == picker.pick(64, RNG(3))[0].tolist()
    assert other.largest == picker.largest
    picker.forget(rows(0))
    assert state["priority"][0] > 0  # the state is a copy
