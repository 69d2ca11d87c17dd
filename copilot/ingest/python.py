"""Python, definition by definition: its name as the heading, its docstring as prose, its code as a listing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from copilot.corpus import Document, Place
from copilot.ingest import text as plain
from copilot.ingest.text import decoded, fenced, name_of

_HASH = re.compile(r"^([ \t]*)(?=#)", re.MULTILINE)


@dataclass(frozen=True)
class _Definition:
    """A module, class, function or method. Functions within functions belong to the outer one."""

    name: str
    level: int                     # of its heading
    lines: range                   # from 0, with decorators and the comments above
    docstring: str
    told: range                    # the lines of the docstring


def load(raw: bytes, path: str) -> Document:
    """A Python file; one that does not parse is taken as plain text."""
    text, note = decoded(raw)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        return replace(plain.load(raw, path), meta={"note": f"no valid Python ({error}), taken as text"})
    lines = text.split("\n")
    owners: list[_Definition] = []
    for definition in _definitions(tree, lines, name_of(path), "", 1):     # outer ones first
        owners[definition.lines.start:definition.lines.stop] = [definition] * len(definition.lines)
    body, places = "", []
    for owner, run in groupby(range(len(lines)), key=lambda line: owners[line]):
        own = list(run)
        code = "\n".join(lines[line] for line in own if line not in owner.told)
        docstring = owner.docstring if own[0] == owner.lines.start else ""
        if code.strip() or docstring:
            places.append(Place(len(body), "line", own[0] + 1))
            body += f"{'#' * min(owner.level, 6)} {owner.name}\n\n{docstring}{fenced(code, 'python')}"
    return Document(path, name_of(path), body, {"note": note} if note else {}, tuple(places))


def _definitions(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str],
                 name: str, prefix: str, level: int) -> Iterator[_Definition]:
    """A node and the definitions in it."""
    yield _Definition(name, level, _lines(node, lines), *_docstring(node, lines))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            own = f"{prefix}{child.name}"
            yield from _definitions(child, lines, own, f"{own}.", level + 1)


def _lines(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> range:
    if isinstance(node, ast.Module):
        return range(len(lines))
    start = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return range(start, node.end_lineno or node.lineno)


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
               lines: list[str]) -> tuple[str, range]:
    """The docstring, its hashes no headings, and the lines that hold it alone."""
    text = ast.get_docstring(node)
    if not text:
        return "", range(0)
    said = node.body[0]
    first, last = said.lineno - 1, (said.end_lineno or said.lineno) - 1
    before = lines[first].encode()[:said.col_offset]       # the parser counts bytes
    behind = lines[last].encode()[said.end_col_offset:]
    alone = not (before + behind).strip()
    return _HASH.sub(r"\1\\", text) + "\n\n", range(first, last + 1) if alone else range(0)
