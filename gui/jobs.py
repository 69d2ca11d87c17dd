"""Evaluations and videos started from the page: separate processes that are only watched here."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["evaluation", "video"]


@dataclass(frozen=True)
class Job:
    """One process at work on a run."""

    kind: Kind
    process: subprocess.Popen[bytes]


class Jobs:
    """Which runs have an evaluation or a video in the making. Losing this loses no work: the files are the truth."""

    def __init__(self) -> None:
        self._jobs: dict[str, list[Job]] = {}
        self._failed: dict[str, dict[Kind, int]] = {}

    def start(self, run_id: str, kind: Kind, begin: Callable[[], subprocess.Popen[bytes]]) -> None:
        """Begin a job unless one of its kind is already at work on this run."""
        if kind not in self.working(run_id):
            self._failed.get(run_id, {}).pop(kind, None)
            self._jobs.setdefault(run_id, []).append(Job(kind, begin()))

    def working(self, run_id: str) -> frozenset[Kind]:
        """The kinds at work on a run now; remembers those that ended badly."""
        jobs = self._jobs.get(run_id, [])
        for job in jobs:
            if job.process.poll():
                self._failed.setdefault(run_id, {})[job.kind] = job.process.returncode
        self._jobs[run_id] = [job for job in jobs if job.process.poll() is None]
        return frozenset(job.kind for job in self._jobs[run_id])

    def any(self) -> bool:
        """Whether anything is at work."""
        return any(self.working(run_id) for run_id in list(self._jobs))

    def failed(self, run_id: str) -> dict[Kind, int]:
        """Kind → exit code of the jobs that ended badly and were not started again."""
        self.working(run_id)
        return dict(self._failed.get(run_id, {}))
