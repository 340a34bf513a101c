"""Gaps: has GitHub asked what is between what is live and the newest push, where the pushes do not tell."""

from __future__ import annotations

from typing import Final

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.pushes import gaps
from fastdeploy_bot.engine.line import Line

LOOK_SECONDS: Final = 1.0
EACH: Final = 10 * clock.SECOND
"""How often somebody looks for such a push."""


class Gaps:
    """The clerk that looks for them; it asks nothing itself."""

    def __init__(self, line: Line, catalogue: Catalogue) -> None:
        self._line = line
        self._catalogue = catalogue
        self._looked = 0

    def tick(self, *, now: int) -> float:
        """Look, where it is time to; answers in how many seconds to look again."""
        if not 0 <= now - self._looked < EACH and self._line.busy(now=now) <= 0:
            self._looked = now
            gaps.ask(self._catalogue.entries(), now=now)
        return LOOK_SECONDS
