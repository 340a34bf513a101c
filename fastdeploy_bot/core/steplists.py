"""Step lists: the steps of deployments in their order, as they are read everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from peewee import ModelSelect

from fastdeploy_bot.store.models import Step


def of(deployment: int) -> ModelSelect[Step]:
    """A deployment's steps."""
    return Step.select().where(Step.deployment == deployment).order_by(Step.position)


def by_deployment(deployments: Iterable[int]) -> dict[int, list[Step]]:
    """The steps of many deployments, in one query; of one that has none, nothing."""
    found: dict[int, list[Step]] = {}
    for step in Step.select().where(Step.deployment.in_(list(deployments))).order_by(Step.position):
        found.setdefault(step.deployment_id, []).append(step)
    return found
