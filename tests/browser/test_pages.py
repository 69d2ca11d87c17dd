"""How the pages behave under the hands: stopping, keys, wrong input, light and dark, narrow windows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import App, Window, window
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
SLOW_APP = Path(__file__).with_name("slow_app.py")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("pages")
    started = App([str(SLOW_APP), str(folder)], folder / "sockets.log")
    yield started
    started.end()


def ask(page: Page, question: str) -> None:
    """Ask, and go on while the answer is being written."""
    page.locator("#question textarea").fill(question)
    page.keyboard.press("Enter")
    expect(page.locator("#chat-log .user-row").last).to_contain_text(question)
    expect(page.locator("#chat-log .bot").last).to_contain_text("w3")


def test_asking_waits_for_the_index_and_stop_stops(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(app.address)
    page.locator("#question textarea").fill("Anything?")
    page.locator("#send").click()
    expect(page.locator("#chat-log .bot").last).to_contain_text(re.compile("Preparing the index… 42 %|w1"))
    expect(page.locator("#chat-log .bot").last).to_contain_text("w3")
    page.locator("#stop-answer").click()
    expect(page.locator("#send")).to_be_visible()
    said = page.locator("#chat-log .bot").last.inner_text()
    assert "w150" not in said
    expect(page.locator("#chat-log .katex").first).to_be_visible()          # mathematics is set, not shown as source
    expect(page.locator('#chat-log a[href$="#source-0-1"]')).to_have_count(1)   # and code[1] is no citation


@pytest.mark.parametrize("width", [390, 1440])
def test_what_a_model_s_prompt_took_stands_in_one_line_below_its_answer(app: App, executable: str, width: int) -> None:
    with window(executable, width=width) as opened:
        page = opened.page
        page.goto(app.address)
        for question in ("First?", "Second?"):
            ask(page, question)
            page.keyboard.press("Escape")
            expect(page.locator("#send")).to_be_visible()
        line = page.locator("#chat-log p", has_text="1,840 of 4,096 tokens of context · 6 of 8 passages")
        expect(line).to_have_count(2)
        shown = line.last.bounding_box()
        assert shown is not None
        assert shown["height"] < 24
        assert shown["x"] + shown["width"] <= width
        page.locator('#chat-log button[title="Dislike"]').last.click()      # the thumb is still the second answer's
        page.locator("#note input").fill("too slow")
        page.locator("#note-save").click()
        page.reload()
        expect(line).to_have_count(2)                                       # kept with the conversation
        rows = page.locator("#chat-log .message-buttons-left")
        expect(rows).to_have_count(2)
        expect(rows.first.get_by_title("Disliked")).to_have_count(0)
        expect(rows.last.get_by_title("Disliked")).to_have_count(1)


def test_keys_write_send_and_stop(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(f"{app.address}/#runs")
    expect(page.locator("#page-runs")).to_be_visible()
    page.locator("#page-runs h1").click()
    page.keyboard.press("/")
    expect(page.locator("#question textarea")).to_be_focused()
    page.keyboard.type("Anything?")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-log .bot").last).to_contain_text("w3")
    page.keyboard.press("Escape")
    expect(page.locator("#send")).to_be_visible()
    page.locator("#new-chat").click()
    expect(page.locator("#chat-log .welcome")).to_be_visible()


def test_wrong_input_is_explained_beside_its_field_and_nothing_is_lost(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(f"{app.address}/#train")
    page.locator("#setting-learning_rate").fill("fast")
    page.keyboard.press("Tab")
    expect(page.locator(".field.invalid")).to_have_attribute("data-error", re.compile("learning_rate must be a number"))
    expect(page.locator("#launch")).to_be_disabled()
    page.locator('[data-pick="dqn"]').click()
    expect(page.locator("#launch")).to_be_enabled()
    page.locator('[data-pick="ppo"]').click()
    expect(page.locator("#setting-learning_rate")).to_have_value("fast")
    page.locator("#setting-learning_rate").fill("2e-4")
    page.keyboard.press("Tab")
    expect(page.locator("#launch")).to_be_enabled()
    expect(page.locator("#script")).to_contain_text("0.0002")
    expect(page.locator(".field.invalid")).to_have_count(0)
    page.locator("#reset-settings").click()
    expect(page.locator("#script")).not_to_contain_text("0.0002")


def test_an_environment_where_an_algorithm_cannot_act_disables_it_with_the_reason(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(f"{app.address}/#train")
    page.locator("#env-family label", has_text="MuJoCo").click()
    page.locator('[data-pick="Hopper-v5"]').click()
    dqn = page.locator('[data-pick="dqn"]')
    expect(dqn).to_be_disabled()
    expect(dqn).to_contain_text("DQN needs a discrete action space")


def test_a_model_file_that_is_not_there_is_explained(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(app.address)
    page.locator("#answerer input").click()
    page.locator("[role=option]", has_text="GGUF").click()
    expect(page.locator("#answerer-what input")).to_have_attribute("placeholder", "/path/to/model.gguf")
    page.locator("#answerer-what input").fill("/nowhere/model.gguf")
    page.locator("#answerer-use").click()
    expect(page.locator("#answerer-note .notice.bad")).to_contain_text("'/nowhere/model.gguf' does not exist")
    expect(page.locator("#answerer-chip")).to_contain_text("Built-in answerer")


def test_whoever_turns_to_another_conversation_is_not_brought_back(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(app.address)
    ask(page, "First?")
    page.keyboard.press("Escape")
    expect(page.locator("#chat-title")).to_contain_text("First?")
    expect(page.locator("#send")).to_be_visible()   # before that, what stops the first answer may still be on its way
    page.locator("#new-chat").click()
    expect(page.locator("#chat-log .welcome")).to_be_visible()
    ask(page, "Second?")
    page.locator(".talk", has_text="First?").first.click()
    expect(page.locator(".talk", has_text="Second?").first).to_be_visible()     # what was said of it is kept
    expect(page.locator("#chat-title")).to_contain_text("First?")
    expect(page.locator("#chat-log .user-row")).to_contain_text("First?")
    expect(page.locator("#send")).to_be_visible()


def test_a_search_among_conversations_outlives_an_answer_that_ends_after_it(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(app.address)
    ask(page, "Walrus?")
    page.locator("#talk-search input").fill("tusk")
    expect(page.locator("#talk-list")).to_contain_text("No conversation has these words.")
    page.locator("#stop-answer").click()
    expect(page.locator("#chat-title")).to_contain_text("Walrus?")
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#talk-list")).to_contain_text("No conversation has these words.")
    page.locator("#talk-search input").fill("walrus")
    expect(page.locator(".talk", has_text="Walrus?")).to_have_count(1)


def test_what_is_typed_and_opened_while_an_answer_is_written_stays(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(app.address)
    ask(page, "What grows?")
    line = page.locator("#question textarea")
    expect(line).to_have_value("")
    line.press_sequentially("And what shrinks?", delay=40)
    page.locator('#chat-log a[href$="#source-0-1"]').last.click()
    expect(page.locator("#passage .passage")).to_contain_text("Every word of it.")
    page.locator("#stop-answer").click()
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#passage .passage")).to_contain_text("Every word of it.")
    expect(line).to_have_value("And what shrinks?")
    line.press("Enter")
    expect(page.locator("#chat-log .user-row").last).to_contain_text("And what shrinks?")
    expect(page.locator("#chat-log .bot").last).to_contain_text("w3")
    line.fill("And then?")
    line.press("Enter")                                                     # too early: asked when this one is over
    page.keyboard.press("Escape")
    expect(page.locator("#chat-log .user-row").last).to_contain_text("And then?")
    expect(line).to_have_value("")
    page.keyboard.press("Escape")
    expect(page.locator("#send")).to_be_visible()


def test_light_and_dark_are_remembered(app: App, shown: Window) -> None:
    page = shown.page
    page.goto(app.address)
    expect(page.locator("body")).not_to_have_class(re.compile("dark"))
    page.locator("#theme-toggle").click()
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    page.reload()
    expect(page.locator("body")).to_have_class(re.compile("dark"))


@pytest.mark.parametrize("width", [390, 820, 1024, 1440])
def test_nothing_is_wider_than_the_window(app: App, executable: str, width: int) -> None:
    with window(executable, width=width) as opened:
        page = opened.page
        for name in ("chat", "documents", "models", "train", "runs"):
            page.goto(f"{app.address}/#{name}")
            page.reload()
            expect(page.locator(f"#page-{name}")).to_be_visible()
            excess = page.evaluate("name => { const p = document.querySelector('#page-' + name);"
                                   " return Math.max(p.scrollWidth - p.clientWidth,"
                                   " document.documentElement.scrollWidth - innerWidth); }", name)
            assert excess <= 1, name
        assert opened.outside == []


def test_nothing_went_outside(app: App, shown: Window) -> None:
    shown.page.goto(app.address)
    expect(shown.page.locator("#question")).to_be_visible()
    assert shown.outside == []
    assert shown.complaints == []
    assert app.went_outside() == ""
