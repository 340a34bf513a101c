"""The relay: GitHub is told what becomes of each commit, in order, at GitHub's pace, and nothing is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import appkeys
import fakehub
import signed_in
from callers import GitHub, Host, ServiceFiles, sha, sync
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, queue, retries
from fastdeploy_bot.core.files.catalogue import Catalogue, Entry
from fastdeploy_bot.core.telling import outbox
from fastdeploy_bot.engine import desk, line
from fastdeploy_bot.engine.relay import Relay
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Report
from fastdeploy_bot.words import LOCAL, DeploymentState, Origin, ReportKind, StepReport, StepState
from runs import eventually
from senders import Sender

HEAD = sha(2)
HOUR = 3_600.0
SUCCESS, FAILURE = DeploymentState.SUCCESS, DeploymentState.FAILURE


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that tells this GitHub."""
    return signed_in.by_token(settings, hub, public_url="https://deploy.example")


@pytest.fixture
def make_sender(settings: Settings, app: Flask) -> Iterator[Callable[..., Sender]]:
    """Makes relays, of this host or another; where they are of another, with another home."""
    assert app.testing
    with ExitStack() as stack:

        def make(host: str = "host-1", given: Settings = settings) -> Sender:
            speaking = line.of(given, host)
            stack.callback(speaking.end)
            return Sender(speaking, Relay(speaking, public_url=given.effective_public_url))

        yield make


@pytest.fixture
def sender(make_sender: Callable[..., Sender]) -> Sender:
    """This host's relay."""
    return make_sender()


@pytest.fixture
def push(github: GitHub, service: ServiceFiles, app: Flask) -> Callable[..., int]:
    """Push, and answer the deployment of shop that it started."""
    service("shop", branches=["main"], report=["status"])
    sync(app)

    def call(**fields: Any) -> int:
        [verdict] = github.push(**fields).get_json()["verdicts"]
        assert "deploy" == verdict["verdict"], verdict
        number: int = verdict["deployment"]
        return number

    return call


def step(number: int, name: str, state: StepState = StepState.RUNNING) -> None:
    """What a script says of a step."""
    deployments.report_step(number, StepReport(name=name, state=state), Masker([]), at=clock.now()).answer()


def again(number: int) -> int:
    """Deploy the same commit once more."""
    shop = {"shop": Entry("shop", None, report=(ReportKind.STATUS,))}
    return store.write(lambda: retries.retry(number, shop, by=LOCAL, now=clock.now())).id


def by_hand(number: int) -> int:
    """Deploy the same commit, whatever becomes of it otherwise."""
    first = deployments.find(number)
    shop = {"shop": Entry("shop", None, report=(ReportKind.STATUS,))}
    return store.write(lambda: deployments.repeat(first, Origin.MANUAL, shop, by=LOCAL, now=clock.now())).id


def row(commit: str = HEAD) -> Report:
    """What stands of a commit."""
    found: Report = Report.get(Report.sha == commit)
    return found


def owed() -> list[str]:
    """The commits of which GitHub is owed something."""
    return [report.sha for report in Report.select().where(Report.changes > Report.told)]


# --- what is told -----------------------------------------------------------------------------------------


def test_a_deployment_is_told_from_push_to_end(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Pending until it has ended, then its outcome; with the step, and the address of its page."""
    number = push()
    sender.tick()
    host.begin(number, steps=["Build", "Migrate"])
    step(number, "Build")
    sender.settle()
    host.end(number)
    sender.settle()

    told = hub.told(HEAD)
    assert ["pending", "success"] == hub.states(HEAD)
    assert ["Queued", "Build"] == [status.description for status in told[:-1]]
    assert told[-1].description.startswith("Deployed in ")
    assert {f"https://deploy.example/deployments/{number}"} == {status.target_url for status in told}
    assert [] == owed()


@pytest.mark.parametrize(
    ("state", "told", "description"),
    [
        (DeploymentState.SUCCESS, "success", "Deployed in 0s"),
        (DeploymentState.FAILURE, "failure", "Failed at Migrate · exit status 1"),
        (DeploymentState.CANCELLED, "error", "Cancelled · exit status 1"),
        (DeploymentState.LOST, "error", "Lost · exit status 1"),
    ],
)
def test_each_end_is_told(
    push: Callable[..., int],
    host: Host,
    sender: Sender,
    hub: FakeHub,
    state: DeploymentState,
    told: str,
    description: str,
) -> None:
    """With the step that it failed at, and why."""
    number = push()
    host.begin(number)
    step(number, "Migrate")
    host.end(number, state, reason="exit status 1")
    Deployment.update(started=1, finished=2).execute()

    sender.settle()

    [status] = hub.told(HEAD)
    assert (told, description) == (status.state, status.description)


def test_a_commit_that_waits_for_a_lock_says_so_and_promises_no_time(
    push: Callable[..., int], sender: Sender, hub: FakeHub
) -> None:
    """Pending, with who and why; after the lock's end it is queued as ever."""
    push()
    locking.lock("shop", {}, locking.Wish(reason="the database moves"), by=LOCAL, now=clock.now())
    sender.settle()
    locking.unlock("shop", {}, by=LOCAL, now=clock.now())
    sender.settle()

    told = [("pending", "Waiting · locked by local: the database moves"), ("pending", "Queued")]
    assert told == [(status.state, status.description) for status in hub.told(HEAD)]


def test_what_is_superseded_gets_the_state_of_what_took_its_place(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Through a chain of them: pending until then. What took it over is named once, though that is taken over, too."""
    first = push()
    second = push(before=sha(2), after=sha(3), pushed_at=1_700_000_001)
    sender.settle()
    third = push(before=sha(3), after=sha(4), pushed_at=1_700_000_002)
    sender.settle()
    waiting = hub.told(sha(2))[-1]
    host.begin(third)
    host.end(third, FAILURE, reason="exit status 1")
    sender.settle()

    assert ("pending", f"ships with {sha(3)[:7]}") == (waiting.state, waiting.description)
    assert [["pending", "failure"]] * 3 == [hub.states(commit) for commit in (sha(2), sha(3), sha(4))]
    assert f"shipped with {sha(4)[:7]}: Failed · exit status 1" == hub.told(sha(2))[-1].description
    assert f"https://deploy.example/deployments/{first}" == hub.told(sha(2))[-1].target_url
    assert f"https://deploy.example/deployments/{second}" == hub.told(sha(3))[-1].target_url


def test_the_time_left_is_told_where_earlier_runs_tell_it(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """And where it takes longer than usual, that."""
    number = push()
    for _ in range(3):
        host.begin(number)
        host.end(number)
        Deployment.update(started=0, finished=60 * clock.SECOND).execute()
        number = again(number)
    host.begin(number)
    step(number, "Migrate")
    Deployment.update(started=sender.now - 19 * clock.SECOND).where(Deployment.id == number).execute()
    sender.tick()
    step(number, "Restart")
    sender.settle(50)

    assert ["Migrate · ≈ 40 s left", "Restart · ≈ 30 s left"] == [status.description for status in hub.told(HEAD)]

    step(number, "Purge")
    sender.settle()
    assert "Purge · longer than usual" == hub.told(HEAD)[-1].description


def test_a_commit_that_is_deployed_again_is_pending_again(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """And in the end it is as the last run of it ended."""
    number = push()
    host.begin(number)
    host.end(number, FAILURE)
    sender.settle()
    second = again(number)
    sender.settle()
    host.begin(second)
    host.end(second)
    sender.settle()

    assert ["failure", "pending", "success"] == hub.states(HEAD)


def test_a_run_that_goes_on_counts_more_than_one_that_was_called_off(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Both are of the same commit."""
    number = push()
    host.begin(number)
    host.end(number, FAILURE)
    running = again(number)
    host.begin(running)
    waiting = by_hand(number)
    deployments.cancel(waiting, by=LOCAL, now=clock.now())
    sender.settle()

    assert ["pending"] == hub.states(HEAD)

    host.end(running)
    sender.settle()
    assert "success" == hub.states(HEAD)[-1]


def test_two_services_of_one_commit_have_a_context_each(
    service: ServiceFiles, github: GitHub, host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Neither writes over the other."""
    service("shop")
    service("blog")
    for verdict in github.push().get_json()["verdicts"]:
        host.begin(verdict["deployment"])
        host.end(verdict["deployment"], FAILURE if verdict["service"] == "blog" else SUCCESS)

    sender.settle()

    assert [["success"], ["failure"]] == [hub.states(HEAD, f"fastdeploy/{name}") for name in ("shop", "blog")]


# --- what is not sent -------------------------------------------------------------------------------------


def test_what_github_knows_is_not_told_again(push: Callable[..., int], sender: Sender, hub: FakeHub) -> None:
    """A change that changes nothing of it is settled without a call."""
    number = push()
    sender.settle()
    deployment = deployments.find(number)
    queue.explain(deployment, "waits")
    queue.explain(deployments.find(number), "")
    assert [HEAD] == owed()

    sender.settle()

    assert (1, []) == (len(hub.calls), owed())


def test_calls_are_a_second_apart_when_there_are_many(
    push: Callable[..., int], github: GitHub, sender: Sender, hub: FakeHub
) -> None:
    """However often there is a ring: some go at once, then one a second."""
    push()
    for number in range(2, 15):
        github.push(before=sha(number), after=sha(number + 1), pushed_at=1_700_000_000 + number)
    waits = [sender.tick(0.25) for _ in range(16)]

    assert [0.0] * 13 + [0.75, 0.5, 0.25] == waits
    assert 13 == len(hub.calls)


def test_new_descriptions_wait_ten_seconds_and_new_states_do_not(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """A script with many steps does not use up what GitHub takes."""
    number = push()
    sender.tick()
    host.begin(number)
    for name in ("One", "Two", "Three"):
        step(number, name)
        sender.settle(3)
    early = len(hub.told(HEAD))
    sender.settle(3)
    step(number, "Four")
    sender.settle(3)
    host.end(number, FAILURE)
    sender.tick()

    assert 1 == early
    assert ["Queued", "Three", "Failed at Four"] == [status.description for status in hub.told(HEAD)]


def test_a_new_state_is_told_before_a_new_description(
    push: Callable[..., int], github: GitHub, host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Though the description has waited for longer."""
    number = push()
    sender.tick()
    host.begin(number)
    step(number, "One")
    github.push(before=sha(2), after=sha(3), pushed_at=1_700_000_001)

    sender.tick(20)
    sender.tick()

    assert [HEAD, sha(3), HEAD] == [call.path.rpartition("/")[2] for call in hub.calls]


def test_a_deployment_of_hours_is_described_less_often(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """GitHub keeps 1,000 statuses of a commit and context: one in twenty parts of its time."""
    number = push()
    host.begin(number)
    sender.tick()
    Deployment.update(started=sender.now - 10_000 * clock.SECOND).execute()
    step(number, "One")
    sender.settle(400)
    early = len(hub.calls)
    sender.settle(200)

    assert [1, 2] == [early, len(hub.calls)]


# --- when it goes wrong -----------------------------------------------------------------------------------


def test_a_github_that_is_down_is_asked_less_and_less_often(
    push: Callable[..., int], sender: Sender, hub: FakeHub
) -> None:
    """After one second, two, four; then what is true by then is told."""
    push()
    hub.down = True
    sender.settle(30)
    tries = len(hub.calls)
    problem = row().problem
    hub.down = False
    sender.settle(30)

    assert 5 == tries
    assert "GitHub cannot be reached: the connection failed" == problem
    assert (["pending"], "", 0) == (hub.states(HEAD), row().problem, row().attempts)


def test_one_refused_for_now_does_not_hold_up_the_others(
    push: Callable[..., int], github: GitHub, sender: Sender, hub: FakeHub
) -> None:
    """It waits by itself."""
    push()
    hub.fail(*[Fault(500)] * 3, on=HEAD)
    sender.tick()
    github.push(before=sha(2), after=sha(3), pushed_at=1_700_000_001)
    sender.settle(4)

    assert [0, 1] == [len(hub.told(commit)) for commit in (HEAD, sha(3))]
    sender.settle(10)
    assert ["pending"] == hub.states(HEAD)


@pytest.mark.parametrize("status", [403, 429])
def test_nothing_is_asked_for_while_github_wants_to_be_left_alone(
    push: Callable[..., int], github: GitHub, make_sender: Callable[..., Sender], hub: FakeHub, status: int
) -> None:
    """Not for another commit, not after a restart, and not by another process; the change keeps its place."""
    sender = make_sender()
    push()
    github.push(before=sha(2), after=sha(3), pushed_at=1_700_000_001)
    hub.fail(Fault(status, headers={"Retry-After": "30"}))
    sender.settle(20)
    sender.line.end()
    restarted = make_sender()
    restarted.now = sender.now
    restarted.settle(9)
    alone = len(hub.calls)
    restarted.settle(9)

    assert 1 == alone
    assert [HEAD, HEAD, sha(3)] == [call.path.rpartition("/")[2] for call in hub.calls]


def test_a_limit_without_a_time_is_waited_out_for_longer_each_time(
    push: Callable[..., int], sender: Sender, hub: FakeHub
) -> None:
    """A minute, then two."""
    push()
    hub.fail(*[Fault(403, "You have exceeded a secondary rate limit.")] * 2)

    calls = []
    for seconds in (1, 58, 3, 118, 3):
        sender.settle(seconds)
        calls.append(len(hub.calls))

    assert [1, 1, 2, 2, 3] == calls
    assert ["pending"] == hub.states(HEAD)


def test_the_last_call_of_an_hour_is_the_last(
    push: Callable[..., int], github: GitHub, sender: Sender, hub: FakeHub
) -> None:
    """The one after it would be refused, and count."""
    push()
    github.push(before=sha(2), after=sha(3), pushed_at=1_700_000_001)
    reset = str(clock.now() // clock.SECOND + 40)
    hub.fail(Fault(201, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, done=True))

    sender.settle(30)
    early = len(hub.calls)
    sender.settle(20)

    assert [1, 2] == [early, len(hub.calls)]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(404, "Not Found"),
        Fault(422, "Validation Failed"),
        Fault(410),
        Fault(403, "Resource not accessible by personal access token"),
        Fault(401, "Bad credentials"),
        Fault(301, headers={"Location": "https://elsewhere.example/"}),
    ],
)
def test_what_is_refused_for_good_is_noted_and_not_asked_again(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub, fault: Fault
) -> None:
    """Until the next change, which is another matter."""
    number = push()
    hub.fail(fault)
    sender.settle(60)
    calls, problem = len(hub.calls), row().problem
    host.begin(number)
    host.end(number)
    sender.settle()

    assert (1, True) == (calls, problem.startswith(f"GitHub answered {fault.status}"))
    assert (["success"], "") == (hub.states(HEAD), row().problem)


def test_a_lost_answer_only_makes_it_told_twice(push: Callable[..., int], sender: Sender, hub: FakeHub) -> None:
    """Nobody can know whether it arrived."""
    push()
    hub.fail(DROPPED._replace(done=True))

    sender.settle()

    assert [("pending", "Queued")] * 2 == [status[:2] for status in hub.told(HEAD)]
    assert [] == owed()


def test_a_relay_that_dies_before_it_has_noted_what_it_told_makes_it_told_twice(
    push: Callable[..., int], make_sender: Callable[..., Sender], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next one, at once."""
    push()
    dying = make_sender()
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "note_told", _dies)
        with pytest.raises(OSError, match="power cut"):
            dying.tick()
    dying.line.end()
    make_sender().tick()

    assert (2, []) == (len(hub.told(HEAD)), owed())


def _dies(*_: object, **__: object) -> None:
    raise OSError("power cut")


def test_a_change_while_github_is_being_told_is_told_next(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """What was seen is settled, what came later is not."""
    number = push()
    patience = threading.Event()
    hub.fail(Fault(hold=patience))

    def tick() -> None:
        sender.tick()
        store.disconnect()

    telling = threading.Thread(target=tick)
    telling.start()
    assert hub.held.wait(30)
    host.begin(number)
    host.end(number)
    patience.set()
    telling.join()
    between = owed()
    sender.settle()

    assert ([HEAD], []) == (between, owed())
    assert ["pending", "success"] == hub.states(HEAD)


def test_a_status_too_many_is_refused_and_told(push: Callable[..., int], sender: Sender, hub: FakeHub) -> None:
    """1,000 of a commit and context is all that GitHub keeps."""
    push()
    hub.statuses["octo-org/shop", HEAD, "fastdeploy/shop"] = [fakehub.Status("error", "", "")] * 1_000

    sender.settle()

    assert "GitHub answered 422: Validation Failed: This SHA and context has reached" in row().problem


def test_a_name_that_github_would_refuse_is_made_fit(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Steps are named by scripts."""
    number = push()
    host.begin(number)
    step(number, "\N{BUG}\n" + "x" * 190)

    sender.settle()

    [status] = hub.told(HEAD)
    assert "\N{REPLACEMENT CHARACTER} " + "x" * 137 + "…" == status.description


# --- a GitHub App -----------------------------------------------------------------------------------------


@pytest.fixture
def as_app(settings: Settings) -> Settings:
    """The settings with a GitHub App in the token's place."""
    return Settings(
        home=settings.home,
        database_url=settings.database_url,
        public_url=settings.public_url,
        github_api_url=settings.github_api_url,
        github_client_id=fakehub.CLIENT_ID,
        github_private_key=appkeys.pem(),
    )


def test_an_app_tells_with_its_own_token(
    push: Callable[..., int], make_sender: Callable[..., Sender], as_app: Settings, hub: FakeHub
) -> None:
    """Which is got first."""
    push()

    make_sender(given=as_app).settle()

    assert ["pending"] == hub.states(HEAD)
    assert ["GET", "POST", "POST"] == [call.method for call in hub.calls]


def test_an_apps_token_that_is_refused_is_replaced_once(
    push: Callable[..., int], host: Host, make_sender: Callable[..., Sender], as_app: Settings, hub: FakeHub
) -> None:
    """One that ended early is no reason to give up; two in a row are."""
    number = push()
    sender = make_sender(given=as_app)
    hub.fail(Fault(401, "Bad credentials"), on="/statuses/")
    sender.settle()
    first = hub.states(HEAD)
    host.begin(number)
    host.end(number)
    hub.fail(*[Fault(401, "Bad credentials")] * 2, on="/statuses/")
    sender.settle()

    assert (["pending"], ["pending"]) == (first, hub.states(HEAD))
    assert ("GitHub answered 401: Bad credentials", []) == (row().problem, owed())


def test_a_repository_without_the_app_is_told_as_that(
    push: Callable[..., int], make_sender: Callable[..., Sender], as_app: Settings, hub: FakeHub
) -> None:
    """On the page, where somebody looks."""
    hub.installations.clear()
    number = push()

    make_sender(given=as_app).settle()

    [told] = outbox.all_of([deployments.find(number)])[number]
    assert "GitHub answered 404: Not Found; is the GitHub App installed on the repository?" == told.problem
    assert 1 == len(hub.calls)


# --- one at a time ----------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of another host with the same database."""
    (tmp_path / "elsewhere").mkdir()
    return Settings(
        home=tmp_path / "elsewhere",
        database_url=settings.database_url,
        github_api_url=settings.github_api_url,
        github_token=settings.github_token,
    )


def test_one_process_of_a_host_tells(
    push: Callable[..., int], host: Host, make_sender: Callable[..., Sender], hub: FakeHub
) -> None:
    """When it ends, or dies, another takes over at once."""
    number = push()
    first, second = make_sender(), make_sender()
    first.tick()
    host.begin(number)
    host.end(number)
    second.settle(200)
    alone = hub.states(HEAD)
    first.line.end()
    second.tick()

    assert (["pending"], ["pending", "success"]) == (alone, hub.states(HEAD))


def test_one_host_tells(
    push: Callable[..., int], host: Host, make_sender: Callable[..., Sender], elsewhere: Settings, hub: FakeHub
) -> None:
    """When it stops, another takes over at once."""
    number = push()
    first, second = make_sender(), make_sender("host-2", elsewhere)
    first.tick()
    host.begin(number)
    host.end(number)
    second.settle(100)
    alone = hub.states(HEAD)
    first.line.end()
    second.tick()

    assert (["pending"], ["pending", "success"]) == (alone, hub.states(HEAD))


def test_a_host_that_says_nothing_any_more_is_followed_by_another(
    push: Callable[..., int], host: Host, make_sender: Callable[..., Sender], elsewhere: Settings, hub: FakeHub
) -> None:
    """After two minutes."""
    number = push()
    make_sender().tick()
    second = make_sender("host-2", elsewhere)
    host.begin(number)
    host.end(number)
    second.settle(130)

    assert ["pending", "success"] == hub.states(HEAD)


def test_a_host_that_goes_on_keeps_the_duty(
    push: Callable[..., int], host: Host, make_sender: Callable[..., Sender], elsewhere: Settings, hub: FakeHub
) -> None:
    """Its lease is renewed in time."""
    number = push()
    first, second = make_sender(), make_sender("host-2", elsewhere)
    first.tick()
    host.begin(number)
    for name in "abcdefgh":
        step(number, name)
        first.settle(25)
        second.now = first.now
    step(number, "last")

    assert 0 < second.tick(0) <= 1
    assert ["Queued", *"abcdefgh"] == [status.description for status in hub.told(HEAD)]


def test_a_host_whose_clock_was_ahead_has_the_duty_no_longer_than_others(
    push: Callable[..., int], host: Host, make_sender: Callable[..., Sender], elsewhere: Settings, hub: FakeHub
) -> None:
    """It took it an hour from now, and died: nobody waits for that hour."""
    number = push()
    make_sender().tick(HOUR)
    second = make_sender("host-2", elsewhere)
    host.begin(number)
    host.end(number)
    second.settle(3)

    assert ["pending", "success"] == hub.states(HEAD)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_clock_that_is_set_holds_up_nothing(
    push: Callable[..., int], github: GitHub, host: Host, sender: Sender, hub: FakeHub, seconds: float
) -> None:
    """Neither what was put off, nor a new description, nor a new commit, nor the duty."""
    number = push()
    sender.tick()
    host.begin(number)
    sender.settle(2)
    hub.down = True
    step(number, "Build")
    sender.settle(20)
    hub.down = False

    sender.tick(seconds)
    github.push(before=sha(2), after=sha(3), pushed_at=1_700_000_001)
    sender.settle(30)

    assert "Build" == hub.told(HEAD)[-1].description
    assert ["pending"] == hub.states(sha(3))


def test_an_hour_without_github_costs_nobody_anything(
    push: Callable[..., int], github: GitHub, host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Deployments go on; tries become rare, but not too rare; then each commit's newest truth is told, once."""
    numbers = [push()]
    hub.down = True
    for commit in range(2, 8):
        sender.settle(600)
        host.begin(numbers[-1], steps=["Build"])
        step(numbers[-1], "Build")
        host.end(numbers[-1], SUCCESS if commit % 2 else FAILURE)
        answer = github.push(before=sha(commit), after=sha(commit + 1), pushed_at=1_700_000_000 + commit)
        numbers.append(answer.get_json()["verdicts"][0]["deployment"])
    tries = len(hub.calls)
    hub.down = False
    sender.settle(610)

    ends = [["failure" if commit % 2 == 0 else "success"] for commit in range(2, 8)]
    assert [*ends, ["pending"]] == [hub.states(sha(commit)) for commit in range(2, 9)]
    assert [1] * 7 == [len(hub.told(sha(commit))) for commit in range(2, 9)]
    assert 6 < tries < 150
    assert [] == owed()


# --- the view ---------------------------------------------------------------------------------------------


def test_what_github_was_told_can_be_looked_at(
    push: Callable[..., int], app: Flask, auth: Any, sender: Sender, hub: FakeHub
) -> None:
    """In the API's answer about the deployment."""
    number = push()

    def look() -> dict[str, Any]:
        told: dict[str, Any] = app.test_client().get(f"/api/v1/deployments/{number}", headers=auth("viewer")).get_json()
        assert [told["report"]] == told["reports"]
        return dict(told["report"])

    before = look()
    hub.fail(Fault(500))
    sender.tick()
    failing = look()
    sender.settle()
    after = look()

    nothing = {"kind": "status", "context": "fastdeploy/shop", "state": None, "description": None, "told": None}
    nothing |= {"problem": ""}
    assert nothing | {"owed": True} == before
    assert nothing | {"owed": True, "problem": "GitHub answered 500: Something went wrong"} == failing
    assert ("pending", "Queued", False, "") == tuple(after[key] for key in ("state", "description", "owed", "problem"))
    assert after["told"].endswith("Z")


# --- the thread -------------------------------------------------------------------------------------------


def test_the_thread_tells_and_ends_when_it_is_told_to(
    push: Callable[..., int], settings: Settings, hub: FakeHub
) -> None:
    """Both at a ring."""
    push()
    bell, stopping = Bell(settings.feed_bell_dir), threading.Event()
    thread = threading.Thread(
        target=desk.of(settings, Catalogue(settings.services_dir), "host-1").run, args=(bell, stopping)
    )
    thread.start()
    eventually(lambda: hub.told(HEAD))
    stopping.set()
    bell.ring()
    thread.join(60)

    assert not thread.is_alive()
    assert ["pending"] == hub.states(HEAD)


def test_a_thread_whose_look_fails_looks_again(
    push: Callable[..., int], settings: Settings, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be away for a moment."""
    push()
    due, failed = outbox.any_due, threading.Event()

    def fails_once(*, now: int) -> bool:
        if failed.is_set():
            return due(now=now)
        failed.set()
        raise OSError("power cut")

    monkeypatch.setattr(outbox, "any_due", fails_once)
    bell, stopping = Bell(settings.feed_bell_dir), threading.Event()
    thread = threading.Thread(
        target=desk.of(settings, Catalogue(settings.services_dir), "host-1").run, args=(bell, stopping)
    )
    thread.start()
    eventually(lambda: hub.told(HEAD))
    stopping.set()
    thread.join(60)

    assert failed.is_set()
