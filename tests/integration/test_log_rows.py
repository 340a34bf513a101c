"""The log: each byte keeps its place; head and tail are kept, and the gap between them is told exactly."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from databases import Raw
from fastdeploy_bot import store
from fastdeploy_bot.core.deploying import deployments
from fastdeploy_bot.core.deploying.deployments import Order
from fastdeploy_bot.core.output import logs
from fastdeploy_bot.core.output.logs import CHUNK, Excerpt, Mark
from fastdeploy_bot.store.models import LogChunk, Service
from fastdeploy_bot.words import Origin

STREAM = bytes(number * 7 % 251 for number in range(4 * CHUNK))
"""Output in which every stretch looks different."""

# Each example takes a deployment of its own, so the database may stay the same.
several = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@dataclass(frozen=True)
class Shelf:
    """Deployments that have no log yet."""

    service: Service

    def take(self) -> int:
        """The next of them."""
        order = Order(origin=Origin.PUSH, sha="", ref="", repository="", actor="")
        return store.write(lambda: deployments.queue(self.service, order, now=1)).id


@pytest.fixture
def shelf(database: str) -> Shelf:
    """A database with a service in it."""
    assert database
    return Shelf(store.write(lambda: Service.create(name="shop", repository="a/b", created=1)))


def keep(number: int, offset: int, data: bytes, limit: int, times: Sequence[Mark] = ()) -> None:
    """Append output."""
    store.write(lambda: logs.append(number, offset, data, limit=limit, times=times))


def pieces(stream: bytes, cuts: list[int]) -> list[tuple[int, bytes]]:
    """The stream in pieces, each with the place of its first byte."""
    places = [0, *sorted({cut % (len(stream) or 1) for cut in cuts}), len(stream)]
    return [(start, stream[start:end]) for start, end in pairwise(places)]


@several
@given(some.binary(max_size=400), some.lists(some.integers(0, 400), max_size=8), some.integers(0, 500))
def test_below_the_limit_everything_is_kept(shelf: Shelf, stream: bytes, cuts: list[int], offset: int) -> None:
    """In whichever pieces it comes and from whichever byte it is read."""
    number = shelf.take()

    for start, data in pieces(stream, cuts):
        keep(number, start, data, 1_000)

    assert Excerpt(stream[offset:], len(stream), None) == logs.read(number, offset)


@several
@given(some.integers(2, 300), some.lists(some.integers(1, 120), min_size=1, max_size=12), some.integers(0, 1_500))
def test_over_the_limit_head_and_tail_are_kept(shelf: Shelf, limit: int, sizes: list[int], offset: int) -> None:
    """The first half of the limit exactly, of the end nearly all of the other half, and never more than the limit."""
    number, stream = shelf.take(), STREAM[: sum(sizes)]
    head, tail = limit // 2, limit - limit // 2

    for end, size in zip(accumulate(sizes), sizes, strict=True):
        keep(number, end - size, stream[end - size : end], limit)

    whole = logs.read(number)
    start, stop = whole.gap or (head, head)
    assert head == start
    assert stop <= max(head, len(stream) - tail + max(0, tail // 8 - 1))
    assert len(whole.data) <= limit
    assert len(stream) == whole.end == logs.end(number)
    assert stream[:start] + stream[stop:] == whole.data

    told = logs.read(number, offset)
    assert stream[offset:start] + stream[max(offset, stop) :] == told.data
    assert (whole.gap if offset < stop else None) == told.gap


@several
@given(some.lists(some.tuples(some.integers(0, 90), some.integers(0, 60)), max_size=12))
def test_what_is_kept_already_is_passed_over(shelf: Shelf, repeats: list[tuple[int, int]]) -> None:
    """A part that is read again after a restart does not come twice, nor does it change what stands."""
    number, stream = shelf.take(), STREAM[:150]
    keep(number, 0, stream[:90], 1_000)

    for start, size in repeats:
        keep(number, start, stream[start : start + size], 1_000)

    end = max([90, *(start + size for start, size in repeats)])
    assert Excerpt(stream[:end], end, None) == logs.read(number)


def test_large_output_is_cut_into_chunks(shelf: Shelf) -> None:
    """So that reading on from an offset never loads all of it."""
    number = shelf.take()

    keep(number, 0, STREAM, 10 * CHUNK)

    assert [CHUNK] * 4 == [len(bytes(chunk.data)) for chunk in LogChunk.select()]
    assert STREAM == logs.read(number).data
    for offset in (CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5):
        assert STREAM[offset:] == logs.read(number, offset).data


def test_what_was_lost_on_the_way_is_a_gap(shelf: Shelf) -> None:
    """The child keeps head and tail itself: a reader that comes late starts behind its gap."""
    number = shelf.take()

    keep(number, 0, STREAM[:50], 100)
    keep(number, 500, STREAM[500:550], 100)

    assert Excerpt(STREAM[:50] + STREAM[500:550], 550, (50, 500)) == logs.read(number)


def test_a_log_that_lost_its_head_says_so(shelf: Shelf) -> None:
    """A gap may begin at the first byte."""
    number = shelf.take()

    keep(number, 10, b"abc", 100)

    assert Excerpt(b"abc", 13, (0, 10)) == logs.read(number)


def test_an_empty_log_is_empty(shelf: Shelf) -> None:
    """No bytes, no end, no gap; appending nothing changes nothing."""
    number = shelf.take()
    keep(number, 0, b"", 100)

    assert Excerpt(b"", 0, None) == logs.read(number)
    assert Excerpt(b"", 0, None) == logs.read(number, 10**12)


def test_each_deployment_has_a_log_of_its_own(shelf: Shelf) -> None:
    """Bytes at the same place do not meet."""
    one, other = shelf.take(), shelf.take()

    keep(one, 0, b"one", 100)
    keep(other, 0, b"other", 100)

    assert (b"one", b"other") == (logs.read(one).data, logs.read(other).data)


def test_one_look_is_one_moment(raw: Raw, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output that comes in the middle of a look is in the next one, and its end does not run ahead of its bytes."""
    number = shelf.take()
    keep(number, 0, b"early", CHUNK)
    true_gap = logs._gap

    def late(of: int) -> tuple[int, int] | None:
        found = true_gap(of)
        raw.execute('INSERT INTO log_chunk (deployment_id, "offset", data) VALUES (?, 5, ?)', of, b"late")
        return found

    monkeypatch.setattr(logs, "_gap", late)

    excerpt = logs.read(number)

    assert (b"early", 5) == (excerpt.data, excerpt.end)


# --- when it was written ---


def when(place: int, marks: Sequence[Mark]) -> int | None:
    """The time of the byte at a place."""
    before = bisect_right([start for start, _ in marks], place)
    return marks[before - 1][1] if before else None


@several
@given(
    some.integers(2, 300),
    some.lists(some.integers(1, 120), min_size=1, max_size=12),
    some.lists(some.integers(0, 300), max_size=20),
)
def test_each_byte_that_is_kept_keeps_its_time(shelf: Shelf, limit: int, sizes: list[int], places: list[int]) -> None:
    """However it comes; also where the mark that told of it was of bytes that are not kept any more."""
    number, stream = shelf.take(), STREAM[: sum(sizes)]
    times = [(place, 1_000 + place) for place in sorted(set(places))]

    for end, size in zip(accumulate(sizes), sizes, strict=True):
        keep(number, end - size, stream[end - size : end], limit, [mark for mark in times if mark[0] < end])

    start, stop = logs.read(number).gap or (len(stream), len(stream))
    marks = logs.marks(number)
    for place in (*range(start), *range(stop, len(stream))):
        assert when(place, times) == when(place, marks)
    assert all(before[0] < after[0] and before[1] != after[1] for before, after in pairwise(marks))


def test_time_of_what_is_kept_already_stands(shelf: Shelf) -> None:
    """A part that is read again after a restart keeps the time at which it was written, as does what follows it."""
    number = shelf.take()
    keep(number, 0, STREAM[:90], 1_000, [(0, 5), (50, 6)])

    keep(number, 40, STREAM[40:120], 1_000, [(0, 5), (50, 7), (100, 8)])

    assert [(0, 5), (50, 6), (90, 7), (100, 8)] == logs.marks(number)


def test_large_output_has_its_times_in_the_chunks_that_it_is_cut_into(shelf: Shelf) -> None:
    """A chunk that goes takes its own along, and no others."""
    number = shelf.take()

    keep(number, 0, STREAM, 10 * CHUNK, [(0, 5), (CHUNK + 3, 6)])

    chunks = [chunk.times for chunk in LogChunk.select().order_by(LogChunk.offset)]
    assert ["[[0,5]]", f"[[{CHUNK},5],[{CHUNK + 3},6]]", f"[[{2 * CHUNK},6]]", f"[[{3 * CHUNK},6]]"] == chunks


def test_output_of_earlier_versions_has_no_times(shelf: Shelf) -> None:
    """And that which follows under a newer one has its own."""
    number = shelf.take()
    keep(number, 0, b"early", 1_000)
    assert [] == logs.marks(number)

    keep(number, 5, b"late", 1_000, [(5, 1_000)])

    assert [(5, 1_000)] == logs.marks(number)
