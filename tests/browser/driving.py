"""Starts the app and looks at it through Chromium, with every way to the outside closed and watched."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Route, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
GUARD = Path(__file__).parent / "guard"
HANDS_S = 120                      # for what answers at once on a free machine
PATIENCE_S = 300                   # for anything that computes: cores may be shared
INDEX_S = 1800                     # for the first answer, which may wait for the index to be built


def chromium() -> str | None:
    """The installed Chromium, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


class App:
    """The app as a process of its own."""

    def __init__(self, command: list[str], log: Path):
        self.socket_log = log
        paths = [str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COPILOT_SOCKET_LOG": str(log),
                       "PYTHONUNBUFFERED": "1"}
        self.started = time.monotonic()
        self.process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.lines: list[str] = []
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.address = self._address()
        self.ready_s = time.monotonic() - self.started

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self._said.put(line)
        self._said.put(None)

    def _address(self) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            line = self._said.get(timeout=left)
            if line is None:
                break
            if found := re.search(r"ready at (http://\S+)", line):
                return found[1]
        raise AssertionError("The app did not start:\n" + "".join(self.lines))

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send the app, and nothing that it started, a signal and wait until it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(30)
        self._listener.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def went_outside(self) -> str:
        """Every attempt of a Python process to reach another computer."""
        return self.socket_log.read_text() if self.socket_log.exists() else ""


@contextmanager
def running_app(folder: Path, index: Path) -> Iterator[App]:
    """The real app on a free port, with all that it keeps in `folder`."""
    app = App(["app.py", "--port", "17860", "--no-browser", "--runs", str(folder / "runs"), "--index", str(index),
               "--documents", str(folder / "documents"), "--models", str(folder / "models"),
               "--conversations", str(folder / "conversations.sqlite")], folder / "sockets.log")
    try:
        yield app
    finally:
        app.end()


class Window:
    """A browser window and what it tried to load or complained about."""

    def __init__(self, context: BrowserContext):
        self.outside: list[str] = []
        self.complaints: list[str] = []
        context.route("**/*", self._let_through)
        self.page: Page = context.new_page()
        self.page.set_default_timeout(HANDS_S * 1000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def _let_through(self, route: Route) -> None:
        if re.match(r"(https?://(127\.0\.0\.1|localhost|\[::1\])[:/]|data:|blob:)", route.request.url):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()


@contextmanager
def window(executable: str, *, width: int = 1440, height: int = 900, dark: bool = False) -> Iterator[Window]:
    """A headless Chromium window that can reach this computer only."""
    expect.set_options(timeout=HANDS_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield Window(browser.new_context(viewport={"width": width, "height": height},
                                             color_scheme="dark" if dark else "light"))
        finally:
            browser.close()
