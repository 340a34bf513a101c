"""Every page, judged by axe-core: empty and full, light and dark, wide and narrow, its dialogs closed and open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import playwright.sync_api
import pytest
from playwright.sync_api import Page

import axe
import tour
from bots import Bot
from tour import Stop
from windows import overflow, sign_in

pytestmark = pytest.mark.timeout(600)

WIDTHS = (1_280, 320)
Theme = Literal["light", "dark"]
THEMES: Sequence[Theme] = ("light", "dark")
OPEN = """() => {
  const closed = [...document.querySelectorAll('details:not(.menu):not([open])')];
  for (const each of closed) each.open = true;
  return closed.length;
}"""
ILL_SHAPED = """() => {
  const told = (one) => one.outerHTML.slice(0, 80);
  const box = (one) => one.getBoundingClientRect();
  const isSmall = ({ width, height }) => Math.min(width, height) < 24;
  const pressed = [...document.querySelectorAll("button, .button, summary, input, select")];
  const small = pressed.filter((one) => one.checkVisibility() && isSmall(box(one.closest("label") ?? one)));
  const drawn = [...document.querySelectorAll(".facts > .spark:not(:last-child)")];
  const under = (one) => box(one.nextElementSibling).left < box(one).right;
  const covered = drawn.filter((one) => under(one) && box(one.nextElementSibling).top < box(one).bottom);
  const outside = [...document.querySelectorAll(".menu")].filter((menu) => {
    menu.open = true;
    const { left, right } = box(menu.lastElementChild);
    menu.open = false;
    return left < 0 || right > innerWidth;
  });
  const all = (word, found) => found.map((one) => `${word}: ${told(one)}`);
  return [...all("opens outside", outside), ...all("too small", small), ...all("covered", covered)];
}"""


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "full"])
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_wrong_with_any_page(
    browser: playwright.sync_api.Browser, tmp_path: Path, empty: bool, theme: Theme
) -> None:
    """No rule is left out, no page is wider than its window, no menu opens outside of it, nothing to press is small."""
    axe.require()
    wrong: list[str] = []

    with tour.bot(tmp_path, empty=empty, longest=True) as (bot, stops):
        context = browser.new_context(bypass_csp=True, reduced_motion="reduce", color_scheme=theme)
        page = context.new_page()
        signed_in = False
        for stop in tour.by_reader(stops):
            if not stop.visitor and not signed_in:
                sign_in(page, bot, "/settings/account")
                signed_in = True
            wrong += [
                f"{stop.path} as {'visitor' if stop.visitor else 'admin'}, {each}" for each in _judge(page, bot, stop)
            ]
        context.close()

    assert not wrong, "\n".join(wrong)


def _judge(page: Page, bot: Bot, stop: Stop) -> list[str]:
    found: list[str] = []
    page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    page.goto(bot.url + stop.path)
    for opened in (False, True):
        if opened and not page.evaluate(OPEN):
            break  # nothing opens here
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            found += [f"{width} px, {'open' if opened else 'closed'}: {each}" for each in axe.violations(page)]
            found += [f"{width} px: {each}" for each in page.evaluate(ILL_SHAPED)]
            if overflow(page):
                found.append(f"{width} px: {overflow(page)} px too wide")
    return found
