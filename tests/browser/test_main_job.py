"""The whole job in a browser: ask, open a citation, plan, launch, watch, evaluate, see the agent play."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from driving import INDEX_S, PATIENCE_S, App, Window, running_app
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE_MS = PATIENCE_S * 1000


def points(page: Page) -> int:
    """How many points the curve of the return has; 0 while there is none."""
    return int(page.evaluate("Number(document.querySelector('#curve-return')?.dataset.points ?? 0)"))


def wait_for_points(page: Page, more_than: int) -> None:
    page.wait_for_function("least => Number(document.querySelector('#curve-return')?.dataset.points ?? 0) > least",
                           arg=more_than, timeout=PATIENCE_MS)


def state(page: Page, *expected: str) -> None:
    """Wait until the run that is shown is in one of these states."""
    pattern = re.compile("|".join(expected))
    expect(page.locator(".run-head")).to_have_attribute("data-state", pattern, timeout=PATIENCE_MS)


def steps(page: Page) -> int:
    return int(page.locator(".run-head .tile b").first.inner_text().replace(",", ""))


def ask(page: Page, question: str) -> None:
    page.locator("#question textarea").fill(question)
    page.keyboard.press("Enter")


def nothing_went_outside(app: App, shown: Window) -> None:
    assert shown.outside == []
    assert app.went_outside() == ""
    assert shown.complaints == []


def test_from_a_question_to_a_trained_agent(tmp_path: Path, index: Path, shown: Window) -> None:
    page = shown.page
    with running_app(tmp_path, index) as app:
        page.goto(app.address)

        ask(page, "why does PPO clip the ratio?")
        citation = page.locator('#chat-log a[href*="#source-"]').first
        expect(citation).to_be_visible(timeout=INDEX_S * 1000)
        expect(page.locator("#send")).to_be_visible()
        assert "clip" in page.locator("#chat-log .bot").last.inner_text().lower()
        citation.click()
        expect(page.locator("#passage .passage")).to_be_visible()
        assert len(page.locator("#passage .passage").inner_text()) > 80
        expect(page.locator('#sources .source[aria-current="true"]')).to_have_count(1)

        ask(page, "train PPO on CartPole with 8 envs")
        expect(page.locator("#chat-offer")).to_contain_text("PPO on CartPole-v1")
        page.locator("#open-plan").click()
        expect(page.locator("#setting-num_envs")).to_have_value("8")
        expect(page.locator('[data-pick="CartPole-v1"]')).to_have_attribute("aria-pressed", "true")
        expect(page.locator('[data-pick="sac"]')).to_be_disabled()
        expect(page.locator("#script")).to_contain_text("rl.train(")
        page.locator("#launch").click()

        state(page, "starting", "running", "finished")
        wait_for_points(page, 1)
        wait_for_points(page, points(page))                             # it moves
        state(page, "finished")
        mean = float(page.locator("#tile-return b").inner_text())
        assert mean >= 475

        before = len(page.locator("#evaluation-table tbody tr").all())
        expect(page.locator("#run-evaluate")).to_be_enabled(timeout=PATIENCE_MS)
        page.locator("#run-evaluate").click()
        page.locator("#tab-evaluation-button").click()
        row = page.locator("#evaluation-table tbody tr").nth(before)    # one more than there were
        expect(row).to_be_visible(timeout=PATIENCE_MS)
        newest = page.locator("#evaluation-table tbody tr").first.locator("td")
        assert newest.nth(1).inner_text() == "20"
        assert float(newest.nth(2).inner_text()) >= 475

        page.locator("#run-why").click()
        expect(page.locator("#why-to-chat")).to_be_visible(timeout=PATIENCE_MS)
        page.locator("#why-text a").first.click()
        expect(page.locator("#why-passage .passage")).to_contain_text("episode/return_100")
        page.locator("#why-to-chat").click()
        expect(page.locator("#chat-title")).to_contain_text("Why did ppo-CartPole-v1")
        expect(page.locator("#chat-log .bot").last).to_contain_text("CartPole-v1")
        page.locator("#nav-runs").click()

        page.locator("#tab-video-button").click()
        expect(page.locator("#run-record")).to_be_enabled(timeout=PATIENCE_MS)
        page.locator("#run-record").click()
        expect(page.locator("#run-video")).to_be_visible(timeout=PATIENCE_MS)
        page.evaluate("document.querySelector('#run-video').play()")
        page.wait_for_function("(() => { const v = document.querySelector('#run-video');"
                               " return v.readyState >= 2 && v.currentTime > 0.2; })()", timeout=PATIENCE_MS)
        nothing_went_outside(app, shown)


def test_a_run_outlives_the_app_and_can_be_stopped_resumed_and_deleted(
    tmp_path: Path, index: Path, shown: Window,
) -> None:
    page = shown.page
    with running_app(tmp_path, index) as first:
        page.goto(f"{first.address}/#train")
        page.locator("#setting-env_steps").fill("20M")
        page.locator("#launch").click()
        state(page, "running")
        wait_for_points(page, 0)
        reached = steps(page)
        run_id = page.locator(".run-head code").inner_text()
        page.goto("about:blank")
        first.end(signal.SIGKILL)

    shown.complaints.clear()                                            # the page that lost its server may complain
    with running_app(tmp_path, index) as second:
        page.goto(f"{second.address}/#runs")
        state(page, "running")
        assert page.locator(".run-head code").inner_text() == run_id
        page.wait_for_function(
            "least => Number(document.querySelector('.run-head .tile b')?.innerText.replaceAll(',', '')) > least",
            arg=reached, timeout=PATIENCE_MS)

        page.locator("#run-stop").click()
        state(page, "stopped")
        stopped_at = steps(page)
        page.locator("#run-resume").click()
        state(page, "running")
        page.wait_for_function(
            "least => Number(document.querySelector('.run-head .tile b')?.innerText.replaceAll(',', '')) > least",
            arg=stopped_at, timeout=PATIENCE_MS)
        page.locator("#run-stop").click()
        state(page, "stopped")

        page.locator("#run-delete").click()
        page.locator("#run-keep").click()
        expect(page.locator("#run-confirm")).to_be_hidden()
        page.locator("#run-delete").click()
        page.locator("#run-delete-really").click()
        expect(page.locator("#run-none-text")).to_be_visible()
        assert list((tmp_path / "runs").iterdir()) == []
        nothing_went_outside(second, shown)
