"""Titles: what a commit is called, for those that were asked for by their sha alone."""

from __future__ import annotations

from typing import Final

from peewee import fn

from fastdeploy_bot.core.commits import between
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.store.models import Delivery, Deployment, Service

PUSHES: Final = 1_000
"""How many of the newest deliveries are looked through for a push that brought a commit below its head."""


def of(service: Service, sha: str) -> str:
    """The title of a commit by an earlier deployment or by the pushes to the service's repository; empty where none."""
    mine = Deployment.select(Deployment.title).where(Deployment.service == service.id, Deployment.sha == sha)
    row = mine.where(Deployment.title != "").order_by(Deployment.id.desc()).first()
    return row.title if row is not None else _pushed(service.repository_id, sha)


def learn(number: int, title: str) -> None:
    """Write down the title of a deployment's commit, where nobody had told it. To be called inside a write."""
    mine = (Deployment.id == number) & (Deployment.title == "")
    if title and Deployment.update(title=title).where(mine).execute():
        changes.of_deployment(number)


def _pushed(repository: int | None, sha: str) -> str:
    """What a push to that repository told, as its head or below it."""
    known = Delivery.select(Delivery.commits).where(
        Delivery.repository_id == repository, Delivery.commits.is_null(False)
    )
    recent = Delivery.id > Delivery.select(fn.MAX(Delivery.id) - PUSHES)
    for where in (Delivery.commit == sha, recent & Delivery.commits.contains(f'"sha":"{sha}"')):
        row = known.where(where).order_by(Delivery.id.desc()).first()
        told = () if row is None else between.read(row.commits)
        if title := next((each.title for each in told if each.sha == sha), ""):
            return title
    return ""
