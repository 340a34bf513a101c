"""The table: what is compared with what, what must hold, and how it reads. Pure: figures in, verdicts and text out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

Figures = Mapping[str, float]
"""What one run of one side measured, by what it is and its unit: `{"pushes/s": 910.4, "p99 ms": 31.0}`."""


class Run(NamedTuple):
    """One run of one side."""

    seconds: float
    """How long it measures, at least; what goes before that is not counted."""
    folder: Path
    """Empty, this run's own, and gone after it."""
    kept: Path
    """For what is costly to prepare: the same for all runs of all sides that are measured together."""
    quick: bool
    """Whether only minutes are there for the whole table: what is measured by amount is measured by a tenth of it."""


class Side(NamedTuple):
    """Something that is measured: the bot, or what it is measured beside."""

    name: str
    measure: Callable[[Run], Figures]
    """Starts what it needs, measures, and has ended all of that when it returns, or raises."""


class Bound(NamedTuple):
    """What a ratio has to keep."""

    limit: float
    at_least: bool

    def holds(self, ratio: float) -> bool:
        """Whether the ratio keeps it; exactly at the limit it does."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} ×"


def at_least(limit: float) -> Bound:
    """More is better."""
    return Bound(limit, at_least=True)


def at_most(limit: float) -> Bound:
    """Less is better."""
    return Bound(limit, at_least=False)


class Row(NamedTuple):
    """One figure of two sides, and their ratio: ours to theirs."""

    what: str
    figure: str
    """Its name among the figures of both."""
    ours: Side
    theirs: Side
    must: Bound | None = None
    """None: it is only told."""
    goal: Bound | None = None


class Line(NamedTuple):
    """A line of the table: its row, and rows that are told beside it."""

    number: int
    rows: tuple[Row, ...]

    @property
    def sides(self) -> list[Side]:
        """All that it compares, each once."""
        return list(dict.fromkeys(side for row in self.rows for side in (row.ours, row.theirs)))


class Measured(NamedTuple):
    """What one run of a side came to."""

    side: str
    figures: Figures
    """Empty where it failed."""
    load_before: float
    load_after: float
    problem: str = ""


class Verdict(StrEnum):
    """What became of a row."""

    GOAL = "goal met"
    MUST = "must met"
    MISSED = "**must missed**"
    TOLD = "told"
    UNKNOWN = "**not measured**"


@dataclass(frozen=True)
class Judged:
    """A row with its medians."""

    number: int
    row: Row
    ours: float | None
    theirs: float | None
    """None where a side has failed in every run, or does not have that figure."""
    load: tuple[float, float]
    """The least and the most load average around its runs."""

    @property
    def ratio(self) -> float | None:
        """Ours to theirs; None where that cannot be said."""
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def verdict(self) -> Verdict:
        """What became of it."""
        if self.ratio is None:
            return Verdict.UNKNOWN
        if self.row.must is None:
            return Verdict.TOLD
        if not self.row.must.holds(self.ratio):
            return Verdict.MISSED
        return Verdict.GOAL if self.row.goal and self.row.goal.holds(self.ratio) else Verdict.MUST


BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
"""What a report stands between in a page."""
HEAD: Final = ("#", "what", "fastdeploy_bot", "beside", "ratio", "must", "goal", "", "load")


def judge(lines: Iterable[Line], runs: Mapping[str, Sequence[Measured]]) -> list[Judged]:
    """Every row of the lines, by the medians of the runs, which are given by the name of their side."""
    return [_judged(line.number, row, runs) for line in lines for row in line.rows]


def held(rows: Iterable[Judged]) -> bool:
    """Whether no must was missed, and all was measured."""
    return not {Verdict.MISSED, Verdict.UNKNOWN} & {row.verdict for row in rows}


def markdown(rows: Iterable[Judged]) -> str:
    """The rows as a table."""
    cells = [HEAD, ("---",) * len(HEAD), *(_cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(each)} |" for each in cells)


def put(page: str, report: str) -> str:
    """The page with this report in place of the one that it has. Raises ValueError where it has no place for one."""
    (head, _), (_, tail) = page.split(BEGIN), page.split(END)
    return f"{head}{BEGIN}\n{report}\n{END}{tail}"


def shown(figure: float | None) -> str:
    """A figure with three digits that count."""
    if figure is None:
        return "–"
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def _judged(number: int, row: Row, runs: Mapping[str, Sequence[Measured]]) -> Judged:
    both = [*runs.get(row.ours.name, ()), *runs.get(row.theirs.name, ())]
    loads = [load for each in both for load in (each.load_before, each.load_after)]
    return Judged(
        number=number,
        row=row,
        ours=_median(row.figure, runs.get(row.ours.name, ())),
        theirs=_median(row.figure, runs.get(row.theirs.name, ())),
        load=(min(loads, default=0.0), max(loads, default=0.0)),
    )


def _median(figure: str, runs: Iterable[Measured]) -> float | None:
    found = [each.figures[figure] for each in runs if figure in each.figures]
    return statistics.median(found) if found else None


def _cells(judged: Judged) -> tuple[str, ...]:
    row = judged.row
    return (
        f"{judged.number}",
        row.what,
        f"{shown(judged.ours)} {row.figure}",
        f"{row.theirs.name}: {shown(judged.theirs)}",
        f"{shown(judged.ratio)} ×",
        "" if row.must is None else f"{row.must}",
        "" if row.goal is None else f"{row.goal}",
        judged.verdict,
        f"{judged.load[0]:.1f}–{judged.load[1]:.1f}",
    )
