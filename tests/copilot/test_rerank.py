"""The optional cross-encoder: a folder's model orders what was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from copilot.__main__ import main
from copilot.index import open_index
from copilot.rerank import CrossEncoder
from copilot.retrieve import Retriever
from rlcore.config import ConfigError
from tests.copilot.fakes import WordEmbedder, write_corpus
from tests.copilot.test_embed import WORDS


def write_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A BERT with random weights that judges pairs."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                        max_position_embeddings=40, initializer_range=0.5, num_labels=labels)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_pair_s_score_is_the_model_s_own(tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = write_cross_encoder(tmp_path / "ce")
    texts = ["sac learn a temperature", "ppo clips the ratio " * 20, "reinforcement learning documents"]
    scores = CrossEncoder(folder).scores("why does ppo clip", texts)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for text, score in zip(texts, scores, strict=True):
        with torch.inference_mode():
            pair = tokenizer("why does ppo clip", text, truncation=True, return_tensors="pt")
            assert score == pytest.approx(float(model(**pair).logits.sigmoid()), abs=1e-5)
    assert len({round(score, 4) for score in scores}) == 3


class Shortest:
    """Prefers short passages, and notes what it was asked."""

    def __init__(self):
        self.asked: list[str] = []

    def scores(self, question, texts):
        self.asked.append(question)
        return [-len(text) for text in texts]


def test_what_was_found_comes_in_the_reranker_s_order(tmp_path):
    embedder, judge = WordEmbedder(), Shortest()
    index = open_index(write_corpus(tmp_path / "corpus"), tmp_path / "index", embedder)
    plain = Retriever(index, embedder).find("Why does PPO clip the ratio?", limit=4).passages
    again = Retriever(index, embedder, reranker=judge).find("Why does PPO clip the ratio?", limit=4).passages
    assert judge.asked == ["Why does PPO clip the ratio?"]
    assert [len(one.text) for one in again] == sorted(len(one.text) for one in again) and len(again) == len(plain)
    assert {one.chunk.id for one in again} != {one.chunk.id for one in plain}      # from further down as well


def test_measuring_compares_ours_with_and_without_it(tmp_path, monkeypatch, capsys):
    write_corpus(tmp_path / "corpus")
    folder = write_cross_encoder(tmp_path / "ce")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("copilot.__main__.open_embedder", lambda _spec: WordEmbedder())
    Path("q.jsonl").write_text('{"id": "a", "question": "Why does PPO clip the ratio?", "pages": ["papers/ppo.md"]}')
    assert main(["measure", "--questions", "q.jsonl", "--out", "r", "--reranker", str(folder),
                 "--ablation", "ours", "ours + cross-encoder"]) == 0
    assert "| ours + cross-encoder |" in capsys.readouterr().out


def test_what_judges_no_pairs_costs_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        CrossEncoder(tmp_path)
    with pytest.raises(ConfigError, match="gives 3 scores"):
        CrossEncoder(write_cross_encoder(tmp_path / "three", labels=3))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="could not be loaded"):
        CrossEncoder(tmp_path)
