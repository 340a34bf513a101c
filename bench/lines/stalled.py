"""Line 7: how soon 499 websocket clients hear of an event while one more takes nothing, beside 500 that all take it.

The bot on both sides, as in line 6. The one that takes nothing has asked for three megabytes of events from before, so
that its connection is full, and stays so.
"""

from __future__ import annotations

from typing import Final

from bench import ours
from bench.lines import fanout
from bench.table import Figures, Line, Row, Run, Side, at_most
from feeds import fill, stalled

EVENTS: Final = 3_000
"""A kilobyte each: more than a connection holds that nobody reads from."""


def of_bot(run: Run) -> Figures:
    """With one that takes nothing. The bot sends it away after ten seconds: a run lasts no longer."""
    seconds = min(run.seconds, 6.0)
    with ours.started(run.folder, FASTDEPLOY_MAX_SOCKETS=f"{fanout.CLIENTS}") as bot, fanout.feeding(bot) as tell:
        fill(bot.home, events=EVENTS)
        with ours.followers(bot, fanout.CLIENTS - 1) as crowd, stalled(bot.url, bot.token()):
            return fanout.measured(run._replace(seconds=seconds), crowd, tell)


STALLED: Final = Side("fastdeploy_bot, one of 500 websockets stalled", of_bot)
LINE: Final = Line(
    number=7,
    rows=(
        Row(
            "the others, one of 500 websocket clients stalled, against none",
            "ms p99 of all",
            STALLED,
            fanout.BOT,
            must=at_most(1.1),
        ),
    ),
)
