"""The queue: every deployment begins once, one at a time for each service, and no more than the host may run."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from callers import Host, at_once, sha
from databases import Raw
from fastdeploy_bot import store
from fastdeploy_bot.core.deploying import deployments, queue
from fastdeploy_bot.core.deploying.deployments import Ending, Order
from fastdeploy_bot.core.deploying.queue import Claim
from fastdeploy_bot.errors import Conflict, NotFound
from fastdeploy_bot.store.models import Deployment, Service, Step
from fastdeploy_bot.words import EDGES, DeploymentState, Origin

CLAIM = Claim(host="host-1", run="run", definition="{}", token_hash="hash", steps=("Build",))
ORDER = Order(origin=Origin.PUSH, sha=sha(1), ref="refs/heads/main", repository="octo-org/shop", actor="octocat")

pytestmark = pytest.mark.usefixtures("database")


def service(name: str = "shop") -> Service:
    """A service's row."""
    return store.write(lambda: Service.create(name=name, repository=f"octo-org/{name}", created=1))


def queued(shop: Service, count: int = 1) -> list[Deployment]:
    """Some queued deployments of a service."""
    return store.write(lambda: [deployments.queue(shop, ORDER, now=1) for _ in range(count)])


def claim(deployment: Deployment, *, max_running: int = 9, host: str = "host-1") -> bool:
    """Let a deployment begin."""
    mine = Claim(host=host, run="run", definition="{}", token_hash="hash", steps=("Build",))
    return queue.claim(deployment, mine, max_running=max_running, now=5)


def running() -> int:
    """How many run."""
    return Deployment.select().where(Deployment.state == DeploymentState.RUNNING).count()


def test_a_claim_keeps_what_the_run_needs() -> None:
    """Host, folder, definition and token are in the row from then on, its steps are pending."""
    (deployment,) = queued(service())

    assert queue.claim(deployment, CLAIM, max_running=1, now=5)

    row = deployments.find(deployment.id)
    assert ("running", "host-1", "run", "{}", "hash", 5) == (
        row.state,
        row.host,
        row.run,
        row.definition,
        row.token_hash,
        row.started,
    )
    assert [("Build", "pending", 1)] == [(step.name, step.state, step.position) for step in Step.select()]


def test_a_deployment_is_claimed_once_however_many_try() -> None:
    """One of eight threads gets it, and its steps are there once."""
    (deployment,) = queued(service())

    claimed = at_once(lambda _: claim(deployment), 8)

    assert 1 == claimed.count(True)
    assert 1 == Step.select().count()


def test_one_service_runs_one_deployment_however_many_are_claimed() -> None:
    """The others stay queued, as they were."""
    waiting = queued(service(), 8)

    claimed = at_once(lambda number: claim(waiting[number]), 8)

    assert 1 == claimed.count(True)
    assert 1 == running()
    assert 7 == Deployment.select().where(Deployment.state == DeploymentState.QUEUED).count()


def test_a_host_runs_no_more_than_it_may() -> None:
    """`max_running` holds, however many services want to at the same moment."""
    waiting = [queued(service(f"s{number}"))[0] for number in range(8)]

    claimed = at_once(lambda number: claim(waiting[number], max_running=3), 8)

    assert 3 == claimed.count(True)
    assert 3 == running()


def test_every_host_has_slots_of_its_own() -> None:
    """What runs elsewhere takes none here."""
    first, second, third = (queued(service(f"s{number}"))[0] for number in range(3))

    assert claim(first, max_running=1, host="host-1")
    assert claim(second, max_running=1, host="host-2")
    assert not claim(third, max_running=1, host="host-1")


def test_a_slot_that_is_free_again_is_taken() -> None:
    """Only what runs counts."""
    first, second = queued(service(), 2)
    assert claim(first, max_running=1)

    Host().end(first.id)

    assert claim(second, max_running=1)


@pytest.mark.parametrize("state", [state for state in DeploymentState if state is not DeploymentState.QUEUED])
def test_only_what_is_queued_can_be_claimed(state: DeploymentState) -> None:
    """A deployment that moved on since it was looked at does not begin."""
    (deployment,) = queued(service())
    store.write(lambda: Deployment.update(state=state).execute())

    assert not claim(deployment)
    assert state == deployments.find(deployment.id).state


def test_the_oldest_of_each_service_is_next() -> None:
    """In the order in which they came; services that are busy wait."""
    shop, api, busy = service("shop"), service("api"), service("busy")
    for each in (busy, shop, api, shop, busy, api):
        queued(each)
    assert claim(deployments.find(1))

    assert [2, 3] == [deployment.id for deployment in queue.next_up()]


def test_nothing_is_next_when_nothing_is_queued() -> None:
    """Waiting ones and those that ended are not."""
    queued(service(), 3)
    for number, state in enumerate(("waiting", "success", "cancelled"), start=1):
        store.write(lambda: Deployment.update(state=state).where(Deployment.id == number).execute())  # noqa: B023

    assert [] == queue.next_up()


def test_a_host_knows_what_it_runs() -> None:
    """Its own, oldest first."""
    rows = [queued(service(f"s{number}"))[0] for number in range(3)]
    for deployment, host in zip(rows, ("host-1", "host-2", "host-1"), strict=True):
        assert claim(deployment, host=host)

    assert [1, 3] == [deployment.id for deployment in queue.running_on("host-1")]
    assert [2] == [deployment.id for deployment in queue.running_on("host-2")]
    assert [] == queue.running_on("host-3")


def test_the_reason_why_it_waits_goes_when_it_begins() -> None:
    """What was true in the queue is not true any more."""
    (deployment,) = queued(service())
    queue.explain(deployment, "the host runs as many as it may")
    assert "the host runs as many as it may" == deployments.find(1).reason

    assert claim(deployments.find(1))

    assert "" == deployments.find(1).reason


def test_the_database_itself_forbids_two_running_deployments_of_a_service(raw: Raw) -> None:
    """Whoever writes, with whatever program: the second one fails."""
    first, _ = queued(service(), 2)
    assert claim(first)
    columns = ", ".join(f'"{field.column_name}"' for field in Deployment._meta.sorted_fields[1:])
    copy = f"INSERT INTO deployment ({columns}) SELECT {columns} FROM deployment WHERE id = 1"  # noqa: S608 - our own

    for statement in ("UPDATE deployment SET state = 'running' WHERE id = 2", copy):
        with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match=r"(?i)unique"):
            raw.execute(statement)

    assert 1 == running()


@pytest.mark.parametrize("old", list(DeploymentState))
@pytest.mark.parametrize("new", list(DeploymentState))
def test_states_change_along_the_edges_only(old: DeploymentState, new: DeploymentState) -> None:
    """Every pair of states: where there is no edge, nothing moves."""
    queued(service())
    store.write(lambda: Deployment.update(state=old).execute())

    if new in EDGES[old]:
        store.write(lambda: deployments.move(deployments.find(1), new))
        assert new == deployments.find(1).state
    else:
        with pytest.raises(Conflict):
            store.write(lambda: deployments.move(deployments.find(1), new))
        assert old == deployments.find(1).state


def test_a_change_by_somebody_else_meanwhile_is_noticed() -> None:
    """The database checks that the row still is where it was when it was read."""
    queued(service())
    seen = deployments.find(1)
    store.write(lambda: Deployment.update(state="cancelled").execute())

    with pytest.raises(Conflict, match="any more"):
        store.write(lambda: deployments.move(seen, DeploymentState.SUPERSEDED))

    assert "cancelled" == deployments.find(1).state


def test_one_of_many_endings_counts() -> None:
    """Final is final, whoever comes first."""
    (deployment,) = queued(service())
    assert claim(deployment)

    def end(number: int) -> str:
        state = DeploymentState.SUCCESS if number % 2 else DeploymentState.FAILURE
        try:
            store.write(lambda: deployments.finish(1, Ending(state=state, exit_status=number), now=9))
        except Conflict:
            return "late"
        return state

    ends = at_once(end, 6)

    assert 5 == ends.count("late")
    assert {"late", deployments.find(1).state} == set(ends)


def test_what_is_not_there_is_not_found() -> None:
    """For every id, however large it may be in the database."""
    for number in (0, 99, 2**63 - 1):
        with pytest.raises(NotFound):
            deployments.find(number)
