"""Small pieces of HTML and of wording that several pages share. Everything that is shown is escaped here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

# State of a run → what a person reads. The colour comes from the class of the same name in style.css.
STATES: Mapping[str, str] = {
    "starting": "Starting",
    "running": "Running",
    "stopping": "Stopping",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
LIVE = frozenset({"starting", "running", "stopping"})

# Outlines on a 24 × 24 grid, drawn with the current text colour.
_ICONS: Mapping[str, str] = {
    "chat": '<path d="M4 5h16v11H9l-5 4z"/>',
    "train": '<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>',
    "runs": '<path d="M4 4v16h16"/><path d="M7 15l4-5 3 3 5-7"/>',
    "theme": '<circle cx="12" cy="12" r="8"/><path d="M12 4v16a8 8 0 0 0 0-16z" fill="currentColor"/>',
    "shield": '<path d="M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6z"/>',
    "mark": '<path d="M5 18V9a4 4 0 0 1 8 0v6a3 3 0 0 0 6 0V6"/><circle cx="19" cy="5" r="1.6" fill="currentColor"/>',
    "book": '<path d="M5 4h10a4 4 0 0 1 4 4v12H8a3 3 0 0 1-3-3z"/><path d="M5 17a3 3 0 0 1 3-3h11"/>',
    "list": '<path d="M4 7h16M4 12h16M4 17h10"/>',
    "models": '<rect x="6" y="6" width="12" height="12" rx="2"/>'
              '<path d="M9 2v4M15 2v4M9 18v4M15 18v4M2 9h4M2 15h4M18 9h4M18 15h4"/>',
    "plan": '<path d="M9 6h11M9 12h11M9 18h11"/><path d="M3.5 6l1 1 2-2M3.5 12l1 1 2-2M3.5 18l1 1 2-2"/>',
}


@dataclass(frozen=True)
class Card:
    """One choice in a group of cards."""

    value: str
    title: str
    text: str = ""
    tags: tuple[str, ...] = ()
    refusal: str = ""              # why it cannot be chosen; empty if it can


def page_head(title: str, text: str) -> str:
    """The heading of a page and one sentence below it."""
    return f'<header class="page-head"><h1>{escape(title)}</h1><p>{escape(text)}</p></header>'


def icon(name: str) -> str:
    """An inline icon, invisible to screen readers."""
    return f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{_ICONS[name]}</svg>'


def tag(text: str) -> str:
    """A small label."""
    return f'<span class="tag">{escape(text)}</span>'


def badge(state: str) -> str:
    """The state of a run, as a coloured word."""
    return f'<span class="badge {escape(state)}">{escape(STATES.get(state, state))}</span>'


def cards(choices: Iterable[Card], chosen: str, label: str) -> str:
    """A group of cards of which one is chosen; a click triggers `pick` with its value."""
    shown = "".join(_card(choice, chosen) for choice in choices)
    return f'<div class="cards" role="group" aria-label="{escape(label)}">{shown}</div>'


def _card(card: Card, chosen: str) -> str:
    pressed = "true" if card.value == chosen else "false"
    disabled = "disabled" if card.refusal else ""
    tags = "".join(tag(text) for text in card.tags)
    text = f'<span class="card-text">{escape(card.text)}</span>' if card.text else ""
    note = f'<span class="card-refusal">{escape(card.refusal)}</span>' if card.refusal else ""
    return (f'<button type="button" class="card" data-pick="{escape(card.value)}" aria-pressed="{pressed}" {disabled}>'
            f'<span class="card-title">{escape(card.title)}</span>'
            f'{text}<span class="card-tags">{tags}</span>{note}</button>')


def notice(text: str, kind: str = "info", title: str = "") -> str:
    """A sentence that the reader must see; kind is info, good, warn or bad. Empty text gives nothing."""
    if not text:
        return ""
    head = f"<strong>{escape(title)}</strong> " if title else ""
    role = "alert" if kind == "bad" else "status"
    return f'<div class="notice {kind}" role="{role}">{head}{escape(text)}</div>'


def empty(title: str, text: str) -> str:
    """What a page shows when it has nothing to show: what this place is and what to do next."""
    return f'<div class="empty"><h3>{escape(title)}</h3><p>{escape(text)}</p></div>'


def count(value: float) -> str:
    """A whole number with thin groups: 100 000 reads `100,000`."""
    return f"{round(value):,}"


def short(value: float) -> str:
    """A number in about four characters, for axes and tiles: 0.5, 475, −110, 12k, 1.5M, 3e-04."""
    if not math.isfinite(value):
        return "–"
    sign, size = "−" if value < 0 else "", abs(value)
    for least, scale, suffix in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= least:
            return f"{sign}{size / scale:.3g}{suffix}"
    return f"{sign}{size:.0e}" if size and size < 1e-3 else f"{sign}{size:.4g}"


def duration(seconds: float) -> str:
    """A span of time in its two largest units: `42 s`, `3 min 10 s`, `2 h 5 min`, `4 d 3 h`."""
    if not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    for size, unit, below, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def ago(seconds: float) -> str:
    """How long ago, in one unit: `just now`, `5 min ago`, `3 h ago`, `2 d ago`."""
    if seconds < 45:
        return "just now"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "1 min ago"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns: a name and its value."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'
