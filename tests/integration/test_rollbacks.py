"""Rollbacks: exactly a commit that was live before, as the last word, until a newer push comes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import SOON, Auth, Browser, GitHub, Host, ServiceFiles, is_problem, sha, states, sync, verdicts
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.store.models import Audit, Deployment, Service
from fastdeploy_bot.words import DeploymentState

PATH = "/api/v1/services/shop/rollback"


@pytest.fixture(autouse=True)
def shop(service: ServiceFiles, app: Flask) -> ServiceFiles:
    """A service named shop, of main and release/*."""
    service("shop", branches=["main", "release/*"])
    sync(app)
    return service


class History:
    """Deploys shop as GitHub's pushes want it."""

    def __init__(self, github: GitHub, host: Host) -> None:
        self.github = github
        self.host = host

    def push(self, number: int, **fields: Any) -> TestResponse:
        """Push that commit to main, after all earlier ones."""
        told: dict[str, Any] = {"before": sha(number - 1), "after": sha(number), "pushed_at": SOON + number}
        return self.github.push(**(told | fields))

    def deploy(self, *numbers: int, state: DeploymentState = DeploymentState.SUCCESS) -> None:
        """Push those commits one after the other, each deployed to its end."""
        for number in numbers:
            self.push(number)
            self.finish(state)

    def finish(self, state: DeploymentState = DeploymentState.SUCCESS) -> None:
        """Let the newest deployment run to its end."""
        newest = Deployment.select().count()
        self.host.begin(newest)
        self.host.end(newest, state)


@pytest.fixture
def history(github: GitHub, host: Host) -> History:
    """What shop has been through."""
    return History(github, host)


@pytest.fixture
def roll_back(client: FlaskClient, auth: Auth) -> Any:  # a function with keywords of every kind
    """Roll shop back, as a deployer."""

    def call(*, key: str | None = None, role: str = "deployer", **body: Any) -> TestResponse:
        headers = auth(role) | ({} if key is None else {"Idempotency-Key": key})
        return client.post(PATH, json=body, headers=headers)

    return call


def shown(client: FlaskClient, auth: Auth) -> Any:
    """The service as the API shows it."""
    return client.get("/api/v1/services/shop", headers=auth("viewer")).get_json()


# --- which commit ---


def test_the_last_good_commit_before_the_live_one_is_deployed_again(history: History, roll_back: Any) -> None:
    """201: a deployment of its own, that names the one it repeats."""
    history.deploy(2, 3)

    answer = roll_back()

    told = answer.get_json()
    assert (201, sha(2), "refs/heads/main", "rollback", "deployer", 1, "queued") == (
        answer.status_code,
        told["sha"],
        told["ref"],
        told["origin"],
        told["actor"],
        told["parent"],
        told["state"],
    )


def test_what_did_not_succeed_is_passed_over(history: History, roll_back: Any) -> None:
    """Only what was live can be so again; the same commit once more is no way back."""
    history.deploy(2)
    history.deploy(3, state=DeploymentState.FAILURE)
    history.deploy(4, state=DeploymentState.LOST)
    history.deploy(5)
    history.github.push(ref="refs/heads/release/1", after=sha(5), pushed_at=SOON + 6)
    history.finish()
    history.deploy(7, state=DeploymentState.FAILURE)

    assert (sha(2), 1) == (roll_back().get_json()["sha"], Deployment.select().order_by(-Deployment.id).get().parent_id)


def test_ref_repository_and_context_are_those_of_then(
    history: History, roll_back: Any, start: Any, shop: ServiceFiles
) -> None:
    """Exactly what was deployed, whatever the file says by now."""
    start(sha=sha(9), ref="release/1", context={"ticket": 7})
    history.finish()
    history.deploy(2)
    shop("shop", branches=["main"], repository="octo-org/renamed")

    roll_back()

    row = deployments.find(3)
    assert (sha(9), "refs/heads/release/1", "octo-org/shop", '{"ticket":7}') == (
        row.sha,
        row.ref,
        row.repository,
        row.context,
    )


def test_a_second_rollback_goes_on_backwards(history: History, roll_back: Any) -> None:
    """Not to the commit that the first one left, even after a retry of it."""
    history.deploy(2, 3, 4)
    roll_back()
    history.finish()

    assert sha(2) == roll_back().get_json()["sha"]


def test_a_retry_of_a_rollback_stands_where_that_does(
    history: History, roll_back: Any, client: FlaskClient, auth: Auth
) -> None:
    """A rollback that failed and was tried again is one still."""
    history.deploy(2, 3, 4)
    roll_back()
    history.finish(DeploymentState.FAILURE)
    client.post("/api/v1/deployments/4/retry", headers=auth("deployer"))
    history.finish()

    assert sha(2) == roll_back().get_json()["sha"]


def test_a_deployment_can_be_named(history: History, roll_back: Any) -> None:
    """Any success of the service, further back or forward again."""
    history.deploy(2, 3, 4)

    back = roll_back(to=1).get_json()
    history.finish()
    forward = roll_back(to=3).get_json()

    assert [(sha(2), 1), (sha(4), 3)] == [(each["sha"], each["parent"]) for each in (back, forward)]


def test_what_was_never_live_cannot_be_gone_back_to(
    history: History, roll_back: Any, github: GitHub, shop: ServiceFiles
) -> None:
    """409 for what did not succeed and for what is live, 422 for what is no deployment of the service."""
    shop("other", repository="octo-org/other")
    history.deploy(2)
    history.deploy(3, state=DeploymentState.FAILURE)
    github.push(repository="octo-org/other", repository_id=2)
    history.finish()

    answers = {number: roll_back(to=number) for number in (1, 2, 3, 99)}

    assert {1: 409, 2: 409, 3: 422, 99: 422} == {number: each.status_code for number, each in answers.items()}
    assert "`retry` deploys it once more" in answers[1].get_json()["detail"]
    assert "failure" in answers[2].get_json()["detail"]
    assert 3 == Deployment.select().count()


def test_without_an_earlier_success_there_is_no_way_back(history: History, roll_back: Any) -> None:
    """409, with the reason: before the first success, and after it."""
    never = roll_back()
    history.deploy(2)
    first = roll_back()

    assert is_problem(never, 409)
    assert is_problem(first, 409)
    assert "nothing of service shop is live yet" in never.get_json()["detail"]
    assert f"before {sha(2)[:7]}, which is live" in first.get_json()["detail"]
    assert Service.get().held_back is None


def test_a_removed_service_is_not_rolled_back(history: History, roll_back: Any, app: Flask, shop: ServiceFiles) -> None:
    """409: its file has to come back first."""
    history.deploy(2, 3)
    shop.remove("shop")
    sync(app)

    assert is_problem(roll_back(), 409)


def test_the_same_request_twice_is_one_rollback(history: History, roll_back: Any) -> None:
    """By its Idempotency-Key."""
    history.deploy(2, 3, 4)

    answers = [roll_back(key="once").get_json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert 4 == Deployment.select().count()


def test_two_who_ask_for_the_same_get_one_rollback(history: History, roll_back: Any) -> None:
    """The second is told of the first one's; once something was asked for since, it is another wish."""
    history.deploy(2, 3)
    roll_back()

    same = [roll_back(role="admin"), roll_back(to=1, role="admin")]
    history.push(4)
    after_a_push = roll_back()

    assert [(409, "deployment 3 rolls service shop back already")] * 2 == [
        (each.status_code, each.get_json()["detail"]) for each in same
    ]
    assert 201 == after_a_push.status_code
    assert ["queued", "cancelled", "queued"] == [state for _, state in states()[2:]]


# --- what is under way ---


def test_pushes_that_have_not_begun_are_cancelled(
    history: History, roll_back: Any, start: Any, github: GitHub, host: Host
) -> None:
    """Whoever rolls back does not want them next; what a person asked for stays, and so does what runs."""
    history.deploy(2, 3)
    history.push(4)
    host.begin(3)
    history.push(5)
    github.push(ref="refs/heads/release/1", after=sha(6))
    start(sha=sha(9))

    roll_back()

    assert ["running", "cancelled", "cancelled", "queued", "queued"] == [state for _, state in states()[2:]]
    assert f"rolled back to {sha(2)[:7]} by deployer" == deployments.find(4).reason


def test_a_rollback_is_the_last_word_after_what_runs(history: History, roll_back: Any, host: Host) -> None:
    """It goes back from what was live when it was asked for, and comes after the newer one that runs."""
    history.deploy(2, 3)
    history.push(4)
    host.begin(3)

    roll_back()
    host.end(3)
    history.finish()

    live = Deployment.select().where(Deployment.state == "success").order_by(-Deployment.id).get()
    assert sha(2) == live.sha


def test_a_newer_push_does_not_supersede_it(history: History, roll_back: Any) -> None:
    """Only pushes are superseded; both are deployed, the push last."""
    history.deploy(2, 3)
    roll_back()
    history.push(4)

    assert ["queued", "queued"] == [state for _, state in states()[2:]]


# --- sticky ---


def test_the_commit_that_was_left_is_held_back(
    history: History, roll_back: Any, github: GitHub, client: FlaskClient, auth: Auth
) -> None:
    """No push of it starts anything: through another hook, as another branch, or replayed."""
    history.deploy(2, 3)
    roll_back()

    again = history.push(3)
    elsewhere = github.push(ref="refs/heads/release/1", after=sha(3), guid="g-r")
    replayed = client.post("/api/v1/deliveries/g-r/replay", headers=auth("deployer"))

    assert ["duplicate", "ignore", "ignore"] == [verdicts(each)["shop"] for each in (again, elsewhere, replayed)]
    (told,) = elsewhere.get_json()["verdicts"]
    assert f"{sha(3)[:7]} is held back by a rollback of deployer; a newer push ends this" == told["reason"]
    assert 3 == Deployment.select().count()
    assert {"sha": sha(3), "by": "deployer"} == shown(client, auth)["held_back"]


def test_a_newer_push_ends_that(
    history: History, roll_back: Any, github: GitHub, client: FlaskClient, auth: Auth
) -> None:
    """It is deployed as ever, and so is what was held back when it is pushed again."""
    history.deploy(2, 3)
    roll_back()

    newer = history.push(4)
    held = shown(client, auth)["held_back"]
    again = github.push(before=sha(4), after=sha(3), pushed_at=SOON + 5)

    assert [{"shop": "deploy"}] * 2 == [verdicts(newer), verdicts(again)]
    assert held is None


def test_a_newer_push_to_a_locked_service_ends_that_too(
    history: History, roll_back: Any, client: FlaskClient, auth: Auth
) -> None:
    """It waits, and will be deployed."""
    history.deploy(2, 3)
    roll_back()
    client.post("/api/v1/services/shop/lock", json={"reason": "freeze"}, headers=auth("deployer"))

    assert {"shop": "wait"} == verdicts(history.push(4))
    assert shown(client, auth)["held_back"] is None


@pytest.mark.parametrize("fields", [{"ref": "refs/heads/feature"}, {"after": sha(0)}])
def test_a_push_that_deploys_nothing_ends_nothing(history: History, roll_back: Any, fields: dict[str, Any]) -> None:
    """Another branch, or the ref's end."""
    history.deploy(2, 3)
    roll_back()

    assert {"shop": "ignore"} == verdicts(history.push(4, **fields))
    assert sha(3) == Service.get().held_back


def test_whoever_deploys_the_commit_on_purpose_ends_that(
    history: History, roll_back: Any, start: Any, client: FlaskClient, auth: Auth
) -> None:
    """By hand or as a retry it may come back: it was not its fault, say. Another commit by hand ends nothing."""
    history.deploy(2, 3)
    roll_back()

    start(sha=sha(9))
    after_other = shown(client, auth)["held_back"]
    client.post("/api/v1/deployments/2/retry", headers=auth("deployer"))

    assert after_other is not None
    assert shown(client, auth)["held_back"] is None


def cancel(client: FlaskClient, auth: Auth, number: int) -> None:
    """Call a deployment off."""
    assert 202 == client.post(f"/api/v1/deployments/{number}/cancel", headers=auth("deployer")).status_code


def test_a_rollback_that_never_began_leaves_nothing_held_back(
    history: History, roll_back: Any, client: FlaskClient, auth: Auth
) -> None:
    """What is still live was not rolled back: it is as if nobody had asked."""
    history.deploy(2, 3)
    roll_back()

    cancel(client, auth, 3)

    assert shown(client, auth)["held_back"] is None
    assert {"shop": "deploy"} == verdicts(history.push(3, ref="refs/heads/release/1"))


def test_a_rollback_that_never_began_gives_back_what_the_one_before_it_left(
    history: History, roll_back: Any, client: FlaskClient, auth: Auth
) -> None:
    """Of that, only the last one counts; a push since, though, has ended it."""
    history.deploy(2, 3, 4)
    roll_back(role="admin")
    history.finish()

    roll_back()
    second = shown(client, auth)["held_back"]
    cancel(client, auth, 5)
    first = shown(client, auth)["held_back"]
    roll_back()
    history.push(5)
    cancel(client, auth, 6)

    assert {"sha": sha(3), "by": "deployer"} == second
    assert {"sha": sha(4), "by": "admin"} == first
    assert shown(client, auth)["held_back"] is None


def test_a_rollback_that_had_begun_holds_back_though_it_failed(
    history: History, roll_back: Any, client: FlaskClient, auth: Auth
) -> None:
    """What is there then nobody knows; whoever wanted to leave the commit does not get it back by a push."""
    history.deploy(2, 3)
    roll_back()
    history.finish(DeploymentState.FAILURE)

    assert {"sha": sha(3), "by": "deployer"} == shown(client, auth)["held_back"]


def test_a_rollback_from_a_failure_that_never_began_leaves_nothing_held_back_either(
    history: History, deployer: Browser, client: FlaskClient, auth: Auth
) -> None:
    """The commit that failed may come again; asked for anew, it is held back again."""
    history.deploy(2)
    history.deploy(3, state=DeploymentState.FAILURE)
    deployer.post("/deployments/2/rollback", nonce="once")
    held = shown(client, auth)["held_back"]

    cancel(client, auth, 3)
    after = shown(client, auth)["held_back"]
    client.post("/api/v1/deployments/3/retry", headers=auth("deployer"))

    assert {"sha": sha(3), "by": "deployer"} == held
    assert after is None
    assert held == shown(client, auth)["held_back"]


def test_a_rollback_that_never_began_is_tried_again_as_one(
    history: History, roll_back: Any, client: FlaskClient, auth: Auth
) -> None:
    """With all that belongs to it: pushes that have not begun are cancelled, and what it leaves is held back."""
    history.deploy(2, 3)
    roll_back()
    cancel(client, auth, 3)
    history.push(4)

    answer = client.post("/api/v1/deployments/3/retry", headers=auth("admin")).get_json()

    assert ("rollback", 1, sha(2)) == (answer["origin"], answer["parent"], answer["sha"])
    assert ["cancelled", "cancelled", "queued"] == [state for _, state in states()[2:]]
    assert {"sha": sha(3), "by": "admin"} == shown(client, auth)["held_back"]


def test_two_who_try_again_one_that_never_began_get_one_rollback(
    history: History, roll_back: Any, client: FlaskClient, auth: Auth
) -> None:
    """The second is told of the first one's; once something was asked for since, it is another wish."""
    history.deploy(2, 3)
    roll_back()
    cancel(client, auth, 3)

    def try_again() -> TestResponse:
        return client.post("/api/v1/deployments/3/retry", headers=auth("deployer"))

    first, second = try_again(), try_again()
    history.push(4)
    after_a_push = try_again()

    assert [201, 409, 201] == [each.status_code for each in (first, second, after_a_push)]
    assert "deployment 4 rolls service shop back already" == second.get_json()["detail"]
    assert ["cancelled", "queued", "cancelled", "queued"] == [state for _, state in states()[2:]]


def test_rolling_forward_holds_the_other_commit_back(history: History, roll_back: Any) -> None:
    """One at a time: that which was live until then."""
    history.deploy(2, 3)
    roll_back()
    history.finish()

    roll_back(to=2, role="admin")

    assert (sha(2), "admin") == (Service.get().held_back, Service.get().held_back_by)


def test_rollbacks_are_written_down(history: History, roll_back: Any) -> None:
    """Who, from where and to where."""
    history.deploy(2, 3)

    roll_back()

    row = Audit.get(Audit.action == "rollback")
    assert ("deployer", "service shop", f"from {sha(3)[:7]} to {sha(2)[:7]}, as deployment 3") == (
        row.who,
        row.object,
        row.detail,
    )


@pytest.mark.parametrize("body", [{"to": 0}, {"to": "1"}, {"to": 1, "sha": sha(1)}, {"to": 2**63}])
def test_a_rollback_that_makes_no_sense_is_refused(history: History, roll_back: Any, body: dict[str, Any]) -> None:
    """422; nothing is queued."""
    history.deploy(2, 3)

    assert is_problem(roll_back(**body), 422)
    assert 2 == Deployment.select().count()
