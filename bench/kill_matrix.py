"""The kill matrix, again and again: every point and victim so many times, and what came of it. `make kill-matrix`.

It ends with 1 if any push ended otherwise than it has to. Environment: KILLS, how often each (20); ONLY, a part of a
point's or victim's name.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import kills
from bench import runs
from bots import Bot
from fakehub import FakeHub
from kills import Outcome, Rig
from points import POINTS, Point

TIMES: Final = int(os.environ.get("KILLS", "20"))
ONLY: Final = os.environ.get("ONLY", "")


def main() -> None:
    """Run every cell, and print a line for each as it is done."""
    print(f"{'point':38}{'killed':9}{'ended':22}{'state true, s':>20}{'GitHub knows, s':>20}")
    print(f"{'':69}{'p50':>10}{'p95':>10}{'p50':>10}{'p95':>10}")
    found: list[Outcome] = []
    wrong = 0
    with FakeHub() as hub:
        for point, victim in cells():  # each with a bot of its own: one tells GitHub no more in an hour than that takes
            with tempfile.TemporaryDirectory() as folder, closing(Bot(Path(folder), **kills.settings(hub))) as bot:
                outcomes, failed = repeated(Rig(bot, hub), point, victim)
            found += outcomes
            wrong += failed
        wrong += len(hub.wrongs)
    print(f"{'all':38}{'':9}{f'{len(found)} runs, {wrong} wrong':22}{shown(found)}")
    sys.exit(1 if wrong else 0)


def cells() -> Iterator[tuple[Point, str]]:
    """Every point and victim that is wanted."""
    for point in POINTS:
        for victim in point.ends:
            if ONLY in f"{point.name}, {victim}":
                yield point, victim


def repeated(rig: Rig, point: Point, victim: str) -> tuple[list[Outcome], int]:
    """A cell, so many times: what came of it, and how often that was wrong."""
    outcomes, wrong = [], Counter[str]()
    for _ in range(TIMES):
        try:
            outcome = rig.run(point, victim)
        except AssertionError as problem:
            wrong[str(problem).splitlines()[0]] += 1
            continue
        outcomes.append(outcome)
        wanted = kills.expected(point, victim)
        for name, is_, has_to_be in zip(wanted._fields, outcome.truth, wanted, strict=True):
            if is_ != has_to_be:
                wrong[f"{name}: {str(is_)[-60:]!r}, expected {str(has_to_be)[-60:]!r}"] += 1
    ended = Counter(outcome.truth.state for outcome in outcomes)
    told = ", ".join(f"{times} {state}" for state, times in ended.items())
    print(f"{point.name:38}{victim:9}{told:22}{shown(outcomes)}", flush=True)
    for what, times in wrong.items():
        print(f"    WRONG, {times} times: {what}", flush=True)
    return outcomes, wrong.total()


def shown(outcomes: Sequence[Outcome]) -> str:
    """Median and 95th percentile of both durations."""
    return _shown([outcome.seconds for outcome in outcomes]) + _shown([outcome.told for outcome in outcomes])


def _shown(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "".join(f"{each:10.2f}" for each in (*seconds, *seconds))
    return f"{statistics.median(seconds):10.2f}{statistics.quantiles(seconds, n=20, method='inclusive')[-1]:10.2f}"


if __name__ == "__main__":
    runs.end_when_told()
    main()
