"""Several processes at one database: what holds among threads holds among processes, and so among hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from callers import registered
from fastdeploy_bot import store
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.people import throttle
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.core.telling.feed import Told
from fastdeploy_bot.store.models import Deployment, Event, Service, Step
from fastdeploy_bot.words import Origin

ROOT = Path(__file__).resolve().parents[2]
WRITER = ROOT / "tests" / "integration" / "writer.py"
PROCESSES = 4
ORDER = Order(origin=Origin.MANUAL, sha="1" * 40, ref="", repository="a/b", actor="anna")


class Writers:
    """Processes that are ready to act at the same moment."""

    def __init__(self, url: str, deed: str, stack: ExitStack) -> None:
        path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
        self._processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(WRITER), url, deed, str(number)],
                    env=os.environ | {"PYTHONPATH": path},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(PROCESSES)
        ]
        assert {"ready"} == {self._line(process) for process in self._processes}

    def go(self) -> None:
        """Let all of them act."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    @property
    def busy(self) -> bool:
        """Whether one of them has not ended."""
        return any(process.poll() is None for process in self._processes)

    def answers(self) -> list[Any]:
        """What came of it, for each."""
        return [json.loads(self._line(process)) for process in self._processes]

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What waits for the processes at the end."""
    with ExitStack() as entered:
        yield entered


def service(name: str) -> Service:
    """A service's row."""
    return store.write(lambda: Service.create(name=name, repository="a/b", created=1))


def test_a_reader_sees_every_event_once_and_in_order(database: str, stack: ExitStack) -> None:
    """While several processes write and some writes are undone: the feed is polled from the last id seen."""
    service("shop")
    writers = Writers(database, "tell", stack)
    seen: list[Told] = []
    looks = 0

    writers.go()
    going = True
    while going:
        going = writers.busy  # asked before the look: the last look comes after the last write
        news = feed.since(seen[-1].id if seen else 0, limit=7)
        going = going or bool(news)
        looks += bool(news)
        seen += news

    ids = [event.id for event in seen]
    assert sorted(set(ids)) == ids
    assert [row.id for row in Event.select().order_by(Event.id)] == ids
    assert sum(writers.answers()) == len(ids) == Deployment.select().count()
    assert looks > 1


def test_one_process_wins_each_claim(database: str, stack: ExitStack) -> None:
    """Each deployment begins once, and its steps are there once."""
    rows: list[Deployment] = []
    for number in range(20):
        shop = service(f"s{number}")
        rows.append(store.write(lambda: deployments.queue(shop, ORDER, now=1)))  # noqa: B023 - called at once
    writers = Writers(database, "claim", stack)

    writers.go()
    won = writers.answers()

    assert sorted(row.id for row in rows) == sorted(chain.from_iterable(won))
    hosts = {number: f"host-{process}" for process, numbers in enumerate(won) for number in numbers}
    assert hosts == {row.id: row.host for row in Deployment.select()}
    assert len(rows) == Step.select().count()


def test_the_database_lets_one_deployment_of_a_service_run(database: str, stack: ExitStack) -> None:
    """Whoever writes, at the same moment, with whatever program and without asking the bot."""
    shop = service("shop")
    for _ in range(20):
        store.write(lambda: deployments.queue(shop, ORDER, now=1))
    writers = Writers(database, "force", stack)

    writers.go()
    passed = set(chain.from_iterable(writers.answers()))

    assert 1 == len(passed)
    assert list(passed) == [row.id for row in Deployment.select().where(Deployment.state == "running")]


def test_guesses_are_counted_together(database: str, stack: ExitStack) -> None:
    """Whichever process they come to: five are looked at."""
    registered("anna", "correct horse")
    guessers = Writers(database, "guess", stack)

    guessers.go()
    ended = list(chain.from_iterable(guessers.answers()))

    assert PROCESSES * 4 == len(ended)
    assert throttle.MOST_OF_PAIR == ended.count("Unauthenticated")
    assert {"Unauthenticated", "TooMany"} == set(ended)
