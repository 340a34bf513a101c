"""The outbox: what GitHub is owed, one row a commit and context, marked in the transaction of each change.

A row counts changes; what is to be told is read from the deployments when it is told, so it is always the newest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from fastdeploy_bot.store.models import Deployment, Report
from fastdeploy_bot.words import DeploymentState, ReportKind


def context(service: str) -> str:
    """The name under which a service's commit statuses stand."""
    return f"fastdeploy/{service}"


def mark(deployment: Deployment, *, now: int) -> None:
    """GitHub is owed news of this deployment, and of those that it took over when it ends. Inside a write."""
    told_of = [deployment]
    if DeploymentState(deployment.state).final:
        told_of += _taken_over_by(deployment)
    for each in told_of:
        if ReportKind.STATUS in json.loads(each.report):
            _mark(each, now)


def _taken_over_by(deployment: Deployment) -> Iterator[Deployment]:
    """The deployments whose commits ship with this one, directly or by way of others."""
    for each in Deployment.select().where(Deployment.taken_over_by == deployment.id):
        yield each
        yield from _taken_over_by(each)


def _mark(deployment: Deployment, now: int) -> None:
    new = {
        "repository": deployment.repository,
        "sha": deployment.sha,
        "context": context(deployment.service.name),
        "deployment": deployment,
        "due": now,
    }
    known = (Report.repository == new["repository"], Report.sha == new["sha"], Report.context == new["context"])
    changed = Report.update(changes=Report.changes + 1, deployment=deployment)
    if not changed.where(*known).execute():
        Report.create(**new)
