"""Windows of a browser, and what people do in them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import playwright.sync_api
from playwright.sync_api import ConsoleMessage, Page

from bots import ADMIN, PASSWORD, PATIENCE, Bot
from fastdeploy_bot.forge.github import payloads

WAIT: Final = PATIENCE * 1_000
"""How long something on a page is waited for, in milliseconds."""

REFUSED: Final = "the server responded with a status of"
"""What a browser says of a page whose status tells that something was refused."""

OpenPage = Callable[..., AbstractContextManager[Page]]
"""`window(away=…, refused=…, width=…, scripts=…)`: a window for the length of a `with`."""


def opener(browser: playwright.sync_api.Browser) -> OpenPage:
    """Opens windows; what a console complains of is a fault, but for a server that is away on purpose, or refuses."""

    @contextmanager
    def open_window(
        *, away: bool = False, refused: bool = False, width: int = 1_280, scripts: bool = True
    ) -> Iterator[Page]:
        complaints: list[str] = []

        def note(message: ConsoleMessage) -> None:
            expected = (away and "net::ERR_" in message.text) or (refused and REFUSED in message.text)
            if message.type in ("error", "warning") and not expected:
                complaints.append(message.text)

        context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=scripts)
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        try:
            yield page
        finally:
            context.close()
        assert [] == complaints

    return open_window


def sign_in(page: Page, bot: Bot, path: str = "/", *, name: str = ADMIN) -> None:
    """Ask for a page, sign in, as the admin unless somebody else with the same password is named, and be led there."""
    page.goto(bot.url + path)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url(bot.url + path)


def push(bot: Bot, name: str, commit: str, title: str = "Fix the feed") -> int:
    """Push to a service's repository; answers the deployment."""
    body = payloads.push_document(
        repository=f"octo-org/{name}",
        repository_id=sum(name.encode()),
        before="1" * 40,
        after=commit,
        pushed_at=time.time_ns() // 10**9,
        title=title,
    )
    told = json.loads(bot.deliver(body).content)
    number: int = told["verdicts"][0]["deployment"]
    return number


def stay(page: Page) -> Callable[[], bool]:
    """Marks the document, and tells later whether it is still the same one: nothing was loaded anew."""
    page.evaluate("window.mark = true")
    return lambda: page.evaluate("window.mark === true") is True


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    wider: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wider
