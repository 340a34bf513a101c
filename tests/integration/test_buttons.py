"""Buttons: what is pressed on a check run of ours is done for whoever may write to the repository, and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import signed_in
from askers import Asker
from callers import SECRET, SOON, Auth, Browser, GitHub, Host, ServiceFiles, sha, states, sync
from fakehub import FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, services
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.signals.buttons import PATIENCE, Button
from fastdeploy_bot.engine import line
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Audit, Deployment, Question, Report
from fastdeploy_bot.words import LOCAL, DeploymentState, ReportKind, WebhookSecret
from githubevents import BOT, OCTOCAT, READER, THEIRS, as_body, check_run, check_suite

HEAD = sha(2)
SUCCESS, FAILURE = DeploymentState.SUCCESS, DeploymentState.FAILURE


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot with a GitHub App."""
    return signed_in.by_app(
        settings, hub, webhook_secrets=(WebhookSecret(SECRET), WebhookSecret("theirs", ("other/*",)))
    )


@pytest.fixture
def asker(settings: Settings, app: Flask, catalogue: Catalogue) -> Iterator[Asker]:
    """Asks that GitHub."""
    assert app.testing
    speaking = line.of(settings, "host-1")
    yield Asker(speaking, catalogue)
    speaking.end()


@pytest.fixture
def push(github: GitHub, service: ServiceFiles, app: Flask) -> Callable[..., int]:
    """Push, and answer the deployment of shop that it started."""
    service("shop", branches=["main"])
    sync(app)

    def call(number: int = 1) -> int:
        answer = github.push(before=sha(number), after=sha(number + 1), pushed_at=SOON + number)
        [verdict] = answer.get_json()["verdicts"]
        assert "deploy" == verdict["verdict"], verdict
        started: int = verdict["deployment"]
        return started

    return call


@pytest.fixture
def press(github: GitHub) -> Callable[..., str]:
    """Press a button of a check run, and answer what the delivery says at once."""

    def call(button: str, number: object, commit: str = HEAD, *, guid: str | None = None, **changes: Any) -> str:
        told = check_run("requested_action", number, commit, identifier=button, **changes)
        answer = github.deliver(as_body(told), event="check_run", guid=guid)
        assert 202 == answer.status_code
        reason: str = answer.get_json()["reason"]
        return reason

    return call


@pytest.fixture
def live(push: Callable[..., int], host: Host) -> int:
    """The second of two deployments that succeeded."""
    for number in (1, 2):
        started = push(number)
        host.begin(started)
        host.end(started)
    return started


def newest(client: FlaskClient, auth: Auth) -> str:
    """What the newest delivery says by now."""
    listed = client.get("/api/v1/deliveries?limit=1", headers=auth("viewer")).get_json()["items"]
    told: str = listed[0]["reason"]
    return told


def checked(number: int) -> None:
    """GitHub has a check run of that deployment."""
    row = deployments.find(number)
    store.write(
        lambda: Report.create(
            kind=ReportKind.CHECK,
            external=9_000 + number,
            repository=row.repository,
            sha=row.sha,
            context=f"fastdeploy / {row.service.name}",
            deployment=row,
            told=1,
            due=1,
        )
    )


# --- what is done for those who may ----------------------------------------------------------------------


def test_cancel_ends_what_has_not_begun(
    push: Any, press: Any, asker: Asker, hub: FakeHub, client: FlaskClient, auth: Auth
) -> None:
    """Not before GitHub has said that whoever pressed may write; the delivery says so, and then what was done."""
    number = push()

    at_once = press("cancel", number)
    assert [("shop", "queued")] == states()
    asker.tick()

    assert "octocat asked to cancel deployment 1; GitHub is asked whether they may" == at_once
    assert "octocat asked to cancel deployment 1; it was cancelled before it began" == newest(client, auth)
    assert "cancelled" == deployments.find(number).state
    assert "cancelled by octocat on GitHub before it began" == deployments.find(number).reason
    assert "GET /repos/octo-org/shop/collaborators/octocat/permission" == hub.paths()[-1]


def test_the_page_of_deliveries_says_what_came_of_it(push: Any, press: Any, asker: Asker, app: Flask) -> None:
    """To whoever may see deliveries."""
    press("cancel", push(), guid="pressed")
    asker.tick()

    viewer = Browser(app).signed_in("viewer")

    for path in ("/deliveries", "/deliveries/pressed"):
        page = viewer.get(path).get_data(as_text=True)
        assert "octocat asked to cancel deployment 1; it was cancelled before it began" in page
        assert "check_run.requested_action" in page


def test_cancel_tells_what_runs_to_stop(
    push: Any, press: Any, host: Host, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """Whoever asked stands on the deployment, as nobody that the bot knows by that name."""
    number = push()
    host.begin(number)

    press("cancel", number)
    asker.tick()

    assert "octocat on GitHub" == deployments.find(number).cancelled_by
    assert "octocat asked to cancel deployment 1; it is told to stop" == newest(client, auth)


@pytest.mark.parametrize("again", ["retry", "rerequested"])
def test_a_retry_deploys_the_commit_again(
    push: Any, press: Any, github: GitHub, host: Host, asker: Asker, client: FlaskClient, auth: Auth, again: str
) -> None:
    """By our own button or by GitHub's."""
    number = push()
    host.begin(number)
    host.end(number, FAILURE)

    if again == "retry":
        press("retry", number)
    else:
        github.deliver(as_body(check_run(again, number, HEAD)), event="check_run")
    asker.tick()

    row = deployments.find(2)
    assert (number, HEAD, "retry", "octocat on GitHub", "queued") == (
        row.parent_id,
        row.sha,
        row.origin,
        row.actor,
        row.state,
    )
    assert f"octocat asked to run deployment 1 again; {HEAD[:7]} is deployed again, as deployment 2" == newest(
        client, auth
    )


def test_a_rollback_brings_back_what_was_live_before(live: int, press: Any, asker: Asker) -> None:
    """And holds back the commit that it leaves."""
    press("rollback", live, sha(3))
    asker.tick()

    row = deployments.find(3)
    assert (sha(2), "rollback", "octocat on GitHub") == (row.sha, row.origin, row.actor)
    assert (sha(3), "octocat on GitHub") == (services.find("shop").held_back, services.find("shop").held_back_by)


def test_a_rollback_from_one_that_failed_brings_back_what_was_live(
    live: int, push: Any, press: Any, host: Host, asker: Asker
) -> None:
    """It may have left things half done; and its commit is held back."""
    failed = push(3)
    host.begin(failed)
    host.end(failed, FAILURE)

    press("rollback", failed, sha(4))
    asker.tick()

    row = deployments.find(4)
    assert (live, sha(3), "rollback") == (row.parent_id, row.sha, row.origin)
    assert sha(4) == services.find("shop").held_back


def test_what_never_began_cannot_be_rolled_back(
    live: int, push: Any, press: Any, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """It has changed nothing."""
    assert 2 == live
    number = push(3)
    press("rollback", number, sha(4))
    asker.tick()
    assert newest(client, auth).endswith("refused: deployment 3 is queued: cancel it first")

    deployments.cancel(number, by=LOCAL, now=clock.now())
    press("rollback", number, sha(4))
    asker.tick()
    assert newest(client, auth).endswith("refused: deployment 3 never began: there is nothing to roll back from")


def test_it_is_in_the_audit(push: Any, press: Any, asker: Asker) -> None:
    """With the address from which GitHub told of it."""
    press("cancel", push())
    asker.tick()

    [row] = Audit.select()
    assert ("octocat on GitHub", "cancel", "deployment 1", "127.0.0.1") == (row.who, row.action, row.object, row.peer)


def test_all_check_runs_of_a_commit_run_again(
    github: GitHub, service: ServiceFiles, app: Flask, host: Host, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """Of each service the last deployment of that commit; of one without a check run, and of others, none."""
    for name in ("api", "shop", "silent"):
        service(name, branches=["main"])
    sync(app)
    for verdict in github.push().get_json()["verdicts"]:
        host.begin(verdict["deployment"])
        host.end(verdict["deployment"], FAILURE)
    checked(1)
    checked(2)

    github.deliver(as_body(check_suite("rerequested", HEAD)), event="check_suite")
    asker.tick()

    again = Deployment.select().where(Deployment.id > 3)
    assert [("api", "retry"), ("shop", "retry")] == [(row.service.name, row.origin) for row in again]
    assert (
        f"octocat asked to run all of {HEAD[:7]} again; api: {HEAD[:7]} is deployed again, as deployment 4; "
        f"shop: {HEAD[:7]} is deployed again, as deployment 5"
    ) == newest(client, auth)


def test_an_old_commit_does_not_come_back_because_its_checks_run_again(
    live: int, github: GitHub, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """Whoever wants all checks of it anew may not even know that one of them deploys."""
    checked(1)
    assert 2 == live

    github.deliver(as_body(check_suite("rerequested", sha(2))), event="check_suite")
    asker.tick()

    assert 2 == Deployment.select().count()
    assert f"deployment 1: refused: {sha(3)[:7]} came after it" in newest(client, auth)


def test_what_is_not_run_again_is_told_to_github_as_it_was(push: Any, host: Host, github: GitHub, asker: Asker) -> None:
    """Whose own button has put the check suite back to queued."""
    for number in (1, 2):
        host.begin(push(number))
        host.end(number)
        checked(number)
    store.write(lambda: Report.update(state="success").execute())

    github.deliver(as_body(check_run("rerequested", 2, sha(3), sender=READER)), event="check_run")
    asker.tick()

    told = {row.deployment_id: (row.changes - row.told, row.state) for row in Report.select()}
    assert {1: (0, "success"), 2: (1, None)} == told


def test_a_commit_without_check_runs_of_ours_asks_nobody(push: Any, github: GitHub) -> None:
    """There is nothing to run again."""
    push()

    answer = github.deliver(as_body(check_suite("rerequested", HEAD)), event="check_suite")

    assert f"nothing is done: no check run of ours stands at {HEAD[:7]}" == answer.get_json()["reason"]
    assert not Question.select().exists()


# --- what is not done ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"app": THEIRS}, "the check run is another GitHub App's"),
        ({"app": None}, "the check run is another GitHub App's"),
        ({"app": "ours"}, "its payload says too little"),
        ({"repository_id": 4712}, "deployment 1 is of another repository"),
        ({"commit": sha(9)}, "deployment 1 is of another commit"),
        ({"commit": "main"}, "its payload says too little"),
        ({"sender": BOT}, "fastdeploy[bot] is a bot, and buttons are for people"),
        ({"sender": None}, "GitHub does not say who asks"),
        ({"sender": OCTOCAT | {"login": "../admin"}}, "GitHub does not say who asks"),
        ({"number": "shop-1"}, "the check run names no deployment: its external id is 'shop-1'"),
        ({"number": ""}, "the check run names no deployment: its external id is ''"),
        ({"number": "-1"}, "the check run names no deployment: its external id is '-1'"),
        ({"number": "٣"}, "the check run names no deployment: its external id is '٣'"),
        ({"number": "9" * 400}, f"the check run names no deployment: its external id is '{'9' * 40}'"),
        ({"number": "9" * 18}, f"there is no deployment {'9' * 18}"),
        ({"button": "lgtm"}, "the check run has no button 'lgtm' of ours"),
        ({"button": ""}, "the check run has no button '' of ours"),
    ],
)
def test_nobody_is_asked_about_what_is_none_of_our_business(
    push: Any, press: Any, changes: dict[str, Any], why: str
) -> None:
    """The delivery is kept, and says why nothing is done."""
    number = push()
    told = {"button": "cancel", "number": number} | changes

    said = press(told.pop("button"), told.pop("number"), **told)

    assert f"nothing is done: {why}" == said
    assert not Question.select().exists()
    assert [("shop", "queued")] == states()


def test_a_deployment_of_another_service_of_another_repository_stays_as_it_is(
    push: Any, press: Any, github: GitHub, service: ServiceFiles, app: Flask
) -> None:
    """Though both have the same commit, as a fork has."""
    push()
    service("other", repository="other/fork", branches=["main"])
    sync(app)
    github.push(repository="other/fork", repository_id=8)

    assert "nothing is done: deployment 2 is of another repository" == press("cancel", 2)


def test_a_secret_of_other_repositories_presses_nothing(push: Any, github: GitHub) -> None:
    """Whoever has it may make up an id, but not speak for the repository."""
    told = check_run("requested_action", push(), HEAD, identifier="cancel", repository="other/made-up")

    answer = github.deliver(as_body(told), event="check_run", secret="theirs")

    assert "nothing is done: deployment 1 is of another repository" == answer.get_json()["reason"]


@pytest.mark.parametrize("role", ["read", "triage", "none"])
def test_whoever_may_not_write_gets_nothing(
    push: Any, press: Any, asker: Asker, hub: FakeHub, client: FlaskClient, auth: Auth, role: str
) -> None:
    """Everybody may press, where everybody may read."""
    hub.people["reader"] = (2, role)
    press("cancel", push(), sender=READER)

    asker.tick()

    assert [("shop", "queued")] == states()
    assert newest(client, auth).startswith(
        "reader asked to cancel deployment 1; refused: that takes permission to write to the repository, and theirs is"
    )
    assert not Audit.select().exists()


@pytest.mark.parametrize("role", ["write", "maintain", "admin"])
def test_whoever_may_write_gets_it(push: Any, press: Any, asker: Asker, hub: FakeHub, role: str) -> None:
    """By whatever name of the role."""
    hub.people["octocat"] = (583231, role)
    press("cancel", push())

    asker.tick()

    assert [("shop", "cancelled")] == states()


def test_a_name_that_is_somebody_elses_by_now_gets_nothing(
    push: Any, press: Any, asker: Asker, hub: FakeHub, client: FlaskClient, auth: Auth
) -> None:
    """Names are given away; ids are not."""
    hub.people["octocat"] = (666, "admin")
    press("cancel", push())

    asker.tick()

    assert [("shop", "queued")] == states()
    assert newest(client, auth).endswith("refused: octocat is somebody else by now")


def test_somebody_unknown_to_github_gets_nothing(
    push: Any, press: Any, asker: Asker, hub: FakeHub, client: FlaskClient, auth: Auth
) -> None:
    """GitHub refuses to answer, and is not asked again."""
    del hub.people["octocat"]
    press("cancel", push())

    asker.tick()
    asker.tick(600)

    assert [("shop", "queued")] == states()
    assert "refused: GitHub did not say whether they may: GitHub answered 404: octocat is not a user" in newest(
        client, auth
    )
    assert 1 == sum("collaborators" in path for path in hub.paths())


def test_a_local_user_of_the_same_name_has_nothing_to_do_with_it(
    push: Any, press: Any, asker: Asker, hub: FakeHub, auth: Auth
) -> None:
    """An admin of the bot who is called reader is nobody on GitHub."""
    number = push()
    hub.people["admin"] = (7, "read")
    assert auth("admin")

    press("cancel", number, sender={"id": 7, "login": "admin", "type": "User"})
    asker.tick()

    assert [("shop", "queued")] == states()


# --- once, and in time -----------------------------------------------------------------------------------


def test_a_delivery_that_comes_again_asks_nothing_more(push: Any, press: Any, asker: Asker, hub: FakeHub) -> None:
    """GitHub's own Redeliver presses no button."""
    number = push()
    press("cancel", number, guid="pressed")
    asker.tick()
    asked = len(hub.calls)

    said = press("cancel", number, guid="pressed")
    asker.tick()

    assert "delivery pressed was received before" == said
    assert asked == len(hub.calls)
    assert 1 == Question.select().count() == Audit.select().count()


def test_a_button_that_is_pressed_twice_deploys_once(
    push: Any, press: Any, host: Host, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """The second press finds the first one's deployment under way."""
    number = push()
    host.begin(number)
    host.end(number, FAILURE)

    press("retry", number)
    press("retry", number)
    asker.tick()
    asker.tick()

    assert 2 == Deployment.select().count()
    assert newest(client, auth).endswith("refused: that is under way already, as deployment 2")


def test_a_rollback_that_is_pressed_twice_goes_back_once(
    live: int, press: Any, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """And not to the commit before that."""
    press("rollback", live, sha(3))
    press("rollback", live, sha(3))
    asker.tick()
    asker.tick()

    assert 3 == Deployment.select().count()
    assert newest(client, auth).endswith("refused: deployment 3 rolls service shop back already")


def test_a_deployment_that_is_not_live_any_more_is_not_rolled_back(
    live: int, press: Any, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """Nobody may lose a newer one by an old page."""
    press("rollback", 1, sha(2))
    asker.tick()

    assert live == Deployment.select().count()
    assert newest(client, auth).endswith("refused: deployment 2 has begun since deployment 1: roll back from that")


def test_what_has_ended_meanwhile_says_so(
    push: Any, press: Any, host: Host, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """Between the press and GitHub's answer."""
    number = push()
    host.begin(number)
    press("cancel", number)
    host.end(number)

    asker.tick()

    assert newest(client, auth).endswith("refused: deployment 1 has ended already: success")
    assert [("shop", "success")] == states()


def test_what_still_runs_is_not_tried_again(
    push: Any, press: Any, host: Host, asker: Asker, client: FlaskClient, auth: Auth
) -> None:
    """As by any other way."""
    number = push()
    host.begin(number)
    press("retry", number)

    asker.tick()

    assert "it can be tried again when it has ended" in newest(client, auth)


def test_a_github_that_is_down_is_asked_again(
    push: Any, press: Any, asker: Asker, hub: FakeHub, client: FlaskClient, auth: Auth
) -> None:
    """As long as an answer is of use."""
    hub.fail(Fault(status=502), Fault(status=502), on="/permission")
    press("cancel", push())

    asker.tick()
    asker.tick(60)
    assert "GitHub is asked whether they may" in newest(client, auth)
    asker.tick(60)

    assert [("shop", "cancelled")] == states()


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b'{"permission": true}',
        b'{"permission": "WRITE\\n"}',
        b'{"permission": "write", "user": 7}',
        b"<p>",
    ],
)
def test_an_answer_that_makes_no_sense_is_no_permission(
    push: Any, press: Any, asker: Asker, hub: FakeHub, client: FlaskClient, auth: Auth, raw: bytes
) -> None:
    """It is asked for again, as GitHub's own trouble is."""
    hub.fail(Fault(status=200, raw=raw), on="/permission")
    press("cancel", push())

    asker.tick()
    assert ([("shop", "queued")], True) == (states(), "GitHub is asked" in newest(client, auth))
    asker.tick(60)

    assert [("shop", "cancelled")] == states()


@pytest.mark.parametrize("button", list(Button))
def test_what_cannot_be_asked_in_time_is_given_up_and_said(
    push: Any, press: Any, asker: Asker, hub: FakeHub, client: FlaskClient, auth: Auth, button: Button
) -> None:
    """What changes what is live has less time than a cancel."""
    hub.down = True
    press(button, push())

    asker.tick()
    asker.tick(PATIENCE[button] / clock.SECOND)
    hub.down = False
    asker.tick(700)

    assert [("shop", "queued")] == states()
    assert (
        "refused: GitHub did not say whether they may: it was not heard of in time; "
        "GitHub cannot be reached: the connection failed"
    ) in newest(client, auth)


def test_what_is_late_is_said_while_github_wants_to_hear_nothing(
    push: Any, press: Any, asker: Asker, hub: FakeHub, client: FlaskClient, auth: Auth
) -> None:
    """Nobody has to wait for the end of a limit of an hour to hear that a button did nothing."""
    hub.fail(Fault(status=429, headers={"Retry-After": "3600"}), on="/permission")
    press("retry", push())
    asker.tick()
    asked = len(hub.calls)

    asker.tick(PATIENCE[Button.RETRY] / clock.SECOND)

    assert "it was not heard of in time" in newest(client, auth)
    assert asked == len(hub.calls)


def test_whoever_cancels_first_stands_there(push: Any, press: Any, asker: Asker) -> None:
    """A press that comes second changes nothing."""
    number = push()
    press("cancel", number)
    deployments.cancel(number, by=LOCAL, now=clock.now())

    asker.tick()

    assert "cancelled by local before it began" == deployments.find(number).reason
