"""Figures: how much there is of what, read from the rows at the moment somebody asks."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, cast

import msgspec
from peewee import ModelSelect, fn

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import successes
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.store.models import Delivery, Deployment, Recovery, Report, Service, Verdict, Watch
from fastdeploy_bot.words import OPEN_STATES, DeploymentState

SAMPLE: Final = 20
"""How many of a service's last successes say how long it takes."""
LEAST_SAMPLE: Final = 2
"""Fewer have no quantiles."""
EVENTS: Final = 20
"""How many kinds of deliveries are counted by their names; GitHub, or whoever signs, may send any."""
OTHER: Final = "other"
MOST_OWED: Final = 1_000
"""How many of the owed reports are looked through for the oldest."""


class Took(msgspec.Struct, frozen=True):
    """How long a service's last successes took, in seconds."""

    median: float
    p90: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All that is counted; services are named, and those that were removed are left out."""

    deployments: Mapping[tuple[str, DeploymentState], int]
    """By service and state, of those that are kept; each final state of each service is there, if by 0."""
    live: Mapping[str, int]
    """By service: when its last success ended, in Unix milliseconds."""
    took: Mapping[str, Took]
    queue: Mapping[DeploymentState, int]
    oldest_queued: int | None
    """When the oldest of those that have not begun was asked for, in Unix milliseconds."""
    running: Mapping[str, int]
    """By host."""
    deliveries: Mapping[str, int]
    """By event."""
    verdicts: Mapping[tuple[str, str], int]
    """By service and verdict."""
    owed: int
    """Reports that GitHub was not told yet."""
    oldest_owed: int | None
    """Since when the oldest of them is owed, in Unix milliseconds."""
    newest_event: int
    looked: Mapping[str, int]
    """By repository: when it was last looked at for missed pushes, in Unix milliseconds; 0: never yet."""
    recovered: int
    """Missed pushes that were found, as far as that is kept."""


def read() -> Figures:
    """Everything as it stands, on one snapshot of the database."""
    return store.read(_read)


def _read() -> Figures:
    names = {each.id: each.name for each in Service.select().where(Service.removed.is_null())}
    by_outcome = _rows(
        Deployment.select(Deployment.service, Deployment.state, fn.COUNT(Deployment.id), fn.MAX(Deployment.id))
        .where(Deployment.service.in_(list(names)))
        .group_by(Deployment.service, Deployment.state)
    )
    newest = {service: last for service, state, _, last in by_outcome if state == DeploymentState.SUCCESS}
    waiting = {state: _waiting(state) for state in OPEN_STATES}
    owed = Report.select().where(Report.changes > Report.told)
    return Figures(
        deployments=_none_yet(names.values())
        | {(names[row[0]], DeploymentState(row[1])): row[2] for row in by_outcome},
        live={names[service]: when for service, when in _finished(newest.values())},
        took={names[service]: took for service in newest if (took := _took(service)) is not None},
        queue={state: count for state, (count, _) in waiting.items()},
        oldest_queued=min((first for _, first in waiting.values() if first is not None), default=None),
        running=_running(),
        deliveries=_deliveries(),
        verdicts=_verdicts(names),
        owed=owed.count(),
        oldest_owed=min(map(_owed_since, owed.order_by(Report.due).limit(MOST_OWED)), default=None),
        newest_event=feed.newest(),
        looked={each.repository: each.looked for each in Watch.select()},
        recovered=sum(each.pushes for each in Recovery.select()),
    )


def _rows(query: ModelSelect[Any]) -> list[tuple[Any, ...]]:
    """The query's rows as their columns: peewee's own types know only models."""
    return cast("list[tuple[Any, ...]]", list(query.tuples()))


def _none_yet(services: Iterable[str]) -> dict[tuple[str, DeploymentState], int]:
    """Zeros: who watches a number for its rise does not see it come out of nothing."""
    ends = [state for state in DeploymentState if state.final]
    return {(service, state): 0 for service in services for state in ends}


def _finished(deployments: Collection[int]) -> list[tuple[Any, ...]]:
    """The service and the end of each of these."""
    return _rows(Deployment.select(Deployment.service, Deployment.finished).where(Deployment.id.in_(list(deployments))))


def _took(service: int) -> Took | None:
    """How long the service's last successes took; None where there were too few to tell."""
    rows = _rows(successes.of(service, Deployment.finished - Deployment.started).limit(SAMPLE))
    if len(rows) < LEAST_SAMPLE:
        return None
    tenths = statistics.quantiles([each[0] / clock.SECOND for each in rows], n=10, method="inclusive")
    return Took(tenths[4], tenths[8])


def _waiting(state: DeploymentState) -> tuple[int, int | None]:
    """How many there are in that state, and when the oldest was asked for."""
    query = Deployment.select(fn.COUNT(Deployment.id), fn.MIN(Deployment.created)).where(Deployment.state == state)
    count, first = _rows(query)[0]
    return count, first


def _running() -> dict[str, int]:
    query = Deployment.select(Deployment.host, fn.COUNT(Deployment.id)).where(
        Deployment.state == DeploymentState.RUNNING
    )
    return {each[0]: each[1] for each in _rows(query.group_by(Deployment.host))}


def _deliveries() -> dict[str, int]:
    """By event; the rare ones together."""
    count = fn.COUNT(Delivery.id)
    rows = _rows(Delivery.select(Delivery.event, count).group_by(Delivery.event).order_by(count.desc(), Delivery.event))
    known = {each[0]: each[1] for each in rows[:EVENTS]}
    return known | ({OTHER: known.get(OTHER, 0) + sum(each[1] for each in rows[EVENTS:])} if len(rows) > EVENTS else {})


def _verdicts(names: Mapping[int, str]) -> dict[tuple[str, str], int]:
    rows = _rows(
        Verdict.select(Verdict.service, Verdict.verdict, fn.COUNT(Verdict.id))
        .where(Verdict.service.in_(list(names)))
        .group_by(Verdict.service, Verdict.verdict)
    )
    return {(names[each[0]], each[1]): each[2] for each in rows}


def _owed_since(report: Report) -> int:
    """When the first change happened that GitHub was not told of."""
    deployment = report.deployment
    told = report.told_at or 0
    moments = (deployment.created, deployment.started, deployment.finished)
    return min((each for each in moments if each is not None and each > told), default=told)
