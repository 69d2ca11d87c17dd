"""The real pages around an assistant that speaks slowly, for tests that interrupt it: `slow_app.py FOLDER`."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from copilot.assistant import Reply, Source
from copilot.llms.base import Use
from copilot.llms.choose import open_answerer
from gui.desk import Desk
from gui.server import run
from gui.service import Library, Places

SOURCE = Source(1, "A page", "A section", "docs/page.md", "Every word of it.", 1.0, "")
TEXT = "Word $x_1$ and **more** [1]. `code[1]`"


class Slow:
    """Says one more word every 50 ms, for ten seconds, until it is stopped."""

    spec = "builtin"

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def ask(self, question: str, history: Sequence[tuple[str, str]] = (),
            collections: Sequence[str] = ()) -> Iterator[Reply]:
        del question, history, collections
        self._stopped.clear()
        text = TEXT
        for number in range(200):
            if self._stopped.wait(0.05):
                break
            text += f" w{number}"
            yield Reply(text, (SOURCE,), abstained=False, done=False)
        yield Reply(text, (SOURCE,), abstained=False, done=True, context=Use(1_840, 4_096, 6, 8))

    def choose(self, spec: str) -> None:
        open_answerer(spec)
        self.spec = spec

    def stop(self) -> None:
        self._stopped.set()


def opener(*, progress: Callable[[float, str], None]) -> Desk:
    progress(0.42, "Embedding")
    time.sleep(4)
    return Slow()  # type: ignore[return-value]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    places = Places(folder / "runs", folder / "models", folder / "documents", folder / "conversations.sqlite")
    run(Library(opener), places, "127.0.0.1", 17860, say=lambda text: print(text, flush=True),
        open_browser=False)
