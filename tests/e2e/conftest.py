"""Bots for the stories: one that a file's tests share, and fresh ones to stop, kill and misconfigure."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import playwright.sync_api
import pytest

import browsers
import windows
from bots import Bot, BotMaker
from windows import OpenPage


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    """A running bot for all tests of a file; each test has services of its own."""
    with closing(Bot(tmp_path_factory.mktemp("bot"))) as shared:
        yield shared.start()


@pytest.fixture
def make_bot(tmp_path: Path) -> Iterator[BotMaker]:
    """Makes bots of the test's own, not started; the arguments are added to their environment."""
    with ExitStack() as stack:

        def make(**environment: str) -> Bot:
            folder = tmp_path / f"bot{len(list(tmp_path.glob('bot*')))}"
            folder.mkdir()
            return stack.enter_context(closing(Bot(folder, **environment)))

        yield make


@pytest.fixture
def own_bot(make_bot: BotMaker) -> Bot:
    """A bot of the test's own, not started."""
    return make_bot()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.sync_api.Browser]:
    """One browser for all tests of a file; each has windows with cookies of their own."""
    browsers.require()
    with browsers.browser() as opened:
        yield opened


@pytest.fixture
def window(browser: playwright.sync_api.Browser) -> OpenPage:
    """Opens windows; what a console complains of is a fault, but for a server that is away on purpose."""
    return windows.opener(browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers printed when a test fails."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(shown := getattr(value, "bot", value), Bot):
                report.sections.append((f"server output of {name}", shown.output()))
    return report
