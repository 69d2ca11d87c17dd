"""Who writes the answers: what can be chosen on this computer, switching, and the sentence if a choice cannot work."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from copilot.llms.choose import KINDS
from copilot.llms.found import choices, title
from gui.parts import notice
from gui.service import Library

# Kinds of answerer that a person names: what the menu calls them.
TYPED = {
    "gguf": "GGUF model file…",
    "ollama": "Ollama model…",
    "openai": "OpenAI-compatible server…",
    "transformers": "transformers folder…",
    "langchain": "LangChain chat model…",
}
_EXAMPLES = {"gguf": "/path/to/model.gguf", "ollama": "qwen3:4b", "openai": "http://127.0.0.1:8080/v1#model",
             "transformers": "/path/to/folder"}
_ASKS = "?"                        # begins the value of a choice that has to be named first


def spec_in_use(library: Library) -> str:
    """The line that names the answerer in use."""
    return library.desk.spec if library.status.state == "ready" else "builtin"


def options(library: Library, folder: Path) -> list[tuple[str, str]]:
    """The menu: what was found on this computer, what is in use, and what can be named."""
    found = {one.spec: one.title for one in choices(folder)}
    found.setdefault(spec_in_use(library), title(spec_in_use(library)))
    return [*((name, spec) for spec, name in found.items()), *((name, _ASKS + kind) for kind, name in TYPED.items())]


def asked_kind(choice: str) -> str:
    """The kind of answerer that a choice asks to be named; empty if the choice names one itself."""
    return choice.removeprefix(_ASKS) if choice.startswith(_ASKS) else ""


def example(kind: str) -> str:
    """What to type for a kind of answerer."""
    return _EXAMPLES.get(kind) or KINDS[kind].partition(":")[2]


def line(kind: str, text: str) -> str:
    """The line that names an answerer of this kind; the text may be the whole line, and a path in quotation marks."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return f"{kind}:{text.removeprefix(f'{kind}:')}"


def chip_html(library: Library) -> str:
    """The answerer in use, in a few words."""
    spec = spec_in_use(library)
    return (f'<div class="chip" title="{escape(spec)}"><span class="dot ready"></span>'
            f"<span><i>Answers by </i><b>{escape(title(spec))}</b></span></div>")


def choose(spec: str, library: Library) -> Iterator[str]:
    """Switch who writes the answers; notices that say what happens, the last one what came of it."""
    for status in library.wait():
        if status.state == "failed":
            yield notice(status.message, "bad")
            return
    if library.status.state == "opening":      # somebody asked to stop
        yield ""
        return
    yield notice(f"Loading {title(spec)}…")
    try:
        library.desk.choose(spec)
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        reason, stays = str(error), title(library.desk.spec)
        reason += "" if reason.endswith((".", "?", "!")) else "."
        yield notice(f"{reason} {stays} goes on answering.", "bad", "This cannot be used.")
        return
    yield notice("Answers are composed from the corpus itself, without a model." if spec == "builtin" else
                 f"Answers are now written by {title(spec)}.", "good")
