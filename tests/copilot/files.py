"""Files of every kind that can be taken in, made by hand."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any


def pdf(pages: Sequence[str], title: str = "", outline: Sequence[tuple[str, int]] = (), stream: bytes | None = None,
        box: str = "0 0 600 800") -> bytes:
    """A PDF with these pages of text. `stream` replaces the content of each; the outline names pages from 0."""
    first = 4 + len(outline)
    kids = " ".join(f"{first + 2 * place} 0 R" for place in range(len(pages)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {'/Outlines 4 0 R' if outline else ''} >>".encode(),
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    if outline:
        first += 1
        kids = " ".join(f"{first + 2 * place} 0 R" for place in range(len(pages)))
        objects[1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode()
        objects.append(f"<< /Type /Outlines /First 5 0 R /Last {4 + len(outline)} 0 R >>".encode())
    for place, (name, page) in enumerate(outline):
        following = f"/Next {6 + place} 0 R" if place + 1 < len(outline) else ""
        objects.append(f"<< /Title ({name}) /Parent 4 0 R {following} /Dest [{first + 2 * page} 0 R /Fit] >>".encode())
    for place, text in enumerate(pages):
        lines = "".join(f"({line}) Tj T*\n" for line in text.split("\n"))
        content = f"BT /F1 12 Tf 14 TL 50 750 Td\n{lines}ET".encode("latin-1") if stream is None else stream
        packed = zlib.compress(content)
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents {first + 2 * place + 1} 0 R "
                       "/Resources << /Font << /F1 3 0 R >> >> >>".encode())
        objects.append(f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream")
    objects.append(f"<< /Title ({title}) >>".encode())
    written, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(written))
        written += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    return written + (f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} "
                      f"/Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{len(written)}\n%%EOF\n").encode()


def notebook(*cells: dict[str, Any]) -> bytes:
    """A Jupyter notebook of these cells."""
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": list(outputs), "metadata": {}}


def prose(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, "metadata": {}}
