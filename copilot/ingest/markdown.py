"""Markdown, with or without front matter."""

from __future__ import annotations

import re

from copilot.corpus import Document, front_matter, page
from copilot.ingest.text import decoded, name_of
from rlcore.config import ConfigError

_ALIASES = re.compile(r"---\n(?:(?!---).*\n)*?.*[\s\[{,]\*\w")


def load(raw: bytes, path: str) -> Document:
    """A Markdown file. What looks like front matter and is none is text."""
    text, note = decoded(raw)
    try:
        if _ALIASES.match(text):
            raise ConfigError("Front matter with YAML aliases can grow without limit; it is taken as text.")
        meta, body = front_matter(text, path)
    except ConfigError as error:
        meta, body, note = {}, text, note or str(error)
    return page(path, name_of(path), body, meta | ({"note": note} if note else {}))
