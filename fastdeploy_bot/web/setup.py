"""Set-up: what signs the bot in to GitHub, a GitHub App made for it in one click, and whether GitHub reaches it.

The one page that asks GitHub itself: only admins see it, and they wait for the answer.
"""

from __future__ import annotations

import json
import logging
import platform
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
from flask import Blueprint, Flask, Response, current_app, request
from flask.typing import ResponseReturnValue

from fastdeploy_bot import appfile, store, values
from fastdeploy_bot.appfile import App, BadAppFile
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import deliveries
from fastdeploy_bot.core.deploying import deployments, services
from fastdeploy_bot.core.people import audit, guests, roundtrips
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.people.sessions import Found
from fastdeploy_bot.errors import Conflict, FastdeployError, Forbidden, Invalid
from fastdeploy_bot.forge.github import setup, signin
from fastdeploy_bot.forge.github.client import CallFailed
from fastdeploy_bot.forge.github.setup import Look
from fastdeploy_bot.settings import Settings, signs_in_by_hand
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.web import answers, browser, context
from fastdeploy_bot.words import Principal

log = logging.getLogger(__name__)

bp = Blueprint("setup", __name__, url_prefix="/setup")

EXTENSION: Final = "fastdeploy.setup"
SECONDS: Final = 10.0
"""How long what GitHub said holds: a page that waits for GitHub asks for itself again and again."""
WAITING: Final = 3_600 * clock.SECOND
"""How long a page waits for a new App's first webhook."""
TOLD: Final = (BadAppFile, CallFailed, Conflict, Forbidden, Invalid)
"""What is told on the page itself."""


class Seen(msgspec.Struct, frozen=True):
    """What GitHub said of an App, or why it did not."""

    look: Look | None
    problem: str = ""


class FirstSteps(msgspec.Struct, frozen=True, kw_only=True):
    """How far a new bot has come."""

    reachable: bool
    """Whether GitHub may be able to reach it."""
    connected: bool
    """Whether it is signed in to GitHub, or GitHub has reached it."""
    services: list[Service]
    """As their files say now."""
    last: Deployment | None
    """The newest deployment of all."""


class Glances:
    """What GitHub said last. One asks, others wait for that."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._last: tuple[float, App, Seen] | None = None

    def at(self, settings: Settings, app: App, *, now: int) -> Seen:
        """What GitHub says of the App; asked anew where the last answer is old."""
        with self._guard:
            if self._last is None or time.monotonic() - self._last[0] >= SECONDS or self._last[1] != app:
                seen = _asked(settings, app, now)
                self._last = (time.monotonic(), app, seen)
            return self._last[2]


def register(app: Flask) -> None:
    """Give the app a memory of what GitHub said."""
    app.extensions[EXTENSION] = Glances()


@bp.get("")
def page() -> ResponseReturnValue:
    """What there is of GitHub, and what is to be done next."""
    browser.require(Action.MANAGE)
    return _told_on_page(partial(_page, organization=request.args.get("organization", "").strip()))


@bp.get("/created")
def created() -> ResponseReturnValue:
    """The way back from GitHub's page, with a code for the App that was made there.

    What it changes is kept from forgers by the state alone: no form of ours can lead here.
    """
    who = browser.require(Action.MANAGE)

    def make() -> Response:
        roundtrips.end(_session(), request.args.get("state", ""), keys=context.bot().settings.keys, now=clock.now())
        made = setup.make(context.bot().settings, request.args.get("code", ""), now=clock.now())
        _note(who, "create app", made)
        return browser.go_to("/setup")

    return _told_on_page(make)


@bp.post("/rotate")
def rotate() -> ResponseReturnValue:
    """Give the App another webhook secret."""
    who = browser.require(Action.MANAGE)

    def change() -> Response:
        settings = context.bot().settings
        setup.rotate(settings, now=clock.now())
        if settings.app is not None:
            _note(who, "rotate webhook secret", settings.app)
        return browser.go_to("/setup")

    return _told_on_page(change)


def _page(error: FastdeployError | None = None, *, organization: str = "") -> Response:
    settings, now = context.bot().settings, clock.now()
    app = settings.app
    made = 0 if app is None else app.created
    reached = deliveries.newest_of_github(since=made)
    action = setup.form_action(settings.github_url, organization, _state(now))
    seen = None if app is None else _seen(settings, app, now)
    answer = answers.page(
        "setup.html",
        error,
        now=now,
        app=app,
        seen=seen,
        unseen=_unseen(seen),
        broken=appfile.problem(settings.home),
        by_hand=signs_in_by_hand(settings),
        token=settings.github_token is not None,
        app_file=settings.home / appfile.FILE,
        home=settings.home,
        github_url=settings.github_url,
        install="" if app is None else _link(settings, app.html_url, "/installations/new"),
        link=partial(_link, settings),
        public_url=settings.effective_public_url,
        callback=signin.callback_url(settings.effective_public_url) if settings.oauth_app is not None else "",
        hook=settings.effective_public_url + setup.HOOK,
        organization=organization,
        action=action,
        manifest=json.dumps(_manifest(settings)),
        wanted=setup.PERMISSIONS,
        first=FirstSteps(
            reachable=_reachable(settings),
            connected=settings.tells_github or reached is not None,
            services=services.everything(context.bot().catalogue.entries()),
            last=deployments.newest(),
        ),
        reached=reached,
        waiting=app is not None and bool(app.webhook_secret) and reached is None and now < made + WAITING,
    )
    return browser.let_forms_go_to(answer, settings.github_url)


def _told_on_page(act: Callable[[], Response]) -> Response:
    """What `act` answers; what a person can mend is told on the page."""
    try:
        return act()
    except TOLD as error:
        return _page(error)


def _seen(settings: Settings, app: App, now: int) -> Seen:
    glances = cast("Glances", current_app.extensions[EXTENSION])
    return glances.at(settings, app, now=now)


def _unseen(seen: Seen | None) -> list[str]:
    """The repositories that are deployed here and that the App does not see."""
    if seen is None or seen.look is None:
        return []
    return seen.look.unseen([each.name for each in guests.repositories()])


def _asked(settings: Settings, app: App, now: int) -> Seen:
    try:
        return Seen(setup.look(settings, app, now=now))
    except CallFailed as failed:
        return Seen(None, str(failed))


def _manifest(settings: Settings) -> dict[str, object]:
    name = urlsplit(settings.effective_public_url).hostname or platform.node()
    return setup.manifest(f"fastdeploy {name}", settings.effective_public_url, reachable=_reachable(settings))


def _reachable(settings: Settings) -> bool:
    """Whether GitHub may be able to reach the bot, as far as its address tells."""
    host = urlsplit(settings.effective_public_url).hostname or ""
    return settings.public_url is not None and not values.is_loopback(host)


def _link(settings: Settings, url: str, more: str = "") -> str:
    """An address that GitHub told, where it is one of GitHub's; empty where not."""
    return url + more if url.startswith(f"{settings.github_url}/") else ""


def _state(now: int) -> str:
    return roundtrips.begin(_session(), key=context.bot().settings.keys[0], now=now)


def _session() -> Found:
    found = browser.session()
    if found is None:
        raise browser.SignedOut("sign in, and begin again")
    return found


def _note(who: Principal, action: str, app: App) -> None:
    store.write(lambda: audit.note(who, action, f"app {app.slug or app.id}", now=clock.now()))
