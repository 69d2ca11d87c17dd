"""The transformers answerer on a llama of a few thousand random weights and a byte tokenizer."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from copilot.llms.choose import open_answerer
from copilot.llms.folder import FolderAnswerer, FolderSettings
from rlcore.config import ConfigError

TEMPLATE = "{% for m in messages %}USER: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}BOT:{% endif %}"


def write_folder(folder: Path, width: int = 32, layers: int = 2) -> Path:
    """A model that never ends by itself, so that a stop is what ends it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = {letter: place for place, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", chat_template=TEMPLATE)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(fast), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=4, max_position_embeddings=3000, eos_token_id=None, bos_token_id=None))
    model.generation_config.eos_token_id = None
    with torch.no_grad():                      # it says short words only
        spoken = [place for letter, place in letters.items() if letter in "abcdĠ"]
        model.lm_head.weight[[place for place in range(len(fast)) if place not in spoken]] = 0
        model.lm_head.weight[spoken] *= 10
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("model") / "tiny")


def test_it_streams_in_the_model_s_own_chat_template(folder):
    answerer = FolderAnswerer(folder, FolderSettings(max_tokens=30, temperature=0.0))
    pieces = list(answerer.generate("Why clip?"))
    assert "".join(pieces) and "USER" not in "".join(pieces)
    asked = answerer._tokenizer.decode(answerer._inputs("Why clip?")["input_ids"][0])
    assert asked == "USER: Why clip?\nBOT:"
    assert "".join(answerer.generate("Why clip?")) == "".join(pieces)


def test_its_budget_is_counted_by_its_own_tokenizer(folder):
    answerer = FolderAnswerer(folder, FolderSettings(source_tokens=9000))
    assert answerer.count("abc é") == 6        # a token per byte
    assert (answerer.window, answerer.room) == (3000, 3000 - 500 - 96)     # the model's is smaller than the settings'


def test_a_stop_frees_the_model_that_writes_within_half_a_second_and_the_next_question_works(folder):
    answerer = FolderAnswerer(folder, FolderSettings(max_tokens=2500))
    pieces = answerer.generate("a")
    next(pieces)
    started = time.monotonic()
    answerer.stop()
    with answerer._turns._busy:                # the model itself has let go
        assert time.monotonic() - started < 0.5
    assert list(pieces) == []
    assert next(answerer.generate("again"))


def test_a_stop_frees_the_model_that_reads_a_long_prompt_within_half_a_second(tmp_path):
    answerer = FolderAnswerer(write_folder(tmp_path / "wide", width=512, layers=24), FolderSettings(max_tokens=16))
    reading = threading.Event()
    answerer._model.register_forward_pre_hook(lambda *_: reading.set())
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(answerer.generate("long words " * 250)))
    reader.start()
    assert reading.wait(30)
    started = time.monotonic()
    answerer.stop()
    reader.join(5)
    with answerer._turns._busy:                # the model itself has let go
        assert time.monotonic() - started < 0.5 and not heard


def test_a_missing_folder_and_a_broken_one_cost_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        FolderAnswerer(tmp_path / "nothing")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"has no tokenizer\. Give a folder with"):
        FolderAnswerer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"could not be loaded as a language model: .*[^ .:]\. Give a folder with"):
        FolderAnswerer(tmp_path)


def test_code_in_a_folder_is_never_run(tmp_path, folder):
    evil = tmp_path / "evil"
    evil.mkdir()
    for path in folder.iterdir():
        (evil / path.name).write_bytes(path.read_bytes())
    config = json.loads((evil / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (evil / "config.json").write_text(json.dumps(config))
    (evil / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ConfigError):
        open_answerer(f"transformers:{evil}")
    assert not (tmp_path / "ran").exists()


def test_weights_that_could_run_code_are_not_read(tmp_path, folder):
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for path in folder.iterdir():
        if path.suffix != ".safetensors":
            (pickled / path.name).write_bytes(path.read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ConfigError, match="safetensors"):
        FolderAnswerer(pickled)
