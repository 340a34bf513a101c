"""Redelivery: what GitHub could not deliver is asked for again, where something would act upon it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient

import appkeys
import fakehub
import signed_in
from callers import REPOSITORY, REPOSITORY_ID, SECRET, GitHub, ServiceFiles, document, sha, sync
from fakehub import FakeHub, Fault, Hook
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.engine import line
from fastdeploy_bot.engine.recovery import Recovery
from fastdeploy_bot.engine.redelivery import Redelivery
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store import models
from fastdeploy_bot.store.models import Deployment, Service, Watch

ADDRESS = "https://deploy.example/webhooks/github"
MINUTE = 60.0
HOUR = 3_600.0
APP = {"github_token": None, "github_client_id": fakehub.CLIENT_ID, "github_private_key": appkeys.pem()}

Start = Callable[..., "Asker"]


class Asker:
    """A recovery whose time is the test's, and the hook that it asks about."""

    def __init__(self, made: Recovery, hook: Hook) -> None:
        self._made = made
        self._hook = hook
        self.now = clock.now()

    def settle(self, seconds: float = 0.0) -> None:
        """Go on, so many seconds after the last time, for half a minute; what is asked for comes at once."""
        self.now += int(seconds * clock.SECOND)
        for _ in range(30):
            while self._made.tick(now=self.now) == 0.0:
                self._hook.flush(self.now / clock.SECOND)
            self._hook.flush(self.now / clock.SECOND)
            self.now += clock.SECOND


@pytest.fixture
def hook(hub: FakeHub, client: FlaskClient) -> Hook:
    """The webhook of shop's repository, which leads here."""

    def deliver(body: bytes, headers: dict[str, str]) -> int:
        return client.post("/webhooks/github", data=body, headers=headers).status_code

    made = Hook(ADDRESS, SECRET, repository_id=REPOSITORY_ID, deliver=deliver)
    hub.hooks[REPOSITORY] = [Hook("https://other.example/", "", repository_id=REPOSITORY_ID), made]
    return made


@pytest.fixture
def settings(settings: Settings, hub: FakeHub) -> Settings:
    """A bot that may ask this GitHub."""
    return signed_in.by_token(settings, hub)


@pytest.fixture
def start(settings: Settings, app: Flask, service: ServiceFiles, hook: Hook, hub: FakeHub) -> Iterator[Start]:
    """Starts a process that asks, of a bot with the service shop whose repository has been seen."""
    service("shop", branches=["main"])
    sync(app)
    GitHub(app.test_client()).push()
    hub.remote().push(sha(2))
    assert Service.get().repository_id == REPOSITORY_ID
    with ExitStack() as stack:

        def make(**given: object) -> Asker:
            speaking = line.of(msgspec.structs.replace(settings, **given), "host-1")
            stack.callback(speaking.end)
            asking, catalogue = Redelivery(speaking, ADDRESS), Catalogue(settings.services_dir)
            made = Recovery(speaking, catalogue, Bell(settings.bell_dir), redelivery=asking, poll=None)
            return Asker(made, hook)

        yield make


def lost_push(hub: FakeHub, hook: Hook, number: int = 3, *, at: float | None = None) -> str:
    """A push whose webhook failed; its GUID."""
    hub.remote().push(sha(number))
    body = document(before=sha(number - 1), after=sha(number), pushed_at=hub.remote().pushed_at, actor="mona")
    return hook.lose(body, at=at).guid


def deployed() -> list[tuple[str, str, str]]:
    """The commits that were queued, oldest first, each with its origin and by whom."""
    return [(row.sha, row.origin, row.actor) for row in Deployment.select().order_by(Deployment.id)]


def attempts(hook: Hook, guid: str) -> list[int]:
    """How each attempt to deliver it was answered."""
    return [each.status for each in hook.attempts if each.guid == guid]


@pytest.mark.parametrize("given", [{}, APP], ids=["token", "app"])
def test_a_push_that_failed_is_delivered_again_and_decided_by_its_own_webhook(
    start: Start, hub: FakeHub, hook: Hook, given: dict[str, object]
) -> None:
    """With the name of who pushed; a look at the repository waits for it, and finds nothing to do."""
    hub.app_hook = hook
    guid = lost_push(hub, hook)

    start(**given).settle()

    assert (sha(3), "push", "mona") == deployed()[-1]
    assert 2 == len(deployed())
    assert [502, 202] == attempts(hook, guid)
    assert (0, 1) == next((row.pushes, row.redelivered) for row in models.Recovery.select())


def test_where_it_fails_again_the_look_decides(start: Start, hub: FakeHub, hook: Hook) -> None:
    """Half a minute later."""
    guid = lost_push(hub, hook)
    hook._secret = "guessed"
    asker = start()
    asker.settle()
    asker.settle()

    assert [502, 401] == attempts(hook, guid)
    assert (sha(3), "reconciled", "") == deployed()[-1]


def test_each_is_asked_for_once_an_hour_and_not_for_ever(start: Start, hub: FakeHub, hook: Hook) -> None:
    """What cannot be delivered is given up."""
    hook._secret = "guessed"
    guid = lost_push(hub, hook)
    asker = start()
    seen = []
    for _ in range(4):
        asker.settle(10 * MINUTE)
        seen.append(len(attempts(hook, guid)))
    for _ in range(8):
        asker.settle(HOUR)

    assert [2, 2, 2, 2] == seen
    assert 5 == len(attempts(hook, guid))


def test_what_arrived_is_not_asked_for(start: Start, hub: FakeHub, hook: Hook, github: GitHub) -> None:
    """Neither what a later attempt brought, nor what we have though GitHub heard no answer."""
    guids = [lost_push(hub, hook, number) for number in (3, 4)]
    hook.again(hook.attempts[0].id)
    hook.flush()
    github.deliver(hook.attempts[1].body, guid=guids[1])
    before = len(hook.attempts)

    start().settle()

    assert before == len(hook.attempts)


def test_what_nothing_acts_upon_is_left(start: Start, hub: FakeHub, hook: Hook) -> None:
    """An event that is only kept, a ping, one of another repository, and what is older than GitHub keeps."""
    hook.lose(b"{}", event="issues")
    hook.lose(b"{}", event="ping")
    lost_push(hub, hook, at=time.time() - 80 * HOUR)
    hook.attempts.append(hook.lose(document(repository_id=8))._replace(id=2, repository_id=8))
    del hook.attempts[-2]

    start().settle()

    assert [502] * 4 == [each.status for each in hook.attempts]


def test_many_pages_are_read(start: Start, hub: FakeHub, hook: Hook) -> None:
    """The one that failed stands behind many that did not."""
    guid = lost_push(hub, hook)
    for number in range(250):
        hook.attempts.append(hook.attempts[0]._replace(id=20_000 + number, guid=f"g-{number}", status=202))

    start().settle()

    assert [502, 202] == attempts(hook, guid)


@pytest.mark.parametrize(
    ("pushes", "address", "told"),
    [
        (False, ADDRESS, "GitHub answered 404: Not Found"),
        (True, "https://elsewhere.example/webhooks/github", f"no webhook leads to {ADDRESS}"),
    ],
    ids=["refused", "elsewhere"],
)
def test_where_they_cannot_be_asked_for_that_is_told_and_the_look_is_made(
    start: Start, hub: FakeHub, hook: Hook, pushes: bool, address: str, told: str
) -> None:
    """What GitHub refuses is not asked for each time."""
    hub.pushes = pushes
    hook.url = address
    lost_push(hub, hook)
    asker = start()
    asker.settle()
    asker.settle(6 * MINUTE)

    assert (told, "") == (Watch.get().deaf, Watch.get().problem)
    assert (sha(3), "reconciled", "") == deployed()[-1]
    asked = [path for path in hub.paths() if path.partition("?")[0].endswith("/hooks")]
    assert len(asked) == (2 if pushes else 1)


def test_a_limit_stops_both(start: Start, hub: FakeHub, hook: Hook) -> None:
    """GitHub is asked for nothing meanwhile."""
    lost_push(hub, hook)
    hub.fail(Fault(429, headers={"Retry-After": "600"}), on="/hooks")
    asker = start()
    asker.settle()
    calls = len(hub.calls)
    asker.settle(5 * MINUTE)
    assert (1, calls) == (calls, len(hub.calls))

    asker.settle(10 * MINUTE)

    assert sha(3) == deployed()[-1][0]
