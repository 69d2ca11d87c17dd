"""Past conversations: the list beside the pages, and what can be done with the one that is open."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape

import gradio as gr

from copilot.conversations import Conversation, Conversations, Feedback, Thumb
from gui.answers import Turn, told
from gui.parts import ago
from gui.theme import PICK, pane
from rlcore.config import ConfigError


def list_html(listed: Sequence[Conversation], chosen: str, searched: str, now: float) -> str:
    """The conversations, newest first or best match first; a click picks one."""
    if not listed:
        text = "No conversation has these words." if searched.strip() else "What you ask is kept here, on this machine."
        return f'<div class="talks-none">{text}</div>'
    rows = "".join(_row(one, chosen, now) for one in listed)
    return f'<div class="talks" role="group" aria-label="Conversations">{rows}</div>'


def _row(one: Conversation, chosen: str, now: float) -> str:
    current = "true" if one.id == chosen else "false"
    name = escape(one.title or "Untitled")
    excerpt = re.sub(r"\*\*(.+?)\*\*", r"<mark>\1</mark>", escape(one.excerpt))
    below = excerpt or f"{ago(now - one.changed)} · {one.turns} question{'' if one.turns == 1 else 's'}"
    return (f'<button type="button" class="talk" data-pick="{escape(one.id)}" aria-current="{current}" title="{name}">'
            f'<span class="talk-title">{name}</span><span class="talk-below">{below}</span></button>')


def listed(store: Conversations, searched: str, chosen: str) -> str:
    """The list as it is now: all conversations, or those that speak of what is searched."""
    return list_html(store.search(searched) if searched.strip() else store.recent(), chosen, searched, time.time())


def opened(store: Conversations, conversation: str) -> list[Turn]:
    """The turns of a conversation; none if it is gone, perhaps deleted in another window."""
    try:
        return [told(kept) for kept in store.turns(conversation)] if conversation else []
    except ConfigError:
        return []


def known(store: Conversations, conversation: str) -> Conversation | None:
    """A conversation as the list shows it; None if it is gone."""
    return next((one for one in store.recent(-1) if one.id == conversation), None)


def keep(store: Conversations, conversation: str, turn: Turn) -> tuple[str, Turn]:
    """Write down a turn that has an answer; the conversation that it is in now, and the turn with its id."""
    if turn.reply is None or turn.error:   # half an answer would come back as if it were whole
        return conversation, turn
    if not known(store, conversation):     # it is the first turn, or another window has deleted the rest
        conversation = store.create()
    return conversation, replace(turn, id=store.add(conversation, turn.question, turn.reply, turn.answerer))


def rate(store: Conversations, turns: Sequence[Turn], place: int, thumb: Thumb | None, note: str = "") -> list[Turn]:
    """The turns with what the reader thinks of one answer, which is written down.

    Raises:
        ConfigError: the answer was not kept, or has been deleted.
    """
    store.rate(turns[place].id, thumb, note.strip())
    feedback = Feedback(thumb, note.strip()) if thumb else None
    return [replace(turn, feedback=feedback) if at == place else turn for at, turn in enumerate(turns)]


def exported(store: Conversations, conversation: str) -> str:
    """A conversation as a file for the browser to save: its name and its text, in JSON."""
    one = known(store, conversation)
    name = re.sub(r"[^\w-]+", "-", one.title if one else "").strip("-").lower() or "conversation"
    return json.dumps({"name": f"{name}.md", "text": store.export(conversation)})


@dataclass
class Seat:
    """What a window shows: the conversation with its turns, and what its list is searched for.

    An answer that is being written looks here before it shows itself: the window may have turned away meanwhile.
    """

    conversation: str = ""
    said: list[Turn] = field(default_factory=list)
    moves: int = 0
    searched: str = ""
    answering: bool = False
    stayed: bool = False           # the window has not turned away since the last question was asked

    def move(self, conversation: str, said: list[Turn]) -> None:
        """Turn to another conversation, or to a new question in this one."""
        self.conversation, self.said, self.stayed = conversation, said, False
        self.moves += 1


@dataclass(frozen=True)
class Rail:
    """The part of the rail that lists conversations."""

    new: gr.Button
    search: gr.Textbox
    listing: gr.HTML


def build() -> Rail:
    """Lay it out; the chat page connects it."""
    with gr.Column(elem_id="rail-talks"):
        with gr.Row(elem_id="talks-head"):
            search = gr.Textbox(elem_id="talk-search", show_label=False, container=False, max_lines=1, scale=1,
                                min_width=60, placeholder="Search conversations")
            new = gr.Button("New", elem_id="new-chat", size="sm", scale=0, min_width=56)
        listing = pane("", "talk-list", PICK)
    return Rail(new, search, listing)
