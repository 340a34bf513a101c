"""Line 9: the memory of the server after 10,000 pushes, on 16 connections, beside Debian's `webhook`.

That of all its processes, what they share counted once, as soon as the last push is answered; that of the scripts and
of the children beside them is not among it, on neither side. `webhook` needs some 60 kB more for each push, so a quick
run does not send fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench import ours, serving
from bench.peers import webhook
from bench.sender import Sender
from bench.table import Figures, Line, Row, Run, Side, at_most

PUSHES: Final = 10_000


def of_bot(run: Run) -> Figures:
    """The bot's."""
    with ours.started(run.folder) as bot:
        return _after(ours.sender(bot), ours.pids(bot))


def of_webhook(run: Run) -> Figures:
    """That of `webhook`."""
    with webhook.started(run.folder) as (port, pid):
        return _after(Sender(port, webhook.PATH, webhook.SECRET), [pid])


def _after(sender: Sender, pids: Sequence[int]) -> Figures:
    sender.send(pushes=PUSHES)
    return {"MiB": serving.memory(pids)}


LINE: Final = Line(
    number=9,
    rows=(
        Row(
            "memory after 10,000 pushes",
            "MiB",
            Side("fastdeploy_bot, 10,000 pushes", of_bot),
            Side("webhook, 10,000 pushes", of_webhook),
            must=at_most(0.3),
            goal=at_most(0.2),
        ),
    ),
)
