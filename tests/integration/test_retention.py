"""Retention: what nobody needs goes, what somebody needs stays, and an old push never deploys again."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from uuid import uuid4

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from callers import (
    REPOSITORY,
    REPOSITORY_ID,
    SOON,
    Auth,
    GitHub,
    Host,
    ServiceFiles,
    issue_for_service,
    on_sqlite,
    registered,
    sha,
    states,
    sync,
    verdicts,
)
from databases import Raw
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import heads, questions
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.keeping import removing, retention
from fastdeploy_bot.core.keeping.retention import Removed
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.people import audit, idempotency, tokens
from fastdeploy_bot.core.pushes import intake
from fastdeploy_bot.core.telling import outbox
from fastdeploy_bot.store.models import (
    Answer,
    Attempt,
    Audit,
    Delivery,
    Deployment,
    LogChunk,
    Question,
    Recovery,
    Report,
    Service,
    Session,
    Step,
    Token,
    Verdict,
)
from fastdeploy_bot.words import LOCAL, DeploymentState, Origin, Push, QuestionKind, Webhook

DAYS: Final = 90
NOW: Final = 1_700_000_000_000
OLD: Final = NOW - (DAYS + 1) * clock.DAY
YOUNG: Final = NOW - (DAYS - 1) * clock.DAY


def prune(*, days: int = DAYS, now: int = NOW, dry_run: bool = False) -> Removed:
    """Take every step; answers what went."""
    return sum(retention.prune(days, now=now, dry_run=dry_run), Removed())


def much_later() -> int:
    """When all that is there is too old."""
    return clock.now() + (DAYS + 1) * clock.DAY


@pytest.fixture
def shop(database: str) -> Service:
    """A service with a row."""
    assert database
    return make_service("shop")


def make_service(name: str) -> Service:
    """A service's row."""
    return store.write(lambda: Service.create(name=name, repository=f"octo-org/{name}", created=0))


def ended(service: Service, state: str = "failure", *, at: int = OLD, **fields: Any) -> int:
    """A deployment that ended then; its id."""
    facts = {"origin": "push", "sha": sha(1), "ref": "refs/heads/main", "repository": REPOSITORY, "actor": "anna"}
    row = {"service": service, "state": state, "created": at, "started": at, "finished": at} | facts | fields
    return store.write(lambda: Deployment.create(**row)).id


def kept() -> list[int]:
    """The deployments that are there."""
    return [row.id for row in Deployment.select().order_by(Deployment.id)]


# --- deployments


def test_an_old_deployment_goes_with_all_that_is_its_own(shop: Service) -> None:
    """Its steps, its log, what GitHub was told and what it has answered; and the delivery that asked for it."""
    push = store.write(lambda: Delivery.create(guid="g", event="ping", received=OLD))
    number = ended(shop, delivery=push)
    facts = {"repository": REPOSITORY, "sha": sha(1), "context": "fastdeploy/shop", "due": 0}

    def fill() -> None:
        Step.create(deployment=number, name="Build", position=1, state="failure")
        logs.append(number, 0, b"built\n", limit=1 << 20)
        Report.create(deployment=number, told=1, **facts)
        Verdict.create(
            delivery=push, service=shop, verdict="duplicate", reason="", counts=False, deployment=number, decided=OLD
        )

    store.write(fill)
    asked = ask(deployment=number, delivery=push.id)

    assert not prune()
    store.write(lambda: questions.answer(asked, None, now=NOW))
    assert Removed(deployments=1, deliveries=1) == prune()
    models = (Deployment, Step, LogChunk, Report, Delivery, Verdict, Question)
    assert 0 == sum(model.select().count() for model in models)


def ask(**about: int) -> Question:
    """A question that GitHub has not answered yet."""
    return store.write(lambda: questions.ask(QuestionKind.CHANGED, REPOSITORY, {}, now=NOW, **about))


def test_what_ended_lately_stays(shop: Service) -> None:
    """By when it ended, not by when it was asked for."""
    number = ended(shop, at=YOUNG, created=OLD)

    assert not prune()
    assert [number] == kept()


def test_the_last_ten_successes_of_a_service_stay(shop: Service) -> None:
    """The live one among them; each service has ten of its own, and failures between them count for nothing."""
    other = make_service("other")
    theirs = ended(other, "success")
    numbers = [ended(shop, state) for _ in range(11) for state in ("success", "failure")]

    prune()

    assert [theirs, *numbers[2::2]] == kept()


@pytest.mark.parametrize("state", ["queued", "waiting", "running"])
def test_what_has_not_ended_stays_with_those_that_ship_with_it(shop: Service, state: str) -> None:
    """However long it takes: GitHub is still owed the end of their commits."""
    newest = ended(shop, state, finished=None)
    middle = ended(shop, "superseded", taken_over_by=newest)
    oldest = ended(shop, "superseded", taken_over_by=middle)

    assert not prune()
    assert [newest, middle, oldest] == kept()


def test_what_a_kept_deployment_refers_to_stays(shop: Service) -> None:
    """What it retries, what that was superseded by, and so on; they go when it goes."""
    heir = ended(shop)
    parent = ended(shop, "superseded", taken_over_by=heir)
    retry = ended(shop, parent=parent, at=YOUNG)

    assert not prune()
    assert Removed(deployments=3) == prune(now=NOW + 2 * clock.DAY)
    assert retry not in kept()


def test_long_chains_go_as_a_whole(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way they point, and however few are looked at together."""
    monkeypatch.setattr(retention, "WINDOW", 7)
    monkeypatch.setattr(removing, "WORK", 3)
    parents, heirs = [ended(shop)], [ended(shop)]
    for _ in range(12):
        parents.append(ended(shop, parent=parents[-1]))
        heirs.append(ended(shop, "superseded", at=OLD - len(heirs), taken_over_by=heirs[-1]))

    assert Removed(deployments=26) == prune(dry_run=True)
    assert Removed(deployments=26) == prune()


def test_a_verdict_outlives_the_deployment_it_asked_for(shop: Service) -> None:
    """One delivery may have asked for two: it stays with the one that does."""
    other = make_service("other")
    push = store.write(lambda: Delivery.create(guid="g", event="push", received=OLD))
    mine, theirs = ended(shop, "success", delivery=push), ended(other, delivery=push)
    facts = {"verdict": "deploy", "reason": "", "counts": True, "decided": OLD}

    def decide() -> None:
        for service, number in ((shop, mine), (other, theirs)):
            Verdict.create(delivery=push, service=service, deployment=number, **facts)

    store.write(decide)

    prune()

    assert [mine] == kept()
    assert [mine, None] == [row.deployment_id for row in Verdict.select().order_by(Verdict.id)]


def test_what_github_is_owed_keeps_a_deployment(shop: Service) -> None:
    """GitHub may have been away for long; once told, it goes."""
    number = ended(shop)
    facts = {"repository": REPOSITORY, "sha": sha(1), "context": "fastdeploy/shop", "due": 0}
    owed = store.write(lambda: Report.create(deployment=number, **facts))

    assert not prune()
    outbox.note_told(owed, "failure", "", now=NOW)
    assert Removed(deployments=1) == prune()


def test_what_github_was_told_passes_to_a_deployment_of_the_same_commit(shop: Service) -> None:
    """A commit and context has one row, and its page still shows what was told."""
    good = ended(shop, "success", report='["status"]')
    bad = ended(shop, parent=None, report='["status"]')
    facts = {"repository": REPOSITORY, "sha": sha(1), "context": "fastdeploy/shop", "due": 0}
    store.write(lambda: Report.create(deployment=bad, told=1, state="success", **facts))

    prune()

    told = outbox.of(deployments.find(good))
    assert told is not None
    assert (good, "success") == (told.deployment_id, told.state)


def test_a_retry_that_comes_between_looking_and_removing_is_heeded(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it names stays; the others go."""
    monkeypatch.setattr(removing, "WORK", 1)
    first, second = ended(shop), ended(shop, sha=sha(2))
    steps = retention.prune(DAYS, now=NOW)

    removed = next(filter(None, steps))
    left = kept()
    order = Order(origin=Origin.RETRY, sha=sha(1), ref="", repository=REPOSITORY, actor="anna", parent=left[0])
    retry = store.write(lambda: deployments.queue(shop, order, now=NOW))

    assert Removed(deployments=1) == sum(steps, removed)
    assert {left[0], retry.id} == set(kept())
    assert left[0] in (first, second)


def test_a_huge_log_goes_in_pieces(shop: Service, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """No write takes more on itself than the others; in the end nothing is left of it."""
    number = ended(shop)
    store.write(lambda: logs.append(number, 0, b"x" * 20 * logs.CHUNK, limit=1 << 30))
    monkeypatch.setattr(removing, "WORK", 5 * (1 + logs.CHUNK // removing.PIECE))

    left = [raw.execute("SELECT COUNT(*) FROM log_chunk")[0][0] for _ in retention.prune(DAYS, now=NOW)]

    assert [20, 15, 10, 5, 0, 0] == left[:6]
    assert [] == kept()


def test_trying_it_out_writes_nothing(shop: Service) -> None:
    """It tells what would go, as it then goes."""
    for number in range(15):
        push = store.write(lambda: Delivery.create(guid=f"g{number}", event="push", received=OLD))  # noqa: B023
        ended(shop, "success" if number % 2 else "failure", delivery=push)
    everything = kept()

    told = prune(dry_run=True)

    assert everything == kept()
    assert 15 == Delivery.select().count()
    assert told == prune() == Removed(deployments=8, deliveries=8)


class Made(NamedTuple):
    """A deployment that is made up; it may name ones before it, by how far back they are."""

    state: str
    old: bool
    parent: int
    heir: int


STATES: Final = ["success", "success", "failure", "superseded", "queued", "waiting"]
MADE: Final = st.lists(
    st.builds(Made, st.sampled_from(STATES), st.booleans(), st.integers(0, 4), st.integers(0, 4)), max_size=14
)


@on_sqlite
@given(made=MADE)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each begins with no rows
def test_exactly_what_is_needed_stays(made: list[Made], shop: Service) -> None:
    """Whatever refers to whatever: as the rules say, read one by one."""
    Deployment.delete().execute()
    numbers: list[int] = []
    for each in made:
        back = [None, *numbers[::-1]]
        parent = back[each.parent] if each.parent < len(back) else None
        heir = back[each.heir] if each.heir < len(back) and each.state == "superseded" else None
        at = None if each.state in ("queued", "waiting") else OLD if each.old else YOUNG
        numbers.append(ended(shop, each.state, finished=at, parent=parent, taken_over_by=heir))
    expected = _needed(list(Deployment.select()), successes=2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "SUCCESSES", 2)
        prune()

    assert sorted(expected) == kept()


def _needed(rows: list[Deployment], *, successes: int) -> set[int]:
    """What stays of these."""
    good = [row.id for row in rows if row.state == "success"]
    ships = {row.id for row in rows if row.finished is None}
    for _ in rows:
        ships |= {row.id for row in rows if row.taken_over_by_id in ships}
    needed = ships | {row.id for row in rows if row.finished == YOUNG} | set(good[-successes:])
    for _ in rows:
        named = [(row.parent_id, row.taken_over_by_id) for row in rows if row.id in needed]
        needed |= {number for pair in named for number in pair if number is not None}
    return needed


# --- deliveries


@pytest.fixture
def push(github: GitHub, service: ServiceFiles, app: Flask) -> Any:
    """Pushes for shop, which deploys main: `push(3)` is the third commit, made at the third second."""
    service("shop", branches=["main"])
    sync(app)

    def call(number: int, **fields: Any) -> TestResponse:
        times: dict[str, Any] = {"before": sha(number), "after": sha(number + 1), "pushed_at": SOON + number}
        return github.push(**(times | fields))

    return call


def end_all(host: Host) -> None:
    """Let everything queued run, and fail."""
    for row in list(Deployment.select().where(Deployment.state == "queued")):
        host.begin(row.id)
        host.end(row.id, DeploymentState.FAILURE)


def test_an_old_push_that_comes_again_is_stale_or_a_duplicate(push: Any, host: Host) -> None:
    """Its delivery may be gone; the newest one's is not, and tells that it is older."""
    for number in (1, 2, 3):
        push(number)
    end_all(host)
    prune(now=much_later())

    again = [push(number) for number in (1, 2, 3)]

    assert [] == states()
    assert ["stale", "stale", "duplicate"] == [verdicts(each)["shop"] for each in again]


def test_the_newest_push_of_each_branch_stays(push: Any, host: Host, github: GitHub) -> None:
    """Also that of a branch which the service does not deploy: its head is asked for when somebody deploys by hand."""
    for ref in ("refs/heads/main", "refs/heads/other"):
        for number in (1, 2):
            push(number, ref=ref)
    github.deliver(b'{"zen": ""}', event="ping")
    end_all(host)

    assert 3 == prune(now=much_later()).deliveries
    assert ["refs/heads/main", "refs/heads/other"] == [row.ref for row in Delivery.select().order_by(Delivery.id)]


def test_the_head_of_a_branch_is_known_after_pruning(push: Any, host: Host, catalogue: Catalogue) -> None:
    """Also where the newest push was not to be deployed, and an older one is what makes pushes stale."""
    push(1)
    end_all(host)
    push(2, title="Mend the docs [skip deploy]")

    prune(now=much_later())

    file = catalogue.entries()["shop"].file
    assert file is not None
    assert sha(3) == heads.newest(Service.get(), file).sha
    assert [sha(2), sha(3)] == [row.after for row in Delivery.select().order_by(Delivery.id)]


def test_a_push_that_was_refused_last_stays(push: Any, host: Host, service: ServiceFiles) -> None:
    """Without it a look at the repository would take its commit for one that nobody told of."""
    push(1)
    end_all(host)
    service.text("shop", "tiemout = 1")
    push(2)

    prune(now=much_later())

    assert [sha(2), sha(3)] == [row.after for row in Delivery.select().order_by(Delivery.id)]


def test_a_delivery_that_was_replayed_lately_stays(shop: Service) -> None:
    """What was decided about it is younger than itself."""
    row = store.write(lambda: Delivery.create(guid="g", event="push", received=OLD))
    facts = {"verdict": "ignore", "reason": "", "counts": False}
    store.write(lambda: Verdict.create(delivery=row, service=shop, decided=YOUNG, **facts))

    assert not prune()


def test_duplicates_go_and_what_they_name_stays_for_a_younger_one(database: str) -> None:
    """A delivery that names another one keeps it."""
    assert database
    first = store.write(lambda: Delivery.create(guid="g1", event="push", received=OLD))
    store.write(lambda: Delivery.create(guid="g2", event="push", received=OLD, duplicate_of=first))
    store.write(lambda: Delivery.create(guid="g3", event="push", received=YOUNG, duplicate_of=first))

    assert Removed(deliveries=1) == prune()
    assert Removed(deliveries=2) == prune(now=NOW + 2 * clock.DAY)


PUSHES: Final = st.lists(
    st.tuples(st.none() | st.integers(0, 5), st.sampled_from("ab"), st.integers(1, 4), st.integers(1, 4)),
    min_size=1,
    max_size=8,
)
"""When, to which branch, from which commit and to which; times and commits come again."""


@on_sqlite
@pytest.mark.usefixtures("database")
@given(pushes=PUSHES)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each begins with no rows
def test_pruning_never_lets_a_push_deploy_again(
    pushes: list[tuple[int | None, str, int, int]], service: ServiceFiles, catalogue: Catalogue
) -> None:
    """Whatever came in whatever order: after pruning, all of it comes again and nothing is deployed."""
    service("shop", branches=["**"])
    for model in (Verdict, Deployment, Delivery):
        model.delete().execute()

    def receive() -> list[str]:
        told = [
            intake.receive(_webhook(*each), catalogue, covers=lambda _: True, peer="", now=clock.now()).answer()
            for each in pushes
        ]
        return [verdict.verdict for each in told for verdict in each.verdicts]

    receive()
    Deployment.update(state="failure", finished=1).execute()
    prune(now=much_later())

    assert "deploy" not in receive()


def _webhook(moment: int | None, branch: str, before: int, after: int) -> Webhook:
    """A delivery of a push, under a GUID of its own."""
    push = Push(
        repository_id=REPOSITORY_ID,
        repository=REPOSITORY,
        default_branch="main",
        ref=f"refs/heads/{branch}",
        before=sha(before),
        after=sha(after),
        commit=sha(after),
        pushed_at=moment,
    )
    return Webhook(
        guid=str(uuid4()),
        event="push",
        action=None,
        repository_id=REPOSITORY_ID,
        repository=REPOSITORY,
        headers={},
        body=b"{}",
        push=push,
    )


# --- bodies


def test_a_body_is_kept_for_a_week(push: Any, client: FlaskClient, auth: Auth) -> None:
    """Then a replay says that it is gone, and the delivery and its verdicts are there still."""
    guid = push(1).get_json()["delivery"]

    assert not prune(now=clock.now() + 6 * clock.DAY)
    assert Removed(bodies=1) == prune(now=clock.now() + 8 * clock.DAY)
    assert 410 == client.post(f"/api/v1/deliveries/{guid}/replay", headers=auth("deployer")).status_code
    assert client.get(f"/api/v1/deliveries/{guid}", headers=auth("viewer")).get_json()["verdicts"]


def test_bodies_take_so_much_in_all(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest stay."""
    assert database
    monkeypatch.setattr(retention, "BODY_BYTES", 2_500)
    for number in range(4):
        store.write(lambda: Delivery.create(guid=f"g{number}", event="push", body=b"x" * 1_000, received=NOW))  # noqa: B023

    assert Removed(bodies=2) == prune()
    assert ["g2", "g3"] == [
        row.guid for row in Delivery.select().where(Delivery.body.is_null(False)).order_by(Delivery.id)
    ]


# --- all else


def test_what_is_kept_for_a_time_of_its_own_goes_after_it(shop: Service) -> None:
    """The audit and tokens after the days of the setting, the others after what each of them is kept for."""
    anna = registered("anna", "correct horse")

    def fill(at: int) -> None:
        audit.note(LOCAL, "deploy", "service shop", now=at)
        tokens.for_user(anna, now=at)
        Session.create(hash=str(at), user=anna, created=at, expires=at, peer="", agent="")
        Answer.create(principal="", key=str(at), fingerprint="", status=200, body=b"", created=at)
        Attempt.create(key="", at=at)
        Recovery.create(at=at, away=0, pushes=1, redelivered=0)
        questions.ask(QuestionKind.REACHABLE, "octo-org/shop", {}, now=at)

    for at in (OLD, NOW - 2 * idempotency.KEPT, NOW):
        store.write(lambda: fill(at))  # noqa: B023

    assert issue_for_service(shop.name, now=OLD)

    assert Removed(audit=2, tokens=1, sessions=1, answers=2, attempts=2, recoveries=1, questions=1) == prune()
    assert [2, 3, 2, 1, 1] == [model.select().count() for model in (Audit, Token, Session, Answer, Attempt)]


def test_removed_rows_add_up() -> None:
    """Steps are summed."""
    assert Removed(deployments=3, audit=1) == Removed(deployments=1) + Removed(deployments=2, audit=1)
    assert set(msgspec.structs.asdict(Removed()).values()) == {0}
