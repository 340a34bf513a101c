"""Log parts: which stretch of a log was written in which step. Pure."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise

import msgspec

from fastdeploy_bot.core.output.logs import Mark


class Span(msgspec.Struct, frozen=True):
    """What is known of when and where in the log a step began and ended."""

    name: str
    started: int | None = None
    """Unix milliseconds; None: it has not begun."""
    finished: int | None = None
    """None: it has not ended."""
    log_from: int | None = None
    """How much output there was when it began; None where only the time is known."""
    log_to: int | None = None
    """The same of its end."""

    @property
    def placed(self) -> bool:
        """Whether its place in the log is known without looking for its times."""
        begun, ended = self.started is not None, self.finished is not None
        return (self.log_from is not None or not begun) and (self.log_to is not None or not ended)


class Part(msgspec.Struct, frozen=True):
    """A stretch of a log."""

    name: str | None
    """The step it was written in; None: in no step."""
    start: int
    """The offset of its first byte."""
    end: int
    """The offset behind its last byte."""


def parts(spans: Sequence[Span], marks: Sequence[Mark], end: int) -> list[Part]:
    """The parts of a log that ends at `end`: none is empty, each begins where the one before ends, together all of it.

    What was written while several steps ran belongs to the one of them that began last; so a step that goes on after
    one within it has two parts, and one that ran beside it may have none. A step whose place in the log nobody knows is
    looked for by its times: what was written before it is all that had been read by then. Where no times are known
    either, there is no part of it. A step that began again has only what it wrote since. A part may begin in the middle
    of a line, where a script did not end its line first: then the line is best shown in the part in which it begins.
    """
    clock = _Clock(marks, end)
    stretches = [(*stretch, number) for number, span in enumerate(spans) if (stretch := _stretch(span, clock, end))]
    edges = sorted({0, end, *(start for start, *_ in stretches), *(stop for _, stop, *_ in stretches)})
    begun, running = sorted(stretches, reverse=True), list[tuple[int, int, int, int]]()
    found = []
    for start, stop in pairwise(edges):
        while begun and begun[-1][0] <= start:
            since, until, started, number = begun.pop()
            heapq.heappush(running, (-since, -started, -number, until))
        while running and running[0][3] <= start:
            heapq.heappop(running)
        found.append(Part(spans[-running[0][2]].name if running else None, start, stop))
    return _joined(found)


class _Clock:
    """Tells how much had been written at a moment."""

    def __init__(self, marks: Sequence[Mark], end: int) -> None:
        self._places = [place for place, _ in marks]
        self._times = list(accumulate((at for _, at in marks), max))  # a clock may have been set back
        self._end = end

    def place(self, moment: int | None) -> int | None:
        """The offset of the first byte that was read after that moment; None where nobody can know."""
        if moment is None or not self._times:
            return None
        later = bisect_right(self._times, moment)
        return self._places[later] if later < len(self._places) else self._end


def _stretch(span: Span, clock: _Clock, end: int) -> tuple[int, int, int] | None:
    """Where a step begins and ends in the log, and when it began; None where that is not known, or nowhere."""
    start = span.log_from if span.log_from is not None else clock.place(span.started)
    if span.started is None or start is None:
        return None
    known = span.log_to if span.log_to is not None else clock.place(span.finished)
    stop = min(end, known) if span.finished is not None and known is not None else end
    return (start, stop, span.started) if start < stop else None


def _joined(found: Sequence[Part]) -> list[Part]:
    """The parts, neighbours of one step as one."""
    groups = (list(same) for _, same in groupby(found, key=lambda part: part.name))
    return [Part(same[0].name, same[0].start, same[-1].end) for same in groups]
