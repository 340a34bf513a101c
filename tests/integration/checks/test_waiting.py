"""Waiting for checks: under locks, beside newer pushes, and not without end."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from callers import (
    REPOSITORY,
    SOON,
    GitHub,
    Host,
    ServiceFiles,
    sha,
    states,
    sync,
    vouch,
)
from clerks import HEAD, LIMIT, LOCKED, QUEUED, WAITS, Clerk, lock, row, standing, unlock
from fakehub import FakeHub
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, queue, retries
from fastdeploy_bot.core.signals import checking
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.engine.relay import Relay
from fastdeploy_bot.store.models import Report
from fastdeploy_bot.words import LOCAL

# --- locks ------------------------------------------------------------------------------------------------


def test_a_lock_comes_first_and_checks_after_it(wait_for: Any, push: Any) -> None:
    """When it ends, it goes on waiting for checks."""
    wait_for("test")
    lock()
    push()
    locked = standing()
    unlock()

    assert (LOCKED, WAITS) == (locked, standing())


def test_what_waits_for_checks_waits_for_a_lock_as_soon_as_there_is_one(wait_for: Any, push: Any) -> None:
    """And for a lock's new reason."""
    wait_for("test")
    push()
    lock()
    locked = standing()
    locking.lock("shop", {}, locking.Wish(reason="longer"), by=LOCAL, now=clock.now())
    again = standing()
    unlock()

    assert (LOCKED, ("waiting", "lock", "locked by local: longer"), WAITS) == (locked, again, standing())


def test_checks_that_succeed_under_a_lock_open_nothing(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """It then waits for the lock alone."""
    wait_for("test")
    push()
    lock()
    hub.ci.check(HEAD, "test")
    clerk.settle(3)
    locked = standing()
    unlock()

    assert (LOCKED, QUEUED) == (locked, standing())


def test_checks_that_fail_under_a_lock_end_it(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """Nobody has to wait for the lock's end to learn it."""
    wait_for("test")
    push()
    lock()
    hub.ci.check(HEAD, "test", "failure")

    clerk.tick()

    assert ("cancelled", None, "check test failed") == standing()


# --- newer pushes -----------------------------------------------------------------------------------------


def test_a_newer_push_takes_over(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """The older one waits for nothing any more, whatever becomes of its checks."""
    wait_for("test")
    push(2)
    push(3)
    hub.ci.check(sha(2), "test", "failure")
    hub.ci.check(sha(3), "test")

    clerk.settle(5)

    assert [("shop", "superseded"), ("shop", "queued")] == states()
    assert not [call for call in hub.calls if sha(2) in call.path]


def test_without_supersede_a_newer_one_does_not_wait_for_an_older(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub, host: Host
) -> None:
    """And the older one does not run after it: it ships with it."""
    wait_for("test", supersede=False)
    push(2)
    push(3)
    hub.ci.check(sha(3), "test")
    clerk.settle(5)
    begun = [each.id for each in queue.next_up()]
    host.begin(2)
    hub.ci.check(sha(2), "test")
    clerk.settle(90)

    assert [2] == begun
    assert [("shop", "superseded"), ("shop", "running")] == states()
    assert (f"ships with {sha(3)[:7]} (deployment 2)", 2) == (row(1).reason, row(1).taken_over_by_id)


def test_without_supersede_both_run_in_order_where_the_newer_has_not_begun(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub
) -> None:
    """Even where the dispatcher had chosen the newer one a moment before."""
    wait_for("test", supersede=False)
    push(2)
    push(3)
    hub.ci.check(sha(3), "test")
    clerk.settle(5)
    [chosen] = queue.next_up()
    hub.ci.check(sha(2), "test")
    clerk.settle(90)
    claim = queue.Claim(host="host-1", run="run", definition="{}", token_hash="hash", steps=())

    assert 2 == chosen.id
    assert not queue.claim(chosen, claim, max_running=9, now=5)
    assert [1] == [each.id for each in queue.next_up()]


def test_a_newer_push_that_was_tried_again_by_hand_is_not_followed_by_an_older(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub, host: Host
) -> None:
    """Its own checks had failed; whoever had it deployed all the same does not get what came before it."""
    wait_for("test", supersede=False)
    push(2)
    push(3)
    hub.ci.check(sha(3), "test", "failure")
    clerk.settle(5)
    store.write(lambda: retries.retry(2, {}, by=LOCAL, now=clerk.now))
    host.begin(3)
    host.end(3)
    hub.ci.check(sha(2), "test")
    clerk.settle(90)

    assert [("shop", "superseded"), ("shop", "cancelled"), ("shop", "success")] == states()
    assert f"ships with {sha(3)[:7]} (deployment 3)" == row(1).reason


@pytest.mark.parametrize("locked", [False, True])
def test_a_branch_that_is_deleted_meanwhile_deploys_nothing(
    wait_for: Any, push: Any, github: GitHub, clerk: Clerk, hub: FakeHub, locked: bool
) -> None:
    """What waits for checks of that branch ends with the reason; that of another branch waits on."""
    wait_for("test", branches=["main", "next"], supersede=False)
    push()
    push(3)
    push(4, ref="refs/heads/next")
    if locked:
        lock()

    github.push(before=sha(3), after=sha(0), pushed_at=SOON + 5)
    unlock()
    hub.ci.check(HEAD, "test")
    clerk.settle(10)

    gone = ("cancelled", None, "branch main was deleted: there is nothing to deploy")
    assert [gone, gone, WAITS] == [standing(number) for number in (1, 2, 3)]


def test_a_branch_that_was_deleted_before_ends_nothing_newer(wait_for: Any, push: Any, github: GitHub) -> None:
    """Its webhook came late: the branch is there again."""
    wait_for("test")
    push(3)

    github.push(before=sha(1), after=sha(0), pushed_at=SOON + 1)

    assert WAITS == standing()


@pytest.mark.parametrize("by", ["a look", "a push"])
def test_a_service_of_another_repository_deploys_nothing_of_this_one(
    wait_for: Any, push: Any, service: ServiceFiles, app: Flask, github: GitHub, clerk: Clerk, hub: FakeHub, by: str
) -> None:
    """What waits for checks ends with the reason, as soon as somebody sees the service's file."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test")
    service("shop", wait_for=["test"], repository="octo-org/Other")

    if by == "a look":
        sync(app)
    else:
        github.push(before=sha(2), after=sha(3), pushed_at=SOON + 3)
    clerk.settle(10)

    assert ("cancelled", None, "service shop is of another repository now: octo-org/other") == standing()


def test_another_service_file_of_the_same_repository_ends_nothing(wait_for: Any, push: Any) -> None:
    """Its name may be spelt in other letters."""
    wait_for("test")
    push()

    wait_for("lint", repository=REPOSITORY.upper())

    assert WAITS == standing()


def test_what_a_person_started_meanwhile_takes_nothing_over(
    wait_for: Any, push: Any, start: Any, clerk: Clerk, hub: FakeHub, host: Host
) -> None:
    """It may be any commit; the push is deployed when its checks have succeeded."""
    wait_for("test")
    push(2)
    vouch(sha(9))
    start(sha=sha(9))
    host.begin(2)
    host.end(2)
    hub.ci.check(HEAD, "test")

    clerk.settle(5)

    assert [("shop", "queued"), ("shop", "success")] == states()


def test_a_deployment_that_was_cancelled_meanwhile_stays_so(wait_for: Any, push: Any, clerk: Clerk) -> None:
    """Between the question and the answer."""
    wait_for("test")
    push()
    [commit] = checking.commits()
    deployments.cancel(1, by=LOCAL, now=clerk.now)

    assert not checking.settle(commit, [], whole=True, now=clerk.now)
    checking.postpone(commit, "no", due=clerk.now, told=True)
    assert ("cancelled", None, "cancelled by local before it began") == standing()


# --- the limit --------------------------------------------------------------------------------------------


def test_the_limit_ends_it_with_the_reason(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """As the checks stood when GitHub was asked last."""
    wait_for("CI / test", "lint")
    push()
    hub.ci.check(HEAD, "CI / test", None)
    hub.ci.check(HEAD, "lint")
    clerk.tick()
    clerk.expire(LIMIT - 60)
    before = standing()

    clerk.expire(120)

    assert "waiting" == before[0]
    assert ("cancelled", None, "waited 2h for checks: CI / test is in progress") == standing()


def test_the_limit_holds_where_github_cannot_be_asked(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """By rows alone; what kept it from being asked is told."""
    wait_for("test")
    push()
    hub.down = True
    clerk.tick()

    clerk.expire(LIMIT + 1)

    why = "waited 2h for checks: test (GitHub cannot be reached: the connection failed)"
    assert ("cancelled", None, why) == standing()


def test_a_name_that_nobody_reports_is_told_with_those_that_are_there(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub
) -> None:
    """After a minute on the page, and at the end: GitHub's own pages show other names than its interface has."""
    wait_for("CI / test")
    push()
    hub.ci.check(HEAD, "test")
    hub.ci.check(HEAD, "lint")
    clerk.settle(30)
    early = standing()
    clerk.settle(100)
    late = standing()
    clerk.expire(LIMIT)

    missing = "CI / test has not been reported; there are: lint, test"
    assert "waits for checks: CI / test" == early[2]
    assert f"waits for checks: CI / test ({missing})" == late[2]
    assert ("cancelled", None, f"waited 2h for checks: {missing}") == standing()


def test_the_limit_counts_under_a_lock_while_checks_are_wanted(wait_for: Any, push: Any, clerk: Clerk) -> None:
    """A check that never ends would else wait for the lock's end to be told."""
    wait_for("test")
    push()
    lock()

    clerk.expire(LIMIT + 1)

    assert "cancelled" == standing()[0]


def test_what_waits_for_a_lock_alone_has_no_limit(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """Its checks have succeeded, or it wanted none."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test")
    clerk.tick()
    lock()

    clerk.expire(10 * LIMIT)

    assert LOCKED == standing()


def test_a_clock_that_is_set_back_lets_nothing_wait_for_longer(wait_for: Any, push: Any, clerk: Clerk) -> None:
    """It counts anew from there, and GitHub is asked all the same."""
    wait_for("test")
    push()
    clerk.settle(200)
    clerk.now -= 10 * 3_600 * clock.SECOND
    clerk.expire()
    asked = checking.is_due(checking.commits()[0], now=clerk.now)
    clerk.expire(LIMIT + 1)

    assert asked
    assert "cancelled" == standing()[0]


def test_looks_without_news_write_no_event_and_owe_github_nothing(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub
) -> None:
    """Only where something is to be said."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test", None)
    clerk.tick()
    before = len(feed.since(0, limit=200)), Report.get().changes

    clerk.settle(300)

    assert before == (len(feed.since(0, limit=200)), Report.get().changes)


def test_github_is_told_what_it_waits_for(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """Pending, by the commit's status."""
    wait_for("CI / test")
    push()
    relay = Relay(clerk.line, public_url="https://deploy.example")

    relay.tick(now=clock.now())

    [told] = hub.told(HEAD)
    assert ("pending", "Waiting · waits for checks: CI / test") == (told.state, told.description)
