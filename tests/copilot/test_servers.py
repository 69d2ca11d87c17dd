"""Answers by local servers: Ollama's protocol and OpenAI's, against stand-ins that speak them."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from copilot.llms.server import OllamaAnswerer, OpenAIAnswerer, ServerSettings, is_loopback
from rlcore.config import ConfigError
from tests.copilot.servers import Exchange, serving


class Ollama:
    """Knows one model with a window of 2048 tokens, and notes what it was asked."""

    def __init__(self) -> None:
        self.chats: list[dict] = []
        self.hung_up = threading.Event()
        self.behaviour = "speak"

    def __call__(self, exchange: Exchange) -> None:
        if exchange.path == "/api/tags":
            exchange.give({"models": [{"name": "tiny:1b"}, {"name": "other:7b"}]})
        elif exchange.path == "/api/show" and exchange.body["model"] == "cloud:1t":
            exchange.give({"remote_host": "https://far.example", "model_info": {}})
        elif exchange.path == "/api/show" and exchange.body["model"] == "tiny:1b":
            exchange.give({"model_info": {"llama.context_length": 2048}, "capabilities": ["thinking"]})
        elif exchange.path == "/api/show":
            exchange.give({"error": "not found"}, 404)
        else:
            self.chats.append(exchange.body)
            self.chat(exchange)

    def chat(self, exchange: Exchange) -> None:
        if self.behaviour == "refuse":
            exchange.give({"error": "prompt is too long"}, 400)
            return
        if self.behaviour == "read":           # the prompt, for ever: not even the headers come
            self.hung_up.set() if exchange.client_left() else None
            return
        exchange.begin()
        exchange.line(json.dumps({"message": {"content": "PPO "}, "done": False}))
        if self.behaviour == "hang":
            self.hung_up.set() if exchange.client_left() else None
            return
        if self.behaviour == "break":
            exchange.line(json.dumps({"error": "out of memory"}))
            return
        exchange.line(json.dumps({"message": {"content": "clips."}, "done": False}))
        exchange.line(json.dumps({"message": {"content": ""}, "done": True}))


class OpenAI:
    """A llama.cpp server with a window of 3000 tokens that counts a token per word."""

    def __init__(self, counts: bool = True) -> None:
        self.counts = counts
        self.chats: list[dict] = []
        self.keys: list[str | None] = []
        self.hung_up = threading.Event()
        self.behaviour = "speak"

    def __call__(self, exchange: Exchange) -> None:
        self.keys.append(exchange.headers.get("Authorization"))
        match exchange.path:
            case "/v1/models":
                exchange.give({"data": [{"id": "first"}, {"id": "second"}]})
            case "/props" if self.counts:
                exchange.give({"default_generation_settings": {"n_ctx": 3000}})
            case "/tokenize" if self.counts:
                exchange.give({"tokens": exchange.body["content"].split()})
            case "/v1/chat/completions":
                self.chats.append(exchange.body)
                self.chat(exchange)
            case _:
                exchange.give({"error": {"message": "no such path"}}, 404)

    def chat(self, exchange: Exchange) -> None:
        exchange.begin()
        exchange.line(": a comment keeps the connection open")
        for piece in (None, "PPO ", "clips."):
            exchange.line("data: " + json.dumps({"choices": [{"delta": {"content": piece}}]}) + "\n")
            if self.behaviour == "hang" and piece:
                self.hung_up.set() if exchange.client_left() else None
                return
        exchange.line("data: [DONE]\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_ollama_streams_and_is_told_the_window_so_that_it_cuts_nothing():
    with serving(server := Ollama()) as address:
        answerer = OllamaAnswerer("tiny:1b", address)
        assert "".join(answerer.generate("Why clip?")) == "PPO clips."
        (chat,) = server.chats
        assert chat["options"]["num_ctx"] == 2048 and chat["truncate"] is False and chat["think"] is False
        assert answerer.window == 2048
        assert answerer.room == 2048 - 500 - 96      # the window less the answer and the template


def test_openai_streams_with_the_server_s_own_count_and_window():
    with serving(server := OpenAI()) as address:
        answerer = OpenAIAnswerer(f"{address}/v1", settings=ServerSettings(source_tokens=9000))
        assert "".join(answerer.generate("Why clip?")) == "PPO clips."
        assert server.chats[0]["model"] == "first"   # none was named
        assert answerer.count("one two three") == 3
        assert (answerer.window, answerer.room) == (3000, 3000 - 500 - 96)


def test_a_server_that_tells_nothing_gets_a_cautious_budget():
    with serving(OpenAI(counts=False)) as address:
        answerer = OpenAIAnswerer(f"{address}/v1", "second", ServerSettings(source_tokens=9000))
        assert (answerer.window, answerer.room) == (4096, 4096 - 500 - 96)
        assert answerer.count("a gradient step") >= 3 and answerer.count("截断") >= 2
        told = OpenAIAnswerer(f"{address}/v1", settings=ServerSettings(context=16_000, source_tokens=9000))
        assert (told.window, told.room) == (16_000, 9000)


def test_a_server_s_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OUR_KEY", "secret")
    with serving(server := OpenAI()) as address:
        OpenAIAnswerer(f"{address}/v1", settings=ServerSettings(key_variable="OUR_KEY"))
        assert set(server.keys) == {"Bearer secret"}


@pytest.mark.parametrize("behaviour", ["hang", "read"])
def test_a_stop_closes_the_connection_also_before_the_first_word(behaviour):
    with serving(server := Ollama()) as address:
        server.behaviour = behaviour
        answerer = OllamaAnswerer("tiny:1b", address)
        heard: list[str] = []
        reader = threading.Thread(target=lambda: heard.extend(answerer.generate("Why clip?")))
        reader.start()
        while not (server.chats if behaviour == "read" else heard):
            reader.join(0.01)
        answerer.stop()
        reader.join(5)
        assert not reader.is_alive() and server.hung_up.wait(5)
        server.behaviour = "speak"
        assert "".join(answerer.generate("again")) == "PPO clips."


def test_a_reader_who_leaves_closes_the_connection():
    with serving(server := OpenAI()) as address:
        server.behaviour = "hang"
        pieces = OpenAIAnswerer(f"{address}/v1").generate("Why clip?")
        assert [next(pieces), next(pieces)] == ["", "PPO "]
        pieces.close()
        assert server.hung_up.wait(5)


@pytest.mark.parametrize(("behaviour", "said"), [
    ("refuse", "answered with status 400: prompt is too long"), ("break", "broke off the answer: out of memory")])
def test_what_a_server_says_went_wrong_is_passed_on(behaviour, said):
    with serving(server := Ollama()) as address:
        server.behaviour = behaviour
        with pytest.raises(ConfigError, match=said):
            list(OllamaAnswerer("tiny:1b", address).generate("Why clip?"))


def test_a_server_that_is_down_is_named_with_what_starts_it():
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:\d+ \(.*ollama serve"):
        OllamaAnswerer("tiny:1b", f"http://127.0.0.1:{free_port()}")


def test_a_server_that_dies_in_mid_answer_costs_one_sentence():
    def dies(exchange: Exchange) -> None:
        if exchange.path == "/api/show":
            exchange.give({"model_info": {}})
            return
        exchange.send_response(200)
        exchange.send_header("Content-Length", "1000")
        exchange.end_headers()
        exchange.line(json.dumps({"message": {"content": "PPO "}}))
        exchange.close_connection = True

    with serving(dies) as address:
        heard = []
        with pytest.raises(ConfigError, match="broke off in the middle"):
            heard.extend(OllamaAnswerer("x", address).generate("Why clip?"))
    assert heard == ["PPO "]


def test_a_missing_model_is_named_with_those_that_are_there():
    with serving(Ollama()) as address, pytest.raises(ConfigError, match=r"tinny:1b.*did you mean 'tiny:1b'.*other:7b"):
        OllamaAnswerer("tinny:1b", address)
    with serving(OpenAI()) as address, pytest.raises(ConfigError, match=r"no model 'third'.*first, second"):
        OpenAIAnswerer(f"{address}/v1", "third")


def test_another_kind_of_server_or_path_is_said_to_be_one():
    with serving(OpenAI()) as address:
        with pytest.raises(ConfigError, match=rf"no Ollama\..*choose openai:{address}/v1#first\."):
            OllamaAnswerer("first", address)
        with pytest.raises(ConfigError, match=r"usually ends in /v1\."):
            OpenAIAnswerer(address)


def test_nothing_leaves_this_machine_unless_it_is_allowed(monkeypatch):
    def refuse(_socket, address):
        raise AssertionError(f"tried to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for address in ("http://203.0.113.7:11434", "https://models.example/v1", "http://127.0.0.1.evil.example:1"):
        with pytest.raises(ConfigError, match="not on this machine"):
            OllamaAnswerer("tiny:1b", address)
        with pytest.raises(ConfigError, match="not on this machine"):
            OpenAIAnswerer(address)


def test_a_cloud_model_behind_a_local_server_is_refused():
    with serving(Ollama()) as address, pytest.raises(ConfigError, match=r"far\.example"):
        OllamaAnswerer("cloud:1t", address)


def test_proxies_are_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with serving(Ollama()) as address:
        assert list(OllamaAnswerer("tiny:1b", address).generate("x"))


@pytest.mark.parametrize(("host", "here"), [
    ("localhost", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("0.0.0.0", False),
    ("10.0.0.1", False), ("localhost.example", False), ("2130706433", False),
])
def test_which_hosts_are_this_machine(host, here):
    assert is_loopback(host) == here


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "http://", "file:///etc/passwd"])
def test_what_is_no_address_of_a_server_is_refused(address):
    with pytest.raises(ConfigError):
        OpenAIAnswerer(address)
