"""Another process of the bot, for the tests: `writer.py URL DEED NUMBER` says "ready", waits for a line, and acts.

It prints as JSON what came of it. A server has several processes, and with PostgreSQL several hosts.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Mapping
from typing import Final

import psycopg

from databases import Raw
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.deploying import deployments, queue
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.deploying.queue import Claim
from fastdeploy_bot.core.people import signin
from fastdeploy_bot.core.people.signin import Given
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.errors import FastdeployError
from fastdeploy_bot.store import postgres, sqlite
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import Origin

PATIENCE: Final = 60
"""Seconds: a loaded machine may take its time."""
WRITES: Final = 25
UNDONE_EVERY: Final = 5
GUESSES: Final = 4


def tell(_url: str, process: int) -> object:
    """Make deployments, each of which is told in the feed; answers how many. Every few writes are undone."""
    service = Service.get()

    def queued(number: int) -> None:
        order = Order(origin=Origin.MANUAL, sha=f"{number:040x}", ref="", repository="a/b", actor=f"writer {process}")
        deployments.queue(service, order, now=clock.now())
        if number % UNDONE_EVERY == 0:
            changes.of_service(service.id)
            store.at_end("oops", fail)

    def fail() -> None:
        raise LookupError

    kept = 0
    for number in range(WRITES):
        try:
            store.write(lambda: queued(number))  # noqa: B023 - called at once
            kept += 1
        except LookupError:
            pass
    return kept


def claim(_url: str, process: int) -> object:
    """Claim every queued deployment; answers which were won."""
    mine = Claim(host=f"host-{process}", run="run", definition="{}", token_hash="hash", steps=("Build",))
    rows = list(Deployment.select().order_by(Deployment.id))
    return [row.id for row in rows if queue.claim(row, mine, max_running=1_000, now=5)]


def force(url: str, process: int) -> object:
    """Set one deployment after the other running, past the bot; answers which the database let pass.

    Each process begins with another one, and the one that runs already may be set so again.
    """
    raw = Raw(url)
    passed = []
    numbers = [number for (number,) in raw.execute("SELECT id FROM deployment ORDER BY id")]
    for number in numbers[process:] + numbers[:process]:
        try:
            raw.execute("UPDATE deployment SET state = 'running' WHERE id = ?", number)
            passed.append(number)
        except (sqlite3.IntegrityError, psycopg.IntegrityError):
            pass
    raw.close()
    return passed


def guess(_url: str, process: int) -> object:
    """Guess a user's password, from the same address as all the others; answers how each attempt ended."""
    given = Given(username="anna", password=f"guess {process}", peer="192.0.2.1")
    ended = []
    for _ in range(GUESSES):
        try:
            signin.issue_token(given, now=1)
        except FastdeployError as error:
            ended.append(type(error).__name__)
    return ended


DEEDS: Final[Mapping[str, Callable[[str, int], object]]] = {
    "tell": tell,
    "claim": claim,
    "force": force,
    "guess": guess,
}


def main(url: str, deed: str, process: str) -> None:
    """Do the deed at the word of command."""
    sqlite.BUSY_SECONDS = postgres.BUSY_SECONDS = PATIENCE  # type: ignore[misc] # final for all but tests
    store.connect(url)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(DEEDS[deed](url, int(process))), flush=True)
    store.disconnect()


if __name__ == "__main__":
    main(*sys.argv[1:])
