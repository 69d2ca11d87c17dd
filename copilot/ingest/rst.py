"""reStructuredText as Markdown, line by line: a directive that nobody knows loses its name, never its text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from copilot.corpus import Document, page
from copilot.ingest.text import decoded, fenced, name_of

_RULE = re.compile(r"([^\w\s])\1{2,}\s*$")
_DIRECTIVE = re.compile(r"\.\. +(?:\|[^|]*\| +)?([\w:.+-]+?):: *(.*)$")
_TARGET = re.compile(r"\.\. +(?:_[^:]*:|\[[^\]]+\]|__)")
_OPTION = re.compile(r" *:[\w-]+:")
_CODE = {"code", "code-block", "sourcecode", "parsed-literal", "doctest", "testcode", "ipython", "prompt"}
_UNSEEN = {"raw", "meta", "only", "index", "highlight", "image", "toctree", "contents", "include", "currentmodule"}
_ROLES = (
    (re.compile(r":math:`([^`]+)`"), r"$\1$"),
    (re.compile(r":[\w:+.-]+:`([^`<]+?) *<[^`>]*>`"), r"\1"),
    (re.compile(r":[\w:+.-]+:`[~!]?([^`]+)`"), r"`\1`"),
    (re.compile(r"`([^`<]+?) *<(https?:[^`>]*)>`__?"), r"[\1](\2)"),
    (re.compile(r"(?<!`)`([^`<]+?)(?: *<[^`>]*>)?`__?"), r"\1"),
    (re.compile(r"``([^`]+)``"), r"`\1`"),
)


def load(raw: bytes, path: str) -> Document:
    """A reStructuredText file."""
    text, note = decoded(raw)
    return page(path, name_of(path), markdown(text), {"note": note} if note else {})


def markdown(text: str) -> str:
    """The text with Markdown's headings, fences, equations and code marks."""
    return "\n".join(_converted(text.expandtabs(8).split("\n"), []))


def _converted(lines: Sequence[str], levels: list[str]) -> list[str]:
    """The lines of one level of indentation; `levels` gathers the marks of headings, outermost first."""
    found: list[str] = []
    place = 0
    while place < len(lines):
        line = lines[place]
        if heading := _heading(lines, place, levels):
            title, used = heading
            found += ["", title, ""]
            place += used
        elif line.startswith(".. ") or line.rstrip() == "..":
            body, place = _indented(lines, place + 1)
            found += _directive(line, body, levels)
        elif line.rstrip().endswith("::") and not line.startswith(" "):
            body, place = _indented(lines, place + 1)
            found += [_inline(line.rstrip()[:-1]) if line.strip() != "::" else "", "", fenced(_dedented(body), "")]
        else:
            found.append(_inline(line))
            place += 1
    return found


def _heading(lines: Sequence[str], place: int, levels: list[str]) -> tuple[str, int] | None:
    """The heading that starts here, as Markdown, and how many lines it takes."""
    over = _RULE.match(lines[place])
    title = place + bool(over)
    under = _RULE.match(lines[title + 1]) if title + 1 < len(lines) else None
    if not under or not lines[title].strip() or (over and over.group(1) != under.group(1)):
        return None
    if _RULE.match(lines[title]) or (not over and lines[title].startswith(" ")):
        return None
    style = under.group(1) * (2 if over else 1)
    if style not in levels:
        levels.append(style)
    level = min(6, 1 + levels.index(style))
    return f"{'#' * level} {_inline(lines[title].strip())}", title - place + 2


def _directive(line: str, body: Sequence[str], levels: list[str]) -> list[str]:
    """A directive's text. A comment has none that a reader sees, and neither has what is raw."""
    match = _DIRECTIVE.match(line)
    if not match:
        return [line, *body] if _TARGET.match(line) else []
    name, argument = match.groups()
    start = next((place for place, row in enumerate(body) if not _OPTION.match(row)), len(body))
    content = _dedented(body[start:])
    if name in _UNSEEN:
        return []
    if name in _CODE:
        return ["", fenced(content, argument)]
    if name == "math":
        equation = "\n".join([argument, content]).strip()
        return ["", f"$$\n{equation}\n$$", ""]
    title = [f"**{name.capitalize()}:** {_inline(argument)}".rstrip(), ""]
    return ["", *title, *_converted(content.split("\n"), levels), ""]


def _indented(lines: Sequence[str], place: int) -> tuple[list[str], int]:
    """The indented lines from here on, and where they end."""
    end = place
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
        end += 1
    return list(lines[place:end]), end


def _dedented(lines: Sequence[str]) -> str:
    return textwrap.dedent("\n".join(lines)).strip("\n")


def _inline(line: str) -> str:
    for pattern, replacement in _ROLES:
        line = pattern.sub(replacement, line)
    return line
