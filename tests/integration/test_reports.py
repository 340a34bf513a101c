"""GitHub's own deployments and check runs: told from begin to end, made once, and never in the way of the status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask

import fakehub
import signed_in
from callers import GitHub, Host, ServiceFiles, sha, sync
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, retries
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.keeping import retention
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.telling import outbox
from fastdeploy_bot.engine import line
from fastdeploy_bot.engine.relay import Relay
from fastdeploy_bot.forge.github.pace import HOURLY
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Report
from fastdeploy_bot.words import LOCAL, DeploymentState, ReportKind, StepReport, StepState
from senders import Sender

HEAD = sha(2)
ALL = ("status", "deployment", "check")
SUCCESS, FAILURE = DeploymentState.SUCCESS, DeploymentState.FAILURE


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that is a GitHub App there."""
    return signed_in.by_app(settings, hub, public_url="https://deploy.example")


@pytest.fixture
def make_sender(settings: Settings, app: Flask) -> Iterator[Callable[..., Sender]]:
    """Makes relays of this host, one after the other."""
    assert app.testing
    with ExitStack() as stack:

        def make(given: Settings = settings) -> Sender:
            speaking = line.of(given, "host-1")
            stack.callback(speaking.end)
            return Sender(speaking, Relay(speaking, public_url=given.effective_public_url))

        yield make


@pytest.fixture
def sender(make_sender: Callable[..., Sender]) -> Sender:
    """This host's relay."""
    return make_sender()


@pytest.fixture
def push(github: GitHub, service: ServiceFiles, app: Flask) -> Callable[..., int]:
    """Push, and answer the deployment of shop that it started; `report` is what its file says of that."""

    def call(report: tuple[str, ...] = ALL, **fields: Any) -> int:
        service("shop", branches=["main"], report=list(report))
        sync(app)
        [verdict] = github.push(**fields).get_json()["verdicts"]
        assert "deploy" == verdict["verdict"], verdict
        number: int = verdict["deployment"]
        return number

    return call


PRODUCTION = {"environment": "production", "url": "https://shop.example"}


def begin(host: Host, number: int, *steps: str, **definition: Any) -> None:
    """Let a deployment begin, by a file that says so."""
    host.begin(number, steps=steps, definition=PRODUCTION | definition)


def step(number: int, name: str, state: StepState = StepState.RUNNING) -> None:
    """What a script says of a step."""
    deployments.report_step(number, StepReport(name=name, state=state), Masker([]), at=clock.now()).answer()


def again(number: int, report: tuple[str, ...] = ALL) -> int:
    """Deploy the same commit once more."""
    shop = {"shop": Entry("shop", None, report=tuple(map(ReportKind, report)))}
    return store.write(lambda: retries.retry(number, shop, by=LOCAL, now=clock.now())).id


def row(kind: ReportKind) -> Report:
    """What stands of the newest deployment."""
    found: Report = Report.select().where(Report.kind == kind).order_by(Report.id.desc()).get()
    return found


def told(hub: FakeHub) -> list[str]:
    """What GitHub was asked for, without tokens, which are of no deployment."""
    return [path for path in hub.paths() if not path.endswith(("/installation", "/access_tokens"))]


def owed() -> list[str]:
    """Of which kinds GitHub is owed something."""
    return [report.kind for report in Report.select().where(Report.changes > Report.told)]


# --- deployments


def test_a_deployment_is_told_from_begin_to_end(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """In the environment that the file names, with links to its log and to the service."""
    number = push(("deployment",), title="Sell more")
    begin(host, number, "Build")
    sender.settle()
    host.end(number)
    sender.settle()

    [made] = hub.deployments
    assert (HEAD, "production", "shop: Sell more") == (made.sha, made.environment, made.description)
    assert {"fastdeploy": number, "service": "shop", "url": page(number)} == made.payload
    assert ["in_progress", "success"] == made.states
    assert {(page(number), "https://shop.example")} == {(each.log_url, each.environment_url) for each in made.statuses}
    assert "Deployed in " in made.statuses[-1].description
    assert [] == owed()


def page(number: int) -> str:
    """Where a deployment is looked at."""
    return f"https://deploy.example/deployments/{number}"


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (DeploymentState.SUCCESS, "success"),
        (DeploymentState.FAILURE, "failure"),
        (DeploymentState.CANCELLED, "error"),
        (DeploymentState.LOST, "error"),
    ],
)
def test_each_end_of_a_deployment_is_told(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub, state: DeploymentState, told: str
) -> None:
    """One that is over at once is not told to be in progress before."""
    number = push(("deployment",))
    begin(host, number)
    host.end(number, state)
    sender.settle()

    assert [[told]] == [made.states for made in hub.deployments]


def test_an_environment_without_a_name_has_the_services(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """So that no two services share it."""
    number = push(("deployment",))
    host.begin(number)
    sender.settle()

    assert ["shop"] == [made.environment for made in hub.deployments]


def test_what_never_began_is_no_deployment_of_githubs(push: Callable[..., int], sender: Sender, hub: FakeHub) -> None:
    """Neither while it waits, nor when it was called off."""
    number = push(("deployment",))
    sender.settle()
    deployments.cancel(number, by=LOCAL, now=clock.now())
    sender.settle()

    assert ([], []) == (hub.deployments, owed())


def test_steps_are_no_news_of_a_deployment(push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub) -> None:
    """Its page lists each status for good."""
    number = push(("deployment",))
    begin(host, number)
    sender.settle()
    calls = len(hub.calls)
    for name in "abc":
        step(number, name)
        sender.settle()

    assert calls == len(hub.calls)


def test_an_earlier_success_becomes_inactive_without_a_call(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """GitHub sees to it; a failure between them leaves it active."""
    number = push(("deployment",))
    for state in (SUCCESS, FAILURE, SUCCESS):
        begin(host, number)
        host.end(number, state)
        sender.settle()
        number = again(number, ("deployment",))

    assert [["success", "inactive"], ["failure"], ["success"]] == [made.states for made in hub.deployments]
    assert ["inactive", "failure", "success"] == [report.state for report in Report.select().order_by(Report.id)]
    assert 6 == len(told(hub))


@pytest.fixture
def two(github: GitHub, service: ServiceFiles, app: Flask) -> Callable[[int], dict[str, int]]:
    """Push to the repository of two services, and answer their deployments."""
    for name in ("shop", "blog"):
        service(name, report=["deployment"])
    sync(app)

    def call(number: int) -> dict[str, int]:
        answer = github.push(before=sha(number), after=sha(number + 1), pushed_at=1_700_000_000 + number).get_json()
        return {each["service"]: each["deployment"] for each in answer["verdicts"]}

    return call


def test_services_that_share_an_environment_leave_each_others_deployments_active(
    two: Callable[[int], dict[str, int]], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Each makes only its own earlier one inactive; that is a call more."""
    for commit in (2, 3):
        for number in two(commit).values():
            begin(host, number, environment="Production" if number % 2 else "production")
            host.end(number)
            sender.settle()

    states = {(made.payload["service"], made.sha): made.states for made in hub.deployments}
    assert {
        ("shop", sha(3)): ["success", "inactive"],
        ("blog", sha(3)): ["success", "inactive"],
        ("shop", sha(4)): ["success"],
        ("blog", sha(4)): ["success"],
    } == states


def test_a_success_that_is_told_late_does_not_take_the_newer_ones_place(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """It was outlived meanwhile, and is told as that."""
    number = push(("deployment",))
    begin(host, number)
    hub.fail(*[Fault(500)] * 4, on="/deployments")
    sender.settle(7)
    host.end(number)
    Deployment.update(finished=Deployment.finished - 1).where(Deployment.id == number).execute()
    newer = again(number, ("deployment",))
    begin(host, newer)
    host.end(newer)
    sender.settle(40)

    assert {number: ["inactive"], newer: ["success"]} == {
        made.payload["fastdeploy"]: made.states for made in hub.deployments
    }


# --- check runs


def test_a_check_run_is_told_from_push_to_end(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """With a line a step, the time it took, and buttons."""
    number = push(("check",))
    sender.settle(2)
    queued = dict(hub.check_runs[0])
    begin(host, number, "Build", "Migrate")
    step(number, "Build")
    sender.settle(20)
    running = dict(hub.check_runs[0])
    step(number, "Build", StepState.SUCCESS)
    host.end(number)
    sender.settle(2)

    [run] = hub.check_runs
    assert ("fastdeploy / shop", HEAD, str(number)) == (run["name"], run["head_sha"], run["external_id"])
    assert page(number) == run["details_url"]
    assert ("queued", "Queued") == (queued["status"], queued["output"]["title"])
    assert ("in_progress", "Build · 0 of 2 steps") == (running["status"], running["output"]["title"])
    assert ["cancel"] == [each["identifier"] for each in running["actions"]]
    assert ["queued", "in_progress", "success"] == run["statuses"]
    assert ("completed", "success") == (run["status"], run["conclusion"])
    assert run["output"]["title"].startswith("Deployed in ")
    assert "| <code>Build</code> | success | 0s |" in run["output"]["summary"]
    assert "| <code>Migrate</code> | skipped |  |" in run["output"]["summary"]
    assert ["retry", "rollback"] == [each["identifier"] for each in run["actions"]]
    assert [] == owed()


@pytest.mark.parametrize(
    ("state", "conclusion"),
    [
        (DeploymentState.SUCCESS, "success"),
        (DeploymentState.FAILURE, "failure"),
        (DeploymentState.CANCELLED, "cancelled"),
        (DeploymentState.LOST, "action_required"),
    ],
)
def test_each_end_of_a_check_run_is_told(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub, state: DeploymentState, conclusion: str
) -> None:
    """Success alone lets a check pass that is required."""
    number = push(("check",))
    begin(host, number)
    sender.settle(2)
    host.end(number, state)
    sender.settle(2)

    assert [["in_progress", conclusion]] == [run["statuses"] for run in hub.check_runs]


def test_a_failure_shows_its_last_lines_and_where_they_point(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """The lines as they were stored, between fences; the places as annotations, once."""
    number = push(("check",))
    begin(host, number)
    output = b"\x1b[31mbuilding\x1b[0m\napi/views.py:12: ``` ******** <b>\n"
    store.write(lambda: logs.append(number, 0, output, limit=1 << 20))
    sender.settle(2)
    host.end(number, FAILURE, reason="exit status 1")
    hub.fail(DROPPED._replace(done=True), on="/check-runs/")
    sender.settle()

    [run] = hub.check_runs
    assert "````text\nbuilding\napi/views.py:12: ``` ******** <b>\n````\n" in run["output"]["text"]
    [place] = run["annotations"]
    assert ("api/views.py", 12, 12, "failure") == (
        place["path"], place["start_line"], place["end_line"], place["annotation_level"]
    )  # fmt: skip


def test_annotations_whose_request_did_not_arrive_are_sent_again(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Nobody can know by the silence alone."""
    number = push(("check",))
    begin(host, number)
    store.write(lambda: logs.append(number, 0, b"api/views.py:12: no\n", limit=1 << 20))
    sender.settle(2)
    host.end(number, FAILURE)
    hub.fail(DROPPED, on="/check-runs/")
    sender.settle()

    assert 1 == len(hub.check_runs[0]["annotations"])


def test_a_superseded_check_run_becomes_what_took_its_place(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Queued until then, as its commit status is pending."""
    push(("check",))
    second = push(("check",), before=sha(2), after=sha(3), pushed_at=1_700_000_001)
    sender.settle(2)
    waiting = dict(hub.check_runs[0])
    begin(host, second)
    sender.settle(10)
    host.end(second, FAILURE)
    sender.settle()

    assert ("queued", f"ships with {sha(3)[:7]}", []) == (
        waiting["status"],
        waiting["output"]["title"],
        waiting["actions"],
    )
    assert [["queued", "failure"], ["queued", "in_progress", "failure"]] == [run["statuses"] for run in hub.check_runs]


def test_each_run_of_a_commit_has_a_check_run_of_its_own(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """GitHub shows the newest of a name."""
    number = push(("check",))
    begin(host, number)
    host.end(number, FAILURE)
    sender.settle()
    second = again(number, ("check",))
    begin(host, second)
    host.end(second)
    sender.settle()

    assert [(str(number), "failure"), (str(second), "success")] == [
        (run["external_id"], run["conclusion"]) for run in hub.check_runs
    ]


def test_an_older_runs_check_run_is_not_put_before_a_newer_ones(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """GitHub was in trouble when it was to be made, and the commit was deployed again meanwhile."""
    number = push(("check",))
    begin(host, number)
    hub.fail(Fault(429, headers={"Retry-After": "5"}), *[Fault(500)] * 4, on="/check-runs")
    sender.settle(25)
    host.end(number, FAILURE)
    Report.update(due=sender.now + 60 * clock.SECOND).execute()
    second = again(number, ("check",))
    begin(host, second)
    host.end(second)
    sender.settle(90)

    assert ([str(second)], []) == ([run["external_id"] for run in hub.check_runs], owed())


def test_what_begins_at_once_is_never_told_to_be_queued(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """A moment's patience saves a call."""
    number = push(("check",))
    sender.now = clock.now()
    early = sender.tick(0)
    begin(host, number)
    sender.tick(0)

    assert 0 < early <= 0.3
    assert [["in_progress"]] == [run["statuses"] for run in hub.check_runs]


def test_a_token_is_not_owed_check_runs_and_that_is_said(
    push: Callable[..., int], make_sender: Callable[..., Sender], settings: Settings, hub: FakeHub
) -> None:
    """GitHub would refuse them; it is not asked."""
    with_token = Settings(
        home=settings.home,
        database_url=settings.database_url,
        github_api_url=hub.url,
        github_token=fakehub.TOKEN,
    )
    number = push()
    make_sender(with_token).settle()

    problems = {each.kind: each.problem for each in outbox.all_of([deployments.find(number)])[number]}
    assert {
        ReportKind.STATUS: "",
        ReportKind.CHECK: "GitHub takes check runs from a GitHub App only, and the bot has a token",
    } == problems
    assert ([], ["pending"]) == (owed(), hub.states(HEAD))
    assert 1 == len(hub.calls)


# --- how many calls


@pytest.mark.parametrize(("report", "most"), [(("status",), 3), (ALL, 6)])
def test_a_deployment_of_seconds_costs_few_calls(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub, report: tuple[str, ...], most: int
) -> None:
    """With some steps, and an earlier success that becomes inactive; without tokens, which are good for an hour."""
    first = push(report)
    begin(host, first)
    host.end(first)
    sender.settle()
    before = len(told(hub))

    sender.now = clock.now()
    second = push(report, before=sha(2), after=sha(3), pushed_at=1_700_000_001)
    sender.tick(0.1)
    begin(host, second, "Build", "Migrate", "Restart")
    for name in ("Build", "Migrate", "Restart"):
        step(second, name)
        for _ in range(10):
            sender.tick(0.1)
        step(second, name, StepState.SUCCESS)
    host.end(second)
    sender.settle()

    assert ([], {"": True}) == (owed(), {row.problem: True for row in Report.select()})
    assert len(told(hub)) - before <= most, told(hub)[before:]
    assert "success" == hub.states(sha(3))[-1]


def test_a_restart_does_not_begin_the_hour_anew(
    push: Callable[..., int], make_sender: Callable[..., Sender], hub: FakeHub
) -> None:
    """What was told last is known from the rows."""
    number = push(("status",))
    sender = make_sender()
    facts = {"repository": "o/s", "context": "c", "deployment": number, "told": 1, "due": 0}
    rows = [facts | {"sha": sha(each), "told_at": sender.now - each} for each in range(HOURLY)]
    store.write(lambda: [Report.create(**row) for row in rows])
    sender.settle()
    early = len(hub.calls)
    sender.tick(3_600)

    assert (0, ["pending"]) == (early, hub.states(HEAD))


# --- when it goes wrong


@pytest.mark.parametrize("kind", ["deployment", "check"])
@pytest.mark.parametrize("done", [True, False])
def test_a_lost_answer_makes_nothing_twice(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub, kind: str, done: bool
) -> None:
    """It is looked for before it is made again."""
    number = push((kind,))
    begin(host, number)
    hub.fail(DROPPED._replace(done=done), on=f"/{PLACES[kind]}")
    sender.settle()
    host.end(number)
    sender.settle()

    assert 1 == len(made(hub, kind))
    assert "success" == row(ReportKind(kind)).state
    assert 1 == len([path for path in told(hub) if path.startswith("GET ")])
    assert [] == owed()


PLACES = {"deployment": "deployments", "check": "check-runs"}


def made(hub: FakeHub, kind: str) -> list[Any]:
    """What of that kind there is."""
    return list(hub.deployments if kind == "deployment" else hub.check_runs)


@pytest.mark.parametrize("kind", ["deployment", "check"])
@pytest.mark.parametrize("noted", ["note_begun", "note_made"])
def test_a_relay_that_dies_before_it_has_noted_what_it_made_makes_nothing_twice(
    push: Callable[..., int],
    host: Host,
    make_sender: Callable[..., Sender],
    hub: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    noted: str,
) -> None:
    """The next one finds it."""
    number = push((kind,))
    begin(host, number)
    dying = make_sender()
    with monkeypatch.context() as patch:
        patch.setattr(outbox, noted, _dies)
        patch.setattr(outbox, "note_begun" if noted == "note_made" else "note_made", _dies)
        with pytest.raises(OSError, match="power cut"):
            dying.tick()
    dying.line.end()
    sender = make_sender()
    sender.settle()
    host.end(number)
    sender.settle()

    assert 1 == len(made(hub, kind))
    assert ("success", []) == (row(ReportKind(kind)).state, owed())


def _dies(*_: object, **__: object) -> None:
    raise OSError("power cut")


@pytest.mark.parametrize("kind", ["deployment", "check"])
def test_what_was_refused_clearly_is_made_again_without_a_look(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub, kind: str
) -> None:
    """A limit says that nothing was made."""
    number = push((kind,))
    begin(host, number)
    hub.fail(Fault(429, headers={"Retry-After": "5"}), on=f"/{PLACES[kind]}")
    sender.settle()

    assert (1, []) == (len(made(hub, kind)), [path for path in told(hub) if path.startswith("GET ")])


@pytest.mark.parametrize(
    "fault", [Fault(403, "Resource not accessible by integration"), Fault(404, "Not Found"), Fault(410), Fault(422)]
)
def test_refusals_for_good_are_shown_and_hold_up_nothing(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub, fault: Fault
) -> None:
    """The status is told; what was refused is tried again when the state has changed, and not at each step."""
    number = push()
    hub.fail(*[fault] * 99, on="/check-runs")
    hub.fail(*[fault] * 99, on="/deployments")
    begin(host, number)
    for name in "abc":
        step(number, name)
        sender.settle(15)
    calls = [path for path in told(hub) if "/statuses/" not in path]
    problems = {report.kind: report.problem[:19] for report in Report.select()}
    host.end(number)
    sender.settle()

    answered = f"GitHub answered {fault.status}"
    assert {"status": "", "deployment": answered, "check": answered} == problems
    assert 2 == len(calls)
    assert (["pending", "success"], []) == (hub.states(HEAD), owed())
    assert 4 == len([path for path in told(hub) if "/statuses/" not in path])


def test_an_app_that_may_not_write_checks_tells_all_else(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """Each kind asks for its own permission."""
    del hub.granted["checks"]
    number = push()
    begin(host, number)
    host.end(number)
    sender.settle()

    problem = "GitHub answered 422: The permissions requested are not granted to this installation."
    assert problem in row(ReportKind.CHECK).problem
    assert (["success"], ["success"]) == (hub.states(HEAD), hub.deployments[0].states)


def test_a_github_that_was_away_is_told_what_is_true_by_then(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """In the order in which it came to be owed, without what was in between."""
    number = push()
    hub.down = True
    begin(host, number)
    step(number, "Build")
    sender.settle(30)
    host.end(number, FAILURE)
    sender.settle(30)
    hub.down = False
    sender.settle(90)

    assert ["failure"] == hub.states(HEAD)
    assert [["failure"]] == [made.states for made in hub.deployments]
    assert [["failure"]] == [run["statuses"] for run in hub.check_runs]
    assert [] == owed()


def test_a_change_while_something_is_made_is_told_next(
    push: Callable[..., int], host: Host, sender: Sender, hub: FakeHub
) -> None:
    """What was seen is settled, what came later is not."""
    number = push(("check",))
    begin(host, number)
    patience = threading.Event()
    hub.fail(Fault(hold=patience), on="/check-runs")

    def tick() -> None:
        sender.tick()
        store.disconnect()

    telling = threading.Thread(target=tick)
    telling.start()
    assert hub.held.wait(30)
    host.end(number)
    patience.set()
    telling.join()
    between = owed()
    sender.settle()

    assert (["check"], []) == (between, owed())
    assert [["in_progress", "success"]] == [run["statuses"] for run in hub.check_runs]


def test_old_reports_go_with_their_deployment(push: Callable[..., int], host: Host, sender: Sender) -> None:
    """That of the commit's status stays with a later deployment of the commit."""
    number = push()
    begin(host, number)
    host.end(number, FAILURE)
    second = again(number)
    begin(host, second)
    host.end(second)
    sender.settle(30)
    Deployment.update(parent=None).where(Deployment.id == second).execute()

    for _ in retention.prune(1, now=clock.now() + 3 * clock.DAY):
        pass

    assert [second] == [deployment.id for deployment in Deployment.select()]
    assert {(kind, second) for kind in ALL} == {(report.kind, report.deployment_id) for report in Report.select()}
