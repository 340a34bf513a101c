"""Access: every page and every form against everyone who might come by a browser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from callers import SOON, Auth, Browser, GitHub, Host, ServiceFiles, sha, sync, user_of
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import sessions
from fastdeploy_bot.web import operations


class Who(StrEnum):
    """Everyone who might come."""

    VISITOR = "a visitor"
    GARBAGE = "a guessed cookie"
    EXPIRED = "an admin whose session has expired"
    ENDED = "an admin who has signed out"
    TOKEN = "an admin's token in the header"
    TOKEN_COOKIE = "an admin's token in the cookie"
    VIEWER = "viewer"
    DEPLOYER = "deployer"
    ADMIN = "admin"


STRANGERS: Final = frozenset(list(Who)[: list(Who).index(Who.VIEWER)])
"""Nobody of these is signed in."""
READERS: Final = (Who.VIEWER, Who.DEPLOYER, Who.ADMIN)
DEPLOYERS: Final = (Who.DEPLOYER, Who.ADMIN)


class Forgery(StrEnum):
    """What is wrong with a form that no page of ours has sent."""

    NO_TOKEN = "no form token"
    WRONG_TOKEN = "a guessed form token"
    OTHERS_TOKEN = "the form token of another session"
    FOREIGN = "another origin"
    SUBDOMAIN = "the origin of a neighbour"
    OTHER_PORT = "the origin of another port"
    OTHER_SCHEME = "the origin of another scheme"
    NULL = "no origin to speak of"
    NOTHING = "neither origin nor anything like it"
    CROSS_SITE = "no origin, but from another site"
    SAME_SITE = "no origin, but from a neighbour"
    REFERER = "no origin, but a foreign page"


FORGED_HEADERS: Final[Mapping[Forgery, Mapping[str, str]]] = {
    Forgery.FOREIGN: {"Origin": "https://evil.example"},
    Forgery.SUBDOMAIN: {"Origin": "http://evil.localhost"},
    Forgery.OTHER_PORT: {"Origin": "http://localhost:8080"},
    Forgery.OTHER_SCHEME: {"Origin": "https://localhost"},
    Forgery.NULL: {"Origin": "null"},
    Forgery.NOTHING: {},
    Forgery.CROSS_SITE: {"Sec-Fetch-Site": "cross-site", "Referer": "http://localhost/"},
    Forgery.SAME_SITE: {"Sec-Fetch-Site": "same-site", "Referer": "http://localhost/"},
    Forgery.REFERER: {"Referer": "https://evil.example/http://localhost/"},
}


@dataclass(frozen=True)
class Page:
    """A page or a form, how it is asked for with what exists, and who may."""

    method: str
    rule: str
    path: str
    status: int
    """For those who may."""
    who: Sequence[Who]
    fields: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    """The same for a thing that does not exist, where its path names one."""
    others: int | None = None
    """What everyone else is answered, where that is neither an invitation to sign in nor 403."""

    @property
    def name(self) -> str:
        """What it is called in a test's name."""
        return f"{self.method} {self.rule}"

    def expected(self, who: Who) -> int:
        """The status that somebody is owed."""
        if who in self.who:
            return self.status
        if self.others is not None:
            return self.others
        if who in STRANGERS:
            return 303 if self.method == "GET" else 401
        return 403


BEFORE, ENDED, QUEUED = 1, 2, 3
"""The deployments that there are, of shop; the first two have succeeded."""
WISH: Final = {"sha": sha(9), "nonce": "n-1"}

PAGES: Final = [
    Page("GET", "/static/<digest>/<name>", "/static/0/fastdeploy.css", 200, list(Who)),
    Page("GET", "/", "/", 200, READERS),
    Page("GET", "/services/<name>", "/services/shop", 200, READERS, missing="/services/none"),
    Page("GET", "/services/<name>.atom", "/services/shop.atom", 200, READERS, missing="/services/none.atom"),
    Page("GET", "/badges/<name>.svg", "/badges/shop.svg", 200, READERS, missing="/badges/none.svg", others=404),
    Page("POST", "/services/<name>/deploy", "/services/shop/deploy", 303, DEPLOYERS, WISH, "/services/none/deploy"),
    Page(
        "POST",
        "/services/<name>/lock",
        "/services/shop/lock",
        303,
        DEPLOYERS,
        {"reason": "freeze", "span": "3600", "nonce": "n-1"},
        "/services/none/lock",
    ),
    Page("POST", "/services/<name>/unlock", "/services/shop/unlock", 303, DEPLOYERS, missing="/services/none/unlock"),
    Page(
        "POST",
        "/deployments/<id>/rollback",
        f"/deployments/{ENDED}/rollback",
        303,
        DEPLOYERS,
        {"nonce": "n-6"},
        "/deployments/99/rollback",
    ),
    Page(
        "POST",
        "/services/<name>/rollback",
        "/services/shop/rollback",
        303,
        DEPLOYERS,
        {"to": str(BEFORE), "nonce": "n-5"},
        "/services/none/rollback",
    ),
    Page("GET", "/deployments/<id>", f"/deployments/{ENDED}", 200, READERS, missing="/deployments/99"),
    Page(
        "GET", "/deployments/<id>/lines", f"/deployments/{ENDED}/lines", 200, READERS, missing="/deployments/99/lines"
    ),
    Page("GET", "/deployments/<id>/log", f"/deployments/{ENDED}/log", 200, READERS, missing="/deployments/99/log"),
    Page(
        "POST",
        "/deployments/<id>/cancel",
        f"/deployments/{QUEUED}/cancel",
        303,
        DEPLOYERS,
        missing="/deployments/99/cancel",
    ),
    Page(
        "POST",
        "/deployments/<id>/retry",
        f"/deployments/{ENDED}/retry",
        303,
        DEPLOYERS,
        {"nonce": "n-2"},
        "/deployments/99/retry",
    ),
    Page("GET", "/deliveries", "/deliveries", 200, READERS),
    Page("GET", "/deliveries/<guid>", "/deliveries/g-1", 200, READERS, missing="/deliveries/none"),
    Page(
        "POST",
        "/deliveries/<guid>/replay",
        "/deliveries/g-1/replay",
        303,
        DEPLOYERS,
        {"nonce": "n-3"},
        "/deliveries/none/replay",
    ),
    Page("GET", "/login", "/login", 200, list(Who)),
    Page("POST", "/login", "/login", 401, list(Who), fields={"username": "nobody", "password": "guessed"}),
    # This bot has no GitHub App that anybody could sign in by.
    Page("GET", "/login/github", "/login/github", 404, list(Who)),
    Page("GET", "/login/github/callback", "/login/github/callback", 404, list(Who)),
    Page("GET", "/session", "/session", 200, list(Who)),
    Page("POST", "/session/renew", "/session/renew", 200, READERS),
    Page("POST", "/theme", "/theme", 303, list(Who), fields={"theme": "dark"}),
    Page("GET", "/setup", "/setup", 200, [Who.ADMIN]),
    Page("GET", "/setup/created", "/setup/created", 403, [Who.ADMIN]),
    Page("POST", "/setup/rotate", "/setup/rotate", 409, [Who.ADMIN]),
    Page("GET", "/settings", "/settings", 303, READERS),
    Page("GET", "/settings/account", "/settings/account", 200, READERS),
    Page(
        "POST",
        "/settings/account/password",
        "/settings/account/password",
        401,  # the present password is wrong
        READERS,
        fields={"present": "guessed", "new": "correct horse", "again": "correct horse"},
    ),
    Page("GET", "/settings/tokens", "/settings/tokens", 200, [Who.ADMIN]),
    Page(
        "POST",
        "/settings/tokens",
        "/settings/tokens",
        201,
        [Who.ADMIN],
        fields={"service": "shop", "days": "30", "nonce": "n-4"},
    ),
    Page(
        "POST",
        "/settings/tokens/<name>/<id>/revoke",
        "/settings/tokens/shop/1/revoke",
        303,
        [Who.ADMIN],
        missing="/settings/tokens/shop/99/revoke",
    ),
    Page("GET", "/settings/audit", "/settings/audit", 200, [Who.ADMIN]),
    Page("GET", "/settings/users", "/settings/users", 200, [Who.ADMIN]),
    Page(
        "POST",
        "/settings/users",
        "/settings/users",
        303,
        [Who.ADMIN],
        fields={"username": "newcomer", "password": "correct horse", "role": "viewer"},
    ),
    Page(
        "POST",
        "/settings/users/<name>/role",
        "/settings/users/helper/role",
        303,
        [Who.ADMIN],
        fields={"role": "deployer"},
        missing="/settings/users/none/role",
    ),
    Page(
        "POST",
        "/settings/users/<name>/password",
        "/settings/users/helper/password",
        303,
        [Who.ADMIN],
        fields={"password": "correct horse"},
        missing="/settings/users/none/password",
    ),
    Page(
        "POST",
        "/settings/users/<name>/github",
        "/settings/users/helper/github",
        303,
        [Who.ADMIN],
        fields={"github": "583231"},
        missing="/settings/users/none/github",
    ),
    Page(
        "POST",
        "/settings/users/<name>/sign-out",
        "/settings/users/helper/sign-out",
        303,
        [Who.ADMIN],
        missing="/settings/users/none/sign-out",
    ),
    Page(
        "POST",
        "/settings/users/<name>/remove",
        "/settings/users/helper/remove",
        303,
        [Who.ADMIN],
        missing="/settings/users/none/remove",
    ),
    Page(
        "POST",
        "/settings/account/sessions/<id>/end",
        "/settings/account/sessions/99/end",
        404,  # nobody has so many
        READERS,
    ),
    Page("POST", "/settings/account/sign-out", "/settings/account/sign-out", 303, READERS),
    Page("POST", "/logout", "/logout", 303, READERS),
]
FORMS: Final = [page for page in PAGES if page.method == "POST"]


@dataclass(frozen=True)
class World:
    """A bot with something of everything, and the browser of everyone."""

    browsers: Mapping[Who, Browser]
    headers: Mapping[Who, Mapping[str, str]]

    def call(self, who: Who, page: Page, *, path: str = "", method: str = "") -> TestResponse:
        """Ask for a page, or send a form, as somebody."""
        browser, headers = self.browsers[who], self.headers.get(who, {})
        if page.method == "POST":
            sent = {"Origin": browser.origin, **headers}
            return browser.post(path or page.path, headers=sent, **page.fields)
        return browser.client.open(path or page.path, method=method or page.method, headers=headers)

    def forge(self, page: Page, forgery: Forgery) -> TestResponse:
        """Send a form as an admin's browser would for a page that is not ours."""
        browser = self.browsers[Who.ADMIN]
        others = self.browsers[Who.DEPLOYER].form_token(page.path)
        tokens = {Forgery.NO_TOKEN: "", Forgery.WRONG_TOKEN: "0" * 64, Forgery.OTHERS_TOKEN: others}
        given = {"form_token": tokens[forgery]} if forgery in tokens else {}
        headers = FORGED_HEADERS.get(forgery, {"Origin": browser.origin})
        return browser.post(page.path, headers=headers, **{**page.fields, **given})


@pytest.fixture
def world(app: Flask, service: ServiceFiles, auth: Auth, github: GitHub, host: Host) -> World:
    """A private service with two deployments, and everyone's browser."""
    service("shop", branches=["main"], supersede=False)
    sync(app)
    github.push(before=sha(6), after=sha(1), pushed_at=SOON - 1)
    host.begin(BEFORE)
    host.end(BEFORE)
    github.push(guid="g-1")
    host.begin(ENDED)
    host.end(ENDED)
    github.push(after=sha(3))
    auth.service("shop")
    user_of("viewer", name="helper")
    browsers = {who: Browser(app) for who in Who}
    for who in READERS:
        browsers[who].signed_in(who.value)
    browsers[Who.GARBAGE].show("x" * 43)
    browsers[Who.EXPIRED].signed_in("admin", now=clock.now() - sessions.LIFE)
    browsers[Who.ENDED].signed_in("admin", now=clock.now())
    newest = sessions.of_user(user_of("admin"), now=clock.now())[0]
    assert store.write(lambda: sessions.end(user_of("admin"), newest.id, now=clock.now()))
    token = auth("admin")
    browsers[Who.TOKEN_COOKIE].show(token["Authorization"].removeprefix("Bearer "))
    return World(browsers, {Who.TOKEN: token})


GUARDS: Final = ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy")


def by_name(page: Page) -> str:
    """What a page is called in a test's name."""
    return page.name


def test_every_page_is_in_the_table(app: Flask) -> None:
    """A new page fails here until it is said who may see it; others are in `test_access` and `test_sockets`."""
    there = {
        f"{method} {re.sub('<[^<>:]+:', '<', rule.rule)}"
        for rule in app.url_map.iter_rules()
        if operations.of(app.view_functions[rule.endpoint]) is None and not rule.websocket
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {page.name for page in PAGES} == there


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_everyone_is_answered_as_they_may(world: World, page: Page) -> None:
    """Visitors are asked to sign in, or told that nothing was done; users get 403, or what they asked for."""
    refused = [who for who in Who if who not in page.who]
    some = page.who if page.method == "GET" else page.who[:1]

    answered = {who: world.call(who, page) for who in [*refused, *some]}

    assert {who: page.expected(who) for who in answered} == {who: each.status_code for who, each in answered.items()}
    for who, answer in answered.items():
        if answer.status_code == 303 and who in STRANGERS and who not in page.who:
            assert f"/login?next={page.path}" == unquote(answer.location)


@pytest.mark.parametrize("who", list(Who))
def test_whoever_may_send_a_form_can(world: World, who: Who) -> None:
    """Each of those who may, each on what nobody has touched before."""
    answered = {}
    for page in FORMS:
        if who in READERS:
            world.browsers[who].signed_in(who.value)  # the form before may have ended the session
        answered[page.name] = world.call(who, page).status_code

    assert {page.name: page.expected(who) for page in FORMS} == answered


@pytest.mark.parametrize("page", FORMS, ids=by_name)
def test_no_form_is_taken_that_is_not_ours(world: World, page: Page) -> None:
    """403 to an admin's own browser, whatever page made it send the form."""
    answered = {forgery: world.forge(page, forgery).status_code for forgery in Forgery}

    assert dict.fromkeys(Forgery, 403) == answered


@pytest.mark.parametrize("page", [page for page in PAGES if page.method == "GET"], ids=by_name)
def test_asking_for_the_head_alone_opens_nothing(world: World, page: Page) -> None:
    """HEAD is answered as GET is, without a body."""
    answered = {who: world.call(who, page, method="HEAD") for who in Who}

    assert {who: page.expected(who) for who in Who} == {who: each.status_code for who, each in answered.items()}
    assert {b""} == {each.data for each in answered.values()}


def test_only_those_who_may_learn_that_something_is_missing(world: World) -> None:
    """404 to whom the kind is open; to everyone else as if it were there."""
    for page in [page for page in PAGES if page.missing]:
        answered = {who: world.call(who, page, path=page.missing).status_code for who in Who}

        assert {who: 404 if who in page.who else page.expected(who) for who in Who} == answered, page.name


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_answer_is_guarded(world: World, page: Page) -> None:
    """No foreign script, frame, form, opener or sniffing; and nothing of it stays in a cache."""
    for who in (Who.VISITOR, Who.VIEWER, Who.ADMIN):
        headers = world.call(who, page).headers

        picture = page.rule.startswith("/badges/")
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") or picture
        assert policy.endswith("; require-trusted-types-for 'script'; trusted-types fastdeploy") or picture
        guards = [headers[name] for name in GUARDS]
        assert ["nosniff", "DENY", "same-origin", "same-origin"] == guards
        assert ("cross-origin" if picture and who is Who.VISITOR else "same-origin") == headers[
            "Cross-Origin-Resource-Policy"
        ]
        assert "camera=()" in headers["Permissions-Policy"]
        kept = page.rule.startswith("/static/") or (picture and who is Who.VISITOR)
        assert kept or headers["Cache-Control"] == "no-store"
