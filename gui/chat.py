"""Chat: ask, read a cited answer beside its sources, come back to it later, and open a request as a training plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from gui.theme import hide, pane, show, turns
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
_TURN, _LLM, _MENU = turns("chat"), turns("llm"), turns("menu")
_THUMBS: dict[Any, Thumb] = {True: "up", "Like": "up", False: "down", "Dislike": "down"}
_REMEMBER = "(id) => { sessionStorage.setItem('copilot-conversation', id); }"
_SENT = "(text, ...others) => { window.copilot.emptied(); return [text, ...others]; }"
_RECALL = "() => [null, sessionStorage.getItem('copilot-conversation') ?? '']"
_SAVE = "(held) => { const file = JSON.parse(held); window.copilot.save(file.name, file.text); }"


@dataclass(frozen=True)
class ChatPage:
    """What other pages connect to: `begin` opens a conversation that starts with a turn, for the outputs `shown`."""

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
        return [talk.log, self.current, self.rail.listing, bar.title, bar.row, bar.naming, bar.confirm,
                talk.note_row, talk.offer_row, talk.offer, self.sources, self.passage, talk.send, talk.stop]

    def listed(self, seat: history.Seat) -> str:
        """The conversations that a window lists now."""
        return history.listed(self.store, seat.searched, seat.conversation)

    def only(self, changed: Mapping[Any, Any]) -> tuple[Any, ...]:
        """These changes and no other, for `whole`."""
        return tuple(changed.get(part, gr.skip()) for part in self.whole)

    def calm(self, seat: history.Seat) -> dict[Any, Any]:
        """A conversation that is not being answered, but for what is open in it."""
        talk, bar, said = self.talk, self.bar, seat.said
        one, what = history.known(self.store, seat.conversation), offer(said)
        return {talk.log: gr.update(value=messages(said), feedback_value=thumbs(said)),
                self.current: seat.conversation, self.rail.listing: self.listed(seat),
                bar.title: title_html(one.title if one else NEW), bar.row: gr.update(elem_classes="" if one else "new"),
                talk.offer_row: gr.update(visible=bool(what)), talk.offer: what, talk.send: show(), talk.stop: hide()}

    def opened(self, seat: history.Seat, conversation: str) -> tuple[Any, ...]:
        """Another conversation, or a new one if it is gone, for `whole`."""
        said = history.opened(self.store, conversation)
        seat.move(conversation if said else "", said)
        closed = dict.fromkeys([self.bar.naming, self.bar.confirm, self.talk.note_row], hide())
        return self.only({**self.calm(seat), **closed, **self.cited(seat)})

    def growing(self, seat: history.Seat) -> dict[Any, Any]:
        """A conversation whose last answer is being written."""
        talk = self.talk
        return {talk.log: messages(seat.said), talk.send: hide(), talk.stop: show(), talk.offer_row: hide()}

    def cited(self, seat: history.Seat) -> dict[Any, Any]:
        """What the last answer rests on; none of it is open."""
        return {self.sources: _sources(seat.said, len(seat.said) - 1), self.passage: ""}

    def settled(self, seat: history.Seat) -> tuple[Any, ...]:
        """What a window shows once an answer is over, for `whole`.

        It is no part of the answer: Gradio sends an answer's last values once more at its end, perhaps over what was
        opened, typed or turned to meanwhile. So an answer ends with nothing but its text, and this comes after it.
        """
        if seat.answering:                 # the next one has begun already
            return self.only({})
        return self.only(self.calm(seat) if seat.stayed else {**self.calm(seat), **self.cited(seat)})


def title_html(title: str) -> str:
    """The open conversation's name above it."""
    return f"{_TALKS}<h2>{escape(title)}</h2>"


def build(app: gr.Blocks, library: Library, places: Places, store: Conversations, rail: history.Rail) -> ChatPage:
    """Lay the page out and connect it."""
    seat = gr.State(history.Seat())
    current = gr.Textbox("", elem_id="conversation", visible="hidden")
    with gr.Row(elem_id="chat-row"):
        with gr.Column(elem_id="chat-main"):
            bar, talk, menu = _bar(), _talk(), _menu()
        with gr.Column(elem_id="chat-side"):
            pane(_SIDE_HEAD, "sources-head")
            sources = pane(sources_html(None, 0), "sources", OPEN_SOURCE % "chat")
            shown = gr.Markdown(elem_id="passage", latex_delimiters=MATH)
    page = _Page(library, places, store, rail, seat, current, bar, talk, menu, sources, shown)

    _connect_asking(page)
    _connect_history(app, page)
    _connect_feedback(page)
    _connect_menu(page)

    def open_source(seat: history.Seat, event: gr.EventData) -> tuple[str, str]:
        place = int(event.turn)
        return _sources(seat.said, place, event.number), passage(reply_at(seat.said, place), event.number)

    def begin(seat: history.Seat, turn: Turn) -> tuple[Any, ...]:
        return page.opened(seat, history.keep(store, "", turn)[0])

    sources.open(open_source, inputs=[seat], outputs=[sources, shown], queue=False, trigger_mode="always_last",
                 **_QUIET)
    return ChatPage(talk.open_plan, seat, page.whole, begin)


def _connect_asking(page: _Page) -> None:
    """Questions, and Stop."""
    talk = page.talk

    def respond(text: str, seat: history.Seat, names: list[str]) -> Iterator[tuple[Any, ...]]:
        if not text.strip():
            yield page.only({})
            return
        question, before, conversation = text.strip(), seat.said, seat.conversation
        seat.move(conversation, before)
        turn, moves, cited, seat.answering = Turn(question), seat.moves, False, True
        first: dict[Any, Any] = {talk.note_row: hide()}            # its note would seem to be on the new answer
        try:
            for turn in answer(question, before, page.library, names):
                if seat.moves != moves:    # the window shows another conversation by now
                    break
                seat.said = [*seat.said[:len(before)], turn]     # those before may have been rated meanwhile
                if turn.reply and not cited:
                    cited = True
                    yield page.only(page.cited(seat))
                yield page.only({**page.growing(seat), **first})
                first = {}
        finally:                           # also when the window was closed in the middle
            seat.answering = False
            conversation, turn = history.keep(page.store, conversation, turn)
            if seat.moves == moves:
                seat.conversation, seat.stayed = conversation, True
                seat.said = [*seat.said[:len(before)], turn]

    def example(seat: history.Seat, names: list[str], event: gr.SelectData) -> Iterator[tuple[Any, ...]]:
        yield from respond(event.value["text"], seat, names)

    given = [page.seat, page.menu.scope]
    asked: dict[str, Any] = {"outputs": page.whole, **_LLM}
    talk.stop.click(page.library.halt, None, None, queue=False)
    # What is sent before the answer before it is quite over is asked then.
    for asking in (gr.on([talk.question.submit, talk.send.click], respond, [talk.question, *given], js=_SENT,
                         trigger_mode="always_last", **asked),
                   talk.log.example_select(example, given, **asked)):
        asking.then(page.settled, [page.seat], page.whole, **_TURN)


def _connect_history(app: gr.Blocks, page: _Page) -> None:
    """Past conversations: open, search, begin anew, rename, export, delete."""
    store, rail, bar, seat, current = page.store, page.rail, page.bar, page.seat, page.current
    held = gr.Textbox("", elem_id="exported", visible="hidden")

    def arrive(seat: history.Seat, conversation: str) -> tuple[Any, ...]:
        """The conversation that the browser remembers, unless its reader was faster and has asked already."""
        return page.only({}) if seat.moves else page.opened(seat, conversation)

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

    whole: dict[str, Any] = {"outputs": page.whole, **_TURN}
    app.load(arrive, [seat, current], js=_RECALL, **whole)
    current.change(None, [current], None, js=_REMEMBER)
    rail.listing.pick(pick, [seat], trigger_mode="always_last", **whole)
    rail.new.click(lambda seat: page.opened(seat, ""), [seat], **whole).then(
        None, js="() => window.copilot.write()")
    rail.search.change(search, [seat, rail.search], [rail.listing], trigger_mode="always_last", **_TURN)
    bar.rename.click(lambda now: (show(), name_of(now)), [current], [bar.naming, bar.name], **_QUIET).then(
        None, js="() => document.querySelector('#talk-name input, #talk-name textarea')?.select()")
    gr.on([bar.save.click, bar.name.submit], rename, [seat, current, bar.name],
          [bar.title, bar.naming, rail.listing], **_TURN)
    bar.leave.click(hide, None, [bar.naming], queue=False)
    bar.export.click(lambda now: history.exported(store, now), [current], [held], **_QUIET).then(
        None, [held], None, js=_SAVE)
    bar.delete.click(show, None, [bar.confirm], queue=False)
    bar.stay.click(hide, None, [bar.confirm], queue=False)
    bar.really.click(delete, [seat, current], **whole)


def _connect_feedback(page: _Page) -> None:
    """What the reader thinks of an answer: a thumb, and a note if there is more to say."""
    talk, store, rated = page.talk, page.store, gr.State(None)

    def like(seat: history.Seat, event: gr.LikeData) -> tuple[Any, ...]:
        at = event.index[0] if isinstance(event.index, list | tuple) else event.index
        place, thumb = at // 2, _THUMBS.get(event.liked)
        try:
            seat.said = history.rate(store, seat.said, place, thumb)
        except ConfigError as error:
            return None, hide(), notice(str(error), "bad")
        return (place, thumb), gr.update(visible=bool(thumb)), ""

    def write(seat: history.Seat, place_and_thumb: tuple[int, Thumb], text: str) -> tuple[Any, ...]:
        seat.said = history.rate(store, seat.said, *place_and_thumb, text)
        return hide(), ""

    talk.log.like(like, [page.seat], [rated, talk.note_row, page.menu.said], **_TURN)
    gr.on([talk.add_note.click, talk.note.submit], write, [page.seat, rated, talk.note], [talk.note_row, talk.note],
          **_TURN)
    talk.no_note.click(hide, None, [talk.note_row], queue=False)


def _connect_menu(page: _Page) -> None:
    """Who answers, and from what."""
    library, menu, chip, known = page.library, page.menu, page.bar.chip, gr.State([])
    opened = gr.Button(visible="hidden", elem_id="opened-chat")     # pressed by the script when the page is shown

    def now() -> tuple[Any, str]:
        options = picker.options(library, page.places.models)
        return gr.update(choices=options, value=picker.spec_in_use(library)), picker.chip_html(library)

    def ask_for(choice: str) -> tuple[Any, Any, str]:
        kind = picker.asked_kind(choice)
        asked = gr.update(visible=True, placeholder=picker.example(kind)) if kind else hide()
        return asked, gr.update(visible=bool(kind)), ""

    def switch(choice: str) -> Iterator[str]:
        yield from [""] if picker.asked_kind(choice) else picker.choose(choice, library)

    def switched(choice: str) -> tuple[Any, Any]:
        return (gr.skip(), gr.skip()) if picker.asked_kind(choice) else now()

    def named(choice: str, text: str) -> Iterator[str]:
        yield from picker.choose(picker.line(picker.asked_kind(choice), text), library)

    def used(choice: str, text: str) -> tuple[Any, ...]:
        if picker.spec_in_use(library) == picker.line(picker.asked_kind(choice), text):
            return *now(), hide(), hide()
        return tuple(gr.skip() for _ in range(4))

    def refresh(chosen: list[str], before: list[str]) -> tuple[Any, ...]:
        names = collections(page.places.documents)
        kept = [name for name in names if name in chosen or name not in before]    # a new one is searched at once
        return *now(), gr.update(choices=names, value=kept, visible=bool(names)), names

    opened.click(refresh, [menu.scope, known], [menu.menu, chip, menu.scope, known], **_MENU)
    said: dict[str, Any] = {"outputs": [menu.said], **_LLM}
    # The box is emptied in the browser, where nothing that is typed meanwhile can come in between.
    menu.menu.input(None, None, [menu.what], js="() => ''")
    menu.menu.input(ask_for, [menu.menu], [menu.what, menu.use, menu.said], **_MENU).then(
        switch, [menu.menu], **said).then(switched, [menu.menu], [menu.menu, chip], **_MENU)
    gr.on([menu.use.click, menu.what.submit], named, [menu.menu, menu.what], **said).then(
        used, [menu.menu, menu.what], [menu.menu, chip, menu.what, menu.use], **_MENU)


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
