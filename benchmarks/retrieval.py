"""How long searches and updates of large collections take, and how much memory: passages in the corpus's own words.

Embedding so many passages would take hours, so they get random unit vectors: the hardest case for an approximate
search, and as good as any for its speed. The questions are real, and embedded by the real model.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from copilot import store
from copilot.chunk import Chunk
from copilot.collection import Outcome, collection
from copilot.corpus import Document, load
from copilot.embed import Embedder, Progress, SentenceEmbedder, Vectors
from copilot.index import open_index
from copilot.ingest.child import Read
from copilot.library import Library, open_collection
from copilot.retrieve import Retriever

SIZES = (10_000, 100_000)
FILES = 10_000                     # of a collection in which one changes
_CORPUS, _QUESTIONS, _INDEX = Path("corpus"), Path("benchmarks/questions.jsonl"), Path(".index")
_NAME = "large"
_PER_FILE = 20                     # passages
_SENTENCES, _WORDS = 6, 15         # of a passage, of a sentence


class RandomEmbedder:
    """A unit vector for each text, random but always the same."""

    identity, dim = "random-384", 384

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, dim]."""
        del progress
        return np.stack([self.encode_query(text) for text in texts])

    def encode_query(self, text: str) -> Vectors:
        """[dim]."""
        vector = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.dim, dtype=np.float32)
        return vector / np.linalg.norm(vector)


def run(repeats: int, only: str) -> Iterator[str]:
    """The lines of a Markdown table, as they are measured."""
    yield "Synthetic passages beside the corpus, 384 dimensions; `Retriever.find` on questions not asked before."
    yield ""
    yield "| passages | p50 | p95 | memory | building |"
    yield "|---|---|---|---|---|"
    for size in SIZES:
        if only in f"{size:,}":
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                _in_a_process("build", folder, size)
                built = time.perf_counter() - began
                # A process of its own, so that its memory is that of an app which opens the collection.
                p50, p95, memory = map(float, _in_a_process("search", folder, repeats).split())
            yield f"| {size:,} | {p50:.0f} ms | {p95:.0f} ms | {memory:.0f} MB | {built:.0f} s |"
    if not only:
        with tempfile.TemporaryDirectory() as folder:
            yield ""
            yield f"One changed file among {FILES:,}: {float(_in_a_process('update', folder, FILES)):.2f} s."
            yield f"The whole app without a language model: {float(_in_a_process('app', folder, 0)):.0f} MB at most."


def passages(pages: Sequence[Document], count: int) -> Iterator[Read]:
    """Files of passages whose words are drawn from the pages, each as often as it is there."""
    chance = random.Random(0)
    words = [word for page in pages for word in page.text.split() if word.isascii() and word.isalnum()]
    for number in range(-(-count // _PER_FILE)):
        page = Document(f"/large/{number}.md", " ".join(chance.choices(words, k=3)), "", {})
        chunks = []
        for place in range(min(_PER_FILE, count - number * _PER_FILE)):
            said = (" ".join(chance.choices(words, k=_WORDS)).capitalize() + "." for _ in range(_SENTENCES))
            heading = " ".join(chance.choices(words, k=3))
            chunks.append(Chunk(f"{page.path}#{place}", page.path, (heading,), " ".join(said), place, place + 1))
        yield Read(page, len(chunks), tuple(chunks), "")


def build(folder: Path, count: int) -> None:
    """A collection of this size beside the corpus."""
    embedder = RandomEmbedder()
    open_index(_CORPUS, folder, embedder)
    own, nothing = collection(folder, _NAME, new=True), folder / "files"
    nothing.mkdir()
    own.add([nothing], embedder)       # it has a source; what is put below never was a file
    with store.opened(own.folder) as sql:
        with store.changing(sql):
            for read in passages(load(_CORPUS), count):
                store.put(sql, store.File(read.page.path, 0, 0, read.page.path, "taken", ""), read)
        store.fill(sql, embedder, _silent)
        store.renew_snapshot(sql, own.folder, _silent)


def search(
    folder: Path, repeats: int, asking: Callable[[], Embedder] = SentenceEmbedder,
) -> tuple[float, float, float]:
    """Milliseconds of a search, median and 95th percentile, and the memory of this process after it in MB."""
    import psutil

    questions, embedder, took = _questions(), RandomEmbedder(), []
    for _ in range(repeats):           # each on an index of its own, which remembers nothing
        retriever = Retriever(Library(open_index(_CORPUS, folder, embedder),
                                      [open_collection(collection(folder, _NAME), embedder)]), asking())
        retriever.find("warm")
        for question in questions:
            began = time.perf_counter()
            retriever.find(question)
            took.append(1000 * (time.perf_counter() - began))
    memory = psutil.Process().memory_full_info().uss / 1e6
    return statistics.median(took), statistics.quantiles(took, n=20)[-1], memory


def update(folder: Path, count: int, embedder: Embedder) -> Outcome:
    """What it takes a collection of so many files to notice that one has changed."""
    own, notes = collection(folder, "notes", new=True), folder / "notes"
    notes.mkdir()
    for number in range(count):
        (notes / f"{number}.md").write_text(f"# Note {number}\n\nIt says {number}.\n", encoding="utf-8")
    own.add([notes], embedder)
    (notes / "0.md").write_text("# Note 0\n\nIt says something else.\n", encoding="utf-8")
    return own.update(embedder)


def app(folder: Path, index: Path = _INDEX, asking: Callable[[], Embedder] = SentenceEmbedder) -> float:
    """The most memory that this process ever had, in MB, after the app in it has answered the questions."""
    import resource  # Windows has none

    from gui import service
    from gui.desk import Desk
    from gui.server import application

    library = service.Library(partial(Desk.open, _CORPUS, index, folder, folder, asking()))
    application(library, service.Places(folder, folder, folder, folder / "conversations.sqlite"))
    library.start()
    list(library.wait())
    for question in _questions():
        list(library.desk.assistant().ask(question))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _questions() -> list[str]:
    return [json.loads(line)["question"] for line in _QUESTIONS.read_text(encoding="utf-8").splitlines()]


def _in_a_process(what: str, folder: str, number: int) -> str:
    done = subprocess.run([sys.executable, "-m", "benchmarks.retrieval", what, folder, str(number)],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The benchmark's process failed:\n{done.stderr}")
    return done.stdout


def _silent(_done: float, _text: str) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    _, what, folder, number = sys.argv
    match what:
        case "build":
            build(Path(folder), int(number))
        case "search":
            sys.stdout.write(" ".join(map(str, search(Path(folder), int(number)))))
        case "update":
            sys.stdout.write(str(update(Path(folder), int(number), RandomEmbedder()).seconds))
        case "app":
            sys.stdout.write(str(app(Path(folder))))
