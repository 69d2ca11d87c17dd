"""LaTeX as Markdown: sections as headings, displayed equations and listings whole, comments left out."""

from __future__ import annotations

import re

from copilot.corpus import Document
from copilot.ingest.text import decoded, fenced, name_of

_BRACED = r"\{([^{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^{}]*)*)\}"
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*\n?")
_VERBATIM = r"verbatim\*?|Verbatim|lstlisting|minted|algorithmic|tabular\*?|tabularx|tikzpicture"
_MATH = r"equation|align|alignat|gather|multline|eqnarray|displaymath|math|flalign|subequations"
_APART = re.compile(           # what inline commands must not touch
    rf"\\begin\{{(?P<listing>{_VERBATIM})\}}(?P<code>.*?)\\end\{{(?P=listing)\}}|"
    rf"(?P<math>\\begin\{{(?P<env>(?:{_MATH})\*?)\}}.*?\\end\{{(?P=env)\}})|"
    r"\\\[(?P<bracket>.*?)\\\]|\$\$(?P<dollar>.*?)\$\$|(?P<inline>\$[^$]+\$|\\\(.*?\\\))", re.DOTALL)
_HEADINGS = {"part": "#", "chapter": "#", "section": "##", "subsection": "###", "subsubsection": "####",
             "paragraph": "#####", "subparagraph": "######"}
_HEADING = re.compile(rf"\\({'|'.join(_HEADINGS)})\*?(?:\[[^\]]*\])?{_BRACED}")
_NAMED = re.compile(r"\\begin\{(theorem|lemma|proposition|corollary|definition|remark|proof|example|algorithm)\*?\}"
                    r"(?:\[([^\]]*)\])?")
_COMMANDS = (
    (re.compile(r"\\(?:label|vspace\*?|hspace\*?|bibliographystyle|pagestyle|input|include)" + _BRACED), ""),
    (re.compile(rf"\\includegraphics(?:\[[^\]]*\])?{_BRACED}"), ""),
    (re.compile(r"\\begin\{abstract\}"), "\n## Abstract\n\n"),
    (re.compile(rf"\\caption(?:\[[^\]]*\])?{_BRACED}"), r"\n\n\1\n\n"),
    (re.compile(rf"\\(?:emph|textit){_BRACED}"), r"*\1*"),
    (re.compile(rf"\\textbf{_BRACED}"), r"**\1**"),
    (re.compile(rf"\\(?:texttt|url){_BRACED}"), r"`\1`"),
    (re.compile(rf"\\href{_BRACED}{_BRACED}"), r"\2 (\1)"),
    (re.compile(rf"\\footnote{_BRACED}"), r" (\1)"),
    (re.compile(rf"~?\\(?:cite[a-z]*|eqref|ref|autoref|cref|Cref)\*?(?:\[[^\]]*\])*{_BRACED}"), r" (\1)"),
    (re.compile(r"\\(?:begin|end)\{[^}]*\}(?:\[[^\]]*\])?"), ""),
    (re.compile(r"(?<=\S)[ \t]*(?=\\item\b)"), "\n"),
    (re.compile(r"^[ \t]*\\item\b(?:[ \t]*\[([^\]]*)\])?[ \t]*", re.MULTILINE), r"- \1 "),
    (re.compile(r"^-  +", re.MULTILINE), "- "),
    (re.compile(r"\\(?:maketitle|centering|noindent|newpage|clearpage|tableofcontents|appendix)\b"), ""),
    (re.compile(r"\\\\(?:\[[^\]]*\])?"), "\n"),
    (re.compile(r"\\([%&_#{}$])"), r"\1"),
    (re.compile(r"(?<!\\)~"), " "),
    (re.compile(r"``|''"), '"'),
)


def load(raw: bytes, path: str) -> Document:
    """A LaTeX file. Of a whole document the preamble is left out, but for its title."""
    text, note = decoded(raw)
    title = re.search(rf"\\title(?:\[[^\]]*\])?{_BRACED}", text)
    start = re.search(r"\\begin\{document\}", text)
    end = re.search(r"\\end\{document\}", text)
    body = markdown(text[start.end() if start else 0:end.start() if end else len(text)])
    name = " ".join(_inline(title.group(1)).split()) if title else name_of(path)
    return Document(path, name or name_of(path), body, {"note": note} if note else {})


def markdown(text: str) -> str:
    """The text with Markdown's headings, lists, fences and equations; what nobody translates stays as it is."""
    parts: list[str] = []
    place = 0
    for match in _APART.finditer(text):
        parts.append(_prose(text[place:match.start()]))
        found = match.groupdict()
        if found["listing"]:
            parts.append("\n\n" + fenced(found["code"], "latex"))
        elif found["inline"]:
            parts.append(found["inline"])
        else:
            equation = _COMMENT.sub(r"\1", found["math"] or found["bracket"] or found["dollar"] or "")
            parts.append("\n$$\n" + re.sub(r"\n\s*\n", "\n", equation).strip() + "\n$$\n")
        place = match.end()
    return re.sub(r"\n{3,}", "\n\n", "".join([*parts, _prose(text[place:])])).lstrip("\n")


def _prose(text: str) -> str:
    text = _COMMENT.sub(r"\1", text)
    text = _HEADING.sub(lambda match: f"\n\n{_HEADINGS[match.group(1)]} {' '.join(match.group(2).split())}\n\n", text)
    text = _NAMED.sub(lambda match: f"\n**{match.group(1).capitalize()}"
                                    f"{f' ({match.group(2)})' if match.group(2) else ''}.** ", text)
    return _inline(text)


def _inline(text: str) -> str:
    for pattern, replacement in _COMMANDS:
        text = pattern.sub(replacement, text)
    return text
