"""Log parts: each byte of a log belongs to one part, and each part to the step that wrote it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as some

from fastdeploy_bot.core.output import logparts
from fastdeploy_bot.core.output.logparts import Part, Span
from fastdeploy_bot.core.output.logs import Mark


def told(*parts: tuple[str | None, int, int]) -> list[Part]:
    """Parts, shortly written."""
    return [Part(*part) for part in parts]


def test_log_without_steps_is_one_part() -> None:
    """Written in no step; an empty log has no parts."""
    assert told((None, 0, 10)) == logparts.parts([], [], 10)
    assert [] == logparts.parts([Span("Build", 1, 2, 0, 0)], [(0, 1)], 0)


def test_step_has_what_was_written_from_its_begin_to_its_end() -> None:
    """By its places in the log, whatever the times say."""
    spans = [Span("Build", 5, 6, 10, 20), Span("Restart", 7, None, 30)]

    parts = logparts.parts(spans, [(0, 100)], 40)

    assert told((None, 0, 10), ("Build", 10, 20), (None, 20, 30), ("Restart", 30, 40)) == parts


def test_step_without_places_is_found_by_its_times() -> None:
    """What had been read by its begin was written before it; what had been read by its end, in it."""
    marks = [(0, 1_000), (10, 1_005), (20, 1_010), (30, 1_020)]

    parts = logparts.parts([Span("Build", 1_005, 1_015)], marks, 40)

    assert told((None, 0, 20), ("Build", 20, 30), (None, 30, 40)) == parts


def test_step_may_know_one_of_its_places_alone() -> None:
    """It was begun by HTTP and ended by file, or its end came with the deployment's."""
    marks = [(0, 1_000), (10, 1_005), (20, 1_010)]

    assert told((None, 0, 10), ("Build", 10, 13), (None, 13, 30)) == logparts.parts(
        [Span("Build", 1_001, 1_002, None, 13)], marks, 30
    )
    assert told((None, 0, 13), ("Build", 13, 30)) == logparts.parts([Span("Build", 1_001, 1_020, 13)], marks, 30)


def test_without_times_only_places_count() -> None:
    """Logs of earlier versions are told as one, as they always were."""
    assert told((None, 0, 9)) == logparts.parts([Span("Build", 5, 6), Span("Restart", 7)], [], 9)


def test_step_that_never_began_has_no_part() -> None:
    """Pending, skipped, or ended at the moment at which it was first heard of."""
    spans = [Span("Pending"), Span("Skipped", None, 1_005), Span("Told once", 1_005, 1_005)]

    assert told((None, 0, 20)) == logparts.parts(spans, [(0, 1_000), (10, 1_010)], 20)


def test_of_steps_that_run_together_the_one_that_began_last_has_the_output() -> None:
    """And the outer one has what is written before and after the inner one."""
    spans = [Span("Inner", 2, 3, 10, 20), Span("Outer", 1, 4, 5, 25)]

    parts = logparts.parts(spans, [], 30)

    assert told((None, 0, 5), ("Outer", 5, 10), ("Inner", 10, 20), ("Outer", 20, 25), (None, 25, 30)) == parts


def test_of_steps_that_began_at_one_place_the_later_one_has_the_output() -> None:
    """By their times, and where those are the same, by their order."""
    assert told(("B", 0, 9)) == logparts.parts([Span("B", 2, None, 0), Span("A", 1, None, 0)], [], 9)
    assert told(("B", 0, 9)) == logparts.parts([Span("A", 1, None, 0), Span("B", 1, None, 0)], [], 9)


def test_step_that_is_ahead_of_its_log_waits_for_it() -> None:
    """Rows of steps may come before those of the output that was there."""
    assert told((None, 0, 9)) == logparts.parts([Span("Build", 2, None, 50)], [], 9)
    assert told((None, 0, 5), ("Build", 5, 9)) == logparts.parts([Span("Build", 2, 3, 5, 50)], [], 9)


def test_clock_that_was_set_back_costs_no_part_of_the_log() -> None:
    """Steps may then be told at a wrong place, and the log is whole all the same."""
    marks = [(0, 5_000), (10, 1_000), (20, 5_001)]

    assert told((None, 0, 20), ("Build", 20, 30)) == logparts.parts([Span("Build", 5_000)], marks, 30)


places = some.integers(0, 60)
moments = some.integers(0, 40)
spans = some.lists(
    some.builds(
        Span,
        some.sampled_from("ABC"),
        some.none() | moments,
        some.none() | moments,
        some.none() | places,
        some.none() | places,
    ),
    max_size=6,
)
marks = some.lists(some.tuples(places, moments), max_size=6).map(sorted)


@given(spans, marks, some.integers(0, 50))
def test_parts_are_the_whole_log_in_order(spans: list[Span], marks: list[Mark], end: int) -> None:
    """Whatever steps and clocks do: no byte is missing, none is told twice, no part is empty, no two could be one."""
    parts = logparts.parts(spans, marks, end)

    assert [0, *(part.end for part in parts)] == [*(part.start for part in parts), end]
    assert all(part.start < part.end for part in parts)
    assert all(one.name != other.name for one, other in pairwise(parts))


@given(spans, some.integers(1, 50))
def test_each_byte_belongs_to_the_step_that_began_last(spans: list[Span], end: int) -> None:
    """Of those that had begun and not ended there."""
    owners = [part.name for part in logparts.parts(spans, [], end) for _ in range(part.start, part.end)]

    for place, owner in enumerate(owners):
        running = [
            (span.log_from, span.started, number)
            for number, span in enumerate(spans)
            if span.started is not None
            and span.log_from is not None
            and span.log_from <= place
            and (span.finished is None or span.log_to is None or place < span.log_to)
        ]
        assert (spans[max(running)[2]].name if running else None) == owner
