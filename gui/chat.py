"""Chat: ask, read a cited answer beside its sources, come back to it later, and open a request as a training plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from copilot.collection import collections
from copilot.conversations import Conversations, Thumb
from gui import history, picker
from gui.answers import MATH, Turn, answer, messages, offer, passage, reply_at, sources_html, thumbs
from gui.parts import icon, notice
from gui.service import Library, Places
from gui.theme import hide, pane, show
from rlcore.config import ConfigError

EXAMPLES = (
    "Why does PPO clip the ratio?",
    "What is the difference between terminated and truncated?",
    "My DQN's Q-values explode. What should I check first?",
    "Train PPO on CartPole with 8 envs",
)
WELCOME = """<div class="welcome">
<h2>Ask about reinforcement learning</h2>
<p>Every answer cites the passage it rests on: click a number to read it.<br>
Or describe a run in your own words and open it as a training plan.</p>
</div>"""

_KEYS = '<span class="keys"><kbd>/</kbd> write <kbd>Enter</kbd> send <kbd>Esc</kbd> stop</span>'
_SIDE_HEAD = (f'<div class="side-head">{icon("book")}<span>Sources</span><button type="button" class="side-close" '
              'data-close-sources aria-label="Close sources">×</button></div>')
_TALKS = (f'<button type="button" class="talks-toggle" data-toggle-talks aria-label="Conversations">'
          f'{icon("list")}</button>')
OPEN_SOURCE = """
element.addEventListener('click', (event) => {
  const row = event.target.closest('[data-source]');
  if (row) window.copilot.openSource(row.dataset.source);
});
window.copilot.openers['%s'] = (turn, number) => trigger('open', {turn, number});
"""
NEW = "New conversation"
_QUIET: dict[str, Any] = {"show_progress": "hidden"}
_THUMBS: dict[Any, Thumb] = {True: "up", "Like": "up", False: "down", "Dislike": "down"}
_REMEMBER = "(id) => { sessionStorage.setItem('copilot-conversation', id); }"
_RECALL = "() => [null, sessionStorage.getItem('copilot-conversation') ?? '']"
_SAVE = "(held) => { const file = JSON.parse(held); window.copilot.save(file.name, file.text); }"


@dataclass(frozen=True)
class ChatPage:
    """What other pages connect to: `begin` opens a conversation that starts with a turn, for the outputs `shown`."""

    turns: gr.State
    open_plan: gr.Button
    seat: gr.State
    shown: list[Any]
    begin: Callable[[history.Seat, Turn], tuple[Any, ...]]


@dataclass(frozen=True)
class _Bar:
    """What can be done with the open conversation."""

    row: gr.Row
    title: gr.HTML
    chip: gr.HTML
    rename: gr.Button
    export: gr.Button
    delete: gr.Button
    naming: gr.Row
    name: gr.Textbox
    save: gr.Button
    leave: gr.Button
    confirm: gr.Row
    really: gr.Button
    stay: gr.Button


@dataclass(frozen=True)
class _Talk:
    """The conversation itself, and where to go on with it."""

    log: gr.Chatbot
    note_row: gr.Row
    note: gr.Textbox
    add_note: gr.Button
    no_note: gr.Button
    offer_row: gr.Row
    offer: gr.HTML
    open_plan: gr.Button
    question: gr.Textbox
    send: gr.Button
    stop: gr.Button


@dataclass(frozen=True)
class _Menu:
    """Who answers, and which collections are searched."""

    menu: gr.Dropdown
    what: gr.Textbox
    use: gr.Button
    scope: gr.CheckboxGroup        # the collections
    said: gr.HTML


@dataclass(frozen=True)
class _Page:
    """The whole page, and what it works with."""

    library: Library
    places: Places
    store: Conversations
    rail: history.Rail
    turns: gr.State
    seat: gr.State
    current: gr.Textbox            # the id of the open conversation, which the window remembers
    bar: _Bar
    talk: _Talk
    menu: _Menu
    sources: gr.HTML
    passage: gr.Markdown

    @property
    def whole(self) -> list[Any]:
        """The components that show a conversation."""
        talk, bar = self.talk, self.bar
        return [talk.log, self.turns, self.current, self.rail.listing, bar.title, bar.row, bar.naming, bar.confirm,
                talk.note_row, talk.offer_row, talk.offer, self.sources, self.passage, talk.send, talk.stop]

    def listed(self, seat: history.Seat) -> str:
        """The conversations that a window lists now."""
        return history.listed(self.store, seat.searched, seat.conversation)

    def view(self, said: list[Turn], seat: history.Seat) -> tuple[Any, ...]:
        """A conversation that is not being answered, for `whole`."""
        one, what = history.known(self.store, seat.conversation), offer(said)
        return (gr.update(value=messages(said), feedback_value=thumbs(said)), said, seat.conversation,
                self.listed(seat), title_html(one.title if one else NEW),
                gr.update(elem_classes="" if one else "new"), hide(), hide(), hide(), gr.update(visible=bool(what)),
                what, _sources(said, len(said) - 1), "", show(), hide())

    def growing(self, said: list[Turn]) -> tuple[Any, ...]:
        """A conversation whose last answer is being written, for `whole`."""
        changed: dict[Any, Any] = {self.talk.log: messages(said), self.talk.send: hide(), self.talk.stop: show(),
                                   self.talk.offer_row: hide(), self.talk.note_row: hide()}
        return tuple(changed.get(part, gr.skip()) for part in self.whole)

    def opened(self, seat: history.Seat, conversation: str) -> tuple[Any, ...]:
        """Another conversation, or a new one if it is gone, for `whole`."""
        said = history.opened(self.store, conversation)
        seat.move(conversation if said else "")
        return self.view(said, seat)

    def settled(self, seat: history.Seat, shown: str) -> tuple[Any, ...]:
        """What a window should show after an answer, for `whole`: Gradio sends the answer's last values once more when
        it is over, perhaps over what was opened meanwhile."""
        if shown == seat.conversation:
            return tuple(gr.skip() for _ in self.whole)
        return self.turned(seat)

    def turned(self, seat: history.Seat) -> tuple[Any, ...]:
        """What a window has turned to, for `whole`."""
        return self.view(history.opened(self.store, seat.conversation), seat)


def title_html(title: str) -> str:
    """The open conversation's name above it."""
    return f"{_TALKS}<h2>{escape(title)}</h2>"


def build(app: gr.Blocks, library: Library, places: Places, store: Conversations, rail: history.Rail) -> ChatPage:
    """Lay the page out and connect it."""
    turns, seat = gr.State([]), gr.State(history.Seat())
    current = gr.Textbox("", elem_id="conversation", visible="hidden")
    with gr.Row(elem_id="chat-row"):
        with gr.Column(elem_id="chat-main"):
            bar, talk, menu = _bar(), _talk(), _menu()
        with gr.Column(elem_id="chat-side"):
            pane(_SIDE_HEAD, "sources-head")
            sources = pane(sources_html(None, 0), "sources", OPEN_SOURCE % "chat")
            shown = gr.Markdown(elem_id="passage", latex_delimiters=MATH)
    page = _Page(library, places, store, rail, turns, seat, current, bar, talk, menu, sources, shown)

    _connect_asking(page)
    _connect_history(app, page)
    _connect_feedback(page)
    _connect_menu(page)

    def open_source(said: list[Turn], event: gr.EventData) -> tuple[str, str]:
        place = int(event.turn)
        return _sources(said, place, event.number), passage(reply_at(said, place), event.number)

    def begin(seat: history.Seat, turn: Turn) -> tuple[Any, ...]:
        return page.opened(seat, history.keep(store, "", turn)[0])

    sources.open(open_source, inputs=[turns], outputs=[sources, shown], queue=False, trigger_mode="always_last",
                 **_QUIET)
    return ChatPage(turns, talk.open_plan, seat, page.whole, begin)


def _connect_asking(page: _Page) -> None:
    """Questions, and Stop."""
    talk = page.talk

    def respond(text: str, before: list[Turn], seat: history.Seat, names: list[str]) -> Iterator[tuple[Any, ...]]:
        if not text.strip():
            yield tuple(gr.skip() for _ in [*page.whole, talk.question])
            return
        seat.move(seat.conversation)
        conversation, moves = seat.conversation, seat.moves
        turn = Turn(text.strip())
        try:
            for turn in answer(text.strip(), before, page.library, names):
                if seat.moves != moves:    # the window shows another conversation by now
                    break
                yield (*page.growing([*before, turn]), "")
        finally:                           # also when the window was closed in the middle
            conversation, turn = history.keep(page.store, conversation, turn)
        if seat.moves == moves:
            seat.conversation = conversation
            yield (*page.view([*before, turn], seat), gr.skip())
        while seat.moves != moves:         # what was on its way may have overtaken what the window has turned to
            moves = seat.moves
            yield (*page.turned(seat), gr.skip())

    def example(before: list[Turn], seat: history.Seat, names: list[str], event: gr.SelectData,
                ) -> Iterator[tuple[Any, ...]]:
        yield from respond(event.value["text"], before, seat, names)

    given = [page.turns, page.seat, page.menu.scope]
    asked: dict[str, Any] = {"outputs": [*page.whole, talk.question], "concurrency_id": "llm", "concurrency_limit": 1,
                             **_QUIET}
    talk.stop.click(page.library.halt, None, None, queue=False)
    # What is sent before the answer before it is quite over is asked then.
    for asking in (gr.on([talk.question.submit, talk.send.click], respond, [talk.question, *given],
                         trigger_mode="always_last", **asked),
                   talk.log.example_select(example, given, **asked)):
        asking.then(page.settled, [page.seat, page.current], page.whole, **_QUIET)


def _connect_history(app: gr.Blocks, page: _Page) -> None:
    """Past conversations: open, search, begin anew, rename, export, delete."""
    store, rail, bar, seat, current = page.store, page.rail, page.bar, page.seat, page.current
    held = gr.Textbox("", elem_id="exported", visible="hidden")

    def arrive(seat: history.Seat, conversation: str) -> tuple[Any, ...]:
        """The conversation that the browser remembers, unless its reader was faster and has asked already."""
        return tuple(gr.skip() for _ in page.whole) if seat.moves else page.opened(seat, conversation)

    def pick(seat: history.Seat, event: gr.EventData) -> tuple[Any, ...]:
        return page.opened(seat, event.value)

    def search(seat: history.Seat, text: str) -> str:
        seat.searched = text
        return page.listed(seat)

    def delete(seat: history.Seat, conversation: str) -> tuple[Any, ...]:
        if history.known(store, conversation):     # another window may have been faster
            store.delete(conversation)
        return page.opened(seat, "")

    def rename(seat: history.Seat, conversation: str, name: str) -> tuple[Any, ...]:
        if name.strip():
            store.rename(conversation, name)
        return title_html(name_of(conversation)), hide(), page.listed(seat)

    def name_of(conversation: str) -> str:
        one = history.known(store, conversation)
        return one.title if one else NEW

    whole: dict[str, Any] = {"outputs": page.whole, **_QUIET}
    app.load(arrive, [seat, current], js=_RECALL, **whole)
    current.change(None, [current], None, js=_REMEMBER)
    rail.listing.pick(pick, [seat], trigger_mode="always_last", **whole)
    rail.new.click(lambda seat: page.opened(seat, ""), [seat], **whole).then(
        None, js="() => window.copilot.write()")
    rail.search.change(search, [seat, rail.search], [rail.listing], trigger_mode="always_last", **_QUIET)
    bar.rename.click(lambda now: (show(), name_of(now)), [current], [bar.naming, bar.name], **_QUIET).then(
        None, js="() => document.querySelector('#talk-name input, #talk-name textarea')?.select()")
    gr.on([bar.save.click, bar.name.submit], rename, [seat, current, bar.name],
          [bar.title, bar.naming, rail.listing], **_QUIET)
    bar.leave.click(hide, None, [bar.naming], queue=False)
    bar.export.click(lambda now: history.exported(store, now), [current], [held], **_QUIET).then(
        None, [held], None, js=_SAVE)
    bar.delete.click(show, None, [bar.confirm], queue=False)
    bar.stay.click(hide, None, [bar.confirm], queue=False)
    bar.really.click(delete, [seat, current], **whole)


def _connect_feedback(page: _Page) -> None:
    """What the reader thinks of an answer: a thumb, and a note if there is more to say."""
    talk, store, rated = page.talk, page.store, gr.State(None)

    def like(said: list[Turn], event: gr.LikeData) -> tuple[Any, ...]:
        at = event.index[0] if isinstance(event.index, list | tuple) else event.index
        place, thumb = at // 2, _THUMBS.get(event.liked)
        try:
            return history.rate(store, said, place, thumb), (place, thumb), gr.update(visible=bool(thumb)), ""
        except ConfigError as error:
            return said, None, hide(), notice(str(error), "bad")

    def write(said: list[Turn], place_and_thumb: tuple[int, Thumb], text: str) -> tuple[Any, ...]:
        return history.rate(store, said, *place_and_thumb, text), hide(), ""

    talk.log.like(like, [page.turns], [page.turns, rated, talk.note_row, page.menu.said], **_QUIET)
    gr.on([talk.add_note.click, talk.note.submit], write, [page.turns, rated, talk.note],
          [page.turns, talk.note_row, talk.note], **_QUIET)
    talk.no_note.click(hide, None, [talk.note_row], queue=False)


def _connect_menu(page: _Page) -> None:
    """Who answers, and from what."""
    library, menu, chip, known = page.library, page.menu, page.bar.chip, gr.State([])
    opened = gr.Button(visible="hidden", elem_id="opened-chat")     # pressed by the script when the page is shown

    def now() -> Any:
        return gr.update(choices=picker.options(library, page.places.models), value=picker.spec_in_use(library))

    def switch(choice: str) -> Iterator[tuple[Any, ...]]:
        if kind := picker.asked_kind(choice):
            asks = gr.update(visible=True, placeholder=picker.example(kind))
            yield gr.skip(), asks, show(), "", gr.skip()
            return
        for said in picker.choose(choice, library):
            yield gr.skip(), hide(), hide(), said, gr.skip()
        yield now(), hide(), hide(), gr.skip(), picker.chip_html(library)

    def named(choice: str, text: str) -> Iterator[tuple[Any, ...]]:
        spec = picker.line(picker.asked_kind(choice), text)
        for said in picker.choose(spec, library):
            yield gr.skip(), gr.skip(), gr.skip(), said, gr.skip()
        if picker.spec_in_use(library) == spec:
            yield now(), hide(), hide(), gr.skip(), picker.chip_html(library)

    def refresh(chosen: list[str], before: list[str]) -> tuple[Any, ...]:
        names = collections(page.places.documents)
        kept = [name for name in names if name in chosen or name not in before]    # a new one is searched at once
        return now(), picker.chip_html(library), gr.update(choices=names, value=kept, visible=bool(names)), names

    choosing = [menu.menu, menu.what, menu.use, menu.said, chip]
    opened.click(refresh, [menu.scope, known], [menu.menu, chip, menu.scope, known], **_QUIET)
    # The box is emptied here: Gradio sends a generator's last values twice, perhaps over what was typed meanwhile.
    menu.menu.input(None, None, [menu.what], js="() => ''")
    menu.menu.input(switch, [menu.menu], choosing, concurrency_id="llm", **_QUIET)
    gr.on([menu.use.click, menu.what.submit], named, [menu.menu, menu.what], choosing, concurrency_id="llm", **_QUIET)


def _sources(said: list[Turn], place: int, number: int = 0) -> str:
    writer = said[place].answerer if 0 <= place < len(said) else ""
    return sources_html(reply_at(said, place), place, number, writer)


def _bar() -> _Bar:
    """The line above a conversation, and the two questions that it may ask below."""
    def small(name: str, elem_id: str, kind: Any = "secondary") -> gr.Button:
        return gr.Button(name, elem_id=elem_id, variant=kind, size="sm", scale=0, min_width=70)

    with gr.Row(elem_id="chat-bar", elem_classes="new") as row:
        title = pane(title_html("New conversation"), "chat-title")
        rename, export = small("Rename", "talk-rename"), small("Export", "talk-export")
        delete = small("Delete", "talk-delete")
        chip = pane("", "answerer-chip")
    with gr.Row(elem_id="talk-naming", visible=False) as naming:
        name = gr.Textbox(elem_id="talk-name", show_label=False, container=False, max_lines=1, scale=1)
        save, leave = small("Save", "talk-save", "primary"), small("Cancel", "talk-leave")
    with gr.Row(elem_id="talk-confirm", visible=False) as confirm:
        pane("Delete this conversation? Nothing of it stays on this computer.", "talk-confirm-text")
        really, stay = small("Delete for good", "talk-delete-really", "stop"), small("Keep it", "talk-keep")
    return _Bar(row, title, chip, rename, export, delete, naming, name, save, leave, confirm, really, stay)


def _talk() -> _Talk:
    """The conversation, a note on an answer, the offer of a plan, and the line to write in."""
    log = gr.Chatbot(
        elem_id="chat-log", show_label=False, container=False, layout="bubble", height="100%",
        latex_delimiters=MATH, buttons=["copy"], placeholder=WELCOME, line_breaks=False,
        allow_tags=False, feedback_options=["Like", "Dislike"], examples=[{"text": text} for text in EXAMPLES],
    )
    with gr.Row(elem_id="chat-note", visible=False) as note_row:
        note = gr.Textbox(elem_id="note", show_label=False, container=False, max_lines=1, scale=1,
                          placeholder="What was good or wrong about it? (optional, stays on this computer)")
        add_note = gr.Button("Add note", elem_id="note-save", size="sm", scale=0, min_width=90)
        no_note = gr.Button("Close", elem_id="note-close", size="sm", scale=0, min_width=70)
    with gr.Row(elem_id="chat-offer", visible=False) as offer_row:
        offered = pane("", "chat-offer-text")
        open_plan = gr.Button("Open as training plan", variant="primary", elem_id="open-plan", scale=0, min_width=190)
    with gr.Row(elem_id="chat-dock"):
        question = gr.Textbox(
            elem_id="question", show_label=False, container=False, lines=1, max_lines=6, autofocus=True,
            placeholder="Ask a question, or describe a run: train SAC on Pendulum", scale=1,
        )
        send = gr.Button("Send", variant="primary", elem_id="send", scale=0, min_width=84)
        stop = gr.Button("Stop", variant="stop", elem_id="stop-answer", scale=0, min_width=84, visible=False)
    return _Talk(log, note_row, note, add_note, no_note, offer_row, offered, open_plan, question, send, stop)


def _menu() -> _Menu:
    """The line below the question."""
    with gr.Row(elem_id="chat-answerer"):
        menu = gr.Dropdown(
            [("Built-in answerer", "builtin")], value="builtin", elem_id="answerer", show_label=False,
            container=False, scale=0, min_width=220, filterable=False)
        what = gr.Textbox(elem_id="answerer-what", show_label=False, container=False, visible=False, scale=1,
                          max_lines=1)
        use = gr.Button("Use it", elem_id="answerer-use", scale=0, min_width=84, visible=False)
        scope = gr.CheckboxGroup([], value=[], elem_id="search-in", show_label=False, container=False, visible=False,
                                 scale=1, min_width=160)
        pane(_KEYS, "chat-keys")
    return _Menu(menu, what, use, scope, pane("", "answerer-note"))
