"""What is kept of a conversation, and one's own documents: ask, rename, find again, rate, export, delete; add, ask."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from driving import INDEX_S, PATIENCE_S, Window, running_app
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE_MS = PATIENCE_S * 1000
NOTES = """# The Zephyr gripper

## Which reward does the Zephyr gripper use?

The Zephyr gripper uses a reward of minus the squared distance to the cup, plus 7.5 when the cup is lifted.
"""


def ask(page: Page, question: str, has: str) -> None:
    page.locator("#question textarea").fill(question)
    page.keyboard.press("Enter")
    expect(page.locator("#chat-log .bot").last).to_contain_text(has, timeout=INDEX_S * 1000)
    expect(page.locator("#send")).to_be_visible()


def test_conversations_and_documents_are_kept_found_and_removed(tmp_path: Path, index: Path, shown: Window) -> None:
    page = shown.page
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "zephyr.md").write_text(NOTES)
    (tmp_path / "notes" / "data.bin").write_bytes(b"\0\1")
    with running_app(tmp_path, index) as first:
        page.goto(first.address)
        ask(page, "why does PPO clip the ratio?", "clip")
        page.locator("#talk-rename").click()
        expect(page.locator("#talk-name input")).to_have_value("why does PPO clip the ratio?")
        page.locator("#talk-name input").fill("Clipping")
        page.keyboard.press("Enter")
        expect(page.locator("#talk-list")).to_contain_text("Clipping")
        page.locator('#chat-log button[title="Dislike"]').click()
        page.locator("#note input").fill("too long")
        page.locator("#note-save").click()
        expect(page.locator("#chat-note")).to_be_hidden()
        page.reload()
        expect(page.locator("#chat-title")).to_contain_text("Clipping")
        expect(page.locator("#chat-log .bot").last).to_contain_text("clip")
        page.goto("about:blank")
    with sqlite3.connect(tmp_path / "conversations.sqlite") as sql:
        assert sql.execute("SELECT thumb, note FROM feedback").fetchall() == [("down", "too long")]
    shown.complaints.clear()                                            # the page that lost its server may complain

    with running_app(tmp_path, index) as second:
        page.goto(f"{second.address}/#documents")
        page.locator("#shelf-path input").fill(str(tmp_path / "notes"))
        page.locator("#shelf-add").click()
        expect(page.locator("#shelf-mine")).to_contain_text("1 file · 1 passage", timeout=INDEX_S * 1000)
        page.locator("#shelf-mine summary").click()
        expect(page.locator("#shelf-mine")).to_contain_text("data.bin")

        page.locator("#nav-chat").click()
        expect(page.locator("#search-in label")).to_contain_text("mine")
        page.locator("#new-chat").click()
        ask(page, "Which reward does the Zephyr gripper use?", "7.5")
        page.locator('#chat-log a[href*="#source-"]').first.click()
        expect(page.locator("#passage .passage")).to_contain_text("when the cup is lifted")
        page.locator("#search-in label input").uncheck()
        page.locator("#new-chat").click()
        expect(page.locator("#chat-title")).to_contain_text("New conversation")
        page.locator("#question textarea").fill("Which reward does the Zephyr gripper use?")
        page.keyboard.press("Enter")
        expect(page.locator("#chat-title")).to_contain_text("Zephyr", timeout=PATIENCE_MS)
        expect(page.locator("#chat-log .bot").last).not_to_contain_text("7.5")

        page.locator("#talk-search input").fill("clip ratio")
        expect(page.locator(".talk")).to_have_count(1)
        page.locator(".talk").click()
        expect(page.locator("#chat-title")).to_contain_text("Clipping")
        with page.expect_download() as saved:
            page.locator("#talk-export").click()
        assert saved.value.suggested_filename == "clipping.md"
        assert "*Rated down: too long*" in Path(saved.value.path()).read_text()
        page.locator("#talk-delete").click()
        page.locator("#talk-keep").click()
        expect(page.locator("#talk-confirm")).to_be_hidden()
        page.locator("#talk-delete").click()
        page.locator("#talk-delete-really").click()
        expect(page.locator(".talk")).to_have_count(0)
        page.locator("#talk-search input").fill("")
        expect(page.locator(".talk")).to_have_count(2)

        page.locator("#nav-documents").click()
        page.locator("#remove-mine").click()
        page.locator("#shelf-remove-really").click()
        expect(page.locator("#shelf-list")).to_contain_text("No documents yet")
        assert (tmp_path / "notes" / "zephyr.md").is_file()
        assert shown.outside == []
        assert second.went_outside() == ""
        assert shown.complaints == []
