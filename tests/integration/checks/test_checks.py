"""Checks: what waits for them begins when they succeed, ends when they fail, and never begins unchecked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import fakehub
from callers import (
    REPOSITORY,
    REPOSITORY_ID,
    Auth,
    GitHub,
    Host,
    ServiceFiles,
    document,
    sha,
    states,
    vouch,
)
from clerks import HEAD, QUEUED, WAITS, Clerk, row, standing
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import queue, waiting
from fastdeploy_bot.core.pushes import intake
from fastdeploy_bot.core.signals import checking
from fastdeploy_bot.core.signals.checking import Commit
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.engine.checks import Checks
from fastdeploy_bot.forge.github import payloads
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.web.context import EXTENSION

OUR_APP = {"id": 1234, "client_id": fakehub.CLIENT_ID, "slug": "fastdeploy"}


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
