"""Signing in and out by the browser: with a password, or by way of GitHub.

The second page that asks GitHub itself: somebody waits for the answer, and what they came back with soon ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot import store
from fastdeploy_bot.core import clock, leases
from fastdeploy_bot.core.people import detours, guests, signin, users
from fastdeploy_bot.core.people.detours import Detour
from fastdeploy_bot.core.people.few import Busy, Few
from fastdeploy_bot.core.people.guests import Visit
from fastdeploy_bot.core.people.sessions import Begun
from fastdeploy_bot.core.people.signin import Given
from fastdeploy_bot.core.telling.views import Moment
from fastdeploy_bot.errors import Conflict, FastdeployError, Forbidden, NotFound, TooMany, Unauthenticated, Unavailable
from fastdeploy_bot.forge.github import roles
from fastdeploy_bot.forge.github import signin as github
from fastdeploy_bot.forge.github.api.people import BadCode
from fastdeploy_bot.forge.github.client import CallFailed
from fastdeploy_bot.settings import OAuthApp, Settings
from fastdeploy_bot.web import answers, browser, context
from fastdeploy_bot.web.answers import Answer
from fastdeploy_bot.words import Person

T = TypeVar("T")

log = logging.getLogger(__name__)

bp = Blueprint("signin", __name__)

MOST_AT_GITHUB: Final = 4
"""How many threads of a process wait for GitHub at most: others are for pushes."""
TOLD: Final = (Conflict, Forbidden, TooMany, Unauthenticated, Unavailable)
"""What is told on the card itself."""

_places: Final = Few(MOST_AT_GITHUB, "too many people sign in at this moment: try again shortly")


class Present(msgspec.Struct, frozen=True):
    """Whose the reader's session is, and how long it lasts."""

    name: str
    """Of the user; empty where there is none."""
    expires: Moment | None
    left: float
    """Seconds; 0 where there is none."""
    form_token: str
    """What this session's forms carry: a page of an earlier one needs it to go on."""


@bp.get("/login")
def login() -> ResponseReturnValue:
    """The card to sign in with."""
    return _card()


@bp.post("/login")
def sign_in() -> ResponseReturnValue:
    """Begin a session, and go on to the page that was wanted."""
    form = request.form
    given = Given(username=form.get("username", ""), password=form.get("password", ""), peer=context.peer())
    try:
        begun = signin.begin_session(given, agent=_agent(), now=clock.now())
    except (Unauthenticated, TooMany, Busy) as error:
        return _card(error)
    return browser.sign_in(browser.go_to(_wanted()), begun)


@bp.get("/login/github")
def to_github() -> ResponseReturnValue:
    """Begin the way to GitHub, which asks whether we may know who somebody is."""
    settings, app = context.bot().settings, _required_app()
    begun = detours.begin(_wanted(), key=settings.keys[0], now=clock.now())
    answer = browser.go_to(github.page_url(settings, app, state=begun.state, challenge=begun.challenge))
    return browser.keep_detour(answer, begun.cookie, seconds=detours.LONGEST // clock.SECOND)


@bp.get(github.CALLBACK)
def from_github() -> ResponseReturnValue:
    """The way back from GitHub, with a code that tells it who somebody is.

    What it changes is kept from forgers by the state and the cookie that belongs to it: no form of ours can lead here.
    """
    app, wanted = _required_app(), "/"
    keys, state = context.bot().settings.keys, request.args.get("state", "")
    try:
        detour = detours.end(browser.detour(), state, keys=keys, now=clock.now())
        wanted = browser.local_path(detour.wanted)
        begun = _begin_as_guest(app, detour)
    except TOLD as error:
        return browser.forget_detour(_card(error, wanted))
    return browser.forget_detour(browser.sign_in(browser.go_to(wanted), begun))


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    """End the reader's session."""
    who, found = browser.reader(), browser.session()
    if found is not None:
        users.end_session(who.name, found.id, by=who, now=clock.now())
    return browser.sign_out(browser.go_to("/"))


@bp.get("/session")
def present() -> Answer[Present]:
    """How long the reader's session lasts. To ask does not prolong it."""
    return _present()


@bp.post("/session/renew")
def renew() -> Answer[Present]:
    """Let the reader's session go on: every form does that, and this one nothing else."""
    return _present()


def _present() -> Answer[Present]:
    found = browser.session()
    if found is None:
        return answers.as_json(Present("", None, 0, ""))
    name, expires = found.principal.name, clock.text(found.expires)
    return answers.as_json(Present(name, expires, browser.left(), browser.form_token()))


def _begin_as_guest(app: OAuthApp, detour: Detour) -> Begun:
    """A session for whoever came back. Raises what is in TOLD."""
    settings, peer, code = context.bot().settings, context.peer(), request.args.get("code", "")
    if "error" in request.args:
        log.info("github sent somebody back without a code", extra={"problem": request.args["error"][:100]})
        raise Forbidden("GitHub was not allowed to say who you are, so nobody is signed in")
    with _places:
        entered = guests.enter(peer, now=clock.now())
        person = _asked(lambda: github.identify(settings, app, code, verifier=detour.verifier))
        again = guests.enter_as(person, now=clock.now())
        given = _given(settings, person) if guests.lives_by_github(person) else guests.NOTHING
    visit = Visit(person=person, given=given, entered=(entered, again), peer=peer, agent=_agent())
    return guests.begin_session(visit, now=clock.now())


def _given(settings: Settings, person: Person) -> guests.Given:
    """What GitHub's permissions come to; the log says by which repository, where that is nothing."""
    deployed = guests.repositories()
    given = _asked(lambda: roles.given(settings, person, deployed, now=clock.now()))
    if given.role is None:
        facts = {"repository": given.repository, "login": person.login, "problem": given.why}
        log.info("somebody on github is given nothing by a repository", extra=facts)
    return given


def _asked(ask: Callable[[], T]) -> T:
    """What GitHub says; nobody keeps a connection to the database meanwhile. Raises Unauthenticated, Unavailable."""
    if leases.silent_until(now=clock.now()) is not None:
        raise Unavailable("GitHub wants to be asked nothing for a while: try again later, or sign in with a password")
    store.release()
    try:
        return ask()
    except BadCode as failed:
        raise Unauthenticated("GitHub takes its answer back only once, and soon: sign in once more") from failed
    except CallFailed as failed:
        log.warning("github did not say who somebody is", extra={"problem": str(failed)})
        raise Unavailable("GitHub could not be asked: try again shortly, or sign in with a password") from failed


def _required_app() -> OAuthApp:
    app = context.bot().settings.oauth_app
    if app is None:
        raise NotFound("nobody signs in by GitHub here: this bot has no GitHub App with a client secret")
    return app


def _card(error: FastdeployError | None = None, wanted: str | None = None) -> Response:
    by_github = context.bot().settings.oauth_app is not None
    return answers.page(
        "login.html",
        error,
        next=wanted or _wanted(),
        username=request.form.get("username", ""),
        by_github=by_github,
        empty=not by_github and not users.is_anybody_there(),
    )


def _wanted() -> str:
    return browser.local_path(request.values.get("next", ""))


def _agent() -> str:
    return request.headers.get("User-Agent", "")
