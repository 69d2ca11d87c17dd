"""A run is a folder; this reads and writes it. No server has to be up for a run to go on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from rlcore.config import ConfigError
from rlcore.runs.options import checked

RUNS = Path("runs")
FORMAT = 1
_ALIVE = ("starting", "running", "stopping")
_KINDS: Mapping[Any, Any] = {"str": str, "int": int, "float": int | float, "float | None": int | float | None}


@dataclass(frozen=True)
class RunSpec:
    """Everything that determines a run: config.yaml. Two runs of one spec on one machine give the same bits."""

    algo: str
    env: str
    seed: int
    env_steps: int
    config: Mapping[str, Any]          # the algorithm's settings, all of them
    backend: str | None                # engine of the vector environment; None: the fastest that has it
    target_return: float | None = None  # stop once the mean of the last 100 episodes reaches it
    device: str = "cpu"
    threads: int = 1                   # torch threads
    checkpoint_s: float = 30.0         # seconds between checkpoints
    env_seed: int | None = None        # the environments' own, where they were made with another
    env_options: Mapping[str, Any] = field(default_factory=dict)  # for the environment's constructor
    action_mask: bool = False          # legal actions are part of the observation
    sampler: str = "serial"            # who waits for whom; it never changes what is learned, except "async"
    num_workers: int | None = None     # processes of the sampler
    timeout_s: float | None = None     # seconds without an answer after which a worker is taken to hang
    evaluate_every: int | None = None  # env steps between evaluations in training; they find the best checkpoint
    evaluate_episodes: int = 10
    patience: int | None = None        # stop after so many evaluations without a better one
    keep_every: int | None = None      # env steps between checkpoints of the agent that stay
    start_from: str | None = None      # the run whose last agent this one began as
    freeze: Sequence[str] = ()         # words in the names of parameters that stay as they are
    encoder: str | None = None         # the user's module that reads observations: "module:Class"
    hindsight: float | None = None     # share of replayed steps that pursue another goal
    compiled: bool = False             # the gradient step is; its sums differ in their last bits
    replay_on_disk: bool = False       # the replay memory lies in files of the run's folder
    replay_on_gpu: bool = False        # or on the device that trains
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, checked(item.name, getattr(self, item.name)))


@dataclass(frozen=True)
class Status:
    """status.json: what the training process last said of itself."""

    state: str                         # starting, running, stopping, finished, stopped, failed
    pid: int = 0
    pid_started: float = 0.0           # the process's start time tells it from a later one with its number
    env_steps: int = 0
    total_steps: int = 0
    sps: float = 0.0                   # env steps per second
    eta_s: float | None = None
    mean_return: float | None = None   # over the last 100 episodes
    message: str = ""
    updated: float = 0.0               # unix time

    def __post_init__(self) -> None:
        for item in fields(self):
            if not isinstance(value := getattr(self, item.name), _KINDS[item.type]):
                raise TypeError(f"{item.name} is {value!r}")


@dataclass(frozen=True)
class Run:
    """One run as it stands now."""

    path: Path
    config: Mapping[str, Any]
    status: Status

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def started(self) -> float:
        """When the run began, in unix time."""
        config = self.path / "config.yaml"
        return (config if config.exists() else self.path / "status.json").stat().st_mtime

    @property
    def state(self) -> str:
        """The status's state, or "interrupted" if it claims to run and its process is gone."""
        if self.status.state in _ALIVE and not self.process_lives:
            return "interrupted"
        return self.status.state

    @property
    def process_lives(self) -> bool:
        """Whether the process that last spoke for the run, or the one just launched, is still there."""
        return _process_lives(self.status)

    @property
    def can_resume(self) -> bool:
        """Whether there is training left to do and nobody is doing it."""
        return self.state in ("stopped", "failed", "interrupted")


def _process_lives(status: Status) -> bool:
    if not status.pid:  # just launched: the process has not spoken yet
        return time.time() - status.updated < 60
    try:
        process = psutil.Process(status.pid)
        same = abs(process.create_time() - status.pid_started) < 2
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, ValueError):  # no process can have a number below 0
        return False


def new_folder(name: str, root: Path = RUNS) -> Path:
    """A new empty run folder: `root`/<name>-<date>-<time>."""
    name = re.sub(r"[^\w.-]+", "-", name)  # ALE/Pong-v5 is one folder, not two
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        path = root / f"{stem}{suffix}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise ConfigError(f"{root} already holds a thousand runs named {stem}.")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else can hold a run's folder meanwhile; a process that dies lets go of it."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(ImportError, OSError):  # Windows and some network drives have no such locks
            import fcntl

            folder = os.open(path, os.O_RDONLY)
            held.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """A run's folder, made if there is none, is this process's from here on: no other may train in it.

    If the body fails, its spec and status become what they were.

    Raises:
        ConfigError: another process trains in it, or is about to.
    """
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        before = {file: file.read_bytes() if file.exists() else None
                  for file in (path / "status.json", path / "config.yaml")}
        status = Status("")
        if before[path / "status.json"] is not None:
            run = open_run(path)
            if run.state in _ALIVE and run.status.pid != os.getpid():
                raise ConfigError(f"{run.id} is already {run.state}.")
            status = run.status
        me = psutil.Process()
        write_status(path, replace(status, state="starting", pid=me.pid, pid_started=me.create_time(), message=""))
    try:
        yield
    except BaseException:
        for file, content in before.items():
            file.unlink(missing_ok=True) if content is None else file.write_bytes(content)
        with contextlib.suppress(OSError):  # what holds something stays
            path.rmdir()
            if path.parent == RUNS:
                RUNS.rmdir()
        raise


def write_spec(path: Path, spec: RunSpec) -> None:
    """Write config.yaml."""
    _replace(path / "config.yaml", yaml.safe_dump(asdict(spec), sort_keys=False))


def read_spec(path: str | Path) -> RunSpec:
    """What config.yaml says.

    Raises:
        ConfigError: the folder is no run, its file is damaged, or a later format wrote it.
    """
    file = Path(path) / "config.yaml"
    if not file.exists():
        raise ConfigError(f"{path} is not a run folder: it has no config.yaml.")
    values = read_yaml(file)
    known = {item.name for item in fields(RunSpec)}
    required = {item.name for item in fields(RunSpec) if item.default is item.default_factory is MISSING}
    if missing := (required | {"format"}) - values.keys():
        raise ConfigError(f"{file} is not a run's: it lacks {', '.join(sorted(missing))}.")
    if isinstance(values["format"], int) and values["format"] > FORMAT:
        raise ConfigError(f"{path} has run format {values['format']}; this rlcore reads up to {FORMAT}. Update rlcore.")
    if strange := values.keys() - known:
        raise ConfigError(f"{file} has unknown entries: {', '.join(sorted(map(str, strange)))}. "
                          f"Known: {', '.join(sorted(known))}.")
    try:
        return RunSpec(**values)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def read_yaml(file: Path) -> dict[Any, Any]:
    """The `name: value` lines of a YAML file; nothing in it can execute code.

    Raises:
        ConfigError: it cannot be read, is no YAML or holds something else.
    """
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    try:
        content = parse_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} must hold `name: value` lines, not {_kind(content)}.")
    return content


def _kind(content: Any) -> str:
    return "nothing" if content is None else f"a {type(content).__name__}"


def parse_yaml(text: str) -> Any:
    """What a YAML text holds, as plain data.

    Raises:
        ConfigError: what is wrong with it, in one line without a full stop.
    """
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise ConfigError("it is nested too deeply") from None
    except Exception as error:  # a value that only looks like a date, such as 2024-13-45, raises whatever Python does
        raise ConfigError(_yaml_fault(error)) from None


def _yaml_fault(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    said = str(error).replace("\n", " ")
    return said if isinstance(error, yaml.YAMLError) else f"a value in it cannot be read ({said})"


def write_status(path: Path, status: Status) -> None:
    """Write status.json in one move, so that a reader never sees half of it."""
    _replace(path / "status.json", json.dumps({**asdict(status), "updated": time.time()}))


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(text)
    os.replace(unfinished, path)


def open_run(path: str | Path) -> Run:
    """The run in a folder as it stands now; one whose files are damaged shows as failed and says so.

    Raises:
        ConfigError: the folder is no run.
    """
    path = Path(path)
    if not (path / "status.json").exists():
        raise ConfigError(f"{path} is not a run folder: it has no status.json.")
    config = path / "config.yaml"
    try:
        status = Status(**json.loads((path / "status.json").read_text()))
        return Run(path, read_yaml(config) if config.exists() else {}, status)
    except (ValueError, TypeError, RecursionError) as error:
        return Run(path, {}, Status("failed", message=f"The run's files are damaged: {error}"))


def list_runs(root: Path = RUNS) -> list[Run]:
    """All runs under a folder, newest first."""
    found = [open_run(file.parent) for file in root.glob("[!.]*/status.json")]    # one being deleted begins with a dot
    return sorted(found, key=lambda run: run.started, reverse=True)


def read_metrics(path: str | Path, keys: Sequence[str] | None = None, max_points: int = 1000) -> dict[str, list[float]]:
    """Columns of metrics.jsonl, `step` always among them, thinned evenly to at most `max_points` rows.

    NaN stands where a row lacks a value. A last line still being written is left for the next read.
    """
    text = _text_of(Path(path) / "metrics.jsonl")
    lines = text[: text.rfind("\n") + 1].splitlines()
    if len(lines) > max_points:  # the newest row is always among them
        stride = -(-len(lines) // max_points)
        lines = lines[::-1][::stride][::-1]
    rows = _rows(lines)
    names = dict.fromkeys(["step", *(keys if keys is not None else (key for row in rows for key in row))])
    nan = float("nan")
    return {name: [nan if row.get(name) is None else row[name] for row in rows] for name in names}


def read_evaluations(path: str | Path) -> list[dict[str, Any]]:
    """The rows of evaluations.jsonl, oldest first."""
    return _rows(_text_of(Path(path) / "evaluations.jsonl").splitlines())


def _text_of(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


def _rows(lines: Sequence[str]) -> list[dict[str, Any]]:
    """What can be read of some lines of JSON that each tell of a step."""
    rows = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):  # half a line, from a disk that was full
            row = json.loads(line)
            if isinstance(row, dict) and type(row.get("step")) is int:
                rows.append(row)
    return rows


def append_evaluation(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to evaluations.jsonl."""
    with locked(path):
        _write_evaluations(path, [*read_evaluations(path), row])


def drop_evaluations_after(path: Path, step: int) -> None:
    """Forget what training noted after a step: a run that continues from there will note it again."""
    with locked(path):
        rows = read_evaluations(path)
        kept = [row for row in rows if row["step"] <= step or "in_training" not in row]
        if len(kept) < len(rows):
            _write_evaluations(path, kept)


def _write_evaluations(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    _replace(path / "evaluations.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def tail_log(path: Path, lines: int = 200) -> str:
    """The end of what the run's process printed."""
    file = path / "train.log"
    if not file.exists():
        return ""
    with file.open(encoding="utf-8", errors="replace") as stream:
        return "".join(deque(stream, maxlen=lines)).rstrip("\n")


def delete(path: Path) -> None:
    """Remove a run's folder.

    Raises:
        ConfigError: the run is still going.
    """
    run = open_run(path)
    if run.state in _ALIVE:
        raise ConfigError(f"{run.id} is still {run.state}. Stop it first.")
    gone = path.with_name(f".{path.name}.deleted")
    path.rename(gone)  # first, because whoever waits for the run's process may be about to write its last status
    shutil.rmtree(gone)
