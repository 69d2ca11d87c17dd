"""The corpus on disk: Markdown files with YAML front matter, read into plain documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlcore.config import ConfigError

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
# What a reader of the rendered page does not see must not steer the copilot either: signs without width or of
# direction, tags, control characters; in Markdown also comments, scripts and hidden elements.
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
                     r"\U000e0000-\U000e0fff]")
_HIDDEN = re.compile(
    r"(```.*?```|~~~.*?~~~|`[^`\n]*`)|<!--.*?-->|<(script|style|template)\b.*?</\2\s*>|"
    r"<(\w+)\b(?=[^<>]*(?:display\s*:\s*none|visibility\s*:\s*hidden|\shidden\b))[^<>]*>.*?</\3\s*>",
    re.DOTALL | re.IGNORECASE)

# Links within the corpus lead nowhere in an answer, and an image could call a server: the words stay.
_LINK = re.compile(r"(```.*?```|`[^`\n]*`)|!\[[^\]]*\]\([^)]*\)|\[([^\]]+)\]\((?!https?:)[^)\s]+\)", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """Where in its file a page's text comes from, from one character on: page 3, cell 4, line 12."""

    start: int
    unit: str                      # page, cell or line
    number: int
    trail: tuple[str, ...] = ()    # the headings above it, where the file knows them apart from its text


@dataclass(frozen=True)
class Document:
    """One page of the corpus, or one file of somebody's own."""

    path: str                      # relative to the corpus, with forward slashes; of an own file the whole path
    title: str
    text: str                      # the Markdown after the front matter
    meta: Mapping[str, Any]        # the front matter
    places: tuple[Place, ...] = ()     # in order, the first from character 0; empty where the text is the file
    is_plain: bool = False         # no Markdown: its signs mean nothing

    @property
    def names(self) -> tuple[str, ...]:
        """What the page's subject is also called, from `aliases`."""
        return strings(self.meta.get("aliases"))

    @property
    def subjects(self) -> tuple[str, ...]:
        """Other words under which the page is looked for."""
        return self.names + strings(self.meta.get("topics"))

    @property
    def url(self) -> str:
        """Where the paper behind the page is; empty for other pages."""
        arxiv = str(self.meta.get("arxiv") or "")
        return str(self.meta.get("url") or (f"https://arxiv.org/abs/{arxiv}" if arxiv else ""))


def strings(value: Any) -> tuple[str, ...]:
    """A front matter value as a tuple of strings: a list, one value, or nothing."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(str(item) for item in items if str(item).strip())


def label(key: str) -> str:
    """`action_spaces` as people read it."""
    return {"arxiv": "arXiv", "on_off_policy": "On- or off-policy"}.get(key, key.replace("_", " ").capitalize())


def shown(value: Any) -> str:
    """A front matter value as people read it."""
    if isinstance(value, Mapping):
        return "; ".join(f"`{key}` {shown(item)}" for key, item in value.items())
    return ", ".join(strings(value))


def load(root: Path) -> list[Document]:
    """All pages below `root`, sorted by path. README.md files speak to contributors and are left out.

    Raises:
        ConfigError: the folder is missing or empty, or a file cannot be read.
    """
    if not root.is_dir():
        raise ConfigError(f"The corpus folder '{root}' does not exist. Give the folder that holds docs/ and papers/.")
    paths = sorted(path for path in root.rglob("*.md") if path.name != "README.md")
    if not paths:
        raise ConfigError(f"The corpus folder '{root}' has no Markdown file. Give the folder with docs/ and papers/.")
    return [read(path, root) for path in paths]


def read(path: Path, root: Path) -> Document:
    """One page.

    Raises:
        ConfigError: not UTF-8, or the front matter is not a YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8.") from None
    meta, body = front_matter(text, str(path))
    return page(path.relative_to(root).as_posix(), path.stem.replace("-", " "), body, meta)


def front_matter(text: str, path: str) -> tuple[dict[str, Any], str]:
    """The front matter of a Markdown text, and the rest.

    Raises:
        ConfigError: the front matter is not a YAML mapping.
    """
    front = _FRONT_MATTER.match(text)
    try:
        meta = (yaml.safe_load(front.group(1)) or {}) if front else {}
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" near line {where.line + 2}" if where else ""
        raise ConfigError(f"The front matter of {path} is no YAML{line}. Quote values that contain a colon.") from None
    if not isinstance(meta, dict):
        raise ConfigError(f"The front matter of {path} is a {type(meta).__name__}; it must be 'key: value' lines.")
    return meta, text[front.end():] if front else text


def page(path: str, name: str, markdown: str, meta: Mapping[str, Any]) -> Document:
    """A page of Markdown without what its readers do not see; called `name` if it has no title."""
    body = _HIDDEN.sub(lambda match: match.group(1) or "", visible(markdown))
    heading = re.search(r"^# +(.+?)[ #]*$", body, re.MULTILINE)
    body = _LINK.sub(lambda match: match.group(1) or match.group(2) or "", body)
    return Document(path, str(meta.get("title") or (heading.group(1) if heading else name)), body, meta)


def visible(text: str) -> str:
    """The text without the characters that nobody sees, its lines ended by `\\n`."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
