"""What an agent's action means to an environment."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.config import ShapeError
from rlcore.spaces import Actions, require_actions, require_vector_obs

INF = float("inf")


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


def test_choices_may_start_elsewhere():
    actions = Actions(spaces.Discrete(3, start=5))
    assert (actions.size, actions.kind) == (3, "discrete")
    assert actions.to_env(np.array([0, 2])).tolist() == [5, 7]


def test_random_actions_cover_the_space():
    rng = np.random.default_rng(0)
    assert set(Actions(spaces.Discrete(3, start=5)).random(100, rng).tolist()) == {0, 1, 2}
    drawn = Actions(box([-2, 0], [2, 10])).random(1000, rng)
    assert drawn.shape == (1000, 2)
    np.testing.assert_allclose(drawn.min(0), -1, atol=0.02)
    np.testing.assert_allclose(drawn.max(0), 1, atol=0.02)


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(4), spaces.Box(-1, 1, (2, 2)),
                                   spaces.Tuple([spaces.Discrete(2)])])
def test_an_action_space_that_does_not_work_is_named(space: spaces.Space):
    with pytest.raises(ShapeError) as caught:
        Actions(space)
    assert str(space) in str(caught.value)
    assert "Discrete" in str(caught.value)


@pytest.mark.parametrize("space", [spaces.Box(0, 255, (84, 84, 3), np.uint8), spaces.Discrete(16),
                                   spaces.Dict(a=spaces.Box(0, 1, (2,)))])
def test_observations_that_are_no_vector_are_named_with_the_algorithm(space: spaces.Space):
    with pytest.raises(ShapeError) as caught:
        require_vector_obs("DQN", space)
    assert str(space) in str(caught.value)
    assert str(caught.value).startswith("DQN ")


def test_the_wrong_kind_of_action_names_who_can():
    with pytest.raises(ShapeError, match=r"DQN needs a discrete action space.*Box.*SAC or PPO can act here"):
        require_actions("DQN", box([-1], [1]), {"discrete"}, instead="SAC or PPO")
    assert require_vector_obs("DQN", box([-1, -1], [1, 1])) == 2
