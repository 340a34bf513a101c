"""The queue: which deployment begins next, and the one guarded UPDATE by which it does."""

from __future__ import annotations

from typing import Final

import msgspec
from peewee import ModelSelect, ModelUpdate, fn

from fastdeploy_bot import store
from fastdeploy_bot.core import locks
from fastdeploy_bot.core.deploying import steps
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import DeploymentState


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept on a deployment when it begins."""

    host: str
    run: str
    """The name of its run folder."""
    definition: str
    """JSON: the service file's values, as they are now."""
    token_hash: str
    steps: tuple[str, ...]
    """The steps the service file names."""


def _next_up() -> ModelSelect[Deployment]:
    """Each condition by an index of its own: engines without statistics would rather read every deployment."""
    running, earlier = Deployment.alias(), Deployment.alias()
    busy = running.select().where(running.service == Deployment.service, running.state == DeploymentState.RUNNING)
    first = earlier.select().where(
        earlier.service == Deployment.service, earlier.state == DeploymentState.QUEUED, earlier.id < Deployment.id
    )
    locked = locks.locked().where(Service.id == Deployment.service)
    may_begin = (~fn.EXISTS(busy), ~fn.EXISTS(first), ~fn.EXISTS(locked))
    return Deployment.select().where(Deployment.state == DeploymentState.QUEUED, *may_begin).order_by(Deployment.id)


def _begin(
    number: int, service: int, host: str, run: str, definition: str, token_hash: str, now: int, max_running: int
) -> ModelUpdate:
    """Guarded by all that may have changed since somebody looked; each value is a place of the prepared query."""
    other, earlier = Deployment.alias(), Deployment.alias()
    running = other.select().where(other.state == DeploymentState.RUNNING)
    slots_taken = running.where(other.host == host)
    return Deployment.update(
        state=DeploymentState.RUNNING,
        host=host,
        run=run,
        definition=definition,
        token_hash=token_hash,
        started=now,
        reason="",
    ).where(
        Deployment.id == number,
        Deployment.state == DeploymentState.QUEUED,
        ~fn.EXISTS(running.where(other.service == service)),
        ~fn.EXISTS(locks.locked().where(Service.id == service)),
        ~fn.EXISTS(  # it may have waited until a moment ago
            earlier.select().where(
                earlier.service == service, earlier.state == DeploymentState.QUEUED, earlier.id < number
            )
        ),
        slots_taken.select(fn.COUNT(other.id)) < max_running,
    )


_BEGIN: Final = store.Prepared[Deployment](_begin)
_NEXT_UP: Final = store.Prepared[Deployment](_next_up)
_RUNNING_ON: Final = store.Prepared[Deployment](
    lambda host: (
        Deployment.select()
        .where(Deployment.state == DeploymentState.RUNNING, Deployment.host == host)
        .order_by(Deployment.id)
    )
)


def next_up() -> list[Deployment]:
    """For each service that is not locked and has nothing running, its oldest queued deployment; oldest first."""
    return _NEXT_UP.all()


def running_on(host: str) -> list[Deployment]:
    """What runs on that host, oldest first."""
    return _RUNNING_ON.all(host)


def explain(deployment: Deployment, why: str) -> None:
    """Say why a queued deployment does not begin."""
    if deployment.reason != why:
        mine = (Deployment.id == deployment.id) & (Deployment.state == DeploymentState.QUEUED)

        def note() -> None:
            if Deployment.update(reason=why).where(mine).execute():
                changes.of_deployment(deployment.id)

        store.write(note)


def claim(deployment: Deployment, claim: Claim, *, max_running: int, now: int) -> bool:
    """Let a queued deployment begin on a host.

    False where it moved on, its service is busy or locked or has an older one queued, or the host is full.
    """

    def begin() -> bool:
        values = (claim.host, claim.run, claim.definition, claim.token_hash, now, max_running)
        if not _BEGIN.run(deployment.id, deployment.service_id, *values):
            return False
        steps.expect(deployment, claim.steps)
        changes.of_deployment(deployment.id)
        return True

    return store.write(begin)


def begin_again(deployment: Deployment, run: str, token_hash: str) -> bool:
    """Give a running deployment whose script never began another run folder; False where it has moved on.

    It stays `running`, as nothing but the bot knows that its script was to be started twice.
    """
    same = (Deployment.id == deployment.id) & (Deployment.run == deployment.run)
    renewed = Deployment.update(run=run, token_hash=token_hash)
    return store.write(lambda: bool(renewed.where(same, Deployment.state == DeploymentState.RUNNING).execute()))
