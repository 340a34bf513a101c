"""The relay: tells GitHub what it is owed, one thing at a time, at GitHub's pace. Nobody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock, forecast, outbox
from fastdeploy_bot.engine.duty import Duty
from fastdeploy_bot.forge.github import policy, texts
from fastdeploy_bot.forge.github.app_auth import AppTokens, Credentials, FixedToken
from fastdeploy_bot.forge.github.client import CallFailed, Client
from fastdeploy_bot.forge.github.policy import Remedy
from fastdeploy_bot.forge.github.texts import Facts, Status, Successor
from fastdeploy_bot.settings import Settings
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
GITHUB: Final = "github"
"""Who has the duty while GitHub wants to hear nothing."""


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
    """One per process; of all of them one at a time has the duty."""

    def __init__(
        self,
        duty: Duty,
        client: Client,
        credentials: Credentials,
        *,
        public_url: str,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._duty = duty
        self._client = client
        self._credentials = credentials
        self._public_url = public_url
        self._timer = timer
        self._sent = -GAP
        """When the last call was made."""

    def run(self, bell: Bell, stopping: threading.Event) -> None:
        """Look again and again until told to stop: at every ring, and when something is due."""
        try:
            while not stopping.is_set():
                try:
                    self._listen(bell, stopping)
                except Exception:
                    log.exception("the relay failed; it tries again")
                    stopping.wait(LOOK_SECONDS)
        finally:
            self.end()

    def tick(self, *, now: int) -> float:
        """Tell GitHub one thing, where one is due; answers in how many seconds to look again."""
        if not outbox.any_due(now=now):
            return LOOK_SECONDS
        if 0 <= now - self._sent < GAP:
            return (self._sent + GAP - now) / clock.SECOND
        if (seconds := self._duty.busy(now=now)) > 0:
            return min(seconds, LOOK_SECONDS)
        letter = self._next(now)
        if letter is None:
            return LOOK_SECONDS
        self._sent = now
        self._send(letter, now)
        return GAP / clock.SECOND

    def end(self) -> None:
        """Let another process have the duty, and let go of all connections."""
        try:
            self._duty.let_go()
        except Exception:
            log.exception("the lease of the relay could not be given up; it ends by itself")
        finally:
            self._client.close()
            store.disconnect()

    def _listen(self, bell: Bell, stopping: threading.Event) -> None:
        with bell.listen() as ears:
            while not stopping.is_set():
                pause = self.tick(now=clock.now())
                store.release()
                ears.wait(pause)

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
        report, begun = letter.report, self._timer()
        facts = {"deployment": letter.deployment, "context": report.context, "state": letter.status.state}
        try:
            headers = self._tell(letter, now)
        except CallFailed as failed:
            log.warning("github was not told", extra=facts | {"why": str(failed)})
            self._failed(report, failed, self._later(now, begun))
            return
        log.info("github told", extra=facts)
        outbox.note_told(report, letter.status.state, letter.status.description, now=now)
        later = self._later(now, begun)
        if (seconds := policy.rest(headers, now=later)) is not None:
            self._pause(seconds, later)

    def _tell(self, letter: Letter, now: int) -> dict[str, str]:
        """Make the call; where GitHub refuses the token, once more with a fresh one. Raises CallFailed."""
        repository = letter.report.repository
        token = self._credentials.token(repository, now=now)
        try:
            return self._call(letter, token)
        except CallFailed as failed:
            fresh = self._credentials.renewed(repository, token, now=now) if failed.refusal.status == 401 else None
            if fresh is None:
                raise
        return self._call(letter, fresh)

    def _call(self, letter: Letter, token: str) -> dict[str, str]:
        return self._client.create_status(
            token,
            letter.report.repository,
            letter.report.sha,
            letter.status,
            context=letter.report.context,
            target_url=f"{self._public_url}/deployments/{letter.deployment}",
        )

    def _failed(self, report: Report, failed: CallFailed, now: int) -> None:
        judgement = policy.judge(failed.refusal, attempt=report.attempts, now=now)
        until = now + int(judgement.seconds * clock.SECOND)
        match judgement.remedy:
            case Remedy.GIVE_UP:
                outbox.note_refused(report, str(failed))
            case Remedy.RETRY:
                outbox.postpone(report, str(failed), due=until)
            case Remedy.PAUSE:
                outbox.postpone(report, str(failed), due=report.due)  # it keeps its place
                self._pause(judgement.seconds, now)

    def _pause(self, seconds: float, now: int) -> None:
        """Ask GitHub for nothing, neither from here nor from another process or host."""
        log.warning("github wants to hear nothing for a while", extra={"seconds": seconds})
        self._duty.hand_over(GITHUB, until=now + int(seconds * clock.SECOND))

    def _later(self, now: int, begun: float) -> int:
        return now + int((self._timer() - begun) * clock.SECOND)


def of(settings: Settings, host: str) -> Relay:
    """The relay of a host, with the settings' credentials."""
    client = Client(settings.github_api_url, settings.github_api_version)
    guests = {GITHUB: int(policy.LONGEST_WAIT * clock.SECOND)}
    duty = Duty("relay", lock=settings.home / "relay.lock", host=host, guests=guests)
    return Relay(duty, client, credentials(settings, client), public_url=settings.effective_public_url)


def credentials(settings: Settings, client: Client) -> Credentials:
    """What the settings sign in to GitHub with. Raises ValueError where they hold nothing for it."""
    if settings.github_token is not None:
        return FixedToken(settings.github_token)
    issuer = settings.github_client_id or settings.github_app_id
    if issuer is None or settings.github_private_key is None:
        raise ValueError("the settings hold nothing to sign in to GitHub with")
    return AppTokens(client, issuer, settings.github_private_key)


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
