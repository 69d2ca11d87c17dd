"""Models that a local server runs: Ollama, and whatever speaks OpenAI's protocol (llama.cpp, vLLM, LM Studio, …).

Only this machine's own addresses are contacted unless the settings say otherwise; proxies are never used and
redirects never followed. A stop closes the connection, which both kinds of server take as the end of the generation.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from copilot.llms.base import estimate
from copilot.llms.turns import ModelAnswerer, Turn
from rlcore.config import ConfigError, check_ranges, nearest, setting

OLLAMA = "http://127.0.0.1:11434"
_CONTEXT = 4096                    # tokens, where neither the settings nor the server say
_PROBE_S = 10.0                    # for the small questions about the server itself
_SHOWN = 8                         # models named in an error

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a server's model is asked."""

    context: int = setting(0, "context window; 0: the server's own, or 4096 where it does not say", low=0,
                           unit="tokens")
    max_tokens: int = setting(500, "longest answer", low=16, unit="tokens")
    source_tokens: int = setting(1800, "longest prompt; a CPU reads some 70 tokens a second", low=128, unit="tokens")
    temperature: float = setting(0.2, "randomness of the wording", low=0.0, high=2.0)
    wait_s: float = setting(300.0, "longest silence before the answer is given up", low=1.0, unit="s")
    key_variable: str = setting("", "environment variable that holds the server's key, if it wants one")
    allow_remote: bool = setting(False, "let questions and passages leave this machine")

    def __post_init__(self) -> None:
        check_ranges(self)


class OllamaAnswerer(ModelAnswerer):
    """Lets a model of an Ollama server write the answers.

    Raises:
        ConfigError: no server answers, it lacks the model, or the address is not this machine's.
    """

    def __init__(self, model: str, address: str = OLLAMA, settings: ServerSettings | None = None):
        self.model, self.settings = model, settings or ServerSettings()
        self._server = _Server("Ollama", "Start it with: ollama serve", address, self.settings)
        about = self._about()
        if about.get("remote_host") and not self.settings.allow_remote:
            raise ConfigError(f"Ollama's model '{model}' runs at {about['remote_host']}, not on this machine. "
                              "Choose a local model, or set allow_remote=true.")
        limits = [value for key, value in about.get("model_info", {}).items() if key.endswith(".context_length")]
        self._thinks = "thinking" in about.get("capabilities", ())
        super().__init__(min(self.settings.context or _CONTEXT, *limits, 10**9), self.settings.max_tokens,
                         self.settings.source_tokens)

    def count(self, text: str) -> int:
        """Tokens of a text, rather too many: Ollama lends nobody its tokenizer."""
        return estimate(text)

    def _about(self) -> Json:
        """What the server knows about the model."""
        status, about = self._server.ask("POST", "/api/show", {"model": self.model})
        if status == 404:
            tags = self._server.ask("GET", "/api/tags")[1]
            if not isinstance(tags, dict) or "models" not in tags:
                raise ConfigError(f"The server at {self._server.address} is no Ollama. If it speaks OpenAI's protocol, "
                                  f"choose openai:{self._server.address}/v1#{self.model}.")
            raise _no_model("Ollama", self.model, [entry.get("name", "") for entry in tags["models"] or []],
                            f"Fetch it with: ollama pull {self.model}")
        return self._server.good(status, about)

    def _speak(self, text: str, turn: Turn) -> Generator[str]:
        options = {"num_ctx": self.window, "num_predict": self.settings.max_tokens,
                   "temperature": self.settings.temperature}
        request: Json = {"model": self.model, "messages": [{"role": "user", "content": text}], "stream": True,
                         "options": options, "truncate": False, "shift": False}    # better an error than a cut prompt
        if self._thinks:
            request["think"] = False       # thoughts fill the window and are not shown
        for line in self._server.lines("/api/chat", request, turn):
            said = _parsed(line)
            self._server.complain(said)
            yield said.get("message", {}).get("content") or ""
            if said.get("done"):
                return
        raise self._server.broken()


class OpenAIAnswerer(ModelAnswerer):
    """Lets a server that speaks OpenAI's protocol write the answers; without a model's name, by its first model.

    Raises:
        ConfigError: no server answers, it lacks the model, or the address is not this machine's.
    """

    def __init__(self, address: str, model: str = "", settings: ServerSettings | None = None):
        self.settings = settings or ServerSettings()
        self._server = _Server("OpenAI-compatible", "Start it, or check the address", address, self.settings)
        entry = self._entry(model)
        self.model = str(entry["id"])
        self._exact = self._tokens("two words") is not None
        super().__init__(self.settings.context or self._window(entry), self.settings.max_tokens,
                         self.settings.source_tokens)

    def count(self, text: str) -> int:
        """Tokens of a text: the server's own count where it gives one (llama.cpp, vLLM), rather too many elsewhere."""
        exact = self._tokens(text) if self._exact else None
        return estimate(text) if exact is None else exact

    def _entry(self, model: str) -> Json:
        """The model's entry in the server's list."""
        status, said = self._server.ask("GET", "/models")
        if status == 404:
            raise ConfigError(f"The server at {self._server.address} has no list of models there (status 404). "
                              "Check the address; it usually ends in /v1.")
        listed = self._server.good(status, said).get("data") or []
        for entry in listed:
            if not model or entry.get("id") == model:
                return dict(entry)
        raise _no_model(f"The server at {self._server.address}", model, [entry.get("id", "") for entry in listed],
                        "Load it there first.")

    def _tokens(self, text: str) -> int | None:
        status, said = self._server.ask("POST", "/tokenize", {
            "model": self.model, "prompt": text, "content": text, "add_special_tokens": False}, root=True)
        if status != 200 or not isinstance(said, dict):
            return None
        tokens = said.get("tokens")
        return len(tokens) if isinstance(tokens, list) else said.get("count")

    def _window(self, entry: Json) -> int:
        """The context window, from wherever this kind of server tells it."""
        for key in ("max_model_len", "context_length", "max_context_length"):
            if isinstance(entry.get(key), int):
                return int(entry[key])
        status, props = self._server.ask("GET", "/props", root=True)
        window = props.get("default_generation_settings", {}).get("n_ctx") if status == 200 else None
        return int(window) if window else _CONTEXT

    def _speak(self, text: str, turn: Turn) -> Generator[str]:
        request = {"model": self.model, "messages": [{"role": "user", "content": text}], "stream": True,
                   "max_tokens": self.settings.max_tokens, "temperature": self.settings.temperature}
        for line in self._server.lines("/chat/completions", request, turn):
            field, _, value = line.partition(":")
            if field != "data":
                continue
            if value.strip() == "[DONE]":
                return
            said = _parsed(value)
            self._server.complain(said)
            for choice in said.get("choices", [])[:1]:
                yield choice.get("delta", {}).get("content") or ""
                if choice.get("finish_reason"):
                    return
        raise self._server.broken()


class _Server:
    """One server: small questions, and answers line by line."""

    def __init__(self, kind: str, remedy: str, address: str, settings: ServerSettings):
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"'{address}' is no address of a server. Give one like {OLLAMA}.")
        if not settings.allow_remote and not is_loopback(parts.hostname):
            raise ConfigError(f"'{address}' is not on this machine, and nothing leaves it by default. "
                              "Use a server on 127.0.0.1, or set allow_remote=true.")
        self.address, self._kind, self._remedy = address, kind, remedy
        self._secure, self._host, self._path = parts.scheme == "https", parts.hostname, parts.path.rstrip("/")
        self._port = parts.port or (443 if self._secure else 80)
        self._wait_s = settings.wait_s
        key = os.environ.get(settings.key_variable, "") if settings.key_variable else ""
        self._headers = {"Content-Type": "application/json", "Connection": "close",
                         **({"Authorization": f"Bearer {key}"} if key else {})}

    def ask(self, method: str, path: str, body: Json | None = None, *, root: bool = False) -> tuple[int, Any]:
        """Status and JSON of a small question; `root`: beside the protocol's own path."""
        with closing(self._connection(_PROBE_S)) as connection:
            prefix = self._path.removesuffix("/v1") if root else self._path
            try:
                connection.request(method, prefix + path, json.dumps(body) if body else None, self._headers)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._down(error) from None
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, {"error": text[:200].decode(errors="replace")}

    def lines(self, path: str, body: Json, turn: Turn) -> Iterator[str]:
        """The lines of a long answer; none after the turn was stopped."""
        with closing(self._connection(self._wait_s)) as connection:
            try:
                connection.connect()
                line = connection.sock         # getresponse() takes it from the connection
                turn.on_stop(lambda: _hang_up(line))
                connection.request("POST", self._path + path, json.dumps(body), self._headers)
                response = connection.getresponse()
                if response.status != 200:
                    text = response.read()
                    self.good(response.status, _parsed(text.decode(errors="replace")))
                while raw := response.readline():
                    if text_line := raw.decode(errors="replace").strip():
                        yield text_line
            except TimeoutError:
                raise ConfigError(f"The {self._kind} server at {self.address} said nothing for {self._wait_s:g} s. "
                                  "Try a smaller model, fewer source_tokens or a larger wait_s.") from None
            except (OSError, http.client.HTTPException) as error:
                raise self._down(error) from None

    def good(self, status: int, said: Any) -> Json:
        """The JSON of an answer that is one."""
        if status != 200 or not isinstance(said, dict):
            raise ConfigError(f"The {self._kind} server at {self.address} answered with status {status}: "
                              f"{_reason(said)}")
        return said

    def complain(self, said: Json) -> None:
        """Raise what a server says went wrong in the middle of an answer."""
        if said.get("error"):
            raise ConfigError(f"The {self._kind} server at {self.address} broke off the answer: {_reason(said)}")

    def broken(self) -> ConfigError:
        """What to say of an answer without an end."""
        return ConfigError(f"The {self._kind} server at {self.address} broke off in the middle of the answer. "
                           "Its own log may say why; ask again.")

    def _connection(self, wait_s: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=wait_s)

    def _down(self, error: Exception) -> ConfigError:
        reason = str(error) or type(error).__name__
        return ConfigError(f"No {self._kind} server answers at {self.address} ({reason}). {self._remedy}.")


def is_loopback(host: str) -> bool:
    """Whether a host's name can only mean this machine."""
    if host.lower() == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _hang_up(line: socket.socket | None) -> None:
    with suppress(OSError):                # it was over already
        if line:
            line.shutdown(socket.SHUT_RDWR)    # unlike close, it wakes the thread that reads


def _parsed(text: str) -> Json:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"error": f"no JSON: {text[:100]!r}"}


def _reason(said: Any) -> Any:
    """What a server says went wrong."""
    reason = said.get("error", said) if isinstance(said, dict) else said
    return reason.get("message", reason) if isinstance(reason, dict) else reason


def _no_model(who: str, model: str, known: list[str], remedy: str) -> ConfigError:
    named = f" It has {', '.join(sorted(known)[:_SHOWN])}." if known else ""
    return ConfigError(f"{who} has no model '{model}'{nearest(model, known) or '.'}{named} {remedy}")
