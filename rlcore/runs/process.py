"""Training as processes of their own, which outlive whoever started them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rlcore.config import ConfigError
from rlcore.runs.folder import RUNS, Status, new_folder, open_run, write_status

_ROOT = Path(__file__).resolve().parents[2]


def launch(script_text: str, name: str, root: Path = RUNS) -> Path:
    """Write a script into a new run folder and start it there, detached. Returns the folder."""
    path = new_folder(name, root)
    (path / "train.py").write_text(script_text)
    write_status(path, Status("starting", message="Starting Python"))
    _start(path, [str(path.resolve() / "train.py")], log="train.log")
    return path


def resume(path: Path) -> None:
    """Continue a run from its last checkpoint, detached.

    Raises:
        ConfigError: it is running already, or has nothing left to do.
    """
    run = open_run(path)
    if not run.can_resume:
        raise ConfigError(f"{run.id} is {run.state}, and only a stopped, failed or interrupted run can be resumed.")
    write_status(path, Status("starting", message="Resuming", env_steps=run.status.env_steps,
                              total_steps=run.status.total_steps))
    begun = (path / "config.yaml").exists()  # a script that never came that far simply starts again
    _start(path, ["-m", "rlcore", "resume", str(path.resolve())] if begun else [str(path.resolve() / "train.py")],
           log="train.log")


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
