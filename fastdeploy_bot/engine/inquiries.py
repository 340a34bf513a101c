"""Inquiries: asks GitHub what others want to know, and has each answer acted upon in the transaction that keeps it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core.commits import questions
from fastdeploy_bot.core.files.catalogue import Catalogue, Entry
from fastdeploy_bot.engine.line import Line, Unheard
from fastdeploy_bot.forge.github.policy import Remedy
from fastdeploy_bot.store.models import Question
from fastdeploy_bot.words import QuestionKind

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0


Entries = Mapping[str, Entry]
"""The service files."""


class Further(msgspec.Struct, frozen=True):
    """One call did not tell all that there is to know."""

    data: object
    """The question's data from now on."""


class Inquirer(Protocol):
    """Knows how to ask one kind of question, and what to do with the answer."""

    def ask(self, line: Line, question: Question, *, now: int) -> object:
        """What GitHub answers to one call, as JSON can hold it; or Further, to be called again. Raises Unheard."""

    def act(self, question: Question, found: object, entries: Entries, *, now: int) -> None:
        """Do what follows from the answer; called inside a write, without I/O. The entries are those of now."""

    def give_up(self, question: Question, why: str, entries: Entries, *, now: int) -> None:
        """Do what follows from there being no answer, as GitHub refuses one or is not heard in time; inside a write."""


class Inquiries:
    """The clerk that asks, the oldest question first."""

    def __init__(
        self, line: Line, catalogue: Catalogue, inquirers: Mapping[QuestionKind, Inquirer], bell: Bell
    ) -> None:
        """`bell` rings for those who carry out what an answer may have queued."""
        self._bell = bell
        self._line = line
        self._catalogue = catalogue
        self._inquirers = inquirers

    def tick(self, *, now: int) -> float:
        """Ask one question, where one is due; answers in how many seconds to look again.

        What nobody needs to know any more is given up, also while GitHub wants to hear nothing.
        """
        if (late := questions.next_late(list(self._inquirers), now=now)) is not None:
            self._give_up(late, questions.too_late(late), now)
            return 0.0
        question = questions.next_due(list(self._inquirers), now=now)
        if question is None:
            return LOOK_SECONDS
        if (seconds := self._line.busy(now=now)) > 0:
            return min(seconds, LOOK_SECONDS)
        self._settle(question, self._inquirers[QuestionKind(question.kind)], now)
        return 0.0

    def _settle(self, question: Question, inquirer: Inquirer, now: int) -> None:
        try:
            found = inquirer.ask(self._line, question, now=now)
        except Unheard as failed:
            log.warning("github did not answer", extra={"question": question.kind, "why": str(failed)})
            self._unheard(question, failed, now)
            return
        if isinstance(found, Further):
            questions.go_on(question, found.data)
            return
        entries = self._catalogue.entries()

        def act() -> None:
            if questions.answer(question, found, now=now):
                inquirer.act(question, found, entries, now=now)

        store.write(act)
        self._bell.ring()

    def _unheard(self, question: Question, failed: Unheard, now: int) -> None:
        if failed.remedy is Remedy.GIVE_UP:
            self._give_up(question, str(failed), now)
        else:
            questions.postpone(question, str(failed), due=failed.again)

    def _give_up(self, question: Question, why: str, now: int) -> None:
        entries, inquirer = self._catalogue.entries(), self._inquirers[QuestionKind(question.kind)]

        def give_up() -> None:
            if questions.answer(question, None, problem=why, now=now):
                inquirer.give_up(question, why, entries, now=now)

        store.write(give_up)
        self._bell.ring()
