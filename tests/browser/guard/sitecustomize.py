"""Loaded by every Python with this folder on its path: writes down and refuses connections to elsewhere."""

import os
import sys

_LOG = os.environ.get("COPILOT_SOCKET_LOG", "")
_HERE = ("127.", "::1", "localhost", "0.0.0.0")


def _elsewhere(host: object) -> bool:
    if host is None or host in ("", b"", "::"):
        return False
    name = host.decode() if isinstance(host, bytes) else str(host)
    return not name.startswith(_HERE)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    target: object = None
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):    # a path is a local socket
        target = arguments[1][0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        target = arguments[0]
    if target is not None and _elsewhere(target):
        with open(_LOG, "a") as log:
            log.write(f"{event} {target} by {sys.argv}\n")
        raise PermissionError(f"{event} {target}: this program must not leave the computer")


if _LOG:
    sys.addaudithook(_watch)
