"""Sharing: one look for all who ask at the same time, and never one that is older than the question."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from fastdeploy_bot.sharing import Shared
from runs import eventually

LONG = 60.0
"""Seconds that nobody comes near."""


class Door:
    """A lock that counts who came to it."""

    def __init__(self) -> None:
        self.came = 0
        self._guard = threading.Lock()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._guard:
            self.came += 1
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def test_whoever_asks_later_gets_a_look_of_their_own() -> None:
    """What changed before the question is in its answer."""
    numbers = iter(range(3))
    look = Shared(lambda: next(numbers))

    assert [0, 1, 2] == [look() for _ in range(3)]


def test_those_who_ask_during_a_look_share_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one under way may have looked before they asked; one more is enough for all of them."""
    looks, go_on = count(), threading.Event()

    def slow() -> int:
        number = next(looks)
        assert go_on.wait(LONG)
        return number

    look, door = Shared(slow), Door()
    monkeypatch.setattr(look, "_one_at_a_time", door)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(look) for _ in range(8)]
        eventually(lambda: door.came == 8, "everybody asked")
        go_on.set()

    assert [0] + [1] * 7 == sorted(answer.result() for answer in answers)


def test_a_look_that_fails_is_nobody_elses() -> None:
    """Its error is told to who looked; the next one looks anew."""
    looks = count()

    def look() -> int:
        if (number := next(looks)) == 0:
            raise OSError("away")
        return number

    shared = Shared(look)

    with pytest.raises(OSError, match="away"):
        shared()
    assert 1 == shared()
