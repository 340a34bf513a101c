"""Metrics: what the rows say, and whom it is told."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from callers import SOON, Auth, GitHub, Host, ServiceFiles, is_problem, on_sqlite, sha, sync
from fastdeploy_bot import __version__, store
from fastdeploy_bot.app import create_app
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, queue
from fastdeploy_bot.core.looks import figures
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Report, proxy
from fastdeploy_bot.words import LOCAL, DeploymentState

TOKEN = "m" * 20
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def make(settings: Settings, database: str) -> Iterator[Callable[..., FlaskClient]]:
    """Somebody who calls a bot with these settings."""
    assert database

    def client(**changes: Any) -> FlaskClient:
        store.disconnect()
        return create_app(msgspec.structs.replace(settings, **changes)).test_client()

    yield client
    store.disconnect()


def samples(client: FlaskClient) -> Samples:
    """Every sample, by its name and labels."""
    answer = client.get("/metrics")
    assert (200, "text/plain") == (answer.status_code, answer.mimetype)
    families = text_string_to_metric_families(answer.text)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for one in families for each in one.samples}


def labelled(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric, by the values of their labels."""
    return {tuple(value for _, value in labels): value for (each, labels), value in found.items() if each == name}


def change(number: int, **times: int) -> None:
    """Let a deployment have been at other times."""
    store.write(lambda: Deployment.update(times).where(Deployment.id == number).execute())


@pytest.fixture
def busy(app: Flask, github: GitHub, service: ServiceFiles, host: Host) -> None:
    """Two services; of shop one success, one failure, one that runs and one that waits; nothing of other."""
    service("shop", branches=["main"], supersede=False)
    service("other", repository="octo-org/other")
    sync(app)
    for number in range(1, 5):
        github.push(guid=f"g-{number}", before=sha(number), after=sha(number + 1), pushed_at=SOON + number)
    github.deliver(b"{}", event="ping")
    for number, state in [(1, DeploymentState.SUCCESS), (2, DeploymentState.FAILURE)]:
        host.begin(number)
        host.end(number, state)
    host.begin(3)


@pytest.mark.usefixtures("busy")
def test_deployments_are_counted_by_service_and_state(client: FlaskClient) -> None:
    """What waits and what runs, too. Each way to end is there of each service: so the first failure is a rise."""
    found = samples(client)

    counted = labelled(found, "fastdeploy_deployments")
    ends = {state.value for state in DeploymentState if state.final}
    assert {(name, end) for name in ("shop", "other") for end in ends} == {each for each in counted if each[1] in ends}
    assert {("shop", "success"): 1, ("shop", "failure"): 1, ("shop", "running"): 1, ("shop", "queued"): 1} == {
        each: number for each, number in counted.items() if number
    }
    assert {("queued",): 1, ("waiting",): 0} == labelled(found, "fastdeploy_queue")
    assert {(Host.name,): 1} == labelled(found, "fastdeploy_running")


@pytest.mark.usefixtures("busy")
def test_deliveries_and_verdicts_are_counted(client: FlaskClient) -> None:
    """By event, and by service."""
    found = samples(client)

    assert {("push",): 4, ("ping",): 1} == labelled(found, "fastdeploy_deliveries")
    assert {("shop", "deploy"): 4} == labelled(found, "fastdeploy_verdicts")


@pytest.mark.usefixtures("busy")
def test_what_waits_for_a_lock_is_counted(client: FlaskClient, github: GitHub) -> None:
    """As waiting, and its verdicts by their own name."""
    locking.lock("shop", {}, locking.Wish(reason="freeze"), by=LOCAL, now=clock.now())
    github.push(before=sha(5), after=sha(6), pushed_at=SOON + 6)
    found = samples(client)

    # The newest push takes the place of the one that was queued.
    assert {("queued",): 0, ("waiting",): 1} == labelled(found, "fastdeploy_queue")
    assert {("shop", "deploy"): 4, ("shop", "wait"): 1} == labelled(found, "fastdeploy_verdicts")


@pytest.mark.usefixtures("busy")
def test_it_says_since_when_what_is_live(client: FlaskClient) -> None:
    """The end of the last success, whatever came after it."""
    finished = deployments.find(1).finished

    assert finished is not None
    assert {("shop",): finished / 1000} == labelled(samples(client), "fastdeploy_live_since_timestamp_seconds")


@pytest.mark.usefixtures("busy")
def test_ages_are_those_of_the_oldest(client: FlaskClient) -> None:
    """Of what waits, and of what GitHub was not told."""
    ago = clock.now() - 90_000
    change(4, created=ago)
    store.write(lambda: Report.create(repository="o/s", sha=sha(1), context="c", deployment=4, due=0))

    found = samples(client)

    assert 90 <= found["fastdeploy_queue_oldest_seconds", ()] < 120
    assert 1 == found["fastdeploy_reports_owed", ()]
    assert 90 <= found["fastdeploy_reports_owed_oldest_seconds", ()] < 120


def test_what_was_told_is_owed_since_the_next_change(client: FlaskClient, busy: None) -> None:
    """GitHub knows of its beginning, not of its end."""
    assert busy is None
    ago = clock.now() - 60_000
    owed = {"deployment": 1, "due": 0, "changes": 3, "told": 2, "told_at": 2}
    store.write(lambda: Report.create(repository="o/s", sha=sha(1), context="c", **owed))
    change(1, created=1, started=2, finished=ago)

    assert 60 <= samples(client)["fastdeploy_reports_owed_oldest_seconds", ()] < 90


def test_durations_are_those_of_successes(client: FlaskClient, busy: None, start: Any, host: Host) -> None:
    """Median and 90th percentile, in seconds; nothing of a service that has had one."""
    assert busy is None
    assert {} == labelled(samples(client), "fastdeploy_deployment_duration_seconds")
    host.end(3)
    start(sha=sha(9), ref="main")
    for number in (4, 5):
        host.begin(number)
        host.end(number)
    took = dict(zip([1, 3, 4, 5], [10, 20, 30, 40], strict=True))
    for number, seconds in took.items():
        change(number, started=1_000, finished=1_000 + seconds * 1_000)

    assert {("0.5", "shop"): 25, ("0.9", "shop"): 37} == labelled(
        samples(client), "fastdeploy_deployment_duration_seconds"
    )


def test_an_empty_bot_has_figures_too(client: FlaskClient) -> None:
    """Alerts want to see a zero."""
    found = samples(client)

    assert 1 == found["fastdeploy_build_info", (("version", __version__),)]
    zeros = ("queue_oldest_seconds", "reports_owed", "reports_owed_oldest_seconds", "newest_event_id")
    assert [0, 0, 0, 0] == [found[f"fastdeploy_{name}", ()] for name in zeros]


def test_the_kinds_of_deliveries_are_bounded(client: FlaskClient, github: GitHub) -> None:
    """Whoever has a webhook secret may send events of any name."""
    for number in range(figures.EVENTS + 5):
        github.deliver(b"{}", event=f"made_up_{number}")

    counted = labelled(samples(client), "fastdeploy_deliveries")

    assert figures.EVENTS + 1 == len(counted)
    assert (5, figures.EVENTS + 5) == (counted[("other",)], sum(counted.values()))


def test_a_removed_service_is_counted_no_more(
    client: FlaskClient, busy: None, service: ServiceFiles, app: Flask
) -> None:
    """Its rows stay."""
    assert busy is None
    service.remove("shop")
    sync(app)

    assert {"other"} == {name for name, _ in labelled(samples(client), "fastdeploy_deployments")}


# --- whom it is told


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.8.9.10", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, 403),
        ("127.0.0.1", {"X-Forwarded-Host": "x"}, 403),
        ("127.0.0.1", {"X-Forwarded-For": ""}, 403),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 403),
        ("203.0.113.7", {}, 403),
        ("203.0.113.7", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("::ffff:203.0.113.7", {}, 403),
        ("", {}, 403),
    ],
)
@pytest.mark.parametrize("trusted", [(), ("127.0.0.1/32",), ("203.0.113.0/24",)])
def test_without_a_token_only_this_host_is_told(
    make: Callable[..., FlaskClient], trusted: tuple[str, ...], peer: str, headers: Mapping[str, str], status: int
) -> None:
    """Whatever a proxy says, trusted or not: it is who connects that counts, and that nothing was passed on."""
    client = make(trusted_proxies=trusted)

    answer = client.get("/metrics", headers=dict(headers), environ_overrides={"REMOTE_ADDR": peer})

    assert status == answer.status_code
    assert status == 200 or is_problem(answer, status)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (None, 401),
        ("Bearer ", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer \xfc", 401),
    ],
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.7"])
def test_with_a_token_it_alone_counts(
    make: Callable[..., FlaskClient], peer: str, authorization: str | None, status: int
) -> None:
    """From this host, too, and from everywhere else."""
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = make(metrics_token=TOKEN).get("/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": peer})

    assert status == answer.status_code
    assert status == 200 or is_problem(answer, status)
    assert (status == 401) == ("WWW-Authenticate" in answer.headers)


def test_no_other_token_opens_it(make: Callable[..., FlaskClient], auth: Auth) -> None:
    """Not an admin's, and none in the address."""
    client = make(metrics_token=TOKEN)

    assert 401 == client.get("/metrics", headers=auth("admin")).status_code
    assert 401 == client.get(f"/metrics?token={TOKEN}&access_token={TOKEN}").status_code


# --- what it costs


@on_sqlite
@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("look", [figures.read, queue.next_up, lambda: queue.running_on("host-1")])
def test_no_look_reads_every_deployment_or_delivery(look: Callable[[], object]) -> None:
    """Each goes by an index, however many rows there are."""
    connection: sqlite3.Connection = proxy.obj.connection()
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    look()
    connection.set_trace_callback(None)
    large = [each for each in asked if re.search(r'FROM "(deployment|delivery|verdict|report)"', each)]

    plans = {each: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {each}")] for each in large}

    assert plans
    whole = re.compile(r"SCAN \w+( USING COVERING INDEX deployment_by_outcome)?")
    assert {} == {each: plan for each, plan in plans.items() if any(whole.fullmatch(step) for step in plan)}
