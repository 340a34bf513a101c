"""Changes: each thing that a transaction changed is told once, at the transaction's end and in it.

It becomes an event of the feed, and marks what GitHub is owed. Whoever changes a row says so here, inside its write.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.core.commits.deliveries import ToldVerdict
from fastdeploy_bot.core.telling import feed, outbox, views
from fastdeploy_bot.store.models import WITHOUT_BODY, Delivery, Deployment, Service, Step
from fastdeploy_bot.words import EventType

_DEPLOYMENT: Final = store.Prepared[Deployment](lambda number: Deployment.select().where(Deployment.id == number))
_SERVICE: Final = store.Prepared[Service](lambda number: Service.select().where(Service.id == number))
_DELIVERY: Final = store.Prepared[Delivery](lambda number: Delivery.select(*WITHOUT_BODY).where(Delivery.id == number))


def of_deployment(number: int) -> None:
    """A deployment has begun to be, or has another state, reason or wish upon it."""
    store.at_end((EventType.DEPLOYMENT, number), partial(_deployment, number))


def of_row(deployment: Deployment) -> None:
    """The same, where the deployment's row is at hand, as this write leaves it, with its service's."""
    store.at_end((EventType.DEPLOYMENT, deployment.id), partial(_tell_deployment, deployment))


def of_step(step: Step) -> None:
    """A step has begun to be or has changed; its row is as this write leaves it."""
    store.at_end((EventType.STEP, step.id), partial(_step, step))


def of_log(number: int) -> None:
    """There is more output. That is no event; but those who follow the log are woken."""
    store.at_end(("log", number), lambda: None)


def of_service(number: int) -> None:
    """A service came, went, or has another file, lock or commit that is held back."""
    store.at_end((EventType.SERVICE, number), partial(_service, number))


def of_delivery(number: int) -> None:
    """A delivery was decided."""
    store.at_end((EventType.DELIVERY, number), partial(_delivery, number))


def of_decided(delivery: Delivery, verdicts: Sequence[ToldVerdict]) -> None:
    """A delivery was decided for the first time: its row is at hand, and all that was decided of it."""
    store.at_end((EventType.DELIVERY, delivery.id), partial(_tell_delivery, delivery, verdicts))


def _deployment(number: int) -> None:
    [row] = _DEPLOYMENT.all(number)
    [row.service] = _SERVICE.all(row.service_id)
    _tell_deployment(row)


def _tell_deployment(row: Deployment) -> None:
    now = clock.now()
    told = views.deployment_facts(row)
    feed.append(EventType.DEPLOYMENT, told, service=row.service.name, deployment=row.id, now=now)
    outbox.mark(row, now=now)


def _step(step: Step) -> None:
    [deployment] = _DEPLOYMENT.all(step.deployment_id)
    [deployment.service] = _SERVICE.all(deployment.service_id)
    now, told = clock.now(), views.told_step(step)
    feed.append(EventType.STEP, told, service=deployment.service.name, deployment=deployment.id, now=now)
    outbox.mark_step(deployment, now=now)


def _service(number: int) -> None:
    row = Service.get_by_id(number)
    feed.append(EventType.SERVICE, views.service_facts(row), service=row.name, deployment=None, now=clock.now())


def _delivery(number: int) -> None:
    [row] = _DELIVERY.all(number)
    _tell_delivery(row, deliveries.verdicts_of(row))


def _tell_delivery(row: Delivery, verdicts: Sequence[ToldVerdict]) -> None:
    told = views.delivery_facts(row, verdicts)
    feed.append(EventType.DELIVERY, told, service=None, deployment=None, now=clock.now())
