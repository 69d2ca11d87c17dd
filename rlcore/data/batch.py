"""Frozen dataclasses of tensors that move, flatten and index as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

Obs = Tensor | dict[str, Tensor]
"""One tensor, or one per name where the environment's observation has parts."""


def tree_map(change: Callable[..., Any], *trees: Any) -> Any:
    """`change` applied to a leaf, or by name to every leaf of dictionaries with the same keys."""
    if isinstance(trees[0], dict):
        return {name: change(*(tree[name] for tree in trees)) for name in trees[0]}
    return change(*trees)


def leaf(tree: Any) -> Any:
    """Any one leaf of an observation: what to ask for leading axes."""
    return next(iter(tree.values())) if isinstance(tree, dict) else tree


@dataclass(frozen=True)
class Batch:
    """Base of every dataclass whose fields are tensors, or dictionaries of them, with the same leading axes."""

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same batch with every tensor changed."""
        return type(self)(**{item.name: tree_map(change, getattr(self, item.name)) for item in fields(self)})

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""
        return self.map(lambda value: value.to(device, non_blocking=True))

    def flatten(self) -> Self:
        """[T, B, …] → [T·B, …]"""
        return self.map(lambda value: value.flatten(0, 1))

    def __getitem__(self, index: Tensor | slice) -> Self:
        return self.map(lambda value: value[index])

    def columns(self, index: Tensor | slice) -> Self:
        """The same batch with some of the second axis. [L, N, …] → [L, n, …]"""
        return self.map(lambda value: value[:, index])
