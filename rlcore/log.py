"""Metrics of a run: one JSON line and one TensorBoard record per log point."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

FLUSH_EVERY_S = 10.0  # TensorBoard's file is written to the disk; metrics.jsonl is after each row


class RunLog:
    """Appends rows to metrics.jsonl and to TensorBoard's event file.

    A resumed run continues from the byte at which its checkpoint was taken, so no step appears twice.
    """

    def __init__(self, folder: Path, *, keep_bytes: int = 0, step: int = 0):
        path = folder / "metrics.jsonl"
        path.touch()
        os.truncate(path, path.read_bytes()[:keep_bytes].rfind(b"\n") + 1)  # a full disk may have cut it shorter
        self.file = path.open("a")
        self.board = EventsWriter(str(folder / "events"))  # a SummaryWriter's queue and threads cost more than writing
        if step:  # TensorBoard forgets what an interrupted run wrote after it
            self.board.write_event(Event(wall_time=time.time(), step=step, session_log=SessionLog(
                status=SessionLog.START)))
        self.next_flush = 0.0

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """One row: env steps so far and values by `area/name`. What is not finite is written as null."""
        rounded = {name: float(f"{value:.7g}") if math.isfinite(value) else None for name, value in row.items()}
        self.file.write(json.dumps({"step": step, **rounded}) + "\n")
        self.file.flush()
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()]
        now = time.time()
        self.board.write_event(Event(wall_time=now, step=step, summary=Summary(value=values)))
        if now >= self.next_flush:
            self.board.flush()
            self.next_flush = now + FLUSH_EVERY_S

    def num_bytes(self) -> int:
        """How much of metrics.jsonl is written, for the checkpoint."""
        return self.file.tell()

    def close(self) -> None:
        """Flush and close both files."""
        self.file.close()
        self.board.close()
