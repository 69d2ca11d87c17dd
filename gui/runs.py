"""Runs: every run's folder, watched while it grows; stop, resume, evaluate, film, delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from gui import runview, why
from gui.answers import Turn
from gui.code import log_html
from gui.jobs import Jobs
from gui.parts import LIVE, empty, notice, page_head
from gui.service import Library
from gui.theme import PICK, pane, turns
from rlcore import runs
from rlcore.config import ConfigError
from rlcore.runs import Run

EVERY_S = 1.5                      # between looks at the files while something is at work


@dataclass
class Look:
    """What a window is looking at; changed in place, so that a diagnosis on its way sees that the window turned."""

    run_id: str = ""
    weight: float = 0.6            # of the past in the smoothed curves
    axis: str = "steps"
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """What changed since the last look: part → its new value; parts that did not change are absent."""

    run_id: str                    # the run that is shown; empty if there is none
    parts: Mapping[str, Any]
    seen: Mapping[str, Hashable]   # part → stamp of what it was made from


def pick(listed: Sequence[Run], wanted: str) -> Run | None:
    """The wanted run, or the newest one, or none."""
    return next((run for run in listed if run.id == wanted), listed[0] if listed else None)


def view(root: Path, look: Look, seen: Mapping[str, Hashable], jobs: Jobs) -> View:
    """Everything that changed on the page since `seen`; reads files only, and only those that changed."""
    listed = runs.list_runs(root)
    run = pick(listed, look.run_id)
    makers = _list_makers(listed, run, jobs) | (_run_makers(run, look, jobs) if run else {})
    parts = {name: make() for name, (stamp, make) in makers.items() if seen.get(name) != stamp}
    return View(run.id if run else "", parts, {name: stamp for name, (stamp, _) in makers.items()})


Makers = dict[str, tuple[Hashable, Callable[[], Any]]]   # part → what it depends on, and how to make it


def _list_makers(listed: Sequence[Run], run: Run | None, jobs: Jobs) -> Makers:
    now, chosen = time.time(), run.id if run else ""
    alive = jobs.any() or any(item.state in LIVE or runview.wrapping_up(item) for item in listed)
    rows = tuple((item.id, item.state, item.status.env_steps, item.status.updated) for item in listed)
    return {
        "alive": (alive, lambda: alive),                 # whether looking again by itself makes sense
        "any": (run is not None, lambda: run is not None),
        "list": ((rows, chosen, int(now // 30)), lambda: runview.list_html(listed, chosen, now)),
    }


def _run_makers(run: Run, look: Look, jobs: Jobs) -> Makers:
    working, failed, path = jobs.working(run.id), jobs.failed(run.id), run.path
    asked = tuple(name for name in runs.foreign(run) if name not in jobs.agreed)
    able = runview.can(run, working, asked)
    metrics, evaluated = runview.stamp(path / "metrics.jsonl"), runview.stamp(path / "evaluations.jsonl")
    films = runview.videos(path)
    parts: Makers = {
        "head": ((run.state, str(run.status), runview.wrapping_up(run), working, tuple(failed.items())),
                 lambda: runview.head_html(run, working, failed)),
        "buttons": (able, lambda: able),
        "trust": (asked, lambda: asked),                 # code of the folder that somebody must agree to first
        "curves": ((run.state in LIVE, look.weight, look.axis, look.metrics, metrics, evaluated),
                   lambda: runview.curves_html(run, look.weight, look.axis, look.metrics)),
        "metrics": (bool(metrics[0][0]), lambda: runview.metric_names(path)),
        "evaluations": (evaluated, lambda: runview.evaluations_html(path)),
        "videos": ((tuple(item.name for item in films), runview.stamp(*films)), lambda: runview.videos_html(run)),
        "log": (runview.stamp(path / "train.log"), lambda: log_html(runs.tail_log(path))),
        "settings": (runview.stamp(path / "config.yaml"), lambda: runview.settings_html(run)),
        "script": (runview.stamp(path / "train.py"), lambda: runview.script_html(path)),
    }
    return {name: ((run.id, stamp), make) for name, (stamp, make) in parts.items()}


def act(root: Path, run_id: str, action: Callable[[Path], object]) -> str:
    """Do something to a run; the result is a notice with the reason if it could not be done."""
    if not (root / run_id).is_dir():
        return notice(f"{run_id} is not there any more: its folder was deleted or moved.", "bad")
    try:
        action(root / run_id)
    except (ConfigError, OSError) as error:
        return notice(str(error), "bad")
    return ""


def updates(new: View) -> tuple[Any, ...]:
    """A view as updates of the components that `build` calls `watched`."""
    def part(name: str, make: Callable[[Any], Any] = lambda value: value) -> Any:
        return make(new.parts[name]) if name in new.parts else gr.skip()

    able = new.parts.get("buttons")
    switches = [gr.update(interactive=may) for may in vars(able).values()] if able else [gr.skip()] * 5
    return (
        dict(new.seen), part("alive", lambda alive: gr.Timer(active=alive)),
        part("any", lambda one: gr.update(visible=one)), part("any", lambda one: gr.update(visible=not one)),
        part("list"), part("head"), *switches, part("trust", lambda names: gr.update(visible=bool(names))),
        part("trust", runview.trust_html), part("curves"), part("metrics", lambda names: gr.update(choices=names)),
        part("evaluations"), part("videos"), part("log"), part("settings"), part("script"),
    )


@dataclass(frozen=True)
class RunsPage:
    """What other pages connect to: `open_run` of a look and a run's id fills `shown` with that run."""

    look: gr.State
    shown: list[Any]
    open_run: Callable[[Look, str], tuple[Any, ...]]
    why: why.Why


def build(app: gr.Blocks, root: Path, jobs: Jobs, library: Library) -> RunsPage:
    """Lay the page out and connect it."""
    look, seen, timer = gr.State(Look()), gr.State({}), gr.Timer(EVERY_S, active=False)
    opened = gr.Button(visible="hidden", elem_id="opened-runs")     # pressed by the script when the page is shown
    pane(page_head("Runs", "Every run is a folder on this computer and a process of its own."), "runs-head")
    with gr.Row(elem_id="runs-grid"):
        with gr.Column(elem_id="runs-side"):
            listing = pane("", "run-list", PICK)
        with gr.Column(elem_id="run-main", visible=False) as main:
            head = pane("", "run-head")
            buttons, episodes, ask = _actions()
            with gr.Row(elem_id="run-trust", visible=False) as trust:
                foreign = pane("", "trust-text")
                agree = gr.Button("I trust this code", size="sm", elem_id="run-agree", scale=0)
            with gr.Row(elem_id="run-confirm", visible=False) as confirm:
                pane("Delete this run with its checkpoints and videos? This cannot be undone.", "confirm-text")
                really = gr.Button("Delete for good", variant="stop", size="sm", elem_id="run-delete-really", scale=0)
                keep = gr.Button("Keep it", size="sm", elem_id="run-keep", scale=0)
            said = pane("", "run-said")
            tabs, (weight, axis, metrics), panels, diagnosis = _tabs()
        with gr.Column(elem_id="run-none") as nothing:
            pane(empty("Nothing to show", "Launch a run on the Train page, or ask for one in Chat."), "run-none-text")

    stop, resume, evaluate, record, delete = buttons
    curves, *others = panels
    watched: list[Any] = [seen, timer, main, nothing, listing, head, *buttons, trust, foreign, curves, metrics,
                          *others]
    shown: list[Any] = [look, confirm, said, *watched, *diagnosis.shown]
    turn = turns("runs")

    def watch(now: Look, before: Mapping[str, Hashable]) -> tuple[Any, ...]:
        return updates(view(root, now, before, jobs))

    def open_run(now: Look, run_id: str, message: str = "") -> tuple[Any, ...]:
        new = view(root, replace(now, run_id=run_id), {}, jobs)
        same = new.run_id == now.run_id
        cleared = tuple(gr.skip() for _ in diagnosis.shown) if same else why.show(None)
        now.run_id = new.run_id
        return (now, gr.update(visible=False), message, *updates(new), *cleared)

    def redraw(now: Look, before: Mapping[str, Hashable], amount: float, x: str, more: list[str]) -> tuple[Any, ...]:
        now.weight, now.axis, now.metrics = amount, x, tuple(more)
        return (now, *updates(view(root, now, before, jobs)))

    def does(action: Callable[[Path], object]) -> Callable[[Look], tuple[Any, ...]]:
        return lambda now: open_run(now, now.run_id, act(root, now.run_id, action))

    def measure(now: Look, many: float) -> tuple[Any, ...]:
        return does(lambda path: jobs.start(path.name, "evaluation",
                                            lambda: runs.evaluate(path, int(many), jobs.agreed)))(now)

    def trusted(now: Look, before: Mapping[str, Any]) -> tuple[Any, ...]:
        jobs.agreed.update(before["trust"][1])    # what was shown, whatever the folder says by now
        return open_run(now, now.run_id)

    def chosen(now: Look, event: gr.EventData) -> tuple[Any, ...]:
        return open_run(now, event.value)

    def diagnose(now: Look) -> Iterator[tuple[Any, ...]]:
        tab, cited = gr.Tabs(selected="why"), ""
        for turn in _diagnosis(root, now, library):
            yield (tab, *why.show(turn, cited))
            tab, cited = gr.skip(), gr.skip()

    timer.tick(watch, [look, seen], watched, **turn)
    opened.click(watch, [look, seen], watched, **turn)
    app.load(lambda now: open_run(now, now.run_id), [look], shown, **turn)
    # A choice made while the one before it is still on its way must not be lost.
    listing.pick(chosen, [look], shown, trigger_mode="always_last", **turn)
    gr.on([weight.release, axis.input, metrics.input], redraw, [look, seen, weight, axis, metrics], [look, *watched],
          trigger_mode="always_last", **turn)
    stop.click(does(runs.stop), [look], shown, **turn)
    resume.click(does(lambda path: runs.resume(path, jobs.agreed)), [look], shown, **turn)
    agree.click(trusted, [look, seen], shown, **turn)
    evaluate.click(measure, [look, episodes], shown, **turn)
    record.click(does(lambda path: jobs.start(path.name, "video", lambda: runs.record(path, jobs.agreed))), [look],
                 shown, **turn)
    # At its end Gradio sends a diagnosis again, perhaps over another run that was opened meanwhile.
    ask.click(diagnose, [look], [tabs, *diagnosis.shown], **turns("llm")).then(
        lambda turn: why.show(turn, gr.skip()), [diagnosis.turn], diagnosis.shown, **turn)
    delete.click(lambda: gr.update(visible=True), None, [confirm], queue=False)
    keep.click(lambda: gr.update(visible=False), None, [confirm], queue=False)
    really.click(does(runs.delete), [look], shown, **turn)
    return RunsPage(look, shown, open_run, diagnosis)


def _diagnosis(root: Path, now: Look, library: Library) -> Iterator[Turn]:
    """The diagnosis of the run that a window shows, as it grows, until the window shows another."""
    asked, run = now.run_id, pick(runs.list_runs(root), now.run_id)
    for turn in why.diagnosed(run.path, library) if run else ():
        if now.run_id != asked:
            break
        yield turn


def _actions() -> tuple[list[gr.Button], gr.Number, gr.Button]:
    """The buttons in the order of `runview.Can`, the number of episodes to evaluate, and the one that asks why."""
    def button(name: str, what: str, kind: Any = "secondary") -> gr.Button:
        return gr.Button(name, variant=kind, size="sm", elem_id=f"run-{what}", min_width=80, scale=0, interactive=False)

    with gr.Row(elem_id="run-actions"):
        stop, resume = button("Stop", "stop", "stop"), button("Resume", "resume")
        evaluate = button("Evaluate", "evaluate")
        episodes = gr.Number(20, show_label=False, container=False, precision=0, minimum=1, maximum=1000,
                             elem_id="run-episodes", min_width=70, scale=0)
        pane('<span class="after-number">episodes</span>', "run-episodes-name")
        record = button("Record video", "record")
        ask = gr.Button("Why did it stop improving?", size="sm", elem_id="run-why", min_width=80, scale=0)
        delete = button("Delete", "delete")
    return [stop, resume, evaluate, record, delete], episodes, ask


def _tabs() -> tuple[gr.Tabs, tuple[gr.Slider, gr.Radio, gr.Dropdown], list[Any], why.Why]:
    """The tabs, the controls of the curves, what the tabs show (curves, evaluations, videos, log, settings, script),
    and the diagnosis."""
    with gr.Tabs(elem_id="run-tabs") as tabs:
        with gr.Tab("Curves", elem_id="tab-curves"):
            with gr.Row(elem_id="curve-controls"):
                weight = gr.Slider(0, 0.99, Look().weight, step=0.01, label="Smoothing", elem_id="smoothing",
                                   buttons=[])
                axis = gr.Radio([("Steps", "steps"), ("Time", "time")], value="steps", label="Against",
                                elem_id="curve-axis", elem_classes="segments")
                metrics = gr.Dropdown([], multiselect=True, label="More curves", elem_id="curve-metrics")
            curves = pane("", "curves")
        with gr.Tab("Evaluation", elem_id="tab-evaluation"):
            scores = pane("", "evaluations")
        with gr.Tab("Video", elem_id="tab-video"):
            films = pane("", "videos")
        with gr.Tab("Log", elem_id="tab-log"):
            log = pane("", "log")
        with gr.Tab("Settings", elem_id="tab-settings"):
            made_with = pane("", "run-settings")
        with gr.Tab("Script", elem_id="tab-script"):
            script = pane("", "run-script")
        with gr.Tab("Diagnosis", elem_id="tab-why", id="why"):
            diagnosis = why.build()
    return tabs, (weight, axis, metrics), [curves, scores, films, log, made_with, script], diagnosis
