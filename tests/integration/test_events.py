"""`GET /api/v1/events`, and what the API foretells of a running deployment."""

from __future__ import annotations

from functools import partial

import pytest
from flask.testing import FlaskClient

from callers import Auth, GitHub, Host, ServiceFiles, sha
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.store.models import Deployment, Step
from fastdeploy_bot.words import DeploymentState, EventType, StepReport, StepState


def test_events_are_read_on_from_the_last_one(
    client: FlaskClient, github: GitHub, service: ServiceFiles, auth: Auth
) -> None:
    """Page after page in order, and at the end the same place again."""
    service("shop")
    github.push()
    github.push(before=sha(2), after=sha(3))

    seen, since = [], 0
    while page := client.get(f"/api/v1/events?since={since}&limit=2", headers=auth("viewer")).get_json()["items"]:
        seen += page
        since = page[-1]["id"]
    last = client.get(f"/api/v1/events?since={since}", headers=auth("viewer")).get_json()

    assert list(range(1, feed.newest() + 1)) == [event["id"] for event in seen]
    assert {"items": [], "next": since, "reset": False} == last
    assert all({"id", "type", event["type"]} == event.keys() for event in seen)


def test_who_comes_from_before_what_is_kept_is_told_so(client: FlaskClient, auth: Auth) -> None:
    """With the place from which to go on."""
    store.write(lambda: feed.append(EventType.SERVICE, {}, service=None, deployment=None, now=1))

    answer = client.get("/api/v1/events?since=99", headers=auth("viewer"))

    assert {"items": [], "next": 1, "reset": True} == answer.get_json()


@pytest.fixture
def practised(github: GitHub, service: ServiceFiles, host: Host) -> None:
    """Shop was deployed four times: three took 8, 10 and 12 seconds, the one that failed took a minute."""
    service("shop")
    for number, seconds in enumerate((8, 10, 12, 60), start=1):
        github.push(before=sha(number), after=sha(number + 1))
        host.begin(number, steps=["Build"])
        deployments.report_step(
            number, StepReport(name="Build", state=StepState.RUNNING), Masker([]), at=clock.now()
        ).answer()
        host.end(number, DeploymentState.FAILURE if seconds == 60 else DeploymentState.SUCCESS)
        store.write(partial(_took, number, seconds))
    github.push(before=sha(5), after=sha(6))


def _took(number: int, seconds: int) -> None:
    for model, mine in ((Deployment, Deployment.id == number), (Step, Step.deployment == number)):
        model.update(started=1_000, finished=1_000 + seconds * 1_000).where(mine).execute()


@pytest.mark.usefixtures("practised")
def test_a_running_deployment_is_foretold(client: FlaskClient, auth: Auth, host: Host) -> None:
    """From the median of earlier successes, each step's too; failures teach nothing."""
    host.begin(5, steps=["Build"])

    view = client.get("/api/v1/deployments/5", headers=auth("viewer")).get_json()

    assert (10.0, 10.0, 0.0, False) == (
        view["eta"],
        view["steps"][0]["usual"],
        view["progress"],
        view["longer"],
    )


def test_two_runs_foretell_nothing(
    client: FlaskClient, github: GitHub, service: ServiceFiles, auth: Auth, host: Host
) -> None:
    """One swallow makes no summer."""
    service("shop")
    for number in (1, 2, 3):
        github.push(before=sha(number), after=sha(number + 1))
        host.begin(number)
        if number < 3:
            host.end(number)

    view = client.get("/api/v1/deployments/3", headers=auth("viewer")).get_json()

    assert (None, None, False) == (view["eta"], view["progress"], view["longer"])
