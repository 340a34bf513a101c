"""Pictures of every page in both themes: a bot with a believable past, and one without (`make screenshots`)."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import playwright.sync_api
from playwright.sync_api import ViewportSize

import browsers
import tour
from bots import ROOT
from windows import sign_in

FOLDER: Final = ROOT / "docs" / "screenshots"
THEMES: Final[Sequence[Literal["light", "dark"]]] = ("light", "dark")
SIZE: Final[ViewportSize] = {"width": 1_280, "height": 640}
TALLEST: Final = 1_000
"""Pixels of a page that are drawn at most."""


def take(folder: Path) -> None:
    """Draw every page into that folder, in place of what was there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    with browsers.browser() as browser:
        for empty in (False, True):
            _walk(browser, folder, empty=empty)


def _walk(browser: playwright.sync_api.Browser, folder: Path, *, empty: bool) -> None:
    with tempfile.TemporaryDirectory() as home, tour.bot(Path(home), empty=empty) as (bot, stops):
        for theme in THEMES:
            page = browser.new_page(viewport=SIZE, reduced_motion="reduce", color_scheme=theme)
            visiting = True
            for stop in tour.by_reader(stops):
                if visiting and not stop.visitor:
                    sign_in(page, bot, "/settings/account")
                    visiting = False
                page.set_viewport_size(SIZE)
                page.goto(bot.url + stop.path)
                if page.locator("body[data-since]").count():
                    page.wait_for_selector("#live.on")
                height = page.evaluate("document.documentElement.scrollHeight")
                page.set_viewport_size({"width": SIZE["width"], "height": max(SIZE["height"], min(height, TALLEST))})
                name = f"{'empty-' if empty else ''}{stop.name}-{theme}.png"
                page.screenshot(path=folder / name)
            page.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
