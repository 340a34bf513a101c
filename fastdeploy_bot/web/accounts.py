"""Settings: everyone's own account; for admins users, service tokens and the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import heads
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.people import audit, sessions, signin, tokens, users
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.people.audit import Wanted
from fastdeploy_bot.core.people.signin import Given
from fastdeploy_bot.core.people.tokens import Issued
from fastdeploy_bot.errors import Conflict, FastdeployError, Invalid, TooMany, Unauthenticated, Unavailable
from fastdeploy_bot.web import answers, browser, context, creating, numbers
from fastdeploy_bot.web.drawing import deeds
from fastdeploy_bot.web.operations import NEWEST
from fastdeploy_bot.words import LOCAL, Principal, Role

bp = Blueprint("accounts", __name__, url_prefix="/settings")

ID: Final = f"<int(max={NEWEST}):id>"
LONGEST_ASKED: Final = 200
"""Characters of what the audit trail is searched for."""
PAGE: Final = 100
"""How many rows of the audit trail stand on a page."""
TOLD: Final = (Invalid, Conflict, Unauthenticated, TooMany, Unavailable)
"""What is told on the page of the form that it came from."""


@bp.get("")
def settings() -> ResponseReturnValue:
    """The settings begin with one's own account."""
    browser.require(Action.BROWSE)
    return browser.go_to("/settings/account")


@bp.get("/account")
def account() -> ResponseReturnValue:
    """One's own account: password and sessions."""
    browser.require(Action.BROWSE)
    return _account()


@bp.post("/account/password")
def change_password() -> ResponseReturnValue:
    """Choose another password, which ends all that was signed in with the old one."""
    who = browser.require(Action.BROWSE)
    given = Given(username=who.name, password=_field("present"), peer=who.peer)

    def change() -> Response:
        if _field("new") != _field("again"):
            raise Invalid("the new password was not typed alike twice")
        signin.confirm(given, now=clock.now())
        users.set_password(who.name, _field("new"), by=who, now=clock.now())
        return browser.sign_out(browser.go_to("/login?next=/settings/account"))

    return _told_on(_account, change)


@bp.post(f"/account/sessions/{ID}/end")
def end_session(id: int) -> ResponseReturnValue:
    """End one of one's own sessions."""
    who = browser.require(Action.BROWSE)
    users.end_session(who.name, id, by=who, now=clock.now())
    return browser.go_to("/settings/account")


@bp.post("/account/sign-out")
def sign_out_everywhere() -> ResponseReturnValue:
    """End all of one's own sessions and tokens."""
    who = browser.require(Action.BROWSE)
    users.sign_out_everywhere(who.name, by=who, now=clock.now())
    return browser.sign_out(browser.go_to("/login"))


@bp.get("/users")
def list_users() -> ResponseReturnValue:
    """Everyone who may sign in."""
    browser.require(Action.MANAGE)
    return _users()


@bp.post("/users")
def add_user() -> ResponseReturnValue:
    """Let somebody sign in."""
    who = browser.require(Action.MANAGE)
    return _on_users(lambda: users.add(_field("username"), _field("password"), _role(), by=who, now=clock.now()))


@bp.post("/users/<name>/role")
def set_role(name: str) -> ResponseReturnValue:
    """Give somebody another role."""
    who = browser.require(Action.MANAGE)
    return _on_users(lambda: users.set_role(name, _role(), by=who, now=clock.now()))


@bp.post("/users/<name>/password")
def set_password(name: str) -> ResponseReturnValue:
    """Give somebody another password."""
    who = browser.require(Action.MANAGE)
    return _on_users(lambda: users.set_password(name, _field("password"), by=who, now=clock.now()))


@bp.post("/users/<name>/github")
def link_github(name: str) -> ResponseReturnValue:
    """Let an account of GitHub's sign in as somebody, or none any more."""
    who = browser.require(Action.MANAGE)
    given = _field("github").strip()

    def link() -> None:
        if not given:
            return users.unlink(name, by=who, now=clock.now())
        number = numbers.read(given)
        if not number:
            raise Invalid(f"GitHub account: expected its number, such as 583231, got {given[:60]!r}")
        return users.link(name, number, by=who, now=clock.now())

    return _on_users(link)


@bp.post("/users/<name>/sign-out")
def sign_out_user(name: str) -> ResponseReturnValue:
    """End somebody's sessions and tokens."""
    who = browser.require(Action.MANAGE)
    return _on_users(lambda: users.sign_out_everywhere(name, by=who, now=clock.now()))


@bp.post("/users/<name>/remove")
def remove_user(name: str) -> ResponseReturnValue:
    """Take somebody away."""
    who = browser.require(Action.MANAGE)
    return _on_users(lambda: users.remove(name, by=who, now=clock.now()))


@bp.get("/tokens")
def list_tokens() -> ResponseReturnValue:
    """The service tokens."""
    browser.require(Action.MANAGE)
    return _tokens()


@bp.post("/tokens")
def create_token() -> ResponseReturnValue:
    """A new service token, shown this once; the same form sent again shows the same one."""
    who = browser.require(Action.MANAGE)

    def create() -> Response:
        return _tokens(service=_field("service"), made=_created(who))

    return _told_on(_tokens, create)


@bp.post(f"/tokens/<name>/{ID}/revoke")
def revoke_token(name: str, id: int) -> ResponseReturnValue:
    """End a service token."""
    who = browser.require(Action.MANAGE)
    tokens.revoke(services.find(name), id, by=who, now=clock.now())
    return browser.go_to("/settings/tokens")


@bp.get("/audit")
def trail() -> ResponseReturnValue:
    """Who did what, to what, when and from where: all of it, or what is asked for."""
    browser.require(Action.MANAGE)
    asked = {name: request.args.get(name, "").strip()[:LONGEST_ASKED] for name in ("who", "action", "about", "since")}
    before = numbers.read(request.args.get("before", ""))
    wanted = Wanted(who=asked["who"], action=asked["action"], about=asked["about"], since=_midnight(asked["since"]))
    rows = audit.trail(wanted, before=NEWEST if before is None else before, limit=PAGE + 1)
    given = {name: text for name, text in asked.items() if text}
    older = urlencode({**given, "before": rows[PAGE - 1].id}) if len(rows) > PAGE else ""
    return _page(
        "audit.html",
        deeds=[deeds.told(row) for row in rows[:PAGE]],
        asked=asked,
        filtered=bool(given),
        older=older,
        verbs=deeds.VERBS,
        names=[LOCAL.name, *(user.username for user in users.everyone())],
    )


def _account(error: FastdeployError | None = None) -> Response:
    found, user = browser.session(), users.find(browser.reader().name)
    rows = sessions.of_user(user, now=clock.now())
    return _page("account.html", error, user=user, sessions=rows, present=None if found is None else found.id)


def _users(error: FastdeployError | None = None) -> Response:
    return _page(
        "users.html",
        error,
        users=users.accounts(),
        roles=list(Role),
        remembered=sessions.LONGEST // clock.DAY,
        by_github=context.bot().settings.oauth_app is not None,
    )


def _tokens(error: FastdeployError | None = None, *, service: str = "", made: Issued | None = None) -> Response:
    return _page(
        "tokens.html",
        error,
        tokens=tokens.of_services(),
        soon=tokens.SOON,
        longest_name=tokens.LONGEST_NAME,
        names=sorted(services.living()),
        days=tokens.SERVICE_DAYS,
        most_days=tokens.MOST_SERVICE_DAYS,
        service=service,
        made=made,
        head_known=made is not None and _is_head_known(service),
        secret=f"FASTDEPLOY_TOKEN_{service.upper().replace('-', '_')}",
        public_url=context.bot().settings.effective_public_url,
        status=HTTPStatus.OK if made is None else HTTPStatus.CREATED,
    )


def _is_head_known(name: str) -> bool:
    """Whether a deployment of that service may be asked for without naming a commit."""
    entry = context.bot().catalogue.entries().get(name)
    if entry is None or entry.file is None:
        return False
    try:
        heads.newest(services.find(name), entry.file)
    except Invalid:
        return False
    return True


def _created(who: Principal) -> Issued:
    """The token that the form asks for, or that it asked for when it came before."""
    name, days = _field("service"), _field("days")
    if not (days.isascii() and days.isdigit() and len(days) < 4):
        raise Invalid(f"days: expected 1 to {tokens.MOST_SERVICE_DAYS}")

    entries = context.bot().catalogue.entries()

    def create() -> bytes:
        row = services.named(name, entries, now=clock.now())
        issued = tokens.for_service(row, days=int(days), name=_field("name"), by=who, now=clock.now())
        return msgspec.json.encode(issued)

    return msgspec.json.decode(creating.by_form(who, ["service", "days", "name"], create), type=Issued)


def _on_users(act: Callable[[], object]) -> Response:
    """Do something to the users, and show them."""

    def done() -> Response:
        act()
        return browser.go_to("/settings/users")

    return _told_on(_users, done)


def _told_on(page: Callable[[FastdeployError], Response], act: Callable[[], Response]) -> Response:
    """What `act` answers; what a person can mend is told on the page that the form is part of."""
    try:
        return act()
    except TOLD as error:
        return page(error)


def _midnight(day: str) -> int | None:
    """The moment at which a day begins, in UTC; None where none is named. Raises Invalid."""
    if not day:
        return None
    try:
        return int(datetime.combine(date.fromisoformat(day), time(), UTC).timestamp()) * clock.SECOND
    except ValueError as error:
        raise Invalid(f"since: expected a day, such as 2026-11-28, got {day[:60]!r}") from error


def _field(name: str) -> str:
    return request.form.get(name, "")


def _role() -> Role:
    given = _field("role")
    if given not in list(Role):
        raise Invalid(f"role: expected {', '.join(Role)}")
    return Role(given)


def _page(template: str, error: FastdeployError | None = None, *, status: int = 200, **values: object) -> Response:
    return answers.page(template, error, status=status, now=clock.now(), **values)
