"""Idempotency-Key: a request that comes again is answered again, and carried out once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient

from callers import (
    KEY,
    Auth,
    ServiceFiles,
    at_once,
    bearer,
    issue_for_service,
    issue_for_user,
    sha,
    states,
)
from databases import Raw
from fastdeploy_bot import store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import idempotency
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Answer, Token

PATH = "/api/v1/deployments"

pytestmark = pytest.mark.usefixtures("two_services")


def test_the_same_key_gets_the_same_answer(client: FlaskClient, auth: Auth) -> None:
    """One deployment, however often the request comes."""
    headers = auth("deployer") | {"Idempotency-Key": "k-1"}

    first, again = (client.post(PATH, json={"service": "shop", "sha": sha(9)}, headers=headers) for _ in range(2))

    assert (201, 201) == (first.status_code, again.status_code)
    assert first.data == again.data
    assert first.mimetype == again.mimetype
    assert [("shop", "queued")] == states()


def test_parallel_requests_with_one_key_are_carried_out_once(auth: Auth, app: Flask) -> None:
    """Also when the first has not been answered yet."""
    headers = auth("deployer") | {"Idempotency-Key": "k-1"}

    def ask(_number: int) -> bytes:
        answer = app.test_client().post(PATH, json={"service": "shop", "sha": sha(9)}, headers=headers)
        return bytes(answer.data)

    assert 1 == len(set(at_once(ask, 12)))
    assert [("shop", "queued")] == states()


@pytest.mark.parametrize("other", [{"sha": sha(8)}, {"sha": sha(9), "ref": "main"}])
def test_the_same_key_with_another_body_is_refused(client: FlaskClient, auth: Auth, other: dict[str, str]) -> None:
    """422: it is a mistake of the caller's."""
    headers = auth.service("shop") | {"Idempotency-Key": "k-1"}
    client.post(PATH, json={"sha": sha(9)}, headers=headers)

    response = client.post(PATH, json=other, headers=headers)

    assert 422 == response.status_code
    assert "Idempotency-Key" in response.get_json()["detail"]
    assert [("shop", "queued")] == states()


def test_the_same_key_on_another_route_is_refused(client: FlaskClient, auth: Auth) -> None:
    """The same body elsewhere is another request."""
    headers = auth("admin") | {"Idempotency-Key": "k-1"}
    client.post("/api/v1/services/shop/tokens", json={"days": 1}, headers=headers)

    response = client.post("/api/v1/services/other/tokens", json={"days": 1}, headers=headers)

    assert 422 == response.status_code
    assert 1 == Token.select().where(Token.kind == "service").count()


def test_each_principal_has_keys_of_their_own(client: FlaskClient, auth: Auth) -> None:
    """Two callers who chose the same key do not see each other."""
    callers = (auth("deployer"), auth("admin"), auth.service("shop"))
    ids = [
        client.post(
            PATH, json={"service": "shop", "sha": sha(9)}, headers=caller | {"Idempotency-Key": "k-1"}
        ).get_json()["id"]
        for caller in callers
    ]

    assert [1, 2, 3] == ids


def test_a_principal_is_the_same_with_a_new_token(client: FlaskClient, auth: Auth) -> None:
    """Somebody who signed in again meanwhile still gets the first answer."""
    wish = {"service": "shop", "sha": sha(9)}
    first = client.post(PATH, json=wish, headers=auth("deployer") | {"Idempotency-Key": "k-1"})
    second = bearer(issue_for_user("deployer"))

    again = client.post(PATH, json=wish, headers=second | {"Idempotency-Key": "k-1"})

    assert (201, first.data) == (again.status_code, again.data)
    assert [("shop", "queued")] == states()


def test_two_tokens_of_a_service_are_one_principal(client: FlaskClient, auth: Auth) -> None:
    """A token is exchanged while requests are under way."""
    first = client.post(PATH, json={"sha": sha(9)}, headers=auth.service("shop") | {"Idempotency-Key": "k-1"})
    second = bearer(issue_for_service("shop")) | {"Idempotency-Key": "k-1"}

    again = client.post(PATH, json={"sha": sha(9)}, headers=second)

    assert (201, first.data) == (again.status_code, again.data)


def test_an_answer_outlives_a_change_of_the_secret_key(client: FlaskClient, auth: Auth, settings: Settings) -> None:
    """The old key is a fallback then; what it sealed is still read."""
    wish, headers = {"service": "shop", "sha": sha(9)}, auth("deployer") | {"Idempotency-Key": "k-1"}
    first = client.post(PATH, json=wish, headers=headers)
    store.disconnect()
    changed = msgspec.structs.replace(settings, secret_key="n" * 64, secret_key_fallbacks=(KEY,))
    renewed = create_app(changed)

    again = renewed.test_client().post(PATH, json=wish, headers=headers)

    assert (201, first.data) == (again.status_code, again.data)


def test_a_token_comes_again_and_is_not_readable_on_disk(client: FlaskClient, auth: Auth, raw: Raw) -> None:
    """The first answer holds a token: it is kept sealed."""
    headers = auth("admin") | {"Idempotency-Key": "k-1"}

    first, again = (client.post("/api/v1/services/shop/tokens", headers=headers).get_json() for _ in range(2))

    assert first == again
    assert 1 == Token.select().where(Token.kind == "service").count()
    content = raw.content()
    assert b"octo-org/shop" in content
    assert first["token"].encode() not in content


def test_a_refused_request_leaves_its_key_free(client: FlaskClient, auth: Auth) -> None:
    """Only what was carried out is answered again."""
    headers = auth("deployer") | {"Idempotency-Key": "k-1"}
    assert 422 == client.post(PATH, json={"service": "shop", "sha": "oops"}, headers=headers).status_code

    response = client.post(PATH, json={"service": "shop", "sha": sha(9)}, headers=headers)

    assert 201 == response.status_code


def test_a_key_is_forgotten_after_a_day(client: FlaskClient, auth: Auth) -> None:
    """The same request is a new one then."""
    headers = auth("deployer") | {"Idempotency-Key": "k-1"}
    client.post(PATH, json={"service": "shop", "sha": sha(9)}, headers=headers)
    store.write(lambda: Answer.update(created=clock.now() - idempotency.KEPT - 1).execute())

    response = client.post(PATH, json={"service": "shop", "sha": sha(8)}, headers=headers)

    assert 201 == response.status_code
    assert 1 == Answer.select().count()


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_cannot_be_kept_is_refused(client: FlaskClient, auth: Auth, key: str) -> None:
    """422: doing it without the key would not be what was asked for."""
    headers = auth("deployer") | {"Idempotency-Key": key}

    assert 422 == client.post(PATH, json={"service": "shop", "sha": sha(9)}, headers=headers).status_code


def test_a_retry_with_a_key_is_carried_out_once(start: Any, client: FlaskClient, auth: Auth) -> None:
    """Every POST that creates honours the key."""
    start(sha=sha(9))
    client.post(f"{PATH}/1/cancel", headers=auth("deployer"))
    headers = auth("deployer") | {"Idempotency-Key": "k-1"}

    first, again = (client.post(f"{PATH}/1/retry", headers=headers) for _ in range(2))

    assert first.data == again.data
    assert [("shop", "cancelled"), ("shop", "queued")] == states()


def test_the_first_answer_outlives_the_service(start: Any, auth: Auth, service: ServiceFiles) -> None:
    """What was carried out is not denied because its service is gone meanwhile."""
    headers = auth("deployer") | {"Idempotency-Key": "once"}
    first = start(headers, sha=sha(1))
    service.remove("shop")

    again = start(headers, sha=sha(1))

    assert (201, first.get_json()) == (again.status_code, again.get_json())
