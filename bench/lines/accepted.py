"""Line 1: how many pushes are accepted in a second, on 16 connections, beside Debian's `webhook`.

And what one costs the server's processors, beside a view of Flask's that does nothing: where the bot deploys nothing
either (`max_running = 0`), so that like is told from like; and as it comes, with what it deploys meanwhile, which is
little: see `bench.ours`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from bench import ours, serving
from bench.peers import empty, webhook
from bench.sender import CONNECTIONS, Sender
from bench.table import Figures, Line, Row, Run, Side, at_least, at_most


def of_bot(run: Run, *, services: int = 10, deploys: bool = True) -> Figures:
    """The bot's; all of it is on disk, or it is no measurement."""
    environment = {} if deploys else {"FASTDEPLOY_MAX_RUNNING": "0"}
    with ours.started(run.folder, services=services, **environment) as bot:
        sender = ours.sender(bot, repositories=services)
        figures = {**measured(run, sender, ours.pids(bot)), "deployments begun": ours.begun(bot)}
        sender.require(ours.kept(bot))
        return figures


def of_webhook(run: Run) -> Figures:
    """Those of `webhook`."""
    with webhook.started(run.folder) as (port, pid):
        return measured(run, Sender(port, webhook.PATH, webhook.SECRET), [pid])


def of_empty_view(run: Run) -> Figures:
    """Those of a view that does nothing."""
    with empty.started(run.folder) as (port, pids):
        return measured(run, Sender(port, empty.PATH, "no secret"), pids)


def measured(run: Run, sender: Sender, pids: Sequence[int], connections: int = CONNECTIONS) -> Figures:
    """Pushes a second, how soon they are answered, and what they cost the server, once it is warm."""
    sender.send(pushes=sender.repositories)
    sender.send(seconds=run.seconds / 5, connections=connections)
    before = serving.worked(pids)
    sent = sender.send(seconds=run.seconds, connections=connections)
    return sent.figures() | {"server's µs/push": (serving.worked(pids) - before) / len(sent.took) * 1e6}


BOT: Final = Side("fastdeploy_bot", of_bot)
IDLE: Final = Side("fastdeploy_bot, deploying nothing", partial(of_bot, deploys=False))
WEBHOOK: Final = Side("webhook", of_webhook)
EMPTY: Final = Side("an empty view", of_empty_view)
LINE: Final = Line(
    number=1,
    rows=(
        Row("durable accepted pushes", "pushes/s", BOT, WEBHOOK, must=at_least(0.7), goal=at_least(1.0)),
        Row("processor time for each, deploying nothing", "server's µs/push", IDLE, EMPTY, must=at_most(2.0)),
        Row("the same, as it comes", "server's µs/push", BOT, EMPTY),
    ),
)
