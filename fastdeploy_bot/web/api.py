"""The API for programs: bearer tokens in, typed JSON out. Each route authorises, calls core, and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
import peewee
from flask import Blueprint, request
from msgspec import UNSET

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.core.deploying import deployments, locking, retries, rollbacks, services, starting
from fastdeploy_bot.core.deploying.services import Sync
from fastdeploy_bot.core.deploying.starting import Wish
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.looks import listing
from fastdeploy_bot.core.output import masks
from fastdeploy_bot.core.people import signin, tokens
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.people.tokens import Issued
from fastdeploy_bot.core.telling import feed, views
from fastdeploy_bot.core.telling.feed import Told
from fastdeploy_bot.core.telling.views import DeliveryView, DeploymentView, ServiceView, StepView, TokenView
from fastdeploy_bot.errors import Conflict, Gone, Invalid, NotFound, TooMany, Unauthenticated, Unavailable
from fastdeploy_bot.store.models import Delivery, Deployment, Service
from fastdeploy_bot.web import answers, context, creating, longlogs, operations, waiting
from fastdeploy_bot.web.answers import Answer, Nothing, Text
from fastdeploy_bot.web.later import Later
from fastdeploy_bot.web.operations import NEWEST, Body, Guid, Id, Name, Query, operation
from fastdeploy_bot.web.shapes import (
    Credentials,
    End,
    Events,
    Excerpt,
    FeedEvent,
    Filter,
    NewDeployment,
    NewLock,
    NewToken,
    Page,
    Rollback,
    ServiceToken,
    Since,
    UserToken,
    Window,
)
from fastdeploy_bot.words import DeploymentState, StepReport

T = TypeVar("T")

bp = Blueprint("api", __name__, url_prefix="/api/v1")

LARGEST: Final = 1024 * 1024
"""Bytes of a request's body."""
ID: Final = f"<int(max={NEWEST}):id>"
"""How a route writes an id."""


@bp.before_request
def bound() -> None:
    """Refuse bodies that no call needs."""
    request.max_content_length = LARGEST


@bp.post("/token")
@operation(
    errors=[Unauthenticated, TooMany, Unavailable],
    example={"username": "admin", "password": "correct horse battery staple"},
)
def sign_in(body: Body[Credentials]) -> Answer[UserToken]:
    """Trade a user's name and password for a user token."""
    given = body.read()
    shown = signin.Given(username=given.username, password=given.password, peer=context.peer())
    issued = signin.issue_token(shown, now=clock.now())
    return answers.as_json(UserToken(issued.token, clock.text(issued.expires)))


@bp.get("/services")
@operation(Action.READ)
def list_services() -> Answer[Page[ServiceView]]:
    """Every service the caller may read."""
    who = context.principal()
    operations.authorize(who, service=who.service)
    entries = context.bot().catalogue.entries()
    rows = [row for row in services.everything(entries) if who.service in (None, row.name)]
    return answers.as_json(Page(listing.services(rows, entries, public_url=_public_url()), None))


@bp.get("/services/<name>")
@operation(Action.READ)
def show_service(name: Name) -> Answer[ServiceView]:
    """One service as it stands."""
    operations.authorize(context.principal(), service=name)
    entries = context.bot().catalogue.entries()
    return answers.as_json(_service(services.shown(name, entries), entries))


@bp.post("/services/sync")
@operation(Action.MANAGE)
def sync_services() -> Answer[Sync]:
    """Bring the rows in step with the service files now."""
    who = context.principal()
    operations.authorize(who)
    return answers.as_json(services.sync(context.bot().catalogue.entries(), by=who, now=clock.now()))


@bp.get("/services/<name>/tokens")
@operation(Action.MANAGE)
def list_tokens(name: Name) -> Answer[Page[TokenView]]:
    """A service's tokens, without their texts."""
    operations.authorize(context.principal(), service=name)
    service = services.shown(name, context.bot().catalogue.entries())
    return answers.as_json(Page(views.tokens(tokens.of_service(service)), None))


@bp.post("/services/<name>/tokens")
@operation(
    Action.MANAGE, statuses=[HTTPStatus.CREATED], errors=[Conflict], idempotent=True, example={"days": 30, "name": "CI"}
)
def create_token(name: Name, body: Body[NewToken]) -> Answer[ServiceToken]:
    """A new service token, shown this once."""
    who = context.principal()
    operations.authorize(who, service=name)
    given = body.read()

    entries = context.bot().catalogue.entries()

    def create() -> ServiceToken:
        row = services.named(name, entries, now=clock.now())
        issued: Issued = tokens.for_service(row, days=given.days, name=given.name, by=who, now=clock.now())
        return ServiceToken(issued.id, issued.token, clock.text(issued.expires))

    return creating.once(who, create)


@bp.delete(f"/services/<name>/tokens/{ID}")
@operation(Action.MANAGE, statuses=[HTTPStatus.NO_CONTENT])
def revoke_token(name: Name, id: Id) -> Nothing:
    """End a service token."""
    who = context.principal()
    operations.authorize(who, service=name)
    tokens.revoke(services.shown(name, context.bot().catalogue.entries()), id, by=who, now=clock.now())
    return Nothing(status=HTTPStatus.NO_CONTENT)


@bp.post("/services/<name>/lock")
@operation(
    Action.STEER,
    errors=[Conflict],
    example={"reason": "the database moves", "until": "2030-01-31T18:00:00Z"},
)
def lock_service(name: Name, body: Body[NewLock]) -> Answer[ServiceView]:
    """Keep a service from being deployed: what is asked for waits; a second lock replaces the first."""
    who = context.principal()
    operations.authorize(who, service=name)
    given = body.read()
    entries = context.bot().catalogue.entries()
    until = None if given.until is None else int(given.until.timestamp() * clock.SECOND)
    wish = locking.Wish(reason=given.reason, until=until)
    return answers.as_json(_service(locking.lock(name, entries, wish, by=who, now=clock.now()), entries))


@bp.delete("/services/<name>/lock")
@operation(Action.STEER, statuses=[HTTPStatus.NO_CONTENT])
def unlock_service(name: Name) -> Nothing:
    """End a service's lock, if it has one: what waited for that goes on."""
    who = context.principal()
    operations.authorize(who, service=name)
    locking.unlock(name, context.bot().catalogue.entries(), by=who, now=clock.now())
    context.bot().bell.ring()
    return Nothing(status=HTTPStatus.NO_CONTENT)


@bp.post("/services/<name>/rollback")
@operation(Action.STEER, statuses=[HTTPStatus.CREATED], errors=[Conflict], idempotent=True, example={"to": 7})
def roll_back(name: Name, body: Body[Rollback]) -> Answer[DeploymentView]:
    """Deploy the last good commit before the live one again, or that of a deployment; the live one is held back."""
    who = context.principal()
    operations.authorize(who, service=name)
    to = body.read().to
    entries = context.bot().catalogue.entries()
    return creating.once(who, lambda: _view(rollbacks.roll_back(name, entries, to=to, by=who, now=clock.now())))


@bp.post("/deployments")
@operation(
    Action.START,
    statuses=[HTTPStatus.CREATED],
    errors=[NotFound, Conflict, Unavailable],
    idempotent=True,
    example={"service": "shop", "ref": "main"},
)
def start_deployment(body: Body[NewDeployment]) -> Answer[DeploymentView]:
    """Queue a deployment; of a sha that no push told of, once GitHub has said that it is part of a mapped ref."""
    who = context.principal()
    given = body.read()
    name = given.service or who.service or ""
    operations.authorize(who, service=name)
    if not name:
        raise Invalid("service: say which one")
    entries = context.bot().catalogue.entries()
    wish = Wish(sha=given.sha, ref=given.ref, context=given.context)

    def inquire() -> None:
        waiting.until_answered(starting.inquire(starting.entry_of(entries, name), wish, now=clock.now()))

    def create() -> DeploymentView:
        return _view(starting.start(starting.entry_of(entries, name), wish, by=who, now=clock.now()))

    return creating.once(who, create, before=inquire)


@bp.get("/deployments")
@operation(Action.READ)
def list_deployments(query: Query[Filter]) -> Answer[Page[DeploymentView]]:
    """Deployments, newest first, by service, state and sha."""
    who = context.principal()
    asked = query.read()
    wanted = asked.service or who.service
    operations.authorize(who, service=wanted)
    rows = Deployment.select(Deployment, Service).join(Service)
    if wanted:
        rows = rows.where(Service.name == wanted)
    if asked.state is not UNSET:
        rows = rows.where(Deployment.state == asked.state)
    if asked.sha:
        rows = rows.where(Deployment.sha == asked.sha.lower())
    return _page(asked, rows, Deployment, _views)


@bp.get(f"/deployments/{ID}")
@operation(Action.READ)
def show_deployment(id: Id) -> Answer[DeploymentView]:
    """One deployment with its steps."""
    return answers.as_json(_view(_readable(id)))


@bp.get(f"/deployments/{ID}/log")
@operation(
    Action.READ,
    headers={
        "X-Log-End": "the offset after the last byte kept: to go on from",
        "X-Log-Gap": "`from-to`: the bytes from the first to before the second were not kept",
    },
)
def show_log(id: Id, query: Query[Excerpt]) -> Text:
    """A deployment's output from `?offset=` on, as bytes; `X-Log-Gap` says what was not kept of it."""
    _readable(id)
    answer = longlogs.raw(id, query.read().offset)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


@bp.post(f"/deployments/{ID}/cancel")
@operation(Action.STEER, statuses=[HTTPStatus.ACCEPTED], errors=[Conflict])
def cancel_deployment(id: Id) -> Answer[DeploymentView]:
    """End a deployment that has not begun; ask a running one to stop."""
    who = context.principal()
    operations.authorize(who)
    row = deployments.cancel(id, by=who, now=clock.now())
    context.bot().bell.ring()
    return answers.as_json(_view(row), HTTPStatus.ACCEPTED)


@bp.post(f"/deployments/{ID}/retry")
@operation(Action.STEER, statuses=[HTTPStatus.CREATED], errors=[Conflict], idempotent=True)
def retry_deployment(id: Id) -> Answer[DeploymentView]:
    """Deploy the same commit once more."""
    who = context.principal()
    operations.authorize(who)
    entries = context.bot().catalogue.entries()
    return creating.once(who, lambda: _view(retries.retry(id, entries, by=who, now=clock.now())))


@bp.post(f"/deployments/{ID}/steps")
@operation(Action.REPORT, errors=[Conflict], example={"name": "Migrate", "state": "running"})
def report_step(id: Id, body: Body[StepReport]) -> Answer[StepView]:
    """Note what a script says of one of its steps; the same name again is an update."""
    operations.authorize(context.principal(), deployment=id)
    masker = masks.of(context.bot().settings, deployments.find(id))
    told = deployments.report_step(id, body.read(), masker, at=clock.now())
    return Later(lambda: answers.as_json(views.step(told.answer())), told.forget)


@bp.post(f"/deployments/{ID}/finish")
@operation(Action.REPORT, errors=[Conflict], example={"state": "success"})
def report_end(id: Id, body: Body[End]) -> Answer[DeploymentView]:
    """Note how a script says its deployment ended."""
    operations.authorize(context.principal(), deployment=id)
    given = body.read()
    masker = masks.of(context.bot().settings, deployments.find(id))
    row = deployments.report_end(id, DeploymentState(given.state), given.message, masker)
    context.bot().bell.ring()
    return answers.as_json(_view(row))


@bp.get("/events")
@operation(Action.BROWSE)
def list_events(query: Query[Since]) -> Answer[Events]:
    """The feed by polling: what changed after an event, oldest first."""
    operations.authorize(context.principal())
    asked = query.read()
    try:
        found = feed.since(asked.since, limit=asked.limit)
    except Gone:
        return answers.as_json(Events([], feed.newest(), True))
    return answers.as_json(Events([_event(told) for told in found], found[-1].id if found else asked.since, False))


@bp.get("/deliveries")
@operation(Action.BROWSE)
def list_deliveries(query: Query[Window]) -> Answer[Page[DeliveryView]]:
    """Deliveries with their verdicts, newest first."""
    operations.authorize(context.principal())
    return _page(query.read(), Delivery.select(), Delivery, _deliveries)


@bp.get("/deliveries/<guid>")
@operation(Action.BROWSE)
def show_delivery(guid: Guid) -> Answer[DeliveryView]:
    """One delivery with its verdicts."""
    operations.authorize(context.principal())
    return answers.as_json(views.delivery(deliveries.find(guid)))


def _readable(number: int) -> Deployment:
    """The deployment, if the caller may read it: Forbidden comes before NotFound for those who may not list all."""
    who = context.principal()
    row = Deployment.get_or_none(Deployment.id == number)
    operations.authorize(who, service=None if row is None else row.service.name)
    return row if row is not None else deployments.find(number)


def _event(told: Told) -> FeedEvent:
    """An event as it was written: an earlier version's object stays as that version saw it (so Any, for the types)."""
    written: Any = msgspec.Raw(told.data.encode())
    return FeedEvent(told.id, told.type, **{told.type.value: written})


def _service(row: Service, entries: Mapping[str, Entry]) -> ServiceView:
    return listing.service(row, entries.get(row.name), public_url=_public_url())


def _view(row: Deployment) -> DeploymentView:
    return listing.deployment(row, public_url=_public_url())


def _deliveries(rows: Sequence[Delivery]) -> list[DeliveryView]:
    return [views.delivery(row) for row in rows]


def _views(rows: Sequence[Deployment]) -> list[DeploymentView]:
    return listing.deployments(rows, public_url=_public_url())


def _public_url() -> str:
    return context.bot().settings.effective_public_url


def _page(
    window: Window, query: peewee.ModelSelect[Any], model: type[Any], view: Callable[[Sequence[Any]], list[T]]
) -> Answer[Page[T]]:
    rows = list(query.where(model.id < window.before).order_by(model.id.desc()).limit(window.limit + 1))
    shown = rows[: window.limit]
    return answers.as_json(Page(view(shown), shown[-1].id if len(rows) > window.limit else None))
