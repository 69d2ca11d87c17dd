"""PDF, page by page, without the text that a page does not show. Pictures and scans have no text."""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from io import BytesIO
from typing import Any

from copilot.corpus import Document, Place, visible
from copilot.ingest.ink import shown
from copilot.ingest.text import Unreadable, name_of

MAX_PAGES = 2000

_HYPHEN = re.compile(r"(?<=[a-z]{3})-\n(?=[a-z]{2})")


def load(raw: bytes, path: str) -> Document:
    """A PDF; its places are its pages, with the titles of its outline above them.

    Raises:
        Unreadable: it is encrypted, damaged, too long, or has no text.
    """
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)      # what matters is said in the reason
    if b"%PDF-" not in raw[:1024]:
        raise Unreadable("is no PDF, whatever its name says")
    try:
        reader = PdfReader(BytesIO(raw), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("is encrypted; save it without a password")
        count = len(reader.pages)
        if count > MAX_PAGES:
            raise Unreadable(f"has {count:,} pages; at most {MAX_PAGES:,} are taken, so split it")
        return _document(reader, path)
    except (PyPdfError, ImportError, ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
        raise Unreadable(f"is a damaged PDF ({type(error).__name__}: {error})") from None


def _document(reader: Any, path: str) -> Document:
    from pypdf.errors import LimitReachedError

    starts, titles = _outline(reader)
    text, places, lost, burst, hidden = "", [], 0, 0, 0
    for number, page in enumerate(reader.pages, start=1):
        try:
            seen, whole = shown(page)
            own = _HYPHEN.sub("", visible(seen)).strip()
            hidden += len("".join(whole.split())) - len("".join(seen.split()))
        except Exception as error:     # pypdf meets damage with whatever error comes first
            logging.getLogger(__name__).info("page %d of %s: %s", number, path, error)
            own, lost, burst = "", lost + 1, burst + isinstance(error, LimitReachedError)
        above = bisect_right(starts, number) - 1
        places.append(Place(len(text), "page", number, titles[above] if above >= 0 else ()))
        text += f"{own}\n\n" if own else ""
    left_out = f"left out {hidden:,} characters that its pages do not show" if hidden else ""
    if not text:
        raise Unreadable("unpacks to far more than pages of text hold, so it is not read" if burst else
                         f"has no text that its pages show; {left_out}" if hidden else
                         "is a damaged PDF (none of its pages could be read)" if lost else
                         "has no text: it holds pictures only. Recognise its text first (OCR)")
    note = "; ".join(filter(None, [f"{lost} of its {len(places)} pages could not be read" if lost else "", left_out]))
    title = str((reader.metadata or {}).get("/Title") or "").strip()
    return Document(path, visible(title) or name_of(path), text, {"note": note} if note else {}, tuple(places), True)


def _outline(reader: Any) -> tuple[list[int], list[tuple[str, ...]]]:
    """The pages on which the outline's entries start, in order, and the titles there, outermost first."""
    found: list[tuple[int, tuple[str, ...]]] = []

    def walk(entries: Any, above: tuple[str, ...]) -> None:
        last = above
        for entry in entries:
            if isinstance(entry, list):
                walk(entry, last)
            else:
                last = (*above, visible(str(entry.title)).strip())
                found.append(((reader.get_destination_page_number(entry) or 0) + 1, last))

    try:
        walk(reader.outline, ())
    except Exception as error:         # an outline is a help, and often damaged
        logging.getLogger(__name__).info("outline: %s", error)
    found.sort(key=lambda one: one[0])
    return [page for page, _ in found], [trail for _, trail in found]
