"""Prioritised replay: the ring and its priorities stay in step."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore import catalog
from rlcore.data.ranked import Even, Ranked
from rlcore.data.replay import Ring
from rlcore.data.rollout import Rollout

RNG = np.random.default_rng


def steps(count: int, envs: int = 2, dummy: int | None = None, frames: int = 0) -> Rollout:
    """`count` steps without an end, except that step `dummy` is a reset of environment 0."""
    no = torch.zeros(count, envs, dtype=torch.bool)
    start, valid = no.clone(), ~no
    start[0] = True
    if dummy is not None:
        valid[dummy, 0] = False
    shape = (frames, 4, 4) if frames else (1,)
    obs = torch.zeros(count, envs, *shape, dtype=torch.uint8 if frames else torch.float32)
    return Rollout(obs, no.long(), torch.ones(count, envs), no, no, valid, start, torch.zeros(count, envs, 0),
                   obs[-1], {})


def pickable(ranked: Ranked) -> list[int]:
    return np.flatnonzero(ranked.picker.tree.leaves).tolist()


def test_every_real_row_can_be_picked_and_a_dummy_row_cannot():
    ranked = Ranked(Ring(20, 2), alpha=1, beta=1)
    ranked.add(steps(3, dummy=1))
    assert pickable(ranked) == [0, 1, 3, 4, 5]  # row 2 is step 1 of environment 0


@pytest.mark.parametrize("block", [1, 2, 5])
def test_the_row_that_only_holds_a_successor_is_never_picked_however_often_the_ring_wraps(block: int):
    ranked = Ranked(Ring(8, 2), alpha=1, beta=1)  # 4 steps and one row more
    for _ in range(7):
        ranked.add(steps(block))
        ring = ranked.ring
        newest = {(ring.total - 1 - back) % ring.steps for back in range(ring.size)}
        assert pickable(ranked) == sorted(row * 2 + env for row in newest for env in range(2))


def test_stacks_whose_first_frames_were_overwritten_are_not_picked():
    ranked = Ranked(Ring(8, 1, frames=3), alpha=1, beta=1)  # 9 rows
    ranked.add(steps(7, 1, frames=3))
    assert pickable(ranked) == [0, 1, 2, 3, 4, 5, 6]        # not full: an episode's first rows repeat their frame
    ranked.add(steps(4, 1, frames=3))                       # rows 7, 8, 0, 1 are written, row 2 holds the successor
    assert pickable(ranked) == [0, 1, 5, 6, 7, 8]           # 3 and 4 would need 1 and 2


def test_importance_weights_by_hand():
    ranked = Ranked(Ring(20, 1), alpha=1, beta=1)
    ranked.add(steps(2, 1))
    ranked.learned(torch.tensor([0, 1]), torch.tensor([1.0, -3.0]), torch.ones(2))
    for beta, smaller in ((1.0, 1 / 3), (0.5, 3**-0.5)):
        ranked.picker.beta = beta
        index, importance = ranked.pick(4, RNG(0))
        # P = ¼ and ¾: of four strata the first falls on row 0. (2·¼)^−β is the largest weight, so it becomes 1
        assert index.tolist() == [0, 1, 1, 1]
        assert importance.tolist() == pytest.approx([1, smaller, smaller, smaller], rel=1e-5)


def test_a_row_found_not_to_count_is_forgotten():
    ranked = Ranked(Ring(20, 1), alpha=1, beta=1)
    ranked.add(steps(3, 1))
    index, weight = torch.tensor([0, 2]), torch.tensor([1.0, 0.0])
    ranked.learned(index, torch.tensor([5.0, 5.0]), weight)
    assert pickable(ranked) == [0, 1]


def test_beta_rises_in_a_straight_line_with_the_env_steps_and_stays_where_it_is_not_told_to():
    rising, staying = Ranked(Ring(20, 2), 1, 0.4, beta_steps=8), Ranked(Ring(20, 2), 1, 0.4)
    found = []
    for _ in range(3):
        for ranked in (rising, staying):
            ranked.add(steps(2))  # of two environments: 4 env steps
            ranked.pick(1, RNG(0))
        found.append((rising.picker.beta, staying.picker.beta))
    assert found == [(pytest.approx(0.7), 0.4), (1, 0.4), (1, 0.4)]


def test_priorities_are_put_back():
    ranked, other = Ranked(Ring(20, 1), 1, 1), Ranked(Ring(20, 1), 1, 1)
    ranked.add(steps(3, 1))
    ranked.learned(torch.tensor([0, 1]), torch.tensor([1.0, -3.0]), torch.ones(2))
    other.load_state_dict(ranked.state_dict())
    assert other.picker.tree.leaves.tolist() == ranked.picker.tree.leaves.tolist()


def test_priorities_that_came_without_their_rows_end_with_the_first_rows_of_its_own():
    ranked, other = Ranked(Ring(20, 1), 1, 1), Ranked(Ring(20, 1), 1, 1)
    ranked.add(steps(9, 1))
    other.load_state_dict(ranked.state_dict())
    other.add(steps(3, 1))
    assert pickable(other) == [0, 1, 2]


def test_evenly_picked_rows_are_the_rings_own_picks_and_all_as_important():
    even, ring = Even(Ring(20, 2)), Ring(20, 2)
    for one in (even, ring):
        one.add(steps(5))
    index, importance = even.pick(50, RNG(3))
    assert index.tolist() == ring.pick(50, RNG(3)).tolist()
    assert importance.tolist() == [1.0] * 50
    even.learned(index, torch.full((50,), 9.0), torch.ones(50))
    assert even.pick(50, RNG(3))[0].tolist() == index.tolist()


@pytest.mark.parametrize("algo", ["qrdqn", "iqn", "sac_discrete"])
def test_an_agents_state_from_before_it_could_rank_is_put_back_too(algo: str):
    build, cfg = catalog.agent_class(algo), catalog.config_class(algo)(hidden=(8,), capacity=50)
    one, other = (build(spaces.Box(-1, 1, (1,)), spaces.Discrete(2), cfg, seed=seed) for seed in range(2))
    state = one.state_dict()
    del state["replay"]
    other.load_state_dict(state)
    assert all(torch.equal(*pair) for pair in zip(one.acting.parameters(), other.acting.parameters(), strict=True))
