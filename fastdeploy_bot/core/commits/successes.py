"""Successes: the deployments of a service that went live. The last of them is what is live."""

from __future__ import annotations

from typing import Any

from peewee import AutoField, ModelSelect

from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import DeploymentState


def of(service: Service | int | AutoField[int], *columns: Any) -> ModelSelect[Deployment]:  # Any: peewee's fields
    """A service's successes, or in a query those of each row's, newest first: their rows, or those columns of them."""
    mine = Deployment.select(*columns).where(Deployment.service == service, Deployment.state == DeploymentState.SUCCESS)
    return mine.order_by(Deployment.id.desc())
