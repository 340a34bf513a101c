"""Waiting for GitHub: a request that needs to know something holds a thread until the engine has asked."""

from __future__ import annotations

from typing import Final

from fastdeploy_bot.core.commits import questions
from fastdeploy_bot.core.people.few import Few

LONGEST: Final = 10.0
"""Seconds that a request waits."""
MOST: Final = 8
"""How many of a process wait at once: all other threads are there for webhooks and pages."""

_places: Final = Few(MOST, "as many requests wait for GitHub as may: try again shortly")


def until_answered(question: int | None) -> None:
    """Wait for the answer to a question, for a while. Raises Busy where too many wait already."""
    if question is None:
        return
    with _places:
        questions.wait(question, seconds=LONGEST)
