"""The stream: where in the output a step was told, however the two come together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from disks import full_disk
from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner import output, stream
from fastdeploy_bot.runner.folder import READING, RunFolder
from fastdeploy_bot.runner.output import Journal, Lines, Log, StepsFile, Times, Told
from fastdeploy_bot.runner.stream import Pipe, Stream

SECRET = "hunter2!"


def line(name: str, state: str, **more: Any) -> bytes:
    """A step as a script writes it."""
    return json.dumps({"name": name, "state": state, **more}).encode() + b"\n"


def tell(folder: RunFolder, data: bytes) -> None:
    """Append to the steps file, as a script does."""
    with open(folder.file("steps"), "ab") as file:
        file.write(data)


def told(folder: RunFolder) -> list[tuple[object, object, object]]:
    """Name, place and beginning of the steps in the journal."""
    return [(entry["name"], entry["place"], entry["begun"]) for entry in folder.read_steps(0)[0]]


def make(folder: RunFolder, *, stdout: bool = False) -> Stream:
    """A stream into that folder."""
    masker = Masker([SECRET])
    log = Log(folder, 1 << 20, masker)
    journal = Journal(folder, masker, log.say)
    return Stream(log, journal, StepsFile(folder, journal), Lines() if stdout else None)


# --- steps of the steps file ---


def test_step_told_when_all_was_read_is_behind_it(folder: RunFolder) -> None:
    """And what comes after it is."""
    stream = make(folder)
    stream.take(b"before\n", 5, first=True)

    tell(folder, line("Build", "running"))
    stream.take(b"", 6, first=False)
    stream.take(b"building\n", 7, first=True)

    assert [("Build", 7, None)] == told(folder)


def test_output_that_came_together_with_a_step_is_taken_for_the_steps(folder: RunFolder) -> None:
    """Nobody can know, and it is most likely."""
    stream = make(folder)
    stream.take(b"before\n", 5, first=True)

    tell(folder, line("Build", "running") + line("Build", "success"))
    stream.take(b"building\n", 6, first=False)

    assert [("Build", 7, None), ("Build", 16, None)] == told(folder)


def test_output_that_woke_the_child_alone_came_before_the_step(folder: RunFolder) -> None:
    """The step was told while it was being read."""
    stream = make(folder)

    tell(folder, line("Build", "running"))
    stream.take(b"before\n", 5, first=True)

    assert [("Build", 7, None)] == told(folder)


def test_where_one_step_ends_and_the_next_begins_output_is_the_next_ones(folder: RunFolder) -> None:
    """Unless it ends there as well: then all of it is its own."""
    stream = make(folder)
    tell(folder, line("A", "running"))
    stream.take(b"a\n", 5, first=False)

    tell(folder, line("A", "success") + line("B", "running"))
    stream.take(b"b\n", 6, first=False)

    assert [("A", 0, None), ("A", 2, None), ("B", 2, None)] == told(folder)


def test_step_that_knows_its_place_is_put_there(folder: RunFolder) -> None:
    """In the middle of what was read, and counted in what was made of it."""
    stream = make(folder)
    stream.take(b"x hunter2!\n", 5, first=True)

    tell(folder, line("Build", "running", output_bytes=18) + line("Build", "success", output_bytes=27))
    stream.take(b"before\nbuilding\nhunter2!\n", 6, first=False)
    stream.finish()

    assert [("Build", 18, None), ("Build", 27, None)] == told(folder)
    assert (0, b"x ********\nbefore\nbuilding\n********\n") == folder.read_log(0, 100)


def test_place_behind_a_secret_is_that_behind_its_mask(folder: RunFolder) -> None:
    """Offsets are those of the log."""
    masker = Masker(["a very long secret of many bytes"])
    log = Log(folder, 1 << 20, masker)
    journal = Journal(folder, masker, log.say)
    stream = Stream(log, journal, StepsFile(folder, journal), None)

    tell(folder, line("Build", "running", output_bytes=33))
    stream.take(b"a very long secret of many bytes\nbuilding\n", 5, first=False)

    assert [("Build", len("********\n"), None)] == told(folder)


def test_step_ahead_of_its_output_waits_for_it_and_others_for_the_step(folder: RunFolder) -> None:
    """More may be in the pipe than is read at once; steps stay in the order in which they were told."""
    stream = make(folder)
    tell(folder, line("A", "running", output_bytes=6) + line("B", "running"))

    stream.take(b"one\n", 5, first=False)
    early = told(folder)
    stream.take(b"two\nthree\n", 6, first=True)

    assert [] == early
    assert ["A", "B"] == [name for name, _, _ in told(folder)]
    assert ("A", 6, None) == told(folder)[0]


def test_step_ahead_of_all_that_a_pipe_holds_does_not_wait(folder: RunFolder) -> None:
    """A script made that up, and may go on to print for ever."""
    stream = make(folder)
    tell(folder, line("A", "running", output_bytes=10**30))

    stream.take(b"one\n", 5, first=True)

    assert [("A", 4, None)] == told(folder)


def test_step_ahead_of_all_output_waits_no_longer_than_there_is_some(folder: RunFolder) -> None:
    """Its output may have gone another way."""
    stream = make(folder)
    tell(folder, line("A", "running", output_bytes=1_000))

    stream.take(b"one\n", 5, first=False)
    stream.take(b"", 6, first=True)

    assert [("A", 4, None)] == told(folder)


def test_step_that_waits_at_the_end_is_not_forgotten(folder: RunFolder) -> None:
    """The last look takes all."""
    stream = make(folder)
    tell(folder, line("A", "running", output_bytes=1_000) + line("B", "success").rstrip())

    stream.take(b"one\n", 5, first=False)
    stream.finish()

    assert [("A", 4, None), ("B", 4, None)] == told(folder)


steps = some.lists(
    some.builds(
        Told,
        some.just("A"),
        some.sampled_from(output.STATES),
        some.just(""),
        some.none() | some.integers(-10, 100) | some.just(10**30),
    ),
    max_size=8,
)


@given(steps, some.integers(0, 60), some.integers(0, 30), some.booleans())
def test_places_are_in_order_and_never_before_what_was_read(
    steps: list[Told], begin: int, size: int, first: bool
) -> None:
    """Whatever scripts say."""
    end = begin + size

    found = stream.places(steps, end if first else begin, begin, end)

    assert len(steps) == len(found)
    assert all(before <= after for before, after in pairwise([begin, *found]))


# --- steps in the output ---


@given(some.integers(1, 40))
def test_steps_in_the_output_have_the_same_places_however_it_comes(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    """Each ends behind its line, and began where the one before it ended."""
    folder = RunFolder(str(tmp_path_factory.mktemp("runs") / "7-0badcafe"))
    folder.create(7)
    stream = make(folder, stdout=True)
    one, two = line("one", "success"), line("two", "failure")
    data = b"a hunter2!\n" + one + b"b\n" + two.rstrip()

    for start in range(0, len(data), size):
        stream.take(data[start : start + size], 5, first=True)
    stream.finish()

    assert [("one", 11 + len(one), 0), ("two", len(data), 11 + len(one))] == told(folder)


# --- what `fastdeploy step` is told ---


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """A pipe that blocks nobody."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def counted(folder: RunFolder) -> tuple[int, int]:
    """What stands in the file: which pipe, and how much was read from it."""
    data = Path(folder.file("pipe")).read_bytes()
    return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little", signed=True)


def test_what_was_read_is_counted_for_others_to_see(folder: RunFolder, ends: tuple[int, int]) -> None:
    """Also when there was nothing to be read."""
    reading, writing = ends
    pipe = Pipe(folder, reading)
    begin = counted(folder)

    nothing = pipe.read(100)
    os.write(writing, b"12345")
    read = [pipe.read(3), pipe.read(3), pipe.read(3)]

    inode = os.fstat(writing).st_ino
    assert (inode, 0) == begin
    assert [None, b"123", b"45", None] == [nothing, *read]
    assert (inode, 5) == counted(folder)


def test_while_it_reads_the_count_is_not_to_be_believed(
    folder: RunFolder, ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the pipe's being emptied and the count there is a moment."""
    reading, writing = ends
    pipe = Pipe(folder, reading)
    os.write(writing, b"12345")
    seen, read = [], os.read

    def watched(end: int, most: int) -> bytes:
        data = read(end, most)
        if end == reading:
            seen.append(counted(folder)[1])
        return data

    monkeypatch.setattr("fastdeploy_bot.runner.stream.os.read", watched)
    pipe.read(100)

    assert [READING] == seen


def test_full_disk_costs_the_count_and_no_output(folder: RunFolder, ends: tuple[int, int]) -> None:
    """Steps are then told by what the child sees."""
    reading, writing = ends
    os.write(writing, b"12345")

    with full_disk(0):
        pipe = Pipe(folder, reading)
        data = pipe.read(100)

    assert b"12345" == data


# --- when output came ---


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, to be set."""
    clock = [1_000.0]
    monkeypatch.setattr("fastdeploy_bot.runner.output.time.monotonic", lambda: clock[0])
    return clock


def note(times: Times, at: list[float], seconds: float, apart: float) -> None:
    """Output of one byte again and again, for so many seconds, so far apart."""
    for _ in range(round(seconds / apart)):
        at[0] += apart
        times.note(round(at[0] * 1e6), round(at[0] * 1e3))


def test_after_a_pause_every_millisecond_is_noted(folder: RunFolder, at: list[float]) -> None:
    """So that the output before and after a request by HTTP can be told apart."""
    times = Times(folder)
    note(times, at, 1.0, 0.001)
    known = len(folder.read_times(0)[0])
    at[0] += 5

    note(times, at, 0.03, 0.001)

    assert known + 30 == len(folder.read_times(0)[0])


def test_output_without_a_pause_is_noted_every_20_ms(folder: RunFolder, at: list[float]) -> None:
    """Once the burst is used up."""
    times = Times(folder)

    note(times, at, 10.0, 0.001)

    marks = [when for _, when in folder.read_times(0)[0]]
    assert output.BURST + 500 >= len(marks) >= 500
    assert {20} == {after - before for before, after in pairwise(marks[2 * output.BURST :])}


def test_long_runs_are_noted_ever_more_coarsely(folder: RunFolder, at: list[float]) -> None:
    """Never more so than a ten-thousandth of their age."""
    times = Times(folder)
    at[0] += 3_600

    note(times, at, 60, 0.01)

    marks = [when for _, when in folder.read_times(0)[0]]
    assert len(marks) <= output.BURST + 60 / 0.36 + 1
    assert all(after - before <= 380 for before, after in pairwise(marks))


def test_same_place_or_same_time_is_no_new_mark(folder: RunFolder) -> None:
    """Nothing would be known that is not known already."""
    times = Times(folder)

    for place, when in ((0, 5), (3, 5), (3, 6), (3, 7), (2, 8), (4, 4)):
        times.note(place, when)

    assert [(0, 5), (3, 6), (4, 4)] == folder.read_times(0)[0]


def test_times_are_those_of_the_read_and_stand_before_the_bytes(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds a byte finds its time; what waits for the rest of a secret keeps the time at which it came."""
    log = Log(folder, 1 << 20, Masker([SECRET]))
    seen: list[tuple[int, list[tuple[int, int]]]] = []
    keep = log._keep

    def watched(data: bytes) -> None:
        seen.append((log.end, folder.read_times(0)[0]))
        keep(data)

    monkeypatch.setattr(log, "_keep", watched)

    for data, when in ((b"one\nhun", 5), (b"ting\n", 6), (b"hunt", 7), (b"er2!", 8), (b" end\n", 9)):
        log.write(data, when)
    log.flush()

    assert (0, [(0, 5)]) == seen[0]
    assert (0, b"one\nhunting\n******** end\n") == folder.read_log(0, 100)
    assert [(0, 5), (7, 6), (12, 7), (16, 8), (20, 9)] == folder.read_times(0)[0]


def test_full_disk_costs_the_time_and_no_step_and_no_output(folder: RunFolder) -> None:
    """A mark that does not fit leaves nothing half written."""
    times = Times(folder)

    with full_disk(5):
        times.note(0, 1_000_000)
    times.note(7, 2_000_000)

    assert [(7, 2_000_000)] == folder.read_times(0)[0]
