"""The benchmark of the search: its passages are in the corpus's words, and it measures what it built."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import retrieval
from copilot import collection as changes
from copilot.collection import collection
from copilot.corpus import load
from copilot.ingest.child import Reader
from copilot.library import open_collection
from tests.copilot.fakes import WordEmbedder, write_corpus


def test_a_synthetic_collection_has_its_size_and_is_searched(tmp_path, monkeypatch):
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"question": text}) + "\n" for text in ("Why clip?", "When to use PPO?")))
    monkeypatch.setattr(retrieval, "_CORPUS", write_corpus(tmp_path / "corpus"))
    monkeypatch.setattr(retrieval, "_QUESTIONS", questions)
    folder = tmp_path / "index"
    retrieval.build(folder, 45)
    own = open_collection(collection(folder, "large"), retrieval.RandomEmbedder())
    assert own.size == 45 and own.match('"policy"', 5)
    p50, p95, memory = retrieval.search(folder, 2, retrieval.RandomEmbedder)
    assert 0 < p50 <= p95 and memory > 10


def test_one_changed_file_among_many_costs_only_itself(tmp_path, monkeypatch):
    hashed, read, embedder = [], [], WordEmbedder()
    for place, name, seen in ((changes, "_hashed", hashed), (Reader, "read", read)):
        whole = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *given, whole=whole, seen=seen: seen.append(given) or whole(*given))
    outcome = retrieval.update(tmp_path, 200, embedder)
    assert (outcome.read, outcome.unchanged) == (1, 199)
    assert (len(hashed), len(read)) == (200 + 1, 200 + 1)      # once as they are added, and the one that changed
    assert sum("something else" in text for text in embedder.encoded) and len(embedder.encoded) < 3 * 200 + 5


APP = """
import sys
from pathlib import Path
from benchmarks import retrieval
from tests.copilot.fakes import WordEmbedder, write_corpus

folder = Path(sys.argv[1])
retrieval._CORPUS, retrieval._QUESTIONS = write_corpus(folder / "corpus"), folder / "questions.jsonl"
retrieval._QUESTIONS.write_text('{"question": "Why does PPO clip the ratio?"}')
print(retrieval.app(folder, folder / "index", WordEmbedder))
"""


@pytest.mark.slow
def test_the_app_s_memory_is_measured_when_it_has_answered(tmp_path):
    done = subprocess.run([sys.executable, "-c", APP, str(tmp_path)], capture_output=True, text=True, check=True)
    assert 50 < float(done.stdout) < 10_000


def test_passages_are_in_the_words_of_the_pages_and_the_same_every_time(tmp_path):
    pages = load(write_corpus(tmp_path))
    read = list(retrieval.passages(pages, 25))
    assert [len(one.chunks) for one in read] == [20, 5]
    words = {word.lower() for page in pages for word in page.text.split()}
    assert {word.lower().rstrip(".") for one in read for chunk in one.chunks for word in chunk.text.split()} <= words
    assert read == list(retrieval.passages(pages, 25))


def test_a_text_always_gets_the_same_unit_vector():
    one, other, again = retrieval.RandomEmbedder().encode_documents(["a", "b", "a"])
    assert np.array_equal(one, again) and abs(float(one @ one) - 1) < 1e-5 and abs(float(one @ other)) < 0.3
