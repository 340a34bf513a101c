"""Installations and moves: our App may do something else, or a repository has another name; nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

import signed_in
from askers import Asker
from callers import REPOSITORY_ID, GitHub, ServiceFiles, sha, sync, verdicts
from fakehub import FakeHub
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import services
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.engine import line
from fastdeploy_bot.engine.line import Line
from fastdeploy_bot.engine.relay import Relay
from fastdeploy_bot.forge.github.permissions import Needs
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment, Question, Report
from githubevents import OCTOCAT, OURS, THEIRS, as_body, installation
from senders import Sender

HEAD = sha(2)
SHOP = [{"id": REPOSITORY_ID, "full_name": "octo-org/shop"}]


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot with a GitHub App."""
    return signed_in.by_app(settings, hub, public_url="https://deploy.example")


@pytest.fixture
def speaking(settings: Settings, app: Flask) -> Iterator[Line]:
    """The line to that GitHub."""
    assert app.testing
    made = line.of(settings, "host-1")
    yield made
    made.end()


@pytest.fixture
def sender(speaking: Line, settings: Settings) -> Sender:
    """Tells it."""
    return Sender(speaking, Relay(speaking, public_url=settings.effective_public_url))


@pytest.fixture
def asker(speaking: Line, catalogue: Catalogue) -> Asker:
    """Asks it."""
    return Asker(speaking, catalogue)


@pytest.fixture
def happen(github: GitHub) -> Callable[..., str]:
    """Something happens to an installation; answers what the delivery says."""

    def call(event: str, **changes: Any) -> str:
        event, _, action = event.partition(".")
        answer = github.deliver(as_body(installation(action, **changes)), event=event)
        assert 202 == answer.status_code
        reason: str = answer.get_json()["reason"]
        return reason

    return call


@pytest.fixture
def refused(github: GitHub, service: ServiceFiles, app: Flask, hub: FakeHub, sender: Sender) -> Report:
    """What GitHub did not want to hear of, for want of a permission."""
    service("shop", branches=["main"], report=["status"])
    sync(app)
    del hub.granted["statuses"]
    github.push()
    sender.settle(3)
    [row] = Report.select()
    assert ("422" in row.problem, [], 1) == (True, hub.told(HEAD), row.told)
    hub.granted["statuses"] = "write"
    return row


# --- installations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "changes", "told"),
    [
        ("installation.created", {}, "the GitHub App was installed on octo-org"),
        ("installation.unsuspend", {}, "the GitHub App is suspended on octo-org no longer"),
        ("installation.new_permissions_accepted", {}, "the GitHub App got other permissions on octo-org"),
        ("installation_repositories.added", {"repositories_added": SHOP}, "the GitHub App was given octo-org/shop"),
    ],
)
def test_what_was_refused_is_told_once_the_app_may_do_more(
    refused: Report,
    happen: Callable[..., str],
    asker: Asker,
    sender: Sender,
    hub: FakeHub,
    event: str,
    changes: Any,
    told: str,
) -> None:
    """Nobody has to deploy anew for that."""
    sender.settle(3)
    assert [] == hub.told(HEAD)

    said = happen(event, **changes)
    asker.tick()
    sender.settle(3)

    assert f"{told}; what GitHub refused to hear of in the last day is told again" == said
    assert ["pending"] == hub.states(HEAD)
    assert "" == Report.get_by_id(refused.id).problem


@pytest.mark.parametrize(
    ("event", "changes", "told"),
    [
        ("installation.deleted", {}, "the GitHub App was taken away from octo-org: it may do nothing there any more"),
        ("installation.suspend", {}, "the GitHub App was suspended on octo-org: it may do nothing there until that"),
        ("installation_repositories.removed", {"repositories_removed": SHOP}, "the GitHub App lost octo-org/shop: it"),
    ],
)
def test_what_was_refused_stays_so_where_the_app_may_do_less(
    refused: Report, happen: Callable[..., str], asker: Asker, event: str, changes: Any, told: str
) -> None:
    """There is no use in asking."""
    said = happen(event, **changes)
    asker.tick()

    assert said.startswith(told)
    assert refused.changes == Report.get_by_id(refused.id).changes


@pytest.mark.parametrize("event", ["installation.deleted", "installation.new_permissions_accepted"])
def test_tokens_and_installations_are_forgotten(
    happen: Callable[..., str], asker: Asker, speaking: Line, hub: FakeHub, event: str
) -> None:
    """The next call signs in anew, with what is so by then."""

    def ask() -> str:
        return speaking.ask("octo-org/shop", Needs(), lambda _client, token: token, now=asker.now)

    first = ask()
    assert first == ask()
    calls = len(hub.calls)

    happen(event)
    asker.tick()
    hub.installations["octo-org/shop"] = 78

    assert first != ask()
    assert ["GET /repos/octo-org/shop/installation", "POST /app/installations/78/access_tokens"] == hub.paths()[calls:]


def test_nothing_is_asked_of_github(happen: Callable[..., str], asker: Asker, hub: FakeHub) -> None:
    """To forget takes no call; and each change is heeded once."""
    happen("installation.suspend")

    asker.tick()
    asker.tick()

    assert [] == hub.calls
    assert Question.get().answered is not None


def test_what_is_old_is_not_told_again(refused: Report, happen: Callable[..., str], asker: Asker) -> None:
    """Nobody looks at the commits of last week any more."""
    store.write(lambda: Deployment.update(created=clock.now() - 25 * 3_600_000).execute())

    happen("installation.new_permissions_accepted")
    asker.tick()

    assert refused.changes == Report.get_by_id(refused.id).changes


def test_what_is_of_another_account_is_not_told_again(
    refused: Report, happen: Callable[..., str], asker: Asker
) -> None:
    """Not even where its name begins alike, or would fit as a pattern."""
    for account in ("octo", "octo_org", "octo-org-2", "else"):
        happen("installation.new_permissions_accepted", account=account)
        asker.tick()

    assert refused.changes == Report.get_by_id(refused.id).changes


@pytest.mark.parametrize("app_named", [THEIRS, {"id": None, "client_id": None}])
def test_another_app_changes_nothing(happen: Callable[..., str], app_named: Any) -> None:
    """Whatever it may do."""
    assert "nothing is done: it is not this bot's GitHub App" == happen("installation.deleted", app=app_named)
    assert not Question.select().exists()


def test_an_installation_of_nobody_changes_nothing(github: GitHub) -> None:
    """It is kept, and said."""
    told = {"action": "deleted", "installation": {"id": 77, "app_id": OURS["id"]}}

    answer = github.deliver(as_body(told), event="installation")

    assert "nothing is done: its payload says too little" == answer.get_json()["reason"]


def test_many_repositories_are_counted(happen: Callable[..., str]) -> None:
    """Three are named."""
    listed = [{"id": number, "full_name": f"octo-org/r{number}"} for number in range(1, 8)]

    said = happen("installation_repositories.removed", repositories_removed=listed)

    assert said.startswith("the GitHub App lost octo-org/r1, octo-org/r2, octo-org/r3 and 4 more: ")


# --- moves -----------------------------------------------------------------------------------------------


def moved(action: str, name: str, number: int = REPOSITORY_ID) -> bytes:
    """A repository has another name."""
    return as_body({"action": action, "repository": {"id": number, "full_name": name}, "sender": OCTOCAT})


@pytest.mark.parametrize(("action", "name"), [("renamed", "octo-org/Store"), ("transferred", "mona/shop")])
def test_pushes_to_a_repository_with_another_name_deploy_as_before(
    github: GitHub, service: ServiceFiles, app: Flask, action: str, name: str
) -> None:
    """The service knows it by its id; the delivery says what to write into its file."""
    service("shop", branches=["main"])
    sync(app)
    github.push()

    answer = github.deliver(moved(action, name), event="repository")
    pushed = github.push(repository=name, before=HEAD, after=sha(3), pushed_at=1_700_000_100)

    assert (
        f"the repository of service shop is known by its id 4711: pushes to {name} deploy as before; "
        f'say repository = "{name}" in services/shop/service.toml'
    ) == answer.get_json()["reason"]
    assert {"shop": "deploy"} == verdicts(pushed)
    assert name == Deployment.get_by_id(2).repository


def test_a_service_whose_file_has_the_new_name_already_has_nothing_to_do(
    github: GitHub, service: ServiceFiles, app: Flask
) -> None:
    """Files may be ahead of GitHub's events; the id is then that of the event."""
    service("shop", branches=["main"])
    sync(app)
    github.push()
    service("shop", branches=["main"], repository="octo-org/store")
    sync(app)

    answer = github.deliver(moved("renamed", "octo-org/store"), event="repository")

    told = "the repository of service shop is known by its id 4711: pushes to octo-org/store deploy as before"
    assert told == answer.get_json()["reason"]
    assert REPOSITORY_ID == services.find("shop").repository_id


def test_whoever_takes_the_old_name_deploys_nothing(github: GitHub, service: ServiceFiles, app: Flask) -> None:
    """It is another repository, whatever it is called."""
    service("shop", branches=["main"])
    sync(app)
    github.push()
    github.deliver(moved("renamed", "octo-org/store"), event="repository")

    pushed = github.push(repository_id=8, before=sha(7), after=sha(8))

    assert {"shop": "refused"} == verdicts(pushed)


def test_a_move_of_a_repository_that_is_nobodys_is_said(github: GitHub) -> None:
    """It is kept as every other event."""
    answer = github.deliver(moved("renamed", "octo-org/wiki", 5), event="repository")

    assert "no service is mapped to octo-org/wiki" == answer.get_json()["reason"]
