"""Turns: jobs that are done one lot at a time, in the order of their coming, each by one of those who wait."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from fastdeploy_bot.store import turns
from fastdeploy_bot.store.turns import Turns
from runs import eventually

WAITING = 8
LONG = 60.0
"""Seconds that nobody comes near."""


class Slow:
    """Work that goes on until it is let go on; keeps what it was given."""

    def __init__(self) -> None:
        self.lots: list[list[int]] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.turns = Turns(self.work)

    def work(self, jobs: Sequence[int]) -> None:
        """Do a lot."""
        self.lots.append(list(jobs))
        self.begun.set()
        assert self.go_on.wait(LONG)

    def begin(self, *jobs: int) -> list[threading.Thread]:
        """Have the first job under way, and the others wait behind it in this order."""
        threads = [threading.Thread(target=self.turns.take, args=(job,), kwargs={"timeout": LONG}) for job in jobs]
        for number, thread in enumerate(threads):
            thread.start()
            assert self.begun.wait(LONG)
            eventually(partial(self._are_waiting, number), "in the line")
        return threads

    def _are_waiting(self, count: int) -> bool:
        return len(self.turns._waiting) == count


def test_what_waits_is_done_in_one_lot_in_the_order_of_its_coming() -> None:
    """The first one is alone; all that came while it was under way is the next lot."""
    slow = Slow()
    threads = slow.begin(*range(WAITING))

    slow.go_on.set()
    for thread in threads:
        thread.join()

    assert [[0], list(range(1, WAITING))] == slow.lots
    assert slow.turns.take(WAITING, timeout=0)


def test_a_lot_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of many is not answered only after the last one; what is left over stays in its order."""
    monkeypatch.setattr(turns, "MOST", 3)
    slow = Slow()
    threads = slow.begin(*range(6))

    slow.go_on.set()
    for thread in threads:
        thread.join()

    assert [[0], [1, 2, 3], [4, 5]] == slow.lots


def test_whoever_gives_up_keeps_nobody_waiting() -> None:
    """Its job is not done; those before it are, and the line is free after them."""
    slow = Slow()
    threads = slow.begin(0, 1)

    assert not slow.turns.take(2, timeout=0.01)
    slow.go_on.set()
    for thread in threads:
        thread.join()

    assert [[0], [1]] == slow.lots
    assert slow.turns.take(3, timeout=0)


def test_work_that_fails_lets_the_next_ones_on() -> None:
    """The error is the leader's; the line goes on behind it."""
    fails = [True, False]

    def work(_jobs: Sequence[int]) -> None:
        if fails.pop(0):
            raise KeyError("oops")

    line = Turns(work)

    with pytest.raises(KeyError, match="oops"):
        line.take(1, timeout=0)
    assert line.take(2, timeout=0)


def test_every_job_is_done_once_and_one_lot_at_a_time_though_some_give_up() -> None:
    """Many threads with little patience: what was taken is what was done, and in the end the line is free."""
    done, inside, most = list[int](), 0, 0

    def work(jobs: Sequence[int]) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        done.extend(jobs)
        inside -= 1

    line = Turns(work)

    def take(thread: int) -> list[int]:
        jobs = range(thread * 1_000, thread * 1_000 + 200)
        return [job for job in jobs if line.take(job, timeout=0.0001 * (job % 3))]

    with ThreadPoolExecutor(WAITING) as pool:
        taken = [job for jobs in pool.map(take, range(WAITING)) for job in jobs]

    assert 1 == most
    assert sorted(taken) == sorted(done)
    assert line.take(-1, timeout=0)
