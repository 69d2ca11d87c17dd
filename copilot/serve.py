"""The copilot as an OpenAI-compatible server on this machine, for editors and scripts.

`GET /v1/models` and `POST /v1/chat/completions`, whole or streamed. It listens on loopback only, and answers no page
that a browser has open: a foreign Origin or Host is refused, so neither a website nor a rebound name can ask.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from copilot.about_run import ask
from copilot.assistant import Assistant, Reply, Source
from copilot.conversations import listed
from copilot.llms.base import History, estimate
from copilot.llms.server import is_loopback
from copilot.stream import settled
from rlcore.config import ConfigError

MODEL = "rl-copilot"
PORT = 8765
_LARGEST = 4 << 20                 # bytes of a request

Asks = Callable[[str, History], Generator[Reply]]
Json = dict[str, Any]


class Refused(Exception):
    """A request that cannot be answered: a status, and why."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


def serving(assistant: Assistant, host: str = "127.0.0.1", port: int = PORT) -> ThreadingHTTPServer:
    """A server that is bound and not yet running; port 0 takes a free one.

    Raises:
        ConfigError: the host is not this machine alone, or the port is taken.
    """
    if not is_loopback(host):
        raise ConfigError(f"'{host}' can be reached from other machines; the copilot serves this one only. "
                          "Use 127.0.0.1.")
    assistant.has_page = False
    handler = type("Answering", (_Handler,), {"asks": staticmethod(
        lambda question, history: ask(assistant, question, history))})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise ConfigError(f"Port {port} cannot be used ({error.strerror}). Choose another with --port.") from None
    server.daemon_threads = True
    return server


def conversation(messages: Any) -> tuple[str, list[tuple[str, str]]]:
    """The question in a list of OpenAI's messages, and the turns before it. System messages are not ours to obey.

    Raises:
        Refused: it holds no question.
    """
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refused(400, "'messages' must be a list of {\"role\", \"content\"}.")
    history: list[tuple[str, str]] = []
    question = ""
    for message in messages:
        text = _text(message.get("content"))
        if message.get("role") == "user":
            question = text
        elif message.get("role") == "assistant" and question:
            history.append((question, text))
            question = ""
    if not question.strip():
        raise Refused(400, "The last message must be the user's, with a question in words.")
    return question, history


def pieces(replies: Iterator[Reply]) -> Iterator[str]:
    """An answer piece by piece, sources last; a piece once sent is never taken back."""
    sources: tuple[Source, ...] = ()
    for piece, reply in settled(replies):
        sources = reply.sources
        if piece:
            yield piece
    if sources:
        yield f"\n\n**Sources**\n\n{listed(sources)}"


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    asks: Asks

    def do_GET(self) -> None:
        """The list of models."""
        self._answer({"/v1/models": self._models, f"/v1/models/{MODEL}": self._model})

    def do_POST(self) -> None:
        """An answer."""
        self._answer({"/v1/chat/completions": self._chat})

    def log_message(self, *_: object) -> None:
        """Questions are nobody's business, not even a log's."""

    def _answer(self, paths: dict[str, Callable[[], None]]) -> None:
        try:
            self._require_local()
            path = urlsplit(self.path).path.rstrip("/")
            if path not in paths:
                raise Refused(404, f"There is no {self.command} {path}. Known: GET /v1/models, "
                                   "POST /v1/chat/completions.")
            paths[path]()
        except Refused as refused:
            self._refuse(refused)
        except ValueError as error:
            self._refuse(Refused(400, f"The request's host, path or length cannot be read ({error})."))
        except ConnectionError:
            self.close_connection = True   # whoever asked has left

    def _refuse(self, refused: Refused) -> None:
        self.close_connection = True       # what it sent may not have been read
        kind = "invalid_request_error" if refused.status < 500 else "server_error"
        self._give({"error": {"message": str(refused), "type": kind, "param": None, "code": None}}, refused.status)

    def _require_local(self) -> None:
        origin = self.headers.get("Origin")
        for given in (self.headers.get("Host", ""), urlsplit(origin).netloc if origin else None):
            if given is not None and not is_loopback(urlsplit(f"//{given}").hostname or ""):
                raise Refused(403, f"'{given}' is not this machine.")

    def _models(self) -> None:
        self._give({"object": "list", "data": [_entry()]})

    def _model(self) -> None:
        self._give(_entry())

    def _chat(self) -> None:
        request = self._request()
        if request.get("model", MODEL) != MODEL:
            raise Refused(404, f"There is no model '{request['model']}'. The only one is '{MODEL}'.")
        question, history = conversation(request.get("messages"))
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": MODEL}
        with closing(self._pieces(question, history)) as said:
            if request.get("stream"):
                self._stream(head, said)
                return
            text = "".join(said)
        counts = [estimate(question), estimate(text)]
        self._give({**head, "object": "chat.completion", "choices": [{
            "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), [*counts, sum(counts)],
                              strict=True))})

    def _pieces(self, question: str, history: History) -> Generator[str]:
        try:
            with closing(self.asks(question, history)) as replies:
                yield from pieces(replies)
        except Exception as error:         # a model can fail in any way, and whoever asked must hear of it
            raise Refused(500, str(error) or type(error).__name__) from error

    def _stream(self, head: Json, said: Iterator[str]) -> None:
        """Server-sent events, as OpenAI's."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self._event({**head, "object": "chat.completion.chunk", "choices": [_choice({"role": "assistant"})]})
        try:
            for piece in said:
                self._event({**head, "object": "chat.completion.chunk", "choices": [_choice({"content": piece})]})
            self._event({**head, "object": "chat.completion.chunk", "choices": [_choice({}, "stop")]})
        except Refused as refused:         # the status is sent already
            self._event({"error": {"message": str(refused), "type": "server_error", "param": None, "code": None}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, value: Json) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def _request(self) -> Json:
        if self.headers.get_content_type() != "application/json":      # a page's form could send other kinds unasked
            raise Refused(415, "The request must have Content-Type: application/json.")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _LARGEST:
            raise Refused(413, f"The request must say its Content-Length, at most {_LARGEST:,} bytes.")
        try:
            request = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise Refused(400, "The request is no JSON object.")
        return request

    def _give(self, value: Json, status: int = 200) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _entry() -> Json:
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": "this machine"}


def _choice(delta: Json, finish: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _text(content: Any) -> str:
    """A message's words: a string, or OpenAI's list of parts of which some are text. Half a character becomes a `?`."""
    parts = content if isinstance(content, list) else [content]
    text = "\n".join(part if isinstance(part, str) else str(part.get("text") or "")
                     for part in parts if isinstance(part, str | dict))
    return text.encode(errors="replace").decode()
