"""Signing in and out by the browser."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from flask import Blueprint, Response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot import store
from fastdeploy_bot.core import clock, sessions, users
from fastdeploy_bot.core.views import Moment
from fastdeploy_bot.errors import FastdeployError, Unauthenticated
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
    given, now = request.form, clock.now()
    try:
        user = users.identify(given.get("username", ""), given.get("password", ""))
    except Unauthenticated as error:
        return _card(error)
    agent = request.headers.get("User-Agent", "")
    begun = store.write(lambda: sessions.begin(user, peer=context.peer(), agent=agent, now=now))
    return browser.sign_in(_onward(), begun)


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    """End the reader's session."""
    found = browser.session()
    if found is not None:
        user = users.find(found.principal.name)
        store.write(lambda: sessions.end(user, found.id, now=clock.now()))
    return browser.sign_out(Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/"}))


@bp.post("/session/renew")
def renew() -> Answer[Renewed]:
    """Let the reader's session go on: every form does that, and this one nothing else."""
    found = browser.session()
    return answers.as_json(Renewed(clock.text(found.expires if found is not None else None)))


def _card(error: FastdeployError | None = None) -> ResponseReturnValue:
    page = render_template("login.html", error=error, next=_wanted(), username=request.form.get("username", ""))
    return Response(page, HTTPStatus.OK if error is None else error.status, mimetype="text/html")


def _onward() -> Response:
    answer = redirect(_wanted(), HTTPStatus.SEE_OTHER)
    assert isinstance(answer, Response)  # noqa: S101 - Flask's own redirect is one of Flask's responses
    return answer


def _wanted() -> str:
    return browser.local_path(request.values.get("next", ""))
