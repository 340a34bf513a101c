"""How soon a push is a script's first line, with a child that waits and without. Run by `make figures`.

A bot of its own, pushes one after the other, each sent when the one before has ended. Before the pushes "without", the
child that waits is killed. It prints figures in milliseconds and judges nothing.
"""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Final

from bots import Bot, spares, wait_for
from fastdeploy_bot.forge.github.payloads import push_document

PUSHES: Final = 30
SCRIPT: Final = """#!/bin/bash
echo $EPOCHREALTIME > first.new
mv first.new first
"""


def main() -> None:
    """Run a bot, push, and print."""
    with tempfile.TemporaryDirectory() as folder, closing(Bot(Path(folder))) as bot:
        home = bot.service("shop", SCRIPT, repository="octo-org/shop")
        bot.start()
        pushes = count(1)
        first_line(bot, home, next(pushes))  # what is loaded once, is loaded
        times: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * PUSHES):  # in turns, so that other work of the machine tells in both alike
            times[bool(number % 2)].append(first_line(bot, home, next(pushes), spare=bool(number % 2)))
        [waiting] = wait_for(lambda: spares(bot))
        print(f"push to first line, no spare    {shown(times[False])}")
        print(f"push to first line, a spare     {shown(times[True])}")
        print(f"a spare's memory                {memory(waiting)}")


def first_line(bot: Bot, home: Path, number: int, *, spare: bool = True) -> float:
    """Seconds from a push to what its script says first."""
    first = home / "first"
    first.unlink(missing_ok=True)
    [waiting] = wait_for(lambda: spares(bot))
    wait_for(lambda: not busy(waiting))
    if not spare:
        os.kill(waiting, signal.SIGKILL)
    body = push_document(
        repository="octo-org/shop",
        repository_id=4711,
        before=f"{number - 1:040x}",
        after=f"{number:040x}",
        pushed_at=1_700_000_000 + number,
    )
    sent = time.time()
    bot.deliver(body).raise_for_status()
    wait_for(first.exists)
    took = float(first.read_text()) - sent
    bot.wait_idle("shop")
    return took


def busy(pid: int) -> bool:
    """Whether a process does anything but wait."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S"


def memory(pid: int) -> str:
    """What a process holds, and its share of that."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("Rss", "Pss:"))}
    return f"RSS {kib['Rss'] / 1024:.1f} MiB   PSS {kib['Pss'] / 1024:.1f} MiB"


def shown(seconds: list[float]) -> str:
    """Median, 95th percentile and number of some durations."""
    parts = statistics.quantiles(seconds, n=20)
    return f"p50 {parts[9] * 1_000:7.1f} ms   p95 {parts[18] * 1_000:7.1f} ms   ({len(seconds)})"


if __name__ == "__main__":
    main()
