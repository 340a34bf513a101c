"""Pushes: each is decided once, the newest wins, and what a person started stays."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from callers import (
    REPOSITORY_ID,
    SOON,
    Auth,
    GitHub,
    Host,
    ServiceFiles,
    at_once,
    sha,
    states,
    sync,
    verdicts,
)
from fastdeploy_bot.core.pushes import deciding
from fastdeploy_bot.store.models import Delivery, Deployment, Service, Verdict
from fastdeploy_bot.words import Push

PUSH = Push(
    repository_id=REPOSITORY_ID,
    repository="octo-org/shop",
    default_branch="main",
    ref="refs/heads/main",
    before=sha(0),
    after=sha(1),
    commit=sha(1),
)


@pytest.fixture
def shop(service: ServiceFiles) -> ServiceFiles:
    """A service named shop, of the default branch."""
    service("shop")
    return service


# --- known already ---


@pytest.mark.usefixtures("shop")
def test_the_same_guid_again_is_a_duplicate(github: GitHub) -> None:
    """A redelivery keeps its GUID: it names the same deployment and starts nothing."""
    first = github.push(guid="g-1").get_json()

    again = github.push(guid="g-1")

    assert 202 == again.status_code
    assert again.get_json()["duplicate"] is True
    assert {"shop": "duplicate"} == verdicts(again)
    assert first["verdicts"][0]["deployment"] == again.get_json()["verdicts"][0]["deployment"]
    assert [("shop", "queued")] == states()
    assert 1 == Delivery.select().count()


@pytest.mark.usefixtures("shop")
def test_the_same_push_with_another_guid_is_a_duplicate(github: GitHub) -> None:
    """Through two webhooks one push comes twice: both deliveries are kept, one deployment is queued."""
    github.push(guid="g-1")

    again = github.push(guid="g-2")

    assert again.get_json()["duplicate"] is True
    assert "g-1" in again.get_json()["reason"]
    assert {"shop": "duplicate"} == verdicts(again)
    assert [("shop", "queued")] == states()
    assert "g-1" == Delivery.get(Delivery.guid == "g-2").duplicate_of.guid


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "other",
    [
        {"repository_id": REPOSITORY_ID + 1},
        {"ref": "refs/heads/other"},
        {"before": sha(7)},
        {"after": sha(7)},
        {"pushed_at": SOON + 1},
    ],
)
def test_a_push_that_differs_in_any_part_of_its_key_is_no_duplicate(github: GitHub, other: dict[str, Any]) -> None:
    """The push key is the repository's id, ref, before, after and pushed_at."""
    github.push()

    assert github.push(**other).get_json()["duplicate"] is False


@pytest.mark.usefixtures("shop")
def test_going_back_and_forth_is_no_duplicate(github: GitHub) -> None:
    """The same two commits pushed again at another time are another push."""
    for number, (before, after) in enumerate([(1, 2), (2, 1), (1, 2)]):
        response = github.push(before=sha(before), after=sha(after), pushed_at=SOON + number)
        assert {"shop": "deploy"} == verdicts(response)

    assert [("shop", "superseded"), ("shop", "superseded"), ("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_parallel_deliveries_of_one_push_are_decided_once(github: GitHub, app: Flask) -> None:
    """However often and however parallel: one deployment, and everyone is answered."""

    def deliver(number: int) -> TestResponse:
        return github.push(guid=f"g-{number % 20}", client=app.test_client())

    answers = at_once(deliver, 40)

    assert {202} == {answer.status_code for answer in answers}
    assert 1 == sum(not answer.get_json()["duplicate"] for answer in answers)
    assert [("shop", "queued")] == states()
    assert 20 == Delivery.select().count()


@pytest.mark.usefixtures("shop")
def test_parallel_pushes_leave_the_newest(github: GitHub, app: Flask) -> None:
    """Whichever of them is decided first: the newest is queued, and no older one is beside it."""

    def deliver(number: int) -> TestResponse:
        fields: dict[str, Any] = {"before": sha(number + 1), "after": sha(number + 2), "pushed_at": SOON + number}
        return github.push(guid=f"g-{number}", client=app.test_client(), **fields)

    answers = at_once(deliver, 12)

    assert {202} == {answer.status_code for answer in answers}
    assert [sha(13)] == [row.sha for row in Deployment.select().where(Deployment.state == "queued")]
    assert {"superseded", "queued"} >= {state for _, state in states()}


# --- older than what was decided ---


@pytest.mark.usefixtures("shop")
def test_an_older_push_that_comes_late_is_stale(github: GitHub) -> None:
    """By pushed_at: what comes late never runs."""
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)

    late = github.push(before=sha(1), after=sha(2), pushed_at=SOON)

    assert {"shop": "stale"} == verdicts(late)
    assert [("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_within_a_second_the_chain_decides(github: GitHub) -> None:
    """The push whose `after` another one began from is the older."""
    github.push(before=sha(2), after=sha(3))

    late = github.push(before=sha(1), after=sha(2))

    assert {"shop": "stale"} == verdicts(late)


@pytest.mark.usefixtures("shop")
def test_a_chain_that_comes_backwards_within_a_second_leaves_its_end(github: GitHub) -> None:
    """A push that is older than a stale one is stale as well."""
    answers = [github.push(before=sha(number), after=sha(number + 1)) for number in (4, 3, 2, 1)]

    assert ["deploy", "stale", "stale", "stale"] == [verdicts(answer)["shop"] for answer in answers]
    assert [sha(5)] == [row.sha for row in Deployment.select()]


@pytest.mark.usefixtures("shop")
def test_a_duplicate_of_a_stale_push_starts_nothing(github: GitHub) -> None:
    """A redelivery does not make an old push new."""
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)
    github.push(guid="g-2", pushed_at=SOON)

    again = [github.push(guid="g-2", pushed_at=SOON), github.push(guid="g-3", pushed_at=SOON)]

    assert [{"shop": "duplicate"}] * 2 == [verdicts(answer) for answer in again]
    assert [("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_a_duplicate_does_not_replace_what_is_newer(github: GitHub) -> None:
    """The first of two pushes, delivered again after the second, leaves the second queued."""
    github.push(pushed_at=SOON)
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)

    github.push(guid="again", pushed_at=SOON)

    assert [("shop", "superseded"), ("shop", "queued")] == states()


def test_each_service_has_a_newest_push_of_its_own(github: GitHub, service: ServiceFiles) -> None:
    """A service that was not there for the newer push can still take the older one."""
    service("all")
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)
    service("api")

    late = github.push(before=sha(1), after=sha(2), pushed_at=SOON)

    assert {"all": "stale", "api": "deploy"} == verdicts(late)


@pytest.mark.usefixtures("shop")
def test_refs_do_not_age_each_other(github: GitHub, service: ServiceFiles) -> None:
    """A newer push of one branch says nothing about another one."""
    service("shop", branches=["main", "next"])
    github.push(ref="refs/heads/main", pushed_at=SOON + 9)

    other = github.push(ref="refs/heads/next", pushed_at=SOON)

    assert {"shop": "deploy"} == verdicts(other)
    assert [("shop", "queued"), ("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_a_push_that_comes_after_its_branch_was_deleted_is_stale(github: GitHub) -> None:
    """Deleting is the newest word on that ref: it deploys nothing, and what is older deploys nothing either."""
    deleted = github.push(before=sha(2), after=sha(0), pushed_at=SOON + 1)

    late = github.push(before=sha(1), after=sha(2), pushed_at=SOON)

    assert {"shop": "ignore"} == verdicts(deleted)
    assert {"shop": "stale"} == verdicts(late)
    assert [] == states()


@pytest.mark.usefixtures("shop")
def test_a_branch_made_anew_deploys(github: GitHub) -> None:
    """After a deletion, the next push of the branch is newer than that."""
    github.push(before=sha(2), after=sha(0), pushed_at=SOON)

    anew = github.push(before=sha(0), after=sha(3), pushed_at=SOON + 1)

    assert {"shop": "deploy"} == verdicts(anew)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("times", [[], [3, 1, 2, 2], [5, None, 4, None], [None, *range(1, 25)], [*range(25), None, 30]])
def test_a_push_is_held_against_the_newest_ones_that_may_be_newer(times: list[int | None]) -> None:
    """Those of a later moment, and those that tell no time; all of them among the newest twenty, newest first."""
    shop = Service.create(name="shop", repository="octo-org/shop", created=1)
    kept = [_decided(shop, number, at) for number, at in enumerate(times)]
    _decided(shop, 98, 99, ref="refs/heads/other")
    _decided(shop, 99, 99, counts=False)
    newest = sorted(kept, key=lambda row: (row.pushed_at is None, -(row.pushed_at or 0), -row.id))[: deciding.NEWEST]

    for moment in (None, 0, 2, 4, 24, 31):
        push = msgspec.structs.replace(PUSH, pushed_at=moment)
        expected = [row.after for row in newest if row.pushed_at is None or row.pushed_at >= (moment or 0)]
        assert expected == [known.after for known in deciding._newest(shop, push)]


def _decided(service: Service, number: int, at: int | None, *, ref: str = PUSH.ref, counts: bool = True) -> Delivery:
    place = {"repository_id": PUSH.repository_id, "ref": ref, "before": sha(0), "after": f"{number:040x}"}
    delivery = Delivery.create(guid=f"g-{number}", event="push", received=1, pushed_at=at, **place)
    Verdict.create(delivery=delivery, service=service, verdict="deploy", reason="", counts=counts, decided=1)
    return delivery


# --- who is meant ---


def test_several_services_of_one_repository_each_decide(github: GitHub, service: ServiceFiles) -> None:
    """One delivery, one verdict for each service mapped to the repository, in the order of their names."""
    service("live", branches=["main"])
    service("preview", branches=["feature/**"])
    service("tagged", tags=["v*"])
    service("other", repository="octo-org/other", branches=["**"])

    main = github.push(ref="refs/heads/main", after=sha(2))
    feature = github.push(ref="refs/heads/feature/a/b", after=sha(3))
    tag = github.push(ref="refs/tags/v1.0", after=sha(4))
    unwanted = github.push(ref="refs/heads/wip", after=sha(5))

    assert {"live": "deploy", "preview": "ignore", "tagged": "ignore"} == verdicts(main)
    assert {"live": "ignore", "preview": "deploy", "tagged": "ignore"} == verdicts(feature)
    assert {"live": "ignore", "preview": "ignore", "tagged": "deploy"} == verdicts(tag)
    assert {"live": "ignore", "preview": "ignore", "tagged": "ignore"} == verdicts(unwanted)
    assert [("live", "queued"), ("preview", "queued"), ("tagged", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_the_repositorys_id_is_pinned_by_the_first_push(github: GitHub) -> None:
    """At first sight, also where nobody had made the service's row before."""
    github.push()

    assert REPOSITORY_ID == Service.get().repository_id


@pytest.mark.usefixtures("shop")
def test_the_repositorys_id_is_pinned_by_a_ping(github: GitHub, app: Flask) -> None:
    """First sight is the first event of any kind."""
    sync(app)

    github.deliver(json.dumps({"repository": {"id": 5, "full_name": "Octo-Org/Shop"}}).encode(), event="ping")

    assert 5 == Service.get().repository_id


@pytest.mark.usefixtures("shop")
def test_another_repository_under_the_same_name_is_refused(github: GitHub) -> None:
    """Whoever takes over a name does not get its deployments."""
    github.push()

    other = github.push(repository_id=REPOSITORY_ID + 1, pushed_at=SOON + 1)

    assert {"shop": "refused"} == verdicts(other)
    assert [("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_a_renamed_repository_is_followed(github: GitHub) -> None:
    """The id stays when the name goes."""
    github.push()

    renamed = github.push(repository="new-org/store", before=sha(2), after=sha(3), pushed_at=SOON + 1)

    assert {"shop": "deploy"} == verdicts(renamed)


@pytest.mark.usefixtures("shop")
def test_a_service_given_another_repository_forgets_the_old_id(github: GitHub, service: ServiceFiles) -> None:
    """The file is the source of truth: its new repository is pinned at first sight, the old one is no longer mapped."""
    github.push()
    service("shop", repository="octo-org/store")

    new = github.push(repository="octo-org/store", repository_id=12, pushed_at=SOON + 1)
    old = github.push(pushed_at=SOON + 2)

    assert {"shop": "deploy"} == verdicts(new)
    assert {} == verdicts(old)
    assert 12 == Service.get().repository_id


# --- one after the other ---


@pytest.mark.usefixtures("shop")
def test_a_newer_push_supersedes_what_has_not_begun(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """The older one says which took its place."""
    github.push()
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)

    older = client.get("/api/v1/deployments/1", headers=auth("viewer")).get_json()

    assert "superseded" == older["state"]
    assert 2 == older["taken_over_by"]
    assert sha(3)[:7] in older["reason"]
    assert older["finished"] is not None


@pytest.mark.usefixtures("shop")
def test_a_running_deployment_is_not_superseded(github: GitHub, host: Host) -> None:
    """What has begun runs to its end; the newer one waits for it."""
    github.push()
    host.begin(1)

    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)

    assert [("shop", "running"), ("shop", "queued")] == states()


def test_only_pushes_of_the_same_ref_are_superseded(github: GitHub, service: ServiceFiles) -> None:
    """Two branches of one service do not push each other out."""
    service(branches=["main", "next"])

    github.push(ref="refs/heads/main")
    github.push(ref="refs/heads/next")

    assert [("shop", "queued"), ("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_what_a_person_or_program_started_is_never_superseded(
    github: GitHub, client: FlaskClient, auth: Auth, app: Flask
) -> None:
    """A push does not undo a decision."""
    sync(app)
    wish = {"service": "shop", "sha": sha(9), "ref": "main"}
    client.post("/api/v1/deployments", json=wish, headers=auth("deployer"))
    client.post("/api/v1/deployments", json={"sha": sha(9), "ref": "main"}, headers=auth.service("shop"))
    client.post("/api/v1/deployments/1/cancel", headers=auth("deployer"))
    client.post("/api/v1/deployments/1/retry", headers=auth("deployer"))

    github.push()

    assert ["manual", "api", "retry", "push"] == [row.origin for row in Deployment.select().order_by(Deployment.id)]
    assert ["cancelled", "queued", "queued", "queued"] == [state for _, state in states()]


def test_with_supersede_off_every_push_is_deployed(github: GitHub, service: ServiceFiles) -> None:
    """Where each commit counts, each keeps its place in the queue."""
    service(supersede=False)

    github.push()
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)

    assert [("shop", "queued"), ("shop", "queued")] == states()


def test_with_auto_off_pushes_are_recorded_only(github: GitHub, service: ServiceFiles) -> None:
    """The verdict says how to start one, and older pushes are stale all the same."""
    service(auto=False)

    response = github.push(pushed_at=SOON + 1, before=sha(2), after=sha(3))

    assert {"shop": "ignore"} == verdicts(response)
    assert {"shop": "stale"} == verdicts(github.push(pushed_at=SOON))
    assert [] == states()


@pytest.mark.usefixtures("shop")
def test_a_message_that_asks_for_no_deployment_is_heeded(github: GitHub, client: FlaskClient, auth: Auth) -> None:
    """The push starts nothing, and leaves alone what earlier ones started; by hand that commit is deployed."""
    github.push(pushed_at=SOON)

    skipped = github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1, title="Fix a word\n\n[Skip Deploy]")
    started = client.post("/api/v1/deployments", json={"service": "shop"}, headers=auth("deployer"))

    [verdict] = skipped.get_json()["verdicts"]
    assert ("ignore", f"the message of {sha(3)[:7]} says [skip deploy]") == (verdict["verdict"], verdict["reason"])
    assert (201, sha(3)) == (started.status_code, started.get_json()["sha"])
    assert [("shop", "queued"), ("shop", "queued")] == states()


@pytest.mark.usefixtures("shop")
def test_an_earlier_push_that_comes_after_a_skipped_one_is_deployed(github: GitHub) -> None:
    """It did not ask to be skipped, and would have been deployed had it come in time."""
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1, title="[skip ci]")

    assert {"shop": "deploy"} == verdicts(github.push(pushed_at=SOON))
