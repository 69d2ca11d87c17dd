"""How long a search takes in large collections, and how much memory: synthetic passages in the corpus's own words.

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
from pathlib import Path

import numpy as np

from copilot import store
from copilot.chunk import Chunk
from copilot.collection import collection
from copilot.corpus import Document, load
from copilot.embed import Embedder, Progress, SentenceEmbedder, Vectors
from copilot.index import open_index
from copilot.ingest.child import Read
from copilot.library import Library, open_collection
from copilot.retrieve import Retriever

SIZES = (10_000, 100_000)
_CORPUS, _QUESTIONS = Path("corpus"), Path("benchmarks/questions.jsonl")
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

    questions = [json.loads(line)["question"] for line in _QUESTIONS.read_text(encoding="utf-8").splitlines()]
    embedder, took = RandomEmbedder(), []
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


def _in_a_process(what: str, folder: str, number: int) -> str:
    done = subprocess.run([sys.executable, "-m", "benchmarks.retrieval", what, folder, str(number)],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The benchmark's process failed:\n{done.stderr}")
    return done.stdout


def _silent(_done: float, _text: str) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    if sys.argv[1] == "build":
        build(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.stdout.write(" ".join(map(str, search(Path(sys.argv[2]), int(sys.argv[3])))))
