"""Values that one database keeps and another does not: no 5xx comes of them, and both answer alike."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from callers import Auth, GitHub, Host, ServiceFiles, document, sha, sync
from fastdeploy_bot import store
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.people import signin
from fastdeploy_bot.core.people.signin import Given
from fastdeploy_bot.errors import Unauthenticated
from fastdeploy_bot.store.models import Service, Step
from fastdeploy_bot.words import DeploymentState

V1 = "/api/v1"
LARGEST = 2**63 - 1


@pytest.fixture(autouse=True)
def shop(service: ServiceFiles, app: Flask) -> None:
    """A service that the bot knows."""
    service("shop")
    sync(app)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/services/sh%00p", 404),
        ("/services/%00", 404),
        ("/services/sh%F0%9F%90%98p", 404),
        ("/services/%ED%A0%80", 404),
        ("/deliveries/g%00", 404),
        ("/deployments?service=sh%00p", 200),
        ("/deployments?sha=%00", 200),
        ("/deployments?state=%00", 422),
        ("/deployments?before=1%00", 422),
        (f"/deployments?before={LARGEST}", 200),
        (f"/deployments?before={LARGEST + 1}", 422),
        (f"/deployments/{LARGEST}", 404),
        (f"/deployments/{LARGEST}/log", 404),
        (f"/deployments/{LARGEST + 1}", 404),
        (f"/deployments/{2**31}", 404),
        ("/deployments/0", 404),
    ],
)
def test_strange_addresses(client: FlaskClient, auth: Auth, path: str, status: int) -> None:
    """What cannot be there is not found, or refused."""
    assert status == client.get(f"{V1}{path}", headers=auth("viewer")).status_code


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/token", {"username": "a\0", "password": "b\0"}, 401),
        ("/deployments", {"service": "sh\0p"}, 404),
        ("/deployments", {"service": "shop", "sha": "\0" * 40}, 422),
        ("/deployments", {"service": "shop", "sha": sha(1), "ref": "ma\0in"}, 422),
        ("/deployments", {"service": "shop", "sha": sha(1), "context": {"a\0": ["\0", 2**70]}}, 201),
        ("/services/shop/tokens", {"days": LARGEST}, 422),
        ("/services/shop/tokens", {"days": -LARGEST}, 422),
        ("/deliveries/g%00/replay", None, 404),
        (f"/deployments/{LARGEST}/cancel", None, 404),
        (f"/deployments/{LARGEST}/retry", None, 404),
    ],
)
def test_strange_bodies(client: FlaskClient, auth: Auth, path: str, body: Any, status: int) -> None:
    """Refused, or kept as it was given."""
    answer = client.post(f"{V1}{path}", json=body, headers=auth("admin"))

    assert status == answer.status_code, answer.text


def test_strange_tokens(client: FlaskClient, auth: Auth) -> None:
    """The largest id is an id like another."""
    assert 404 == client.delete(f"{V1}/services/shop/tokens/{LARGEST}", headers=auth("admin")).status_code


def test_a_strange_webhook(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """What only is shown loses what cannot be kept; the largest numbers are kept."""
    answer = github.push(
        guid="g-1", title="ti\0tle", actor="oc\0to", repository_id=LARGEST, pushed_at=LARGEST, default_branch="main"
    )

    assert 202 == answer.status_code
    assert 200 == client.get(f"{V1}/deliveries/g-1", headers=auth("viewer")).status_code


@pytest.mark.parametrize("event", ["ping", "issues"])
def test_a_strange_webhook_of_another_kind(github: GitHub, event: str) -> None:
    """Nothing in it is a reason to refuse it."""
    body = b'{"action": "a\\u0000b", "repository": {"id": 99999999999999999999, "full_name": "a\\u0000/b"}}'

    assert github.deliver(body, event=event).status_code in (200, 202)


def test_a_header_with_a_nul_is_kept(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """Headers are kept as JSON."""
    assert 202 == github.deliver(document(), guid="g-1", headers={"X-GitHub-Hook-ID": "7\0"}).status_code

    shown = client.get(f"{V1}/deliveries/g-1", headers=auth("viewer")).get_json()["headers"]

    assert "7\0" in shown.values()


def test_a_script_may_say_what_cannot_be_kept(start: Any, client: FlaskClient, host: Host) -> None:
    """A step is refused, as is said; the message of the end is kept without the NUL."""
    start(sha=sha(1))
    script = host.begin(1, definition={"finish": "report"})

    step = client.post(f"{V1}/deployments/1/steps", json={"name": "a\0", "state": "running"}, headers=script)
    end = client.post(f"{V1}/deployments/1/finish", json={"state": "success", "message": "a\0b"}, headers=script)

    assert (422, 200) == (step.status_code, end.status_code)
    assert "a\N{REPLACEMENT CHARACTER}b" == deployments.find(1).reported_message
    assert not Step.select().exists()


def test_an_ending_may_have_any_reason(start: Any, host: Host) -> None:
    """A reason may quote what a script or a child said."""
    start(sha=sha(1))
    host.begin(1)

    host.end(1, DeploymentState.FAILURE, reason="it said \0", exit_status=-(2**31), signal=2**31 - 1)

    assert "it said \N{REPLACEMENT CHARACTER}" == deployments.find(1).reason


def test_a_text_is_found_as_it_was_kept() -> None:
    """Writing and comparing change it alike."""
    store.write(lambda: Service.create(name="a\0b", repository="a/b", created=1))

    assert 1 == Service.select().where(Service.name == "a\0b").count()
    assert 1 == Service.select().where(Service.name.in_(["a\0b"])).count()


def test_nobody_has_a_strange_name() -> None:
    """Signing in with it is signing in with a wrong one."""
    with pytest.raises(Unauthenticated):
        signin.issue_token(Given(username="admin\0", password="x", peer="\0"), now=1)
