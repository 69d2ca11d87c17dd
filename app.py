"""Starts the GUI: `python app.py`. Runs that were launched from it go on when it ends."""

from __future__ import annotations

import os

# Before Gradio is imported: it would report its start and look for a newer version otherwise.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from copilot.assistant import Assistant


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="RL Copilot: ask, train, watch. Everything stays on this computer.")
    here = Path(__file__).resolve().parent
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this computer only)")
    parser.add_argument("--port", type=int, default=7860, help="port, or the next free one after it (default: 7860)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.add_argument("--runs", type=Path, default=here / "runs", help="folder of the runs")
    parser.add_argument("--corpus", type=Path, default=here / "corpus", help="folder of the documents to answer from")
    parser.add_argument("--index", type=Path, default=here / ".index", help="folder of the index made from them")
    return parser.parse_args()


def open_assistant(corpus: Path, index: Path, *, progress: Callable[[float, str], None]) -> Assistant:
    """Open the assistant and load its embedder, so that the first question waits for neither."""
    from copilot.assistant import Assistant

    assistant = Assistant.open(corpus=corpus, index_dir=index, progress=progress)
    assistant.warm()
    return assistant


def main() -> None:
    """Serve the pages; the index is opened behind them."""
    chosen = arguments()
    from gui.server import run
    from gui.service import Library

    library = Library(partial(open_assistant, chosen.corpus, chosen.index))
    try:
        run(library, chosen.runs, chosen.host, chosen.port, say=partial(print, flush=True),
            open_browser=not chosen.no_browser)
    except OSError as error:               # no port, or no such address: one sentence, no traceback
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:              # Ctrl-C is how a person ends it
        return


if __name__ == "__main__":
    main()
