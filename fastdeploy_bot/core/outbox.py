"""The outbox: what GitHub is owed, one row a commit and context, marked in the transaction of each change.

A row counts changes; what is to be told is read from the deployments when it is told, so it is always the newest.
"""

from __future__ import annotations

import json
from typing import Any, Final

from peewee import ModelSelect

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.store.models import Deployment, Report
from fastdeploy_bot.words import DeploymentState, ReportKind

FURTHEST: Final = 15 * 60 * clock.SECOND
"""How long nothing is put off for, whatever goes wrong."""


def context(service: str) -> str:
    """The name under which a service's commit statuses stand."""
    return f"fastdeploy/{service}"


def mark(deployment: Deployment, *, now: int) -> None:
    """GitHub is owed news of this deployment, and of those that it took over when it ends. Inside a write.

    One that is taken over itself has not ended for those: they ship with it, and with what took it over.
    """
    told_of = [deployment]
    state = DeploymentState(deployment.state)
    if state.final and state is not DeploymentState.SUPERSEDED:
        told_of += _taken_over_by(deployment)
    for each in told_of:
        if ReportKind.STATUS in json.loads(each.report):
            _mark(each, now)


def owed(*, now: int) -> list[Report]:
    """What is to be told by now, in the order in which it came to be so."""
    return list(_due(now).order_by(Report.due, Report.id))


def any_due(*, now: int) -> bool:
    """Whether something is to be told by now."""
    return _due(now).limit(1).first() is not None


def _due(now: int) -> ModelSelect[Report]:
    """The rows that are due. Nothing is put off beyond `FURTHEST`: that was a clock which was set back since."""
    due = (Report.due <= now) | (Report.due > now + FURTHEST)
    return Report.select().where(Report.changes > Report.told, due)


def of(deployment: Deployment) -> Report | None:
    """What was told, or is owed, of a deployment's commit; None where it is not told to anybody."""
    mine = (
        Report.kind == ReportKind.STATUS,
        Report.repository == deployment.repository,
        Report.sha == deployment.sha,
        Report.context == context(deployment.service.name),
    )
    found: Report | None = Report.get_or_none(*mine)
    return found


def subject(report: Report) -> Deployment:
    """The deployment whose state is the commit's: one that is under way, or else the one that ended last."""
    service = report.deployment.service_id
    rows = list(Deployment.select().where(Deployment.service == service, Deployment.sha == report.sha))
    under_way = [row for row in rows if not DeploymentState(row.state).final]
    if under_way:
        return max(under_way, key=lambda row: (row.state == DeploymentState.RUNNING, row.id))
    return max(rows, key=lambda row: (row.finished or 0, row.id))


def successor(deployment: Deployment) -> Deployment | None:
    """The last one of those that took a deployment's place; None where nothing did."""
    last = None
    while deployment.taken_over_by_id is not None:
        last = deployment = deployment.taken_over_by
    return last


def note_told(report: Report, state: str, description: str, *, now: int) -> None:
    """GitHub knows all of the changes that `report` was read with."""
    _settle(report, state=state, description=description, told_at=now, problem="")


def note_known(report: Report) -> None:
    """GitHub knew already what the changes amount to."""
    _settle(report, problem="")


def note_refused(report: Report, problem: str) -> None:
    """GitHub will not hear of it; the next change is another matter."""
    _settle(report, problem=problem)


def postpone(report: Report, problem: str, *, due: int) -> None:
    """This try was in vain; the next one is due then."""
    fields = {"attempts": Report.attempts + 1, "due": due, "problem": problem}
    store.write(lambda: Report.update(fields).where(Report.id == report.id).execute())


def _settle(report: Report, **fields: Any) -> None:
    """Nothing is owed of the changes that were seen; of later ones it still is."""
    seen = {"told": report.changes, "attempts": 0} | fields
    older = (Report.id == report.id) & (Report.told < report.changes)
    store.write(lambda: Report.update(seen).where(older).execute())


def _taken_over_by(deployment: Deployment) -> list[Deployment]:
    """The deployments whose commits ship with this one, directly or by way of others."""
    older = Deployment.alias()
    direct = Deployment.select(Deployment.id).where(Deployment.taken_over_by == deployment.id)
    chain = direct.cte("chain", recursive=True, columns=("id",))
    further = older.select(older.id).join(chain, on=(older.taken_over_by == chain.c.id))
    whole = chain.union_all(further)
    return list(Deployment.select().join(whole, on=(Deployment.id == whole.c.id)).with_cte(whole))


def _mark(deployment: Deployment, now: int) -> None:
    new = {
        "repository": deployment.repository,
        "sha": deployment.sha,
        "context": context(deployment.service.name),
        "deployment": deployment,
        "due": now,
    }
    known = (
        Report.kind == ReportKind.STATUS,
        Report.repository == new["repository"],
        Report.sha == new["sha"],
        Report.context == new["context"],
    )
    changed = Report.update(changes=Report.changes + 1, deployment=deployment)
    if not changed.where(*known).execute():
        Report.create(**new)
