"""Letters: what GitHub is to be told next of each thing that it is owed, drafted from the rows as they are now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.telling import forecast, outbox, steplists
from fastdeploy_bot.forge.github import check_texts, deployment_texts, texts
from fastdeploy_bot.forge.github.api import checks, deployments, statuses
from fastdeploy_bot.forge.github.client import Client
from fastdeploy_bot.forge.github.deployment_texts import Stage
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.forge.github.texts import Facts, Successor
from fastdeploy_bot.store.models import Deployment, Report, Step
from fastdeploy_bot.words import DeploymentState, ReportKind, StepState

NEWS: Final = 10 * clock.SECOND
"""Between two descriptions of one thing, where the state is the same."""
AGEING: Final = 20
"""A deployment that has run for long is described again after this part of its time, as GitHub keeps 1,000 statuses."""
LASTING: Final = 5 * clock.SECOND
"""How long a run lasts before GitHub is told of it once more that it is in progress: a short one has ended by then."""
SETTLED: Final = 300
"""Milliseconds after which what has not begun yet is told to be queued: most have begun by then."""


class Act(StrEnum):
    """What is done by a letter."""

    TELL = "tell"
    MAKE = "make"
    """Something is made that may be there once only."""
    FIND = "find"
    """What may have been made is looked for."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told of one thing."""

    report: Report
    deployment: int
    """The one that it is about."""
    act: Act = Act.TELL
    state: str
    description: str
    due: int = 0
    """When it may be sent."""
    needs: Needs
    call: Callable[[Client, str], int | None]
    """What is called, given client and token; answers GitHub's id of what was made or found."""
    begins: str = ""
    """The state in which something is made that is to be told of afterwards; empty where that is said by making it."""
    past: bool = False
    """Whether GitHub knows something newer, before which this is not to be put."""
    also: Callable[[], None] | None = None
    """What else to write down when GitHub has been told; called inside a write."""

    @property
    def changes_state(self) -> bool:
        """Whether it says more than another description."""
        return self.act is not Act.TELL or self.state != self.report.state

    @property
    def is_known(self) -> bool:
        """Whether GitHub was told exactly this last, or something newer."""
        return self.past or (not self.changes_state and self.description == self.report.description)

    @property
    def is_refused(self) -> bool:
        """Whether GitHub does not want to hear of it."""
        return self.state == self.report.refused

    @property
    def of_app(self) -> bool:
        """Whether it is taken from GitHub Apps only."""
        return self.report.kind == ReportKind.CHECK


def draft(owed: Report, public_url: str, *, now: int) -> Letter | None:
    """What is to be told, all of it as it is at one moment; None where somebody has told it meanwhile."""
    return store.read(lambda: _drafted(owed.id, public_url, now))


def _drafted(number: int, public_url: str, now: int) -> Letter | None:
    report = Report.get_by_id(number)
    if report.changes <= report.told:
        return None
    deployment = outbox.subject(report)
    return _KINDS[ReportKind(report.kind)](report, deployment, f"{public_url}/deployments/{deployment.id}", now)


# --- commit statuses


def _status(report: Report, deployment: Deployment, page: str, now: int) -> Letter:
    status = texts.status(_facts(deployment, steplists.of(deployment.id), now), _successor(deployment, now))

    def call(client: Client, token: str) -> None:
        statuses.create(client, token, report.repository, report.sha, status, context=report.context, url=page)

    return Letter(
        report=report,
        deployment=deployment.id,
        state=status.state,
        description=status.description,
        due=0 if status.state != report.state else _after_news(report, deployment, now),
        needs=statuses.WRITES,
        call=call,
    )


# --- deployments


def _deployment(report: Report, deployment: Deployment, page: str, now: int) -> Letter:
    subject = deployment_texts.Subject(
        number=deployment.id,
        service=deployment.service.name,
        sha=deployment.sha,
        environment=report.context,
        title=deployment.title,
        page=page,
    )
    outlived = outbox.has_heir(report, told=(Stage.SUCCESS, Stage.INACTIVE))
    stage = deployment_texts.stage(DeploymentState(deployment.state), outlived=outlived)
    if not report.external:
        return _made_first(report, subject, stage)
    return _deployment_status(report, report.external, deployment, stage, page, now)


def _made_first(report: Report, subject: deployment_texts.Subject, stage: Stage) -> Letter:
    act, call = (Act.MAKE, deployments.create) if report.external is None else (Act.FIND, deployments.find)
    return Letter(
        report=report,
        deployment=subject.number,
        act=act,
        state=stage,
        description="",
        needs=deployments.WRITES,
        call=lambda client, token: call(client, token, report.repository, subject),
        begins=Stage.CREATED,
    )


def _deployment_status(
    report: Report, number: int, deployment: Deployment, stage: Stage, page: str, now: int
) -> Letter:
    told = texts.status(_facts(deployment, steplists.of(deployment.id), now)).description
    alone = outbox.is_alone(report)
    status = deployment_texts.Status(
        state=stage,
        description=told,
        log_url=page,
        environment_url=json.loads(deployment.definition or "{}").get("url", ""),
        auto_inactive=stage is Stage.SUCCESS and alone,
    )

    def call(client: Client, token: str) -> None:
        deployments.tell(client, token, report.repository, number, status)

    def also() -> None:
        if alone:
            outbox.outlived(report, was=Stage.SUCCESS, became=Stage.INACTIVE)
        else:
            outbox.mark_outlived(report, was=Stage.SUCCESS, now=now)

    return Letter(
        report=report,
        deployment=deployment.id,
        state=stage,
        description=report.description or "" if stage == report.state else told,  # the stages alone are told
        due=_after_lasting(deployment, now) if stage is Stage.IN_PROGRESS else 0,
        needs=deployments.WRITES,
        call=call,
        also=also if stage is Stage.SUCCESS else None,
    )


# --- check runs


def _check(report: Report, deployment: Deployment, page: str, now: int) -> Letter:
    run = check_texts.run(_check_subject(report, deployment, page, now))
    act = {None: Act.MAKE, outbox.UNKNOWN: Act.FIND}.get(report.external, Act.TELL)
    return Letter(
        report=report,
        deployment=deployment.id,
        act=act,
        state=run.stage,
        description=run.title,
        due=_check_due(act, run.stage, report, deployment, now),
        needs=checks.WRITES,
        call=_check_call(act, report, run),
        past=act is Act.MAKE and outbox.is_past(report),
    )


def _check_call(act: Act, report: Report, run: check_texts.Run) -> Callable[[Client, str], int | None]:
    repository, number = report.repository, report.external or outbox.UNKNOWN

    def tell(client: Client, token: str) -> None:
        """Where the annotations may be there already, all else is told first: each time they are added."""
        unsure = bool(run.annotations) and (report.attempts > 0 or report.state is None)
        first = msgspec.structs.replace(run, annotations=()) if unsure else run
        there = checks.update(client, token, repository, number, first)
        if unsure and there < len(run.annotations):
            checks.update(client, token, repository, number, run)

    match act:
        case Act.MAKE:
            return lambda client, token: checks.create(client, token, repository, run)
        case Act.FIND:
            return lambda client, token: checks.find(client, token, repository, run)
        case Act.TELL:
            return tell


def _check_due(act: Act, stage: check_texts.Stage, report: Report, deployment: Deployment, now: int) -> int:
    if act is Act.MAKE and stage is check_texts.Stage.QUEUED:
        return min(deployment.created, now) + SETTLED
    if act is not Act.TELL or stage.completed:
        return 0
    if stage == report.state:
        return _after_news(report, deployment, now)
    return _after_lasting(deployment, now) if stage is check_texts.Stage.IN_PROGRESS else 0


def _check_subject(report: Report, deployment: Deployment, page: str, now: int) -> check_texts.Subject:
    steps = steplists.of(deployment.id)
    heir = outbox.successor(deployment)
    ran_in_vain = deployment.started is not None and deployment.state in _IN_VAIN
    return check_texts.Subject(
        number=deployment.id,
        name=report.context,
        sha=report.sha,
        page=page,
        facts=_facts(deployment, steps, now),
        successor=_successor(deployment, now),
        steps=[check_texts.StepFacts(step.name, StepState(step.state), _between(step)) for step in steps],
        log=logs.tail(deployment.id, check_texts.LONGEST_TEXT) if ran_in_vain else b"",
        begun=deployment.started or deployment.created,
        ended=deployment.finished if heir is None else heir.finished,
    )


_IN_VAIN: Final = frozenset({DeploymentState.FAILURE, DeploymentState.CANCELLED, DeploymentState.LOST})

_KINDS: Final[dict[ReportKind, Callable[[Report, Deployment, str, int], Letter]]] = {
    ReportKind.STATUS: _status,
    ReportKind.DEPLOYMENT: _deployment,
    ReportKind.CHECK: _check,
}


# --- when


def _after_news(report: Report, deployment: Deployment, now: int) -> int:
    """When a new description may be told."""
    running = now - deployment.started if deployment.started is not None and deployment.finished is None else 0
    told = report.told_at or 0
    return (told if told <= now else 0) + max(NEWS, running // AGEING)  # a clock that was set back makes no one wait


def _after_lasting(deployment: Deployment, now: int) -> int:
    """When a run has lasted long enough to be told of as one in progress."""
    begun = deployment.started or 0
    return (begun if begun <= now else 0) + LASTING


# --- facts


def _successor(deployment: Deployment, now: int) -> Successor | None:
    heir = outbox.successor(deployment)
    return None if heir is None else Successor(heir.sha, _facts(heir, steplists.of(heir.id), now))


def _facts(deployment: Deployment, steps: list[Step], now: int) -> Facts:
    outlook = forecast.outlook(forecast.habit(deployment.service_id), deployment, steps, now=now)
    return Facts(
        state=DeploymentState(deployment.state),
        reason=deployment.reason,
        step=_step(deployment, steps),
        left=outlook.eta,
        overdue=outlook.longer,
        took=_between(deployment),
        cancelling=deployment.cancelled_by is not None,
    )


def _step(deployment: Deployment, steps: Iterable[Step]) -> str:
    """The step that runs, or the last one that failed."""
    wanted = StepState.RUNNING if deployment.state == DeploymentState.RUNNING else StepState.FAILURE
    return ([step.name for step in steps if step.state == wanted] or [""])[-1]


def _between(row: Any) -> float | None:
    """Seconds from begin to end (Any: of a deployment, or of a step)."""
    if row.started is None or row.finished is None:
        return None
    return float(row.finished - row.started) / clock.SECOND
