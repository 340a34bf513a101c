"""Whether a bot stays as it is: a deployment a second for minutes. Run by `make soak` (MINUTES=3 for less).

A bot of its own, real signed pushes to several services in turn, one of which always fails. Every second it is looked
at from outside. In the end a verdict with figures; the exit status is 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from bench import runs
from bots import Bot, children_of, spares, wait_for
from fastdeploy_bot.forge.github.payloads import push_document

SERVICES: Final = 8
MINUTES: Final = 10.0
WARM_UP: Final = 0.2
"""The part of the time after which the bot is as it will be."""
MOST_GROWTH: Final = {"descriptors": 5, "threads": 2, "processes": 2}
"""How much more the last third may have than the first, in which a leak of every deployment would show as hundreds.

Runs come and go; a thread that is needed only now brings its connection to the database, of three descriptors.
"""
MOST_MIB_A_MINUTE: Final = 1.0
PATIENCE: Final = 60.0
SCRIPT: Final = """#!/bin/sh
echo '{"name": "Build", "state": "success"}' >> "$FASTDEPLOY_STEPS_FILE"
seq 200
exit %d
"""


class Look(NamedTuple):
    """A bot as it is from outside."""

    minute: float
    descriptors: int
    threads: int
    processes: int
    memory: float
    """MiB of the server's own processes, those of its scripts left out."""


class Finding(NamedTuple):
    """One thing that had to hold, and the figures for it."""

    holds: bool
    text: str


def main() -> int:
    """Run a bot, push every second, look, and judge."""
    parser = argparse.ArgumentParser(description="one deployment a second, and a look at the bot every second")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, closing(Bot(Path(folder))) as bot:
        names = [f"service{number}" for number in range(SERVICES)]
        for name in names:
            bot.service(name, SCRIPT % status_of(name), repository=f"octo-org/{name}", supersede=False)
        bot.start()
        wanted, looks = push_and_look(bot, names, minutes)
        findings = [*judged(looks), *ended(bot, wanted), *left(bot)]
    for finding in findings:
        print(f"{'ok    ' if finding.holds else 'BROKEN'}  {finding.text}")
    return 0 if all(finding.holds for finding in findings) else 1


def status_of(name: str) -> int:
    """How the scripts of that service end."""
    return 3 if name == "service0" else 0


def push_and_look(bot: Bot, names: Sequence[str], minutes: float) -> tuple[dict[int, str], list[Look]]:
    """Push to the services in turn, look after each second; what should become of which deployment, and the looks."""
    wanted: dict[int, str] = {}
    looks: list[Look] = []
    begun = time.monotonic()
    for number in every_second(begun, minutes):
        name = names[number % len(names)]
        wanted[push(bot, name, number)] = "failure" if status_of(name) else "success"
        looks.append(look(bot, (time.monotonic() - begun) / 60))
        if number % 60 == 59:
            print(f"        {looks[-1]}", flush=True)
    return wanted, looks


def every_second(begun: float, minutes: float) -> Iterator[int]:
    """Numbers from 1 on, one a second; late ones follow at once."""
    for number in range(1, int(minutes * 60) + 1):
        time.sleep(max(0.0, begun + number - time.monotonic()))
        yield number


def push(bot: Bot, name: str, number: int) -> int:
    """Push to a service; the deployment that comes of it."""
    body = push_document(
        repository=f"octo-org/{name}",
        repository_id=int(name.removeprefix("service")) + 1,
        before=f"{number:039x}a",
        after=f"{number:039x}b",
        pushed_at=1_700_000_000 + number,
    )
    answer = bot.deliver(body)
    answer.raise_for_status()
    [verdict] = answer.json()["verdicts"]
    deployment: int = verdict["deployment"]
    return deployment


def look(bot: Bot, minute: float) -> Look:
    """The server and its workers, and how many processes live below them, ended ones that nobody reaped included."""
    assert bot.server is not None  # noqa: S101 - it was started
    workers = bot.workers()
    own = [bot.server.pid, *workers]
    return Look(
        minute,
        descriptors=sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in own),
        threads=sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in own),
        processes=len(own) + sum(len(children_of(worker)) + zombies_of(worker) for worker in workers),
        memory=sum(resident(pid) for pid in own),
    )


def zombies_of(parent: int) -> int:
    """How many ended children a process has not taken out of the process table."""
    stats = [text.rpartition(")")[2].split() for text in map(_stat, Path("/proc").glob("[0-9]*"))]
    return sum(fields[:2] == ["Z", str(parent)] for fields in stats)


def _stat(process: Path) -> str:
    try:
        return (process / "stat").read_text()
    except OSError:
        return ""


def resident(pid: int) -> float:
    """MiB of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


# --- judging


def judged(looks: Sequence[Look]) -> Iterator[Finding]:
    """Whether nothing has grown since the bot was warm."""
    warm = looks[int(len(looks) * WARM_UP) :]
    yield _flat("descriptors", warm, lambda each: each.descriptors)
    yield _flat("threads", warm, lambda each: each.threads)
    yield _flat("processes", warm, lambda each: each.processes)
    slope = statistics.linear_regression([each.minute for each in warm], [each.memory for each in warm]).slope
    figures = f"{warm[0].memory:.1f} to {warm[-1].memory:.1f} MiB, {slope:+.3f} MiB a minute"
    yield Finding(slope < MOST_MIB_A_MINUTE, f"{'memory':12} {figures} (bound {MOST_MIB_A_MINUTE:g})")


def _flat(what: str, looks: Sequence[Look], of: Callable[[Look], int]) -> Finding:
    third = len(looks) // 3
    first, last = (statistics.median(map(of, part)) for part in (looks[:third], looks[-third:]))
    figures = f"median {first:g} in the first third, {last:g} in the last, at most {max(map(of, looks))}"
    return Finding(last - first <= MOST_GROWTH[what], f"{what:12} {figures} (bound +{MOST_GROWTH[what]})")


def ended(bot: Bot, wanted: dict[int, str]) -> Iterator[Finding]:
    """Whether every deployment has ended, and as it should."""
    rows = {number: bot.wait_end(number, PATIENCE) for number in wanted}
    wrong = {number: row["state"] for number, row in rows.items() if row["state"] != wanted[number]}
    yield Finding(
        not wrong, f"{'deployments':12} {len(rows)}, {len(wrong)} ended otherwise than they should {wrong or ''}"
    )
    waits = [when(row["started"]) - when(row["created"]) for row in rows.values()]
    parts = statistics.quantiles(waits, n=100)
    yield Finding(True, f"{'queued for':12} p50 {parts[49] * 1_000:.0f} ms, p99 {parts[98] * 1_000:.0f} ms")


def when(text: str) -> float:
    """A time of the API in Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


def left(bot: Bot) -> Iterator[Finding]:
    """Whether nothing is left of the runs but the child and the folder that wait for the next one."""
    folders = bot.home / "runs"
    wait_for(lambda: not list(folders.glob("[0-9]*")), PATIENCE)
    waiting = wait_for(lambda: spares(bot))
    zombies = sum(map(zombies_of, bot.workers()))
    children = sum(len(children_of(worker)) for worker in bot.workers())
    figures = f"{children - len(waiting)} children, {zombies} zombies, {len(waiting)} waiting"
    yield Finding((children, zombies, len(waiting)) == (1, 0, 1), f"{'left':12} {figures}")


if __name__ == "__main__":
    runs.end_when_told()
    sys.exit(main())
