"""My documents: people's own files in named collections that a question can search beside the corpus."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain
from itertools import count as numbers
from pathlib import Path
from typing import Any

import gradio as gr

from copilot import store
from copilot.collection import collection, collections
from copilot.store import File
from gui.answers import preparing
from gui.desk import Desk
from gui.jobs import Step, Task
from gui.parts import count, empty, notice, page_head
from gui.service import Library, Places
from gui.theme import PICK, hide, pane, show, turns
from rlcore.config import ConfigError

EVERY_S = 0.5                      # between looks at work in progress
_SHOWN = 200                       # files with a reason, per collection
_UPLOADS = "uploads"               # folder of the files that came through the browser
_KINDS = "Markdown, reStructuredText, text, HTML, PDF, notebooks, LaTeX and Python"
_NONE = f"Add a file or a folder of {_KINDS}. Questions then search it beside the corpus, and cite it."


@dataclass(frozen=True)
class Shelf:
    """A collection as the page shows it."""

    name: str
    sources: tuple[str, ...]
    files: int                     # that are searched
    passages: int
    left: tuple[File, ...]         # not searched, each with its reason
    problem: str = ""              # why it cannot be read


def shelf(folder: Path, name: str) -> Shelf:
    """What a collection holds."""
    try:
        own = collection(folder, name)
        files = own.files()
        with store.opened(own.folder) as sql:
            passages = store.size(sql)
        left = tuple(file for file in files if file.state != "taken")
        return Shelf(name, own.sources.paths, len(files) - len(left), passages, left)
    except ConfigError as error:
        return Shelf(name, (), 0, 0, (), str(error))


def shelves(folder: Path) -> list[Shelf]:
    """All collections, by name."""
    return [shelf(folder, name) for name in collections(folder)]


def shelves_html(listed: Sequence[Shelf]) -> str:
    """The collections with what they hold, what they skip and why."""
    if not listed:
        return empty("No documents yet", _NONE)
    return "".join(map(_shelf_html, listed))


def _shelf_html(one: Shelf) -> str:
    name = escape(one.name)
    facts = f"{_many(one.files, 'file')} · {_many(one.passages, 'passage')}"
    sources = "".join(f"<li><code>{escape(path)}</code></li>" for path in one.sources)
    buttons = "".join(
        f'<button type="button" class="plain" data-pick="{what}:{name}" id="{what}-{name}">{label}</button>'
        for what, label in (("update", "Update"), ("remove", "Remove")))
    return (f'<section class="shelf" id="shelf-{name}"><div class="shelf-head"><h3>{name}</h3>'
            f'<span class="shelf-facts">{facts}</span>{buttons}</div>'
            f'<ul class="shelf-sources">{sources}</ul>{notice(one.problem, "bad")}{_left_html(one)}</section>')


def _left_html(one: Shelf) -> str:
    if not one.left:
        return ""
    rows = "".join(f"<tr><td><code>{escape(file.path)}</code></td><td>{escape(file.reason)}</td></tr>"
                   for file in one.left[:_SHOWN])
    more = f"<p>and {count(len(one.left) - _SHOWN)} more</p>" if len(one.left) > _SHOWN else ""
    return (f'<details class="fold"><summary>Skipped <span>{_many(len(one.left), "file")}</span></summary>'
            f'<div class="table-wrap"><table class="grid-table"><thead><tr><th>File</th><th>Why</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>{more}</details>")


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def step_html(step: Step) -> str:
    """How far the work is, or what came of it."""
    if step.state == "working":
        return (f'<div class="task" data-state="working"><div class="bar big" role="progressbar" aria-valuemin="0" '
                f'aria-valuemax="100" aria-valuenow="{step.fraction * 100:.0f}">'
                f'<i style="width:{step.fraction:.1%}"></i></div><span>{escape(step.text)}</span></div>')
    kind = {"idle": "info", "done": "good", "failed": "bad", "cancelled": "warn"}[step.state]
    return f'<div class="task" data-state="{step.state}">{notice(step.text, kind)}</div>'


def kept(places: Places, name: str, uploaded: Sequence[str]) -> list[Path]:
    """Files that came through the browser, moved to where the collection finds them again."""
    folder = places.documents / _UPLOADS / name
    moved = []
    for file in map(Path, uploaded):
        folder.mkdir(parents=True, exist_ok=True)
        moved.append(Path(shutil.move(file, _place(file, folder))))
    return moved


def _place(file: Path, folder: Path) -> Path:
    """Where a file goes in a folder: in no other file's place, of which there may be one of its name."""
    names = chain([file.name], (f"{file.stem}-{number}{file.suffix}" for number in numbers(2)))
    return next(place for place in map(folder.joinpath, names)
                if not place.exists() or filecmp.cmp(file, place, shallow=False))


def add(library: Library, places: Places, task: Task, name: str, path: str, uploaded: Sequence[str]) -> str:
    """Start taking in a path, uploaded files, or both; the reason if that cannot start."""
    if not path.strip() and not uploaded:
        return "Give the path of a file or folder, or choose files."
    try:
        collection(places.documents, name, new=True)
        given = [Path(path.strip()).expanduser()] if path.strip() else []
    except (ConfigError, RuntimeError) as error:   # RuntimeError: there is no such user's home
        return str(error)
    return _begin(library, task, lambda desk, report: (
        f"{name}: {desk.add(name, [*given, *kept(places, name, uploaded)], report)}"))


def update(library: Library, task: Task, name: str) -> str:
    """Start taking in what has changed; the reason if that cannot start."""
    return _begin(library, task, lambda desk, report: f"{name}: {desk.update(name, report)}")


def _begin(library: Library, task: Task, work: Callable[[Desk, Callable[[float, str], None]], str]) -> str:
    def opened(report: Callable[[float, str], None]) -> str:
        for status in library.wait():
            if status.state == "failed":
                raise ConfigError(status.message)
            if status.state == "opening":
                report(0.0, preparing(status))
        return work(library.desk, report)

    return "" if task.start(opened) else "Something is being read already. Wait for its end, or cancel it."


def remove(library: Library, places: Places, name: str) -> str:
    """Remove a collection, and the copies of what came through the browser; a notice of what came of it."""
    try:
        library.desk.remove(name)
    except (ConfigError, OSError, RuntimeError) as error:
        return notice(str(error), "bad")
    shutil.rmtree(places.documents / _UPLOADS / name, ignore_errors=True)
    return notice(f"{name} was removed. The files that it was made from are where they were.", "good")


def build(library: Library, places: Places, task: Task) -> None:
    """Lay the page out and connect it."""
    opened = gr.Button(visible="hidden", elem_id="opened-documents")    # pressed by the script when the page is shown
    timer, doomed = gr.Timer(EVERY_S, active=False), gr.State("")
    pane(page_head("My documents", "Your own papers, notes and code, searched beside the corpus. They are read on this "
                                   "computer and stay on it."), "documents-head")
    with gr.Row(elem_id="documents-grid"):
        with gr.Column(elem_id="documents-form"):
            name = gr.Dropdown([], value="mine", allow_custom_value=True, label="Collection", elem_id="shelf-name",
                               info="An existing one, or a new name")
            path = gr.Textbox(label="File or folder on this computer", elem_id="shelf-path", max_lines=1,
                              placeholder="~/papers", info="Read where it lies; Update takes in what changes")
            files = gr.File(label="or choose files", file_count="multiple", elem_id="shelf-files", height=150)
            go = gr.Button("Add", variant="primary", elem_id="shelf-add")
        with gr.Column(elem_id="documents-main"):
            progress = pane("", "shelf-progress")
            cancel = gr.Button("Cancel", variant="stop", size="sm", elem_id="shelf-cancel", scale=0, min_width=90,
                               visible=False)
            said = pane("", "shelf-said")
            with gr.Row(elem_id="shelf-confirm", visible=False) as confirm:
                sure = pane("", "shelf-confirm-text")
                really = gr.Button("Remove it", variant="stop", size="sm", elem_id="shelf-remove-really", scale=0)
                keep = gr.Button("Keep it", size="sm", elem_id="shelf-keep", scale=0)
            listing = pane("", "shelf-list", PICK)

    turn = turns("documents")
    watched: list[Any] = [progress, cancel, timer, listing, name]
    started: list[Any] = [said, confirm, *watched]

    def watch() -> tuple[Any, ...]:
        now, names = task.now, collections(places.documents)
        busy = now.state == "working"
        listed = gr.skip() if busy else shelves_html(shelves(places.documents))
        return (step_html(now), gr.update(visible=busy), gr.Timer(active=busy), listed,
                gr.skip() if busy else gr.update(choices=names))

    def begun(problem: str) -> tuple[Any, ...]:
        return (notice(problem, "bad"), hide(), *watch())

    def add_these(where: str, which: str, chosen: list[str] | None) -> tuple[Any, ...]:
        problem = add(library, places, task, (where or "").strip(), which, chosen or [])
        emptied = (gr.skip(), gr.skip()) if problem else ("", None)
        return (*begun(problem), *emptied)

    def picked(event: gr.EventData) -> tuple[Any, ...]:
        what, _, which = event.value.partition(":")
        if what == "update":
            return (*begun(update(library, task, which)), "", "")
        question = f"Remove the collection {escape(which)}? The files that it was made from stay where they are."
        return ("", show(), *(gr.skip() for _ in watched), which, question)

    def removed(which: str) -> tuple[Any, ...]:
        return (remove(library, places, which), hide(), *watch())

    opened.click(watch, None, watched, **turn)
    timer.tick(watch, None, watched, **turn)
    gr.on([go.click, path.submit], add_these, [name, path, files], [*started, path, files], **turn)
    cancel.click(task.cancel, None, None, queue=False)
    listing.pick(picked, None, [*started, doomed, sure], **turn)
    really.click(removed, [doomed], started, **turn)
    keep.click(hide, None, [confirm], queue=False)
