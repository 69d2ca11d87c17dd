"""Prioritised picking of replay rows, in proportion to how surprising they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlcore.config import ConfigError

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_FAN = 32  # children of a node: a million leaves are four levels of one NumPy call each, instead of twenty


class SumTree:
    """Non-negative numbers of `size` leaves whose prefix sums are searched, and whose minimum is known, in log time.

    A node is always summed afresh from its children, never moved by a difference, so rounding cannot pile up.
    """

    def __init__(self, size: int):
        if size < 1:
            raise ConfigError(f"SumTree: size={size} must be at least 1.")
        widths = [size]
        while len(widths) == 1 or widths[-1] > 1:
            widths.append(-(-widths[-1] // _FAN))
        # [level][block, child], leaves first; a level's blocks are the entries of the level above it
        self.size = size
        self.sums = [np.zeros((above, _FAN)) for above in widths[1:]]
        self.lows = [np.full((above, _FAN), np.inf) for above in widths[1:]]

    @property
    def leaves(self) -> Floats:
        """What was set. [size], a view"""
        return self.sums[0].reshape(-1)[:self.size]

    @property
    def total(self) -> float:
        """Σ of all leaves."""
        return float(self.sums[-1].sum())

    @property
    def low(self) -> float:
        """The smallest leaf that is not zero; infinity where all are."""
        return float(self.lows[-1].min())

    def set(self, index: Index, value: Floats) -> None:
        """Write leaves; of an index that repeats, the last value counts. [N], [N]"""
        value = np.asarray(value, np.float64)
        if not (np.isfinite(value).all() and (value >= 0).all()):
            raise ConfigError("SumTree: priorities must be finite and at least 0. Look for NaN in what was learned.")
        self.sums[0].reshape(-1)[index] = value
        self.lows[0].reshape(-1)[index] = np.where(value > 0, value, np.inf)
        if len(index) * _FAN > self.size:  # most blocks change: sum all of them, in order
            self._sum_everything()
            return
        for level in range(1, len(self.sums)):
            index = index // _FAN
            self.sums[level].reshape(-1)[index] = self.sums[level - 1][index].sum(1)
            self.lows[level].reshape(-1)[index] = self.lows[level - 1][index].min(1)

    def _sum_everything(self) -> None:
        for level in range(1, len(self.sums)):
            blocks = len(self.sums[level - 1])
            self.sums[level].reshape(-1)[:blocks] = self.sums[level - 1].sum(1)
            self.lows[level].reshape(-1)[:blocks] = self.lows[level - 1].min(1)

    def find(self, prefix: Floats) -> Index:
        """The leaf i with Σ_{j<i} ≤ prefix < Σ_{j≤i}: never one that is zero. prefix in [0, total). [N] → [N]"""
        block, row = np.zeros(len(prefix), np.int64), np.arange(len(prefix))
        for sums in reversed(self.sums):
            ends = sums[block].cumsum(1)
            # rounding may leave the rest of a prefix at its block's end or behind it: there it means the last leaf
            prefix = np.minimum(prefix, np.nextafter(ends[:, -1], 0))
            child = (ends <= prefix[:, None]).sum(1)
            prefix = prefix - np.where(child > 0, ends[row, child - 1], 0)
            block = block * _FAN + child
        return block


class Prioritized:
    """Picks row i with probability P(i) = p_i / Σ p,  p_i = (|error_i| + eps)^α.

    Schaul et al. 2015, arXiv:1511.05952, eq. 1, proportional variant, with stratified sampling (appendix B.2.1).
    `beta` may be moved along a schedule. A row that was never added, or was forgotten, is never picked.
    """

    def __init__(self, size: int, alpha: float, beta: float, eps: float = 1e-6):
        if not (alpha >= 0 and beta >= 0 and eps > 0):
            raise ConfigError(f"Prioritized: alpha={alpha} and beta={beta} must be at least 0, eps={eps} above 0.")
        self.alpha, self.beta, self.eps = alpha, beta, eps
        self.tree, self.largest = SumTree(size), 1.0

    def added(self, index: Index, error: Floats | None = None) -> None:
        """New rows: the largest priority so far, so that each is soon seen, or that of their own error. [N], [N]"""
        self._put(index, np.full(len(index), self.largest) if error is None else self._priority(error))

    def learned(self, index: Index, error: Floats) -> None:
        """Rows whose error is known anew; what was forgotten meanwhile stays so. [N], [N]"""
        self._put(index, np.where(self.tree.leaves[index] > 0, self._priority(error), 0))

    def forget(self, index: Index) -> None:
        """These rows are not to be picked until they are added again. [N]"""
        self.tree.set(index, np.zeros(len(index)))

    def pick(self, count: int, rng: np.random.Generator) -> tuple[Index, Floats]:
        """Rows with the probability each had, one from every count-th of the total. → [count], [count]"""
        total = self.tree.total
        if not total > 0:
            raise ConfigError("Prioritized: there is no row to pick. Add some first.")
        index = self.tree.find((np.arange(count) + rng.random(count)) * (total / count))
        return index, self.tree.leaves[index] / total

    def weight(self, probability: Floats) -> Floats:
        """(N·P)^−β over its maximum over all rows, so in (0, 1]. Schaul et al. 2015, §3.4. [N] → [N]

        N drops out of the quotient. To be asked before the priorities change again.
        """
        return np.asarray((self.tree.low / self.tree.total / probability) ** self.beta)

    def _priority(self, error: Floats) -> Floats:
        return np.asarray((np.abs(np.asarray(error, np.float64)) + self.eps) ** self.alpha)

    def _put(self, index: Index, priority: Floats) -> None:
        self.tree.set(index, priority)
        self.largest = max(self.largest, float(priority.max(initial=0)))

    def state_dict(self) -> dict[str, Any]:
        """The priorities up to the last row in use, α included, and their largest so far."""
        used = np.flatnonzero(self.tree.leaves)
        end = int(used[-1]) + 1 if len(used) else 0
        return {"priority": torch.from_numpy(self.tree.leaves[:end].copy()), "largest": self.largest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        saved, full = state["priority"].numpy(), np.zeros(self.tree.size)
        full[:len(saved)] = saved
        self.tree.set(np.arange(self.tree.size), full)
        self.largest = state["largest"]
