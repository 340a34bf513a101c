"""Visitors: what those see who have not signed in, on every page, by visibility, and of what exists or not."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from callers import SOON, Auth, Browser, GitHub, Host, ServiceFiles, main_of, sha, sync
from fastdeploy_bot import store
from fastdeploy_bot.core import logs
from fastdeploy_bot.core.servicefile import Visibility
from fastdeploy_bot.words import DeploymentState
from reading import queries
from test_page_access import PAGES, Page, Who, by_name

ACTOR, REASON, WHY = "annaperson", "freezereason", "endreason"
TITLE, STEP, OUTPUT = "Fix the titlefeed", "Migratestep", "outputline"
NEVER: Final = (ACTOR, REASON, WHY, Host.name, "shop.example", "g-1", "<form method", "form_token", "127.0.0.1</")
"""What no visitor ever sees: people, reasons, hosts, deliveries, senders, buttons."""
COMMITS: Final = (sha(2)[:7], TITLE, STEP, OUTPUT, "refs/heads", "octo-org", "exit status")
"""What visitors see of public services alone."""

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
