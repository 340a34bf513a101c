"""The feed and the outbox: each change is told once, in its own transaction, to those who may see it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from callers import GitHub, Host, ServiceFiles, sha
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, queue, retries, services
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.files.catalogue import Catalogue, Entry
from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.core.telling import changes, feed
from fastdeploy_bot.core.telling.feed import Told
from fastdeploy_bot.errors import Gone
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.store.models import Deployment, Event, Report, Service
from fastdeploy_bot.words import LOCAL, DeploymentState, EventType, Origin, StepReport, StepState


def told(number: int = 0) -> list[tuple[str, str]]:
    """Every event after that id as its type and the state, verdict or name it tells."""
    return [(event.type.value, _word(event)) for event in feed.since(number)]


def _word(event: Told) -> str:
    data: dict[str, Any] = json.loads(event.data)
    if event.type is EventType.DELIVERY:
        return ",".join(verdict["verdict"] for verdict in data["verdicts"])
    return str(data["name"] if event.type is EventType.SERVICE else data["state"])


def test_a_deployment_is_told_from_push_to_end(github: GitHub, service: ServiceFiles, host: Host) -> None:
    """Each change is one event, the objects of one transaction in the order in which they changed last."""
    service("shop")
    github.push()
    host.begin(1, steps=["Build"])
    deployments.report_step(1, StepReport(name="Build", state=StepState.RUNNING), Masker([]), at=clock.now()).answer()
    host.end(1)

    assert told() == [
        ("service", "shop"),
        ("deployment", "queued"),
        ("delivery", "deploy"),
        ("step", "pending"),
        ("deployment", "running"),
        ("step", "running"),
        ("step", "success"),
        ("deployment", "success"),
    ]


def test_an_event_is_one_json_object(github: GitHub, service: ServiceFiles) -> None:
    """`id`, `type`, and the object under its type's name; what a script is given is not in it."""
    service("shop")
    github.push()

    line = json.loads(next(event for event in feed.since(0) if event.type is EventType.DEPLOYMENT).line())

    assert {"id", "type", "deployment"} == line.keys()
    assert (1, "shop", "queued", sha(2)) == tuple(line["deployment"][key] for key in ("id", "service", "state", "sha"))
    assert not {"context", "steps", "url"} & line["deployment"].keys()


@pytest.mark.usefixtures("database")
def test_what_is_undone_is_not_told() -> None:
    """An event lives and dies with the change that it tells."""

    def fail() -> None:
        changes.of_service(Service.create(name="shop", repository="octo-org/shop", created=1).id)
        raise LookupError

    with pytest.raises(LookupError):
        store.write(fail)

    assert feed.newest() == 0
    assert not Service.select().exists()


@pytest.mark.usefixtures("database")
def test_a_change_outside_of_a_write_is_a_bug() -> None:
    """Nobody can forget the transaction."""
    with pytest.raises(RuntimeError, match="none is under way"):
        changes.of_service(1)


@pytest.mark.usefixtures("database")
def test_a_thing_that_changes_twice_in_a_write_is_told_once(service: ServiceFiles, catalogue: Catalogue) -> None:
    """As it was at the end."""
    service("shop")

    def twice() -> None:
        row = services.of(catalogue.entries()["shop"], now=1)
        changes.of_service(row.id)
        changes.of_service(row.id)

    store.write(twice)

    assert told() == [("service", "shop")]


@pytest.mark.usefixtures("database")
def test_only_a_write_that_changed_something_rings() -> None:
    """Once, and after its commit."""
    rings: list[int] = []
    store.when_changed(lambda: rings.append(feed.newest()))
    try:
        store.write(lambda: None)
        row = store.write(lambda: Service.create(name="shop", repository="octo-org/shop", created=1))
        store.write(lambda: changes.of_service(row.id))
    finally:
        store.when_changed(None)

    assert rings == [1]


@pytest.mark.usefixtures("database")
def test_the_last_events_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes with an id from before them is told so, and so is who comes with one that was never given out."""
    monkeypatch.setattr(feed, "KEPT", 150)
    for _ in range(300):
        store.write(lambda: feed.append(EventType.SERVICE, {}, service=None, deployment=None, now=1))

    assert 150 == Event.select().count()
    assert [] == feed.since(300)
    assert list(range(151, 301)) == [event.id for event in feed.since(150)]
    for gone in (0, 149, 301):
        with pytest.raises(Gone):
            feed.since(gone)


def test_a_visitor_sees_what_the_service_lets_them(github: GitHub, service: ServiceFiles, host: Host) -> None:
    """Nothing of a private one, state and age of a `status` one; of a public one commits and steps, but no person."""
    service("shop")
    github.push()
    host.begin(1, steps=["Build"])
    deployments.cancel(1, by=LOCAL, now=clock.now())
    seen = {
        visibility: [json.loads(line) for event in feed.since(0) if (line := feed.for_visitors(event, visibility))]
        for visibility in Visibility
    }

    assert [] == seen[Visibility.PRIVATE]
    assert {"deployment", "service"} == {event["type"] for event in seen[Visibility.STATUS]}
    told = seen[Visibility.STATUS][-1]["deployment"].keys()
    assert {"service", "state", "created", "started", "finished"} == told, "no number: it counts everybody's"
    assert {"deployment", "service", "step"} == {event["type"] for event in seen[Visibility.PUBLIC]}
    assert sha(2) == seen[Visibility.PUBLIC][-1]["deployment"]["sha"]
    assert not {"actor", "reason", "delivery", "host"} & seen[Visibility.PUBLIC][-1]["deployment"].keys()


@pytest.mark.parametrize("visibility", [Visibility.STATUS, Visibility.PUBLIC])
def test_a_visitor_learns_of_no_lock(visibility: Visibility, github: GitHub, service: ServiceFiles) -> None:
    """Neither from the service nor from what waits for it, nor which commit is held back."""
    service("shop")
    github.push()
    locking.lock("shop", {}, locking.Wish(reason="the database moves"), by=LOCAL, now=clock.now())

    seen = "".join(filter(None, (feed.for_visitors(event, visibility) for event in feed.since(0))))

    assert '"waiting"' in seen
    assert not [word for word in ("lock", "held", "database moves", "local") if word in seen]


@pytest.fixture
def owing(host: Host, database: object) -> Host:
    """A host whose deployments GitHub is owed the status of."""
    assert database
    row = store.write(lambda: Service.create(name="shop", repository="octo-org/shop", created=1))
    for number in (1, 2, 3):
        store.write(partial(_pushed, row, sha(number)))
    return host


def _pushed(row: Service, commit: str) -> None:
    order = Order(
        origin=Origin.PUSH,
        sha=commit,
        ref="refs/heads/main",
        repository="octo-org/shop",
        actor="octocat",
        report=("status",),
    )
    deployments.supersede(deployments.queue(row, order, now=1), now=1)


def owed() -> dict[str, int]:
    """How many changes GitHub is owed of each commit."""
    return {row.sha: row.changes - row.told for row in Report.select()}


def test_github_is_owed_each_change_of_a_commit(owing: Host) -> None:
    """Also of those that ship with it, whose own state is its state in the end."""
    before = owed()

    owing.begin(3)
    between = owed()
    owing.end(3)

    assert {sha(1): 2, sha(2): 2, sha(3): 1} == before
    assert {sha(1): 2, sha(2): 2, sha(3): 2} == between
    assert {sha(1): 3, sha(2): 3, sha(3): 3} == owed()


def test_without_credentials_nothing_is_owed(github: GitHub, service: ServiceFiles, host: Host) -> None:
    """Nothing is kept for a GitHub that cannot be told."""
    service("shop")
    github.push()
    host.begin(1)
    host.end(1, DeploymentState.FAILURE)

    assert not Report.select().exists()
    assert "[]" == Deployment.get_by_id(1).report


def test_why_a_deployment_waits_is_told(github: GitHub, service: ServiceFiles) -> None:
    """The reason is a change like any other; the same reason again is none."""
    service("shop")
    github.push()
    before = feed.newest()
    for _ in range(2):
        queue.explain(deployments.find(1), "waits for its service file to be mended")

    assert told(before) == [("deployment", "queued")]


def test_a_retry_owes_what_its_service_owes_now(github: GitHub, service: ServiceFiles, host: Host) -> None:
    """Not what was owed when its parent began: credentials and files may have come or gone since."""
    service("shop")
    github.push()
    host.begin(1)
    host.end(1, DeploymentState.FAILURE)
    now_told = {"shop": Entry("shop", None, report=("status",))}

    again = store.write(lambda: retries.retry(1, now_told, by=LOCAL, now=clock.now()))

    assert '["status"]' == Deployment.get_by_id(again.id).report
    assert {sha(2): 1} == owed()
