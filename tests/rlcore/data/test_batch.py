"""Frozen batches and the shape of a rollout."""

from dataclasses import FrozenInstanceError, dataclass

import pytest
import torch
from torch import Tensor

from rlcore.data.batch import Batch
from rlcore.data.rollout import Rollout, sequences


@dataclass(frozen=True)
class Pair(Batch):
    left: Tensor
    right: Tensor


def test_indexing_and_flattening_act_on_every_field_alike():
    pair = Pair(torch.arange(6).reshape(3, 2), torch.arange(12).reshape(3, 2, 2))
    assert pair[1:].left.tolist() == [[2, 3], [4, 5]]
    flat = pair.flatten()
    assert flat.left.tolist() == [0, 1, 2, 3, 4, 5]
    assert flat.right.shape == (6, 2)
    assert flat[torch.tensor([5, 0])].right.tolist() == [[10, 11], [0, 1]]


def test_a_batch_cannot_be_changed_behind_anybodys_back():
    pair = Pair(torch.zeros(1), torch.zeros(1))
    with pytest.raises(FrozenInstanceError):
        pair.left = torch.ones(1)  # type: ignore[misc]


def test_a_rollout_holds_one_observation_more_than_steps():
    t, b = 3, 2
    zero, no = torch.zeros(t, b), torch.zeros(t, b, dtype=torch.bool)
    rollout = Rollout(torch.zeros(t, b, 4), zero, zero, no, no, ~no, no, torch.zeros(t, b, 0), torch.ones(b, 4), {})
    assert rollout.num_rows == 6
    assert rollout.all_obs().shape == (4, 2, 4)
    assert rollout.all_obs()[-1].tolist() == [[1.0] * 4] * 2


def test_dictionaries_of_tensors_are_fields_like_any_other():
    t, b = 4, 2
    zero, no = torch.zeros(t, b), torch.zeros(t, b, dtype=torch.bool)
    obs = {"eye": torch.arange(8).view(t, b, 1), "body": torch.zeros(t, b, 3)}
    rollout = Rollout(obs, zero, zero, no, no, ~no, no, torch.zeros(t, b, 0),
                      {"eye": torch.full((b, 1), 9), "body": torch.zeros(b, 3)}, {})
    assert rollout.all_obs()["eye"][..., 0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [9, 9]]
    assert rollout.map(lambda tensor: tensor[:1]).obs["eye"].flatten().tolist() == [0, 1]


def test_time_is_cut_into_pieces_side_by_side():
    column = torch.arange(8).view(4, 2)  # two environments, steps 0 … 3
    # pieces of two steps: first both environments' steps 0-1, then their steps 2-3
    assert sequences(column, 2).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]
