"""Models: what is here, what would be downloaded, and the download itself from a server on this machine."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from test_documents_page import finished

from copilot.models import Model
from gui import models
from gui.jobs import Task
from tests.copilot.servers import Exchange, serving

BLOB = b"GGUF" + bytes(range(256)) * 40
SHA256 = hashlib.sha256(BLOB).hexdigest()


def file(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Length", str(len(BLOB)))
    exchange.end_headers()
    if exchange.command == "GET":
        exchange.wfile.write(BLOB)


def test_size_and_sum_are_shown_before_anything_is_fetched(tmp_path: Path) -> None:
    with serving(file) as address:
        what, html = models.look_up(f"{address}/tiny.gguf", SHA256)
    assert what is not None
    assert "10.2 kB (10,244 bytes)" in html
    assert f"{SHA256} (given by you; it is checked)" in html
    assert list(tmp_path.iterdir()) == []


def test_a_download_says_what_came_of_it(tmp_path: Path) -> None:
    task = Task()
    with serving(file) as address:
        what, _ = models.look_up(f"{address}/tiny.gguf", "")
        assert what is not None
        assert models.fetch(what, tmp_path, task) == ""
        assert f"SHA-256 {SHA256}" in finished(task).text
    assert (tmp_path / "tiny.gguf").read_bytes() == BLOB


def test_a_file_with_another_sum_is_refused(tmp_path: Path) -> None:
    task = Task()
    with serving(file) as address:
        what, _ = models.look_up(f"{address}/tiny.gguf", "0" * 64)
        assert what is not None
        models.fetch(what, tmp_path, task)
        assert finished(task).state == "failed"
    assert "has SHA-256" in task.now.text
    assert not (tmp_path / "tiny.gguf").exists()


def test_what_cannot_be_looked_up_is_explained() -> None:
    assert models.look_up(" ", "")[0] is None
    for text, reason in (("hf:only/two", "names no file on the hub"),
                         ("http://example.org/a.gguf", "no https address")):
        what, html = models.look_up(text, "")
        assert what is None
        assert reason in html


def test_the_models_here_are_listed_with_what_broke_off() -> None:
    html = models.models_html([Model(Path("a.gguf"), "gguf", 2000, "f" * 64),
                               Model(Path("b.gguf.part"), "gguf", 10, complete=False)], Path("models"))
    assert "a.gguf" in html
    assert "2 kB" in html
    assert "ffffffffffffffff…" in html
    assert "broke off" in html
    assert "No models yet" in models.models_html([], Path("models"))


def test_a_whole_language_model_can_be_told_to_answer_and_the_one_that_does_to_stop() -> None:
    found = [Model(Path("a.gguf"), "gguf", 2000), Model(Path("b"), "transformers", 10),
             Model(Path("c"), "embedder", 10), Model(Path("d.gguf.part"), "gguf", 10, complete=False)]
    assert [re.findall(r'data-pick="(.+?)">(.+?)<', models.models_html(found, Path("models"), used))
            for used in ("builtin", "gguf:a.gguf")] == [
        [("gguf:a.gguf", "Answer with it"), ("transformers:b", "Answer with it")],
        [("builtin", "Stop using it"), ("transformers:b", "Answer with it")]]
