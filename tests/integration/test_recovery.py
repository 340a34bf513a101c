"""Recovery: a push that no webhook told of is seen at the repository and decided as if one had come, once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from flask import Flask

import appkeys
import fakehub
import signed_in
from callers import Browser, GitHub, Host, ServiceFiles, on_sqlite, sha, sync
from fakehub import FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import between, deliveries, drift, heads
from fastdeploy_bot.core.deploying import locking, rollbacks
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.pushes import deciding, intake, reconciling
from fastdeploy_bot.engine import line, recovery
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.engine.redelivery import Redelivery
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Delivery, Deployment, Recovery, Verdict, Watch, proxy
from fastdeploy_bot.words import LOCAL, ZERO_SHA
from reading import text

pytestmark = pytest.mark.usefixtures("shop")

MINUTE = 60.0
HEAD = sha(2)
ADDRESS = "https://deploy.example/webhooks/github"


class Looker:
    """A recovery whose time is the test's."""

    def __init__(self, speaking: Line, made: recovery.Recovery, begun: int) -> None:
        self._line = speaking
        self.recovery = made
        self.now = begun

    def look(self, seconds: float = 0.0) -> None:
        """Look, so many seconds after the last look, as long as there is something to look at."""
        self.now += int(seconds * clock.SECOND)
        for _ in range(200):
            if self.recovery.tick(now=self.now) > 0:
                return
        raise AssertionError("there is no end of it")

    def stop(self) -> None:
        """Let another process look."""
        self._line.end()


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that may ask this GitHub."""
    return signed_in.by_token(settings, hub)


@pytest.fixture
def start(settings: Settings, app: Flask) -> Iterator[Callable[..., Looker]]:
    """Starts a process that looks; the time goes on from where it was."""
    assert app.testing
    begun = clock.now()
    with ExitStack() as stack:

        def make(
            *, poll: float | None = None, after: float = 0.0, host: str = "host-1", given: Settings = settings
        ) -> Looker:
            speaking = line.of(given, host)
            stack.callback(speaking.end)
            catalogue = Catalogue(settings.services_dir)
            asking = Redelivery(speaking, ADDRESS)
            made = recovery.Recovery(speaking, catalogue, Bell(settings.bell_dir), redelivery=asking, poll=poll)
            return Looker(speaking, made, begun + int(after * clock.SECOND))

        yield make


@pytest.fixture
def shop(service: ServiceFiles, app: Flask) -> ServiceFiles:
    """The service shop, of main and release/*."""
    service("shop", branches=["main", "release/*"])
    sync(app)
    return service


def once(looker: Looker) -> None:
    """A process that looks and ends."""
    looker.look()
    looker.stop()


def push(hub: FakeHub, github: GitHub, number: int, *, ref: str = "refs/heads/main", before: int | None = None) -> Any:
    """Push a commit, of which the webhook tells; answers the verdict for shop."""
    hub.remote().push(sha(number), ref)
    body: dict[str, Any] = {"before": sha(number - 1 if before is None else before), "after": sha(number), "ref": ref}
    told = github.push(**body, pushed_at=hub.remote().pushed_at).get_json()
    return told["verdicts"][0]["verdict"]


def deployed() -> list[tuple[str, str]]:
    """The commits that were queued, oldest first, each with its origin."""
    return [(row.sha, row.origin) for row in Deployment.select().order_by(Deployment.id)]


def decided() -> list[tuple[str, str]]:
    """What was decided of the pushes that no webhook told of, oldest first, with the reasons."""
    rows = Verdict.select(Verdict, Delivery).join(Delivery).where(Delivery.reconciled).order_by(Verdict.id)
    return [(row.verdict, row.reason) for row in rows]


# --- what was missed --------------------------------------------------------------------------------------


def test_a_push_that_was_missed_is_decided_once(hub: FakeHub, github: GitHub, start: Callable[..., Looker]) -> None:
    """With the commit's title, from where the ref was to where it is, and by nobody that is known."""
    push(hub, github, 2)
    hub.remote().push(sha(3), message="Mend the tax\n\nIt was wrong.")

    looker = start()
    looker.look()
    looker.look(MINUTE)
    looker.stop()
    start().look()

    row = Deployment.get(Deployment.origin == "reconciled")
    [told] = Recovery.select()
    assert [(sha(2), "push"), (sha(3), "reconciled")] == deployed()
    assert (1, 0) == (told.pushes, told.away)
    assert (sha(2), "refs/heads/main", "octo-org/shop") == (row.before, row.ref, row.repository)
    assert ("Mend the tax", "") == (row.title, row.actor)


def test_what_a_webhook_told_of_is_not_decided_again(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker]
) -> None:
    """Whatever was decided of it."""
    push(hub, github, 2)
    push(hub, github, 3, ref="refs/heads/release/1")
    push(hub, github, 4, ref="refs/heads/other")

    start().look()

    assert [] == decided()


def test_the_webhook_of_what_was_seen_is_a_duplicate(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker]
) -> None:
    """However late it comes, and though it knows of pushes in between; those in between are stale."""
    push(hub, github, 2)
    hub.remote().push(sha(3))
    between = hub.remote().pushed_at
    hub.remote().push(sha(4))
    last = hub.remote().pushed_at
    hub.remote().push(sha(9), "refs/heads/other")
    start().look()

    late = github.push(before=sha(3), after=sha(4), pushed_at=last).get_json()
    older = github.push(before=sha(2), after=sha(3), pushed_at=between).get_json()

    assert (True, "duplicate") == (late["duplicate"], late["verdicts"][0]["verdict"])
    assert ["stale"] == [verdict["verdict"] for verdict in older["verdicts"]]
    assert [sha(2), sha(4)] == [commit for commit, _ in deployed()]


def test_a_push_after_what_was_seen_is_deployed(hub: FakeHub, github: GitHub, start: Callable[..., Looker]) -> None:
    """Also in the same second, and also back to what was deployed before."""
    push(hub, github, 2)
    hub.remote().push(sha(3))
    start().look()

    same = github.push(before=sha(3), after=sha(4), pushed_at=hub.remote().pushed_at).get_json()
    back = github.push(before=sha(4), after=sha(3), pushed_at=hub.remote().pushed_at + 9).get_json()

    assert ["deploy", "deploy"] == [told["verdicts"][0]["verdict"] for told in (same, back)]


def test_a_force_push_back_that_was_missed_is_deployed(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker]
) -> None:
    """Though that very commit was decided before."""
    push(hub, github, 2)
    push(hub, github, 3)
    hub.remote().push(sha(2))

    start().look()

    assert [sha(2), sha(3), sha(2)] == [commit for commit, _ in deployed()]


def test_a_new_branch_and_one_that_is_gone_are_seen(hub: FakeHub, github: GitHub, start: Callable[..., Looker]) -> None:
    """The new one is deployed, of the one that is gone it is said; where it comes again it is deployed again."""
    push(hub, github, 2)
    looker = start()
    looker.look()

    hub.remote().push(sha(7), "refs/heads/release/7")
    looker.look(6 * MINUTE)
    looker.look(MINUTE)
    hub.remote().push(ZERO_SHA, "refs/heads/release/7")
    looker.look(6 * MINUTE)
    looker.look(MINUTE)
    hub.remote().push(sha(7), "refs/heads/release/7")
    looker.look(6 * MINUTE)
    looker.look(MINUTE)

    assert [
        ("deploy", f"branch release/7 is now {sha(7)[:7]}"),
        ("ignore", "branch release/7 was deleted: there is nothing to deploy"),
        ("deploy", f"branch release/7 is now {sha(7)[:7]}"),
    ] == decided()


def test_an_annotated_tag_deploys_the_commit_that_it_names(
    hub: FakeHub, shop: ServiceFiles, start: Callable[..., Looker]
) -> None:
    """Also through another tag."""
    shop("shop", tags=["v*"])
    hub.remote().push(sha(2))
    looker = start(poll=60)
    looker.look()

    hub.remote().annotate("v1", sha(101), sha(2))
    hub.remote().tags[sha(102)] = sha(101)
    hub.remote().push(sha(102), "refs/tags/v2")
    looker.look(MINUTE)

    assert [(sha(2), "refs/tags/v1"), (sha(2), "refs/tags/v2")] == [
        (row.sha, row.ref) for row in Deployment.select().order_by(Deployment.ref)
    ]


def test_it_is_told_for_how_long_nobody_looked(
    hub: FakeHub, github: GitHub, shop: ServiceFiles, start: Callable[..., Looker]
) -> None:
    """And of how many pushes nobody heard meanwhile, of all repositories together."""
    shop("blog", repository="octo-org/blog", branches=["main"])
    hub.remote("octo-org/blog").push(sha(2))
    push(hub, github, 2)
    once(start(poll=10))
    for name in ("octo-org/shop", "octo-org/blog"):
        hub.remote(name).push(sha(3))

    start(after=6 * MINUTE).look()

    [told] = Recovery.select()
    assert (2, 6 * MINUTE * clock.SECOND) == (told.pushes, told.away)


def test_many_refs_are_decided_at_one_start(hub: FakeHub, github: GitHub, start: Callable[..., Looker]) -> None:
    """In several looks, without waiting between them."""
    push(hub, github, 2)
    once(start(poll=10))
    for number in range(10, 22):
        hub.remote().push(sha(number), f"refs/heads/release/{number}")

    start().look()

    assert 12 == len(decided())


@pytest.mark.parametrize(
    ("recovery", "told"),
    [
        ({"pushes": 2, "away": 380_000}, "recovered 2 pushes missed while away 6 min, 3 min ago"),
        ({"pushes": 1}, "recovered 1 push that no webhook told of, 3 min ago"),
        ({"redelivered": 1}, "asked GitHub again for 1 delivery that failed, 3 min ago"),
        ({"redelivered": 3, "away": 380_000}, "asked GitHub again for 3 deliveries missed while away 6 min, 3 min ago"),
    ],
)
def test_the_page_tells_of_it_for_a_day(app: Flask, recovery: dict[str, int], told: str) -> None:
    """Those who may see all."""
    fields = {"at": clock.now() - 200_000, "away": 0, "pushes": 0, "redelivered": 0} | recovery
    made = store.write(lambda: Recovery.create(**fields))
    anna = Browser(app).signed_in("viewer")

    assert told in _text(anna.get("/").text)
    assert "asked GitHub" not in (visitor := Browser(app).get("/").text)
    assert "recovered" not in visitor
    store.write(lambda: Recovery.update(at=clock.now() - clock.DAY - 1).where(Recovery.id == made.id).execute())
    assert told.partition(",")[0] not in _text(anna.get("/").text)


def _text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", page).split())


def test_pages_say_what_was_seen_and_what_cannot_be(
    hub: FakeHub, github: GitHub, app: Flask, start: Callable[..., Looker]
) -> None:
    """A deployment that no webhook told of, its delivery, the last look, and why GitHub cannot be asked."""
    push(hub, github, 2)
    hub.remote().push(sha(3))
    looker = start()
    looker.look()
    anna = Browser(app).signed_in("viewer")
    number = Deployment.get(Deployment.origin == "reconciled").id
    guid = Delivery.get(Delivery.reconciled).guid

    assert "a push that no webhook told of" in anna.get(f"/deployments/{number}").text
    assert "no webhook told of it" in anna.get(f"/deliveries/{guid}").text
    assert "no webhook told of it" in anna.get("/deliveries").text
    assert "last look" in anna.get("/services/shop").text

    hub.fail(Fault(404, "Not Found"), on="/matching-refs/")
    looker.look(6 * MINUTE)
    why = "GitHub cannot be asked for missed pushes: GitHub answered 404: Not Found"
    assert why in text(anna, "/services/shop")


@on_sqlite
def test_a_push_is_looked_up_among_what_was_seen_by_an_index(hub: FakeHub, github: GitHub) -> None:
    """It is asked at every push."""
    push(hub, github, 2)

    assert ["SEARCH t1 USING INDEX delivery_reconciled (repository_id=? AND ref=? AND after=?)"] == _plan(
        intake._RECONCILED
    )


@on_sqlite
@pytest.mark.parametrize(
    "query", [deciding._ANY, deciding._NEWEST, reconciling._NEWEST, between._PUSHES, drift._PUSHES]
)
def test_a_refs_newest_pushes_are_found_without_going_through_a_services_past(
    query: store.Prepared[Delivery], hub: FakeHub, github: GitHub
) -> None:
    """A push costs no more than it did when the service was new."""
    push(hub, github, 2)

    plan = [step.replace("COVERING ", "") for step in _plan(query)]
    begun = plan.index("SEARCH t1 USING INDEX delivery_newest (repository_id=? AND ref=?)")
    assert [
        "CORRELATED SCALAR SUBQUERY 1",
        "SEARCH t2 USING INDEX verdict_of_delivery (delivery_id=? AND service_id=?)",
    ] == plan[begun + 1 : begun + 3]
    assert not [step for step in plan if "SCAN" in step or "verdict_of_service" in step]


@on_sqlite
@pytest.mark.parametrize("query", [deliveries._LAST, heads._LAST])
def test_what_a_service_was_told_last_is_found_without_going_through_its_past(
    query: store.Prepared[Delivery], hub: FakeHub, github: GitHub
) -> None:
    """Each page of a service asks it."""
    push(hub, github, 2)

    plan = _plan(query)
    assert {
        "USING COVERING INDEX verdict_of_service (service_id=? AND verdict=?)",
        "USING INTEGER PRIMARY KEY (rowid=?)",
    } == {step.split(maxsplit=2)[2] for step in plan if step.startswith("SEARCH")}
    assert not [step for step in plan[:-1] if "B-TREE" in step]  # at last, of the few that remain


@on_sqlite
def test_pushes_that_may_be_newer_are_found_without_going_through_older_ones(hub: FakeHub, github: GitHub) -> None:
    """In most cases there is none, however many came before."""
    push(hub, github, 2)

    plan = _plan(deciding._LATER)
    assert [
        f"SEARCH {alias} USING INDEX delivery_newest (repository_id=? AND ref=? AND pushed_at{sign}?)"
        for alias, sign in (("t2", ">"), ("t5", "="))
    ] == [step for step in plan if "delivery_newest" in step]


def _plan(query: store.Prepared[Delivery]) -> list[str]:
    sql = query._made(type(proxy.obj)).sql
    return [row[3] for row in proxy.obj.execute_sql(f"EXPLAIN QUERY PLAN {sql}", [1] * sql.count("?"))]


# --- first sight ------------------------------------------------------------------------------------------


def test_what_is_seen_first_is_not_deployed_and_what_comes_later_is(hub: FakeHub, start: Callable[..., Looker]) -> None:
    """A new service begins with what is there."""
    hub.remote().push(HEAD)
    looker = start(poll=60)
    looker.look()
    hub.remote().push(sha(3))
    looker.look(MINUTE)

    assert [("ignore", f"first seen at {HEAD[:7]}: only later pushes are deployed")] == decided()[:1]
    assert [(sha(3), "reconciled")] == deployed()


def test_a_ref_that_is_wanted_from_now_on_is_not_deployed_before_it_is_pushed_to(
    hub: FakeHub, github: GitHub, shop: ServiceFiles, start: Callable[..., Looker]
) -> None:
    """Though the service is an old one; the file takes effect at the next look, which is at once."""
    push(hub, github, 2)
    hub.remote().push(sha(5), "refs/heads/next")
    looker = start(poll=60)
    looker.look()

    shop("shop", branches=["main", "next"])
    looker.look(1)
    hub.remote().push(sha(6), "refs/heads/next")
    looker.look(MINUTE)

    assert [sha(2), sha(6)] == [commit for commit, _ in deployed()]
    assert ["ignore", "deploy"] == [verdict for verdict, _ in decided()]


def test_a_second_service_of_a_repository_begins_with_what_is_there(
    hub: FakeHub, github: GitHub, shop: ServiceFiles, start: Callable[..., Looker]
) -> None:
    """And the first one does not deploy again what it knows."""
    push(hub, github, 2)
    looker = start(poll=60)
    looker.look()
    shop("blog", repository="octo-org/shop", branches=["main"])
    looker.look(1)
    hub.remote().push(sha(3))
    looker.look(MINUTE)

    rows = Deployment.select().order_by(Deployment.id)
    assert ["ignore", "duplicate"] == [verdict for verdict, _ in decided()[:2]]
    assert [(sha(2), "shop"), (sha(3), "blog"), (sha(3), "shop")] == [(row.sha, row.service.name) for row in rows]


def test_a_push_whose_webhook_is_on_its_way_is_left_to_it(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker]
) -> None:
    """It tells who pushed; a minute later it is taken for lost. What is seen first waits as well."""
    hub.remote().push(HEAD)
    looker = start()
    looker.look()
    assert [] == decided()

    push(hub, github, 3)
    looker.look(6 * MINUTE)
    hub.remote().push(sha(4))
    looker.look(6 * MINUTE)
    assert [(sha(3), "push")] == deployed()

    looker.look(MINUTE)
    assert [(sha(3), "push"), (sha(4), "reconciled")] == deployed()


# --- what holds all the same -----------------------------------------------------------------------------


def test_locks_and_held_back_commits_hold(
    hub: FakeHub, github: GitHub, host: Host, start: Callable[..., Looker]
) -> None:
    """The same code decides; and what was rolled back is not taken for missed."""
    for number in (2, 3):
        push(hub, github, number)
        newest = Deployment.select().order_by(Deployment.id.desc()).get().id
        host.begin(newest)
        host.end(newest)
    store.write(lambda: rollbacks.roll_back("shop", {}, by=LOCAL, now=clock.now()))
    locking.lock("shop", {}, locking.Wish(reason="freeze"), by=LOCAL, now=clock.now())
    looker = start()
    looker.look()
    assert [] == decided()

    hub.remote().push(sha(4))
    looker.look(6 * MINUTE)
    looker.look(MINUTE)

    assert [("wait", f"branch main is now {sha(4)[:7]}; the service is locked by local: freeze")] == decided()


def test_a_push_that_was_refused_for_its_file_is_not_missed(
    hub: FakeHub, github: GitHub, settings: Settings, start: Callable[..., Looker]
) -> None:
    """It was decided; to replay it is somebody's own wish."""
    file = settings.services_dir / "shop" / "service.toml"
    good = file.read_text()
    file.write_text("tiemout = 1")
    assert "refused" == push(hub, github, 2)

    file.write_text(good)
    start().look()

    assert [] == deployed()


def test_a_commit_that_says_skip_is_not_deployed(hub: FakeHub, github: GitHub, start: Callable[..., Looker]) -> None:
    """Its message is asked for."""
    push(hub, github, 2)
    hub.remote().push(sha(3), message="Mend the docs\n\n[skip deploy]")

    start().look()

    [(verdict, reason)] = decided()
    assert ("ignore", True) == (verdict, "skip deploy" in reason)


def test_what_a_push_changed_is_asked_for_where_paths_count(
    hub: FakeHub, github: GitHub, shop: ServiceFiles, start: Callable[..., Looker]
) -> None:
    """It waits for that, and is not taken for missed meanwhile."""
    shop("shop", branches=["main"], paths=["api/**"])
    push(hub, github, 2)
    hub.remote().push(sha(3))
    looker = start()
    looker.look()
    looker.look(6 * MINUTE)
    looker.look(MINUTE)

    assert 1 == len(decided())


def test_a_clock_that_is_set_back_holds_nothing_up(hub: FakeHub, github: GitHub, start: Callable[..., Looker]) -> None:
    """What was to happen in an hour happens now."""
    push(hub, github, 2)
    looker = start()
    looker.look(60 * MINUTE)
    hub.remote().push(sha(3))

    looker.look(-60 * MINUTE)
    looker.look(MINUTE)

    assert (sha(3), "reconciled") == deployed()[-1]


# --- races ------------------------------------------------------------------------------------------------


def test_a_webhook_that_comes_during_a_look_wins(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look does nothing, and the next one finds nothing to do."""
    push(hub, github, 2)
    hub.remote().push(sha(3))
    told = hub.remote().pushed_at
    really = reconciling.decide

    def decide(*given: Any, **named: Any) -> Any:
        github.push(before=sha(2), after=sha(3), pushed_at=told)
        return really(*given, **named)

    monkeypatch.setattr(reconciling, "decide", decide)
    start().look()

    assert [(sha(2), "push"), (sha(3), "push")] == deployed()
    assert [] == decided()


def test_a_push_during_a_look_is_looked_at_again(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time of the last push is at least that of what was seen."""
    push(hub, github, 2)
    hub.remote().push(sha(3))
    really = reconciling.compare
    pushed: list[int] = []

    def compare(*given: Any) -> Any:
        found = really(*given)
        if not pushed:
            hub.remote().push(sha(4))
            pushed.append(hub.remote().pushed_at)
        return found

    monkeypatch.setattr(reconciling, "compare", compare)
    start().look()

    assert [(sha(2), "push"), (sha(4), "reconciled")] == deployed()
    assert pushed == [row.pushed_at for row in Delivery.select().where(Delivery.reconciled)]


def test_nobody_is_left_out_where_there_is_more_to_look_at_than_time(
    hub: FakeHub, shop: ServiceFiles, start: Callable[..., Looker]
) -> None:
    """Whoever waits for the longest comes first."""
    for name in "abc":
        hub.remote(f"octo-org/{name}").push(HEAD)
        shop(name, repository=f"octo-org/{name}")
    looker = start(poll=10)
    looker.look()
    before = len(hub.calls)

    for _ in range(9):
        looker.now += 6 * clock.SECOND
        looker.recovery.tick(now=looker.now)

    asked = [path.split("/")[3] for path in hub.paths()[before:] if path.count("/") == 3]
    assert {"a": 2, "b": 2, "c": 2, "shop": 2} == Counter(asked)


def test_of_two_processes_one_looks(hub: FakeHub, github: GitHub, start: Callable[..., Looker]) -> None:
    """The other one has to wait for it."""
    push(hub, github, 2)
    hub.remote().push(sha(3))
    one, other = start(), start(host="host-2")

    one.look()
    before = len(hub.calls)
    assert other.recovery.tick(now=other.now) > 0

    assert before == len(hub.calls)
    assert [(sha(2), "push"), (sha(3), "reconciled")] == deployed()


# --- what github says ------------------------------------------------------------------------------------


def test_another_repository_under_the_name_is_told_and_not_believed(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker]
) -> None:
    """The id was pinned."""
    push(hub, github, 2)
    hub.remote().id = 8
    hub.remote().push(sha(3))

    start().look()

    [watch] = Watch.select()
    assert "octo-org/shop is another repository now: its id is 8, pinned is 4711" == watch.problem
    assert [(sha(2), "push")] == deployed()


def test_a_renamed_repository_is_asked_for_by_its_new_name(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker]
) -> None:
    """Which the last webhook told; whoever took the old one is nobody we know."""
    push(hub, github, 2)
    store = hub.remote("octo-org/store")
    store.id, hub.remote().id = hub.remote().id, 8
    github.push(repository="octo-org/store", before=sha(2), after=sha(3), pushed_at=1_700_000_009)
    store.push(sha(4), at=1_700_000_010)

    start().look()

    assert "" == Watch.get().problem
    row = Deployment.get(Deployment.origin == "reconciled")
    assert (sha(4), "octo-org/store") == (row.sha, row.repository)


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (Fault(403, "Resource not accessible by personal access token"), 6 * MINUTE),
        (Fault(404, "Not Found"), 6 * MINUTE),
        (Fault(500), 2.0),
        (Fault(drop=True), 2.0),
        (Fault(raw=b"[1]", status=200), 2.0),
    ],
    ids=["403", "404", "500", "dropped", "nonsense"],
)
def test_a_github_that_does_not_answer_is_told_and_asked_again(
    hub: FakeHub, github: GitHub, start: Callable[..., Looker], fault: Fault, again: float
) -> None:
    """Soon, or where it refuses, at the next time; what was missed is found then."""
    push(hub, github, 2)
    hub.remote().push(sha(3))
    hub.fail(fault, on="/matching-refs/")
    looker = start()
    looker.look()
    told = Watch.get().problem
    calls = len(hub.calls)
    looker.look(again / 4)
    assert calls == len(hub.calls)

    looker.look(again)
    looker.look(MINUTE)

    assert told
    assert "" == Watch.get().problem
    assert (sha(3), "reconciled") == deployed()[-1]


def test_what_is_unchanged_costs_nothing(hub: FakeHub, github: GitHub, start: Callable[..., Looker]) -> None:
    """GitHub is asked whether anything is new, which it does not count; and nothing is compared."""
    push(hub, github, 2)
    looker = start()
    looker.look()
    before = len(hub.calls)

    looker.look(6 * MINUTE)

    assert {304} == {call.status for call in hub.calls[before:]}


def test_an_app_asks_with_the_right_to_read(hub: FakeHub, settings: Settings, start: Callable[..., Looker]) -> None:
    """And nothing else. An empty repository is no problem, and its first push is deployed where it is missed."""
    app = {"github_token": None, "github_client_id": fakehub.CLIENT_ID, "github_private_key": appkeys.pem()}
    looker = start(given=msgspec.structs.replace(settings, **app), poll=60)
    looker.look()
    assert "" == Watch.get().problem

    hub.remote().push(HEAD)
    looker.look(MINUTE)

    assert [{"metadata": "read", "contents": "read"}] == [token.permissions for token in hub.tokens.values()]
    assert [(HEAD, "reconciled")] == deployed()
