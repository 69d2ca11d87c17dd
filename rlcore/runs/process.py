"""Training as processes of their own, which outlive whoever started them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import psutil

from rlcore.config import ConfigError
from rlcore.runs.folder import RUNS, Run, Status, locked, new_folder, open_run, tail_log, write_status

_ROOT = Path(__file__).resolve().parents[2]
_LAUNCHED: set[Path] = set()  # folders that this process began: what they name is its own user's


def launch(script_text: str, name: str, root: Path = RUNS) -> Path:
    """Write a script into a new run folder and start it there, detached. Returns the folder."""
    path = new_folder(name, root)
    _LAUNCHED.add(path.resolve())
    (path / "train.py").write_text(script_text, encoding="utf-8")
    _train(path, [str(path.resolve() / "train.py")], Status("starting", message="Starting Python"))
    return path


def foreign(run: Run) -> tuple[str, ...]:
    """The code that a run needs and that only its folder names: of its environment and its encoder, or its script where
    that must begin it again. A folder may come from anyone, so somebody has to agree to each before it is run."""
    if run.path.resolve() in _LAUNCHED:
        return ()
    begun = (run.path / "config.yaml").exists() or not run.can_resume
    return tuple(_code(run).values()) if begun else (str(run.path / "train.py"),)


def _code(run: Run) -> dict[str, str]:
    """Option → the code that the run's folder names for it."""
    return {what: name for what in ("env", "encoder") if ":" in (name := str(run.config.get(what)))}


def _consent(run: Run, agreed: Collection[str]) -> list[str]:
    """The options that name again what somebody has agreed to, or what a run that was launched here names."""
    own = run.path.resolve() in _LAUNCHED
    return [f"--{what}={name}" for what, name in _code(run).items() if own or name in agreed]


def resume(path: Path, agreed: Collection[str] = ()) -> None:
    """Continue a run from its last checkpoint, detached.

    agreed: what of `foreign` may be imported and run.

    Raises:
        ConfigError: it is running already, has nothing left to do, or would begin with a script that nobody agreed to.
    """
    with locked(path):  # two clicks begin one process
        run = open_run(path)
        if not run.can_resume:
            raise ConfigError(f"{run.id} is {run.state}, and only a stopped, failed or interrupted run can be resumed.")
        begun = (path / "config.yaml").exists()  # a script that never came that far simply starts again
        if not begun and not {*foreign(run)} <= {*agreed}:
            raise ConfigError(f"{run.id} has not begun, and its script train.py was not launched from here. If you "
                              f"trust that script, agree to it: resume(…, agreed=['{path / 'train.py'}']).")
        (path / "stop").unlink(missing_ok=True)  # whoever asked for it did not mean the run that starts now
        again = ["-m", "rlcore", "resume", str(path.resolve()), *_consent(run, agreed)]
        _train(path, again if begun else [str(path.resolve() / "train.py")],
               replace(run.status, state="starting", message="Resuming"))


def stop(path: str | Path) -> None:
    """Ask a run to write a checkpoint and end; it looks for the request several times a second."""
    (Path(path) / "stop").touch()


def evaluate(path: Path, episodes: int = 20, agreed: Collection[str] = ()) -> subprocess.Popen[bytes]:
    """Play evaluation episodes in a process of its own, which appends to evaluations.jsonl.

    agreed: what of `foreign` may be imported.
    """
    command = ["-m", "rlcore", "evaluate", str(path.resolve()), "--episodes", str(episodes),
               *_consent(open_run(path), agreed)]
    return _start(path, command, log="evaluate.log")


def record(path: Path, agreed: Collection[str] = ()) -> subprocess.Popen[bytes]:
    """Film one episode in a process of its own, which writes into videos/. agreed: as for `evaluate`."""
    command = ["-m", "rlcore", "video", str(path.resolve()), *_consent(open_run(path), agreed)]
    return _start(path, command, log="video.log")


def _train(path: Path, arguments: list[str], status: Status) -> None:
    process = _start(path, arguments, log="train.log")
    write_status(path, replace(status, pid=process.pid, pid_started=psutil.Process(process.pid).create_time()))
    threading.Thread(target=_wait, args=(path, process), daemon=True).start()


def _wait(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Take the ended process off the system's list. One that never came to train has failed, and its log says why."""
    code = process.wait()
    with contextlib.suppress(ConfigError, FileNotFoundError):  # the run has been deleted
        if (status := open_run(path).status).state == "starting":
            said = tail_log(path, 1) or f"The script ended with status {code} before it trained."
            write_status(path, replace(status, state="failed", message=said))


def _start(path: Path, arguments: list[str], log: str) -> subprocess.Popen[bytes]:
    # Threads that sleep when they wait: a run shares the machine with the app and other runs, and torch's spinning
    # threads slow each other down tenfold there. GNU's spin for a moment first, which is most of their waits.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000", **os.environ,
                   "RLCORE_RUN_DIR": str(path.resolve()), "PYTHONUNBUFFERED": "1",
                   "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    with (path / log).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=environment, cwd=Path.cwd(), start_new_session=True)
