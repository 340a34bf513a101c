"""Hearing of a deployment elsewhere: by the bot's feed, and by the clock where that cannot be heard."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from fastdeploy_bot.cli.client import Client
from fastdeploy_bot.cli.wire import Closed, Refused, Wire

DEAF_SECONDS: Final = 1.0
"""How often to look while the feed cannot be heard."""
HEARING_SECONDS: Final = 10.0
"""How often to look while it can: a connection may die without a word."""
LONGEST_PAUSE: Final = 30.0
"""Between two attempts to hear the feed."""


class RemoteEars:
    """Hears of one deployment by the feed; looks by the clock where the bot does not let it, or is away."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self._number = number
        self._wire: Wire | None = None
        self._refused = False
        self._pause = 1.0
        self._next_try = 0.0
        self._looked = time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait for news of the deployment, at most `seconds`; answers whether it is time to look."""
        news = self._connect() if self._wire is None else self._hear(self._wire, seconds)
        if self._wire is None:
            time.sleep(seconds)
        pause = DEAF_SECONDS if self._wire is None else HEARING_SECONDS
        if not news and time.monotonic() < self._looked + pause:
            return False
        self._looked = time.monotonic()
        return True

    def close(self) -> None:
        """Stop hearing."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _connect(self) -> bool:
        """Whether the feed can be heard again: what came meanwhile has to be looked up."""
        if self._refused or time.monotonic() < self._next_try:
            return False
        try:
            self._wire = Wire(self._client.url, f"/feed?deployment={self._number}", self._client.headers)
        except Refused as refusal:
            self._refused = 400 <= refusal.status < 500 and refusal.status != 429
        except Closed:
            pass
        self._next_try = time.monotonic() + self._pause
        self._pause = 1.0 if self._wire is not None else min(2 * self._pause, LONGEST_PAUSE)
        return self._wire is not None

    def _hear(self, wire: Wire, seconds: float) -> bool:
        try:
            return any(self._concerns(message) for message in wire.receive(seconds))
        except Closed as closed:
            self._refused = isinstance(closed, Refused)
            self.close()
            return True

    def _concerns(self, message: str) -> bool:
        """Whether a message of the feed is about this deployment, or about the feed itself."""
        try:
            told = json.loads(message)
        except ValueError:
            return False
        return isinstance(told, dict) and _about(told) in (None, self._number)


def _about(told: dict[str, Any]) -> object:
    """The deployment that a message is about; None where it is about the feed itself."""
    kind = told.get("type")
    thing = told.get(kind) if isinstance(kind, str) else None
    if kind == "log":
        return told.get("deployment")
    if isinstance(thing, dict):
        return thing.get("id", False) if kind == "deployment" else thing.get("deployment", False)
    return None
