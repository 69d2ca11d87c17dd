"""Downloading a model from a server on this machine that behaves like the hub, and what is listed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.__main__ import main
from copilot.models import address, download, models, offer, readable
from rlcore.config import ConfigError
from tests.copilot.servers import Exchange, serving

CONTENT = b"GGUF" + bytes(range(256)) * 9000       # more than two blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "/tiny/models/resolve/main/m.gguf"


class Hub:
    """Redirects to its store, as the hub does for large files; the store breaks, refuses and lies as it is told."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.breaks: list[int] = []        # after so many bytes, one answer each
        self.ranges: list[str | None] = []
        self.behaviour = ""

    def __call__(self, exchange: Exchange) -> None:
        if exchange.path == PATH:
            exchange.send_response(302)
            exchange.send_header("Location", "http://203.0.113.7/x" if self.behaviour == "downgrade" else "/store/1")
            exchange.send_header("X-Linked-Size", str(len(self.content)))
            exchange.send_header("X-Linked-ETag", f'"{self.sha256}"')
            exchange.send_header("Content-Length", "0")
            exchange.end_headers()
        elif exchange.path == "/store/1" and exchange.command == "HEAD":
            exchange.give({"error": "a signed URL is for GET"}, 403)
        elif exchange.path in ("/store/1", "/plain.bin"):
            self.send(exchange)
        else:
            exchange.give({"error": "no"}, 404)

    def send(self, exchange: Exchange) -> None:
        asked = exchange.headers.get("Range")
        self.ranges.append(asked)
        if self.behaviour == "down" and exchange.command == "GET":
            exchange.give({}, 503)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.behaviour != "no ranges" else 0
        if asked and self.behaviour == "416":
            self.behaviour = ""
            exchange.give({}, 416)
            return
        data = self.content[start:]
        exchange.send_response(206 if start else 200)
        exchange.send_header("Content-Length", str(len(data)))
        exchange.send_header("ETag", '"store-tag"')
        if start:
            exchange.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        exchange.end_headers()
        if exchange.command == "HEAD":
            return
        count = self.breaks.pop(0) if self.breaks else len(data)
        exchange.wfile.write(data[:count])
        exchange.close_connection = count < len(data)


@pytest.fixture
def hub() -> Iterator[tuple[Hub, str]]:
    server = Hub()
    with serving(server) as where:
        yield server, where


def test_an_offer_says_name_size_and_sha256_before_anything_is_fetched(hub):
    server, where = hub
    what = offer(address("hf:tiny/models/m.gguf", hub=where))
    assert (what.name, what.size, what.sha256, what.source) == ("m.gguf", len(CONTENT), SHA256, "the server")
    assert f"2.3 MB ({len(CONTENT):,} bytes)" in str(what) and SHA256 in str(what)
    assert server.ranges == []                         # the store was not asked


def test_a_download_is_checked_named_and_listed(hub, tmp_path):
    where = hub[1]
    seen: list[float] = []
    got = download(offer(where + PATH), tmp_path, lambda done, _text: seen.append(done))
    assert got.path.read_bytes() == CONTENT and got.sha256 == SHA256
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 2
    (listed,) = models(tmp_path)
    assert (listed.spec, listed.size, listed.sha256) == (f"gguf:{got.path}", len(CONTENT), SHA256)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "m.gguf.json"]


def test_a_connection_that_breaks_is_made_again_from_where_it_broke(hub, tmp_path):
    server, where = hub
    server.breaks = [1_000_000, 500_000]
    assert download(offer(where + PATH), tmp_path).path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_download_that_was_given_up_goes_on_the_next_time(hub, tmp_path):
    server, where = hub
    server.breaks = [1_000_000, 0, 0, 0, 0, 0]
    with pytest.raises(ConfigError, match=r"broke off at 1 MB of 2\.3 MB .*go on from there"):
        download(offer(where + PATH), tmp_path)
    (listed,) = models(tmp_path)
    assert not listed.complete and listed.size == 1_000_000
    server.ranges.clear()
    assert download(offer(where + PATH), tmp_path).path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000000-"]


@pytest.mark.parametrize("record", ["", '{"sha256": "12', "[1]", "7"])
def test_a_broken_record_hides_nothing_and_its_download_begins_anew(hub, tmp_path, record):
    for name in ("m.gguf.part", "other.gguf"):
        (tmp_path / name).write_bytes(CONTENT[:1000])
        (tmp_path / f"{name}.json").write_text(record)
    (tmp_path / "gone.gguf").symlink_to("nowhere")
    assert [(one.path.name, one.sha256) for one in models(tmp_path)] == [("m.gguf.part", ""), ("other.gguf", "")]
    assert download(offer(hub[1] + PATH), tmp_path).path.read_bytes() == CONTENT


def test_a_record_is_whole_or_the_one_before(hub, tmp_path, monkeypatch):
    server, where = hub
    server.breaks = [1_000_000, 0, 0, 0, 0, 0]
    with pytest.raises(ConfigError, match="broke off"):
        download(offer(where + PATH), tmp_path)
    before = (tmp_path / "m.gguf.part.json").read_text()
    write = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda path, text, **_: write(path, text[:9]) / 0)     # the power fails
    with pytest.raises(ZeroDivisionError):
        download(offer(where + PATH), tmp_path)
    assert (tmp_path / "m.gguf.part.json").read_text() == before


def test_what_was_left_of_other_content_is_not_continued(hub, tmp_path):
    server, where = hub
    server.breaks = [1_000_000, 0, 0, 0, 0, 0]
    with pytest.raises(ConfigError, match="broke off"):
        download(offer(where + PATH), tmp_path)
    server.content = CONTENT[::-1].replace(CONTENT[::-1][:4], b"GGUF", 1)
    server.sha256 = hashlib.sha256(server.content).hexdigest()
    assert download(offer(where + PATH), tmp_path).path.read_bytes() == server.content


@pytest.mark.parametrize("behaviour", ["no ranges", "416"])
def test_a_server_without_ranges_makes_it_begin_anew(hub, tmp_path, behaviour):
    server, where = hub
    server.breaks, server.behaviour = [1_000_000], behaviour
    assert download(offer(where + PATH), tmp_path).path.read_bytes() == CONTENT


def test_content_that_is_not_what_was_offered_is_thrown_away(hub, tmp_path):
    server, where = hub
    what = offer(where + PATH)
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(ConfigError, match="instead of " + SHA256):
        download(what, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sha256_that_the_server_does_not_share_stops_everything(hub):
    with pytest.raises(ConfigError, match="Nothing was downloaded"):
        offer(hub[1] + PATH, "0" * 64)
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        offer(hub[1] + PATH, "abc")


def test_a_page_that_calls_itself_a_model_is_refused(tmp_path):
    page = Hub(b"<html>log in</html>")
    with serving(page) as where, pytest.raises(ConfigError, match="no GGUF model"):
        download(offer(where + PATH), tmp_path)


def test_a_server_that_states_no_sha256_says_so_and_yours_is_checked(hub, tmp_path):
    _, where = hub
    what = offer(f"{where}/plain.bin")
    assert what.sha256 == "" and "not stated" in str(what)
    assert download(what, tmp_path).sha256 == SHA256       # shown all the same
    with pytest.raises(ConfigError, match="exists and is another file"):
        download(offer(f"{where}/plain.bin", "1" * 64), tmp_path)


def test_a_server_that_is_down_gives_up_after_some_tries(hub, tmp_path):
    server, where = hub
    server.behaviour = "down"
    with pytest.raises(ConfigError, match="503"):
        download(offer(where + PATH), tmp_path)
    assert len(server.ranges) == 5


def test_what_is_there_already_is_not_fetched_again(hub, tmp_path):
    server, where = hub
    download(offer(where + PATH), tmp_path)
    server.ranges.clear()
    download(offer(where + PATH), tmp_path)
    assert server.ranges == []


def test_no_room_is_said_before_anything_is_fetched(hub, tmp_path, monkeypatch):
    server, where = hub
    monkeypatch.setattr("copilot.models.shutil.disk_usage", lambda _folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(ConfigError, match="has room for 1 kB"):
        download(offer(where + PATH), tmp_path)
    assert server.ranges == []


@pytest.mark.parametrize(("text", "said"), [
    ("http://models.example/m.gguf", "https only"), ("ftp://models.example/m", "https only"), ("m.gguf", "https only"),
    ("hf:tiny", "OWNER/REPO/FILE"), ("file:///etc/passwd", "https only"),
])
def test_addresses_that_are_not_safe_are_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        address(text)


def test_a_redirect_out_of_https_is_refused(hub):
    hub[0].behaviour = "downgrade"
    with pytest.raises(ConfigError, match=r"sends us on to http://203\.0\.113\.7/x"):
        offer(hub[1] + PATH)


def test_a_file_on_the_hub_has_its_revision():
    assert address("hf:a/b/c/d.gguf@v1") == "https://huggingface.co/a/b/resolve/v1/c/d.gguf"


def test_a_missing_file_costs_one_sentence(hub):
    with pytest.raises(ConfigError, match=r"status 404 .*Check the name"):
        offer(f"{hub[1]}/nothing.gguf")


def test_names_cannot_leave_the_folder(tmp_path):
    def answer(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", "4")
        exchange.end_headers()
        if exchange.command == "GET":
            exchange.wfile.write(b"evil")

    with serving(answer) as where:
        got = download(offer(f"{where}/a/..%2F..%2Fescape"), tmp_path / "models")
    assert got.path.parent == tmp_path / "models" and got.path.name == "_.._escape"


def test_folders_are_listed_by_what_they_hold(tmp_path):
    for name, files in {"chat": ["config.json"], "minilm": ["config.json", "modules.json"]}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{}")
    assert [(one.kind, one.spec) for one in models(tmp_path)] == [
        ("transformers", f"transformers:{tmp_path / 'chat'}"), ("embedder", str(tmp_path / "minilm"))]
    assert models(tmp_path / "nothing") == []


def test_the_command_line_shows_asks_downloads_and_lists(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    url = hub[1] + PATH
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    assert main(["models", "download", url]) == 2
    shown = capsys.readouterr()
    assert SHA256 in shown.out and "nothing was downloaded" in shown.err.lower() and not Path("models").exists()
    assert main(["models", "download", url, "--yes", "--sha256", SHA256]) == 0
    assert main(["models", "list"]) == 0
    assert f"gguf:models/m.gguf  {readable(len(CONTENT))}" in capsys.readouterr().out
    assert json.loads(Path("models/m.gguf.json").read_text())["url"] == url


def test_sizes_read_well():
    assert [readable(size) for size in (999, 4_370_000_000, 1_500)] == ["999 bytes", "4.37 GB", "1.5 kB"]
