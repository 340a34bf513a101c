"""Paths: a push is compared with what was deployed, by the rows where they tell, else by GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import signed_in
from askers import Asker
from callers import SOON, Auth, Browser, GitHub, Host, ServiceFiles, document, sha, states, sync, verdicts
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking, rollbacks, services
from fastdeploy_bot.core.deploying.locking import Wish
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.pushes import deciding, resuming
from fastdeploy_bot.engine import line
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Event, Question, Verdict
from fastdeploy_bot.web.context import EXTENSION
from fastdeploy_bot.words import LOCAL, DeploymentState, Origin

FAILURE = DeploymentState.FAILURE
MAIN = "refs/heads/main"
ONE = sha(1)[:7]
ASKED = f"what changed since {ONE} is asked of GitHub"
NONE = f"1 file changed since {ONE}, none matches paths (api/**)"


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that can ask this GitHub."""
    return signed_in.by_token(settings, hub)


@pytest.fixture
def make_desk(catalogue: Catalogue, settings: Settings) -> Iterator[Callable[[], Asker]]:
    """Makes those who ask, one after the other: a new one is a restart."""
    with ExitStack() as stack:

        def make() -> Asker:
            stack.pop_all().close()
            speaking = line.of(settings, "host-1")
            stack.callback(speaking.end)
            return Asker(speaking, catalogue)

        yield make


@pytest.fixture
def desk(make_desk: Callable[[], Asker]) -> Asker:
    """The one of this host."""
    return make_desk()


class Pushes:
    """Pushes to `main`, one second after the other."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._at = SOON

    def __call__(self, before: int, after: int, *paths: str, **fields: Any) -> dict[str, str]:
        """From one commit to another, which touched those files; answers the verdicts. Without paths it is forced."""
        self._at += 1
        told = json.loads(document(**({"before": sha(before), "after": sha(after), "pushed_at": self._at} | fields)))
        commit = {"id": told["after"], "message": "", "added": [], "removed": [], "modified": list(paths)}
        told |= {"commits": [commit] if paths else [], "forced": not paths}
        return verdicts(self._github.deliver(json.dumps(told).encode()))


@pytest.fixture
def push(github: GitHub) -> Pushes:
    """Pushes, and answers the verdicts."""
    return Pushes(github)


@pytest.fixture
def live(push: Pushes, service: ServiceFiles, host: Host, hub: FakeHub) -> None:
    """Service api, of `api/**`, with commit 1 live; GitHub knows commits 1 to 4 of main, of which 3 touched the api."""
    service("api", paths=["api/**"])
    assert {"api": "deploy"} == push(0, 1)
    ship(host)
    hub.history.add(sha(1), api__a="1", web__a="1")
    hub.history.add(sha(2), sha(1), web__a="2")
    hub.history.add(sha(3), sha(2), api__a="3")
    hub.history.add(sha(4), sha(3), web__a="4", ref=MAIN)


def ship(host: Host, state: DeploymentState = DeploymentState.SUCCESS) -> None:
    """Let the newest deployment run, and end."""
    newest = Deployment.select().order_by(Deployment.id.desc()).get()
    host.begin(newest.id)
    host.end(newest.id, state)


def told(service: str = "api") -> tuple[str, str]:
    """The newest verdict for a service, with its reason."""
    mine = Verdict.select().where(Verdict.service == services.find(service)).order_by(Verdict.id.desc())
    row = mine.get()
    return row.verdict, row.reason


def compared(hub: FakeHub) -> list[str]:
    """What GitHub was asked to compare, as numbers of commits."""
    numbers = {sha(number): str(number) for number in range(10)}
    found = [path.partition("/compare/")[2].partition("?")[0] for path in hub.paths() if "/compare/" in path]
    return ["...".join(numbers[each] for each in pair.split("...")) for pair in found]


# --- what the rows tell -----------------------------------------------------------------------------------


def test_the_first_push_is_deployed_whatever_it_touched(push: Pushes, service: ServiceFiles) -> None:
    """Nothing is live yet that it could be compared with."""
    service("api", paths=["api/**"])

    assert {"api": "deploy"} == push(1, 2, "web/a")
    assert "nothing was live before" in told()[1]


@pytest.mark.usefixtures("live")
def test_a_push_from_what_is_live_tells_itself_what_changed(push: Pushes, hub: FakeHub) -> None:
    """GitHub is not asked."""
    assert {"api": "ignore"} == push(1, 2, "web/a")
    assert ("ignore", NONE) == told()
    assert {"api": "deploy"} == push(2, 3, "api/a")
    assert [] == compared(hub)


@pytest.mark.usefixtures("live")
def test_what_pushes_in_between_touched_counts_as_well(push: Pushes, host: Host, hub: FakeHub) -> None:
    """The push that touched the api failed: what comes next brings it along, though it touched something else."""
    push(1, 3, "api/a")
    ship(host, FAILURE)

    assert {"api": "deploy"} == push(3, 4, "web/a")
    assert told()[1].endswith(f"; api/a changed since {ONE}")
    ship(host)
    assert {"api": "ignore"} == push(4, 5, "web/b")
    assert [] == compared(hub)


@pytest.mark.usefixtures("live")
def test_a_skipped_push_is_brought_along_by_the_next_one(push: Pushes) -> None:
    """It touched the api, and its message asked for no deployment."""
    assert {"api": "ignore"} == push(1, 2, "api/a", title="[skip deploy]")

    assert {"api": "deploy"} == push(2, 3, "web/a")


@pytest.mark.usefixtures("live")
def test_an_ignored_push_makes_older_ones_stale(push: Pushes) -> None:
    """It differs from what is live in nothing that counts: an older one could only take that away."""
    push(1, 2, "web/a", pushed_at=SOON + 100)

    assert {"api": "stale"} == push(5, 6, "api/a", pushed_at=SOON + 50)


@pytest.mark.usefixtures("live")
def test_other_peoples_files_do_not_bring_back_what_was_rolled_back(push: Pushes, app: Flask, host: Host) -> None:
    """Until a push touches the api again."""
    push(1, 2, "api/a")
    ship(host)
    roll_back(app)
    ship(host)

    assert {"api": "ignore"} == push(2, 3, "web/a")
    assert "is held back by a rollback of local" in told()[1]
    assert {"api": "deploy"} == push(3, 4, "api/b")


def roll_back(app: Flask) -> None:
    """Go back to the commit before the live one."""
    entries = app.extensions[EXTENSION].catalogue.entries()
    store.write(lambda: rollbacks.roll_back("api", entries, by=LOCAL, now=clock.now()))


def test_without_credentials_what_the_rows_do_not_tell_is_deployed(
    push: Pushes, service: ServiceFiles, host: Host, app: Flask
) -> None:
    """At once: nobody can be asked."""
    app.extensions[EXTENSION].catalogue._tells = lambda: False
    service("api", paths=["api/**"])
    push(0, 1)
    ship(host)

    assert {"api": "deploy"} == push(7, 8, "web/a")
    assert told()[1].endswith(f"what changed since {ONE} is not known")
    assert not Question.select().exists()


# --- what GitHub tells ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize(
    ("after", "verdict", "reason"),
    [
        (2, "ignore", NONE),
        (4, "deploy", f"branch main is now {sha(4)[:7]}; api/a changed since {ONE}"),
    ],
)
def test_what_the_rows_do_not_tell_is_asked_of_github(
    push: Pushes, desk: Asker, hub: FakeHub, after: int, verdict: str, reason: str
) -> None:
    """Until it has answered, the push waits without a deployment; then it is decided, and told again."""
    assert {"api": "wait"} == push(9, after, "web/a")
    assert ("wait", ASKED) == told()
    assert [("api", "success")] == states()

    desk.settle()

    assert (verdict, reason) == told()
    assert [("api", "success")] + [("api", "queued")] * (verdict == "deploy") == states()
    assert [f"1...{after}"] == compared(hub)
    assert verdict in Event.select().where(Event.type == "delivery").order_by(Event.id.desc()).get().data


@pytest.mark.usefixtures("live")
def test_a_forced_push_is_compared_in_both_directions(push: Pushes, desk: Asker, hub: FakeHub, host: Host) -> None:
    """GitHub lists what the head changed since they parted; what is taken away stands in the other direction."""
    push(1, 3, "api/a")
    ship(host)
    hub.history.add(sha(5), sha(1), web__a="5", ref=MAIN)

    assert {"api": "wait"} == push(3, 5)
    desk.settle()

    assert ("deploy", f"branch main is now {sha(5)[:7]}; api/a changed since {sha(3)[:7]}") == told()
    assert ["3...5", "5...3"] == compared(hub)


@pytest.mark.usefixtures("live")
def test_a_forced_push_that_leaves_the_files_of_concern_alone_is_ignored(
    push: Pushes, desk: Asker, hub: FakeHub
) -> None:
    """Such as a branch whose last commit was written anew."""
    hub.history.add(sha(0), api__a="1", web__a="0")
    hub.history.add(sha(1), sha(0), web__a="1")
    hub.history.add(sha(5), sha(0), web__b="5", ref=MAIN)

    assert {"api": "wait"} == push(1, 5)
    desk.settle()

    assert ("ignore", f"2 files changed since {ONE}, none matches paths (api/**)") == told()


@pytest.mark.usefixtures("live")
def test_going_back_is_compared_as_well(push: Pushes, desk: Asker, hub: FakeHub, host: Host) -> None:
    """The branch is set back to a commit before what is live."""
    push(1, 4, "api/a")
    ship(host)

    assert {"api": "wait"} == push(4, 2)
    desk.settle()

    assert ["4...2", "2...4"] == compared(hub)
    assert ("deploy", f"branch main is now {sha(2)[:7]}; api/a changed since {sha(4)[:7]}") == told()


@pytest.mark.usefixtures("live")
def test_a_push_back_to_what_is_live_changes_nothing(push: Pushes) -> None:
    """That needs no list of files."""
    assert {"api": "ignore"} == push(2, 1)
    assert ("ignore", f"no file changed since {ONE}") == told()


@pytest.mark.usefixtures("live")
def test_a_file_that_was_moved_away_has_changed(push: Pushes, desk: Asker, hub: FakeHub) -> None:
    """GitHub lists it under its new name."""
    hub.history.add(sha(5), sha(2), api__a=None, web__moved="1")

    push(9, 5)
    desk.settle()

    assert told()[1].endswith(f"; api/a changed since {ONE}")


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("count", [299, 300, 400])
def test_a_list_that_may_be_cut_is_unknown(push: Pushes, desk: Asker, hub: FakeHub, count: int) -> None:
    """GitHub lists 300 files and no more; what is not known is deployed."""
    hub.history.change(sha(5), [sha(1)], {f"web/{number}": "x" for number in range(count)})

    push(9, 5)
    desk.settle()

    unknown = f"GitHub did not say what changed since {ONE}: it lists at most 300 files"
    assert ("ignore" if count < 300 else "deploy") == told()[0]
    assert told()[1].endswith(unknown) is (count >= 300)


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(404, "Not Found"), "GitHub answered 404: Not Found"),
        (Fault(403, "Resource not accessible by integration"), "GitHub answered 403: Resource not accessible"),
        (Fault(422, "No"), "GitHub answered 422: No"),
        (Fault(200, raw=b"x" * (9 << 20)), "GitHub cannot be reached: its answer is larger than"),
    ],
)
def test_what_github_will_not_tell_is_deployed(push: Pushes, desk: Asker, hub: FakeHub, fault: Fault, why: str) -> None:
    """And the verdict says why it did not."""
    hub.fail(fault, on="/compare/")

    push(9, 2, "web/a")
    desk.settle()

    assert "deploy" == told()[0]
    assert f"GitHub did not say what changed since {ONE}: {why}" in told()[1]
    assert [("api", "success"), ("api", "queued")] == states()


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize(
    "fault", [DROPPED, Fault(502), Fault(429, headers={"Retry-After": "30"}), Fault(200, raw=b"{}")]
)
def test_a_github_that_stumbles_is_asked_again(push: Pushes, desk: Asker, hub: FakeHub, fault: Fault) -> None:
    """Meanwhile the push waits."""
    hub.fail(fault, on="/compare/")

    push(9, 2, "web/a")
    desk.settle(1)
    waiting = told()
    desk.settle(40)

    assert (("wait", ASKED), ("ignore", NONE)) == (waiting, told())


@pytest.mark.usefixtures("live")
def test_a_github_that_stays_away_withholds_nothing_for_long(push: Pushes, desk: Asker, hub: FakeHub) -> None:
    """After ten minutes the push is deployed as if all had changed."""
    hub.down = True
    push(9, 2, "web/a")

    desk.settle(590)
    waiting = told()
    desk.settle(15)

    assert ("wait", ASKED) == waiting
    assert "deploy" == told()[0]
    assert f"did not say what changed since {ONE}: it was not heard of in time; GitHub cannot be reached" in told()[1]


@pytest.mark.usefixtures("live")
def test_a_bot_that_asks_no_more_withholds_nothing_for_long(push: Pushes, app: Flask) -> None:
    """Its credentials were taken away while a push waited: nobody is at the desk."""
    push(9, 2, "web/a")
    later = clock.now() + deciding.PATIENCE + clock.SECOND

    early = resuming.expire(app.extensions[EXTENSION].catalogue.entries, now=later - clock.MINUTE)
    late = resuming.expire(app.extensions[EXTENSION].catalogue.entries, now=later)

    assert (False, True) == (early, late)
    assert told()[1].endswith("it was not heard of in time; nobody could ask it")
    assert [("api", "success"), ("api", "queued")] == states()


@pytest.mark.usefixtures("live")
def test_a_restart_in_the_middle_loses_nothing(
    push: Pushes, make_desk: Callable[[], Asker], hub: FakeHub, host: Host
) -> None:
    """Between the two directions of a comparison, too: the rows carry what is known."""
    push(1, 3, "api/a")
    ship(host)
    hub.history.add(sha(5), sha(1), web__a="5", ref=MAIN)
    push(3, 5)

    make_desk().settle(0.25)
    make_desk().settle(0.25)

    assert ["3...5", "5...3"] == compared(hub)
    assert "deploy" == told()[0]


@pytest.mark.usefixtures("live")
def test_a_page_says_that_github_does_not_answer(push: Pushes, desk: Asker, hub: FakeHub, app: Flask) -> None:
    """As long as something waits for that."""
    hub.down = True
    push(9, 2, "web/a")
    anna = Browser(app).signed_in("viewer")

    desk.settle(2)
    waiting = anna.get("/services/api").get_data(as_text=True)
    hub.down = False
    desk.settle(20)
    settled = anna.get("/services/api").get_data(as_text=True)

    told = "GitHub has not answered yet what it was asked: <bdi>GitHub cannot be reached"
    assert (True, False) == (told in waiting, told in settled)


# --- what happens meanwhile -------------------------------------------------------------------------------


@pytest.mark.usefixtures("live")
def test_a_newer_push_makes_a_waiting_one_stale(push: Pushes, desk: Asker) -> None:
    """It is the newest that counts; both were asked about."""
    push(9, 3, "api/a")
    push(8, 4, "web/a")

    desk.settle()

    rows = Verdict.select().order_by(Verdict.id.desc()).limit(2)
    assert ["deploy", "stale"] == [row.verdict for row in rows]
    assert [("api", "success"), ("api", "queued")] == states()
    assert sha(4) == Deployment.select().order_by(Deployment.id.desc()).get().sha


@pytest.mark.usefixtures("live")
def test_an_older_push_that_comes_while_one_waits_is_stale(push: Pushes) -> None:
    """A push that waits counts at once."""
    push(9, 3, "api/a", pushed_at=SOON + 100)

    assert {"api": "stale"} == push(8, 7, "api/a", pushed_at=SOON + 50)


@pytest.mark.usefixtures("live")
def test_a_skipped_push_does_not_take_a_waiting_one_away(github: GitHub, push: Pushes, desk: Asker) -> None:
    """It would have been deployed had the answer come at once."""
    push(9, 3, "api/a")
    github.push(before=sha(3), after=sha(4), pushed_at=SOON + 50, title="[skip deploy]")

    desk.settle()

    assert [("api", "success"), ("api", "queued")] == states()
    assert sha(3) == Deployment.select().order_by(Deployment.id.desc()).get().sha


@pytest.mark.usefixtures("live")
def test_a_commit_under_way_counts_beside_the_live_one(push: Pushes, desk: Asker, hub: FakeHub) -> None:
    """It may be live by the time the push is deployed, and the push would take its files away again."""
    hub.history.add(sha(6), sha(1), api__a="6")
    deploy_by_hand(sha(6))

    push(1, 2, "web/a")
    desk.settle()

    assert ["6...2", "2...6"] == compared(hub)
    assert ("deploy", f"branch main is now {sha(2)[:7]}; api/a changed since {sha(6)[:7]}") == told()


@pytest.mark.usefixtures("live")
def test_what_is_live_by_the_time_of_the_answer_counts(push: Pushes, desk: Asker, host: Host) -> None:
    """GitHub compared with what was live before: that tells nothing any more."""
    push(9, 2, "web/a")
    deploy_by_hand(sha(3))
    ship(host)

    desk.settle()

    assert ("deploy", f"branch main is now {sha(2)[:7]}; what changed since {sha(3)[:7]} is not known") == told()


@pytest.mark.usefixtures("live")
def test_a_rollback_meanwhile_stands(push: Pushes, desk: Asker, host: Host, app: Flask) -> None:
    """Whoever rolls back does not want what waited before."""
    push(1, 3, "api/a")
    ship(host)
    push(9, 4, "web/a")
    roll_back(app)

    desk.settle()

    assert ("ignore", f"rolled back to {ONE} by local meanwhile") == told()


@pytest.mark.usefixtures("live")
def test_a_replay_meanwhile_takes_the_place_of_what_waited(
    push: Pushes, desk: Asker, client: FlaskClient, auth: Auth
) -> None:
    """One deployment, and not two."""
    push(9, 4, "web/a")
    guid = client.get("/api/v1/deliveries?limit=1", headers=auth("viewer")).get_json()["items"][0]["guid"]
    assert 202 == client.post(f"/api/v1/deliveries/{guid}/replay", headers=auth("deployer")).status_code

    desk.settle()

    rows = Verdict.select().order_by(Verdict.id.desc()).limit(2)
    assert ["deploy", "stale"] == [row.verdict for row in rows]
    assert [("api", "success"), ("api", "queued")] == states()


@pytest.mark.usefixtures("live")
def test_the_same_push_again_is_a_duplicate_while_it_waits(github: GitHub, desk: Asker, hub: FakeHub) -> None:
    """GitHub is asked once."""
    first = github.push(before=sha(9), after=sha(4), pushed_at=SOON + 50)
    again = github.push(before=sha(9), after=sha(4), pushed_at=SOON + 50)
    desk.settle()

    assert [{"api": "wait"}, {"api": "duplicate"}] == [verdicts(first), verdicts(again)]
    assert ["1...4"] == compared(hub)


@pytest.mark.usefixtures("live")
def test_a_service_that_is_locked_meanwhile_gets_a_deployment_that_waits(
    push: Pushes, desk: Asker, catalogue: Catalogue
) -> None:
    """The lock keeps it from beginning, as ever."""
    push(9, 4, "web/a")
    locking.lock("api", catalogue.entries(), Wish(reason="freeze", until=None), by=LOCAL, now=clock.now())

    desk.settle()

    assert "wait" == told()[0]
    assert "locked by local: freeze" in told()[1]
    assert [("api", "success"), ("api", "waiting")] == states()


@pytest.mark.usefixtures("live")
def test_a_service_that_is_removed_meanwhile_gets_nothing(
    push: Pushes, desk: Asker, service: ServiceFiles, app: Flask
) -> None:
    """As with what was queued for it."""
    push(9, 4, "web/a")
    service.remove("api")
    sync(app)

    desk.settle()

    assert ("ignore", "service api was removed") == told()
    assert [("api", "success")] == states()


@pytest.mark.usefixtures("live")
def test_the_file_of_the_moment_of_the_answer_decides(push: Pushes, desk: Asker, service: ServiceFiles) -> None:
    """Its paths were changed meanwhile."""
    push(9, 4)
    service("api", paths=["docs/**"])

    desk.settle()

    assert ("ignore", f"2 files changed since {ONE}, none matches paths (docs/**)") == told()


@pytest.mark.usefixtures("live")
def test_services_of_one_repository_are_decided_each_by_itself(
    push: Pushes, desk: Asker, service: ServiceFiles, host: Host, hub: FakeHub
) -> None:
    """Each has a commit of its own that is live, and files of its own."""
    service("web", paths=["web/**"])
    service("all")
    assert {"api": "ignore", "web": "deploy", "all": "deploy"} == push(1, 2, "web/a")
    for row in Deployment.select().where(Deployment.state == "queued"):
        host.begin(row.id)
        host.end(row.id)
    hub.history.add(sha(5), sha(2), docs__a="5")

    assert {"api": "wait", "web": "wait", "all": "deploy"} == push(9, 5)
    desk.settle()

    assert ["1...5", "2...5"] == compared(hub)
    assert f"2 files changed since {ONE}, none matches paths (api/**)" == told("api")[1]
    assert f"1 file changed since {sha(2)[:7]}, none matches paths (web/**)" == told("web")[1]


def deploy_by_hand(commit: str) -> None:
    """Queue a commit of main, whoever may have made it."""
    order = deployments.Order(
        origin=Origin.MANUAL, sha=commit, ref=MAIN, repository="octo-org/shop", actor="anna", report=()
    )
    store.write(lambda: deployments.queue(services.find("api"), order, now=clock.now()))
