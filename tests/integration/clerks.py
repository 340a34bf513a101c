"""The clerk that asks about checks, whose time is the test's, and pushes that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask

from callers import (
    SOON,
    GitHub,
    ServiceFiles,
    sha,
    sync,
)
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, locking
from fastdeploy_bot.core.signals import checking
from fastdeploy_bot.engine import line
from fastdeploy_bot.engine.checks import Checks
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.store.models import Deployment
from fastdeploy_bot.words import LOCAL

HEAD = sha(2)
LIMIT = 7_200.0
WAITS = ("waiting", "checks", "waits for checks: test")
LOCKED = ("waiting", "lock", "locked by local: freeze")
QUEUED = ("queued", None, "")


class Clerk:
    """The clerk that asks about checks, whose time is the test's."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = clock.now()
        self.start()

    def start(self) -> None:
        """A process begins, and knows only what is in rows."""
        self.line = line.of(self.settings, "host-1")
        self.checks = Checks(self.line, Bell(self.settings.bell_dir), ours=lambda: self.settings.app_names)

    def tick(self, seconds: float = 1.0) -> float:
        """Look once, so many seconds after the last look."""
        self.now += int(seconds * clock.SECOND)
        return self.checks.tick(now=self.now)

    def settle(self, seconds: float) -> None:
        """Look once a second, so many times."""
        for _ in range(int(seconds)):
            self.tick()

    def expire(self, seconds: float = 0.0, limit: float = LIMIT) -> None:
        """What the dispatcher does, so many seconds later."""
        self.now += int(seconds * clock.SECOND)
        checking.expire(limit, now=self.now)


def clerk(settings: Settings) -> Iterator[Clerk]:
    """For fixtures: the clerk of this host."""
    made = Clerk(settings)
    yield made
    made.line.end()


def waiter(service: ServiceFiles, app: Flask) -> Callable[..., None]:
    """For fixtures: lets shop wait for checks of these names."""

    def call(*names: str, name: str = "shop", **keys: Any) -> None:
        service(name, wait_for=list(names), **keys)
        sync(app)

    return call


def pusher(github: GitHub) -> Callable[..., int]:
    """For fixtures: pushes commit after commit to main, and answers the deployment of shop that it makes."""

    def call(number: int = 2, **fields: Any) -> int:
        told: dict[str, Any] = {"before": sha(number - 1), "after": sha(number), "pushed_at": SOON + number} | fields
        [verdict] = github.push(**told).get_json()["verdicts"]
        assert "wait" == verdict["verdict"], verdict
        made: int = verdict["deployment"]
        return made

    return call


def row(number: int = 1) -> Deployment:
    """A deployment as it is now."""
    return deployments.find(number)


def standing(number: int = 1) -> tuple[str, str | None, str]:
    """Where a deployment is, what it waits for, and why."""
    found = row(number)
    return found.state, found.waits_for, found.reason


def lock(name: str = "shop") -> None:
    """Lock a service."""
    locking.lock(name, {}, locking.Wish(reason="freeze"), by=LOCAL, now=clock.now())


def unlock(name: str = "shop") -> None:
    """Unlock it."""
    locking.unlock(name, {}, by=LOCAL, now=clock.now())
