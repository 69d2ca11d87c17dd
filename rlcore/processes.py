"""Worker processes that cannot be lost without a word: they raise, die or hang, and the parent says which and why."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, process
from typing import Any

from rlcore.config import ConfigError

HEARTBEAT_S = 0.5  # how often a silent worker is asked whether it still lives
_NEXT = ("Once the cause is mended, `python -m rlcore resume RUN` goes on from a run's last checkpoint; a sampler or "
         "vector environment that you drive yourself starts them anew by restart().")
_THREADS = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"


class WorkerError(RuntimeError):
    """A worker raised, died or hangs: says which environments it had and what can be done.

    rows  the environments that are lost until the worker is restarted
    """

    def __init__(self, message: str, rows: Sequence[int]):
        super().__init__(message)
        self.rows = tuple(rows)


@dataclass(frozen=True)
class Worker:
    """The parent's side of a worker process, which has some of the environments."""

    task: multiprocessing.process.BaseProcess
    pipe: connection.Connection[Any, Any]
    rows: range

    def say(self, *words: Any) -> None:
        """Give a command, of plain data and arrays: tensors would cross as open files.

        One that cannot arrive any more is found out when its answer is read.
        """
        with contextlib.suppress(ConnectionError, OSError):
            self.pipe.send(words)

    def answer(self, timeout_s: float, pulse: Callable[[], int] = lambda: 0) -> Any:
        """What the worker sends next. While its pulse, a number, changes, it is not silent.

        Raises:
            WorkerError: it raised, died, or was silent for `timeout_s`.
        """
        seen, deadline = pulse(), time.monotonic() + timeout_s
        while not self.pipe.poll(HEARTBEAT_S):
            if not self.task.is_alive() and not self.pipe.poll():
                raise self.died()
            if (now := pulse()) != seen:
                seen, deadline = now, time.monotonic() + timeout_s
            elif time.monotonic() > deadline:
                raise self.hangs(timeout_s)
        return self.heard()

    def heard(self) -> Any:
        """What lies in the pipe, or the reason why there is nothing.

        Raises:
            WorkerError: it sent an error, shown with the worker's traceback, or it has died.
        """
        try:
            if not (self.task.is_alive() or self.pipe.poll()):  # a process that it started may hold the pipe open
                raise EOFError
            word, value = self.pipe.recv()
        except (EOFError, ConnectionError):
            raise self.died() from None
        if word == "error":
            cause, trace = value
            raise WorkerError(f"{self.title} raised {cause}\n{_NEXT}\n\n{trace}", self.rows)
        return value

    def hangs(self, timeout_s: float) -> WorkerError:
        """The error for a silence of that long."""
        return WorkerError(f"{self.title} have not answered for {timeout_s:g} s. If a step may take that long, give a "
                           f"larger timeout_s. {_NEXT}", self.rows)

    def died(self) -> WorkerError:
        """The error that says so."""
        self.task.join(1.0)
        return WorkerError(
            f"{self.title} died: their process ended with code {self.task.exitcode}. {_NEXT} (A script that trains "
            "must do so below `if __name__ == '__main__':`, because workers import it too.)", self.rows)

    @property
    def title(self) -> str:
        """`Environments 0–3 (process 4711)`"""
        return f"Environments {listed(self.rows)} (process {self.task.pid})"

    def kill(self) -> None:
        """End it now, if it has not ended."""
        if self.task.is_alive():
            self.task.kill()
        self.task.join()
        atexit.unregister(self.task.kill)
        self.pipe.close()


def start_worker(work: Callable[..., None], rows: range, *args: Any) -> Worker:
    """A process that runs `work(pipe, *args)`, with one thread per numeric library, and dies with its parent.

    Raises:
        ConfigError: the arguments cannot be sent to another process.
    """
    context = multiprocessing.get_context("spawn")  # a forked child would inherit torch's and MuJoCo's locks
    here, there = context.Pipe()
    task = context.Process(target=_live, args=(there, work, args), name=f"rlcore-{rows.start}", daemon=True)
    try:
        with _one_thread_each():
            task.start()
    except (AttributeError, TypeError) as error:  # what pickle says of a lambda or a local function
        here.close()
        raise ConfigError(f"Environments {listed(rows)} cannot be sent to a worker process: {error}. Give a function "
                          "or class of a module, functools.partial of one, or sample in one process.") from None
    finally:
        there.close()  # so that the worker holds the only other end, and its death closes the pipe
    atexit.register(task.kill)  # one that nobody ended: multiprocessing would wait for it, having sent it SIGTERM
    return Worker(task, here, rows)


def listed(rows: Iterable[int]) -> str:
    """`0–3` for neighbours, `0, 2, 5` for others."""
    numbers = [int(row) for row in rows]
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}–{numbers[-1]}"
    return ", ".join(str(number) for number in numbers)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside have one thread per library: they are what fills the cores."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _live(pipe: connection.Connection[Any, Any], work: Callable[..., None], args: tuple[Any, ...]) -> None:
    """A worker's life: do its work until that ends; an error is sent home."""
    # Ctrl-C reaches the whole terminal, and `timeout`, systemd and Slurm tell all processes to end: the parent decides
    # what it means. Programs that an environment starts inherit an ignored signal, but no handler: they can be ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        work(pipe, *args)
    except Exception as error:
        cause = "".join(traceback.format_exception_only(error)).strip()
        with contextlib.suppress(ConnectionError):  # the parent is gone, and that was the error
            pipe.send(("error", (cause, traceback.format_exc())))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # the frames of the error still look into shared memory, which could not be closed in order


def _die_with_parent() -> None:
    """A worker whose parent was killed must not outlive it, not even inside an environment that hangs."""
    parent = process.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
