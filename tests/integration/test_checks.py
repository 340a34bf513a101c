"""Checks: what waits for them begins when they succeed, ends when they fail, and never begins unchecked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import fakehub
import signed_in
from callers import (
    REPOSITORY,
    REPOSITORY_ID,
    SOON,
    Auth,
    GitHub,
    Host,
    ServiceFiles,
    document,
    sha,
    states,
    sync,
    vouch,
)
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import checking, clock, deployments, feed, intake, locking, queue, retries, waiting
from fastdeploy_bot.core.checking import Commit
from fastdeploy_bot.engine import line
from fastdeploy_bot.engine.checks import Checks
from fastdeploy_bot.engine.relay import Relay
from fastdeploy_bot.forge.github import payloads
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Report
from fastdeploy_bot.web.context import EXTENSION
from fastdeploy_bot.words import LOCAL

HEAD = sha(2)
LIMIT = 7_200.0
OUR_APP = {"id": 1234, "client_id": fakehub.CLIENT_ID, "slug": "fastdeploy"}


class Clerk:
    """The clerk that asks about checks, whose time is the test's."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = clock.now()
        self.start()

    def start(self) -> None:
        """A process begins, and knows only what is in rows."""
        self.line = line.of(self.settings, "host-1")
        self.checks = Checks(self.line, Bell(self.settings.bell_dir), ours=lambda: self.settings.app_names)

    def tick(self, seconds: float = 1.0) -> float:
        """Look once, so many seconds after the last look."""
        self.now += int(seconds * clock.SECOND)
        return self.checks.tick(now=self.now)

    def settle(self, seconds: float) -> None:
        """Look once a second, so many times."""
        for _ in range(int(seconds)):
            self.tick()

    def expire(self, seconds: float = 0.0, limit: float = LIMIT) -> None:
        """What the dispatcher does, so many seconds later."""
        self.now += int(seconds * clock.SECOND)
        checking.expire(limit, now=self.now)


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that asks this GitHub."""
    return signed_in.by_token(settings, hub)


@pytest.fixture
def clerk(settings: Settings, app: Flask) -> Iterator[Clerk]:
    """The clerk of this host."""
    assert app.testing
    made = Clerk(settings)
    yield made
    made.line.end()


@pytest.fixture
def wait_for(service: ServiceFiles, app: Flask) -> Callable[..., None]:
    """Let shop wait for checks of these names."""

    def call(*names: str, name: str = "shop", **keys: Any) -> None:
        service(name, wait_for=list(names), **keys)
        sync(app)

    return call


@pytest.fixture
def push(github: GitHub) -> Callable[..., int]:
    """Push commit after commit to main, and answer the deployment of shop that it makes."""

    def call(number: int = 2, **fields: Any) -> int:
        told: dict[str, Any] = {"before": sha(number - 1), "after": sha(number), "pushed_at": SOON + number} | fields
        [verdict] = github.push(**told).get_json()["verdicts"]
        assert "wait" == verdict["verdict"], verdict
        made: int = verdict["deployment"]
        return made

    return call


@pytest.fixture
def news(github: GitHub) -> Callable[..., str]:
    """An event of GitHub's; answers what came of it."""

    def call(event: str = "check_suite", commit: str = HEAD, **about: Any) -> str:
        subject: dict[str, dict[str, Any]] = {"check_run": {"id": 1, "head_sha": commit}}
        subject |= {"check_suite": {"head_sha": commit}, "workflow_run": {"head_sha": commit}}
        body: dict[str, Any] = {"repository": {"id": REPOSITORY_ID, "full_name": REPOSITORY}, "action": "completed"}
        body |= {"sha": commit, **about} if event == "status" else {event: subject[event] | about}
        reason: str = github.deliver(json.dumps(body).encode(), event=event).get_json()["reason"]
        return reason

    return call


def row(number: int = 1) -> Deployment:
    """A deployment as it is now."""
    return deployments.find(number)


def standing(number: int = 1) -> tuple[str, str | None, str]:
    """Where a deployment is, what it waits for, and why."""
    found = row(number)
    return found.state, found.waits_for, found.reason


def lock(name: str = "shop") -> None:
    """Lock a service."""
    locking.lock(name, {}, locking.Wish(reason="freeze"), by=LOCAL, now=clock.now())


def unlock(name: str = "shop") -> None:
    """Unlock it."""
    locking.unlock(name, {}, by=LOCAL, now=clock.now())


WAITS = ("waiting", "checks", "waits for checks: test")
LOCKED = ("waiting", "lock", "locked by local: freeze")
QUEUED = ("queued", None, "")


# --- a push waits -----------------------------------------------------------------------------------------


def test_a_push_waits_for_the_named_checks(wait_for: Any, github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """Verdict, deployment, API and feed say for which."""
    wait_for("CI / test", "lint")

    [verdict] = github.push().get_json()["verdicts"]
    told = client.get("/api/v1/deployments/1", headers=auth("viewer")).get_json()

    why = "waits for checks: CI / test, lint"
    assert ("wait", f"branch main is now {HEAD[:7]}; it {why}") == (verdict["verdict"], verdict["reason"])
    assert ("waiting", "checks", why) == (told["state"], told["waits_for"], told["reason"])
    assert "checks" == [json.loads(e.data) for e in feed.since(0, limit=50) if e.type == "deployment"][-1]["waits_for"]
    assert [] == queue.next_up()


def test_what_people_and_their_tokens_start_does_not_wait(
    wait_for: Any, start: Any, client: FlaskClient, auth: Auth, host: Host
) -> None:
    """By hand, by the API, a retry and a rollback: whoever asks for that has looked, or cannot wait."""
    wait_for("test")
    vouch(sha(1), sha(8), sha(9))
    for number in (8, 9):
        start(sha=sha(number))
        host.begin(Deployment.select().count())
        host.end(Deployment.select().count())

    start(sha=sha(1))
    start(sha=sha(1), headers=auth.service("shop"))
    client.post("/api/v1/deployments/1/retry", headers=auth("deployer"))
    client.post("/api/v1/services/shop/rollback", headers=auth("deployer"))

    rows = list(Deployment.select().where(Deployment.id > 2).order_by(Deployment.id))
    assert ["manual", "api", "retry", "rollback"] == [each.origin for each in rows]
    assert {"queued"} == {each.state for each in rows}


def test_a_replayed_push_waits_like_the_first(wait_for: Any, push: Any, client: FlaskClient, auth: Auth) -> None:
    """It is the same push."""
    wait_for("test")
    push(guid="the-push")

    answer = client.post("/api/v1/deliveries/the-push/replay", headers=auth("deployer")).get_json()

    assert "wait" == answer["verdicts"][0]["verdict"]
    assert WAITS == standing(2)


def test_nothing_is_deployed_unchecked_where_nobody_can_ask(
    service: ServiceFiles, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push is refused and says why; when there are credentials, it can be replayed."""
    monkeypatch.setattr(Settings, "tells_github", property(lambda _: False))
    service("shop", wait_for=["test"])

    [verdict] = github.push().get_json()["verdicts"]

    assert "refused" == verdict["verdict"]
    assert verdict["reason"].startswith("wait_for: the bot has no credentials to ask GitHub for checks")
    assert not Deployment.select().exists()


# --- success and failure ----------------------------------------------------------------------------------


def test_it_begins_when_the_check_succeeds(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """Not before, and without waiting for what was not named."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test", None)
    hub.ci.check(HEAD, "lint", None)
    clerk.tick()
    before = standing()
    hub.ci.check(HEAD, "test")

    clerk.settle(10)

    assert WAITS == before
    assert QUEUED == standing()
    assert [1] == [each.id for each in queue.next_up()]


def test_a_commit_status_is_as_good(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """Of several of one context the newest counts."""
    wait_for("ci/circleci")
    push()
    hub.ci.status(HEAD, "ci/circleci", "pending")
    clerk.tick()
    hub.ci.status(HEAD, "ci/circleci", "success")

    clerk.settle(10)

    assert QUEUED == standing()


@pytest.mark.parametrize(
    ("conclusion", "told"),
    [("failure", "failed"), ("cancelled", "was cancelled"), ("timed_out", "timed out"), ("stale", "is stale")],
)
def test_what_is_no_success_ends_it(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub, conclusion: str, told: str
) -> None:
    """As cancelled, with the reason; that is final, even if the check is run again and succeeds."""
    wait_for("CI / test", "lint")
    push()
    hub.ci.check(HEAD, "CI / test", conclusion, title="3 of 80 tests")

    clerk.tick()
    hub.ci.check(HEAD, "CI / test")
    hub.ci.check(HEAD, "lint")
    clerk.settle(120)

    assert ("cancelled", None, f"check CI / test {told}: 3 of 80 tests") == standing()
    assert row().finished is not None


def test_a_failed_job_that_was_run_again_before_anybody_looked_counts_as_it_is(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub
) -> None:
    """The newest run of a name decides."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test", "failure")
    hub.ci.check(HEAD, "test", None)
    clerk.tick()
    between = standing()
    hub.ci.check(HEAD, "test")
    clerk.settle(10)

    assert (WAITS, QUEUED) == (between, standing())


def test_a_long_list_is_read_to_its_end(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """The oldest run stands on the last page."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test", "failure")
    for number in range(120):
        hub.ci.check(HEAD, f"job {number}")

    clerk.tick()

    assert ("cancelled", None, "check test failed") == standing()
    assert 3 == sum("check-runs" in path for path in hub.paths())


def test_lists_without_an_end_open_no_gate(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """So many pages are looked at and no more; what is on the others may have failed."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "other")
    for number in range(600):
        hub.ci.check(HEAD, f"job {number}")
    hub.ci.check(HEAD, "test")

    clerk.tick()

    assert WAITS == standing()
    assert 10 == sum("check-runs" in path for path in hub.paths())


# --- all checks -------------------------------------------------------------------------------------------


def test_all_checks_have_to_succeed_and_to_stay_so_for_a_while(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub
) -> None:
    """Between the first one's success and the second one's making it does not begin."""
    wait_for("*")
    push()
    hub.ci.check(HEAD, "test")
    clerk.settle(10)
    hub.ci.check(HEAD, "deploy docs", None, suite=2)
    clerk.settle(40)
    between = standing()
    hub.ci.check(HEAD, "deploy docs", suite=2)
    clerk.settle(100)

    assert ("waiting", "checks", "waits for all checks") == between
    assert QUEUED == standing()


def test_a_suite_that_has_not_completed_holds_all_checks_up(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub
) -> None:
    """A job that needs another one is no check run before its turn comes."""
    wait_for("*")
    push()
    hub.ci.check(HEAD, "build")
    hub.ci.suite(HEAD, 1, None)
    clerk.settle(120)
    between = standing()
    hub.ci.suite(HEAD, 1, "success")
    clerk.settle(120)

    assert ("waiting", "checks", "waits for all checks") == between
    assert QUEUED == standing()


def test_what_the_bot_reports_itself_never_counts(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """It would wait for itself: not its status, not its check run, and not the suite of that."""
    wait_for("*")
    push()
    hub.ci.status(HEAD, "fastdeploy/shop", "pending")
    hub.ci.status(HEAD, "fastdeploy/other", "failure")
    hub.ci.check(HEAD, "fastdeploy / shop", None, suite=9, app=OUR_APP)
    hub.ci.suite(HEAD, 9, None, app=OUR_APP)
    clerk.settle(90)
    alone = standing()
    hub.ci.check(HEAD, "test")
    clerk.settle(120)

    assert "waits for all checks (no check has been reported yet)" == alone[2]
    assert QUEUED == standing()


def test_an_idle_app_holds_nobody_up(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """It has a suite of each push, and never runs anything."""
    wait_for("*")
    push()
    hub.ci.check(HEAD, "test")
    hub.ci.suite(HEAD, 2, None, status="queued", runs=0, app={"id": 8, "slug": "scanner"})

    clerk.settle(60)

    assert QUEUED == standing()


# --- news -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "about"),
    [
        ("check_run", {"name": "test"}),
        ("check_suite", {}),
        ("workflow_run", {}),
        ("status", {"context": "test", "state": "success"}),
    ],
)
def test_an_event_lets_it_ask_at_once(
    wait_for: Any, push: Any, news: Any, clerk: Clerk, hub: FakeHub, event: str, about: dict[str, Any]
) -> None:
    """Where nothing happens it asks once a minute."""
    wait_for("test")
    push()
    clerk.settle(200)
    hub.ci.check(HEAD, "test")
    clerk.tick()
    before = standing()

    told = news(event, **about)
    clerk.now = max(clerk.now, clock.now())
    clerk.tick()

    assert before[:2] == ("waiting", "checks")
    assert f"GitHub is asked for the checks of {HEAD[:7]}: 1 wait for them" == told
    assert QUEUED == standing()


def test_an_events_word_alone_opens_nothing(wait_for: Any, push: Any, news: Any, clerk: Clerk, hub: FakeHub) -> None:
    """GitHub is asked, and what it answers decides."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test", None)
    clerk.tick()

    news("check_run", name="test", conclusion="success")
    clerk.settle(5)

    assert WAITS == standing()


@pytest.mark.parametrize(
    ("event", "about"),
    [
        ("check_run", {"name": "lint"}),
        ("status", {"context": "test", "state": "pending"}),
        ("status", {"context": "fastdeploy/shop", "state": "success"}),
        ("check_suite", {"head_sha": sha(7)}),
    ],
)
def test_news_of_something_else_asks_nothing(
    wait_for: Any, push: Any, news: Any, event: str, about: dict[str, Any]
) -> None:
    """Of another check, of another commit, or of what the bot did itself."""
    wait_for("test")
    push()
    due = waiting.of(row())

    news(event, **about)

    assert due == waiting.of(row())


@pytest.mark.parametrize(("names", "asks"), [(["*"], False), (["*", "fastdeploy / site"], True)])
def test_news_of_our_own_check_runs_count_where_they_are_named(
    wait_for: Any, push: Any, news: Any, monkeypatch: pytest.MonkeyPatch, names: list[str], asks: bool
) -> None:
    """The bot causes them itself; of a suite of its own nothing else can be meant."""
    monkeypatch.setattr(Settings, "app_names", property(lambda _: frozenset({"1234"})))
    wait_for(*names)
    push()
    due = waiting.of(row())

    news("check_suite", app={"id": 1234})
    suite = waiting.of(row())
    told = news("check_run", name="fastdeploy / site", app={"id": 1234})

    assert due == suite
    assert asks == told.startswith("GitHub is asked")


def test_a_push_that_no_webhook_told_of_waits_like_any_other(wait_for: Any, app: Flask) -> None:
    """It was found by a look at the repository."""
    wait_for("test")
    webhook = payloads.parse(document(), {"X-GitHub-Event": "push", "X-GitHub-Delivery": "found"})
    entries = app.extensions[EXTENSION].catalogue.entries()

    store.write(lambda: intake.reconcile(webhook, entries, {}, now=clock.now()))

    assert "reconciled" == row().origin
    assert WAITS == standing()


def test_news_while_github_is_being_asked_lets_it_ask_once_more(
    wait_for: Any, push: Any, news: Any, clerk: Clerk, hub: FakeHub
) -> None:
    """What was asked may not have heard of it yet."""
    wait_for("test")
    push()
    clerk.tick()
    [commit] = checking.commits()
    news()
    hub.ci.check(HEAD, "test")

    checking.settle(commit, [], whole=True, now=clerk.now)
    clerk.now = max(clerk.now, clock.now())
    clerk.settle(4)

    assert QUEUED == standing()


def test_many_events_at_once_are_one_look(wait_for: Any, push: Any, news: Any, clerk: Clerk, hub: FakeHub) -> None:
    """Jobs often end together: of one commit there is a look in two seconds at most."""
    wait_for("test")
    push()
    clerk.tick()
    before = len(hub.calls)
    for _ in range(10):
        news()
        clerk.tick(0.1)

    assert before == len(hub.calls)


# --- asking -----------------------------------------------------------------------------------------------


def test_asking_slows_down_and_costs_little(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """At once, after 5, 10, 20 and 40 seconds, then once a minute; what has not changed is not sent again."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test", None)

    clerk.settle(300)

    looks = [call for call in hub.calls if "check-runs" in call.path]
    assert 8 <= len(looks) <= 9
    assert [200] + [304] * (len(looks) - 1) == [call.status for call in looks]
    assert not [call for call in hub.calls if "check-suites" in call.path]


def test_many_commits_are_asked_about_more_rarely(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """Of thirty commits each one every one and a half minutes; and never more than one a second."""
    wait_for("test", branches=["**"])
    for number in range(2, 32):
        push(number, ref=f"refs/heads/b{number}")

    clerk.settle(300)
    before = sum("check-runs" in path for path in hub.paths())
    clerk.settle(180)

    assert before <= 300
    assert 55 <= sum("check-runs" in path for path in hub.paths()) - before <= 65


def test_two_services_of_one_commit_are_asked_for_once(
    wait_for: Any, github: GitHub, clerk: Clerk, hub: FakeHub
) -> None:
    """Each is judged by what it waits for."""
    wait_for("test")
    wait_for("lint", name="site")
    github.push()
    hub.ci.check(HEAD, "test")
    hub.ci.check(HEAD, "lint", "failure")

    clerk.tick()

    assert [("shop", "queued"), ("site", "cancelled")] == states()
    assert 2 == len(hub.calls)


@pytest.mark.parametrize("fault", [Fault(status=404, message="Not Found"), Fault(status=403, message="Resource no")])
def test_a_refusal_is_told_and_tried_again_more_and_more_slowly(
    wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub, fault: Fault
) -> None:
    """It may be mended; until the limit nothing begins."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test")
    hub.fail(*[fault] * 20)
    clerk.settle(1_200)
    between, asked = standing(), len(hub.calls)
    clerk.settle(1_200)

    assert f"waits for checks: test (GitHub answered {fault.status}: {fault.message})" == between[2]
    assert (8, 10) == (asked, len(hub.calls))


def test_a_passing_refusal_costs_seconds(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """GitHub may not know a commit yet that was pushed a moment ago."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test")
    hub.fail(Fault(status=404, message="Not Found"))

    clerk.settle(7)

    assert QUEUED == standing()


def test_a_permission_that_the_app_lacks_is_told(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """By GitHub's own words."""
    wait_for("test")
    push()
    hub.fail(Fault(status=422, message="The permissions requested are not granted to this installation."))

    clerk.tick()

    assert "not granted to this installation" in standing()[2]


def test_a_github_that_cannot_be_reached_is_asked_again(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """After 1, 2, 4 … seconds; nobody is told of a moment's trouble."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test")
    hub.fail(DROPPED, DROPPED, Fault(status=502), DROPPED)
    clerk.settle(3)
    between = standing()

    clerk.settle(60)

    assert (WAITS, QUEUED) == (between, standing())


def test_a_limit_makes_it_silent(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """Nothing is asked until it is over; then it goes on."""
    wait_for("test")
    push()
    hub.ci.check(HEAD, "test")
    hub.fail(Fault(status=429, headers={"Retry-After": "120"}))
    clerk.settle(110)
    asked = len(hub.calls)
    clerk.settle(60)

    assert 1 == asked
    assert QUEUED == standing()


def test_nonsense_opens_nothing(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """An answer that is not as GitHub describes it is no answer."""
    wait_for("test")
    push()
    hub.fail(*[Fault(status=200, raw=raw) for raw in (b"[]", b'{"check_runs": 1}', b'{"check_runs": [{}]}', b"x")])

    clerk.settle(4)

    assert WAITS == standing()


def test_a_fault_at_one_commits_checks_holds_up_no_other(
    wait_for: Any,
    push: Any,
    clerk: Clerk,
    hub: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of the bot's own is logged, told, and tried again more and more slowly; then all goes on."""
    wait_for("test", supersede=False)
    for number in range(2, 6):
        push(number)
        hub.ci.check(sha(number), "test")
    read = Checks._read

    def fail(checks: Checks, client: Any, token: str, commit: Commit, *rest: Any) -> Any:
        if commit.sha != sha(5):
            raise ZeroDivisionError
        return read(checks, client, token, commit, *rest)

    monkeypatch.setattr(Checks, "_read", fail)
    clerk.settle(10)
    between = [standing(number) for number in (1, 4)]
    faults = [record for record in caplog.records if record.exc_info]
    monkeypatch.undo()
    clerk.settle(60)

    told = "waits for checks: test (the bot could not look at them: its log says why)"
    assert [("waiting", "checks", told), QUEUED] == between
    assert 3 <= len(faults) <= 6
    assert {(REPOSITORY, sha(number)) for number in (2, 3, 4)} == {
        (getattr(record, "repository", ""), getattr(record, "commit", "")) for record in faults
    }
    assert [QUEUED] * 4 == [standing(number) for number in (1, 2, 3, 4)]


def test_a_restart_in_the_middle_changes_nothing(wait_for: Any, push: Any, clerk: Clerk, hub: FakeHub) -> None:
    """All that it has to know stands in rows."""
    wait_for("*")
    push()
    hub.ci.check(HEAD, "test")
    clerk.settle(5)
    clerk.line.end()
    clerk.start()

    clerk.settle(60)

    assert QUEUED == standing()


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
