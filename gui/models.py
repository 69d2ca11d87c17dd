"""Models: the language models on this computer, having one write the answers, and downloading one that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from copilot.models import Model, Offer, address, download, models, offer, readable
from gui import picker
from gui.documents import EVERY_S, step_html
from gui.jobs import Task
from gui.parts import empty, notice, page_head, table
from gui.service import Library, Places
from gui.theme import PICK, hide, pane, turns
from rlcore.config import ConfigError

_NONE = "The built-in answerer needs none. Download one here, or put a .gguf file or a transformers folder into {}."


def models_html(found: Sequence[Model], folder: Path, used: str = "builtin") -> str:
    """The models in the folder, as a table; `used` is the line that names who writes the answers."""
    if not found:
        return empty("No models yet", _NONE.format(folder))
    rows = "".join(
        f"<tr><td><b>{escape(model.path.name)}</b></td><td>{escape(model.kind)}</td><td>{readable(model.size)}</td>"
        f"<td>{_sum(model)}</td><td>{_use(model, used)}</td></tr>" for model in found)
    head = "".join(f"<th>{name}</th>" for name in ("Model", "Kind", "Size", "SHA-256", ""))
    return (f'<div class="table-wrap"><table class="grid-table" id="model-table"><thead><tr>{head}</tr></thead>'
            f'<tbody>{rows}</tbody></table></div><p class="form-source">In {escape(str(folder))}. Models that '
            "a server has are chosen on the Chat page, below the question.</p>")


def _sum(model: Model) -> str:
    if not model.complete:
        return "the download broke off; look it up again to go on"
    return f'<code title="{escape(model.sha256)}">{escape(model.sha256[:16])}…</code>' if model.sha256 else "–"


def _use(model: Model, used: str) -> str:
    """The button that has this model write the answers, or no longer."""
    if not model.complete or model.kind == "embedder":
        return ""
    spec, name = ("builtin", "Stop using it") if model.spec == used else (model.spec, "Answer with it")
    return f'<button type="button" class="plain" data-pick="{escape(spec)}">{name}</button>'


def look_up(text: str, sha256: str) -> tuple[Offer | None, str]:
    """What the server would send, and that as HTML; or nothing, and a notice that says why."""
    if not text.strip():
        return None, notice("Give an https address, or hf:OWNER/REPO/FILE.gguf.", "bad")
    try:
        what = offer(address(text.strip()), sha256.strip())
    except (ConfigError, OSError) as error:
        return None, notice(str(error), "bad")
    return what, offer_html(what)


def offer_html(what: Offer) -> str:
    """What would be downloaded: from where, how large, and its SHA-256 if anybody says it."""
    stated = {"you": "given by you; it is checked", "the server": "stated by the server; it is checked"}
    sha256 = f"{what.sha256} ({stated[what.source]})" if what.sha256 else "not stated by the server"
    return table([("File", what.name), ("From", what.url), ("Size", f"{readable(what.size)} ({what.size:,} bytes)"),
                  ("SHA-256", sha256)])


def fetch(what: Offer, folder: Path, task: Task) -> str:
    """Start the download; the reason if it cannot start."""
    def work(report: Any) -> str:
        got = download(what, folder, report)
        return f"{got.path.name} is here: {readable(got.size)}, SHA-256 {got.sha256}."

    return "" if task.start(work) else "A download is going on already. Wait for its end, or cancel it."


def build(library: Library, places: Places, task: Task) -> None:
    """Lay the page out and connect it."""
    opened = gr.Button(visible="hidden", elem_id="opened-models")     # pressed by the script when the page is shown
    timer, offered = gr.Timer(EVERY_S, active=False), gr.State(None)
    pane(page_head("Models", "Language models on this computer. Nothing is downloaded unless you start it here."),
         "models-head")
    with gr.Row(elem_id="models-grid"):
        with gr.Column(elem_id="models-form"):
            where = gr.Textbox(label="Download a model", elem_id="model-address", max_lines=1,
                               placeholder="https://… or hf:OWNER/REPO/FILE.gguf",
                               info="First its size and SHA-256 are looked up; nothing else is fetched yet")
            sha256 = gr.Textbox(label="SHA-256 that it must have (optional)", elem_id="model-sha256", max_lines=1)
            look = gr.Button("Look up", elem_id="model-look")
            facts = pane("", "model-offer")
            with gr.Row(elem_id="model-decide", visible=False) as decide:
                go = gr.Button("Download it", variant="primary", elem_id="model-download", scale=0, min_width=120)
                no = gr.Button("Not now", elem_id="model-no", scale=0, min_width=90)
        with gr.Column(elem_id="models-main"):
            progress = pane("", "model-progress")
            cancel = gr.Button("Cancel", variant="stop", size="sm", elem_id="model-cancel", scale=0, min_width=90,
                               visible=False)
            said = pane("", "model-said")
            listing = pane("", "model-list", PICK)

    turn = turns("models")
    watched: list[Any] = [progress, cancel, timer, listing]

    def watch() -> tuple[Any, ...]:
        now = task.now
        busy = now.state == "working"
        return step_html(now), gr.update(visible=busy), gr.Timer(active=busy), gr.skip() if busy else listed()

    def listed() -> str:
        return models_html(models(places.models), places.models, picker.spec_in_use(library))

    def use(event: gr.EventData) -> Iterator[str]:
        yield from picker.choose(event.value, library)

    def ask(text: str, must: str) -> tuple[Any, ...]:
        what, html = look_up(text, must)
        return what, html, gr.update(visible=what is not None)

    def start(what: Offer) -> tuple[Any, ...]:
        return (notice(fetch(what, places.models, task), "bad"), hide(), *watch())

    opened.click(watch, None, watched, **turn)
    timer.tick(watch, None, watched, **turn)
    listing.pick(use, None, [said], **turns("llm")).then(listed, None, [listing], **turn)
    gr.on([look.click, where.submit], ask, [where, sha256], [offered, facts, decide])
    go.click(start, [offered], [facts, decide, *watched], **turn)
    no.click(lambda: ("", hide()), None, [facts, decide], queue=False)
    cancel.click(task.cancel, None, None, queue=False)
