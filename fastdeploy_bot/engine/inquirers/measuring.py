"""Measuring: asks GitHub which commits are between what is live and the newest push."""

from __future__ import annotations

import msgspec

from fastdeploy_bot.core.commits.between import Between
from fastdeploy_bot.core.pushes import gaps
from fastdeploy_bot.core.pushes.gaps import Asked
from fastdeploy_bot.engine.inquirers import comparing
from fastdeploy_bot.engine.inquiries import Entries
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.store.models import Question


class Measuring:
    """An inquirer."""

    def ask(self, line: Line, question: Question, *, now: int) -> object:
        """How the one differs from the other; null where GitHub does not say. Raises Unheard."""
        asked = msgspec.json.decode(question.data, type=Asked)
        return comparing.between(comparing.compared(line, question, asked.base, asked.head, now=now))

    def act(self, question: Question, found: object, _entries: Entries, *, now: int) -> None:  # noqa: ARG002 - as all have
        """Keep it with the service; inside a write."""
        gaps.settle(question, msgspec.convert(found, Between | None, from_attributes=True))

    def give_up(self, question: Question, _why: str, _entries: Entries, *, now: int) -> None:  # noqa: ARG002 - as all have
        """Keep that it is not known, so that it is not asked again; inside a write."""
        gaps.settle(question, None)
