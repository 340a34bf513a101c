"""Real pushes, seen in a browser: how far what is live is behind, and what the form to deploy would bring."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from bots import Bot
from gitforge import Forge, started
from windows import WAIT, OpenPage, sign_in

pytestmark = pytest.mark.timeout(300)


def test_the_commits_of_real_pushes_are_listed_before_they_go_live(bot: Bot, tmp_path: Path, window: OpenPage) -> None:
    """Three commits in two pushes, by hand: the page counts them, lists them, and they are live after the click."""
    forge = Forge(tmp_path, bot, "octo-org/listed")
    forge.commit(page_html="one")
    folder = forge.service("listed")
    bot.wait_end(started(forge.push("main"), "listed"))
    (folder / "service.toml").write_text("auto = false\n" + (folder / "service.toml").read_text())
    forge.commit(page_html="two")
    forge.commit(prices_html="three")
    forge.push("main")
    head = forge.commit(footer_html="four")
    forge.push("main")
    with window() as page:
        sign_in(page, bot, "/services/listed")
        top = page.locator("#top")
        expect(top).to_contain_text("3 commits behind")
        expect(top).to_contain_text(f"main is at {head[:7]}, pushed")
        expect(top).to_contain_text("its service file lets deployments start by hand only (auto = false)")

        page.locator("#deploy-ask > summary").click()
        listed = page.locator("#deploy-ask .commits > li")
        expect(listed).to_have_count(3)
        expect(listed.first).to_have_text(f"{head[:7]} Change footer_html by Mona")
        expect(listed.last).to_contain_text("Change page_html by Mona")
        page.get_by_role("button", name="Yes, deploy to listed").click()

        expect(page.locator("h1")).to_contain_text("deployed", timeout=WAIT)
        page.goto(f"{bot.url}/services/listed")
        expect(page.locator("#top")).to_contain_text("main = live")
