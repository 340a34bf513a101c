"""The relay: tells GitHub what it is owed, one thing at a time, at GitHub's pace. Nobody waits for it."""

from __future__ import annotations

import logging
from typing import Final

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.telling import outbox
from fastdeploy_bot.engine import letters
from fastdeploy_bot.engine.letters import Act, Letter
from fastdeploy_bot.engine.line import Line, Unheard
from fastdeploy_bot.forge.github.pace import HOUR, Pace
from fastdeploy_bot.forge.github.policy import Remedy

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How long at most a change that nobody rang for stays unseen."""
NO_APP: Final = "GitHub takes check runs from a GitHub App only, and the bot has a token"


class Relay:
    """The clerk that tells."""

    def __init__(self, line: Line, *, public_url: str) -> None:
        self._line = line
        self._public_url = public_url
        self._known_pace: Pace | None = None

    def tick(self, *, now: int) -> float:
        """Tell GitHub one thing, where one is due; answers in how many seconds to look again."""
        if not outbox.any_due(now=now):
            return LOOK_SECONDS
        pace = self._pace(now)
        if (seconds := max(pace.wait(now=now), self._line.busy(now=now))) > 0:
            return min(seconds, LOOK_SECONDS)
        letter, again = self._next(now)
        if letter is None:
            return again
        pace.note(now=now)
        self._send(letter, now)
        return 0.0

    def _pace(self, now: int) -> Pace:
        """At first as of the calls that others made, as far as the rows tell of them."""
        if self._known_pace is None:
            self._known_pace = Pace(outbox.told_since(now - HOUR))
        return self._known_pace

    def _next(self, now: int) -> tuple[Letter | None, float]:
        """The oldest change of state, or else the oldest new description that may be sent now.

        And where there is neither, in how many seconds there may be.
        """
        news, again = None, LOOK_SECONDS
        for report in outbox.owed(now=now):
            letter = letters.draft(report, self._public_url, now=now)
            if letter is None or self._needs_no_call(letter):
                continue
            if letter.due > now:
                again = min(again, (letter.due - now) / clock.SECOND)
            elif letter.changes_state:
                return letter, 0.0
            elif self._pace(now).takes_news(now=now):
                news = news or letter
        return news, again

    def _needs_no_call(self, letter: Letter) -> bool:
        """Whether a letter says nothing that GitHub would want to hear; then nothing is owed of it any more."""
        if letter.is_refused:
            outbox.note_still_refused(letter.report)
        elif letter.of_app and not self._line.is_app:
            outbox.note_refused(letter.report, letter.state, NO_APP)
        elif letter.is_known:
            outbox.note_known(letter.report)
        else:
            return False
        return True

    def _send(self, letter: Letter, now: int) -> None:
        report = letter.report
        facts = {"kind": report.kind, "deployment": letter.deployment, "context": report.context, "state": letter.state}
        if letter.act is Act.MAKE:
            outbox.note_making(report)
        try:
            made = self._tell(letter, now)
        except Unheard as failed:
            log.warning("github was not told", extra=facts | {"why": str(failed)})
            _failed(letter, failed)
        else:
            log.info("github told", extra=facts | {"by": letter.act})
            _note(letter, made, now)

    def _tell(self, letter: Letter, now: int) -> int | None:
        report = letter.report
        return self._line.ask(report.repository, letter.needs, letter.call, attempt=report.attempts, now=now)


def _note(letter: Letter, number: int | None, now: int) -> None:
    """GitHub has done what it was asked to."""
    report = letter.report
    if letter.act is Act.TELL:
        outbox.note_told(report, letter.state, letter.description, now=now, also=letter.also)
    elif number is None:
        outbox.note_not_made(report)
    elif letter.act is Act.FIND:
        outbox.note_found(report, number)
    elif letter.begins:
        outbox.note_begun(report, number, letter.begins, now=now)
    else:
        outbox.note_made(report, number, letter.state, letter.description, now=now)


def _failed(letter: Letter, failed: Unheard) -> None:
    report = letter.report
    if letter.act is Act.MAKE and not failed.unclear:
        outbox.note_not_made(report)
    match failed.remedy:
        case Remedy.GIVE_UP:
            outbox.note_refused(report, letter.state, str(failed))
        case Remedy.RETRY:
            outbox.postpone(report, str(failed), due=failed.again)
        case Remedy.PAUSE:
            outbox.postpone(report, str(failed), due=report.due)  # it keeps its place
