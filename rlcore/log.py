"""Metrics of a run: one JSON line and one TensorBoard record per log point."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary


class RunLog:
    """Appends rows to metrics.jsonl and to TensorBoard's event file.

    A resumed run continues from the byte at which its checkpoint was taken, so no step appears twice.
    """

    def __init__(self, folder: Path, *, keep_bytes: int = 0, step: int = 0):
        path = folder / "metrics.jsonl"
        path.touch()
        os.truncate(path, keep_bytes)
        self.file = path.open("a")
        self.board = SummaryWriter(str(folder), purge_step=step or None)

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """One row: env steps so far and values by `area/name`. What is not finite is written as null."""
        rounded = {name: float(f"{value:.7g}") if math.isfinite(value) else None for name, value in row.items()}
        self.file.write(json.dumps({"step": step, **rounded}) + "\n")
        self.file.flush()
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()]
        self.board.file_writer.add_summary(Summary(value=values), step)  # one record: each costs more than its values

    def num_bytes(self) -> int:
        """How much of metrics.jsonl is written, for the checkpoint."""
        return self.file.tell()

    def close(self) -> None:
        """Flush and close both files."""
        self.file.close()
        self.board.close()
