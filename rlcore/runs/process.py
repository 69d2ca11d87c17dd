"""Training as processes of their own, which outlive whoever started them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil

from rlcore.config import ConfigError
from rlcore.runs.folder import RUNS, Status, new_folder, open_run, tail_log, write_status

_ROOT = Path(__file__).resolve().parents[2]


def launch(script_text: str, name: str, root: Path = RUNS) -> Path:
    """Write a script into a new run folder and start it there, detached. Returns the folder."""
    path = new_folder(name, root)
    (path / "train.py").write_text(script_text)
    _train(path, [str(path.resolve() / "train.py")], Status("starting", message="Starting Python"))
    return path


def resume(path: Path) -> None:
    """Continue a run from its last checkpoint, detached.

    Raises:
        ConfigError: it is running already, or has nothing left to do.
    """
    run = open_run(path)
    if not run.can_resume:
        raise ConfigError(f"{run.id} is {run.state}, and only a stopped, failed or interrupted run can be resumed.")
    (path / "stop").unlink(missing_ok=True)  # whoever asked for it did not mean the run that starts now
    begun = (path / "config.yaml").exists()  # a script that never came that far simply starts again
    _train(path, ["-m", "rlcore", "resume", str(path.resolve())] if begun else [str(path.resolve() / "train.py")],
           replace(run.status, state="starting", message="Resuming"))


def stop(path: Path) -> None:
    """Ask a run to write a checkpoint and end; it looks for the request several times a second."""
    (path / "stop").touch()


def evaluate(path: Path, episodes: int = 20) -> subprocess.Popen[bytes]:
    """Play evaluation episodes in a process of its own, which appends to evaluations.jsonl."""
    command = ["-m", "rlcore", "evaluate", str(path.resolve()), "--episodes", str(episodes)]
    return _start(path, command, log="evaluate.log")


def record(path: Path) -> subprocess.Popen[bytes]:
    """Film one episode in a process of its own, which writes into videos/."""
    return _start(path, ["-m", "rlcore", "video", str(path.resolve())], log="video.log")


def _train(path: Path, arguments: list[str], status: Status) -> None:
    process = _start(path, arguments, log="train.log")
    write_status(path, replace(status, pid=process.pid, pid_started=psutil.Process(process.pid).create_time()))
    threading.Thread(target=_wait, args=(path, process), daemon=True).start()


def _wait(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Take the ended process off the system's list. One that never came to train has failed, and its log says why."""
    code = process.wait()
    if (path / "status.json").exists() and (status := open_run(path).status).state == "starting":
        said = tail_log(path, 1) or f"The script ended with status {code} before it trained."
        write_status(path, replace(status, state="failed", message=said))


def _start(path: Path, arguments: list[str], log: str) -> subprocess.Popen[bytes]:
    # Threads that wait by sleeping: a run shares the machine with the app and other runs, and torch's spinning
    # threads slow each other down tenfold there.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ,
                   "RLCORE_RUN_DIR": str(path.resolve()), "PYTHONUNBUFFERED": "1",
                   "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    with (path / log).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=environment, cwd=Path.cwd(), start_new_session=True)
