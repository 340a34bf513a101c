"""The engine's loop: it looks when it is rung for, and leaves the processor to others where that comes to nothing."""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from callers import on_sqlite
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.engine import engine
from fastdeploy_bot.engine.engine import LONGEST_REST, Engine
from fastdeploy_bot.settings import Settings
from runs import eventually

Beat = Callable[..., float]

pytestmark = [on_sqlite, pytest.mark.usefixtures("database")]


@pytest.fixture
def seconds(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beat]:
    """How long an engine takes for some looks, while somebody rings at each."""
    settings = Settings(home=home, secret_key="k" * 64)
    made = Engine(settings, Catalogue(settings.services_dir), Bell(settings.bell_dir))

    def measure(found: bool, *, works: float = 1.0, overtaken: bool = False) -> float:
        looks: list[float] = []
        worked = count(step=works)
        clock = types.SimpleNamespace(thread_time=lambda: next(worked), monotonic=time.monotonic)
        monkeypatch.setattr(engine, "time", clock)
        made.dispatcher.overtaken = overtaken

        def tick(*, now: int) -> bool:
            assert now > 0
            looks.append(time.monotonic())
            made.bell.ring()
            return found

        monkeypatch.setattr(made.dispatcher, "tick", tick)
        made.start()
        eventually(lambda: len(looks) > 12, "the looks")
        return looks[12] - looks[0]

    yield measure
    made.stop()


def test_rings_that_come_to_nothing_are_heeded_now_and_then(seconds: Beat) -> None:
    """In a burst of pushes each one rings; those who answer them need the processor, too."""
    assert 12 * LONGEST_REST <= seconds(False)


def test_where_something_began_the_next_ring_is_heeded_at_once(seconds: Beat) -> None:
    """What ends makes room for what waits, and is not kept waiting."""
    assert seconds(True) < 12 * LONGEST_REST


def test_who_is_overtaken_rests_however_little_it_worked(seconds: Beat) -> None:
    """It had a child made ready in vain, and that is another process's work."""
    assert 12 * LONGEST_REST <= seconds(False, works=0.0, overtaken=True)


def test_looks_that_cost_nothing_follow_each_other(seconds: Beat) -> None:
    """A push to a quiet bot is heeded at once."""
    assert seconds(False, works=0.0) < 12 * LONGEST_REST
