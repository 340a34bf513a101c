"""Deployments: from asked for to ended, along the edges of `words.EDGES` and no others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import steps
from fastdeploy_bot.errors import Conflict, NotFound
from fastdeploy_bot.store.models import Deployment, Service, Step
from fastdeploy_bot.words import EDGES, PUSH_ORIGINS, DeploymentState, Origin, StepReport

OPEN: Final = (DeploymentState.QUEUED, DeploymentState.WAITING)
"""The states of what has not begun."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be deployed, and who wants it."""

    origin: Origin
    sha: str
    ref: str
    repository: str
    actor: str
    before: str = ""
    title: str = ""
    context: Mapping[str, Any] = {}
    delivery: int | None = None
    parent: int | None = None


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a running deployment ended."""

    state: DeploymentState
    reason: str = ""
    exit_status: int | None = None
    signal: int | None = None


def find(number: int) -> Deployment:
    """The deployment of that id. Raises NotFound."""
    deployment = Deployment.get_or_none(Deployment.id == number)
    if deployment is None:
        raise NotFound(f"there is no deployment {number}")
    return deployment


def queue(service: Service, order: Order, *, now: int) -> Deployment:
    """A new queued deployment. To be called inside a write."""
    return Deployment.create(
        service=service,
        state=DeploymentState.QUEUED,
        origin=order.origin,
        sha=order.sha,
        ref=order.ref,
        before=order.before,
        repository=order.repository,
        actor=order.actor,
        title=order.title,
        context=msgspec.json.encode(order.context).decode(),
        delivery=order.delivery,
        parent=order.parent,
        created=now,
    )


def supersede(newer: Deployment, *, now: int) -> None:
    """Let `newer` take the place of the older pushes of its ref that have not begun. To be called inside a write."""
    older = Deployment.select().where(
        Deployment.service == newer.service_id,
        Deployment.ref == newer.ref,
        Deployment.id < newer.id,
        Deployment.state.in_(OPEN),
        Deployment.origin.in_(list(PUSH_ORIGINS)),
    )
    for deployment in list(older):
        reason = f"ships with {newer.sha[:7]} (deployment {newer.id})"
        move(deployment, DeploymentState.SUPERSEDED, reason=reason, taken_over_by=newer.id, finished=now)


def cancel(number: int, *, by: str, now: int) -> Deployment:
    """End a deployment that has not begun; ask a running one to stop. Raises NotFound, Conflict where it has ended."""

    def decide() -> None:
        deployment = find(number)
        state = DeploymentState(deployment.state)
        if state.final:
            raise Conflict(f"deployment {number} has ended already: {state}")
        if state is DeploymentState.RUNNING:
            asked = Deployment.update(cancelled_by=by)
            asked.where(Deployment.id == number, Deployment.cancelled_by.is_null()).execute()
        else:
            stop(deployment, why=f"cancelled by {by} before it began", now=now)

    store.write(decide)
    return find(number)


def stop(deployment: Deployment, *, why: str, now: int) -> None:
    """Cancel a deployment that has not begun. To be called inside a write."""
    move(deployment, DeploymentState.CANCELLED, reason=why, finished=now)
    steps.settle(deployment.id, DeploymentState.CANCELLED, now=now)


def retry(number: int, *, by: str, now: int) -> Deployment:
    """Deploy the same commit once more. To be called inside a write; raises NotFound, Conflict."""
    parent = find(number)
    if not DeploymentState(parent.state).final:
        raise Conflict(f"deployment {number} is {parent.state}: it can be tried again when it has ended")
    if parent.service.removed is not None:
        raise Conflict(f"service {parent.service.name} was removed: put its service.toml back first")
    return queue(
        parent.service,
        Order(
            origin=Origin.RETRY,
            sha=parent.sha,
            ref=parent.ref,
            before=parent.before,
            repository=parent.repository,
            actor=by,
            title=parent.title,
            context=json.loads(parent.context),
            delivery=parent.delivery_id,
            parent=parent.id,
        ),
        now=now,
    )


def report_step(number: int, told: StepReport, *, at: int) -> Step:
    """Note what a running deployment's script says of a step. Raises Conflict where it does not run, Invalid."""

    def note() -> Step:
        _running(number)
        return steps.report(number, told, at=at)

    return store.write(note)


def report_end(number: int, state: DeploymentState, message: str) -> Deployment:
    """Note how the script of a `finish = "report"` service says it ended; the first word stands.

    Raises Conflict where the deployment does not run, or its service does not let scripts report the end.
    """

    def note() -> None:
        deployment = _running(number)
        if json.loads(deployment.definition or "{}").get("finish") != "report":
            raise Conflict('the script\'s exit status ends this deployment: its service has no finish = "report"')
        if deployment.reported_state not in (None, state):
            raise Conflict(f"the end was reported already: {deployment.reported_state}")
        fields = {"reported_state": state, "reported_message": message[: steps.LONGEST_MESSAGE]}
        Deployment.update(fields).where(Deployment.id == number).execute()

    store.write(note)
    return find(number)


def finish(number: int, ending: Ending, *, now: int) -> None:
    """A running deployment has ended. To be called inside a write."""
    move(
        find(number),
        ending.state,
        reason=ending.reason,
        exit_status=ending.exit_status,
        signal=ending.signal,
        finished=now,
    )
    steps.settle(number, ending.state, now=now)


def move(deployment: Deployment, state: DeploymentState, **fields: Any) -> None:
    """Change a deployment's state; the database checks that it still is where it was. To be called inside a write.

    Raises Conflict where it has moved on meanwhile.
    """
    old = DeploymentState(deployment.state)
    if state not in EDGES[old]:
        raise Conflict(f"deployment {deployment.id} is {old}: it cannot become {state}")
    where = (Deployment.id == deployment.id) & (Deployment.state == old)
    if not Deployment.update(state=state, **fields).where(where).execute():
        raise Conflict(f"deployment {deployment.id} is not {old} any more: look again")


def _running(number: int) -> Deployment:
    deployment = find(number)
    if deployment.state != DeploymentState.RUNNING:
        raise Conflict(f"deployment {number} is {deployment.state}, not running")
    return deployment
