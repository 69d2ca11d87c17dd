"""What the Runs page shows of a run's folder, as plain values: HTML, text and which buttons can work."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gui import plots
from gui.code import code_html
from gui.parts import LIVE, ago, badge, count, duration, empty, notice, short, table
from rlcore import runs
from rlcore.catalog import ALGORITHMS, ENVIRONMENTS
from rlcore.runs import Run

RETURN = "episode/return"
_NO_RUNS = "A run appears here when you launch one on the Train page. It keeps going when you close this window."
_NO_SCORE = "Evaluate plays whole episodes with the latest checkpoint and measures their return."
_NO_FILM = "Record video plays one episode with the latest checkpoint and films it."


@dataclass(frozen=True)
class Can:
    """Which buttons can work on a run now."""

    stop: bool = False
    resume: bool = False
    evaluate: bool = False
    record: bool = False
    delete: bool = False


def can(run: Run, working: Collection[str], asked: Collection[str] = ()) -> Can:
    """Which buttons can work, given the run's state, its checkpoints, the jobs at work on it and the code of its folder
    that nobody has agreed to yet."""
    saved = has_checkpoint(run.path) and not asked
    return Can(
        stop=run.state in {"starting", "running"},
        resume=run.can_resume and not asked,
        evaluate=saved and "evaluation" not in working,
        record=saved and "video" not in working,
        delete=run.state not in LIVE and not working and not wrapping_up(run),
    )


def trust_html(asked: Sequence[str]) -> str:
    """What to know before one agrees to code that a run's folder names."""
    names = ", ".join(f"<code>{escape(name)}</code>" for name in asked)
    return (f"This run uses code that its folder names: {names}. To resume, evaluate or film it is to run that code. "
            "Agree only if you know who wrote it.")


def has_checkpoint(path: Path) -> bool:
    """Whether the run has saved an agent that can be played."""
    return any(item.name.isdigit() for item in _files(path / "checkpoints"))


def wrapping_up(run: Run) -> bool:
    """Whether training is over and its script still evaluates or films: the run is done, but more files will come."""
    return run.state == "finished" and bool(run.status.pid) and run.process_lives


def videos(path: Path) -> list[Path]:
    """The finished videos of a run, newest first."""
    found = [item for item in _files(path / "videos") if item.suffix in {".mp4", ".gif"} and item.name[0] != "."]
    return sorted(found, key=lambda item: item.stat().st_mtime_ns, reverse=True)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def stamp(*paths: Path) -> tuple[tuple[int, int], ...]:
    """Size and time of files: equal stamps mean that nothing has to be read again."""
    return tuple((item.stat().st_size, item.stat().st_mtime_ns) if item.exists() else (0, 0) for item in paths)


def title(run: Run) -> str:
    """`PPO · CartPole-v1`; the folder's name until the run has written what it is."""
    algo = str(run.config.get("algo", ""))
    name = ALGORITHMS[algo].title if algo in ALGORITHMS else algo
    return f"{name} · {run.config.get('env', '')}" if name else run.id


def _goal(run: Run) -> float | None:
    place = ENVIRONMENTS.get(str(run.config.get("env")))
    return place.solved_at if place else None


def _number(value: float | None) -> str:
    return "–" if value is None else short(value)


def _share(run: Run) -> float:
    total = run.status.total_steps
    return min(1.0, run.status.env_steps / total) if total else 0.0


def list_html(listed: Sequence[Run], chosen: str, now: float) -> str:
    """The list of runs, newest first; a click picks one."""
    if not listed:
        return empty("No runs yet", _NO_RUNS)
    rows = "".join(_row(run, chosen, now) for run in listed)
    return f'<div class="run-list" role="group" aria-label="Runs">{rows}</div>'


def _row(run: Run, chosen: str, now: float) -> str:
    status, name = run.status, escape(run.id)
    pressed = "true" if run.id == chosen else "false"
    done = f'<span class="bar"><i style="width:{_share(run):.1%}"></i></span>' if run.state in LIVE else ""
    return (f'<button type="button" class="run" data-pick="{name}" aria-pressed="{pressed}" title="{name}">'
            f'<span class="run-top"><strong>{escape(title(run))}</strong>'
            f"<span>{ago(now - status.updated)}</span></span>"
            f'<span class="run-facts">{badge(run.state)}<span>{short(status.env_steps)} steps</span>'
            f"<span>return {_number(status.mean_return)}</span></span>{done}</button>")


def head_html(run: Run, working: Collection[str], failed: Mapping[Any, int]) -> str:
    """Name, state, progress and the numbers that matter, with a sentence where one is needed."""
    share = _share(run)
    return (f'<div class="run-head" data-state="{escape(run.state)}">'
            f'<div class="run-title"><h2>{escape(title(run))}</h2>'
            f"{badge(run.state)}<code>{escape(run.id)}</code></div>"
            f'<div class="bar big" role="progressbar" aria-label="Training progress" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{share * 100:.0f}"><i style="width:{share:.1%}"></i></div>'
            f'<div class="tiles">{_tiles(run)}</div>{_advice(run, working, failed)}</div>')


def _tiles(run: Run) -> str:
    status, goal, live = run.status, _goal(run), run.state in LIVE
    solved = goal is not None and status.mean_return is not None and status.mean_return >= goal
    return "".join((
        _tile("Steps", count(status.env_steps), f"of {count(status.total_steps)}" if status.total_steps else ""),
        _tile("Mean return", _number(status.mean_return), f"solved at {short(goal)}" if goal is not None else "",
              "solved" if solved else "", elem_id="tile-return"),
        _tile("Speed", count(status.sps) if status.sps else "–", "env steps per second"),
        _tile("Time left", "–" if status.eta_s is None else duration(status.eta_s)) if live
        else _tile("Seed", str(run.config.get("seed", "–"))),
    ))


def _tile(name: str, value: str, note: str = "", kind: str = "", elem_id: str = "") -> str:
    own = f'id="{elem_id}"' if elem_id else ""
    return (f'<div class="tile" {own}><span>{escape(name)}</span><b class="{kind}">{escape(value)}</b>'
            f"<small>{escape(note)}</small></div>")


def _advice(run: Run, working: Collection[str], failed: Mapping[Any, int]) -> str:
    said: list[str] = []
    if run.state == "interrupted":
        then = "from the last checkpoint" if has_checkpoint(run.path) else "from the beginning: nothing was saved yet"
        said.append(notice(f"Its process is gone. Resume continues {then}.", "warn", "This run was interrupted."))
    if run.state == "failed":
        said.append(notice(run.status.message or "The log has the reason.", "bad", "This run failed."))
    if wrapping_up(run):
        said.append(notice("Training is done. Its script now evaluates the agent and records a video."))
    if "evaluation" in working:
        said.append(notice("Evaluating the latest checkpoint…"))
    if "video" in working:
        said.append(notice("Recording a video of the latest checkpoint…"))
    for kind, code in failed.items():
        said.append(notice(_why(run.path, kind, code), "bad", f"The {kind} failed."))
    return "".join(said)


def _why(path: Path, kind: str, code: int) -> str:
    """The last line that the job printed: errors of rlcore are one sentence."""
    log = path / {"evaluation": "evaluate.log", "video": "video.log"}[kind]
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), f"Its process ended with exit code {code}.")


def metric_names(path: Path) -> list[str]:
    """Metrics of a run that can be drawn below the return, in a steady order."""
    known = runs.read_metrics(path, max_points=50)
    return sorted(name for name in known if name not in {"step", "time_s", RETURN})


def curves_html(run: Run, weight: float, axis: str, chosen: Sequence[str]) -> str:
    """The return with its goal and evaluations, and the chosen metrics below it."""
    by_time = axis == "time"
    data = runs.read_metrics(run.path, keys=["time_s", RETURN, *chosen])
    x = data["time_s"] if by_time else data["step"]
    nothing = [math.nan] * len(x)
    growing = run.state in LIVE and run.status.total_steps and not by_time
    shared: dict[str, Any] = {"weight": weight, "x_name": "seconds" if by_time else "steps",
                              "right": float(run.status.total_steps) if growing else None}
    marks = [] if by_time else [_mark(row) for row in runs.read_evaluations(run.path)]
    main = plots.chart("Episode return", x, data[RETURN], level=_goal(run), marks=marks, elem_id="curve-return",
                       **shared)
    others = "".join(plots.chart(name, x, data.get(name, nothing), elem_id=f"curve-{name.replace('/', '-')}", **shared)
                     for name in chosen)
    return f'<div class="curve-main">{main}</div><div class="curve-grid">{others}</div>'


def _mark(row: Mapping[str, Any]) -> plots.Mark:
    text = f"evaluation at {row['step']:,} steps: {short(row['mean'])} over {row['episodes']} episodes"
    return plots.Mark(row["step"], row["mean"], row["low"], row["high"], text)


def evaluations_html(path: Path) -> str:
    """Every evaluation, newest first: mean, spread and the interval."""
    rows = runs.read_evaluations(path)
    if not rows:
        return empty("Not evaluated yet", _NO_SCORE)
    names = ("At step", "Episodes", "Mean", "Std", "IQM", "95 % interval")
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(
        f"<tr><td>{row['step']:,}</td><td>{row['episodes']}</td><td><b>{row['mean']:.1f}</b></td>"
        f"<td>{row['std']:.1f}</td><td>{row['iqm']:.1f}</td><td>{row['low']:.1f} to {row['high']:.1f}</td></tr>"
        for row in reversed(rows))
    return (f'<div class="table-wrap"><table class="grid-table" id="evaluation-table"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>")


def videos_html(run: Run) -> str:
    """A player for the newest video and links to the older ones."""
    found = videos(run.path)
    if not found:
        return empty("No video yet", _NO_FILM)
    first, *older = found
    links = "".join(f'<li><a href="{_address(run, item)}" target="_blank">{escape(item.name)}</a></li>'
                    for item in older)
    more = (f'<details class="fold"><summary>Older videos <span>{len(older)}</span></summary><ul>{links}</ul></details>'
            if older else "")
    caption = f"<figcaption>{escape(first.name)}</figcaption>"
    return f'<figure class="film">{_player(run, first)}{caption}</figure>{more}'


def _player(run: Run, item: Path) -> str:
    address = f"{_address(run, item)}?v={item.stat().st_mtime_ns}"
    if item.suffix == ".gif":
        return f'<img src="{address}" alt="The agent at work">'
    return f'<video id="run-video" src="{address}" controls loop muted playsinline preload="auto"></video>'


def _address(run: Run, item: Path) -> str:
    return f"/videos/{quote(run.id)}/{quote(item.name)}"


def settings_html(run: Run) -> str:
    """What the run was made with, as tables."""
    config = dict(run.config)
    nested = {"Algorithm settings": config.pop("config", {}), "Versions": config.pop("versions", {})}
    config.pop("format", None)
    shown = table((name, _plain(value)) for name, value in config.items())
    for heading, values in nested.items():
        if values:
            shown += f"<h4>{heading}</h4>" + table((name, _plain(value)) for name, value in values.items())
    return f'<div class="run-settings">{shown}</div>'


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)


def script_html(path: Path) -> str:
    """The script that made the run."""
    script = path / "train.py"
    if not script.is_file():
        return empty("No script", "This run was started from the command line.")
    return code_html(script.read_text(encoding="utf-8"), "train.py")
