"""Insight: what pages tell of a service's habits, and of a run that does not keep to them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
from flask import Flask

from callers import Browser, GitHub, Host, ServiceFiles, on_sqlite, sync
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.telling import forecast, history
from fastdeploy_bot.store.models import Deployment, Service, Step, proxy
from fastdeploy_bot.words import DeploymentState
from reading import queries, text

SECOND = 1_000


def services(count: int) -> list[int]:
    """Rows of services, by their ids."""

    def write() -> list[int]:
        return [Service.create(name=f"s{n}", repository="octo-org/shop", created=1).id for n in range(count)]

    return store.write(write)


def ran(service: int, *states: str, began: bool = True, seconds: int = 9) -> list[int]:
    """Deployments of a service that ended so, one after the other."""
    facts = {"service": service, "origin": "push", "ref": "", "repository": "", "actor": ""}
    times = {"created": 1, "started": 1 if began else None, "finished": 1 + seconds * SECOND}

    def write() -> list[int]:
        rows = [{**facts, **times, "state": state, "sha": f"{random.getrandbits(160):040x}"} for state in states]
        before = Deployment.select().count()
        for start in range(0, len(rows), 500):
            Deployment.insert_many(rows[start : start + 500]).execute()
        return [row.id for row in Deployment.select(Deployment.id).order_by(Deployment.id).offset(before)]

    return store.write(write)


def told(runs: Sequence[history.Past]) -> list[tuple[int, str]]:
    """Runs by their ids and outcomes."""
    return [(each.id, each.state.value) for each in runs]


# --- history


@pytest.mark.usefixtures("database")
def test_the_last_runs_of_each_service_are_found_newest_first() -> None:
    """Of each outcome as many as count; what never began, or has not ended, is no run."""
    one, two, three = services(3)
    old = ran(one, *["success"] * 20)
    ran(one, "superseded", "cancelled", began=False)
    bad = ran(one, "failure", "lost", "cancelled")
    ran(one, "running", "queued")
    other = ran(two, "success")

    found = history.by_service([one, two, three])

    newest = [(bad[2], "cancelled"), (bad[1], "lost"), (bad[0], "failure")]
    assert [*newest, *((each, "success") for each in old[:-13:-1])] == told(found[one])
    assert ([(other[0], "success")], []) == (told(found[two]), told(found[three]))


@pytest.mark.usefixtures("database")
def test_the_successes_of_a_service_are_found_as_they_were_before_a_deployment() -> None:
    """What is judged by what was usual stays judged so."""
    (one,) = services(1)
    ids = ran(one, "success", "failure", "success", "success")

    assert [ids[2], ids[0]] == [each.id for each in history.good(one, before=ids[3])]


@pytest.mark.usefixtures("database")
def test_a_look_at_the_last_runs_goes_by_an_index() -> None:
    """On both engines, and however the planner judges a large table."""
    ids = services(5)
    for each in ids:
        ran(each, *["success"] * 700, *["superseded"] * 200, *["failure"] * 100)
    if "sqlite" not in type(proxy.obj).__name__.lower():
        proxy.obj.execute_sql("ANALYZE deployment")

    with queries() as seen:
        history.by_service(ids)

    assert 2 == len(seen)
    plan = _plan(seen[1])
    assert "deployment_by_outcome" in plan
    assert not re.search(r"SCAN t1|Seq Scan on deployment", plan), plan


def _plan(sql: str) -> str:
    sqlite = "sqlite" in type(proxy.obj).__name__.lower()
    places = sql.count("?" if sqlite else "%s")
    values = [value for _ in range(places // 3) for value in (1, "success", 689)]  # the oldest of the twelve
    rows = proxy.obj.execute_sql(("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + sql, values).fetchall()
    return "\n".join(str(row[-1]) for row in rows)


# --- on the pages


def test_the_overview_draws_the_last_runs(deployer: Browser, scene: dict[str, int]) -> None:
    """In words for who does not see them, and of what ran twice at least."""
    page = deployer.get("/").text

    assert scene
    assert "<title>last 5: 4 succeeded, 1 failed; usually 57s</title>" in page
    assert 5 == page.count('<svg class="spark" role="img"')


def test_who_sees_no_more_than_a_state_sees_no_habits(app: Flask, scene: dict[str, int]) -> None:
    """How often and how long is not theirs to know."""
    page = Browser(app).get("/").text

    assert scene
    assert 1 == page.count("<svg"), "docs is public, api shows its state"
    assert "usually" not in Browser(app).get("/services/api").text


def test_nor_do_they_while_something_runs_longer_than_usual(
    app: Flask, service: ServiceFiles, scene: dict[str, int]
) -> None:
    """That it does is part of its state; what is usual is not."""
    service("blog", visibility="status")
    back(scene["blog"], seconds=74)

    page = Browser(app).get("/services/blog").text

    assert "longer than usual" in page
    assert "usually" not in page


@pytest.mark.usefixtures("two_services")
def test_what_has_no_time_left_is_not_said_to_be_done_in_a_second(
    deployer: Browser, github: GitHub, host: Host
) -> None:
    """Between the usual time and what is longer than usual, the time so far is all that is known."""
    shop = Service.get(Service.name == "shop").id
    ran(shop, "success", "success", "success", seconds=60)
    number = ran(shop, "success", seconds=90)[-1] + 1
    github.push()
    host.begin(number)

    back(number, seconds=30)
    assert re.search(r"≈ (29|30) s left", text(deployer, f"/deployments/{number}"))

    back(number, seconds=40)
    assert re.search(r"1m 1\ds so far", text(deployer, f"/deployments/{number}"))
    assert "s left" not in text(deployer, "/")


def test_a_service_tells_how_it_does(deployer: Browser, scene: dict[str, int]) -> None:
    """The usual time, the 90th percentile, and how many of the last succeeded."""
    shown = text(deployer, "/services/shop")

    assert scene
    assert "usual time57s, nine of ten within 1m 26s" in shown
    assert re.search(r"success ?4 of the last 5 \(80 %\)", shown)


def test_a_step_that_takes_much_longer_is_told(deployer: Browser, scene: dict[str, int]) -> None:
    """In its line, and in one sentence at the top once the whole run is late."""
    number = scene["blog"]
    assert "usually 20s, now" not in text(deployer, f"/deployments/{number}")

    back(number, seconds=74)

    shown = text(deployer, f"/deployments/{number}")
    assert re.search(r"“Migrate” usually 20s, now 1m 3\ds .*Steps", shown)
    assert re.search(r"Migrate 1m 3\dsusually 20s", shown)


def test_what_took_longer_is_still_told_when_it_has_ended(deployer: Browser, scene: dict[str, int]) -> None:
    """Judged by what was usual before it."""
    number = scene["blog"]
    back(number, seconds=74)
    row = Deployment.get_by_id(number)
    now = clock.now()

    def end() -> None:
        Step.update(state="success", finished=now).where(Step.deployment == row, Step.name == "Migrate").execute()
        Deployment.update(state="success", finished=now).where(Deployment.id == number).execute()

    store.write(end)
    for _ in range(10):
        ran(row.service_id, "success", seconds=200)

    assert re.search(r"“Migrate” took 1m 3\ds, usually 20s .*Steps", text(deployer, f"/deployments/{number}"))


def back(number: int, *, seconds: int) -> None:
    """Let a deployment and its steps have begun so much earlier."""

    def write() -> None:
        by = seconds * SECOND
        Deployment.update(started=Deployment.started - by).where(Deployment.id == number).execute()
        begun = (Step.deployment == number) & Step.started.is_null(False)
        Step.update(started=Step.started - by, finished=Step.finished - by).where(begun).execute()

    store.write(write)


# --- what it costs


def test_an_overview_of_fifty_running_services_costs_no_more_queries(
    app: Flask, deployer: Browser, service: ServiceFiles
) -> None:
    """Each with a past and a running deployment."""
    for number in range(50):
        service(f"s{number}", repository=f"octo-org/{number}")
    sync(app)
    for row in Service.select():
        ran(row.id, *["success"] * 4, "failure", "running")

    with queries() as seen:
        page = deployer.get("/").text

    assert len(seen) <= 15
    assert 50 == page.count('class="spark"')


@on_sqlite
@pytest.mark.usefixtures("database")
def test_a_hundred_thousand_deployments_cost_no_more_than_a_thousand() -> None:
    """Counted in SQLite's own steps, which no other program at work changes."""
    ids = services(5)

    def grown(count: int) -> int:
        for each in ids:
            ran(each, *random.choices(["success", "superseded", "failure"], k=count // 5))  # noqa: S311 - no secret
        return steps_of_sqlite(ids)

    few, many = grown(1_000), grown(99_000)

    assert many < 2 * few


def steps_of_sqlite(ids: list[int]) -> int:
    """How many thousand instructions of its machine a look takes."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = proxy.obj.connection()
    connection.set_progress_handler(step, 100)
    try:
        forecast.habits(history.by_service(ids), stepped=ids)
    finally:
        connection.set_progress_handler(None, 0)
    return count


def test_outcomes_are_those_of_runs() -> None:
    """All final states but that of what never runs."""
    assert {each for each in DeploymentState if each.final} - {DeploymentState.SUPERSEDED} == set(history.OUTCOMES)
