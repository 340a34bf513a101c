"""Measure the bot beside what people would pick instead, and print the table: `make bench`, `make bench-quick`.

`python -m bench 1 3` measures some lines. It ends with 1 where a must is missed or a line could not be measured, unless
it was quick.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import lines, machine, runs, table
from bench.runs import Plan
from bench.table import Judged, Measured

QUIET: Final = 1.0
"""The load average over which others were at work before anything was measured."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it all; answers the exit status."""
    asked = _asked(arguments)
    plan = runs.QUICK if asked.quick else runs.FULL
    wanted = [line for line in lines.every() if not asked.lines or line.number in asked.lines]
    facts = machine.facts() | {"seed": f"{asked.seed}"}
    begun, load = time.monotonic(), os.getloadavg()[0]
    measured = _measure(wanted, plan, asked.seed)
    facts |= {"minutes": f"{(time.monotonic() - begun) / 60:.1f}", "load before": f"{load:.1f}"}
    rows = table.judge(wanted, measured)
    told = report(rows, facts, plan, load)
    print(told)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(_document(rows, measured, facts, plan), indent=1))
    if asked.into:
        asked.into.write_text(table.put(asked.into.read_text(), told))
    return 0 if plan.quick or table.held(rows) else 1


def report(rows: Sequence[Judged], facts: dict[str, str], plan: Plan, load: float) -> str:
    """The table, and under it what it was measured on; the load is that before anything was."""
    how = f"Medians of {plan.times} runs of {plan.seconds:g} s at least, sides in shuffled order."
    if plan.quick:
        how = f"One run of {plan.seconds:g} s at least for each side: a look, not a measurement."
    if load > QUIET:
        how += f" **The machine was not quiet**: its load was {load:.1f} before anything was measured."
    described = "; ".join(f"{name} {value}" for name, value in facts.items())
    return f"{table.markdown(rows)}\n\n{how}\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {described}"


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("lines", nargs="*", type=int, help="which lines of the table; all where none is named")
    parser.add_argument("--quick", action="store_true", help="the same table within three minutes")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of the order of the sides")
    parser.add_argument("--into", type=Path, help="a page whose table is to be this one")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench.json"), help="where every run is written to")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.lines) - {line.number for line in lines.every()}:
        parser.error(f"the table has no line {min(unknown)}")
    if asked.into and (asked.lines or asked.quick):
        parser.error("a page gets the whole table, measured in full: --into goes with neither lines nor --quick")
    return asked


def _measure(wanted: Sequence[table.Line], plan: Plan, seed: int) -> dict[str, list[Measured]]:
    """Every run, by its side."""
    chance = random.Random(seed)  # noqa: S311 - an order, no secret
    found: dict[str, list[Measured]] = {}
    groups = runs.together(wanted)
    print(f"seed {seed}", file=sys.stderr)
    for number, group in enumerate(groups, start=1):
        print(f"{number} of {len(groups)}: {', '.join(side.name for side in group)}", file=sys.stderr)
        for each in runs.measure(group, plan, chance):
            found.setdefault(each.side, []).append(each)
    return found


def _document(
    rows: Sequence[Judged], measured: dict[str, list[Measured]], facts: dict[str, str], plan: Plan
) -> dict[str, object]:
    return {
        "plan": plan._asdict(),
        "machine": facts,
        "rows": [
            {
                "line": each.number,
                "what": each.row.what,
                "figure": each.row.figure,
                "ours": {each.row.ours.name: each.ours},
                "theirs": {each.row.theirs.name: each.theirs},
                "ratio": each.ratio,
                "verdict": each.verdict.name.lower(),
            }
            for each in rows
        ],
        "runs": {side: [each._asdict() for each in of_side] for side, of_side in measured.items()},
    }


if __name__ == "__main__":
    runs.end_when_told()
    sys.exit(main())
