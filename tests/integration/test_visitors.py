"""Visitors: what those see who have not signed in, on every page, by visibility, and of what exists or not."""

from __future__ import annotations

import html
import re
from functools import partial
from typing import Final

import msgspec
import pytest
from flask import Flask
from flask.ctx import AppContext
from werkzeug.test import TestResponse

from callers import SOON, Auth, Browser, GitHub, Host, ServiceFiles, main_of, on_sqlite, sha, sync
from fastdeploy_bot import store
from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.store.models import Deployment, Service, Step
from fastdeploy_bot.web import cloaks
from fastdeploy_bot.web.context import EXTENSION
from fastdeploy_bot.words import DeploymentState
from reading import queries
from test_page_access import PAGES, Page, Who, by_name

ACTOR, REASON, WHY = "annaperson", "freezereason", "endreason"
TITLE, STEP, OUTPUT = "Fix the titlefeed", "Migratestep", "outputline"
NEVER: Final = (ACTOR, REASON, WHY, Host.name, "shop.example", "g-1", "<form method", "form_token", "127.0.0.1</")
"""What no visitor ever sees: people, reasons, hosts, deliveries, senders, buttons."""
COMMITS: Final = (sha(2)[:7], TITLE, STEP, OUTPUT, "refs/heads", "octo-org", "exit status")
"""What visitors see of public services alone."""

NUMBERS: Final = {"shop": 987_654_000, "docs": 876_543_000}
"""The first deployments of services whose numbers cannot be taken for something else."""

READ: Final = [page for page in PAGES if page.method == "GET"]
FOR_ALL: Final = {page.rule: page.status for page in READ if Who.VISITOR in page.who} | {"/badges/<name>.svg": 404}
GLANCED: Final = {"/": 200, "/services/<name>": 200, "/services/<name>.atom": 200, "/badges/<name>.svg": 200}
READABLE: Final = {"/deployments/<id>": 200, "/deployments/<id>/lines": 200, "/deployments/<id>/log": 200}
OPEN: Final = {
    Visibility.PRIVATE: FOR_ALL,
    Visibility.STATUS: FOR_ALL | GLANCED,
    Visibility.PUBLIC: FOR_ALL | GLANCED | READABLE,
}
"""What each visibility opens to visitors; all else leads to the sign-in."""


@pytest.fixture
def visitor(
    app: Flask, service: ServiceFiles, github: GitHub, host: Host, auth: Auth, visibility: Visibility
) -> Browser:
    """Somebody who has not signed in, where a service has a past, a failure, a lock and a queue."""
    service("shop", branches=["main"], visibility=visibility, url="https://shop.example", supersede=False)
    sync(app)
    client = app.test_client()
    push = partial(github.push, title=TITLE, actor=ACTOR)
    for number in (1, 2):
        push(guid=f"g-{number}", before=sha(number), after=sha(number + 1), pushed_at=SOON + number)
        script = host.begin(number, steps=[STEP])
        report = {"name": STEP, "state": "running", "message": "m"}
        assert 200 == client.post(f"/api/v1/deployments/{number}/steps", json=report, headers=script).status_code
        store.write(partial(logs.append, number, 0, f"{OUTPUT}\n".encode(), limit=1 << 20))
        host.end(number, DeploymentState.FAILURE, exit_status=3, reason=WHY)
    client.post("/api/v1/services/shop/lock", json={"reason": REASON}, headers=auth("deployer"))
    push(before=sha(3), after=sha(4), pushed_at=SOON + 3)
    return Browser(app)


def alike(answer: TestResponse, path: str) -> tuple[object, ...]:
    """What can be told of an answer, but for the address that was asked for and the request's own id."""
    headers = {name: value.replace(path, "") for name, value in answer.headers.items()}
    return answer.status_code, answer.text.replace(path, ""), headers | {"X-Request-Id": "", "Date": ""}


@pytest.mark.parametrize("visibility", list(Visibility))
@pytest.mark.parametrize("page", READ, ids=by_name)
def test_a_visitor_sees_what_the_visibility_allows(visitor: Browser, page: Page, visibility: Visibility) -> None:
    """And never a person, a reason, a host, a delivery or a button."""
    answer = visitor.get(page.path)

    assert OPEN[visibility].get(page.rule, 303) == answer.status_code
    if not page.rule.startswith(("/static/", "/login", "/session")):
        shown = main_of(answer) or answer.text
        assert [] == [word for word in NEVER if word in shown]
        assert visibility is Visibility.PUBLIC or [] == [word for word in COMMITS if word in shown]


@pytest.mark.parametrize("visibility", [Visibility.PUBLIC])
def test_a_visitor_sees_all_of_a_deployment_that_is_public(visitor: Browser) -> None:
    """Commits, steps and logs."""
    shown = visitor.get("/deployments/2").text

    assert [] == [word for word in (sha(3)[:7], TITLE, STEP, OUTPUT, "exit status 3") if word not in shown]


@pytest.mark.parametrize("visibility", list(Visibility))
@pytest.mark.parametrize("page", [page for page in READ if page.missing], ids=by_name)
def test_what_a_visitor_may_not_see_is_answered_as_what_is_missing(
    visitor: Browser, page: Page, visibility: Visibility
) -> None:
    """The same status, headers and text, after the same questions to the database: nobody can tell by the time."""
    visitor.get(page.missing)  # whatever is done once was done
    with queries() as asked:
        missing = visitor.get(page.missing)
    with queries() as asked_too:
        there = visitor.get(page.path)

    if OPEN[visibility].get(page.rule) == 200:
        assert 200 == there.status_code
        assert missing.status_code in (303, 404)
    else:
        assert alike(missing, page.missing) == alike(there, page.path)
        assert asked == asked_too


@pytest.mark.parametrize("visibility", list(Visibility))
def test_a_visitor_can_do_nothing(visitor: Browser, visibility: Visibility) -> None:
    """Whatever they may see; each form but that of the sign-in is refused, whether its thing exists or not."""
    assert visibility in OPEN
    forms = [page for page in PAGES if page.method == "POST" and Who.VISITOR not in page.who]

    sent = {"Origin": visitor.origin}
    answered = {page.name: visitor.post(page.path, headers=sent, **page.fields).status_code for page in forms}
    missing = {page.name: visitor.post(page.missing, headers=sent).status_code for page in forms if page.missing}

    assert dict.fromkeys(answered, 401) == answered
    assert dict.fromkeys(missing, 401) == missing


# --- numbers


@pytest.fixture
def numbered(app: Flask, service: ServiceFiles) -> list[int]:
    """A service that shows its state and another that is public, with deployments whose numbers cannot be mistaken."""
    service("shop", visibility="status")
    service("docs", visibility="public")
    sync(app)
    facts = {"origin": "push", "ref": "refs/heads/main", "repository": "octo-org/shop", "actor": ACTOR}
    states = [*["success"] * 24, "failure", "running", "queued", "waiting"]

    def write() -> list[int]:
        for row in Service.select():
            first = NUMBERS[row.name]
            for number, state in enumerate(states, first):
                begun = None if state in {"queued", "waiting"} else SOON
                ended = None if state == "running" else begun
                own = {"sha": sha(number - first + 1), "created": SOON, "started": begun, "finished": ended}
                Deployment.create(id=number, service=row, state=state, **facts, **own)
            running = Deployment.get(Deployment.service == row, Deployment.state == "running")
            Step.create(deployment=running, name=STEP, position=1, state="running", started=SOON)
        return list(range(NUMBERS["shop"], NUMBERS["shop"] + len(states)))

    return store.write(write)


@on_sqlite  # PostgreSQL lets nobody choose numbers
def test_who_sees_a_state_alone_learns_no_number(app: Flask, numbered: list[int]) -> None:
    """Not from all that is sent, nor by asking for what was before a number: it counts the deployments of everybody."""
    visitor, regions = Browser(app), {"Live-Regions": "visitor"}
    paths = ["/", "/?q=shop", "/services/shop", "/services/shop.atom", "/badges/shop.svg"]
    shown: list[str] = []

    for path in ("/", "/?q=shop", "/services/shop"):
        while path:
            answer = visitor.get(path)
            shown += [f"{answer.headers}{answer.text}", visitor.get(path, headers=regions).text]
            older = re.search(r'href="([^"]*before=[^"]*)"', answer.text)
            path = html.unescape(older[1]) if older else ""
    shown += [visitor.get(path).text for path in paths]

    assert not [text for text in shown if str(NUMBERS["shop"])[:6] in text]
    rows = re.findall(r'<tr id="run-([^"]+)"', "".join(shown))
    assert len(set(rows)) == 2 * len(numbered), "each is shown, known again, and no other's"
    assert str(NUMBERS["docs"]) in rows
    for path in paths[:3]:
        separator = "&" if "?" in path else "?"
        for guess in (numbered[3], "A" * 32, "é" * 32, ""):
            assert 422 == visitor.get(f"{path}{separator}before={guess}").status_code


@on_sqlite  # PostgreSQL lets nobody choose numbers
def test_users_go_on_by_numbers(app: Flask, numbered: list[int]) -> None:
    """As they see them anyway."""
    viewer = Browser(app).signed_in("viewer")

    assert f'href="/services/shop?before={numbered[-20]}"' in viewer.get("/services/shop").text
    assert f'id="run-{numbered[-20]}"' in viewer.get("/services/shop").text


def test_a_place_is_found_after_the_key_was_changed(app: Flask) -> None:
    """By a fallback, as long as there is one."""
    bot = app.extensions[EXTENSION]

    def keyed(key: str, *fallbacks: str) -> AppContext:
        settings = msgspec.structs.replace(bot.settings, secret_key=key * 32, secret_key_fallbacks=fallbacks)
        app.extensions[EXTENSION] = msgspec.structs.replace(bot, settings=settings)
        return app.app_context()

    with keyed("o"):
        place = cloaks.cloak(7)
        assert (place, 7) == (cloaks.cloak(7), cloaks.uncloak(place))
    with keyed("n", "o" * 32):
        assert place != cloaks.cloak(7)
        assert 7 == cloaks.uncloak(place)
    with keyed("n"):
        assert cloaks.uncloak(place) is None
