"""Tokens: made, shown once, listed without their texts, and ended."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash

from callers import Auth, ServiceFiles, bearer, expire, is_problem, sync
from databases import Raw
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.store.models import Token, User

V1 = "/api/v1"
V1 = "/api/v1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def shop(service: ServiceFiles, app: Flask) -> ServiceFiles:
    """A service that the bot knows."""
    service("shop", description="The web shop", supersede=False)
    sync(app)
    return service


@pytest.fixture
def octocat() -> None:
    """A user with a password."""
    hashed = generate_password_hash(PASSWORD, method="pbkdf2:sha256:1000")
    store.write(lambda: User.create(username="octocat", password=hashed, role="deployer", created=0))


@pytest.mark.usefixtures("octocat")
def test_a_user_signs_in(client: FlaskClient) -> None:
    """A token for twelve hours, with the rights of the user's role."""
    before = clock.now()

    response = client.post(f"{V1}/token", json={"username": "octocat", "password": PASSWORD})

    told = response.get_json()
    assert 200 == response.status_code
    assert {"token", "expires"} == told.keys()
    assert told["token"].startswith("fdu_")
    assert TIME.fullmatch(told["expires"])
    assert (clock.text(before + tokens.USER_LIFE) or "") <= told["expires"]
    assert 200 == client.get(f"{V1}/deployments", headers=bearer(told["token"])).status_code


@pytest.mark.usefixtures("octocat")
def test_a_wrong_name_and_a_wrong_password_look_alike(client: FlaskClient) -> None:
    """401 with the same words: nobody learns who exists."""
    answers = [
        client.post(f"{V1}/token", json={"username": name, "password": word})
        for name, word in [("octocat", "wrong"), ("nobody", PASSWORD), ("", ""), ("octocat", "")]
    ]

    assert {401} == {answer.status_code for answer in answers}
    assert 1 == len({answer.data for answer in answers})
    assert "application/problem+json" == answers[0].mimetype


@pytest.mark.usefixtures("octocat")
def test_a_user_token_ends_after_its_time(client: FlaskClient) -> None:
    """The row decides."""
    token = client.post(f"{V1}/token", json={"username": "octocat", "password": PASSWORD}).get_json()["token"]

    expire(token)

    assert 401 == client.get(f"{V1}/deployments", headers=bearer(token)).status_code


def test_a_service_token_is_made_listed_and_revoked(client: FlaskClient, auth: Auth) -> None:
    """Shown once, listed without its text, 204 when it ends."""
    path, admin = f"{V1}/services/shop/tokens", auth("admin")

    made = client.post(path, json={"days": 7}, headers=admin)
    listed = client.get(path, headers=admin)
    ended = client.delete(f"{path}/{made.get_json()['id']}", headers=admin)
    again = client.delete(f"{path}/{made.get_json()['id']}", headers=admin)

    told = made.get_json()
    assert (201, {"id", "token", "expires"}) == (made.status_code, told.keys())
    assert told["token"].startswith("fds_")
    assert [(told["id"], told["expires"], None)] == [
        (each["id"], each["expires"], each["revoked"]) for each in listed.get_json()["items"]
    ]
    assert told["token"] not in listed.text
    assert (204, b"") == (ended.status_code, ended.data)
    assert 204 == again.status_code
    assert TIME.fullmatch(client.get(path, headers=admin).get_json()["items"][0]["revoked"])


def test_a_service_token_lives_90_days_by_default(client: FlaskClient, auth: Auth) -> None:
    """Also where no body is sent."""
    before = clock.now()

    response = client.post(f"{V1}/services/shop/tokens", headers=auth("admin"))

    assert 201 == response.status_code
    lives = Token.get_by_id(response.get_json()["id"]).expires - before
    assert 90 * clock.DAY <= lives <= 90 * clock.DAY + 60 * clock.SECOND


def test_tokens_are_kept_as_hashes_only(client: FlaskClient, auth: Auth, raw: Raw) -> None:
    """Whoever reads the database cannot call the bot."""
    token = client.post(f"{V1}/services/shop/tokens", headers=auth("admin")).get_json()["token"]
    user = auth("viewer")["Authorization"].removeprefix("Bearer ")

    stored = raw.content()

    assert token.encode() not in stored
    assert user.encode() not in stored
    assert tokens.digest(token).encode() in stored


def test_a_token_of_another_service_is_not_found(
    client: FlaskClient, auth: Auth, shop: ServiceFiles, app: Flask
) -> None:
    """A token is ended under its own service only."""
    shop("other", repository="octo-org/other")
    sync(app)
    number = client.post(f"{V1}/services/other/tokens", headers=auth("admin")).get_json()["id"]

    response = client.delete(f"{V1}/services/shop/tokens/{number}", headers=auth("admin"))

    assert is_problem(response, 404)
    assert Token.get_by_id(number).revoked is None


def test_a_service_whose_file_is_newer_than_the_rows_has_no_tokens(
    client: FlaskClient, auth: Auth, shop: ServiceFiles
) -> None:
    """That is an empty list: the service is there."""
    shop("new", repository="octo-org/new")

    listed = client.get(f"{V1}/services/new/tokens", headers=auth("admin"))
    absent = client.get(f"{V1}/services/absent/tokens", headers=auth("admin"))
    revoked = client.delete(f"{V1}/services/new/tokens/1", headers=auth("admin"))

    assert (200, []) == (listed.status_code, listed.get_json()["items"])
    assert is_problem(absent, 404)
    assert "service new has no token 1" == revoked.get_json()["detail"]


def test_a_token_has_a_name_and_tells_when_it_was_used(client: FlaskClient, auth: Auth) -> None:
    """In the list; whatever its holder asked for counts, also what was refused."""
    admin = auth("admin")
    made = client.post(f"{V1}/services/shop/tokens", json={"name": " CI "}, headers=admin).get_json()
    [before] = client.get(f"{V1}/services/shop/tokens", headers=admin).get_json()["items"]

    client.get(f"{V1}/deliveries", headers=bearer(made["token"])).close()

    [after] = client.get(f"{V1}/services/shop/tokens", headers=admin).get_json()["items"]
    assert ("CI", None) == (before["name"], before["used"])
    assert TIME.fullmatch(after["used"])


@pytest.mark.parametrize("name", ["x" * 61, "two\nlines", "\N{RIGHT-TO-LEFT OVERRIDE}"])
def test_some_names_of_tokens_cannot_be(client: FlaskClient, auth: Auth, name: str) -> None:
    """One line of 60 characters; nothing is made."""
    answer = client.post(f"{V1}/services/shop/tokens", json={"name": name}, headers=auth("admin"))

    assert is_problem(answer, 422)
    assert not Token.select().where(Token.service.is_null(False)).exists()


def test_a_token_that_is_used_all_the_time_is_written_once_a_minute(auth: Auth, shop: ServiceFiles) -> None:  # noqa: ARG001 - it is its token
    """The moment lies back at most that far."""
    shown = auth.service("shop")["Authorization"].removeprefix("Bearer ")
    begun = clock.now()

    moments = []
    for later in (0, 1, 59_000, 60_001, 60_002):
        tokens.note_used(shown, now=begun + later)
        moments.append((Token.get(Token.hash == tokens.digest(shown)).used or 0) - begun)

    assert [0, 0, 0, 60_001, 60_001] == moments


def test_a_busy_database_keeps_no_answer_from_a_reader(
    client: FlaskClient, auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading stays reading: the use is told by the next request."""
    headers = auth.service("shop")

    def busy(_write: object) -> None:
        raise Unavailable("the database is busy")

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", busy)
        answer = client.get(f"{V1}/services", headers=headers)
        answer.close()
    missed = Token.get(Token.service.is_null(False)).used
    client.get(f"{V1}/services", headers=headers).close()

    assert 200 == answer.status_code
    assert missed is None
    assert Token.get(Token.service.is_null(False)).used is not None
