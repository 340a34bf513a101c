"""Line 1: how many pushes are accepted in a second, on 16 connections, beside Debian's `webhook`.

And what one costs the server's processors, beside a view of Flask that does nothing.
"""

from __future__ import annotations

from typing import Final

from bench import ours, serving
from bench.peers import webhook
from bench.sender import Sender
from bench.table import Figures, Line, Row, Run, Side, at_least


def of_bot(run: Run) -> Figures:
    """The bot's; all of it is on disk, or it is no measurement."""
    with ours.started(run.folder) as bot:
        sender = ours.sender(bot)
        figures = measured(run, sender, ours.pids(bot))
        if (kept := ours.kept(bot)) != sender.sent:
            raise AssertionError(f"{sender.sent} pushes were answered, {kept} are kept")
        return figures


def of_webhook(run: Run) -> Figures:
    """Those of `webhook`."""
    with webhook.started(run.folder) as (port, pid):
        return measured(run, Sender(port, webhook.PATH, webhook.SECRET), [pid])


def measured(run: Run, sender: Sender, pids: list[int]) -> Figures:
    """Pushes a second, their answers' times, and what they cost the server, once it is warm."""
    sender.send(seconds=run.seconds / 5)
    before = serving.worked(pids)
    sent = sender.send(seconds=run.seconds)
    return sent.figures() | {"server's µs/push": (serving.worked(pids) - before) / len(sent.took) * 1e6}


BOT: Final = Side("fastdeploy_bot, 10 services", of_bot)
WEBHOOK: Final = Side("webhook", of_webhook)
LINE: Final = Line(
    number=1,
    rows=(
        Row(
            "durable accepted pushes, 16 connections",
            "pushes/s",
            BOT,
            WEBHOOK,
            must=at_least(0.7),
            goal=at_least(1.0),
        ),
    ),
)
