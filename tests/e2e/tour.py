"""A tour of every page, for those who look at all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import scenes
from bots import Bot
from fastdeploy_bot import store
from fastdeploy_bot.core import clock


class Stop(NamedTuple):
    """A page of the tour."""

    name: str
    """What its picture is called."""
    path: str
    visitor: bool = False
    """Whether somebody looks at it who has not signed in."""


LONGEST_NAME: Final = "a-service-of-the-longest-name-that-a-service-can-have".ljust(63, "x")
_ANYWHERE: Final = (
    Stop("overview", "/"),
    Stop("deliveries", "/deliveries"),
    Stop("account", "/settings/account"),
    Stop("users", "/settings/users"),
    Stop("tokens", "/settings/tokens"),
    Stop("audit", "/settings/audit"),
    Stop("setup", "/setup"),
    Stop("sign-in", "/login", visitor=True),
    Stop("not-found", "/nowhere"),
    Stop("api", "/api/docs"),
)
EMPTY: Final[Sequence[Stop]] = _ANYWHERE
"""The pages of a bot to which nothing has happened yet."""


def filled(newest: dict[str, int]) -> list[Stop]:
    """The pages of the bot that `scenes` drew."""
    return [
        *_ANYWHERE,
        *(Stop(f"service-{name}", f"/services/{name}") for name in newest),
        *(Stop(f"deployment-{name}", f"/deployments/{number}") for name, number in newest.items()),
        Stop("delivery", f"/deliveries/{scenes.guid(1)}"),
        Stop("search", "/?q=tax"),
        Stop("search-nothing", "/?q=nothing+is+called+that"),
        Stop("visitor-overview", "/", visitor=True),
        Stop("visitor-service", "/services/docs", visitor=True),
        Stop("visitor-deployment", f"/deployments/{newest['docs']}", visitor=True),
    ]


@contextmanager
def bot(folder: Path, *, empty: bool, longest: bool = False) -> Iterator[tuple[Bot, list[Stop]]]:
    """A bot that runs nothing, as it is at first or with a believable past, and its pages.

    With `longest`, one of its services has a name that is as long as one can be.
    """
    with closing(Bot(folder, FASTDEPLOY_MAX_RUNNING="0")) as made:
        made.start()
        if empty:
            yield made, list(EMPTY)
            return
        newest = fill(made)
        stops = filled(newest)
        if longest:
            made.service(LONGEST_NAME, None)
            stops.append(Stop("service-of-a-long-name", f"/services/{LONGEST_NAME}"))
        lock = {"reason": "freeze until Monday"}
        assert made.http("POST", "/api/v1/services/docs/lock", json=lock).ok
        yield made, stops


def fill(bot: Bot) -> dict[str, int]:
    """Give a bot that runs nothing its past; the newest deployment of each service."""
    store.connect(f"sqlite:///{bot.home / 'fastdeploy.db'}")
    try:
        return scenes.draw(bot.home, now=clock.now())
    finally:
        store.disconnect()


def by_reader(stops: Iterable[Stop]) -> list[Stop]:
    """Those for visitors first, as who has signed in does not see them that way."""
    return sorted(stops, key=lambda stop: not stop.visitor)
