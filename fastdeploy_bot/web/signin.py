"""Signing in and out by the browser."""

from __future__ import annotations

import msgspec
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot.core import clock, signin, users
from fastdeploy_bot.core.passwords import Busy
from fastdeploy_bot.core.signin import Given
from fastdeploy_bot.core.views import Moment
from fastdeploy_bot.errors import FastdeployError, TooMany, Unauthenticated
from fastdeploy_bot.web import answers, browser, context
from fastdeploy_bot.web.answers import Answer

bp = Blueprint("signin", __name__)


class Renewed(msgspec.Struct, frozen=True):
    """A session that goes on."""

    expires: Moment | None


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
        begun = signin.begin_session(given, agent=request.headers.get("User-Agent", ""), now=clock.now())
    except (Unauthenticated, TooMany, Busy) as error:
        return _card(error)
    return browser.sign_in(browser.go_to(_wanted()), begun)


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    """End the reader's session."""
    who, found = browser.reader(), browser.session()
    if found is not None:
        users.end_session(who.name, found.id, by=who, now=clock.now())
    return browser.sign_out(browser.go_to("/"))


@bp.post("/session/renew")
def renew() -> Answer[Renewed]:
    """Let the reader's session go on: every form does that, and this one nothing else."""
    found = browser.session()
    return answers.as_json(Renewed(clock.text(found.expires if found is not None else None)))


def _card(error: FastdeployError | None = None) -> ResponseReturnValue:
    return answers.page("login.html", error, next=_wanted(), username=request.form.get("username", ""))


def _wanted() -> str:
    return browser.local_path(request.values.get("next", ""))
