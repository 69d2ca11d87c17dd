"""What was started from a page and goes on: evaluations and videos as processes, other long work as threads."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rlcore.config import ConfigError, MissingExtra

logger = logging.getLogger(__name__)

Kind = Literal["evaluation", "video"]


@dataclass(frozen=True)
class Job:
    """One process at work on a run."""

    kind: Kind
    process: subprocess.Popen[bytes]


class Jobs:
    """Which runs have an evaluation or a video in the making, and which code of theirs may be run.

    Losing this loses no work: the files are the truth.
    """

    def __init__(self) -> None:
        self.agreed: set[str] = set()    # code in runs' folders that a person trusts, by name
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


class Cancelled(Exception):
    """Ends a task that somebody gave up."""


@dataclass(frozen=True)
class Step:
    """How far a task is."""

    state: Literal["idle", "working", "done", "failed", "cancelled"] = "idle"
    fraction: float = 0.0
    text: str = ""                 # what is being done, or what came of it


class Task:
    """Long work in a thread of its own, one piece at a time, that pages watch and a person may cancel."""

    def __init__(self) -> None:
        self.now = Step()
        self._given_up = threading.Event()
        self._starting = threading.Lock()

    def start(self, work: Callable[[Callable[[float, str], None]], str]) -> bool:
        """Begin, unless something is at work; `work` gets a function to report to and returns what came of it."""
        with self._starting:
            if self.now.state == "working":
                return False
            self._given_up.clear()
            self.now = Step("working", 0.0, "Starting")
            threading.Thread(target=self._run, args=(work,), name="task", daemon=True).start()
            return True

    def cancel(self) -> None:
        """Give up what is at work; it ends at its next report."""
        self._given_up.set()

    def _run(self, work: Callable[[Callable[[float, str], None]], str]) -> None:
        try:
            self.now = Step("done", 1.0, work(self._report))
        except Cancelled:
            self.now = Step("cancelled", self.now.fraction, "Cancelled. What is done so far is kept.")
        except Exception as error:  # whatever went wrong, the page must say so: nobody else reads this thread
            if not isinstance(error, ConfigError | MissingExtra | OSError):
                logger.exception("A task failed")
            self.now = Step("failed", self.now.fraction, str(error) or type(error).__name__)

    def _report(self, fraction: float, text: str) -> None:
        if self._given_up.is_set():
            raise Cancelled
        self.now = Step("working", fraction, text)
