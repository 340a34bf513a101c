"""Acting: the forms of the pages. Each does one thing, once however often it is sent, and shows what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, retries, rollbacks, starting
from fastdeploy_bot.core.deploying.starting import Wish
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.pushes import intake
from fastdeploy_bot.errors import Conflict, Invalid, UnderWay
from fastdeploy_bot.web import browser, context, creating, hooks, numbers, waiting
from fastdeploy_bot.web.pages.shared import ID
from fastdeploy_bot.words import DeploymentState, Principal

bp = Blueprint(browser.ACTING, __name__)

_FIELDS: Final = ("head", "ref", "sha", "to", "reason", "span", "since")
"""What a form may say beside who sends it."""


@bp.post("/services/<name>/deploy")
def deploy(name: str) -> ResponseReturnValue:
    """Deploy the commit that the form showed, or the one that was typed."""
    who = browser.require(Action.START, service=name)
    head, ref, sha = (request.form.get(field, "").strip() for field in ("head", "ref", "sha"))
    wish = Wish(sha=sha) if sha else Wish(sha=head or None, ref=ref or None)
    entry = starting.entry_of(context.bot().catalogue.entries(), name)

    def inquire() -> None:
        waiting.until_answered(starting.inquire(entry, wish, now=clock.now()))

    def start() -> str:
        starting.require_first(entry, wish, now=clock.now())
        return _page_of(starting.start(entry, wish, by=who, now=clock.now()).id)

    return _once(who, start, before=inquire)


@bp.post("/services/<name>/rollback")
def roll_back(name: str) -> ResponseReturnValue:
    """Deploy the commit again that the form showed."""
    who = browser.require(Action.STEER, service=name)
    to, entries = _number("to"), context.bot().catalogue.entries()
    return _once(who, lambda: _page_of(rollbacks.roll_back(name, entries, to=to, by=who, now=clock.now()).id))


@bp.post("/services/<name>/lock")
def lock(name: str) -> ResponseReturnValue:
    """Let nothing of a service begin, for the time that was chosen or for good; in place of the lock that was shown."""
    who = browser.require(Action.STEER, service=name)
    seconds, entries, now = _number("span"), context.bot().catalogue.entries(), clock.now()
    until = None if seconds is None else now + seconds * clock.SECOND
    wish = locking.Wish(reason=request.form.get("reason", ""), until=until, over=_number("since") or 0)

    def hold() -> str:
        locking.hold(name, entries, wish, by=who, now=now)
        return f"/services/{name}"

    return _once(who, hold)


@bp.post("/services/<name>/unlock")
def unlock(name: str) -> ResponseReturnValue:
    """End the lock that the form showed. To ask twice is no mistake."""
    who = browser.require(Action.STEER, service=name)
    locking.unlock(name, context.bot().catalogue.entries(), by=who, now=clock.now(), since=_number("since"))
    context.bot().bell.ring()
    return browser.go_to(f"/services/{name}")


@bp.post(f"/deployments/{ID}/cancel")
def cancel(id: int) -> ResponseReturnValue:
    """End a deployment that has not begun; ask a running one to stop. To ask twice is no mistake."""
    who = browser.require(Action.STEER)
    try:
        deployments.cancel(id, by=who, now=clock.now())
    except Conflict:
        if deployments.find(id).state != DeploymentState.CANCELLED:
            raise
    context.bot().bell.ring()
    return browser.go_to(_page_of(id))


@bp.post(f"/deployments/{ID}/retry")
def retry(id: int) -> ResponseReturnValue:
    """Deploy the same commit once more."""
    who = browser.require(Action.STEER)
    entries = context.bot().catalogue.entries()
    return _once(who, lambda: _page_of(retries.retry(id, entries, by=who, now=clock.now()).id))


@bp.post(f"/deployments/{ID}/rollback")
def undo(id: int) -> ResponseReturnValue:
    """Deploy again what is live, instead of a deployment that failed; or what was before one that is live."""
    who = browser.require(Action.STEER)
    entries = context.bot().catalogue.entries()
    return _once(who, lambda: _page_of(rollbacks.undo(id, entries, by=who, now=clock.now()).id))


@bp.post("/deliveries/<guid>/replay")
def replay(guid: str) -> ResponseReturnValue:
    """Decide a kept push once more."""
    who = browser.require(Action.STEER)
    delivery, push = hooks.kept_push(guid)
    entries = context.bot().catalogue.entries()

    def decide() -> str:
        intake.replay(delivery, push, entries, by=who, now=clock.now())
        return f"/deliveries/{guid}"

    return _once(who, decide)


def _number(field: str) -> int | None:
    """A form's number; None where the field is empty. Raises Invalid."""
    text = request.form.get(field, "").strip()
    number = numbers.read(text)
    if text and number is None:
        raise Invalid(f"{field}: expected a number, got {text[:60]!r}")
    return number


def _once(who: Principal, act: Callable[[], str], *, before: Callable[[], None] = lambda: None) -> Response:
    """Do what a form asks for and show the page that `act` names; the same form once more shows that page again.

    What is under way already is shown in place of being done twice: several people may press the same button.
    """

    def find() -> bytes:
        try:
            return act().encode()
        except UnderWay as found:
            return _page_of(found.deployment).encode()

    return browser.go_to(creating.by_form(who, _FIELDS, find, before=before).decode())


def _page_of(number: int) -> str:
    return f"/deployments/{number}"
