"""The benchmark of the search: its passages are in the corpus's words, and it measures what it built."""

from __future__ import annotations

import json

import numpy as np

from benchmarks import retrieval
from copilot.collection import collection
from copilot.corpus import load
from copilot.library import open_collection
from tests.copilot.fakes import write_corpus


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
