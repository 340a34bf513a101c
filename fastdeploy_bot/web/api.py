"""The API for programs: bearer tokens in, typed JSON out. Each route authorises, calls core, and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

import msgspec
import peewee
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot.core import (
    access,
    clock,
    deliveries,
    deployments,
    logs,
    services,
    starting,
    tokens,
    users,
    views,
)
from fastdeploy_bot.core.access import Action
from fastdeploy_bot.core.services import Sync
from fastdeploy_bot.core.starting import Wish
from fastdeploy_bot.core.tokens import Issued
from fastdeploy_bot.errors import Invalid
from fastdeploy_bot.store.models import Delivery, Deployment, Service
from fastdeploy_bot.web import answers, context, creating
from fastdeploy_bot.words import DeploymentState, PrincipalKind, StepReport

bp = Blueprint("api", __name__, url_prefix="/api/v1")

LARGEST: Final = 1024 * 1024
"""Bytes of a request's body."""
PAGE: Final = 50
LARGEST_PAGE: Final = 200
NEWEST: Final = 2**63 - 1
"""The largest id that a row can have."""
ID: Final = f"int(max={NEWEST})"
"""How a route writes an id."""


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signs in."""

    username: str
    password: str


class TokenView(msgspec.Struct, frozen=True):
    """A new user token."""

    token: str
    expires: str | None


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a new service token shall be valid."""

    days: int = tokens.SERVICE_DAYS


class NewTokenView(msgspec.Struct, frozen=True):
    """A new service token; its text is shown this once."""

    id: int
    token: str
    expires: str | None


class NewDeployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be deployed."""

    service: str | None = None
    sha: str | None = None
    ref: str | None = None
    context: Mapping[str, Any] = {}


class End(msgspec.Struct, frozen=True):
    """How a script says its deployment ended."""

    state: Literal["success", "failure"]
    message: str = ""


class Page(msgspec.Struct, frozen=True):
    """A stretch of a list, newest first."""

    items: list[Any]  # views of one kind
    next: int | None
    """For `?before=`; None where nothing is left."""


@bp.before_request
def bound() -> None:
    """Refuse bodies that no call needs."""
    request.max_content_length = LARGEST


@bp.post("/token")
def sign_in() -> ResponseReturnValue:
    """Trade a user's name and password for a user token."""
    given = context.body(Credentials)
    user = users.identify(given.username, given.password)
    issued = tokens.for_user(user, now=clock.now())
    return answers.as_json(TokenView(issued.token, clock.text(issued.expires)))


@bp.get("/services")
def list_services() -> ResponseReturnValue:
    """Every service the caller may read."""
    who = context.principal()
    query = Service.select().where(Service.removed.is_null()).order_by(Service.name)
    if who.kind is PrincipalKind.USER:
        access.authorize(who, Action.READ)
    else:
        access.authorize(who, Action.READ, service=who.service)
        query = query.where(Service.name == who.service)
    entries = context.bot().catalogue.entries()
    public_url = context.bot().settings.effective_public_url
    return answers.as_json(
        Page([views.service(row, entries.get(row.name), public_url=public_url) for row in query], None)
    )


@bp.get("/services/<name>")
def show_service(name: str) -> ResponseReturnValue:
    """One service as it stands."""
    access.authorize(context.principal(), Action.READ, service=name)
    bot = context.bot()
    row = services.find(name)
    view = views.service(row, bot.catalogue.get(name), public_url=bot.settings.effective_public_url)
    return answers.as_json(view)


@bp.post("/services/sync")
def sync_services() -> ResponseReturnValue:
    """Bring the rows in step with the service files now."""
    access.authorize(context.principal(), Action.MANAGE)
    found: Sync = services.sync(context.bot().catalogue.entries(), now=clock.now())
    return answers.as_json(found)


@bp.get("/services/<name>/tokens")
def list_tokens(name: str) -> ResponseReturnValue:
    """A service's tokens, without their texts."""
    access.authorize(context.principal(), Action.MANAGE, service=name)
    return answers.as_json(Page(list(views.tokens(tokens.of_service(services.find(name)))), None))


@bp.post("/services/<name>/tokens")
def create_token(name: str) -> ResponseReturnValue:
    """A new service token, shown this once."""
    who = context.principal()
    access.authorize(who, Action.MANAGE, service=name)
    given = context.body(NewToken)

    def create() -> NewTokenView:
        issued: Issued = tokens.for_service(services.find(name), days=given.days, now=clock.now())
        return NewTokenView(issued.id, issued.token, clock.text(issued.expires))

    return creating.once(who, create)


@bp.delete(f"/services/<name>/tokens/<{ID}:token>")
def revoke_token(name: str, token: int) -> ResponseReturnValue:
    """End a service token."""
    access.authorize(context.principal(), Action.MANAGE, service=name)
    tokens.revoke(services.find(name), token, now=clock.now())
    return Response(status=HTTPStatus.NO_CONTENT)


@bp.post("/deployments")
def start_deployment() -> ResponseReturnValue:
    """Queue a deployment."""
    who = context.principal()
    given = context.body(NewDeployment)
    name = given.service or who.service or ""
    access.authorize(who, Action.START, service=name)
    if not name:
        raise Invalid("service: say which one")
    entries = context.bot().catalogue.entries()
    wish = Wish(sha=given.sha, ref=given.ref, context=given.context)

    def create() -> views.DeploymentView:
        return _view(starting.start(starting.entry_of(entries, name), wish, by=who, now=clock.now()))

    return creating.once(who, create)


@bp.get("/deployments")
def list_deployments() -> ResponseReturnValue:
    """Deployments, newest first, by service, state and sha."""
    who = context.principal()
    wanted = request.args.get("service") or who.service
    access.authorize(who, Action.READ, service=wanted)
    query = Deployment.select().join(Service)
    if wanted:
        query = query.where(Service.name == wanted)
    if "state" in request.args:
        query = query.where(Deployment.state == context.choice("state", DeploymentState))
    if "sha" in request.args:
        query = query.where(Deployment.sha == request.args["sha"].lower())
    return _page(query, Deployment, _view)


@bp.get(f"/deployments/<{ID}:number>")
def show_deployment(number: int) -> ResponseReturnValue:
    """One deployment with its steps."""
    return answers.as_json(_view(_readable(number)))


@bp.get(f"/deployments/<{ID}:number>/log")
def show_log(number: int) -> ResponseReturnValue:
    """The output from `?offset=` on, as bytes; `X-Log-Gap: from-to` says what was not kept of it."""
    _readable(number)
    excerpt = logs.read(number, context.number("offset", 0, least=0, most=NEWEST))
    answer = Response(excerpt.data, mimetype="text/plain")
    answer.headers["X-Log-End"] = str(excerpt.end)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    if excerpt.gap is not None:
        answer.headers["X-Log-Gap"] = f"{excerpt.gap[0]}-{excerpt.gap[1]}"
    return answer


@bp.post(f"/deployments/<{ID}:number>/cancel")
def cancel_deployment(number: int) -> ResponseReturnValue:
    """End a deployment that has not begun; ask a running one to stop."""
    who = context.principal()
    access.authorize(who, Action.STEER)
    row = deployments.cancel(number, by=who.name, now=clock.now())
    context.bot().bell.ring()
    return answers.as_json(_view(row), HTTPStatus.ACCEPTED)


@bp.post(f"/deployments/<{ID}:number>/retry")
def retry_deployment(number: int) -> ResponseReturnValue:
    """Deploy the same commit once more."""
    who = context.principal()
    access.authorize(who, Action.STEER)
    return creating.once(who, lambda: _view(deployments.retry(number, by=who.name, now=clock.now())))


@bp.post(f"/deployments/<{ID}:number>/steps")
def report_step(number: int) -> ResponseReturnValue:
    """Note what a script says of one of its steps; the same name again is an update."""
    access.authorize(context.principal(), Action.REPORT, deployment=number)
    told = context.body(StepReport)
    return answers.as_json(views.step(deployments.report_step(number, told, at=clock.now())))


@bp.post(f"/deployments/<{ID}:number>/finish")
def report_end(number: int) -> ResponseReturnValue:
    """Note how a script says its deployment ended."""
    access.authorize(context.principal(), Action.REPORT, deployment=number)
    given = context.body(End)
    row = deployments.report_end(number, DeploymentState(given.state), given.message)
    context.bot().bell.ring()
    return answers.as_json(_view(row))


@bp.get("/deliveries")
def list_deliveries() -> ResponseReturnValue:
    """Deliveries with their verdicts, newest first."""
    access.authorize(context.principal(), Action.BROWSE)
    return _page(Delivery.select(), Delivery, views.delivery)


@bp.get("/deliveries/<guid>")
def show_delivery(guid: str) -> ResponseReturnValue:
    """One delivery with its verdicts."""
    access.authorize(context.principal(), Action.BROWSE)
    return answers.as_json(views.delivery(deliveries.find(guid)))


def _readable(number: int) -> Deployment:
    """The deployment, if the caller may read it: Forbidden comes before NotFound for those who may not list all."""
    who = context.principal()
    row = Deployment.get_or_none(Deployment.id == number)
    access.authorize(who, Action.READ, service=None if row is None else row.service.name)
    return row if row is not None else deployments.find(number)


def _view(row: Deployment) -> views.DeploymentView:
    return views.deployment(row, public_url=context.bot().settings.effective_public_url)


def _page(query: peewee.ModelSelect[Any], model: type[Any], view: Callable[[Any], Any]) -> Response:
    limit = context.number("limit", PAGE, least=1, most=LARGEST_PAGE)
    before = context.number("before", NEWEST, least=1, most=NEWEST)
    rows = list(query.where(model.id < before).order_by(model.id.desc()).limit(limit + 1))
    shown = rows[:limit]
    return answers.as_json(Page([view(row) for row in shown], shown[-1].id if len(rows) > limit else None))
