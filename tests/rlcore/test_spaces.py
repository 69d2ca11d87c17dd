"""What an agent's action means to an environment."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.config import ShapeError
from rlcore.spaces import Actions, action_mask, legal_choice, refuse_idle_mask, require_actions

INF = float("inf")
LINE = spaces.Box(-1, 1, (1,))


def box(low: list[float], high: list[float]) -> spaces.Box:
    return spaces.Box(np.float32(low), np.float32(high))


def test_a_box_is_stretched_over_its_bounds_and_clipped_to_them():
    actions = Actions(box([-2, 0], [2, 10]))
    # centre, both ends, halfway up, beyond
    asked = np.float32([[0, 0], [-1, -1], [1, 1], [0.5, 0.5], [3, -7]])
    assert actions.to_env(asked).dtype == np.float32
    assert actions.to_env(asked).tolist() == [[0, 5], [-2, 0], [2, 10], [1, 7.5], [2, 0]]


def test_a_unit_box_is_only_clipped():
    assert Actions(box([-1], [1])).to_env(np.float32([[0.3], [-4]])).tolist() == [[np.float32(0.3)], [-1]]


def test_an_unbounded_dimension_passes_through_beside_a_bounded_one():
    actions = Actions(box([-INF, -2], [INF, 2]))
    assert actions.to_env(np.float32([[50, 50], [-3, 0.5]])).tolist() == [[50, 2], [-3, 1]]


def test_no_action_ever_leaves_a_half_bounded_box():
    space = box([0], [INF])
    sent = Actions(space).to_env(np.float32([[-5], [0.5], [7]]))
    assert all(space.contains(action) for action in sent)


def test_bounds_that_float32_cannot_hold_are_kept():
    # float32(±0.1) = ±0.1000000015 lie outside, float32(0.7) = 0.6999999881 does not; the last part has one value only
    space = spaces.Box(np.float64([-0.1, 0.3, 0.1]), np.float64([0.1, 0.7, 0.1]), dtype=np.float64)
    sent = Actions(space).to_env(np.float32([[-1, -1, -1], [1, 1, 1], [-9, 9, 0], [0, 0, 0]]))
    assert all(space.contains(action) for action in sent)
    np.testing.assert_allclose(sent[:2], [[-0.1, 0.3, 0.1], [0.1, 0.7, 0.1]], rtol=1e-6)


@pytest.mark.parametrize("space", [
    spaces.Box(-1, 1, (2,), np.float64), spaces.Box(-9, 9, (2,), np.float16), spaces.Box(-2, 1, (2,), np.float32),
    spaces.MultiBinary(2), spaces.MultiDiscrete([3, 2], dtype=np.int32, start=[1, 0]), spaces.Discrete(3, start=2)])
def test_an_action_has_the_type_of_its_space(space: spaces.Space):
    actions = Actions(space)
    sent = actions.to_env(actions.random(np.random.default_rng(0), 8))
    assert sent.dtype == space.dtype
    assert all(space.contains(action) for action in sent)


@pytest.mark.parametrize("bound", [np.finfo(np.float32).max, 1e300])
def test_a_range_beyond_float32_counts_as_unbounded(bound: float):
    actions = Actions(spaces.Box(np.float64([-bound]), np.float64([bound]), dtype=np.float64))
    assert actions.to_env(np.float32([[0], [0.5], [-7]])).tolist() == [[0], [0.5], [-7]]


def test_choices_may_start_elsewhere():
    actions = Actions(spaces.Discrete(3, start=5))
    assert (actions.size, actions.kind) == (3, "discrete")
    assert actions.to_env(np.array([0, 2])).tolist() == [5, 7]


def test_random_actions_cover_the_space():
    rng = np.random.default_rng(0)
    assert set(Actions(spaces.Discrete(3, start=5)).random(rng, 100).tolist()) == {0, 1, 2}
    drawn = Actions(box([-2, 0], [2, 10])).random(rng, 1000)
    assert drawn.shape == (1000, 2)
    np.testing.assert_allclose(drawn.min(0), -1, atol=0.02)
    np.testing.assert_allclose(drawn.max(0), 1, atol=0.02)


def test_several_choices_and_switches_are_vectors_of_whole_numbers():
    rng = np.random.default_rng(0)
    several = Actions(spaces.MultiDiscrete([2, 3], start=[0, 4]))
    assert (several.kind, several.size, several.nvec, several.shape) == ("multi_discrete", 5, (2, 3), (2,))
    assert several.to_env(np.array([[1, 2]])).tolist() == [[1, 6]]
    assert several.random(rng, 500).max(0).tolist() == [1, 2]
    switches = Actions(spaces.MultiBinary([2, 2]))
    assert (switches.kind, switches.size) == ("multi_binary", 4)
    assert switches.to_env(np.array([[1, 0, 0, 1]])).tolist() == [[[1, 0], [0, 1]]]
    assert set(switches.random(rng, 50).flatten().tolist()) == {0, 1}


def test_a_box_of_any_shape_is_one_vector_to_the_network():
    space = spaces.Box(np.float32([[-2, 0], [-1, -1]]), np.float32([[2, 10], [1, 1]]))
    actions = Actions(space)
    assert (actions.size, actions.shape) == (4, (4,))
    sent = actions.to_env(np.float32([[1, 1, 0.5, -1]]))
    assert sent.tolist() == [[[2, 10], [0.5, -1]]]
    assert space.contains(sent[0])


@pytest.mark.parametrize("space", [spaces.Tuple([spaces.Discrete(2)]), spaces.Text(3),
                                   spaces.Box(0, 9, (2,), np.int32)])
def test_an_action_space_that_does_not_work_is_named(space: spaces.Space):
    with pytest.raises(ShapeError) as caught:
        Actions(space)
    assert str(space) in str(caught.value)
    assert "Discrete" in str(caught.value)


def test_the_wrong_kind_of_action_names_who_can():
    with pytest.raises(ShapeError, match=r"DQN needs a discrete action space.*Box.*SAC or PPO can act here"):
        require_actions("DQN", LINE, box([-1], [1]), {"discrete"}, instead="SAC or PPO")
    for space in (spaces.MultiBinary(2), spaces.MultiDiscrete([2, 3])):  # SAC cannot
        with pytest.raises(ShapeError, match=r"DQN needs a discrete .*[)\]]\. PPO can act"):
            require_actions("DQN", LINE, space, {"discrete"}, instead="SAC or PPO")
    with pytest.raises(ShapeError, match=r"X needs a multi-discrete or discrete|X needs a discrete or multi-discrete"):
        require_actions("X", LINE, box([-1], [1]), {"discrete", "multi_discrete"}, instead="PPO")


def test_a_lot_falls_on_each_legal_choice_equally_often_and_on_none_other():
    mask = np.array([[0, 1, 0, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    # thirty evenly spaced lots: ten for each of three legal choices, six for each of all five where none is legal
    drawn = np.stack([legal_choice(np.full(3, (place + 0.5) / 30), mask) for place in range(30)])
    assert np.bincount(drawn[:, 0], minlength=5).tolist() == [0, 10, 0, 10, 10]
    assert np.bincount(drawn[:, 1], minlength=5).tolist() == [0, 0, 30, 0, 0]
    assert np.bincount(drawn[:, 2], minlength=5).tolist() == [6, 6, 6, 6, 6]
    almost = np.full(3, np.nextafter(1.0, 0.0))
    assert legal_choice(almost, mask).tolist() == [4, 2, 4]


def test_only_a_dictionary_with_that_part_has_a_mask():
    mask = np.int8([[1, 0]])
    assert action_mask({"obs": mask, "action_mask": mask}).tolist() == [[True, False]]
    assert action_mask({"obs": mask}) is None
    assert action_mask(mask) is None


@pytest.mark.parametrize("acts", [spaces.Discrete(4), spaces.MultiDiscrete([2, 2])])
def test_a_mask_has_one_flag_for_each_choice(acts: spaces.Space):
    def masked(*shape: int) -> spaces.Dict:
        return spaces.Dict({"obs": LINE, "action_mask": spaces.MultiBinary(shape)})

    refuse_idle_mask("X", masked(4), Actions(acts))
    for wrong in ((1,), (3,), (5,), (2, 2)):
        with pytest.raises(ShapeError) as caught:
            refuse_idle_mask("X", masked(*wrong), Actions(acts))
        assert str(caught.value) == (f"There are 4 choices, but the observation's part 'action_mask' has the shape "
                                     f"{[*wrong]}. A mask needs one flag for each choice: [4].")
