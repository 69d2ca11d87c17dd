"""The web application around the pages: what it serves, what it refuses, where it listens."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from page_fakes import FakeDesk, closed_library, failing_library, library, places, write_run, write_video

from copilot.index import ELSEWHERE
from gui import page, server, service, theme
from gui.desk import Progress
from gui.service import Library, Status


def test_only_finished_videos_of_runs_are_served(tmp_path: Path) -> None:
    path = write_run(tmp_path, "a")
    film = write_video(path)
    (path / "videos" / "secret.txt").write_text("no")
    assert server.film_path(tmp_path, "a", film.name) == film.resolve()
    wrong = [("a", "secret.txt"), ("a", "../config.yaml"), ("..", "x.mp4"), ("a", "missing.mp4"), (".", film.name)]
    for run_id, name in wrong:
        assert server.film_path(tmp_path, run_id, name) is None


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    path = write_run(tmp_path / "runs", "a")
    outside = tmp_path / "private.mp4"
    outside.write_bytes(b"private")
    (path / "videos").mkdir()
    (path / "videos" / "link.mp4").symlink_to(outside)
    assert server.film_path(tmp_path / "runs", "a", "link.mp4") is None


def test_a_port_in_use_makes_way_for_the_next_one() -> None:
    with server.free_port("127.0.0.1", 30_000) as first:     # which serves nothing yet
        taken = first.getsockname()[1]
        with server.free_port("127.0.0.1", taken) as second:
            assert second.getsockname()[1] > taken


def test_what_cannot_be_listened_on_is_said_in_one_sentence() -> None:
    with pytest.raises(OSError, match=r"^No port from 65535 to 65534 is free on 127.0.0.1. Choose another with --port"):
        server.free_port("127.0.0.1", 65_535, tries=0)
    with pytest.raises(OSError, match=r"^Cannot listen on 192.0.2.1: .* The usual --host is 127.0.0.1"):
        server.free_port("192.0.2.1", 30_000)


@pytest.mark.parametrize(("system", "variables", "there"), [
    ("linux", {}, False), ("linux", {"DISPLAY": ":0"}, True), ("linux", {"DISPLAY": ":0", "CI": "true"}, False),
    ("darwin", {}, True),
])
def test_a_browser_is_opened_only_where_somebody_sees_it(
    monkeypatch: pytest.MonkeyPatch, system: str, variables: dict[str, str], there: bool,
) -> None:
    for name in ("CI", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(server.sys, "platform", system)
    assert server.browser_there() is there


def test_the_look_refers_to_nothing_outside() -> None:
    pages = theme.head() + theme.theme()._get_theme_css() + "".join(theme.theme()._stylesheets)
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", pages))
    assert addresses <= {"http://www.w3.org"}            # the name of SVG's namespace, never fetched
    assert theme.theme()._stylesheets == []


@pytest.mark.usefixtures("builds_gradio")
def test_every_button_has_a_handler_and_an_anchor(tmp_path: Path) -> None:
    app = page.build_app(library(FakeDesk()), places(tmp_path))
    targets = {target for listener in app.fns.values() for target, _ in listener.targets}
    buttons = [block for block in app.blocks.values() if type(block).__name__ == "Button"]
    assert len(buttons) >= 30
    for button in buttons:
        assert button.elem_id, button.value
        assert button._id in targets, button.elem_id


@pytest.mark.parametrize(("status", "text"), [
    (Status("opening", 0.42, "Embedding"), "Preparing the index… 42 %<"), (Status("ready", 1.0), "Index ready"),
    (Status("opening", 0.42, "Embedding", 170.0), "Preparing the index… 42 %, about 3 min left<"),
    (Status("opening", 0.99, "Embedding", 2.0), "about 1 min left"),
    (Status("opening", 0.0, ELSEWHERE), f"<span>{ELSEWHERE}…</span>"),
    (Status("failed", 0, "ValueError: no <corpus>"), "no &lt;corpus&gt;"),
])
def test_the_rail_says_how_far_the_index_is(status: Status, text: str) -> None:
    assert text in page.status_html(status)


def test_the_library_opens_once_and_can_be_tried_again() -> None:
    opened = library(FakeDesk())
    assert opened.status.state == "ready"
    failed = failing_library(ValueError("disk full"))
    assert failed.status == Status("failed", 0.0, "ValueError: disk full")
    with pytest.raises(RuntimeError, match="disk full"):
        _ = failed.desk


def test_how_long_the_index_takes_is_told_by_its_pace_since_it_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 110.0, 130.0])
    monkeypatch.setattr(service.time, "monotonic", lambda: next(seconds))
    told: list[float | None] = []

    def opener(progress: Progress) -> FakeDesk:
        for done in (0.40, 0.41, 0.50):                # an interrupted build goes on at 40 %
            progress(done, "Embedding")
            told.append(shelf.status.left_s)
        return FakeDesk()

    shelf = Library(opener)  # type: ignore[arg-type]
    shelf._open()
    assert told == [None, None, pytest.approx(150.0)]  # 10 % took 30 s, 50 % are left
    assert shelf.status == Status("ready", 1.0, "Index ready")


def test_the_library_is_closed_until_it_is_started() -> None:
    shelf = closed_library(FakeDesk())
    with pytest.raises(RuntimeError, match="Starting"):
        _ = shelf.desk


@pytest.mark.usefixtures("builds_gradio")
def test_a_foreign_host_name_is_turned_away(tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    write_video(write_run(tmp_path / "runs", "a"))
    client = TestClient(server.application(library(FakeDesk()), places(tmp_path)), base_url="http://127.0.0.1")
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/monitoring").status_code != 200
    film = client.get("/videos/a/000000003000.mp4", headers={"range": "bytes=0-2"})
    assert (film.status_code, film.content) == (206, b"not")
    assert client.get("/videos/a/none.mp4").status_code == 404
    run_file = tmp_path / "runs" / "a" / "config.yaml"
    for file in (run_file, tmp_path / "conversations.sqlite", Path("pyproject.toml").resolve(), Path("/etc/hostname")):
        assert client.get(f"/gradio_api/file={file}").status_code in {403, 404}
    front = client.get("/")
    assert front.status_code == 200
    assert "default-src 'self'" in front.headers["content-security-policy"]


def test_the_sockets_of_free_port_are_closed_on_the_way() -> None:
    with server.free_port("127.0.0.1", 31_000) as listener:
        assert isinstance(listener, socket.socket)
