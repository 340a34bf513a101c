"""How many pushes a second are accepted as services, connections and stored deployments grow: `make growth`.

The bot alone, as line 1 of the table has it, with ten services, 16 connections and nothing stored where nothing else is
said. Draws `docs/growth.svg`; the medians of the runs, whose order is shuffled. `python -m bench.growth 5` for runs of
five seconds.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench import drawing, ours, past, runs
from bench.drawing import Panel
from bench.lines.accepted import measured
from bench.runs import Plan
from bench.sender import CONNECTIONS
from bench.table import Figures, Measured, Run, Side

PICTURE: Final = Path("docs/growth.svg")
TIMES: Final = 3


def accepted(run: Run, *, services: int = 10, connections: int = CONNECTIONS, stored: int = 0) -> Figures:
    """Pushes a second under those conditions."""
    with ours.started(run.folder, services=services) as bot:
        if stored:
            bot.stop()
            past.give(bot, stored, run.kept / f"{stored}.db")
            bot.start()
        return measured(run, ours.sender(bot, repositories=services), ours.pids(bot), connections)


BASE: Final = Side("10 services, 16 connections, nothing stored", accepted)
CURVES: Final[dict[str, dict[str, Side]]] = {
    "by services": {
        "1": Side("1 service", partial(accepted, services=1)),
        "10": BASE,
        "100": Side("100 services", partial(accepted, services=100)),
        "1,000": Side("1,000 services", partial(accepted, services=1_000)),
    },
    "by connections": {
        "1": Side("1 connection", partial(accepted, connections=1)),
        "4": Side("4 connections", partial(accepted, connections=4)),
        "16": BASE,
        "64": Side("64 connections", partial(accepted, connections=64)),
        "200": Side("200 connections", partial(accepted, connections=200)),
    },
    "by stored deployments": {
        "0": BASE,
        "1,000": Side("1,000 deployments", partial(accepted, stored=1_000)),
        "10,000": Side("10,000 deployments", partial(accepted, stored=10_000)),
        "100,000": Side("100,000 deployments", partial(accepted, stored=100_000)),
    },
}


def main(seconds: float = 3.0) -> None:
    """Measure every point, and draw."""
    sides = list(dict.fromkeys(side for curve in CURVES.values() for side in curve.values()))
    found = runs.measure(sides, Plan(TIMES, seconds, quick=False), random.Random())  # noqa: S311 - an order
    if problems := {each.problem for each in found if each.problem}:
        sys.exit("\n".join(problems))
    PICTURE.write_text(picture(found, seconds))


def picture(found: Sequence[Measured], seconds: float) -> str:
    """The curves of these runs, which were so long, as SVG."""
    medians = {
        side: statistics.median(each.figures["pushes/s"] for each in found if each.side == side)
        for side in {each.side for each in found}
    }
    loads = [load for each in found for load in (each.load_before, each.load_after)]
    panels = [
        Panel(f"pushes/s {name}", [(at, medians[side.name]) for at, side in curve.items()])
        for name, curve in CURVES.items()
    ]
    note = f"Medians of {TIMES} runs of {seconds:g} s at each point; load average {min(loads):.1f}–{max(loads):.1f}."
    return drawing.drawn("Accepted pushes a second", note, panels)


if __name__ == "__main__":
    runs.end_when_told()
    main(*map(float, sys.argv[1:]))
