"""The guard that the browser tests rely on does see what leaves the computer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from driving import GUARD


@pytest.mark.parametrize(("code", "seen"), [
    ("import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)", "192.0.2.1"),
    ("import urllib.request; urllib.request.urlopen('http://example.org')", "example.org"),
    ("import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 53))", "192.0.2.1"),
    ("import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())", ""),
])
def test_the_guard_writes_down_and_refuses_what_leaves(tmp_path: Path, code: str, seen: str) -> None:
    log = tmp_path / "sockets.log"
    environment = {**os.environ, "PYTHONPATH": str(GUARD), "COPILOT_SOCKET_LOG": str(log)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False, timeout=60)
    assert (log.read_text() if log.exists() else "").count(seen or "\0") == (1 if seen else 0)
    assert (done.returncode == 0) is (seen == "")
