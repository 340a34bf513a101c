"""Line 6: how soon after an event the last of 500 websocket clients has it, beside `websockets`' broadcast.

Both have the same clients, in one thread of the measuring process, and tell them the same bytes, the events of a feed,
350 bytes each; the moment is that at which the event is there for the server to be told of by a datagram. The bot finds
it in its database then, which the measuring process has written and committed it to, sees what each client may see
of it, and could go on with each of them after a loss. `websockets` gets it in the datagram, keeps nothing and asks
nobody who they are.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from bench import ours, serving
from bench.crowd import Crowd
from bench.peers import broadcast
from bench.table import Figures, Line, Row, Run, Side, at_most
from bots import Bot, free_port
from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.sources import load
from fastdeploy_bot.words import EventType

CLIENTS: Final = 500
PAUSE: Final = 0.02
"""Seconds of silence before an event."""

Tell = Callable[[str], float]
"""Lets an event of that text happen; answers the moment."""


def of_bot(run: Run) -> Figures:
    """The bot's."""
    with (
        ours.started(run.folder, FASTDEPLOY_MAX_SOCKETS=f"{CLIENTS}") as bot,
        feeding(bot) as tell,
        ours.followers(bot, CLIENTS) as crowd,
    ):
        return measured(run, crowd, tell)


def of_websockets(run: Run) -> Figures:
    """Those of asyncio `websockets`."""
    port, ear = free_port(), f"{run.folder}/ear"
    command = [sys.executable, broadcast.__file__, f"{port}", ear]
    with serving.serving(command, port, run.folder), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:

        def tell(text: str) -> float:
            event = feed.Told(1, EventType.SERVICE, "shop", None, text)
            now = time.perf_counter()
            mouth.sendto(event.line().encode(), ear)
            return now

        with Crowd(port, "/", CLIENTS) as crowd:
            return measured(run, crowd, tell)


@contextmanager
def feeding(bot: Bot) -> Iterator[Tell]:
    """What writes into the bot's feed, as another process of the bot's host does."""
    settings: Settings = load(flags={"home": str(bot.home)}).settings
    bell = Bell(settings.feed_bell_dir)
    store.connect(settings.effective_database_url)

    def tell(text: str) -> float:
        value = json.loads(text)
        store.write(lambda: feed.append(EventType.SERVICE, value, service="shop", deployment=None, now=clock.now()))
        now = time.perf_counter()
        bell.ring()
        return now

    try:
        yield tell
    finally:
        store.disconnect()


def measured(run: Run, crowd: Crowd, tell: Tell) -> Figures:
    """How long it takes until the last has heard an event, and of all clients and events until those 99 of 100 have."""
    last: list[float] = []
    each: list[float] = []
    crowd.settle(1.0)
    end, number = time.perf_counter() + run.seconds, 0
    while time.perf_counter() < end or number < 12:
        number += 1
        text = json.dumps({"name": "shop", "repository": "x" * 270, "problem": f"{number:09d}"}, separators=(",", ":"))
        began = tell(text)
        moments = crowd.hear(f"{text}}}".encode())
        if number > 2:  # the first ones are the warming up
            last.append(max(moments) - began)
            each += [moment - began for moment in moments]
        crowd.settle(PAUSE)
    return {
        "ms p50 to the last": statistics.median(last) * 1_000,
        "ms p99 of all": statistics.quantiles(each, n=100)[98] * 1_000,
    }


BOT: Final = Side("fastdeploy_bot, 500 websockets", of_bot)
WEBSOCKETS: Final = Side("websockets broadcast, 500 clients", of_websockets)
LINE: Final = Line(
    number=6,
    rows=(
        Row(
            "event to the last of 500 websocket clients",
            "ms p50 to the last",
            BOT,
            WEBSOCKETS,
            must=at_most(1.5),
            goal=at_most(1.0),
        ),
    ),
)
