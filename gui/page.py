"""The shell around the pages: the rail on the left with the way around, and the pages beside it."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from copilot.conversations import Conversations
from gui import answers, chat, documents, history, models, runs, train
from gui.jobs import Jobs, Task
from gui.parts import icon
from gui.service import Library, Places, Status
from gui.theme import pane, turns

_RAIL = f"""<nav class="rail" aria-label="Pages">
<div class="brand"><span class="brand-mark">{icon("mark")}</span><span>RL Copilot</span></div>
<button type="button" data-nav="chat" id="nav-chat">{icon("chat")}<span>Chat</span></button>
<button type="button" data-nav="documents" id="nav-documents">{icon("book")}<span>My documents</span></button>
<button type="button" data-nav="models" id="nav-models">{icon("models")}<span>Models</span></button>
<button type="button" data-nav="train" id="nav-train">{icon("train")}<span>Train</span></button>
<button type="button" data-nav="runs" id="nav-runs">{icon("runs")}<span>Runs</span></button>
</nav>"""
_FOOT = f"""<div class="rail-foot">
<button type="button" data-theme-toggle id="theme-toggle">{icon("theme")}<span>Light / dark</span></button>
<div class="private">{icon("shield")}<span>Offline. Nothing leaves this computer.</span></div>
</div>"""


def status_html(status: Status) -> str:
    """The state of the index, as the rail shows it."""
    words = {"opening": answers.preparing(status), "ready": "Index ready", "failed": "The index could not be opened"}
    bar = f'<div class="bar"><i style="width:{status.fraction:.0%}"></i></div>' if status.state == "opening" else ""
    said = words[status.state]
    more = status.state != "ready" and status.message not in said
    detail = f'<div class="index-detail">{escape(status.message)}</div>' if more else ""
    return (f'<div class="index-status"><div class="index-line"><span class="dot {status.state}"></span>'
            f"<span>{escape(said)}</span></div>{bar}{detail}</div>")


def build_app(library: Library, places: Places) -> gr.Blocks:
    """The whole interface on one page; `library` may still be opening."""
    store, reading, fetching = Conversations(places.conversations), Task(), Task()
    with gr.Blocks(title="RL Copilot", fill_height=True, fill_width=True, analytics_enabled=False) as app:
        beat = gr.Timer(1.0)
        with gr.Row(elem_id="shell"):
            with gr.Column(elem_id="rail"):
                pane(_RAIL, "rail-nav")
                talks = history.build()
                status = pane(status_html(library.status), "rail-status")
                pane(_FOOT, "rail-foot")
            with gr.Column(elem_id="stage"):
                with gr.Column(elem_id="page-chat", elem_classes="page"):
                    talk = chat.build(app, library, places, store, talks)
                with gr.Column(elem_id="page-documents", elem_classes="page"):
                    documents.build(library, places, reading)
                with gr.Column(elem_id="page-models", elem_classes="page"):
                    models.build(library, places, fetching)
                with gr.Column(elem_id="page-train", elem_classes="page"):
                    wizard = train.build(places.runs)
                with gr.Column(elem_id="page-runs", elem_classes="page"):
                    board = runs.build(app, places.runs, Jobs(), library)

        def follow(shown: str) -> tuple[Any, Any]:
            now = library.status
            html = status_html(now)
            waiting = gr.Timer(active=False) if now.state == "ready" else gr.skip()
            return (gr.skip() if html == shown else html), waiting

        def open_plan(seat: history.Seat) -> tuple[Any, ...]:
            plan = answers.plan_in(seat.said)
            return train.show(train.draft_of(plan)) if plan else tuple(gr.skip() for _ in wizard.shown)

        app.load(library.start, None, None, show_progress="hidden")     # the page comes first, then what it needs
        app.load(None, js="() => window.copilot.show(location.hash.slice(1))")
        beat.tick(follow, [status], [status, beat], show_progress="hidden")
        talk.open_plan.click(open_plan, [talk.seat], wizard.shown, **turns("train")).then(
            None, js="() => window.copilot.show('train')")
        board.why.to_chat.click(talk.begin, [talk.seat, board.why.turn], talk.shown,
                                **turns("chat")).then(None, js="() => window.copilot.show('chat')")
        wizard.launched.change(board.open_run, [board.look, wizard.launched], board.shown,
                               **turns("runs")).then(None, js="() => window.copilot.show('runs')")
    built: gr.Blocks = app
    return built
