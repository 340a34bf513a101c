"""Access: every route for programs against everyone who might call it; pages are in `test_page_access`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import described
from callers import (
    KEY,
    SECRET,
    SOON,
    Auth,
    GitHub,
    Host,
    ServiceFiles,
    bearer,
    document,
    expire,
    issue_for_service,
    revoke,
    sha,
    sync,
    user_of,
)
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import sessions, tokens
from fastdeploy_bot.forge.github import signatures
from fastdeploy_bot.web import operations


class Who(StrEnum):
    """Everyone who might call."""

    NOBODY = "nobody"
    OTHER_SCHEME = "basic authentication"
    EMPTY = "an empty token"
    GARBAGE = "a guessed token"
    FORGED = "a deployment token signed with another key"
    UNSIGNED = "a deployment token without a signature"
    EXPIRED = "an expired token"
    REVOKED = "a revoked token"
    COOKIE = "an admin's token in a cookie"
    SESSION = "an admin's session"
    QUERY = "an admin's token in the address"
    VIEWER = "viewer"
    DEPLOYER = "deployer"
    ADMIN = "admin"
    SERVICE = "the service's token"
    OTHER_SERVICE = "another service's token"
    DEPLOYMENT = "the deployment's token"
    OTHER_DEPLOYMENT = "another deployment's token"
    FINISHED = "a finished deployment's token"


STRANGERS: Final = frozenset(list(Who)[: list(Who).index(Who.VIEWER)])
"""Nobody of these has shown a valid token."""
READERS: Final = (Who.VIEWER, Who.DEPLOYER, Who.ADMIN)
DEPLOYERS: Final = (Who.DEPLOYER, Who.ADMIN)
SERVICES: Final = (Who.SERVICE, Who.OTHER_SERVICE)

BEFORE, FINISHED, RUNNING, OTHERS, QUEUED = 1, 2, 3, 4, 5
"""The deployments that there are: of shop, but for one other's; the first two have succeeded."""


@dataclass(frozen=True)
class Route:
    """A route, how it is called with an object that exists, and who may."""

    method: str
    rule: str
    path: str
    status: int
    """For those who may."""
    who: Sequence[Who]
    body: Any = None
    missing: str = ""
    """The same route for an object that does not exist, where it names one in its path."""

    @property
    def name(self) -> str:
        """What the route is called in a test's name."""
        return f"{self.method} {self.rule}"

    def expected(self, who: Who) -> int:
        """The status that somebody is owed."""
        if who in self.who:
            return self.status
        return 401 if who in STRANGERS else 403


V1: Final = "/api/v1"
WISH: Final = {"service": "shop", "sha": sha(9), "ref": "main"}
STEP: Final = {"name": "Build", "state": "running"}

ROUTES: Final = [
    Route("GET", "/healthz", "/healthz", 200, list(Who)),
    Route("GET", "/readyz", "/readyz", 200, list(Who)),
    Route("GET", "/metrics", "/metrics", 200, list(Who)),  # from this host; test_metrics.py knows the others
    Route("GET", "/api/openapi.json", "/api/openapi.json", 200, list(Who)),
    Route("GET", "/api/docs", "/api/docs", 200, list(Who)),
    Route("POST", "/webhooks/github", "/webhooks/github", 202, list(Who)),
    Route("POST", f"{V1}/token", f"{V1}/token", 422, list(Who), body={}),
    Route("GET", f"{V1}/services", f"{V1}/services", 200, [*READERS, *SERVICES]),
    Route(
        "GET",
        f"{V1}/services/<name>",
        f"{V1}/services/shop",
        200,
        [*READERS, Who.SERVICE],
        missing=f"{V1}/services/none",
    ),
    Route("POST", f"{V1}/services/sync", f"{V1}/services/sync", 200, [Who.ADMIN]),
    Route(
        "GET",
        f"{V1}/services/<name>/tokens",
        f"{V1}/services/shop/tokens",
        200,
        [Who.ADMIN],
        missing=f"{V1}/services/none/tokens",
    ),
    Route(
        "POST",
        f"{V1}/services/<name>/tokens",
        f"{V1}/services/shop/tokens",
        201,
        [Who.ADMIN],
        body={"days": 1},
        missing=f"{V1}/services/none/tokens",
    ),
    Route(
        "DELETE",
        f"{V1}/services/<name>/tokens/<id>",
        f"{V1}/services/shop/tokens/1",
        204,
        [Who.ADMIN],
        missing=f"{V1}/services/shop/tokens/99",
    ),
    Route(
        "POST",
        f"{V1}/services/<name>/lock",
        f"{V1}/services/shop/lock",
        200,
        DEPLOYERS,
        body={"reason": "freeze"},
        missing=f"{V1}/services/none/lock",
    ),
    Route(
        "DELETE",
        f"{V1}/services/<name>/lock",
        f"{V1}/services/shop/lock",
        204,
        DEPLOYERS,
        missing=f"{V1}/services/none/lock",
    ),
    Route("POST", f"{V1}/deployments", f"{V1}/deployments", 201, [*DEPLOYERS, Who.SERVICE], body=WISH),
    Route("GET", f"{V1}/deployments", f"{V1}/deployments", 200, [*READERS, *SERVICES]),
    Route(
        "GET",
        f"{V1}/deployments/<id>",
        f"{V1}/deployments/{RUNNING}",
        200,
        [*READERS, Who.SERVICE],
        missing=f"{V1}/deployments/99",
    ),
    Route(
        "GET",
        f"{V1}/deployments/<id>/log",
        f"{V1}/deployments/{RUNNING}/log",
        200,
        [*READERS, Who.SERVICE],
        missing=f"{V1}/deployments/99/log",
    ),
    Route(
        "POST",
        f"{V1}/deployments/<id>/cancel",
        f"{V1}/deployments/{QUEUED}/cancel",
        202,
        DEPLOYERS,
        missing=f"{V1}/deployments/99/cancel",
    ),
    Route(
        "POST",
        f"{V1}/deployments/<id>/retry",
        f"{V1}/deployments/{FINISHED}/retry",
        201,
        DEPLOYERS,
        missing=f"{V1}/deployments/99/retry",
    ),
    Route(
        "POST",
        f"{V1}/deployments/<id>/steps",
        f"{V1}/deployments/{RUNNING}/steps",
        200,
        [Who.DEPLOYMENT],
        body=STEP,
    ),
    Route(
        "POST",
        f"{V1}/deployments/<id>/finish",
        f"{V1}/deployments/{RUNNING}/finish",
        200,
        [Who.DEPLOYMENT],
        body={"state": "success"},
    ),
    Route("GET", f"{V1}/events", f"{V1}/events", 200, READERS),
    Route("GET", f"{V1}/deliveries", f"{V1}/deliveries", 200, READERS),
    Route("GET", f"{V1}/deliveries/<guid>", f"{V1}/deliveries/g-1", 200, READERS, missing=f"{V1}/deliveries/none"),
    Route(
        "POST",
        f"{V1}/deliveries/<guid>/replay",
        f"{V1}/deliveries/g-1/replay",
        202,
        DEPLOYERS,
        missing=f"{V1}/deliveries/none/replay",
    ),
    Route(  # the last one: it cancels what is queued
        "POST",
        f"{V1}/services/<name>/rollback",
        f"{V1}/services/shop/rollback",
        201,
        DEPLOYERS,
        body={"to": BEFORE},
        missing=f"{V1}/services/none/rollback",
    ),
]


@dataclass(frozen=True)
class World:
    """A bot with something of everything, and everyone's way to call it."""

    client: FlaskClient
    headers: Mapping[Who, Mapping[str, str]]
    cookies: Mapping[Who, str]

    def call(self, who: Who, route: Route, *, path: str = "", method: str = "") -> TestResponse:
        """Call a route as somebody."""
        body = document(after=sha(5)) if route.rule == "/webhooks/github" else None
        signed = {"X-Hub-Signature-256": signatures.sign(SECRET, body)} if body else {}
        event = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "g-9", "Content-Type": "application/json"}
        sent = {**self.headers[who], **(event if body else {}), **signed}
        admin = self.headers[Who.ADMIN]["Authorization"].removeprefix("Bearer ")
        self.client.delete_cookie("fastdeploy")
        if who in self.cookies:
            self.client.set_cookie("fastdeploy", self.cookies[who])
        query = {"access_token": admin, "token": admin} if who is Who.QUERY else {}
        extra: dict[str, Any] = {"data": body} if body else {"json": route.body}
        return self.client.open(
            path or route.path, method=method or route.method, headers=sent, query_string=query, **extra
        )


@pytest.fixture
def world(app: Flask, client: FlaskClient, github: GitHub, service: ServiceFiles, auth: Auth, host: Host) -> World:
    """Two services, a delivery, and deployments in every kind of state."""
    service("shop", branches=["main"], supersede=False)
    service("other", repository="octo-org/other")
    sync(app)
    headers: dict[Who, Mapping[str, str]] = {Who.SERVICE: auth.service("shop")}
    github.push(before=sha(6), after=sha(1), pushed_at=SOON - 1)
    host.begin(BEFORE)
    host.end(BEFORE)
    github.push(guid="g-1")
    headers[Who.FINISHED] = host.begin(FINISHED)
    host.end(FINISHED)
    github.push(after=sha(3))
    headers[Who.DEPLOYMENT] = host.begin(RUNNING, definition={"finish": "report"})
    github.push(repository="octo-org/other", repository_id=2)
    headers[Who.OTHER_DEPLOYMENT] = host.begin(OTHERS)
    github.push(after=sha(4))
    headers |= {role: auth(role.value) for role in READERS}
    headers |= strangers() | {Who.OTHER_SERVICE: auth.service("other")}
    admin = headers[Who.ADMIN]["Authorization"].removeprefix("Bearer ")
    session = store.write(lambda: sessions.begin(user_of("admin"), peer="", agent="", now=clock.now()))
    return World(client, headers, {Who.COOKIE: admin, Who.SESSION: session.cookie})


def strangers() -> dict[Who, Mapping[str, str]]:
    """Those who show nothing valid."""
    expired, revoked = issue_for_service("shop"), issue_for_service("shop")
    expire(expired)
    revoke(revoked)
    forged = tokens.for_deployment(RUNNING, f"run-{RUNNING}", key="x" * 64)
    genuine = tokens.for_deployment(RUNNING, f"run-{RUNNING}", key=KEY)
    return {
        Who.NOBODY: {},
        Who.OTHER_SCHEME: {"Authorization": "Basic YTpi"},
        Who.EMPTY: {"Authorization": "Bearer "},
        Who.GARBAGE: bearer("fds_" + "x" * 43),
        Who.FORGED: bearer(forged),
        Who.UNSIGNED: bearer(genuine.rpartition(".")[0] + "."),
        Who.EXPIRED: bearer(expired),
        Who.REVOKED: bearer(revoked),
        Who.COOKIE: {},
        Who.SESSION: {},
        Who.QUERY: {},
    }


def by_name(route: Route) -> str:
    """What a route is called in a test's name."""
    return route.name


def test_every_route_is_in_the_table(app: Flask) -> None:
    """A new route fails here until it is said who may call it."""
    there = {
        f"{method} {re.sub('<[^<>:]+:', '<', rule.rule)}"
        for rule in app.url_map.iter_rules()
        if operations.of(app.view_functions[rule.endpoint]) is not None
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {route.name for route in ROUTES} == there


def test_the_document_says_who_may() -> None:
    """OpenAPI's security of each operation is what this table says and the other tests prove."""
    kinds = {Who.SERVICE: "service", Who.DEPLOYMENT: "deployment"}

    for route in [route for route in ROUTES if described.operation(route.method, route.rule)]:
        told = described.operation(route.method, route.rule)["security"]
        roles = [READERS.index(Who(each["user"][0])) for each in told if "user" in each]
        named = {who for who, kind in kinds.items() if {kind: []} in told}
        open_to_all = told in ([], [{"webhook": []}], [{"metrics": []}, {}])
        allowed = set(Who) if open_to_all else {*named, *(READERS[roles[0] :] if roles else ())}

        assert set(route.who) - {Who.OTHER_SERVICE} == allowed - {Who.OTHER_SERVICE}, route.name


@pytest.mark.parametrize("route", ROUTES, ids=by_name)
def test_everyone_is_answered_as_they_may(world: World, route: Route) -> None:
    """401 without a valid token, 403 with one that may not, else what was asked for."""
    refused = [who for who in Who if who not in route.who]
    reading = route.method == "GET"

    answered = {who: world.call(who, route) for who in [*refused, *route.who[:1]]}
    answered |= {who: world.call(who, route) for who in (route.who[1:] if reading else ())}

    assert {who: route.expected(who) for who in answered} == {who: each.status_code for who, each in answered.items()}


@pytest.mark.parametrize("who", list(Who))
def test_whoever_may_write_can(world: World, who: Who) -> None:
    """Each of those who may, each on what nobody has touched before."""
    writing = [route for route in ROUTES if route.method != "GET"]

    assert {route.name: route.expected(who) for route in writing} == {
        route.name: world.call(who, route).status_code for route in writing
    }


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=by_name)
def test_asking_for_the_head_alone_opens_nothing(world: World, route: Route) -> None:
    """HEAD is answered as GET is, without a body."""
    answered = {who: world.call(who, route, method="HEAD") for who in Who}

    assert {who: route.expected(who) for who in Who} == {who: each.status_code for who, each in answered.items()}
    assert {b""} == {each.data for each in answered.values()}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.missing], ids=by_name)
def test_only_those_who_may_learn_that_something_is_missing(world: World, route: Route) -> None:
    """404 to whom the kind is open; 403 to everyone else, as if it were there."""
    open_to = {who for who in route.who if who in READERS}

    answered = {who: world.call(who, route, path=route.missing).status_code for who in Who}

    assert {who: 404 if who in open_to else 401 if who in STRANGERS else 403 for who in Who} == answered


@pytest.mark.parametrize("route", ROUTES, ids=by_name)
def test_refusals_are_problems_that_say_how_to_sign_in(world: World, route: Route) -> None:
    """RFC 9457 bodies; with a 401 the scheme that is expected."""
    for who in (Who.NOBODY, Who.OTHER_SERVICE):
        answer = world.call(who, route)
        if answer.status_code in (401, 403):
            assert "application/problem+json" == answer.mimetype
            assert (answer.status_code == 401) == ("Bearer" in answer.headers.get("WWW-Authenticate", ""))


def test_another_services_token_sees_its_own_only(world: World) -> None:
    """Lists show what the token's service has; asking for another one's is refused."""
    headers = world.headers[Who.OTHER_SERVICE]

    services = world.client.get(f"{V1}/services", headers=headers).get_json()["items"]
    deployments = world.client.get(f"{V1}/deployments", headers=headers).get_json()["items"]
    foreign = world.client.get(f"{V1}/deployments?service=shop", headers=headers)

    assert ["other"] == [each["name"] for each in services]
    assert [OTHERS] == [each["id"] for each in deployments]
    assert 403 == foreign.status_code


@pytest.mark.parametrize("body", [STEP, {"name": "Build", "state": "success"}])
def test_a_deployment_token_dies_with_its_deployment(world: World, host: Host, body: dict[str, str]) -> None:
    """Valid exactly while the row is running."""
    path = f"{V1}/deployments/{RUNNING}/steps"
    headers = world.headers[Who.DEPLOYMENT]
    assert 200 == world.client.post(path, json=body, headers=headers).status_code

    host.end(RUNNING)

    assert 403 == world.client.post(path, json=body, headers=headers).status_code


def test_a_token_dies_when_it_is_revoked(world: World) -> None:
    """At once: the row decides."""
    headers = world.headers[Who.SERVICE]
    assert 200 == world.client.get(f"{V1}/services", headers=headers).status_code

    world.client.delete(f"{V1}/services/shop/tokens/1", headers=world.headers[Who.ADMIN])

    assert 401 == world.client.get(f"{V1}/services", headers=headers).status_code


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_schemes_case_does_not_matter(world: World, scheme: str) -> None:
    """RFC 9110: the name of an authentication scheme is compared without case."""
    token = world.headers[Who.VIEWER]["Authorization"].partition(" ")[2]

    assert 200 == world.client.get(f"{V1}/services", headers={"Authorization": f"{scheme} {token}"}).status_code
