"""The answerers that can be chosen without typing."""

import pytest

from copilot.llms.found import choices, ollama_models, title
from tests.copilot.servers import serving


@pytest.mark.parametrize(("spec", "name"), [
    ("builtin", "Built-in answerer"), ("gguf:/a/b/small.gguf?n_ctx=8192", "small.gguf"),
    ("ollama:qwen3:4b", "qwen3:4b · Ollama"), ("ollama:qwen3:4b@http://127.0.0.1:9", "qwen3:4b · Ollama"),
    ("openai:http://127.0.0.1:8080/v1#big", "big · 127.0.0.1:8080"),
    ("openai:http://127.0.0.1:8080/v1", "127.0.0.1:8080"),
    ("transformers:/models/tiny", "tiny · transformers"), ("openai:127.0.0.1:8080/v1", "127.0.0.1:8080"),
    ("langchain:langchain_ollama:ChatOllama", "ChatOllama · LangChain"),
])
def test_an_answerer_has_a_name_that_people_read(spec, name):
    assert title(spec) == name


def test_ollamas_models_are_offered_in_order():
    with serving(lambda exchange: exchange.give({"models": [{"name": "b"}, {"name": "a:1b"}]})) as address:
        assert ollama_models(address) == ["a:1b", "b"]


@pytest.mark.parametrize("said", [{"error": "what?"}, [], {"models": [{}]}, {"models": None}])
def test_whoever_is_no_ollama_offers_nothing(said):
    with serving(lambda exchange: exchange.give(said)) as address:
        assert ollama_models(address) == []
    assert ollama_models("http://192.0.2.1:11434") == []      # not on this machine: not even asked


def test_whole_models_in_the_folder_are_offered_beside_the_built_in_answerer(tmp_path):
    (tmp_path / "small.gguf").write_bytes(b"GGUF" + bytes(1996))
    (tmp_path / "half.gguf.part").write_bytes(b"GGUF")
    with serving(lambda exchange: exchange.give({"models": [{"name": "qwen3:4b"}]})) as address:
        found = choices(tmp_path, address)
    assert [(one.spec, one.title) for one in found] == [
        ("builtin", "Built-in answerer"), (f"gguf:{tmp_path / 'small.gguf'}", "small.gguf · 2 kB"),
        ("ollama:qwen3:4b", "qwen3:4b · Ollama")]
