"""Checkpoints: plain data in, the same data out, and nothing that could run."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcore import checkpoint
from rlcore.config import ConfigError

TREE = {"net": {"w": torch.arange(6.0).reshape(2, 3).T, "flag": torch.tensor([True, False])},
        "step": 3, 7: [1, 2.5, None, "x", (True,)], "big": 2**127 + 1, "nothing": {}, "scalar": torch.tensor(1.5)}


def test_what_is_loaded_is_what_was_saved(tmp_path: Path):
    path = checkpoint.save(tmp_path, 12, {"agent": TREE, "other": {"a": 1}})
    found = checkpoint.load(path, "agent")
    assert found["net"]["w"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["net"]["flag"].dtype == torch.bool
    assert found[7] == [1, 2.5, None, "x", [True]]  # integer keys survive; tuples come back as lists
    assert (found["step"], found["big"], found["nothing"], found["scalar"].shape) == (3, 2**127 + 1, {}, ())
    assert checkpoint.load(path, "other") == {"a": 1}


def test_tensors_that_share_memory_are_saved_apart(tmp_path: Path):
    vector = torch.arange(6.0)
    path = checkpoint.save(tmp_path, 0, {"agent": {"all": vector, "view": vector[2:4], "again": vector}})
    assert checkpoint.load(path, "agent")["view"].tolist() == [2, 3]


DTYPES = (torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32, torch.uint64,
          torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)


def test_every_kind_of_tensor_comes_back_as_it_was(tmp_path: Path):
    tree = {str(dtype): torch.tensor([1, 0, 1]).to(dtype) for dtype in DTYPES} | {"none": torch.zeros(0, 3)}
    found = checkpoint.load(checkpoint.save(tmp_path, 0, {"agent": tree}), "agent")
    assert {name: (part.dtype, part.tolist()) for name, part in found.items()} == {
        name: (part.dtype, part.tolist()) for name, part in tree.items()}


@pytest.mark.parametrize("vector", [torch.from_numpy(np.zeros(0, np.float32)), torch.ones(5, 2)[:1, 0],
                                    torch.ones(5, 2)[:0, 0], torch.from_numpy(np.zeros((4, 0), np.float32))])
def test_a_vector_of_none_or_one_is_saved_whatever_its_stride(tmp_path: Path, vector: torch.Tensor):
    path = checkpoint.save(tmp_path, 0, {"agent": {"obs": vector, "other": torch.arange(3)}})
    found = checkpoint.load(path, "agent")
    assert (found["obs"].shape, found["obs"].dtype, found["obs"].tolist()) == (vector.shape, torch.float32,
                                                                               vector.tolist())
    assert found["other"].tolist() == [0, 1, 2]


def test_a_column_is_written_without_a_copy_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "column.bin").write_bytes(bytes(range(12)))
    column = torch.from_file(str(tmp_path / "column.bin"), shared=True, size=12, dtype=torch.uint8).view(4, 3)
    for copying in ("clone", "copy_", "tolist"):
        monkeypatch.setattr(torch.Tensor, copying, None)
    path = checkpoint.save(tmp_path / "saved", 0, {"memory": {"obs": column[:3]}})
    monkeypatch.undo()
    assert checkpoint.load(path, "memory")["obs"].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_a_step_is_saved_again_only_where_that_is_asked_for_and_later_ones_can_be_dropped(tmp_path: Path):
    for step in (5, 10, 20):
        checkpoint.save(tmp_path, step, {"agent": step}, keep_others=True)
    assert checkpoint.load(checkpoint.save(tmp_path, 10, {"agent": 11}, keep_others=True), "agent") == 10
    assert checkpoint.load(checkpoint.save(tmp_path, 10, {"agent": 11}, keep_others=True, replace=True), "agent") == 11
    checkpoint.drop_after(tmp_path, 10)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [5, 10]


def test_a_copy_that_somebody_made_of_a_checkpoint_is_none(tmp_path: Path):
    saved = checkpoint.save(tmp_path, 48, {"agent": 48})
    for name in ("000000000048 (copy)", "99²", "9 old"):
        shutil.copytree(saved, tmp_path / name)
    (tmp_path / "77").write_text("no folder")
    assert checkpoint.load_latest(tmp_path, "agent") == (48, 48)
    checkpoint.drop_after(tmp_path, 50)
    checkpoint.save(tmp_path, 60, {"agent": 60})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000048 (copy)", "000000000060", "77", "9 old",
                                                                "99²"]


def test_only_the_newest_is_kept_and_found_by_number_not_by_spelling(tmp_path: Path):
    for step in (5, 900, 10_000, 1_000_000):
        checkpoint.save(tmp_path, step, {"agent": step})
    assert len(list(tmp_path.iterdir())) <= 2
    newest = checkpoint.latest(tmp_path)
    assert newest is not None
    assert checkpoint.load(newest, "agent") == 1_000_000


def test_no_folder_and_an_unfinished_checkpoint_count_as_none(tmp_path: Path):
    assert checkpoint.latest(tmp_path / "missing") is None
    (tmp_path / ".5.tmp").mkdir()
    assert checkpoint.latest(tmp_path) is None


def test_a_checkpoint_is_json_and_safetensors_and_nothing_else(tmp_path: Path):
    path = checkpoint.save(tmp_path, 0, {"agent": TREE})
    assert {file.suffix for file in path.iterdir()} == {".json", ".safetensors"}
    json.loads((path / "agent.json").read_text())


class Malice:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("it_ran", "w"))


def test_a_pickle_in_a_checkpoints_place_is_refused_and_not_run(tmp_path: Path):
    path = checkpoint.save(tmp_path / "saved", 0, {"agent": TREE})
    (path / "agent.safetensors").write_bytes(pickle.dumps(Malice()))
    with pytest.raises(Exception, match=r"(?i)header|safetensor"):
        checkpoint.load(path, "agent")
    (path / "agent.json").write_bytes(pickle.dumps(Malice()))
    with pytest.raises(ValueError, match=r"."):
        checkpoint.load(path, "agent")
    assert not (tmp_path / "it_ran").exists()
    torch.save(Malice(), path / "agent.safetensors")
    (path / "agent.json").write_text('{"format": 2, "step": 0, "tree": {"tensor": "0"}}')
    with pytest.raises(Exception, match=r"(?i)header|safetensor"):
        checkpoint.load(path, "agent")
    assert not (tmp_path / "it_ran").exists()


def test_objects_cannot_be_saved(tmp_path: Path):
    with pytest.raises(ConfigError, match="plain data and tensors, not Malice"):
        checkpoint.save(tmp_path, 0, {"agent": {"bad": Malice()}})


def test_a_missing_part_and_a_later_format_are_named(tmp_path: Path):
    path = checkpoint.save(tmp_path, 0, {"agent": 1})
    with pytest.raises(ConfigError, match=r"no part 'memory'. It holds: agent"):
        checkpoint.load(path, "memory")
    content = json.loads((path / "agent.json").read_text())
    (path / "agent.json").write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(ConfigError, match=r"has format 99, and this rlcore reads 2\. Update rlcore"):
        checkpoint.load(path, "agent")


@pytest.mark.parametrize(("file", "content", "said"), [
    ("agent.json", '{"format": 2, "tre', "agent.json is damaged, or no part of a checkpoint: take it from a copy"),
    ("agent.json", "{}", "agent.json is damaged"),
    ("agent.json", "[" * 100_000, "agent.json is damaged"),
    ("agent.json", "[1]", "agent.json is damaged"),
    ("agent.json", '{"format": 2, "tree": {"tensor": "77"}}', "agent.safetensors is damaged, or belongs to another"),
    ("agent.json", '{"format": "new", "tree": 1}', "has format new, and this rlcore reads 2"),
    ("agent.safetensors", "cut", "agent.safetensors is damaged"),
    ("agent.safetensors", None, "agent.safetensors is missing: take it from a copy"),
])
def test_a_damaged_part_is_named_in_one_sentence(tmp_path: Path, file: str, content: str | None, said: str):
    path = checkpoint.save(tmp_path, 0, {"agent": TREE})
    (path / file).unlink() if content is None else (path / file).write_text(content)
    with pytest.raises(ConfigError) as refused:
        checkpoint.load(path, "agent")
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_strangers_file_in_the_folder_neither_stops_a_run_nor_gets_lost(tmp_path: Path):
    tmp_path.joinpath(".DS_Store").write_text("the Finder was here")
    checkpoint.save(tmp_path, 1, {"agent": 1})
    checkpoint.save(tmp_path, 2, {"agent": 2})
    newest = checkpoint.latest(tmp_path)
    assert newest is not None
    assert checkpoint.load(newest, "agent") == 2
    assert tmp_path.joinpath(".DS_Store").exists()


@pytest.mark.parametrize("step", [7, 8])
def test_a_kill_at_any_moment_of_a_save_leaves_a_whole_checkpoint(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int):
    """Every call into the file system is made the last one, in turn: also when the same step is saved again."""
    for deadly in range(1, 40):
        folder = tmp_path / f"{step}-{deadly}"
        checkpoint.save(folder, 7, {"agent": {"w": torch.full((3,), 7.0)}, "session": {"step": 7}})
        with monkeypatch.context() as patch:
            left = [deadly]
            for owner, name in ((checkpoint.os, "fsync"), (checkpoint.shutil, "rmtree"), (checkpoint, "_write"),
                                (Path, "rename"), (Path, "mkdir"), (Path, "write_text"), (Path, "replace")):
                patch.setattr(owner, name, dying(getattr(owner, name), left))
            try:
                checkpoint.save(folder, step, {"agent": {"w": torch.full((3,), 8.0)}, "session": {"step": step}})
            except Killed:
                pass
            else:
                assert deadly > 2 or step == 7
                return
        newest = checkpoint.latest(folder)
        assert newest is not None, f"killed at file operation {deadly}: no checkpoint is left"
        parts = (checkpoint.load(newest, "agent")["w"][0].item(), checkpoint.load(newest, "session")["step"])
        assert parts in {(7.0, 7), (8.0, step)}
    raise AssertionError("a save takes more file operations than this test tries")


class Killed(BaseException):
    """Stands in for SIGKILL between two file operations."""


def dying(real, left: list[int]):
    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return real(*args, **kwargs)

    return call
