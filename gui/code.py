"""Python source and plain text as HTML blocks that follow the page's colours, with copy and download."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator
from html import escape

_KINDS = {tokenize.COMMENT: "comment", tokenize.STRING: "string", tokenize.NUMBER: "number"}


def code_html(text: str, file_name: str) -> str:
    """A Python file with its colours; the buttons above it are served by app.js."""
    buttons = (f'<button type="button" data-copy>Copy</button>'
               f'<button type="button" data-download="{escape(file_name)}">Download</button>')
    return (f'<div class="code"><div class="code-head"><span>{escape(file_name)}</span>{buttons}</div>'
            f"<pre><code>{''.join(_coloured(text))}</code></pre></div>")


def log_html(text: str) -> str:
    """The end of a log, scrolled to its last line."""
    return (f'<div class="code"><div class="code-head"><span>train.log</span>'
            f'<button type="button" data-copy>Copy</button></div>'
            f'<div class="log-end"><pre><code>{escape(text)}</code></pre></div></div>')


def _coloured(text: str) -> Iterator[str]:
    """The text in pieces, each in a span that names its kind; in one plain piece if it is no Python."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        yield escape(text)
        return
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    done = 0
    for token in tokens:
        kind = "keyword" if keyword.iskeyword(token.string) else _KINDS.get(token.type)
        if kind is None:
            continue
        begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        yield escape(text[done:begin])
        yield f'<span class="{kind}">{escape(text[begin:end])}</span>'
        done = end
    yield escape(text[done:])
