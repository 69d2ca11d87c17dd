"""Frozen dataclasses of tensors that move, flatten and index as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Base of every dataclass whose fields are tensors with the same leading axes."""

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same batch with every field changed."""
        return type(self)(**{item.name: change(getattr(self, item.name)) for item in fields(self)})

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""
        return self.map(lambda value: value.to(device, non_blocking=True))

    def flatten(self) -> Self:
        """[T, B, …] → [T·B, …]"""
        return self.map(lambda value: value.flatten(0, 1))

    def __getitem__(self, index: Tensor | slice) -> Self:
        return self.map(lambda value: value[index])
