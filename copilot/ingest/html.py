"""HTML as Markdown: headings, lists, tables and code; no scripts, no styles, and nothing that a page hides."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from copilot.corpus import Document, visible
from copilot.ingest.text import Unreadable, decoded, fenced, name_of

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_UNSEEN = {"script", "style", "template", "noscript", "head", "svg", "iframe", "object", "select", "textarea", "button",
           "datalist", "dialog"}
_BLOCKS = {"address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset",
           "figcaption", "figure", "footer", "form", "header", "hr", "html", "li", "main", "nav", "ol", "p", "pre",
           "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6"}
_DEEPEST = 1000                    # tags within each other
_HEADING = re.compile(r"h([1-6])$")
_HIDES = re.compile(               # it is not drawn, without ink, too small to see, or beside the page
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:opacity|font-size)\s*:\s*0(?![.\d]*[1-9])|"
    r"(?<![\w-])color\s*:\s*(?:transparent|(?:rgb|hsl)a\([^)]*,\s*0?\.?0+\s*\))|"
    r"(?<![\w-])font(?:-size\s*:|\s*:(?:\s*[a-z]+\b)*)\s*(?:[01]?(?:\.\d+)?p[xt]|0?\.[01]\d*r?em|\d(?:\.\d+)?%)|"
    r"(?<![\w-])(?:(?:left|right|top|bottom|text-indent)\s*:\s*-(?:[5-9]\d\d|\d{3}(?=[rev%])|\d{4})|margin-\w+\s*:\s*-\d{4})|"
    r"(?<![\w-])(?:clip\s*:\s*rect\((?:\s*[01](?:px)?[\s,]*){4}\)|clip-path\s*:\s*(?:inset\(\s*(?:50|100)%|circle\(\s*0))",
    re.IGNORECASE)
_COLOUR = re.compile(r"(?<![\w-])(background(?:-color)?|color)\s*:\s*([^;!]+)", re.IGNORECASE)
_PAINTS = re.compile(r"background|bgcolor|stylesheet|@import", re.IGNORECASE)
_COLOURS = {"white": (255, 255, 255), "snow": (255, 250, 250), "ivory": (255, 255, 240), "black": (0, 0, 0)}
_SAME = 8                          # difference of two colours, per channel up to 255, that no eye tells
_HIDDEN_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
_NAME = re.compile(r"[.#][\w-]+")


def load(raw: bytes, path: str) -> Document:
    """A web page.

    Raises:
        Unreadable: its tags are nested too deeply.
    """
    text, note = decoded(raw)
    reader = _Reader("" if _PAINTS.search(text) else "white")
    reader.feed(text)
    reader.close()
    title = " ".join(visible(reader.title).split()) or name_of(path)
    return Document(path, title, visible(reader.markdown()), {"note": note} if note else {})


class _Reader(HTMLParser):
    """Gathers Markdown blocks while the tags go by. The stack of open tags says what is hidden.

    paper   the colour of the page; empty if it cannot be told
    """

    def __init__(self, paper: str) -> None:
        super().__init__(convert_charrefs=True)
        self._paper = paper
        self.title = ""
        self._done: list[str] = []
        self._line: list[str] = []     # of the block that grows
        self._open: list[tuple[str, bool, str]] = []   # tags, whether they hide what is in them, and its paper
        self._rows: list[int] = []     # cells of each row of the innermost table
        self._names: set[str] = set()  # .classes and #ids that a style sheet hides

    def markdown(self) -> str:
        self._break()
        return "\n\n".join(self._done) + "\n"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self._break(within_table=tag in ("p", "div"))
            if self._innermost == "p" or (tag == "li" and self._innermost == "li"):
                self._open.pop()       # their end tags may be left out
        if tag in _VOID:
            self._line.append("\n" if tag == "br" else "")
            return
        if len(self._open) > _DEEPEST:
            raise Unreadable("is nested too deeply")
        given = dict(attrs)
        self._open.append((tag, (tag in _UNSEEN and tag != "head") or self._hides(given), self._below(given)))
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append(0)
        elif tag in ("td", "th"):
            self._line.append(" | " if self._rows and self._rows[-1] else "")
            if self._rows:
                self._rows[-1] += 1
        elif tag == "code" and not self._inside("pre"):
            self._line.append("`")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._inside(tag):
            return
        if tag == "code" and not self._inside("pre"):
            self._line.append("`")
        if tag in _BLOCKS:
            self._break()
        self._close(tag)

    def handle_data(self, data: str) -> None:
        if self._innermost == "title":
            self.title += data
        elif self._innermost == "style":
            self._read_style(data)
        elif not any(hides for _, hides, _ in self._open) and not self._inside("head"):
            self._line.append(data)

    @property
    def _innermost(self) -> str:
        return self._open[-1][0] if self._open else ""

    def _inside(self, tag: str) -> bool:
        return any(name == tag for name, *_ in self._open)

    def _close(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            continue

    def _hides(self, attributes: dict[str, str | None]) -> bool:
        names = {f".{name}" for name in (attributes.get("class") or "").split()} | {f"#{attributes.get('id')}"}
        unread = "hidden" in attributes or (attributes.get("aria-hidden") or "").strip().lower() == "true"
        return unread or self._unseen(attributes.get("style") or "") or bool(names & self._names)

    def _unseen(self, style: str) -> bool:
        """Whether a style hides what it is given to, perhaps by the colour of what lies below."""
        own = _colours(style)
        ink, paper = own.get("color"), own.get("background", self._open[-1][2] if self._open else self._paper)
        return bool(_HIDES.search(style)) or (ink is not None and _alike(ink, paper))

    def _below(self, attributes: dict[str, str | None]) -> str:
        """The colour on which a tag is written; empty if it cannot be told, as where style sheets may set it."""
        above = self._open[-1][2] if self._open else self._paper
        styled = not self._paper and (attributes.get("class") or attributes.get("id") or attributes.get("bgcolor"))
        return _colours(attributes.get("style") or "").get("background", "" if styled else above)

    def _read_style(self, sheet: str) -> None:
        for selector, rules in _HIDDEN_RULE.findall(sheet):
            if self._unseen(rules):
                self._names |= {one.strip() for one in selector.split(",") if _NAME.fullmatch(one.strip())}

    def _break(self, *, within_table: bool = False) -> None:
        """End the block that grows, unless it is a cell of a table."""
        if within_table and self._inside("table"):
            self._line.append(" ")
            return
        text = "".join(self._line)
        self._line = []
        if text.strip():
            self._done.append(self._block(text))

    def _block(self, text: str) -> str:
        if self._inside("pre"):
            return fenced(text, "").strip()
        tags = [name for name, *_ in self._open]
        plain = "\n".join(" ".join(line.split()) for line in text.strip().split("\n") if line.strip())
        heading = next((match for name in reversed(tags) if (match := _HEADING.match(name))), None)
        if heading:
            return f"{'#' * int(heading.group(1))} {' '.join(plain.split())}"
        if "table" in tags:
            return self._row(" ".join(plain.split()))
        return f"- {plain}" if "li" in tags else plain

    def _row(self, text: str) -> str:
        """A row of a table; the first is its head. Rows of one table stay together."""
        row = f"| {text} |"
        if len(self._rows) > 1 and self._done:
            return f"{self._done.pop()}\n{row}"
        return f"{row}\n{'|---' * max(1, sum(self._rows))}|"


def _colours(style: str) -> dict[str, str]:
    """What a style sets as the colour and the background."""
    return {name.lower().removesuffix("-color"): value for name, value in _COLOUR.findall(style)}


def _alike(one: str, other: str) -> bool:
    """Whether nobody can tell two colours apart; of a background only the first word counts."""
    both = [_channels(colour) for colour in (one, other)]
    return all(both) and max(abs(a - b) for a, b in zip(*both, strict=True)) <= _SAME


def _channels(colour: str) -> tuple[float, ...]:
    """Red, green and blue up to 255; nothing for a colour that is not known."""
    text = colour.strip().lower()
    if match := re.match(r"#([0-9a-f]{3}|[0-9a-f]{6})\b", text):
        digits = match.group(1) if len(match.group(1)) == 6 else "".join(2 * digit for digit in match.group(1))
        return tuple(bytes.fromhex(digits))
    if match := re.match(r"rgba?\(\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)", text):
        return tuple(map(float, match.groups()))
    return _COLOURS.get(text.split()[0] if text else "", ())
