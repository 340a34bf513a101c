"""Writes beside the janitor, on a database with 100,000 old deployments: `python -m bench.figures.retention [URL]`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from bench import past, runs
from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.keeping import retention
from fastdeploy_bot.core.keeping.retention import Removed
from fastdeploy_bot.store.models import Delivery

SERVICES: Final = 100
DEPLOYMENTS: Final = 100_000
SECONDS: Final = 60
"""How long the janitor is looked at: all of it would take it longer."""
DAYS: Final = 90
LOG: Final = b"x" * 2_000
"""What each of four pieces of a log holds."""


def main() -> None:
    """Fill, prune beside a writer, and print what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{Path(folder) / 'bench.db'}"
        store.connect(url)
        store.migrate()
        _fill()
        if url.startswith("sqlite"):
            print(f"file {_size(url):.0f} MiB")
        _measure()
        if url.startswith("sqlite"):
            print(f"file {_size(url):.0f} MiB, its log {_size(url + '-wal'):.0f} MiB")
        store.disconnect()


def _measure() -> None:
    stop = threading.Event()
    waits: list[float] = []
    beside = threading.Thread(target=_write, args=(stop, waits))
    beside.start()
    try:
        stop.wait(10)
        alone, had = waits.copy(), len(waits)
        took, removed = _prune()
    finally:
        stop.set()
        beside.join()
    print(f"in {SECONDS} s: {removed}")
    for name, found in (("a step", took), ("a write alone", alone), ("a write beside it", waits[had:])):
        print(f"{name}: median {_ms(found, 50)}, p99 {_ms(found, 99)}, most {max(found) * 1e3:.0f} ms")


def _prune() -> tuple[list[float], Removed]:
    end, took, removed = time.monotonic() + SECONDS, [], Removed()
    steps = retention.prune(DAYS, now=clock.now())
    while (at := time.monotonic()) < end:
        removed += next(steps)
        took.append(time.monotonic() - at)
        time.sleep(retention.pause_after(took[-1]))
    return took, removed


def _write(stop: threading.Event, waits: list[float]) -> None:
    """Deliveries, 50 a second."""
    number = 0
    while not stop.wait(0.02):
        begun, number = time.monotonic(), number + 1
        store.write(lambda: Delivery.create(guid=f"new-{number}", event="push", body=b"{}", received=clock.now()))  # noqa: B023 - at once
        waits.append(time.monotonic() - begun)
    store.disconnect()


def _fill() -> None:
    """All of it so old that it is to go."""
    services = past.services(SERVICES)
    past.deploy(DEPLOYMENTS, services, since=clock.now() - (DAYS + 100) * clock.DAY, steps=5, log=[LOG] * 4)


def _ms(values: list[float], percent: int) -> str:
    return f"{statistics.quantiles(values, n=100)[percent - 1] * 1e3:.1f} ms"


def _size(url: str) -> float:
    return Path(url.removeprefix("sqlite:///")).stat().st_size / (1 << 20)


if __name__ == "__main__":
    runs.end_when_told()
    main()
