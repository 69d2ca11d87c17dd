"""Jupyter notebooks: cells of prose as they are, code and what it printed as listings. Pictures are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from copilot.corpus import Document, Place, page, visible
from copilot.ingest.text import Unreadable, decoded, fenced, name_of

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\[\d{1,2}(?:;\d{1,2})*m")


def load(raw: bytes, path: str) -> Document:
    """A notebook; its places are its cells, counted from 1.

    Raises:
        Unreadable: it is no notebook.
    """
    text, note = decoded(raw)
    try:
        notebook = json.loads(text)
        cells = notebook.get("cells", [])
        cells = cells or [cell for sheet in notebook.get("worksheets", []) for cell in sheet["cells"]]  # format 3
        language = str(notebook.get("metadata", {}).get("language_info", {}).get("name", "python"))
        parts = [_cell(cell, language) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"is no Jupyter notebook ({type(error).__name__}: {error})") from None
    whole = page(path, name_of(path), "", {"note": note} if note else {})
    places, start = [], 0
    for number, part in enumerate(parts, start=1):
        places.append(Place(start, "cell", number))
        start += len(part)
    body = "".join(parts)
    heading = re.search(r"^# +(.+?)[ #]*$", body, re.MULTILINE)
    return Document(path, heading.group(1) if heading else whole.title, body, whole.meta, tuple(places))


def _cell(cell: Mapping[str, Any], language: str) -> str:
    """One cell as Markdown, with a blank line behind it."""
    source = _joined(cell.get("source", cell.get("input", "")))
    if cell["cell_type"] == "markdown":
        body = page("", "", source, {}).text.strip("\n")
        return f"{body}\n\n" if body.strip() else ""
    if cell["cell_type"] == "heading":         # format 3
        return f"{'#' * int(cell.get('level', 1))} {visible(source)}\n\n"
    if cell["cell_type"] != "code":
        return fenced(visible(source), "")
    return fenced(visible(source), language) + "".join(
        f"Output:\n\n{fenced(visible(printed), 'text')}" for printed in _outputs(cell) if printed.strip())


def _outputs(cell: Mapping[str, Any]) -> Iterator[str]:
    """What a cell printed, showed as text, or failed with."""
    for output in cell.get("outputs", []):
        data = output.get("data", output)
        if output.get("output_type") in ("error", "pyerr"):
            yield _plain("\n".join(output.get("traceback", [])) or f"{output.get('ename')}: {output.get('evalue')}")
        elif text := data.get("text/plain", data.get("text", "")):
            yield _plain(_joined(text))


def _joined(lines: Any) -> str:
    return "".join(lines) if isinstance(lines, list) else str(lines)


def _plain(text: str) -> str:
    """Without colours, and of a progress bar only what it showed last."""
    return re.sub(r"[^\n]*\r(?!\n)", "", _ANSI.sub("", text))
