"""Embedders: any sentence-transformers folder, INSTRUCTOR folders with their instructions, and who made an index."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from copilot import build
from copilot.bert import Bert
from copilot.embed import Prompts, SentenceEmbedder, open_embedder, own_prompts
from copilot.index import open_index
from rlcore.config import ConfigError
from tests.copilot.fakes import WordEmbedder, write_corpus

WORDS = ("represent", "the", "question", "document", "for", "retrieval", "ppo", "clips", "ratio", "why", "does", "sac",
         "learn", "a", "temperature", "reinforcement", "learning", "retrieving", "supporting", "documents")


def write_instructor(folder: Path) -> Path:
    """A T5 encoder with random weights, laid out like hkunlp's models: Transformer, mean Pooling, Dense, Normalize."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    words = {word: place for place, word in enumerate(("<pad>", "</s>", "<unk>", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    torch.manual_seed(0)
    T5EncoderModel(T5Config(vocab_size=len(words), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
                   ).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
                            model_max_length=512).save_pretrained(folder)
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    paths = ("", "1_Pooling", "2_Dense", "3_Normalize")
    (folder / "modules.json").write_text(json.dumps([
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate(zip(kinds, paths, strict=True))]))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 512, "do_lower_case": False}))
    for path in paths[1:]:
        (folder / path).mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({
        "word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}))
    (folder / "2_Dense/config.json").write_text(json.dumps({
        "in_features": 32, "out_features": 24, "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity"}))
    save_file({"linear.weight": torch.randn(24, 32) / 6}, folder / "2_Dense/model.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_instructor(tmp_path_factory.mktemp("models") / "tiny-instructor")


def by_hand(folder: Path, instruction: str, text: str) -> np.ndarray:
    """INSTRUCTOR as its paper has it: the encoder reads both, the mean is over the text alone, then Dense, length 1."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, T5EncoderModel

    tokenizer, model = AutoTokenizer.from_pretrained(folder), T5EncoderModel.from_pretrained(folder).eval()
    skipped = len(tokenizer(instruction, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        states = model(**tokenizer(instruction + text, return_tensors="pt")).last_hidden_state[0]
        vector = load_file(folder / "2_Dense/model.safetensors")["linear.weight"] @ states[skipped:].mean(0)
        return (vector / vector.norm()).numpy()


def test_instructor_vectors_are_those_computed_by_hand(folder):
    embedder = SentenceEmbedder(folder)
    texts = ["PPO clips the ratio", "why does sac learn a temperature", "reinforcement learning documents"]
    vectors = embedder.encode_documents(texts)
    for text, vector in zip(texts, vectors, strict=True):
        assert vector @ by_hand(folder, embedder.prompts.document, text) >= 0.999
        assert embedder.encode_query(text) @ by_hand(folder, embedder.prompts.query, text) >= 0.999


def test_an_instruction_that_counted_in_the_mean_would_be_seen(folder):
    """The mistake that the library makes with a local folder: the test above can fail."""
    wrong = SentenceEmbedder(folder, Prompts(**{**vars(own_prompts(folder)), "pooled": True}))
    right = by_hand(folder, wrong.prompts.query, "PPO clips the ratio")
    assert wrong.encode_query("PPO clips the ratio") @ right < 0.99


def test_queries_and_documents_have_instructions_of_their_own(folder):
    embedder = open_embedder(f"instructor:{folder}?query=represent the question for retrieval: ")
    assert embedder.prompts.query == "represent the question for retrieval: "
    assert embedder.prompts.document == own_prompts(folder).document != embedder.prompts.query
    text = "PPO clips the ratio"
    assert embedder.encode_query(text) @ embedder.encode_documents([text])[0] < 0.9999


def test_any_sentence_transformers_folder_with_its_own_prompts(tmp_path):
    plain = write_instructor(tmp_path / "plain")
    assert own_prompts(plain) == Prompts()
    vector = open_embedder(str(plain)).encode_query("PPO clips the ratio")
    assert vector @ by_hand(plain, "", "PPO clips the ratio") >= 0.999
    (plain / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "why ", "document": ""}}))
    told = open_embedder(str(plain))
    assert told.prompts == Prompts("why ", "")
    assert told.encode_query("PPO clips") @ open_embedder(str(plain)).encode_documents(["why PPO clips"])[0] >= 0.999


def write_bert(folder: Path, pooling: str) -> Path:
    """A BERT with random weights and the words above, laid out like sentence-transformers' own models."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                        max_position_embeddings=40, initializer_range=0.3)
    BertModel(config).save_pretrained(folder)
    (folder / "modules.json").write_text(json.dumps([
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate([("Transformer", ""), ("Pooling", "1_Pooling")])]))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({
        "word_embedding_dimension": 24, "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_max_tokens": pooling == "max",
        "pooling_mode_mean_sqrt_len_tokens": False}))
    return folder


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_bert_read_from_its_folder_makes_the_library_s_vectors(pooling, onednn, tmp_path, monkeypatch):
    import torch
    from sentence_transformers import SentenceTransformer

    folder = write_bert(tmp_path / "bert", pooling)
    texts = ["why does PPO clip the ratio", "sac", "learning " * 30, "a question for the document", ""]
    expected = SentenceTransformer(str(folder), device="cpu").encode(["why " + text for text in texts])
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
    assert Bert.fits(folder)
    bert = Bert(folder, rounded=False)
    with torch.inference_mode():
        vectors = bert(bert.preprocess(texts, "why ")).numpy()
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert expected.std() > 0.1
    assert bert.lengths(texts) == [8, 3, 16, 7, 2]


def test_what_a_folder_holds_besides_a_bert_is_left_to_the_library(folder, tmp_path):
    assert not Bert.fits(folder)
    assert not Bert.fits(write_bert(tmp_path / "max", "max"))
    relu = write_bert(tmp_path / "relu", "mean")
    (relu / "config.json").write_text((relu / "config.json").read_text().replace('"gelu"', '"relu"'))
    assert not Bert.fits(relu)


def test_minilm_needs_none_of_the_heavy_libraries():
    code = ("import sys; from copilot.embed import open_embedder; open_embedder().warm(); "
            "print({'transformers', 'sentence_transformers', 'sklearn'} & {*sys.modules})")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_order_of_texts_is_kept(folder):
    texts = ["ppo " * 30, "sac", "why does ppo clip", "ratio " * 9]
    embedder = SentenceEmbedder(folder)
    together = embedder.encode_documents(texts)
    for text, vector in zip(texts, together, strict=True):
        assert vector @ embedder.encode_documents([text])[0] > 0.999


def test_an_embedder_s_identity_changes_with_its_weights_and_its_instructions(folder, tmp_path):
    plain = SentenceEmbedder(folder).identity
    assert SentenceEmbedder(folder).identity == plain
    assert open_embedder(f"instructor:{folder}?query=x").identity != plain
    assert SentenceEmbedder(folder, Prompts()).identity != plain
    other = write_instructor(tmp_path / "tiny-instructor")
    (other / "2_Dense/config.json").write_text((other / "2_Dense/config.json").read_text() + " ")
    assert SentenceEmbedder(other).identity != plain


def test_an_index_of_another_embedder_is_built_anew_with_progress(folder, tmp_path):
    corpus, index = write_corpus(tmp_path / "c"), tmp_path / "i"
    seen: list[float] = []

    def similarity(embedder: SentenceEmbedder) -> float:
        seen.clear()
        opened = open_index(corpus, index, embedder, lambda done, _text: seen.append(done))
        return opened.closeness(embedder.encode_query("why does ppo clip"), [0])[0].passage

    first = similarity(SentenceEmbedder(folder))
    assert seen and seen[-1] == 1.0
    assert similarity(SentenceEmbedder(folder)) == first and not seen      # nothing to do
    assert similarity(open_embedder(f"instructor:{folder}?document=ratio ratio ratio ")) != first and seen


@pytest.mark.parametrize(("text", "said"), [
    ("nowhere", "no modules.json"), ("instructor:nowhere", "no modules.json"), ("minilm-x", "no modules.json"),
])
def test_what_is_no_model_costs_one_sentence(text, said):
    with pytest.raises(ConfigError, match=said):
        open_embedder(text)


def test_an_unknown_setting_is_named(folder):
    with pytest.raises(ConfigError, match="passage"):
        open_embedder(f"{folder}?passage=x")


def test_a_damaged_folder_costs_one_sentence(tmp_path):
    (tmp_path / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", '
                                           '"type": "sentence_transformers.models.Transformer"}]')
    with pytest.raises(ConfigError, match="could not be loaded"):
        SentenceEmbedder(tmp_path).encode_query("x")


def test_what_a_build_that_was_ended_has_embedded_serves_the_next_one(tmp_path, monkeypatch):
    class Ended(WordEmbedder):
        def encode_documents(self, texts, progress=None):
            if self.encoded:
                raise KeyboardInterrupt
            return super().encode_documents(texts, progress)

    monkeypatch.setattr(build, "_BATCH", 10)
    corpus, first, second = write_corpus(tmp_path / "corpus"), Ended(), WordEmbedder()
    with pytest.raises(KeyboardInterrupt):
        open_index(corpus, tmp_path / "ix", first)
    index = open_index(corpus, tmp_path / "ix", second)
    assert first.encoded and not set(first.encoded) & set(second.encoded)
    assert index.near(second.encode_query("clip the ratio"), 5) == open_index(
        corpus, tmp_path / "other", WordEmbedder()).near(second.encode_query("clip the ratio"), 5)
    assert len(list((tmp_path / "ix").glob("build-*"))) == 1


def test_two_embedders_that_take_turns_embed_nothing_twice(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    for name in ("words-1", "words-2"):
        open_index(corpus, tmp_path / "ix", WordEmbedder(name))
    for name in ("words-1", "words-2", "words-1"):
        embedder = WordEmbedder(name)
        index = open_index(corpus, tmp_path / "ix", embedder)
        assert embedder.encoded == []
        vector = embedder.encode_query("the temperature of SAC weighs entropy against reward")
        assert index.chunks[index.near(vector, 20)[0]].doc_path == "papers/sac.md"
