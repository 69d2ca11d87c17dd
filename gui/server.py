"""Serves the pages to this computer only: security headers, videos of runs, the next free port."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gui import theme
from gui.page import build_app
from gui.service import Library, Places

OPEN_LATEST_S = 3.0                # the index is opened behind the first page, or this long after the start
UPLOAD = "500mb"                   # the largest file that can be added to a collection through the browser
LOOPBACK = ("127.0.0.1", "localhost", "::1")

# The page may talk to its own origin only, so that not even a pasted or generated text can load something from outside.
# Gradio's bundle needs inline scripts and styles, and `eval` for the scripts of its HTML components.
_POLICY = "; ".join((
    "default-src 'self'", "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:", "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:", "media-src 'self' blob:", "font-src 'self' data:", "connect-src 'self' data: blob:",
    "worker-src 'self' blob:", "frame-ancestors 'none'", "base-uri 'self'", "form-action 'self'",
))
_HEADERS = {"content-security-policy": _POLICY, "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}
_FILMS = {".mp4": "video/mp4", ".gif": "image/gif"}


class Guard:
    """Adds the security headers to every response."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self.app(scope, receive, stamped if scope["type"] == "http" else send)


def film_path(root: Path, run_id: str, name: str) -> Path | None:
    """The file of one finished video of one run, or None: nothing else under `root` can be asked for."""
    path = (root / run_id / "videos" / name).resolve()
    inside = path.parent == root.resolve() / run_id / "videos"
    return path if inside and path.suffix in _FILMS and path.is_file() else None


def application(library: Library, places: Places, host: str = "127.0.0.1") -> FastAPI:
    """The whole web application."""
    web = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @web.get("/videos/{run_id}/{name}")
    def video(run_id: str, name: str) -> FileResponse:
        path = film_path(places.runs, run_id, name)
        if path is None:
            raise HTTPException(404, "There is no such video.")
        return FileResponse(path, media_type=_FILMS[path.suffix])

    web.add_middleware(Guard)
    if host in LOOPBACK:                              # a foreign name that resolves to this computer is turned away
        web.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    mounted: FastAPI = gr.mount_gradio_app(
        web, build_app(library, places), path="/", server_name=host, footer_links=[], run_history=False,
        enable_monitoring=False, ssr_mode=False, mcp_server=False, pwa=False, max_file_size=UPLOAD, allowed_paths=[],
        blocked_paths=[str(Path.cwd())], theme=theme.theme(), head=theme.head(),
    )
    return mounted


def free_port(host: str, first: int, tries: int = 100) -> socket.socket:
    """A listening socket on the first free port from `first` on.

    Raises:
        OSError: none of them is free, or the host is not an address of this computer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, min(first + tries, 65_536)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":                   # there it would share a port that is in use
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()                         # until somebody listens, another program could bind it too
        except OSError as error:
            listener.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise OSError(f"Cannot listen on {host}: {error.strerror}. The usual --host is 127.0.0.1.") from None
        return listener
    raise OSError(f"No port from {first} to {first + tries - 1} is free on {host}. Choose another with --port.")


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        await super().startup(sockets=sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; that pages which are still open are cut off is no error worth printing."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets=sockets)


def browser_there() -> bool:
    """Whether opening a browser window makes sense: somebody is at a screen."""
    if os.environ.get("CI"):
        return False
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def run(library: Library, places: Places, host: str, port: int, say: Callable[[str], None], *,
        open_browser: bool) -> None:
    """Serve until interrupted; `say` gets the address once it can be opened. The index is opened after that."""
    listener = free_port(host, port)
    where = f"[{host}]" if ":" in host else host
    address = f"http://{where}:{listener.getsockname()[1]}"

    def ready() -> None:
        say(f"RL Copilot is ready at {address}")
        late = threading.Timer(OPEN_LATEST_S, library.start)
        late.daemon = True
        late.start()
        if open_browser and browser_there():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    config = uvicorn.Config(application(library, places, host), log_level="warning", timeout_graceful_shutdown=1)
    _Server(config, ready).run(sockets=[listener])
