"""Checkpoints: nested plain data and tensors as JSON and safetensors. Nothing in them can execute code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rlcore.config import ConfigError

FORMAT = 2
_DTYPES = {torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.uint16: "U16", torch.int16: "I16",
           torch.uint32: "U32", torch.int32: "I32", torch.uint64: "U64", torch.int64: "I64", torch.float16: "F16",
           torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64"}
_ADVICE = "take it from a copy of the run, or delete its checkpoint's folder; a run without one begins anew."


def save(folder: Path, step: int, parts: Mapping[str, Any], *, keep_others: bool = False,
         replace: bool = False) -> Path:
    """Write `folder`/<step> under a temporary name, then rename it; older checkpoints go only after that.

    A process killed at any moment leaves the old checkpoint or the new one, complete. Each part is a file of its own,
    so that a policy can be read without its replay memory. A step that is saved already is not saved again, unless
    what is there is to be replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished, finished = folder / f".{step}.tmp", folder / f"{step:012d}"
    if finished.exists() and not replace:  # a run is in one state at one step; removing this one would risk having none
        return finished
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name, tree in parts.items():
        tensors: dict[str, torch.Tensor] = {}
        plain = _split(tree, tensors)
        _write(tensors, unfinished / f"{name}.safetensors")
        (unfinished / f"{name}.json").write_text(json.dumps({"format": FORMAT, "step": step, "tree": plain}))
    for path in unfinished.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if finished.exists():
        shutil.rmtree(finished)
    unfinished.rename(finished)
    for old in () if keep_others else folder.iterdir():
        if old != finished and old.is_dir() and (old.name.isdecimal() or old.suffix == ".tmp"):
            shutil.rmtree(old)
    return finished


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps."""
    for path in _complete(folder):
        if int(path.name) > step:
            shutil.rmtree(path)


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint in a folder, if there is one."""
    return max(_complete(folder), default=None)


def _complete(folder: Path) -> list[Path]:
    """The checkpoints in a folder; a copy that somebody made of one, such as "000000000048 (copy)", is none."""
    return [path for path in folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir()]


def load_latest(folder: Path, part: str) -> tuple[int, Any] | None:
    """The step and one part of the newest checkpoint. A trainer may replace it meanwhile: then the newer one's."""
    while path := latest(folder):
        try:
            return int(path.name), load(path, part)
        except (ConfigError, FileNotFoundError):
            if path == latest(folder):  # not replaced: it is broken
                raise
    return None


def load(path: Path, part: str) -> Any:
    """One part of a checkpoint, as it was given to `save`.

    Raises:
        ConfigError: the part is missing, its files are damaged, or a later format wrote it.
    """
    header, tensors = path / f"{part}.json", path / f"{part}.safetensors"
    if not header.exists():
        raise ConfigError(f"The checkpoint {path} has no part '{part}'. It holds: "
                          f"{', '.join(sorted(p.stem for p in path.glob('*.json'))) or 'nothing'}.")
    try:
        content = json.loads(header.read_text())
        found, tree = content["format"], content["tree"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(f"{header} is damaged, or no part of a checkpoint: {_ADVICE}") from None
    if found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        raise ConfigError(f"The checkpoint {path} has format {found}, and this rlcore reads {FORMAT}. "
                          f"{'Update rlcore to open it.' if newer else 'Its curves can be read, but not its agent.'}")
    try:
        return _join(tree, load_file(tensors))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RecursionError):
        state = "is damaged, or belongs to another checkpoint" if tensors.exists() else "is missing"
        raise ConfigError(f"{tensors} {state}: {_ADVICE}") from None


def _write(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """A safetensors file, without a copy in memory, where a replay memory on disk would find no room.

    https://github.com/huggingface/safetensors#format
    """
    by_size = sorted(tensors.items(), key=lambda item: -item[1].itemsize)  # each begins at a multiple of its size
    header, end = {}, 0
    for name, tensor in by_size:
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in by_size:
            flat = tensor.detach().cpu().contiguous().flatten()
            flat = flat.as_strided(flat.shape, (1,))  # a vector of none or one keeps any stride, which no view takes
            file.write(flat.view(torch.uint8).numpy().data)


def _split(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Plain JSON in which each tensor is replaced by its name; dictionaries become pairs, to keep integer keys."""
    match tree:
        case torch.Tensor():
            name = str(len(tensors))
            tensors[name] = tree
            return {"tensor": name}
        case dict():
            return {"dict": [[key, _split(value, tensors)] for key, value in tree.items()]}
        case tuple() | list():
            return {"list": [_split(value, tensors) for value in tree]}
        case None | bool() | int() | float() | str():
            return tree
        case _:
            raise ConfigError(f"A checkpoint holds plain data and tensors, not {type(tree).__name__}.")


def _join(plain: Any, tensors: dict[str, torch.Tensor]) -> Any:
    match plain:
        case {"tensor": name}:
            return tensors[name]
        case {"dict": pairs}:
            return {key: _join(value, tensors) for key, value in pairs}
        case {"list": items}:
            return [_join(item, tensors) for item in items]
        case _:
            return plain
