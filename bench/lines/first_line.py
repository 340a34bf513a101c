"""Line 4: how long it takes from a push sent to its script's first line, beside Debian's `webhook`.

The same push, on a new connection each, and the same script, which writes down the time as the first thing it does.
The next push is sent when all that came of the last one is over. Both run it by bash. The bot has by then kept the
push, its verdicts and the deployment on disk, taken the deployment into work, made it a folder that is on disk, too,
and handed the script to a process that keeps its output and outcome; `webhook` has started it.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import ours
from bench.peers import webhook
from bench.sender import Sender
from bench.table import Figures, Line, Row, Run, Side, at_most
from bots import Bot, spares, wait_for

SCRIPT: Final = """#!/bin/bash
echo $EPOCHREALTIME > "${0%/*}/first"
"""
LEAST: Final = 20
"""How many pushes are sent at least."""
PAUSE: Final = 0.1
"""Seconds of quiet before a push."""


def of_bot(run: Run) -> Figures:
    """The bot's."""
    with ours.started(run.folder, script=SCRIPT) as bot:
        return measured(run, ours.sender(bot, repositories=1), bot.home / "services/s0/first", lambda: rest(bot))


def of_webhook(run: Run) -> Figures:
    """That of `webhook`."""
    script = run.folder / "deploy"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    with webhook.started(run.folder, str(script)) as (port, _):
        sender = Sender(port, webhook.PATH, webhook.SECRET, repositories=1)
        return measured(run, sender, run.folder / "first", lambda: None)


def measured(run: Run, sender: Sender, first: Path, rest: Callable[[], None]) -> Figures:
    """How long each push took to its script's first line."""
    took: list[float] = []
    end = time.monotonic() + run.seconds
    while time.monotonic() < end or len(took) < LEAST:
        rest()
        time.sleep(PAUSE)
        with socket.create_connection(("127.0.0.1", sender.port), 30) as connection:
            request = sender.request()
            sent = time.time()
            connection.sendall(request)
            answer = connection.recv(65_536)
            if not answer.startswith(b"HTTP/1.1 2"):
                raise AssertionError(answer.decode(errors="replace"))
            wait_for(lambda: first.exists() and first.read_text().endswith("\n"))
        took.append(float(first.read_text()) - sent)
        first.unlink()
    parts = statistics.quantiles(took[2:], n=20)  # the first ones load what is loaded once
    return {"ms p50": parts[9] * 1_000, "ms p95": parts[18] * 1_000}


def rest(bot: Bot) -> None:
    """Wait until nothing is on its way, and a child waits for the next job."""
    wait_for(bot.idle)
    wait_for(lambda: [pid for pid in spares(bot) if not _busy(pid)])


def _busy(pid: int) -> bool:
    """Whether a process does anything but wait."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S"


LINE: Final = Line(
    number=4,
    rows=(
        Row(
            "push sent to its script's first line",
            "ms p50",
            Side("fastdeploy_bot, a push at a time", of_bot),
            Side("webhook, a push at a time", of_webhook),
            must=at_most(1.5),
            goal=at_most(1.0),
        ),
    ),
)
