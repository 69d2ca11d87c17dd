"""The OpenAI-compatible endpoint, asked over real HTTP."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from copilot.assistant import Assistant, Reply
from copilot.llms.base import complete
from copilot.serve import conversation, pieces, serving
from rlcore.config import ConfigError
from tests.copilot.fakes import WordEmbedder, write_corpus

QUESTION = "Why does PPO clip the probability ratio?"


@pytest.fixture(scope="module")
def assistant(tmp_path_factory) -> Assistant:
    root = tmp_path_factory.mktemp("serving")
    return Assistant.open(write_corpus(root / "corpus"), root / "index", embedder=WordEmbedder())


@pytest.fixture
def port(assistant) -> Iterator[int]:
    with serving(assistant, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def call(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, raw, {"Content-Type": "application/json", **given})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def chat(question: str = QUESTION, **more: Any) -> dict[str, Any]:
    return {"model": "rl-copilot", "messages": [{"role": "user", "content": question}], **more}


def test_its_one_model_is_listed(port):
    status, raw = call(port, "GET", "/v1/models")
    assert status == 200 and [entry["id"] for entry in json.loads(raw)["data"]] == ["rl-copilot"]
    assert call(port, "GET", "/v1/models/rl-copilot")[0] == 200


def test_an_answer_has_its_citations_in_the_text(port):
    status, raw = call(port, "POST", "/v1/chat/completions", chat())
    answer = json.loads(raw)
    (choice,) = answer["choices"]
    text = choice["message"]["content"]
    assert status == 200 and answer["object"] == "chat.completion" and choice["finish_reason"] == "stop"
    assert "[1]" in text and "**Sources**\n\n1. " in text and "`papers/ppo.md`" in text
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_a_streamed_answer_is_the_same_in_pieces(port):
    whole = json.loads(call(port, "POST", "/v1/chat/completions", chat())[1])["choices"][0]["message"]["content"]
    status, raw = call(port, "POST", "/v1/chat/completions", chat(stream=True))
    events = [line.removeprefix("data: ") for line in raw.decode().split("\n\n") if line]
    assert status == 200 and events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole


def test_a_request_is_answered_with_the_script_and_names_no_button(port):
    status, raw = call(port, "POST", "/v1/chat/completions", chat("train PPO on CartPole"))
    text = json.loads(raw)["choices"][0]["message"]["content"]
    assert status == 200 and 'rl.train("ppo", "CartPole-v1"' in text and "Open it" not in text


def test_the_turns_before_the_question_are_its_history():
    assert conversation([
        {"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "What is PPO?"},
        {"role": "assistant", "content": "An algorithm."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "SAC?"}]},
    ]) == ("And\nSAC?", [("What is PPO?", "An algorithm.")])


@pytest.mark.parametrize(("body", "status", "said"), [
    (b"{", 400, "no JSON object"), ([], 400, "no JSON object"), ({"messages": "x"}, 400, "must be a list"),
    (chat(""), 400, "last message"), ({"messages": []}, 400, "last message"),
    (chat(model="gpt-5"), 404, "no model 'gpt-5'"), (chat(model="\ud83d"), 404, "no model '\ud83d'"),
    (b"[" * 200_000, 400, "no JSON object"),
])
def test_a_bad_request_gets_an_error_as_openai_writes_it(port, body, status, said):
    got, raw = call(port, "POST", "/v1/chat/completions", body)
    error = json.loads(raw)["error"]
    assert got == status and said in error["message"] and error["type"] == "invalid_request_error"


@pytest.mark.parametrize(("headers", "status"), [
    ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Host": "evil.example"}, 403),
    ({"Host": "127.0.0.1.evil.example"}, 403), ({"Content_Type": "text/plain"}, 415),
    ({"Content_Length": "99999999"}, 413), ({"Origin": "http://localhost:3000"}, 200),
])
def test_no_website_can_ask_through_the_browser(port, headers, status):
    got, _ = call(port, "POST", "/v1/chat/completions", chat(), **headers)
    assert got == status


@pytest.mark.parametrize("headers", [
    {"Host": "[::1"}, {"Origin": "http://[::1"}, {"Content_Length": "\xb2"}, {"Content_Length": "9" * 5000},
])
def test_a_request_that_cannot_be_read_is_answered(port, headers):
    status, raw = call(port, "POST", "/v1/chat/completions", chat(), **headers)
    assert status == 400 and "host, path or length cannot be read" in json.loads(raw)["error"]["message"]


def test_half_a_character_in_a_question_costs_that_character(port):
    status, raw = call(port, "POST", "/v1/chat/completions", chat(f"{QUESTION} \ud83d"))
    assert status == 200 and "PPO clips" in json.loads(raw)["choices"][0]["message"]["content"]


def test_other_paths_are_named(port):
    status, raw = call(port, "GET", "/v1/embeddings")
    assert status == 404 and "POST /v1/chat/completions" in json.loads(raw)["error"]["message"]


def test_it_listens_on_this_machine_only(assistant, port):
    with pytest.raises(ConfigError, match="other machines"):
        serving(assistant, host="0.0.0.0")
    with pytest.raises(ConfigError, match="cannot be used"):
        serving(assistant, port=port)


class Model:
    """Fails, or speaks until its reader leaves."""

    def __init__(self, failure: Exception | None) -> None:
        self.failure, self.left = failure, threading.Event()

    def stream(self, found, history=()):
        text = ""
        try:
            while True:
                text += "PPO clips. \n\n"
                yield text
                if self.failure:
                    raise self.failure
        finally:
            self.left.set()

    def stop(self) -> None:
        """Its reader leaves."""


@pytest.fixture
def speaking(assistant, port, request) -> Iterator[tuple[Model, int]]:
    model = Model(request.param)
    before, assistant.answerer = assistant.answerer, model
    yield model, port
    assistant.answerer = before


@pytest.mark.parametrize(("speaking", "said"), [
    (ConfigError("the model has ended"), "the model has ended"), (ValueError("no such token"), "no such token"),
    (ConnectionError("no Ollama"), "no Ollama"), (AssertionError(), "AssertionError"),
], indirect=["speaking"])
def test_a_model_that_fails_costs_one_sentence(speaking, said):
    status, raw = call(speaking[1], "POST", "/v1/chat/completions", chat())
    assert status == 500 and json.loads(raw)["error"]["message"] == said
    _, raw = call(speaking[1], "POST", "/v1/chat/completions", chat(stream=True))
    assert f'"message": "{said}"' in raw.decode() and raw.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("speaking", [None], indirect=True)
def test_a_client_that_leaves_ends_the_generation(speaking):
    model, port = speaking
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps(chat(stream=True)),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    while b"PPO clips" not in (line := response.readline()):
        assert line
    response.close()
    connection.close()
    assert model.left.wait(10)


def test_what_was_sent_is_never_taken_back():
    def reply(text: str, done: bool = False) -> Reply:
        return Reply(text, (), abstained=False, done=done)

    growing = [reply("One"), reply("One [1].\n\nTw"), reply("One [1].\n\nTwo.\n\n"),
               reply("One [1].\n\nTwo. [2]", done=True)]
    assert list(pieces(iter(growing))) == ["One [1].\n\n", "Two.\n\n", "\n\nOne [1].\n\nTwo. [2]"]
    calm = [*growing[:2], reply("One [1].\n\nTwo. [2]", done=True)]
    assert list(pieces(iter(calm))) == ["One [1].\n\n", "Two. [2]"]


@pytest.mark.parametrize(("text", "kept"), [
    ("one", ""), ("one\n\ntwo", "one\n\n"), ("one\n\n```\na\n\nb", "one\n\n"),
    ("```\na\n\nb\n```\n\nc", "```\na\n\nb\n```\n\n"), ("a\n\n$$\nx\n\ny", "a\n\n"), ("", ""),
])
def test_a_growing_text_is_complete_up_to_its_last_block(text, kept):
    assert text[:complete(text)] == kept
