"""The relay: tells GitHub what it is owed, one thing at a time, at GitHub's pace. Nobody waits for it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock, forecast, outbox
from fastdeploy_bot.engine.line import Line, Unheard
from fastdeploy_bot.forge.github import texts
from fastdeploy_bot.forge.github.api import statuses
from fastdeploy_bot.forge.github.client import Client
from fastdeploy_bot.forge.github.policy import Remedy
from fastdeploy_bot.forge.github.texts import Facts, Status, Successor
from fastdeploy_bot.store.models import Deployment, Report, Step
from fastdeploy_bot.words import DeploymentState, StepState

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How long at most a change that nobody rang for stays unseen."""
GAP: Final = clock.SECOND
"""Between two calls; so there are no more than 60 a minute, where GitHub takes 80."""
NEWS: Final = 10 * clock.SECOND
"""Between two descriptions of one commit and context, where the state is the same."""
AGEING: Final = 20
"""A deployment that has run for long is described again after this part of its time, as GitHub keeps 1,000 statuses."""


class Letter(msgspec.Struct, frozen=True):
    """What is to be told of one commit under one context."""

    report: Report
    status: Status
    deployment: int
    """The one whose page is linked."""
    due: int
    """When it may be sent."""

    @property
    def changes_state(self) -> bool:
        """Whether it says more than another description."""
        return self.status.state != self.report.state

    @property
    def is_known(self) -> bool:
        """Whether GitHub was told exactly this last."""
        return not self.changes_state and self.status.description == self.report.description


class Relay:
    """The clerk that tells."""

    def __init__(self, line: Line, *, public_url: str) -> None:
        self._line = line
        self._public_url = public_url
        self._sent = -GAP
        """When the last call was made."""

    def tick(self, *, now: int) -> float:
        """Tell GitHub one thing, where one is due; answers in how many seconds to look again."""
        if not outbox.any_due(now=now):
            return LOOK_SECONDS
        if 0 <= now - self._sent < GAP:
            return (self._sent + GAP - now) / clock.SECOND
        if (seconds := self._line.busy(now=now)) > 0:
            return min(seconds, LOOK_SECONDS)
        letter = self._next(now)
        if letter is None:
            return LOOK_SECONDS
        self._sent = now
        self._send(letter, now)
        return GAP / clock.SECOND

    def _next(self, now: int) -> Letter | None:
        """The oldest change of state, or else the oldest new description that may be sent now."""
        news = None
        for report in outbox.owed(now=now):
            letter = _letter(report, now)
            if letter is None:
                continue
            if letter.is_known:
                outbox.note_known(letter.report)
            elif letter.changes_state:
                return letter
            elif letter.due <= now:
                news = news or letter
        return news

    def _send(self, letter: Letter, now: int) -> None:
        report = letter.report
        facts = {"deployment": letter.deployment, "context": report.context, "state": letter.status.state}
        try:
            self._tell(letter, now)
        except Unheard as failed:
            log.warning("github was not told", extra=facts | {"why": str(failed)})
            _failed(report, failed)
        else:
            log.info("github told", extra=facts)
            outbox.note_told(report, letter.status.state, letter.status.description, now=now)

    def _tell(self, letter: Letter, now: int) -> None:
        report, url = letter.report, f"{self._public_url}/deployments/{letter.deployment}"

        def call(client: Client, token: str) -> None:
            statuses.create(
                client, token, report.repository, report.sha, letter.status, context=report.context, url=url
            )

        self._line.ask(report.repository, statuses.WRITES, call, attempt=report.attempts, now=now)


def _failed(report: Report, failed: Unheard) -> None:
    match failed.remedy:
        case Remedy.GIVE_UP:
            outbox.note_refused(report, str(failed))
        case Remedy.RETRY:
            outbox.postpone(report, str(failed), due=failed.again)
        case Remedy.PAUSE:
            outbox.postpone(report, str(failed), due=report.due)  # it keeps its place


def _letter(owed: Report, now: int) -> Letter | None:
    """What is to be told, all of it as it is at one moment; None where somebody has told it meanwhile."""
    return store.read(lambda: _drafted(owed.id, now))


def _drafted(number: int, now: int) -> Letter | None:
    report = Report.get_by_id(number)
    if report.changes <= report.told:
        return None
    deployment = outbox.subject(report)
    heir = outbox.successor(deployment)
    successor = None if heir is None else Successor(heir.sha, _facts(heir, now))
    status = texts.status(_facts(deployment, now), successor)
    return Letter(report, status, deployment.id, _due(report, deployment, now))


def _due(report: Report, deployment: Deployment, now: int) -> int:
    """When a new description may be told."""
    running = now - deployment.started if deployment.started is not None and deployment.finished is None else 0
    told = report.told_at or 0
    return (told if told <= now else 0) + max(NEWS, running // AGEING)  # a clock that was set back makes no one wait


def _facts(deployment: Deployment, now: int) -> Facts:
    steps = list(Step.select().where(Step.deployment == deployment.id).order_by(Step.position))
    outlook = forecast.outlook(forecast.habit(deployment.service_id), deployment, steps, now=now)
    return Facts(
        state=DeploymentState(deployment.state),
        reason=deployment.reason,
        step=_step(deployment, steps),
        left=outlook.eta,
        overdue=outlook.longer,
        took=_took(deployment),
        cancelling=deployment.cancelled_by is not None,
    )


def _step(deployment: Deployment, steps: Iterable[Step]) -> str:
    """The step that runs, or the last one that failed."""
    wanted = StepState.RUNNING if deployment.state == DeploymentState.RUNNING else StepState.FAILURE
    return ([step.name for step in steps if step.state == wanted] or [""])[-1]


def _took(deployment: Deployment) -> float | None:
    if deployment.started is None or deployment.finished is None:
        return None
    return float(deployment.finished - deployment.started) / clock.SECOND
