"""A relay whose time is the test's."""

from __future__ import annotations

from fastdeploy_bot.core import clock
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.engine.relay import Relay


class Sender:
    """Tells GitHub when the test says so."""

    def __init__(self, speaking: Line, made: Relay) -> None:
        self.line = speaking
        self.relay = made
        self.now = clock.now()

    def tick(self, seconds: float = 1.0) -> float:
        """Look once, so many seconds after the last look."""
        self.now += int(seconds * clock.SECOND)
        return self.relay.tick(now=self.now)

    def settle(self, seconds: float = 20.0) -> None:
        """Look once a second, so many times."""
        for _ in range(int(seconds)):
            self.tick()
