"""The desk's clerk that asks, whose time is the test's."""

from __future__ import annotations

from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.engine import desk
from fastdeploy_bot.engine.inquiries import Inquiries
from fastdeploy_bot.engine.line import Line


class Asker:
    """Asks GitHub when the test says so."""

    def __init__(self, speaking: Line, catalogue: Catalogue) -> None:
        self.clerk = Inquiries(speaking, catalogue, desk.inquirers(), Bell(catalogue.folder / "nobody-listens"))
        self.now = clock.now()

    def tick(self, seconds: float = 1.0) -> float:
        """Look once, so many seconds after the last look, or after now where that was long ago."""
        self.now = max(self.now, clock.now()) + int(seconds * clock.SECOND)
        return self.clerk.tick(now=self.now)

    def settle(self, seconds: float = 5.0) -> None:
        """Look four times a second, for so many."""
        for _ in range(int(seconds * 4)):
            self.tick(0.25)
