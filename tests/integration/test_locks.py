"""Locks: while a service is locked nothing of it begins; what is asked for waits, and goes on at the lock's end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import SOON, Auth, GitHub, Host, ServiceFiles, at_once, is_problem, sha, states, sync, verdicts
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, progress, queue
from fastdeploy_bot.core.deploying.deployments import Ending
from fastdeploy_bot.core.deploying.queue import Claim
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.store.models import Audit, Deployment, Service
from fastdeploy_bot.words import BOT, LOCAL, DeploymentState

PATH = "/api/v1/services/shop/lock"
WHY = "locked by deployer: the database moves"
CLAIM = Claim(host="host-1", run="run", definition="{}", token_hash="hash", steps=())
TOLD_TO_HOLD = {"on_lost": "hold"}


@pytest.fixture(autouse=True)
def shop(service: ServiceFiles, app: Flask) -> ServiceFiles:
    """A service named shop, of the default branch."""
    service("shop")
    sync(app)
    return service


@pytest.fixture
def lock(client: FlaskClient, auth: Auth) -> Any:  # a function with keywords of every kind
    """Lock shop, as a deployer."""

    def call(reason: str = "the database moves", *, role: str = "deployer", **fields: Any) -> TestResponse:
        return client.post(PATH, json={"reason": reason} | fields, headers=auth(role))

    return call


@pytest.fixture
def unlock(client: FlaskClient, auth: Auth) -> Any:  # a function with a default
    """Unlock shop, as a deployer."""

    def call(role: str = "deployer") -> TestResponse:
        return client.delete(PATH, headers=auth(role))

    return call


def lock_for(reason: str) -> Service:
    """Lock shop as a command on the host does."""
    return locking.lock("shop", {}, locking.Wish(reason=reason), by=LOCAL, now=5)


def reasons() -> list[str]:
    """Why each deployment is where it is, oldest first."""
    return [row.reason for row in Deployment.select().order_by(Deployment.id)]


def trail() -> list[tuple[str, str, str]]:
    """Who did what to what of this module's matter, oldest first."""
    rows = Audit.select().where(Audit.action.in_(["lock", "unlock"])).order_by(Audit.id)
    return [(row.who, row.action, row.object) for row in rows]


# --- what waits ---


def test_a_push_to_a_locked_service_waits(lock: Any, github: GitHub) -> None:
    """Verdict and deployment both say who locked it, and why."""
    lock()

    (told,) = github.push().get_json()["verdicts"]

    assert ("wait", f"branch main is now {sha(2)[:7]}; the service is {WHY}", 1) == (
        told["verdict"],
        told["reason"],
        told["deployment"],
    )
    assert [("shop", "waiting")] == states()
    assert [WHY] == reasons()


def test_what_people_and_their_tokens_ask_for_waits_too(
    lock: Any, start: Any, client: FlaskClient, auth: Auth, host: Host
) -> None:
    """By hand, by the API, a retry and a rollback: nobody passes a lock by."""
    for number in (8, 9):
        start(sha=sha(number))
        host.begin(Deployment.select().count())
        host.end(Deployment.select().count())
    lock()

    start(sha=sha(1))
    start(sha=sha(1), headers=auth.service("shop"))
    client.post("/api/v1/deployments/1/retry", headers=auth("deployer"))
    client.post("/api/v1/services/shop/rollback", headers=auth("deployer"))

    rows = list(Deployment.select().where(Deployment.id > 2).order_by(Deployment.id))
    assert ["manual", "api", "retry", "rollback"] == [row.origin for row in rows]
    assert {("waiting", WHY)} == {(row.state, row.reason) for row in rows}


def test_what_is_queued_waits_from_then_on_and_what_runs_goes_on(lock: Any, start: Any, host: Host) -> None:
    """In the lock's own write: there is no moment in which one more could begin."""
    for _ in range(3):
        start(sha=sha(9))
    host.begin(1)

    lock()

    assert [("shop", "running"), ("shop", "waiting"), ("shop", "waiting")] == states()
    host.end(1)
    assert [] == queue.next_up()


def test_of_waiting_pushes_the_newest_is_kept(
    lock: Any, unlock: Any, github: GitHub, start: Any, shop: ServiceFiles
) -> None:
    """Even where nothing supersedes otherwise: they would all begin at the lock's end. What people started stays."""
    shop("shop", supersede=False, branches=["main", "next"])
    lock()
    start(sha=sha(9))
    for number in (2, 3, 4):
        github.push(before=sha(number - 1), after=sha(number), pushed_at=SOON + number)
    github.push(ref="refs/heads/next", after=sha(7))

    told = [state for _, state in states()]
    unlock()

    assert ["waiting", "superseded", "superseded", "waiting", "waiting"] == told
    assert ["queued", "superseded", "superseded", "queued", "queued"] == [state for _, state in states()]
    assert f"ships with {sha(4)[:7]} (deployment 4)" == deployments.find(3).reason


def test_a_waiting_deployment_can_be_cancelled(
    lock: Any, unlock: Any, start: Any, client: FlaskClient, auth: Auth
) -> None:
    """And stays so at the lock's end."""
    lock()
    start(sha=sha(9))

    answer = client.post("/api/v1/deployments/1/cancel", headers=auth("deployer"))
    unlock()

    assert 202 == answer.status_code
    assert [("shop", "cancelled")] == states()


def test_only_the_locked_service_waits(lock: Any, github: GitHub, shop: ServiceFiles) -> None:
    """Its neighbours of the same repository are deployed."""
    shop("other")
    lock()

    assert {"shop": "wait", "other": "deploy"} == verdicts(github.push())


# --- the queue ---


def test_a_lock_made_after_the_look_at_the_queue_holds(lock: Any, start: Any) -> None:
    """The claim fails: what was next is not any more."""
    start(sha=sha(9))
    (chosen,) = queue.next_up()

    lock()

    assert not queue.claim(chosen, CLAIM, max_running=9, now=5)
    assert [("shop", "waiting")] == states()


def test_the_claim_itself_minds_the_lock(lock: Any, start: Any) -> None:
    """Even a row that another version left queued does not begin."""
    lock()
    start(sha=sha(9))
    store.write(lambda: Deployment.update(state="queued").execute())

    assert [] == queue.next_up()
    assert not queue.claim(deployments.find(1), CLAIM, max_running=9, now=5)
    assert [("shop", "queued")] == states()


def test_lock_and_claim_at_once_leave_no_third_way(start: Any) -> None:
    """Either it runs, or it waits; whatever is queued later waits."""
    start(sha=sha(9))
    deployment = deployments.find(1)

    def act(number: int) -> object:
        if number:
            return queue.claim(deployment, CLAIM, max_running=9, now=5)
        return lock_for("freeze")

    claimed = at_once(act, 4)

    assert [("shop", "running" if True in claimed else "waiting")] == states()


# --- its end ---


def test_unlocking_queues_again_what_waited_in_its_order(lock: Any, unlock: Any, start: Any) -> None:
    """Each is told of once more, the oldest first, and says no reason any more."""
    lock()
    for number in (7, 8, 9):
        start(sha=sha(number))
    before = feed.newest()

    assert 204 == unlock().status_code

    assert [("shop", "queued")] * 3 == states()
    assert ["", "", ""] == reasons()
    told = [json.loads(event.data) for event in feed.since(before, limit=9) if event.type == "deployment"]
    assert [(1, "queued"), (2, "queued"), (3, "queued")] == [(each["id"], each["state"]) for each in told]
    assert [1] == [row.id for row in queue.next_up()]


def test_unlocking_what_is_not_locked_is_no_mistake(unlock: Any) -> None:
    """204, as it is what was wanted: a lock may have ended a moment ago. Nothing is written down."""
    assert 204 == unlock().status_code
    assert [] == trail()


def test_a_lock_ends_by_itself(lock: Any, start: Any) -> None:
    """Not before its time; then it is gone, and written down as the bot's own doing."""
    until = clock.now() + 3_600_000
    lock(until=clock.text(until))
    start(sha=sha(9))

    locking.expire(now=until - 1)
    before = states()
    locking.expire(now=until)

    assert [("shop", "waiting")] == before
    assert [("shop", "queued")] == states()
    assert Service.get().locked is None
    assert [("deployer", "lock", "service shop"), (BOT.name, "unlock", "service shop")] == trail()


def test_a_lock_without_an_end_lasts(lock: Any) -> None:
    """Until somebody ends it."""
    lock()

    locking.expire(now=clock.now() + 10 * 366 * clock.DAY)

    assert Service.get().locked is not None


def test_a_later_end_holds_though_the_first_is_over(lock: Any, start: Any) -> None:
    """A second lock replaces reason, end and owner of the first, for what waits already, too."""
    first = clock.now() + 60_000
    lock(until=clock.text(first))
    start(sha=sha(9))

    answer = lock("still moving", role="admin").get_json()
    locking.expire(now=first)

    assert {"by": "admin", "reason": "still moving", "until": None}.items() <= answer["lock"].items()
    assert [("shop", "waiting")] == states()
    assert ["locked by admin: still moving"] == reasons()


# --- how it is told ---


def test_a_service_shows_its_lock(lock: Any, unlock: Any, client: FlaskClient, auth: Auth) -> None:
    """Who, why, since when and until when; null without one. What waits is in the queue."""
    until = clock.text(clock.now() + 3_600_000)

    answer = lock("  the database\n moves ", until=until)
    shown = client.get("/api/v1/services/shop", headers=auth("viewer")).get_json()["lock"]
    unlock()

    assert 200 == answer.status_code
    assert answer.get_json()["lock"] == shown
    assert {"by": "deployer", "reason": "the database moves", "until": until} == {
        name: value for name, value in shown.items() if name != "since"
    }
    assert client.get("/api/v1/services/shop", headers=auth("viewer")).get_json()["lock"] is None


def test_the_feed_tells_of_a_lock_and_its_end(lock: Any, unlock: Any) -> None:
    """As changes of the service."""
    before = feed.newest()

    lock()
    unlock()

    told = [json.loads(event.data)["lock"] for event in feed.since(before, limit=9) if event.type == "service"]
    assert ["the database moves", None] == [each and each["reason"] for each in told]


def test_locks_are_written_down(lock: Any, unlock: Any) -> None:
    """Who, and why."""
    lock()
    unlock("admin")

    assert [("deployer", "lock", "service shop"), ("admin", "unlock", "service shop")] == trail()
    assert "the database moves" == Audit.get(Audit.action == "lock").detail


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": " \n"},
        {"reason": "x" * 201},
        {"reason": "why", "until": "tomorrow"},
        {"reason": "why", "until": "2030-01-01T00:00:00"},
        {"reason": "why", "until": "2001-01-01T00:00:00Z"},
        {"reason": "why", "until": "9999-12-31T23:59:59-01:00"},
        {"reason": "why", "untill": None},
    ],
)
def test_a_lock_that_makes_no_sense_is_refused(client: FlaskClient, auth: Auth, body: dict[str, object]) -> None:
    """422; nothing is locked."""
    answer = client.post(PATH, json=body, headers=auth("deployer"))

    assert is_problem(answer, 422)
    assert Service.get().locked is None


@pytest.mark.parametrize("until", ["2038-01-20T00:00:00.000Z", "9999-12-31T23:59:59.000Z"])
def test_a_lock_may_last_for_years(client: FlaskClient, lock: Any, auth: Auth, until: str) -> None:
    """Its end is told as it was given, as long as a moment can be told at all."""
    assert 200 == lock(until=until).status_code

    assert until == client.get("/api/v1/services/shop", headers=auth("viewer")).get_json()["lock"]["until"]


def test_a_removed_service_cannot_be_locked(lock: Any, app: Flask, shop: ServiceFiles) -> None:
    """409: nothing of it is deployed anyway."""
    shop.remove("shop")
    sync(app)

    assert is_problem(lock(), 409)


# --- on_lost ---


def lose(number: int) -> None:
    """Let a running deployment be lost."""
    progress.conclude(number, Ending(state=DeploymentState.LOST), now=clock.now())


def test_a_lost_deployment_locks_a_service_that_wants_that(start: Any, host: Host) -> None:
    """`on_lost = "hold"`, as it stood when the deployment began: the next one waits until somebody has looked."""
    start(sha=sha(8))
    start(sha=sha(9))
    host.begin(1, definition=TOLD_TO_HOLD)

    lose(1)

    assert [("shop", "lost"), ("shop", "waiting")] == states()
    why = "locked by fastdeploy: deployment 1 was lost: see what it left behind, then unlock"
    assert why == deployments.find(2).reason
    assert [(BOT.name, "lock", "service shop")] == trail()


@pytest.mark.parametrize("definition", [{}, {"on_lost": "continue"}])
def test_otherwise_the_next_one_follows(start: Any, host: Host, definition: dict[str, str]) -> None:
    """As after every other ending."""
    start(sha=sha(8))
    start(sha=sha(9))
    host.begin(1, definition=definition)

    lose(1)

    assert [("shop", "lost"), ("shop", "queued")] == states()


def test_other_endings_lock_nothing(start: Any, host: Host) -> None:
    """A failure is known."""
    start(sha=sha(8))
    host.begin(1, definition=TOLD_TO_HOLD)

    host.end(1, DeploymentState.FAILURE)

    assert Service.get().locked is None


def test_a_loss_outlasts_the_lock_that_was_there(lock: Any, start: Any, host: Host) -> None:
    """That one may end by itself before anybody has looked; it is named still."""
    start(sha=sha(8))
    host.begin(1, definition=TOLD_TO_HOLD)
    until = clock.now() + 60_000
    lock(until=clock.text(until))

    lose(1)
    locking.expire(now=until)

    row = Service.get()
    assert (BOT.name, None) == (row.locked_by, row.lock_until)
    assert f"deployment 1 was lost: see what it left behind, then unlock (before that {WHY})" == row.lock_reason


def test_lock_and_loss_are_one_write(start: Any, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the lock cannot be written the ending is not there either, and is tried again."""
    start(sha=sha(8))
    host.begin(1, definition=TOLD_TO_HOLD)

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(locking, "after_loss", fail)
    with pytest.raises(OSError, match="gone"):
        lose(1)

    assert [("shop", "running")] == states()


def test_many_locks_at_once_leave_one(start: Any) -> None:
    """And everything that was queued waits for that one."""
    for number in range(3):
        start(sha=sha(number + 1))

    at_once(lambda number: lock_for(f"reason {number}"), 4)

    row = Service.get()
    assert {f"locked by local: {row.lock_reason}"} == set(reasons())
