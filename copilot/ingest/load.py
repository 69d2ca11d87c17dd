"""One file into one page: which loader reads which kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from copilot.corpus import Document
from copilot.ingest import html, latex, markdown, notebook, pdf, python, rst, text
from copilot.ingest.text import Unreadable

MAX_CHARACTERS = 20_000_000        # of the text in one file

LOADERS: dict[str, Callable[[bytes, str], Document]] = {
    ".md": markdown.load, ".markdown": markdown.load,
    ".rst": rst.load,
    ".txt": text.load, ".text": text.load,
    ".html": html.load, ".htm": html.load, ".xhtml": html.load,
    ".pdf": pdf.load,
    ".ipynb": notebook.load,
    ".tex": latex.load,
    ".py": python.load, ".pyi": python.load,
}


def load(path: Path) -> Document:
    """The page that a file is.

    Raises:
        Unreadable: it cannot be taken; says why.
    """
    try:
        document = LOADERS[path.suffix.lower()](path.read_bytes(), path.as_posix())
    except OSError as error:
        raise Unreadable(f"cannot be opened ({error.strerror})") from None
    except RecursionError:
        raise Unreadable("is nested too deeply") from None
    if not document.text.strip():
        raise Unreadable("is empty")
    if len(document.text) > MAX_CHARACTERS:
        raise Unreadable(f"has {len(document.text):,} characters; at most {MAX_CHARACTERS:,} are taken, so split it")
    return document
