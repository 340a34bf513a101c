"""The runs: which sides are measured together, in what order, and what the machine was doing meanwhile."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from bench.peers import PeerMissing
from bench.table import Line, Measured, Run, Side

LONGEST: Final = 300.0
"""Seconds after which a run is a failed one."""


class Plan(NamedTuple):
    """How often and how long each side is measured."""

    times: int
    seconds: float
    quick: bool


FULL: Final = Plan(times=5, seconds=5.0, quick=False)
QUICK: Final = Plan(times=1, seconds=1.5, quick=True)


def together(lines: Iterable[Line]) -> list[list[Side]]:
    """The sides in groups, each of which is measured side by side: lines that have one in common are one group.

    So a side is run once for all lines that it is compared in.
    """
    groups: list[list[Side]] = []
    for line in lines:
        joined = [group for group in groups if set(group) & set(line.sides)]
        groups = [group for group in groups if group not in joined]
        groups.append(list(dict.fromkeys(side for group in [*joined, line.sides] for side in group)))
    return groups


def order(sides: Sequence[Side], times: int, chance: random.Random) -> list[Side]:
    """Each side so often: in rounds, each round in an order of its own."""
    return [side for _ in range(times) for side in chance.sample(sides, len(sides))]


def measure(sides: Sequence[Side], plan: Plan, chance: random.Random) -> list[Measured]:
    """Run them; one that fails says why, and the others go on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as kept:
        return [_measured(side, plan, Path(kept)) for side in order(sides, plan.times, chance)]


def _measured(side: Side, plan: Plan, kept: Path) -> Measured:
    before = _load()
    problem, figures = "", {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            with _limited(LONGEST):
                figures = dict(side.measure(Run(plan.seconds, Path(folder), kept, plan.quick)))
        except PeerMissing as error:
            problem = f"{error}"
        except Exception as error:  # noqa: BLE001 - whatever it is: the table is made of what went well
            traceback.print_exc()
            problem = f"{type(error).__name__}: {error}"
    found = Measured(side.name, figures, before, _load(), problem)
    print(f"  {side.name}: {problem or _told(figures)}   (load {found.load_after:.1f})", file=sys.stderr, flush=True)
    return found


def end_when_told() -> None:
    """Let SIGTERM and a closed terminal end this process as Ctrl-C does: all that was started is ended first."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(each, lambda number, _frame: sys.exit(128 + number))


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in what goes on longer."""

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {seconds:g} s")

    earlier = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def _load() -> float:
    """How many processes wanted a processor in the last minute."""
    return os.getloadavg()[0]


def _told(figures: dict[str, float]) -> str:
    return ", ".join(f"{value:.4g} {name}" for name, value in figures.items())
