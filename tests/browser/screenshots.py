"""Takes the pictures of the three pages, light and dark: `python tests/browser/screenshots.py FOLDER`.

They show real work: a question answered from the corpus, a plan made from a sentence, a run trained just now.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

from driving import INDEX_S, PATIENCE_S, ROOT, chromium, running_app, window
from playwright.sync_api import Page, expect

PATIENCE_MS = PATIENCE_S * 1000
logger = logging.getLogger("screenshots")


def take(page: Page, folder: Path, name: str) -> None:
    """The same view twice: FOLDER/<name>-light.png and FOLDER/<name>-dark.png."""
    for look in ("light", "dark"):
        if page.evaluate("document.body.classList.contains('dark')") != (look == "dark"):
            page.locator("#theme-toggle").click()
        page.mouse.move(700, 4)
        page.wait_for_timeout(400)                                      # colours fade over
        page.screenshot(path=folder / f"{name}-{look}.png")
        logger.info("%s-%s.png", name, look)
    page.locator("#theme-toggle").click()


def ask(page: Page, question: str) -> None:
    page.locator("#question textarea").fill(question)
    page.keyboard.press("Enter")
    expect(page.locator("#stop-answer")).to_be_hidden(timeout=INDEX_S * 1000)
    expect(page.locator("#chat-log .user-row").last).to_contain_text(question, timeout=PATIENCE_MS)
    expect(page.locator("#chat-log .bot-row").last.locator("a").first).to_be_visible(timeout=INDEX_S * 1000)


def launch(page: Page, env: str, family: str, algo: str, **settings: str) -> None:
    page.locator("#nav-train").click()
    page.locator("#env-family label", has_text=family).click()
    page.locator(f'[data-pick="{env}"]').click()
    page.locator(f'[data-pick="{algo}"]').click()
    expect(page.locator(f'[data-pick="{algo}"]')).to_have_attribute("aria-pressed", "true")
    for name, value in settings.items():
        page.locator(f"#setting-{name}").fill(value)
    page.locator("#launch").click()
    expect(page.locator(".run-head h2")).to_contain_text(env, timeout=PATIENCE_MS)


def finished(page: Page) -> None:
    expect(page.locator(".run-head")).to_have_attribute("data-state", "finished", timeout=PATIENCE_MS)
    expect(page.locator(".run-head .notice")).to_have_count(0, timeout=PATIENCE_MS)


def tour(page: Page, address: str, folder: Path) -> None:
    """Through the pages in the order a person would take."""
    page.goto(address)
    ask(page, "Why does PPO clip the ratio?")
    page.locator('#chat-log a[href*="#source-"]').first.click()
    expect(page.locator("#passage .passage")).to_be_visible()
    take(page, folder, "chat")
    ask(page, "Train PPO on CartPole with 8 envs")
    page.locator("#open-plan").click()
    expect(page.locator("#script")).to_contain_text("CartPole")
    take(page, folder, "train")
    page.locator("#launch").click()
    finished(page)
    first = page.locator(".run-head code").inner_text()
    page.locator("#run-evaluate").click()
    expect(page.locator("#curve-return .plot-dot").first).to_be_visible(timeout=PATIENCE_MS)
    launch(page, "LunarLander-v3", "Box2D", "dqn", env_steps="2M")
    page.locator(f'[data-pick="{first}"]').click()
    finished(page)
    for metric in ("policy/entropy", "loss/value"):
        page.locator("#curve-metrics input").fill(metric)
        page.locator("#curve-metrics [role=option]", has_text=metric).click()
    page.locator("#page-runs h1").click()
    expect(page.locator(".curve-grid .plot")).to_have_count(2)
    take(page, folder, "runs")
    page.locator(".run", has_text="LunarLander").click()
    page.locator("#run-stop").click()
    expect(page.locator(".run-head")).to_have_attribute("data-state", "stopped", timeout=PATIENCE_MS)


def main() -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the six PNG files go")
    parser.add_argument("--index", type=Path, default=ROOT / ".index", help="index to use; built if it is not there")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    executable = chromium()
    if executable is None:
        raise SystemExit("Chromium is not installed (Debian: apt-get install chromium).")
    with tempfile.TemporaryDirectory() as place, running_app(Path(place), chosen.index) as app, \
            window(executable) as opened:
        tour(opened.page, app.address, chosen.folder)


if __name__ == "__main__":
    main()
