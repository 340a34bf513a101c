"""Step lists: the steps of deployments in their order, as they are read everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fastdeploy_bot import store
from fastdeploy_bot.store.models import Step

_OF: Final = store.Prepared[Step](lambda number: Step.select().where(Step.deployment == number).order_by(Step.position))


def of(deployment: int) -> list[Step]:
    """A deployment's steps."""
    return _OF.all(deployment)


def by_deployment(deployments: Iterable[int]) -> dict[int, list[Step]]:
    """The steps of many deployments, in one query; of one that has none, nothing."""
    found: dict[int, list[Step]] = {}
    for step in Step.select().where(Step.deployment.in_(list(deployments))).order_by(Step.position):
        found.setdefault(step.deployment_id, []).append(step)
    return found
