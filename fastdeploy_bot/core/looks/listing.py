"""Listing: services and deployments as views, many of them in a number of queries that does not grow with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from peewee import ModelSelect

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries, successes
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.pushes import lag
from fastdeploy_bot.core.pushes.lag import Lag
from fastdeploy_bot.core.telling import forecast, history, outbox, steplists, views
from fastdeploy_bot.core.telling.forecast import Habit
from fastdeploy_bot.core.telling.views import DeploymentView, ForetoldStep, LiveView, ServiceView
from fastdeploy_bot.store.models import Deployment, Report, Service, Step
from fastdeploy_bot.words import OPEN_STATES, UNDER_WAY, DeploymentState, ReportKind


def deployment(row: Deployment, *, public_url: str) -> DeploymentView:
    """A deployment from its row, with its steps."""
    return deployments([row], public_url=public_url)[0]


def deployments(rows: Sequence[Deployment], *, public_url: str) -> list[DeploymentView]:
    """Deployments from their rows, with their steps, in that order."""
    services = sorted({row.service_id for row in rows})
    habits = forecast.habits(history.by_service(services), stepped=services)
    steps, told = steplists.by_deployment(row.id for row in rows), outbox.all_of(rows)
    guids = deliveries.guids_of({row.delivery_id for row in rows if row.delivery_id is not None})
    return [
        _deployment(
            row,
            habit=habits[row.service_id],
            steps=steps.get(row.id, []),
            told=told[row.id],
            guid=guids.get(row.delivery_id or 0),
            public_url=public_url,
        )
        for row in rows
    ]


def service(row: Service, entry: Entry | None, *, public_url: str) -> ServiceView:
    """A service from its row and its file."""
    return services([row], {} if entry is None else {row.name: entry}, public_url=public_url)[0]


def services(rows: Sequence[Service], entries: Mapping[str, Entry], *, public_url: str) -> list[ServiceView]:
    """Services from their rows and their files, in that order."""
    last, live, ended = _newest(rows)
    behind = lag.of(rows, {number: row.sha for number, row in live.items()}, entries)
    under_way = _under_way([row.id for row in rows])
    told = {each.id: each for each in deployments(list(last.values()), public_url=public_url)}
    return [
        _service(
            row,
            entries.get(row.name),
            last=told[last[row.id].id] if row.id in last else None,
            live=live.get(row.id),
            behind=behind.get(row.id),
            stands=history.foremost(under_way.get(row.id, []), ended.get(row.id)),
            queue=[each.id for each in under_way.get(row.id, []) if each.state in OPEN_STATES],
        )
        for row in rows
    ]


def _deployment(
    row: Deployment, *, habit: Habit, steps: Sequence[Step], told: Sequence[Report], guid: str | None, public_url: str
) -> DeploymentView:
    reports = [views.report(each) for each in told]
    return DeploymentView(
        **msgspec.structs.asdict(views.facts(row, habit, steps, guid)),
        steps=[
            ForetoldStep(**msgspec.structs.asdict(views.step(each)), usual=habit.steps.get(each.name)) for each in steps
        ],
        report=next((each for each in reports if each.kind is ReportKind.STATUS), None),
        reports=reports,
        url=f"{public_url}/deployments/{row.id}",
    )


def _service(
    row: Service,
    entry: Entry | None,
    *,
    last: DeploymentView | None,
    live: Deployment | None,
    behind: Lag | None,
    stands: Deployment | None,
    queue: list[int],
) -> ServiceView:
    file = entry.file if entry is not None else None
    return ServiceView(
        name=row.name,
        description=file.description if file is not None else "",
        repository=file.repository if file is not None else row.repository,
        environment=file.environment if file is not None else "",
        url=file.url if file is not None else "",
        state=None if stands is None else DeploymentState(stands.state),
        live=None if live is None else LiveView(live.sha, live.ref, live.id, clock.text(live.finished)),
        behind=None if live is None else _gained(behind),
        last=last,
        lock=views.lock(row),
        held_back=views.held_back(row),
        queue=queue,
        problem=entry.problem if entry is not None else row.problem,
        removed=clock.text(row.removed),
    )


def _gained(behind: Lag | None) -> int | None:
    """How many commits of the newest push are not live; None where that is not known."""
    if behind is None or (behind.why is not None and behind.between is None):
        return None
    return 0 if behind.between is None else behind.between.gained


def _newest(
    services: Sequence[Service],
) -> tuple[dict[int, Deployment], dict[int, Deployment], dict[int, Deployment]]:
    """Of each service its newest deployment, the one that is live, and its last run that has ended, by its row's id."""
    mine = Deployment.select(Deployment.id).where(Deployment.service == Service.id).order_by(Deployment.id.desc())
    ends = [history.newest(outcome).alias(outcome.value) for outcome in history.OUTCOMES]
    looked: Any = Service.select(  # tuples, which peewee's types know nothing of
        mine.limit(1).alias("last"), successes.of(Service.id, Deployment.id).limit(1).alias("live"), *ends
    ).where(Service.id.in_([row.id for row in services]))
    found = [(last, live, max(filter(None, ends), default=None)) for last, live, *ends in looked.tuples()]
    rows = {row.id: row for row in _rows().where(Deployment.id.in_([id for each in found for id in each if id]))}
    last, live, ended = (
        {rows[id].service_id: rows[id] for id in ids if id} for ids in zip(*(found or [(None,) * 3]), strict=True)
    )
    return last, live, ended


def _under_way(services: Sequence[int]) -> dict[int, list[Deployment]]:
    """Of each service that has some the deployments that have not ended, oldest first."""
    found: dict[int, list[Deployment]] = {}
    mine = Deployment.service.in_(list(services)) & Deployment.state.in_(UNDER_WAY)
    rows = Deployment.select(Deployment.id, Deployment.service, Deployment.state).where(mine)
    for row in rows.order_by(Deployment.id):
        found.setdefault(row.service_id, []).append(row)
    return found


def _rows() -> ModelSelect[Deployment]:
    """Deployments with their services."""
    return Deployment.select(Deployment, Service).join(Service)
