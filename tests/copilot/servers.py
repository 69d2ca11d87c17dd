"""Stand-ins for servers on this machine: each is a function of the handler that it answers through."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Exchange(BaseHTTPRequestHandler):
    """One request, with its JSON, and short ways to answer."""

    protocol_version = "HTTP/1.1"
    answer: Callable[[Exchange], None]
    body: Any

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = json.loads(self.rfile.read(length)) if length else None
        type(self).answer(self)

    do_GET = do_POST = do_HEAD = handle_one  # noqa: N815  # the names that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def give(self, value: Any, status: int = 200) -> None:
        """A whole answer in JSON."""
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def begin(self) -> None:
        """An answer whose lines follow."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def line(self, text: str) -> None:
        """One line of it."""
        self.wfile.write(text.encode() + b"\n")
        self.wfile.flush()

    def client_left(self) -> bool:
        """Wait until the client hangs up."""
        return self.connection.recv(1) == b""


@contextmanager
def serving(answer: Callable[[Exchange], None]) -> Iterator[str]:
    """A server on a free port of this machine; its address."""
    kind = type("Answering", (Exchange,), {"answer": staticmethod(answer)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
