"""Many pushes at once: 10,000 over 100 services on 64 connections, while what they ask for is deployed.

A bot of its own, told by HTTP as GitHub tells it. Prints how soon it answered, how long it took until every service was
on its newest commit, and what it cost; ends with 1 where an answer was no 202, a service is on another commit, or a
bound is exceeded. `python -m bench.figures.load PUSHES SERVICES CONNECTIONS` for another load.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Final

import loads
from bench import ours, runs
from bench.serving import worked
from bots import Bot, wait_for

MOST_MS: Final = 250.0
MOST_MIB: Final = 300.0
SETTLE_SECONDS: Final = 300.0


def main(pushes: int = 10_000, services: int = 100, connections: int = 64) -> int:
    """Run it all; answers the exit status."""
    with tempfile.TemporaryDirectory() as folder, closing(Bot(Path(folder))) as bot:
        for number in range(services):
            bot.service(f"s{number}", "#!/bin/sh\n", repository=f"octo-org/s{number}")
        bot.start()
        requests = [_request(bot, number, services) for number in range(pushes)]
        began, before = time.monotonic(), worked(bot.workers())
        answers = loads.send(bot.port, requests, connections=connections)
        sent, cost = time.monotonic(), (worked(bot.workers()) - before) / pushes * 1_000
        begun = ours.begun(bot)
        wait_for(bot.idle, SETTLE_SECONDS)
        settled, memory, astray = time.monotonic(), most_memory(bot), _astray(bot, pushes, services)
    statuses = Counter(answer.status for answer in answers)
    parts = [part * 1_000 for part in statistics.quantiles([answer.seconds for answer in answers], n=100)]
    print(f"answers        {dict(statuses)}, {pushes / (sent - began):.0f}/s")
    print(f"answered       p50 {parts[49]:.0f} ms   p99 {parts[98]:.0f} ms")
    print(f"cost           {cost:.1f} ms of the server's processor time for each push, with what it deployed meanwhile")
    print(f"begun          {begun} deployments meanwhile; all was deployed {settled - sent:.1f} s after the last push")
    print(f"memory         {memory:.0f} MiB at most, all processes of the server together")
    print(f"not on their newest commit: {', '.join(astray) or 'none'}")
    return int(statuses.keys() != {202} or bool(astray) or parts[98] > MOST_MS or memory > MOST_MIB)


def _request(bot: Bot, number: int, services: int) -> bytes:
    turn, service = divmod(number, services)
    return loads.request(loads.pushed(service, turn), secret=bot.secret, guid=f"load-{number}")


def _astray(bot: Bot, pushes: int, services: int) -> list[str]:
    """The services whose live commit is not that of their last push."""
    live = {row["name"]: (row["live"] or {}).get("sha") for row in bot.get("/services")["items"]}
    turns = {service: len(range(service, pushes, services)) for service in range(services)}
    return [f"s{service}" for service, turn in turns.items() if live[f"s{service}"] != loads.commit(service, turn)]


def most_memory(bot: Bot) -> float:
    """The most that the server's processes had in memory, in MiB; what they share counts for each."""
    assert bot.server is not None  # noqa: S101 - it was started
    pids = [bot.server.pid, *bot.workers()]
    statuses = [Path(f"/proc/{pid}/status").read_text().splitlines() for pid in pids]
    lines = [line for line in itertools.chain.from_iterable(statuses) if line.startswith("VmHWM")]
    return sum(int(line.split()[1]) for line in lines) / 1_024


if __name__ == "__main__":
    runs.end_when_told()
    sys.exit(main(*map(int, sys.argv[1:])))
