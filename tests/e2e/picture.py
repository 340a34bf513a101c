"""The README's picture of the page: a bot with a believable past, looked at with a real browser (`make picture`)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

import browsers
import scenes
from bots import ADMIN, PASSWORD, ROOT, Bot
from fastdeploy_bot import store
from fastdeploy_bot.core import clock

PICTURE = ROOT / "docs" / "overview.png"


def take(path: Path) -> None:
    """Draw the overview into that file."""
    with tempfile.TemporaryDirectory() as folder, browsers.browser() as browser:
        bot = Bot(Path(folder), FASTDEPLOY_MAX_RUNNING="0")
        bot.start()
        try:
            fill(bot)
            page = browser.new_page(viewport={"width": 1280, "height": 640}, reduced_motion="reduce")
            sign_in(page, bot)
            page.wait_for_selector("#live.on")
            page.screenshot(path=path)
        finally:
            bot.close()


def fill(bot: Bot) -> dict[str, int]:
    """Give a bot that runs nothing its past; the newest deployment of each service."""
    store.connect(f"sqlite:///{bot.home / 'fastdeploy.db'}")
    try:
        return scenes.draw(bot.home, now=clock.now())
    finally:
        store.disconnect()


def sign_in(page: Page, bot: Bot) -> None:
    """As the admin, by the form."""
    page.goto(f"{bot.url}/login")
    page.fill("input[name=username]", ADMIN)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(f"{bot.url}/")


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
