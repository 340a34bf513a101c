"""Deployments: from asked for to ended, along the edges of `words.EDGES` and no others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, reduce
from operator import or_
from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import locks
from fastdeploy_bot.core.deploying import holdbacks, steps, titles, waiting
from fastdeploy_bot.core.deploying.waiting import Place, Wanted
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.locks import Lock
from fastdeploy_bot.core.people import audit
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.errors import Conflict, NotFound
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.store.models import Delivery, Deployment, Service, Step
from fastdeploy_bot.words import (
    EDGES,
    OPEN_STATES,
    PUSH_ORIGINS,
    UNDER_WAY,
    DeploymentState,
    Origin,
    Principal,
    StepReport,
)

_FIND: Final = store.Prepared[Deployment](lambda number: Deployment.select().where(Deployment.id == number))
_QUEUE: Final = store.Insert(
    Deployment,
    *(
        "service",
        "state",
        "waits_for",
        "wanted",
        "reason",
        "origin",
        "sha",
        "ref",
        "before",
        "repository",
        "actor",
        "title",
        "context",
    ),
    *("delivery", "parent", "report", "created"),
)
_SUPERSEDE: Final = store.Prepared[Deployment](
    lambda reason, number, now, service, ref: (
        Deployment.update(
            state=DeploymentState.SUPERSEDED,
            waits_for=None,
            wanted=None,
            reason=reason,
            taken_over_by=number,
            finished=now,
        )
        .where(
            Deployment.service == service,
            Deployment.ref == ref,
            Deployment.id < number,
            Deployment.state.in_(OPEN_STATES),  # each of them has an edge to the new one
            # Not `in_`: for more than two SQLite makes a table first, each time.
            reduce(or_, (Deployment.origin == origin for origin in sorted(PUSH_ORIGINS))),
        )
        .returning(Deployment)
    )
)


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
    delivery: Delivery | int | None = None
    """The delivery that it came of, by its row, or its id."""
    parent: int | None = None
    report: tuple[str, ...] = ()
    """The kinds of reports that GitHub is owed of it."""
    wait_for: tuple[str, ...] = ()
    """The checks that have to succeed before it begins."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a running deployment ended."""

    state: DeploymentState
    reason: str = ""
    exit_status: int | None = None
    signal: int | None = None


def newest() -> Deployment | None:
    """The deployment that was asked for last, of any service."""
    found: Deployment | None = Deployment.select(Deployment.id, Deployment.state).order_by(Deployment.id.desc()).first()
    return found


def find(number: int) -> Deployment:
    """The deployment of that id. Raises NotFound."""
    deployment = _FIND.first(number)
    if deployment is None:
        raise NotFound(f"there is no deployment {number}")
    return deployment


def last_word(service: int) -> Deployment | None:
    """What of a service is under way, and was asked for last: it decides what is live in the end."""
    mine = Deployment.select().where(Deployment.service == service, Deployment.state.in_(UNDER_WAY))
    found: Deployment | None = mine.order_by(Deployment.id.desc()).first()
    return found


def queue(service: Service, order: Order, *, now: int) -> Deployment:
    """A new deployment: queued, or waiting for the end of its service's lock or for checks. Inside a write."""
    wanted = Wanted(names=order.wait_for, since=now, due=now) if order.wait_for else None
    place = waiting.place(locks.of(service), wanted)
    deployment = _QUEUE.run(
        service=service,
        state=place.state,
        waits_for=place.waits_for,
        wanted=waiting.written(wanted),
        reason=place.reason,
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
        report=msgspec.json.encode(order.report).decode(),
        created=now,
    )
    changes.of_row(deployment)
    holdbacks.settle(service, order.origin, order.sha)
    return deployment


def supersede(newer: Deployment, *, now: int) -> None:
    """Let `newer` take the place of the older pushes of its ref that have not begun. To be called inside a write."""
    older = _SUPERSEDE.all(_ships_with(newer), newer.id, now, newer.service_id, newer.ref)
    for deployment in sorted(older, key=lambda row: row.id):
        deployment.service = newer.service
        changes.of_row(deployment)


def give_way(older: Deployment, newer: Deployment, *, now: int) -> None:
    """Let `newer` take the place of one that has not begun. To be called inside a write."""
    move(older, DeploymentState.SUPERSEDED, reason=_ships_with(newer), taken_over_by=newer.id, finished=now)


def cancel(number: int, *, by: Principal, now: int) -> Deployment:
    """End a deployment that has not begun; ask a running one to stop. Raises NotFound, Conflict where it has ended."""
    store.write(lambda: call_off(number, by=by, now=now))
    return find(number)


def call_off(number: int, *, by: Principal, now: int) -> None:
    """Do what `cancel` does. To be called inside a write."""
    deployment = find(number)
    state = DeploymentState(deployment.state)
    if state.final:
        raise Conflict(f"deployment {number} has ended already: {state}")
    if state is DeploymentState.RUNNING:
        asked = Deployment.update(cancelled_by=by.name)
        asked.where(Deployment.id == number, Deployment.cancelled_by.is_null()).execute()
        changes.of_deployment(number)
    else:
        stop(deployment, why=f"cancelled by {by.name} before it began", now=now)
    audit.note(by, "cancel", f"deployment {number}", now=now, detail=f"service {deployment.service.name}")


def stop(deployment: Deployment, *, why: str, now: int) -> None:
    """Cancel a deployment that has not begun. To be called inside a write."""
    steps.settle(deployment.id, DeploymentState.CANCELLED, now=now)
    move(deployment, DeploymentState.CANCELLED, reason=why, finished=now)
    if deployment.origin == Origin.ROLLBACK:
        holdbacks.recall(deployment.service)


def stop_unchecked(service: Service, *, ref: str | None = None, why: str, now: int) -> None:
    """Cancel what of a service, or of one ref of it, still waits for checks. To be called inside a write."""
    for deployment in _open(service):
        if deployment.wanted is not None and ref in (None, deployment.ref):
            stop(deployment, why=why, now=now)


def place(service: Service, lock: Lock | None) -> None:
    """Put all that has not begun where it belongs, now that the service has that lock. To be called inside a write."""
    for deployment in _open(service):
        _put(deployment, waiting.place(lock, waiting.of(deployment)))


def want(deployment: Deployment, wanted: Wanted | None) -> None:
    """Write down what checks a waiting deployment still wants, and put it where it belongs. Inside a write."""
    deployment.wanted = waiting.written(wanted)
    mine = (Deployment.id == deployment.id) & (Deployment.state == DeploymentState.WAITING)
    if Deployment.update(wanted=deployment.wanted).where(mine).execute():
        _put(deployment, waiting.place(locks.of(deployment.service), wanted))


def repeat(parent: Deployment, origin: Origin, entries: Mapping[str, Entry], *, by: Principal, now: int) -> Deployment:
    """Queue the commit of a deployment once more, with its ref and context. To be called inside a write.

    Raises Conflict where the service was removed.
    """
    if parent.service.removed is not None:
        raise Conflict(f"service {parent.service.name} was removed: put its service.toml back first")
    entry = entries.get(parent.service.name)
    return queue(
        parent.service,
        Order(
            origin=origin,
            sha=parent.sha,
            ref=parent.ref,
            before=parent.before,
            repository=parent.repository,
            actor=by.name,
            title=parent.title or titles.of(parent.service, parent.sha),
            context=json.loads(parent.context),
            delivery=parent.delivery_id,
            parent=parent.id,
            report=() if entry is None else entry.report,
        ),
        now=now,
    )


def report_step(number: int, told: StepReport, masker: Masker, *, at: int) -> store.Later[Step]:
    """Note what a running deployment's script says of a step; the row is on disk when the answer is there.

    Raises Invalid; the answer raises Conflict where it does not run.
    """
    masked = steps.masked(told, masker)

    def note() -> Step:
        _running(number)
        return steps.report(number, masked, at=steps.Moment(at))

    return store.later(note)


def report_end(number: int, state: DeploymentState, message: str, masker: Masker) -> Deployment:
    """Note how the script of a `finish = "report"` service says it ended; the first word stands.

    Raises Conflict where the deployment does not run, or its service does not let scripts report the end.
    """
    masked = masker.text(message)[: steps.LONGEST_MESSAGE]

    def note() -> None:
        deployment = _running(number)
        if json.loads(deployment.definition or "{}").get("finish") != "report":
            raise Conflict('the script\'s exit status ends this deployment: its service has no finish = "report"')
        if deployment.reported_state not in (None, state):
            raise Conflict(f"the end was reported already: {deployment.reported_state}")
        fields = {"reported_state": state, "reported_message": masked}
        Deployment.update(fields).where(Deployment.id == number).execute()

    store.write(note)
    return find(number)


def finish(number: int, ending: Ending, *, now: int) -> None:
    """A running deployment has ended. To be called inside a write."""
    steps.settle(number, ending.state, now=now)
    move(
        find(number),
        ending.state,
        reason=ending.reason,
        exit_status=ending.exit_status,
        signal=ending.signal,
        finished=now,
    )


def move(deployment: Deployment, state: DeploymentState, **fields: Any) -> None:
    """Change a deployment's state; the database checks that it still is where it was. To be called inside a write.

    Raises Conflict where it has moved on meanwhile.
    """
    old = DeploymentState(deployment.state)
    if state not in EDGES[old]:
        raise Conflict(f"deployment {deployment.id} is {old}: it cannot become {state}")
    changed = {"state": state, "waits_for": None, "wanted": None} | fields
    if not _move(tuple(changed)).run(*changed.values(), deployment.id, old):
        raise Conflict(f"deployment {deployment.id} is not {old} any more: look again")
    changes.of_deployment(deployment.id)


def _ships_with(newer: Deployment) -> str:
    return f"ships with {newer.sha[:7]} (deployment {newer.id})"


def _put(deployment: Deployment, place: Place) -> None:
    """Put one that has not begun where it belongs; what is queued already keeps what is said of it."""
    if deployment.state != place.state:
        move(deployment, place.state, waits_for=place.waits_for, reason=place.reason)
    elif place.waits_for is not None and (deployment.waits_for, deployment.reason) != (place.waits_for, place.reason):
        told = {"waits_for": place.waits_for, "reason": place.reason}
        Deployment.update(told).where(Deployment.id == deployment.id, Deployment.state == place.state).execute()
        changes.of_deployment(deployment.id)


def _open(service: Service) -> list[Deployment]:
    """What of a service has not begun, oldest first."""
    mine = Deployment.select().where(Deployment.service == service, Deployment.state.in_(OPEN_STATES))
    return list(mine.order_by(Deployment.id))


@cache
def _move(fields: tuple[str, ...]) -> store.Prepared[Deployment]:
    """The guarded change of these fields."""

    def build(*values: object) -> Any:  # peewee's types do not say what its queries have in common
        *new, number, old = values
        return Deployment.update(dict(zip(fields, new, strict=True))).where(
            Deployment.id == number, Deployment.state == old
        )

    return store.Prepared(build, places=len(fields) + 2)


def _running(number: int) -> Deployment:
    deployment = find(number)
    if deployment.state != DeploymentState.RUNNING:
        raise Conflict(f"deployment {number} is {deployment.state}, not running")
    return deployment
