"""Installed: forgets what it knew of our GitHub App's installations once one of them has changed."""

from __future__ import annotations

from fastdeploy_bot.core.signals import installations
from fastdeploy_bot.engine.inquiries import Entries
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.store.models import Question


class Installed:
    """Asks nothing: whatever is next said to GitHub asks for a new token, and with it what the App may do."""

    def ask(self, line: Line, _question: Question, *, now: int) -> None:  # noqa: ARG002 - it is not a matter of time
        """Forget. A token that another process still has GitHub refuses, and another one takes its place."""
        line.forget()

    def act(self, question: Question, _found: object, _entries: Entries, *, now: int) -> None:
        """Let GitHub be told again what it did not want to hear of."""
        installations.heed(question, now=now)

    def give_up(self, _question: Question, _why: str, _entries: Entries, *, now: int) -> None:
        """It cannot come to this: nobody is asked."""
