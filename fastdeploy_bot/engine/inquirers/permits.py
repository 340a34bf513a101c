"""Permits: asks GitHub whether somebody may write to a repository, and lets them have what they asked for."""

from __future__ import annotations

import msgspec

from fastdeploy_bot.core.signals import buttons
from fastdeploy_bot.core.signals.buttons import Press
from fastdeploy_bot.engine.inquiries import Entries
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.forge.github.api import collaborators
from fastdeploy_bot.forge.github.api.collaborators import Permission
from fastdeploy_bot.store.models import Question


class MayWrite:
    """Asks on behalf of whoever pressed a button."""

    def ask(self, line: Line, question: Question, *, now: int) -> Permission:
        """What they may do, as GitHub says now. Raises Unheard."""
        login = msgspec.json.decode(question.data, type=Press).login
        return line.ask(
            question.repository,
            collaborators.READS,
            lambda client, token: collaborators.permission(client, token, question.repository, login),
            attempt=question.attempts,
            now=now,
        )

    def act(self, question: Question, found: object, entries: Entries, *, now: int) -> None:
        """Do what they asked for, or say why not."""
        allowed = msgspec.convert(found, Permission)
        buttons.settle(question, allowed.permission, allowed.person, entries, now=now)

    def give_up(self, question: Question, why: str, _entries: Entries, *, now: int) -> None:
        """Say that nothing is done."""
        buttons.give_up(question, why, now=now)
