"""Replay: a known push is decided once more, where somebody who may asks for it."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import (
    SOON,
    Auth,
    GitHub,
    Host,
    ServiceFiles,
    bearer,
    sha,
    states,
    sync,
    verdicts,
)
from fastdeploy_bot import store
from fastdeploy_bot.store.models import Delivery, Deployment, Verdict


@pytest.fixture
def shop(service: ServiceFiles) -> ServiceFiles:
    """A service named shop, of the default branch."""
    service("shop")
    return service


def replay(client: FlaskClient, guid: str, headers: dict[str, str]) -> TestResponse:
    """Ask for a delivery to be decided once more."""
    return client.post(f"/api/v1/deliveries/{guid}/replay", headers=headers)


@pytest.mark.usefixtures("shop")
def test_replay_decides_a_known_push_again(github: GitHub, client: FlaskClient, auth: Auth, host: Host) -> None:
    """By whoever asked, for the service files as they are now."""
    github.push(guid="g-1")
    host.begin(1)
    host.end(1)

    response = replay(client, "g-1", auth("deployer"))

    assert 202 == response.status_code
    assert {"shop": "deploy"} == verdicts(response)
    assert [("shop", "success"), ("shop", "queued")] == states()
    newest = Deployment.get(Deployment.id == 2)
    assert ("replay", "deployer", sha(2)) == (newest.origin, newest.actor, newest.sha)


def test_replay_uses_the_files_as_they_are_now(
    github: GitHub, client: FlaskClient, auth: Auth, service: ServiceFiles
) -> None:
    """A push that no service wanted can be deployed once one does."""
    github.push(guid="g-1")
    service("late")

    assert {"late": "deploy"} == verdicts(replay(client, "g-1", auth("deployer")))


@pytest.mark.usefixtures("shop")
def test_replay_of_a_duplicate_decides_it(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """Only replay passes what is known already."""
    github.push(guid="g-1")
    github.push(guid="g-2")

    assert {"shop": "deploy"} == verdicts(replay(client, "g-2", auth("deployer")))
    assert [("shop", "superseded"), ("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_a_stale_push_stays_stale_when_replayed(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """Replay passes what is known, not what is newer."""
    github.push(guid="g-1", pushed_at=SOON)
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)

    for _ in range(2):
        assert {"shop": "stale"} == verdicts(replay(client, "g-1", auth("deployer")))

    assert [("shop", "superseded"), ("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_the_delivery_shows_every_decision(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """What was decided at first, and what at the replay."""
    github.push(guid="g-1")
    replay(client, "g-1", auth("deployer"))

    told = client.get("/api/v1/deliveries/g-1", headers=auth("viewer")).get_json()

    assert [("deploy", 1), ("deploy", 2)] == [(each["verdict"], each["deployment"]) for each in told["verdicts"]]


def test_only_pushes_can_be_replayed(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """409 for a ping: there is nothing to decide."""
    github.deliver(b"{}", event="ping", guid="p-1")

    response = replay(client, "p-1", auth("deployer"))

    assert 409 == response.status_code
    assert "ping" in response.get_json()["detail"]


@pytest.mark.usefixtures("shop")
def test_replay_of_a_body_no_longer_kept_says_so(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """410: bodies are kept for a while only."""
    github.push(guid="g-1")
    store.write(lambda: Delivery.update(body=None).execute())

    assert 410 == replay(client, "g-1", auth("deployer")).status_code
    assert 1 == Verdict.select().count()


def test_replay_is_for_deployers(client: FlaskClient, auth: Auth) -> None:
    """403 for viewers, whether there is such a delivery or not; 404 for those who may."""
    assert 403 == replay(client, "none", auth("viewer")).status_code
    assert 404 == replay(client, "none", auth("deployer")).status_code
    assert 401 == replay(client, "none", bearer("fdu_guessed")).status_code


def test_what_came_while_the_file_was_away_can_be_replayed(
    client: FlaskClient, auth: Auth, github: GitHub, service: ServiceFiles, app: Flask
) -> None:
    """The refusal says so: a redelivery keeps its GUID and stays a duplicate."""
    path = service("shop")
    sync(app)
    text = path.read_text()
    path.unlink()
    refused = github.push(guid="g-1").get_json()["verdicts"][0]
    path.write_text(text)

    assert {"shop": "duplicate"} == verdicts(github.push(guid="g-1"))
    assert {"shop": "deploy"} == verdicts(replay(client, "g-1", auth("deployer")))
    assert "replay" in refused["reason"]


@pytest.mark.usefixtures("shop")
def test_two_who_replay_the_same_start_one_deployment(
    github: GitHub, client: FlaskClient, auth: Auth, host: Host
) -> None:
    """Queued or running: the second is told of the first one's, and the delivery shows both."""
    github.push(guid="g-1")
    host.begin(1)
    host.end(1)

    def replay() -> tuple[str, str, int | None]:
        answer = client.post("/api/v1/deliveries/g-1/replay", headers=auth("deployer"))
        (verdict,) = answer.get_json()["verdicts"]
        return verdict["verdict"], verdict["reason"], verdict["deployment"]

    first, queued = replay(), replay()
    host.begin(2)
    running = replay()
    host.end(2)

    assert ("deploy", 2) == (first[0], first[2])
    assert [("duplicate", "this delivery is being replayed already, as deployment 2", 2)] * 2 == [queued, running]
    assert ("deploy", 3) == replay()[::2]


@pytest.mark.usefixtures("shop")
def test_a_replay_that_comes_again_is_carried_out_once(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """A lost answer must not deploy twice."""
    github.push(guid="g-1")
    headers = auth("deployer") | {"Idempotency-Key": "once"}

    answers = [replay(client, "g-1", headers) for _ in range(2)]

    assert [202, 202] == [each.status_code for each in answers]
    assert answers[0].get_json() == answers[1].get_json()
    assert [("shop", "superseded"), ("shop", "queued")] == states()
