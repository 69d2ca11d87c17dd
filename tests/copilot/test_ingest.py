"""Files into pages: all that a reader sees is in a passage, nothing that he does not see is."""

import random
import re
from itertools import pairwise
from pathlib import Path

import pytest

from copilot.chunk import split, tokens
from copilot.corpus import Document
from copilot.ingest.load import LOADERS, load
from copilot.ingest.text import Unreadable
from copilot.ingest.walk import walk
from tests.copilot.files import code, notebook, pdf, prose


def read(folder: Path, name: str, raw: bytes | str) -> Document:
    path = folder / name
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return load(path)


def headings(document: Document) -> list[tuple[str, ...]]:
    return [chunk.heading_path for chunk in split(document)]


def told(document: Document) -> str:
    return "\n".join(chunk.text for chunk in split(document))


MARKDOWN = """---
title: Notes
---
# Notes

Seen one. <!-- SECRET --> Seen\u200b two. <span style="display: none">SECRET</span><script>SECRET()</script>

## Part

[words](other.md) and `<!-- shown -->`.
"""
RST = """
=====
Notes
=====

Seen one, :math:`x^2`, :ref:`seen two <target>`::

    literal = 1

.. SECRET comment

   SECRET, too

Part
----

.. note:: Seen three

   .. code-block:: python

      x = 1

.. raw:: html

   <b>SECRET</b>

.. math::

   a = b
"""
HTML = """<html><head><title>Notes</title><style>.gone, #off {display:none} SECRET</style><script>SECRET</script></head>
<body><h1>Notes</h1><p>Seen one<p>Seen <b>tw</b>o &amp; three<!-- SECRET --><div style="visibility:hidden">SECRET</div>
<i class="x gone">SECRET</i><i id=off>SECRET</i><p hidden>SECRET</p><noscript>SECRET</noscript><h2>Part</h2>
<ul><li>first<li>second <code>f(x)</code></ul><table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>
<pre>x = 1
y = 2</pre><textarea>SECRET</textarea></body></html>"""
LATEX = r"""\documentclass{article}
\newcommand{\SECRET}{x}
\title{Notes}
\begin{document}
\section{Notes}
Seen one: 50\% of \emph{two} words. % SECRET
\subsection{Part \textbf{B}}\label{sec:b}
\begin{align}
  a &= b \\ % SECRET

  c &= d
\end{align}
where $a$ is \textbf{three}~\cite{key}.
\begin{lstlisting}
x = 1 % shown
\end{lstlisting}
\begin{itemize}
\item first
\item second
\end{itemize}
\end{document}
"""


@pytest.mark.parametrize(("name", "raw", "shown", "title"), [
    ("a.md", MARKDOWN, ["Seen one.", "Seen two.", "words and `<!-- shown -->`."], "Notes"),
    ("a.rst", RST, ["Seen one, $x^2$, seen two:", "```\nliteral = 1\n```", "**Note:** Seen three",
                    "```python\nx = 1\n```", "$$\na = b\n$$"], "Notes"),
    ("a.html", HTML, ["Seen one", "Seen two & three", "- first\n\n- second `f(x)`", "| A | B |\n|---|---|\n| 1 | 2 |",
                      "```\nx = 1\ny = 2\n```"], "Notes"),
    ("a.tex", LATEX, ["50% of *two* words.", "where $a$ is **three** (key).", "x = 1 % shown", "- first\n- second",
                      "$$\n\\begin{align}\n  a &= b \\\\ \n  c &= d\n\\end{align}\n$$"], "Notes"),
])
def test_what_a_reader_sees_is_taken_and_what_he_does_not_see_is_not(tmp_path, name, raw, shown, title):
    document = read(tmp_path, name, raw)
    assert [piece for piece in shown if piece not in told(document)] == []
    assert "SECRET" not in document.text
    assert document.title == title
    assert any(path and path[-1].startswith("Part") for path in headings(document))


@pytest.mark.parametrize("raw", [
    r"\begin{itemize}\item one \item two\end{itemize}", "\\begin{itemize}\n  \\item one\n  \\item two\n\\end{itemize}",
    r"\begin{enumerate}[a)] \item one\item two \end{enumerate}",
])
def test_the_items_of_a_latex_list_stand_on_lines_of_their_own(tmp_path, raw):
    items = [line.strip() for line in read(tmp_path, "a.tex", f"Before.\n\n{raw}\n").text.split("\n") if line.strip()]
    assert items == ["Before.", "- one", "- two"]


def test_python_is_read_by_definition_with_its_docstrings(tmp_path):
    document = read(tmp_path, "robot.py", '''"""Drives the robot."""
import os

# how fast it may go
def limit(speed):
    """The speed, at most 3.

    # no heading
    """
    return min(speed, 3)


class Arm:
    """One arm."""

    joints = 7

    @property
    def torque(self):
        """In Nm."""
        return 12

    late = 1

if __name__ == "__main__":
    limit(1)
''')
    chunks = {chunk.heading_path: chunk for chunk in split(document) if chunk.where != "line 22"}
    assert set(chunks) == {(), ("limit",), ("Arm",), ("Arm", "Arm.torque")}
    assert chunks["limit",].text.startswith(
        "## limit\n\nThe speed, at most 3.\n\n\\# no heading\n\n```python\n# how fast")
    assert chunks["limit",].where == "line 4"
    assert "In Nm." in chunks["Arm", "Arm.torque"].text and "@property" in chunks["Arm", "Arm.torque"].text
    assert "late = 1" in told(document) and "limit(1)" in told(document)


def test_python_that_does_not_parse_is_text(tmp_path):
    document = read(tmp_path, "old.py", "print 'two'\n")
    assert told(document) == "print 'two'" and "no valid Python" in document.meta["note"]


def test_a_notebook_has_its_cells_and_what_they_printed(tmp_path):
    document = read(tmp_path, "run.ipynb", notebook(
        prose("# Training\n\nWe train."),
        code("train()", {"output_type": "stream", "text": ["step 1\r", "step 2\n", "\x1b[31mred\x1b[0m"]},
             {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "<Figure>"}}),
        prose("## Result"),
        code("1/0", {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "no", "traceback": []}),
    ))
    assert document.title == "Training"
    assert "```python\ntrain()\n```" in told(document) and "step 2\nred" in told(document)
    assert "step 1" not in told(document) and "AAAA" not in told(document)
    assert [(chunk.heading_path, chunk.where) for chunk in split(document)] == [
        ((), "cells 1–2"), (("Result",), "cells 3–4")]
    assert "ZeroDivisionError: no" in told(document)


def test_a_pdf_is_cited_by_page_and_by_its_outline(tmp_path):
    pages = ["First page.\n# no heading", "", "Third page, a hyphen-\nated word."]
    document = read(tmp_path, "paper.pdf", pdf(pages, "Our paper", [("Start", 0), ("End", 2)]))
    assert document.title == "Our paper"
    assert [(chunk.heading_path, chunk.where, chunk.text) for chunk in split(document)] == [
        (("Start",), "page 1", "First page.\n# no heading"), (("End",), "page 3", "Third page, a hyphenated word.")]


@pytest.mark.parametrize(("raw", "text", "note"), [
    ("äöü – 强化学习".encode(), "äöü – 强化学习", ""),
    ("\ufeffäöü".encode(), "äöü", ""),
    ("äöü 学习\r\nzwei".encode("utf-16"), "äöü 学习\nzwei", ""),
    ("Größe, Müßiggang und Übermut: ein längerer Satz über Straßen.".encode("cp1252"), "Größe, Müßiggang", "read"),
    ("强化学习 im Überblick, ".encode() + b"\xff\xfe ende", "强化学习 im Überblick", "2 characters are not UTF-8"),
])
def test_encodings_are_recognised_and_what_was_odd_is_said(tmp_path, raw, text, note):
    document = read(tmp_path, "a.txt", raw)
    assert text in document.text and "\r" not in document.text
    assert document.meta.get("note", "").startswith(note)


WORDS = ["reward", "Größe", "学习", "x_1", "γ", "12.5", "a/b", "state-of-the-art", "don't", "C++", "e.g.", "|", "#",
         "***", "`q`", "$x$", "(1)", "...", "🤖"]


def text_of(rng: random.Random) -> list[str]:
    """Paragraphs, some of them one gigantic line, some without a space."""
    return [" ".join(f"{rng.choice(WORDS)}w{rng.randrange(10**9)}" for _ in range(rng.choice([3, 40, 400])))
            if rng.random() < 0.9 else f"u{rng.randrange(10)}" * 9000 for _ in range(rng.randrange(1, 9))]


def written(suffix: str, parts: list[str], rng: random.Random) -> bytes:
    """The paragraphs as a file of this kind, here and there below a heading."""
    if suffix == ".pdf":
        return pdf([re.sub(r"[()\\]|[^\x20-\x7e]", "", part) for part in parts])
    if suffix == ".ipynb":
        return notebook(*(rng.choice([prose, code])(part) for part in parts))
    if suffix in (".py", ".pyi"):
        return "\n\n".join(f"def f{place}():\n    {part!r}\n    return {part!r}"
                           for place, part in enumerate(parts)).encode()
    if suffix in (".html", ".htm", ".xhtml"):
        return "".join(f"<h{rng.randrange(1, 7)}>h{place}</h1><{kind}>{part}</{kind}>"
                       for place, part in enumerate(parts) for kind in [rng.choice(["p", "pre", "li", "td"])]).encode()
    if suffix == ".tex":
        parts = [re.sub(r"[#$\\%&_{}~`]", "", part) for part in parts]
        return "".join(f"\\section{{h{place}}}\n{part}\n\n" for place, part in enumerate(parts)).encode()
    mark = {".rst": "\n{}\n====\n\n"}.get(suffix, "\n# {}\n\n")
    return "".join(f"{mark.format(place) if rng.random() < 0.5 else ''}{rng.choice(['', '- ', '> '])}{part}\n\n"
                   for place, part in enumerate(parts)).encode()


@pytest.mark.parametrize("suffix", LOADERS)
@pytest.mark.parametrize("seed", range(6))
def test_passages_cover_every_text_without_a_gap_and_every_word_of_the_file(tmp_path, suffix, seed):
    rng = random.Random(seed)
    parts = text_of(rng)
    document = read(tmp_path, f"a{suffix}", written(suffix, parts, rng))
    chunks = split(document)
    assert chunks[0].start == 0 and chunks[-1].end == len(document.text)
    assert all(one.end == two.start for one, two in pairwise(chunks))
    assert all(chunk.text and len(chunk.text) < 9000 for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    words = set(re.findall(r"w\d+", " ".join(parts)))
    assert words and words - set(re.findall(r"w\d+", told(document))) == set()


def test_one_gigantic_line_becomes_passages_that_can_be_read(tmp_path):
    document = read(tmp_path, "a.txt", "word " * 400_000)
    chunks = split(document)
    assert len(chunks) > 1000 and max(tokens(chunk.text) for chunk in chunks) < 1000


def test_a_folder_is_walked_and_every_file_left_out_has_its_reason(tmp_path):
    for name in ("a.md", "sub/b.txt", ".git/c.md", ".d.md", "node_modules/e.py", "f.docx", "env/pyvenv.cfg",
                 "env/g.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    seen = {Path(one.path).relative_to(tmp_path).as_posix(): one.reason for one in walk(tmp_path)}
    assert {path for path, reason in seen.items() if not reason} == {"a.md", "sub/b.txt"}
    for path, reason in {".git": "hidden folder", ".d.md": "hidden file", "node_modules": "install", "env": "install",
                         "f.docx": "not read (.docx)", "loop": "link", "gone.md": "cannot be opened"}.items():
        assert reason in seen[path]


def test_a_file_of_pictures_only_says_so(tmp_path):
    with pytest.raises(Unreadable, match="pictures only"):
        read(tmp_path, "scan.pdf", pdf(["", ""]))


SEEN = b"BT /F1 12 Tf 50 750 Td (Seen.) Tj ET\n"


@pytest.mark.parametrize("secret", [
    b"BT 1 g /F1 12 Tf 50 700 Td (Secret words) Tj ET",                        # white on white
    b"BT 1 1 1 rg /F1 12 Tf 50 700 Td [(Secret) -400 (words)] TJ ET",
    b"BT /Cs1 cs 0.99 1 1 scn /F1 12 Tf 14 TL 50 700 Td (Secret words) ' ET",
    b"BT 0 0 0 0 k /F1 12 Tf 50 700 Td 0 0 (Secret words) \" ET",
    b"0.2 g 0 600 600 200 re f BT /F1 12 Tf 50 700 Td (Secret words) Tj ET",   # of the colour of a box
    b"0 g 0 600 600 200 re f 1 g 0 600 600 200 re f BT /F1 12 Tf 50 700 Td (Secret words) Tj ET",
    b"BT /F1 0 Tf 50 700 Td (Secret words) Tj ET",                             # no size
    b"BT /F1 12 Tf 0.01 0 0 0.01 50 700 Tm (Secret words) Tj ET",
    b"q 0.01 0 0 0.01 50 700 cm BT /F1 12 Tf (Secret words) Tj ET Q",
    b"BT 3 Tr /F1 12 Tf 50 700 Td (Secret words) Tj ET",                       # no ink
    b"q BT 3 Tr ET BT /F1 12 Tf 50 700 Td (Secret words) Tj ET Q",
    b"BT /F1 12 Tf 50 900 Td (Secret words) Tj ET",                            # above the page
    b"BT /F1 12 Tf -300 700 Td (Secret words) Tj ET",                          # left of it
])
def test_text_that_a_pdf_does_not_show_is_left_out_and_that_is_said(tmp_path, secret):
    document = read(tmp_path, "a.pdf", pdf([""], stream=SEEN + secret))
    assert document.text.strip() == "Seen."
    assert document.meta["note"] == "left out 11 characters that its pages do not show"


@pytest.mark.parametrize("plain", [
    b"0 g 0 600 600 200 re f BT 1 g /F1 12 Tf 50 700 Td (White on black) Tj ET",
    b"0 g 40 690 m 600 690 l 600 720 l 40 720 l f BT 1 g /F1 12 Tf 50 700 Td (White on black) Tj ET",
    b"q 600 0 0 800 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x00 EI Q BT 1 g /F1 12 Tf 50 700 Td (White on black) Tj ET",
    b"/Spot cs 1 scn BT /F1 12 Tf 50 700 Td (White on black) Tj ET",           # full ink of who knows what
    b"/Pattern cs /P1 scn BT /F1 12 Tf 50 700 Td (White on black) Tj ET",
    b"q 1 g Q BT /F1 12 Tf 50 700 Td (White on black) Tj ET",
    b"BT 1 Tr 1 g /F1 12 Tf 50 700 Td (White on black) Tj ET",                 # outlines
    b"BT /F1 12 Tf -30 700 Td (White on black) Tj ET",                         # it begins left of the page
    b"BT /F1 12 Tf 0 1 -1 0 300 10 Tm (White on black) Tj ET",                 # upwards
    b"BT /F1 1 Tf 12 0 0 12 50 700 Tm (White on black) Tj ET",
    b"q 0.1 0 0 0.1 0 0 cm BT /F1 120 Tf 500 7000 Td (White on black) Tj ET Q",
    b"BT (broken) rg /F1 12 Tf 50 700 Td (White on black) Tj ET",
])
def test_text_that_a_pdf_shows_is_kept(tmp_path, plain):
    document = read(tmp_path, "a.pdf", pdf([""], stream=SEEN + plain))
    assert "Seen." in document.text and "White on black" in document.text and not document.meta


def test_what_a_scan_says_is_kept_though_it_is_drawn_without_ink(tmp_path):
    words = b"BT 3 Tr /F1 12 Tf 50 700 Td (Recognised words) Tj ET"
    picture = b"\nq 600 0 0 700 0 100 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x00 EI Q\n"
    for stream in (words, picture + words, words + picture, SEEN + picture + words):
        document = read(tmp_path, "scan.pdf", pdf([""], stream=stream))
        assert "Recognised words" in document.text and not document.meta
    small = picture.replace(b"600 0 0 700", b"60 0 0 70")
    assert "Recognised" not in read(tmp_path, "scan.pdf", pdf([""], stream=SEEN + small + words)).text


def test_a_pdf_of_nothing_but_hidden_text_is_not_taken(tmp_path):
    with pytest.raises(Unreadable, match="left out 11 characters"):
        read(tmp_path, "a.pdf", pdf([""], stream=b"BT 1 g /F1 12 Tf 50 700 Td (Secret words) Tj ET"))


def test_a_page_shows_what_lies_in_its_box(tmp_path):
    stream = b"BT /F1 12 Tf 1050 750 Td (Seen.) Tj ET BT /F1 12 Tf 50 750 Td (Secret words) Tj ET"
    assert read(tmp_path, "a.pdf", pdf([""], stream=stream, box="1000 0 1600 800")).text.strip() == "Seen."
