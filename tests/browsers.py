"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, sync_playwright

import absent

FLAGS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserMissing(Exception):
    """Chromium is not there; the message says what to install."""


def require() -> None:
    """Skip a test whose browser is missing; with REQUIRE_ALL_TESTS=1, fail it."""
    try:
        executable()
    except BrowserMissing as missing:
        absent.tell(str(missing))


def executable() -> str:
    """Where Chromium is; TEST_CHROMIUM names another one. Raises BrowserMissing."""
    named = os.environ.get("TEST_CHROMIUM")
    found = shutil.which(named) if named else shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise BrowserMissing("chromium is absent: apt-get install --no-install-recommends chromium")
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(FLAGS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable(), args=flags)
        yield opened
        opened.close()
