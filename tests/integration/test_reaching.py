"""Reaching: a commit that somebody names has to be part of what the service deploys, and not only known to GitHub."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import signed_in
from askers import Asker
from callers import SOON, Auth, Browser, GitHub, Host, ServiceFiles, at_once, is_problem, sha, states, sync
from fakehub import DROPPED, FakeHub, Fault
from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.cli import local
from fastdeploy_bot.cli.local import LocalBot
from fastdeploy_bot.core.deploying.starting import Wish
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.people.few import Few
from fastdeploy_bot.engine import line
from fastdeploy_bot.errors import Invalid, Unavailable
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Question
from fastdeploy_bot.web import waiting
from fastdeploy_bot.web.context import EXTENSION
from fastdeploy_bot.words import DeploymentState

PATH = "/api/v1/deployments"
MAIN = "refs/heads/main"
FORK = sha(9)
"""A commit of a fork: GitHub knows it, but no ref of the repository leads to it."""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A GitHub with commits 1 to 3 on main, 4 on release/1, 5 at tag v1; nothing wrong may have been said to it."""
    with FakeHub() as made:
        made.history.add(sha(1), a="1")
        made.history.add(sha(2), sha(1), a="2")
        made.history.add(sha(3), sha(2), a="3", ref=MAIN)
        made.history.add(sha(4), sha(1), a="4", ref="refs/heads/release/1")
        made.history.add(sha(5), sha(1), a="5", ref="refs/tags/v1")
        made.history.add(FORK, sha(3), a="evil")
        yield made
    assert [] == made.wrongs


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that can ask this GitHub."""
    return signed_in.by_token(settings, hub)


@pytest.fixture
def desk(settings: Settings, catalogue: Catalogue, app: Flask) -> Iterator[None]:
    """Somebody who asks GitHub at every moment."""
    assert app.testing
    with attended(settings, catalogue):
        yield


@contextmanager
def attended(settings: Settings, catalogue: Catalogue) -> Iterator[None]:
    """Have questions asked meanwhile."""
    over = threading.Event()

    def work() -> None:
        with closing(Ending(line.of(settings, "host-1"))) as speaking:
            asker = Asker(speaking.line, catalogue)
            while not over.wait(0.01):
                asker.tick(0.25)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


class Ending:
    """A line that is ended by `close`, by the thread that used it."""

    def __init__(self, speaking: line.Line) -> None:
        self.line = speaking

    def close(self) -> None:
        """Let go of it, and of the thread's connection to the database."""
        self.line.end()
        store.disconnect()


@pytest.fixture(autouse=True)
def shop(service: ServiceFiles, app: Flask, monkeypatch: pytest.MonkeyPatch) -> ServiceFiles:
    """A service of main; whoever waits for GitHub does so for as long as a slow machine needs."""
    monkeypatch.setattr(waiting, "LONGEST", 60.0)
    service("shop", branches=["main"])
    sync(app)
    return service


def asked(hub: FakeHub) -> list[str]:
    """What GitHub was asked for, without the query."""
    return [path.partition(" /repos/octo-org/shop")[2].partition("?")[0] for path in hub.paths()]


# --- what the rows tell -----------------------------------------------------------------------------------


def test_a_commit_that_was_pushed_to_a_mapped_branch_is_known(start: Any, github: GitHub, hub: FakeHub) -> None:
    """Also one that was pushed over since."""
    github.push(after=sha(2), pushed_at=SOON)
    github.push(before=sha(2), after=sha(3), pushed_at=SOON + 1)

    assert [201, 201] == [start(sha=sha(2)).status_code, start(sha=sha(3)).status_code]
    assert [] == hub.calls


def test_a_commit_that_was_deployed_is_known(
    start: Any, github: GitHub, host: Host, service: ServiceFiles, hub: FakeHub
) -> None:
    """Whatever branch it came from."""
    number = github.push(after=sha(2)).get_json()["verdicts"][0]["deployment"]
    host.begin(number)
    host.end(number)
    service("shop", branches=["release/*"])

    assert 201 == start(sha=sha(2)).status_code
    assert [] == hub.calls


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("fields", [{"ref": "refs/heads/wip"}, {"repository_id": 77}])
def test_a_commit_of_another_push_is_not_known(
    start: Any, github: GitHub, hub: FakeHub, fields: dict[str, Any]
) -> None:
    """Of a branch that the service does not deploy, or of another repository."""
    github.push(after=sha(1), pushed_at=SOON)
    github.push(before=sha(1), after=FORK, pushed_at=SOON + 1, **fields)

    assert is_problem(start(sha=FORK), 422)
    assert ["/compare/main..." + FORK] == asked(hub)


def test_without_credentials_any_commit_is_deployed(start: Any, app: Flask, hub: FakeHub) -> None:
    """Nobody can be asked."""
    app.extensions[EXTENSION].catalogue._tells = lambda: False

    assert 201 == start(sha=FORK).status_code
    assert [] == hub.calls


@pytest.mark.usefixtures("desk")
def test_a_commit_that_was_asked_for_in_vain_is_not_known(start: Any, app: Flask, host: Host, hub: FakeHub) -> None:
    """As by a bot that had no credentials then, and refused it when it was to be checked out."""
    app.extensions[EXTENSION].catalogue._tells = lambda: False
    number = start(sha=FORK).get_json()["id"]
    host.begin(number)
    host.end(number, DeploymentState.FAILURE)
    app.extensions[EXTENSION].catalogue._tells = lambda: True

    assert is_problem(start(sha=FORK), 422)
    assert ["/compare/main..." + FORK] == asked(hub)


# --- what GitHub tells ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("keys", "commit", "calls"),
    [
        ({"branches": ["main"]}, 3, ["/compare/main..."]),
        ({"branches": ["main"]}, 1, ["/compare/main..."]),
        ({"branches": ["main", "release/1"]}, 4, ["/compare/main...", "/compare/release%2F1..."]),
        ({"branches": ["release/*"]}, 4, ["/git/matching-refs/heads/release/"]),
        ({"branches": ["release/*"]}, 1, ["/git/matching-refs/heads/release/", "/compare/release%2F1..."]),
        ({"branches": ["!main"]}, 4, ["/git/matching-refs/heads/", "/compare/release%2F1..."]),
        ({"tags": ["v*"]}, 5, ["/git/matching-refs/tags/v"]),
        ({"tags": ["v1"]}, 1, ["/compare/v1..."]),
        ({"branches": ["main"], "tags": ["v*"]}, 5, ["/compare/main...", "/git/matching-refs/tags/v"]),
        ({}, 2, ["", "/compare/main..."]),
    ],
)
def test_a_commit_that_a_mapped_ref_leads_to_is_deployed(
    start: Any, service: ServiceFiles, hub: FakeHub, keys: dict[str, Any], commit: int, calls: list[str]
) -> None:
    """Plain names first; of globs, all refs that begin so. Which branch is the default one is asked where need be."""
    service("shop", **keys)

    response = start(sha=sha(commit))

    assert (201, sha(commit)) == (response.status_code, response.get_json()["sha"])
    compares = [call.removesuffix(sha(commit)) for call in asked(hub)]
    assert calls[: len(compares)] == compares
    assert [("shop", "queued")] == states()


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("keys", "commit", "told"),
    [
        ({"branches": ["main"]}, 9, "main"),
        ({"branches": ["main"]}, 4, "main"),
        ({"branches": ["main"]}, 8, "main"),
        ({"branches": ["gone"]}, 3, "gone"),
        ({"branches": ["rel*/*"]}, 3, "rel*/*"),
        ({"branches": ["main"], "tags": ["v*"]}, 9, "main, tag v*"),
        ({}, 9, "the default branch"),
    ],
)
def test_a_commit_that_no_mapped_ref_leads_to_is_refused(
    start: Any, service: ServiceFiles, keys: dict[str, Any], commit: int, told: str
) -> None:
    """Of a fork, of another branch, or of nobody at all; the answer says what it would have to be part of."""
    service("shop", **keys)

    response = start(sha=sha(commit))

    expected = f"{sha(commit)[:7]} is part of no branch or tag that service shop deploys ({told})"
    assert is_problem(response, 422)
    assert expected in response.get_json()["detail"]
    assert [] == states()


@pytest.mark.usefixtures("desk")
def test_the_ref_that_was_named_is_looked_into_first(start: Any, service: ServiceFiles, hub: FakeHub) -> None:
    """It is the likeliest."""
    service("shop", branches=["main", "release/*"])

    assert 201 == start(sha=sha(4), ref="release/1").status_code
    assert ["/compare/release%2F1..." + sha(4)] == asked(hub)


@pytest.mark.usefixtures("desk")
def test_no_more_than_so_many_refs_are_looked_into(start: Any, service: ServiceFiles, hub: FakeHub) -> None:
    """Those with the last names: of versions, the newest."""
    for number in range(100, 140):
        hub.history.add(f"{number:040d}", sha(1), ref=f"refs/tags/r{number}")
    service("shop", tags=["r*"])

    assert is_problem(start(sha=FORK), 422)
    compared = [call for call in asked(hub) if "/compare/" in call]
    assert (20, f"/compare/r139...{FORK}") == (len(compared), compared[0])


@pytest.mark.usefixtures("desk")
def test_a_page_says_so_as_well(app: Flask) -> None:
    """Whoever types a commit into the form is told, and the right one is deployed."""
    anna = Browser(app).signed_in("deployer")

    refused = anna.post("/services/shop/deploy", sha=FORK, nonce="1")
    started = anna.post("/services/shop/deploy", sha=sha(2), nonce="2")

    assert (422, 303) == (refused.status_code, started.status_code)
    assert "is part of no branch or tag" in refused.get_data(as_text=True)


@pytest.mark.usefixtures("desk")
def test_a_refused_commit_can_be_pushed_and_tried_again(start: Any, hub: FakeHub) -> None:
    """What GitHub said of it before is not held against it."""
    assert 422 == start(sha=FORK).status_code
    hub.history.change(FORK, [sha(3)], {}, ref=MAIN)

    assert 201 == start(sha=FORK).status_code


# --- how one waits ----------------------------------------------------------------------------------------


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(waiting, "LONGEST", 0.1)


@pytest.mark.usefixtures("hurried")
def test_whoever_cannot_wait_any_longer_is_told_when_to_come_back(
    start: Any, settings: Settings, catalogue: Catalogue, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question stays, and is not asked twice; nothing is queued meanwhile."""
    first = start(sha=sha(2))
    second = start(sha=sha(2))
    assert (1, []) == (Question.select().count(), states())
    monkeypatch.setattr(waiting, "LONGEST", 60.0)
    with attended(settings, catalogue):
        third = start(sha=sha(2))

    assert is_problem(first, 503)
    assert "5" == first.headers["Retry-After"]
    assert "has not answered yet: try again shortly" in second.get_json()["detail"]
    assert (201, 1) == (third.status_code, len(hub.calls))


@pytest.mark.usefixtures("hurried")
def test_what_github_did_not_answer_in_time_is_asked_anew(
    start: Any, app: Flask, settings: Settings, catalogue: Catalogue, hub: FakeHub
) -> None:
    """A question that nobody waits for any more is given up, and says nothing of the commit."""
    hub.down = True
    assert 503 == start(sha=sha(2)).status_code
    speaking = line.of(settings, "host-1")
    Asker(speaking, catalogue).settle(65)
    again = start(sha=sha(2))
    hub.down = False
    Asker(speaking, catalogue).settle(5)
    speaking.end()

    assert app.testing
    assert 503 == again.status_code
    assert ["null", f'"{MAIN}"'] == [row.answer for row in Question.select().order_by(Question.id)]
    assert 201 == start(sha=sha(2)).status_code


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("fault", [DROPPED, Fault(502)])
def test_a_github_that_stumbles_is_asked_again(start: Any, hub: FakeHub, fault: Fault) -> None:
    """Whoever waits does not notice."""
    hub.fail(fault, on="/compare/")

    assert 201 == start(sha=sha(2)).status_code


@pytest.mark.usefixtures("desk")
def test_a_github_that_does_not_let_itself_be_asked_is_named(start: Any, hub: FakeHub) -> None:
    """422: whoever looks after the token can mend it."""
    hub.fail(Fault(403, "Resource not accessible by integration"), on="/compare/")

    response = start(sha=sha(2))

    assert is_problem(response, 422)
    assert "GitHub answered 403: Resource not accessible by integration" in response.get_json()["detail"]
    assert [] == states()


@pytest.mark.usefixtures("hurried")
def test_only_so_many_wait_at_once(app: Flask, auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are there for webhooks and pages as well: the others are told to come back at once."""
    monkeypatch.setattr(waiting, "LONGEST", 2.0)
    monkeypatch.setattr(waiting, "_places", Few(2, "as many requests wait for GitHub as may"))
    headers = auth("deployer")

    def call(number: int) -> TestResponse:
        return app.test_client().post(PATH, json={"service": "shop", "sha": sha(20 + number)}, headers=headers)

    answers = at_once(call, 6)

    details = [answer.get_json()["detail"] for answer in answers]
    assert {503} == {answer.status_code for answer in answers}
    assert 4 == sum("as many requests wait for GitHub as may" in detail for detail in details)


@pytest.mark.usefixtures("desk")
def test_the_same_request_again_is_answered_the_same_without_asking(
    start: Any, auth: Auth, hub: FakeHub, service: ServiceFiles
) -> None:
    """One deployment, also where that commit could not be started any more."""
    headers = auth("deployer") | {"Idempotency-Key": "k"}
    first = start(headers=headers, sha=sha(2))
    calls = len(hub.calls)
    service("shop", branches=["release/1"])

    again = start(headers=headers, sha=sha(2))
    other = start(headers=headers, sha=sha(4))

    assert (201, first.get_json()) == (again.status_code, again.get_json())
    assert is_problem(other, 422)
    assert calls == len(hub.calls)
    assert 1 == Deployment.select().count()


@pytest.mark.usefixtures("desk")
def test_a_refusal_is_not_kept_for_the_same_request(start: Any, auth: Auth, hub: FakeHub) -> None:
    """With the same key it is carried out as soon as it may be."""
    headers = auth("deployer") | {"Idempotency-Key": "k"}
    refused = start(headers=headers, sha=FORK)
    hub.history.change(FORK, [sha(3)], {}, ref=MAIN)

    assert (422, 201) == (refused.status_code, start(headers=headers, sha=FORK).status_code)


@pytest.mark.usefixtures("desk")
def test_the_same_request_in_parallel_starts_one_deployment(app: Flask, auth: Auth) -> None:
    """All of them wait for one answer, and are given one."""
    headers = auth("deployer") | {"Idempotency-Key": "k"}
    wish = {"service": "shop", "sha": sha(2)}

    answers = at_once(lambda _: app.test_client().post(PATH, json=wish, headers=headers), 4)

    assert {201} == {answer.status_code for answer in answers}
    assert 1 == len({answer.get_json()["id"] for answer in answers})
    assert (1, 1) == (Deployment.select().count(), Question.select().count())


@pytest.mark.usefixtures("desk")
def test_a_service_token_is_held_to_it_as_well(client: FlaskClient, auth: Auth) -> None:
    """It may be in the hands of a pipeline that runs other people's code."""
    headers = auth.service("shop")

    refused, started = (client.post(PATH, json={"sha": each}, headers=headers) for each in (FORK, sha(2)))

    assert (422, 201) == (refused.status_code, started.status_code)


# --- on the bot's host ------------------------------------------------------------------------------------


@pytest.fixture
def commands(settings: Settings, app: Flask) -> Iterator[LocalBot]:
    """What the commands on the host work with."""
    assert app.testing
    store.disconnect()
    yield LocalBot(settings)
    store.disconnect()


def test_a_command_waits_for_the_bot_to_ask(commands: LocalBot, settings: Settings, catalogue: Catalogue) -> None:
    """The same rule holds, by the same function."""
    with Bell(settings.bell_dir).listen(), attended(settings, catalogue):
        started = commands.start("shop", Wish(sha=sha(2)))
        with pytest.raises(Invalid, match="is part of no branch or tag"):
            commands.start("shop", Wish(sha=FORK))

    assert sha(2) == started.sha


def test_a_command_does_not_wait_for_a_bot_that_does_not_run(commands: LocalBot) -> None:
    """Nobody would ask."""
    with pytest.raises(Unavailable, match="start `fastdeploy serve`"):
        commands.start("shop", Wish(sha=sha(2)))

    assert [] == states()


def test_a_command_does_not_wait_for_ever(
    commands: LocalBot, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as where the bot cannot be reached."""
    monkeypatch.setattr(local, "WAIT_SECONDS", 0.1)

    with Bell(settings.bell_dir).listen(), pytest.raises(Unavailable, match="has not answered yet"):
        commands.start("shop", Wish(sha=sha(2)))
