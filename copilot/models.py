"""Model files: what is here, and downloading one, which only ever happens when a person asks for it.

`offer` asks the server what it would send: name, size, SHA-256 if it says one. `download` fetches it into a file named
`.part`, goes on where it broke off, checks size and SHA-256, and gives the file its name only then.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from email.message import Message
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from copilot.llms.server import is_loopback
from rlcore.config import ConfigError

MODELS = Path("models")
_HUB = "https://huggingface.co"
_BLOCK = 1 << 20
_TRIES = 5                         # in a row without a byte
_WAIT_S = 60.0

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Offer:
    """What a server would send."""

    url: str
    name: str                      # of the file
    size: int                      # bytes
    sha256: str                    # as expected; empty if nobody says
    source: str                    # who says it: you, the server, or nobody
    tag: str = ""                  # changes with the content, where the server gives one

    def __str__(self) -> str:
        told = {"you": "given by you", "the server": "stated by the server"}.get(self.source, "")
        sha256 = f"SHA-256 {self.sha256} ({told})" if self.sha256 else (
            "SHA-256 not stated by the server; give --sha256 to have it checked")
        return f"{self.name}\n  from    {self.url}\n  size    {readable(self.size)} ({self.size:,} bytes)\n  {sha256}"


@dataclass(frozen=True)
class Model:
    """A model on this machine."""

    path: Path
    kind: str                      # gguf, transformers or embedder
    size: int                      # bytes
    sha256: str = ""               # of a downloaded file, as checked then
    complete: bool = True          # otherwise a download that broke off

    @property
    def spec(self) -> str:
        """How `--llm`, or for an embedder `--embedder`, names it."""
        return str(self.path) if self.kind == "embedder" else f"{self.kind}:{self.path}"


def address(text: str, hub: str = "") -> str:
    """The URL that a text means: itself, or for `hf:OWNER/REPO/FILE[@REVISION]` the file on the hub.

    Raises:
        ConfigError: it is neither.
    """
    if text.startswith("hf:"):
        path, _, revision = text[3:].partition("@")
        owner, _, rest = path.partition("/")
        repo, _, file = rest.partition("/")
        if not (owner and repo and file):
            raise ConfigError(f"'{text}' names no file on the hub. Write hf:OWNER/REPO/FILE.gguf.")
        host = (hub or os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
        return f"{host}/{quote(owner)}/{quote(repo)}/resolve/{quote(revision or 'main', safe='')}/{quote(file)}"
    _require_safe(text)
    return text


def offer(url: str, sha256: str = "") -> Offer:
    """What a server would send for a URL.

    Raises:
        ConfigError: it cannot be reached, refuses, or does not say how much it would send.
    """
    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"'{sha256}' is no SHA-256. It has 64 hexadecimal digits.")
    try:
        with _open(url, {}, method="HEAD") as response:
            headers = _plain(response.headers)
    except OSError as error:
        raise ConfigError(f"{urlsplit(url).netloc} cannot be reached ({getattr(error, 'reason', error)}).") from None
    size = headers.get("x-linked-size") or headers.get("content-length")
    if not size or not size.isdigit():
        raise ConfigError(f"{url} does not say how large it is, so it is no file to download.")
    tag = (headers.get("x-linked-etag") or headers.get("etag") or "").removeprefix("W/").strip('"')
    stated = tag.lower() if "x-linked-etag" in headers and re.fullmatch(r"[0-9a-fA-F]{64}", tag) else ""
    source = "you" if sha256 else "the server" if stated else "nobody"
    if sha256 and stated and sha256.lower() != stated:
        raise ConfigError(f"{url} has SHA-256 {stated} by the server's word, not {sha256}. Nothing was downloaded.")
    return Offer(url, _name(url), int(size), sha256.lower() or stated, source, tag)


def download(what: Offer, folder: Path = MODELS, progress: Progress | None = None) -> Model:
    """Fetch what is offered, from where an earlier attempt broke off.

    Raises:
        ConfigError: no room, no connection, or it is not what was offered.
    """
    path, part = folder / what.name, folder / f"{what.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return _same(what, path)
    _begin(what, part)
    free = shutil.disk_usage(folder).free
    if free < what.size - part.stat().st_size:
        raise ConfigError(f"{what.name} has {readable(what.size)}, and '{folder}' has room for {readable(free)}. "
                          "Choose another folder with --to.")
    _fetch(what, part, progress or (lambda _done, _text: None))
    digest = _checked(what, part)
    os.replace(part, path)
    _record(part).unlink()
    _note(path, {"url": what.url, "sha256": digest, "size": what.size,
                 "downloaded": time.strftime("%Y-%m-%dT%H:%M:%S")})
    return Model(path, _kind(path), what.size, digest)


def models(folder: Path = MODELS) -> list[Model]:
    """The models in a folder, sorted by name; what broke off is among them."""
    found = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.suffix in (".gguf", ".part") and path.is_file():
            sha256 = str(_noted(path).get("sha256", ""))
            found.append(Model(path, _kind(path), path.stat().st_size, sha256, path.suffix != ".part"))
        elif path.name in ("modules.json", "config.json") and not (path.parent / "../modules.json").is_file():
            kind = "embedder" if (path.parent / "modules.json").is_file() else "transformers"
            if kind == "transformers" or path.name == "modules.json":
                size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
                found.append(Model(path.parent, kind, size))
    return found


def readable(size: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size:.0f} bytes"
        size /= 1000
    return f"{size:.3g} TB"


def _begin(what: Offer, part: Path) -> None:
    """Keep what an earlier attempt left, if it is of the same content; otherwise begin anew."""
    before = _noted(part)
    same = all(before.get(key) == value for key, value in (("tag", what.tag), ("size", what.size), ("url", what.url)))
    if not (part.is_file() and same and part.stat().st_size <= what.size):
        part.write_bytes(b"")
    _note(part, asdict(what))


def _fetch(what: Offer, part: Path, progress: Progress) -> None:
    """Append until the file is whole; a connection that breaks is made again."""
    idle = 0
    while (have := part.stat().st_size) < what.size:
        try:
            _append(what, part, progress)
            reason = "the server ended the answer early"
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        idle = idle + 1 if part.stat().st_size <= have else 0
        if idle >= _TRIES:
            raise ConfigError(f"The download of {what.name} broke off at {readable(part.stat().st_size)} of "
                              f"{readable(what.size)} ({reason}). Run the same command again to go on from there.")
    progress(1.0, f"{what.name}: {readable(what.size)}")


def _append(what: Offer, part: Path, progress: Progress) -> None:
    """One answer of the server, appended to what is there."""
    have = part.stat().st_size
    with _open(what.url, {"Range": f"bytes={have}-"} if have else {}) as response:
        start = _start(response, what)
        with part.open("r+b") as file:
            file.truncate(min(start, have))    # a server that ignores ranges begins at 0
            file.seek(0, os.SEEK_END)
            while response.status != 416 and (block := response.read(_BLOCK)):
                file.write(block[:what.size - file.tell()])
                done = file.tell()
                progress(done / what.size, f"{what.name}: {readable(done)} of {readable(what.size)}")


def _start(response: Any, what: Offer) -> int:
    """Where in the file an answer begins."""
    if response.status in (200, 416):      # 416: it does not know this range any more
        return 0
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range") or "")
    if response.status != 206 or not told or told.group(2) not in ("*", str(what.size)):
        raise ConfigError(f"{what.url} answered a request for the rest of a file with status {response.status} and "
                          f"the range {response.headers.get('Content-Range')!r}. The file there has changed; remove "
                          f"{what.name}.part and begin anew.")
    return int(told.group(1))


def _checked(what: Offer, part: Path) -> str:
    """The SHA-256 of a whole download, which is thrown away if it is not what was offered."""
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        magic = file.read(4)
    wrong = ""
    if what.sha256 and digest != what.sha256:
        wrong = f"has SHA-256 {digest} instead of {what.sha256}"
    elif what.name.endswith(".gguf") and magic != b"GGUF":
        wrong = f"is no GGUF model: it begins with {magic!r}"
    if wrong:
        part.unlink()
        _record(part).unlink()
        raise ConfigError(f"What {what.url} sent {wrong}. It was removed; do not use this source.")
    return digest


def _same(what: Offer, path: Path) -> Model:
    """The file that is there already, if it is the one offered."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if (what.sha256 and digest != what.sha256) or path.stat().st_size != what.size:
        raise ConfigError(f"'{path}' exists and is another file (SHA-256 {digest}). Remove it, or choose another "
                          "folder with --to.")
    return Model(path, _kind(path), what.size, digest)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage,
                         newurl: str) -> urllib.request.Request | None:
        """The request that a redirect asks for; none where the redirect itself says what was asked."""
        _require_safe(newurl, after=req.full_url)
        if req.get_method() == "HEAD" and "X-Linked-Size" in headers:
            return None                    # the hub speaks for the file; its stores may refuse to be asked
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following:
            following.method = req.get_method()
        return following


@contextmanager
def _open(url: str, headers: Mapping[str, str], method: str = "GET") -> Iterator[Any]:
    """A server's answer; one that says no for good is an error in one sentence, others are OSErrors."""
    request = urllib.request.Request(url, method=method, headers={
        "Accept-Encoding": "identity", "User-Agent": "rl-copilot", **headers})
    try:
        response = urllib.request.build_opener(_Redirects()).open(request, timeout=_WAIT_S)
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise
        if error.code >= 400 and error.code != 416:
            hint = {401: "It wants you to log in first; download it in a browser.", 404: "Check the name.",
                    403: "It wants you to accept its terms first; download it in a browser."}.get(error.code, "")
            error.close()
            raise ConfigError(f"{url} answered with status {error.code} ({error.reason}). {hint}".rstrip()) from None
        response = error                   # a redirect that says enough, or a range that is not there
    with closing(response):
        yield response


def _require_safe(url: str, after: str = "") -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return
    where = f"{after} sends us on to {url}, which" if after else f"'{url}'"
    raise ConfigError(f"{where} is no https address. Models are downloaded over https only.")


def _plain(headers: Message) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}


def _name(url: str) -> str:
    name = re.sub(r"[^\w.+-]", "_", unquote(urlsplit(url).path.rsplit("/", 1)[-1])).lstrip(".")
    if not name:
        raise ConfigError(f"{url} does not end in a file's name.")
    return name


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _noted(path: Path) -> dict[str, Any]:
    """What is known of a file; nothing if its record is missing or broken."""
    try:
        return dict(json.loads(_record(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _note(path: Path, known: Mapping[str, Any]) -> None:
    """Write a file's record: it is whole, or it is the one before."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(json.dumps(known), encoding="utf-8")
    os.replace(draft, _record(path))


def _kind(path: Path) -> str:
    return "gguf" if path.name.removesuffix(".part").endswith(".gguf") else "file"
