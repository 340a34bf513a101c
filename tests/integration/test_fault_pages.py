"""Pages of errors: every status looks like the rest of the house, says what to do, and never echoes markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from flask import Flask
from flask.testing import FlaskClient
from peewee import OperationalError
from werkzeug.exceptions import abort
from werkzeug.test import TestResponse

from callers import Browser, is_problem
from fastdeploy_bot.errors import FastdeployError, TooMany, Unavailable
from fastdeploy_bot.store.models import proxy
from fastdeploy_bot.web.drawing import faults

HTML: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
STATUSES: Final = (400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 502, 503)


def read(answer: TestResponse) -> str:
    """A page's text as it is read."""
    body = re.sub(r"<[^>]*>", " ", answer.text.partition("<main")[2].partition(">")[2])
    return " ".join(html.unescape(body).split())


@pytest.fixture
def failing(app: Flask) -> FlaskClient:
    """Somebody who asks for an error by its status."""

    def fail(status: int) -> str:
        if status == 429:
            raise TooMany("ten times in a minute", retry_after=42)
        if status == 503:
            raise Unavailable("the disk is full")
        if status == 500:
            raise RuntimeError("the secret key")
        abort(status)

    app.add_url_rule("/fail/<int:status>", "fail", fail)
    return app.test_client()


@pytest.fixture
def away(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A database that is away; what it was asked for meanwhile."""
    asked: list[str] = []
    assert app is not None

    def refuse(sql: str, *_: Any, **__: Any) -> Any:  # peewee's own signature
        asked.append(sql)
        raise OperationalError("could not connect to server at db.internal")

    with monkeypatch.context() as patch:
        patch.setattr(proxy.obj, "execute_sql", refuse)
        yield asked


@pytest.mark.parametrize("status", STATUSES)
def test_an_error_is_told_on_a_page_of_the_house(failing: FlaskClient, status: int) -> None:
    """Its title, one sentence of advice, and a way on."""
    answer = failing.get(f"/fail/{status}", headers=HTML)

    shown = read(answer)
    assert (status, "text/html") == (answer.status_code, answer.mimetype)
    assert '<a class="home" href="/">' in answer.text
    assert "To the overview" in shown
    assert str(status) in shown
    words = faults.WORDS[status]
    assert words.advice in shown
    assert status not in faults.PROGRAMS_WORDS or words.title in shown
    assert "the secret key" not in answer.text


@pytest.mark.parametrize("status", STATUSES)
def test_programs_are_told_the_same_as_a_problem(failing: FlaskClient, status: int) -> None:
    """RFC 9457, unless they want HTML before anything else."""
    assert is_problem(failing.get(f"/fail/{status}"), status)


def test_who_tried_too_often_is_told_how_long_to_wait(failing: FlaskClient) -> None:
    """On the page as in `Retry-After`."""
    answer = failing.get("/fail/429", headers=HTML)

    assert "Ten times in a minute. Wait, and try again in 42 seconds." in read(answer)
    assert "42" == answer.headers["Retry-After"]


def test_a_fault_tells_the_number_by_which_the_log_knows_it(failing: FlaskClient) -> None:
    """And nothing of what happened."""
    answer = failing.get("/fail/500", headers=HTML)

    assert f"500, request {answer.headers['X-Request-Id']}" in read(answer)


def test_who_has_to_sign_in_is_led_there(failing: FlaskClient) -> None:
    """By a button."""
    assert '<a class="button" href="/login?next=/fail/401">Sign in</a>' in failing.get("/fail/401", headers=HTML).text


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/<script>alert(1)</script>", "There is nothing at /<script>alert(1)</script>."),
        ("/%22%3E%3Cimg src=x onerror=alert(1)%3E", 'There is nothing at /"><img src=x onerror=alert(1)>.'),
        ("/a%00b%1b[31m%e2%80%aec%ff", "There is nothing at /a\ufffdb\ufffd[31m\ufffdc\ufffd."),
        ("/{{7*7}}", "There is nothing at /{{7*7}}."),
        (f"/{'x' * 2_000}", "xx …"),
    ],
)
def test_an_address_is_shown_as_text(client: FlaskClient, path: str, shown: str) -> None:
    """Without what turns its direction or ends it early."""
    answer = client.get(path, headers=HTML)

    assert 404 == answer.status_code
    assert shown in read_marked(answer)
    assert not re.search("[\0\x1b\u202e]", answer.text)


def read_marked(answer: TestResponse) -> str:
    """The reason on a page, as it is read."""
    found = re.search("<bdi>(.*?)</bdi>", answer.text)
    assert found, answer.text
    return html.unescape(found[1])


def test_a_wrong_method_says_which_are_right(client: FlaskClient) -> None:
    """405 with Allow, on a page as well."""
    answer = client.put("/login", headers=HTML | {"Origin": "http://localhost"})

    assert 405 == answer.status_code
    assert {"GET", "POST"} <= set(re.split(r",\s*", answer.headers["Allow"]))
    assert faults.WORDS[405].title in read(answer)


@pytest.mark.parametrize("path", ["/", "/services/shop", "/deployments/1", "/settings/tokens", "/badges/shop.svg"])
def test_a_page_tells_of_a_database_that_is_away(app: Flask, away: list[str], path: str) -> None:
    """In the house's look, without a name, and without asking it again and again."""
    browser = Browser(app)
    browser.show("x" * 43)

    answer = browser.get(path, headers=HTML)

    assert (503, "5") == (answer.status_code, answer.headers["Retry-After"])
    assert "The database is not available" in read(answer)
    assert "Try again in 5 seconds." in read(answer)
    assert "sign in" in answer.text
    assert "db.internal" not in answer.text
    assert len(away) <= 2
    assert is_problem(browser.get(path), 503)


def test_every_error_of_ours_has_words() -> None:
    """So that none falls back to what fits all."""
    kinds = [FastdeployError]
    for kind in kinds:
        kinds += kind.__subclasses__()

    assert set(STATUSES) == set(faults.WORDS)
    assert [] == [kind for kind in kinds if kind.status not in faults.WORDS]
