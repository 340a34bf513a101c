"""Log lines: whatever a script writes becomes lines that are safe to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.core import loglines
from fastdeploy_bot.core.loglines import Line
from fastdeploy_bot.core.logs import Excerpt


def excerpt(data: bytes, gap: tuple[int, int] | None = None) -> Excerpt:
    """What is kept of a log from its beginning."""
    return Excerpt(data, len(data), gap)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"plain", "plain"),
        (b"tab\tstays", "tab\tstays"),
        (b"windows\r", "windows"),
        (b"10 %\r50 %\r100 %", "100 %"),
        (b"10 %\r50 %\r", "50 %"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b(Bcharset", "charset"),
        (b"bell\x07 null\x00 back\x08", "bell null back"),
        (b"caf\xe9", "caf\ufffd"),
        ("c1 \x9b31m".encode(), "c1 31m"),
        ("turned \u202egnp.exe".encode(), "turned gnp.exe"),
    ],
)
def test_a_line_is_shown_as_it_would_stand_on_a_terminal_in_the_end(written: bytes, shown: str) -> None:
    """Progress is at its last state, and nothing of what terminals obey is left."""
    assert shown == loglines.text(written)


def test_a_line_too_long_to_show_says_so() -> None:
    """The rest is in the raw log."""
    shown = loglines.text(b"x" * (loglines.LONGEST + 5))

    assert "x" * loglines.LONGEST + " … (5 more characters: see the raw log)" == shown


def test_lines_are_numbered_from_the_first_byte_and_the_last_one_may_still_grow() -> None:
    """What has not ended is shown, and read again from its beginning."""
    found = loglines.lines(excerpt(b"one\ntwo\nthr"))

    assert [Line(1, "one"), Line(2, "two"), Line(3, "thr")] == found.shown
    assert (8, 3) == (found.after, found.number)


def test_reading_on_continues_the_numbers() -> None:
    """From the place and number that the page was given."""
    found = loglines.lines(excerpt(b"three\nfour\n"), offset=8, number=3)

    assert [Line(3, "three"), Line(4, "four")] == found.shown
    assert (19, 5) == (found.after, found.number)


def test_only_the_last_lines_are_shown_where_there_are_many() -> None:
    """With their true numbers, and how many come before them."""
    found = loglines.lines(excerpt(b"a\nb\nc\nd\n"), last=2)

    assert ([Line(3, "c"), Line(4, "d")], 2) == (found.shown, found.hidden)


def test_a_gap_is_said_where_it_is_and_no_number_comes_twice() -> None:
    """A log that was cut: its head's last line and its tail's first are both parts of lines."""
    found = loglines.lines(excerpt(b"one\nhalf" + b"rest\nlast\n", gap=(8, 2_008)))

    assert [
        Line(1, "one"),
        Line(2, "half"),
        Line(0, "… 2,000 bytes were not kept …"),
        Line(3, "rest"),
        Line(4, "last"),
    ] == found.shown
    assert (2_018, 5) == (found.after, found.number)


def test_reading_on_inside_a_gap_says_so_and_goes_on_behind_it() -> None:
    """The page was too slow: what it waited for was cut meanwhile."""
    found = loglines.lines(excerpt(b"last\n", gap=(8, 2_008)), offset=100, number=7)

    assert [Line(0, "… 2,000 bytes were not kept …"), Line(7, "last")] == found.shown
    assert (2_013, 8) == (found.after, found.number)


@pytest.mark.parametrize(("log", "shown"), [(b"", []), (b"\n", []), (b"one", ["one"]), (b"one\ntwo\n", ["one", "two"])])
def test_the_tail_is_the_last_lines_as_text(log: bytes, shown: list[str]) -> None:
    """However the last one ends."""
    assert shown == loglines.tail(log, 20)


def test_the_tail_is_no_longer_than_asked_for() -> None:
    """Twenty lines beside a failure."""
    assert ["9998", "9999"] == loglines.tail(b"".join(b"%d\n" % number for number in range(10_000)), 2)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_lines_read_in_two_parts_are_those_read_at_once(log: bytes, cut: int) -> None:
    """The page that follows a log and the page that is opened later look the same."""
    first = loglines.lines(excerpt(log[:cut]))
    then = loglines.lines(excerpt(log[first.after :]), offset=first.after, number=first.number)
    kept = [line for line in first.shown if line.number < first.number]

    assert loglines.lines(excerpt(log)).shown == kept + then.shown
