"""A growing reply for those who cannot take back what they have shown: a terminal, or a client on the network."""

from __future__ import annotations

from collections.abc import Iterator

from copilot.assistant import Reply
from copilot.llms.base import complete


def settled(replies: Iterator[Reply]) -> Iterator[tuple[str, Reply]]:
    """The text piece by piece with the reply so far; a piece is given when it will not change any more."""
    sent, reply = "", Reply("", (), False, True)
    for reply in replies:
        stable = reply.text if reply.done else reply.text[:complete(reply.text)]
        if stable.startswith(sent) and len(stable) > len(sent):
            yield stable[len(sent):], reply
            sent = stable
    yield ("" if sent == reply.text else f"\n\n{reply.text}"), reply
