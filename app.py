"""Starts the GUI: `python app.py`. Runs that were launched from it go on when it ends."""

from __future__ import annotations

import os

# Before Gradio is imported: it would report its start and look for a newer version otherwise.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import argparse
from functools import partial
from pathlib import Path


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
    parser.add_argument("--documents", type=Path, help="folder of your collections (default: the folder of the index)")
    parser.add_argument("--models", type=Path, default=here / "models", help="folder of language models")
    parser.add_argument("--llm", default="builtin", metavar="SPEC", help="who writes the answers at first, as for "
                                                                         "rl-copilot ask (default: builtin)")
    parser.add_argument("--embedder", default="minilm", metavar="SPEC",
                        help="minilm, a sentence-transformers FOLDER, or instructor:FOLDER")
    parser.add_argument("--reranker", type=Path, metavar="FOLDER",
                        help="a cross-encoder that reads the best passages again with the question: better, slower")
    parser.add_argument("--conversations", type=Path, default=here / "conversations.sqlite",
                        help="file that keeps your conversations")
    return parser.parse_args()


def main() -> None:
    """Serve the pages; the index is opened behind them."""
    chosen = arguments()
    from copilot.embed import open_embedder
    from copilot.llms.choose import open_answerer
    from copilot.rerank import CrossEncoder
    from gui.desk import Desk
    from gui.server import run
    from gui.service import Library, Places
    from rlcore.config import ConfigError, MissingExtra

    places = Places(chosen.runs, chosen.models, chosen.documents or chosen.index, chosen.conversations)
    try:
        reranker = CrossEncoder(chosen.reranker) if chosen.reranker else None
        library = Library(partial(
            Desk.open, chosen.corpus, chosen.index, places.documents, places.runs, open_embedder(chosen.embedder),
            reranker, open_answerer(chosen.llm), chosen.llm.strip()))
        run(library, places, chosen.host, chosen.port, say=partial(print, flush=True),
            open_browser=not chosen.no_browser)
    except (OSError, ConfigError, MissingExtra) as error:  # no port, or what was asked for is not there or unreadable
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:              # Ctrl-C is how a person ends it
        return


if __name__ == "__main__":
    main()
