"""Log lines: whatever a script writes becomes lines that are safe to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.core.output import loglines
from fastdeploy_bot.core.output.loglines import Drawing, Line, Place, Section
from fastdeploy_bot.core.output.logparts import Part
from fastdeploy_bot.core.output.logs import Excerpt
from fastdeploy_bot.core.output.terminal import PLAIN, Style
from fastdeploy_bot.errors import Invalid

WHOLE = [Part(None, 0, 1 << 40)]
RED = Style(fg=1)
GAP = (0, "… 2,000 bytes were not kept …")


def excerpt(data: bytes, gap: tuple[int, int] | None = None) -> Excerpt:
    """What is kept of a log from its beginning."""
    return Excerpt(data, len(data), gap)


def drawn(log: Drawing) -> list[Line]:
    """All its lines."""
    return [line for block in log.blocks() for line in block.lines]


def told(log: Drawing) -> list[tuple[int, str]]:
    """Their numbers and what can be read."""
    return [(line.number, line.text) for line in drawn(log)]


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
    found = Drawing(excerpt(b"one\ntwo\nthr"), WHOLE)

    assert [(1, "one"), (2, "two"), (3, "thr")] == told(found)
    assert (8, 3) == (found.place.offset, found.place.number)


def test_reading_on_continues_the_numbers() -> None:
    """From the place that the page was given."""
    found = Drawing(excerpt(b"three\nfour\n"), WHOLE, place=Place(offset=8, number=3))

    assert [(3, "three"), (4, "four")] == told(found)
    assert (19, 5) == (found.place.offset, found.place.number)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_only_the_last_lines_are_drawn_where_there_are_many(end: bytes) -> None:
    """With their true numbers and colours, and how many come before them."""
    found = Drawing(excerpt(b"a\n\x1b[31mb\nc\nd" + end), WHOLE, most=2)

    assert 2 == found.hidden
    assert [Line(3, [("c", RED)]), Line(4, [("d", RED)])] == drawn(found)


def test_of_very_many_colours_only_the_last_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before them is drawn in none, and it is said up to where; all text is there."""
    monkeypatch.setattr(loglines, "COLOURED", 2)
    found = Drawing(excerpt(b"a\x1b[32mb\n\x1b[31mc\x1b[0md\n\x1b[31me\nf\n"), WHOLE)

    assert 1 == found.colourless
    assert [[("ab", PLAIN)], [("c", RED), ("d", PLAIN)], [("e", RED)], [("f", RED)]] == [x.runs for x in drawn(found)]


def test_a_log_of_very_long_lines_is_drawn_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines, as many as there is room for."""
    monkeypatch.setattr(loglines, "LARGEST", 7)

    assert [(2, "bb"), (3, "ccc")] == told(Drawing(excerpt(b"aaaaa\nbb\nccc\n"), WHOLE, most=100))
    assert [] == told(Drawing(excerpt(b"a" * 20 + b"\n"), WHOLE, most=100))


def test_a_gap_is_said_where_it_is_and_no_number_comes_twice() -> None:
    """A log that was cut: its head's last line and its tail's first are both parts of lines."""
    found = Drawing(excerpt(b"one\nhalf" + b"rest\nlast\n", gap=(8, 2_008)), WHOLE)

    assert [(1, "one"), (2, "half"), GAP, (3, "rest"), (4, "last")] == told(found)
    assert (2_018, 5) == (found.place.offset, found.place.number)


@pytest.mark.parametrize(("most", "shown"), [(1, 1), (2, 2), (3, 4), (4, 5)])
def test_the_last_lines_may_reach_over_a_gap(most: int, shown: int) -> None:
    """The gap is said where something of what was before it is drawn."""
    log = excerpt(b"one\nhalf\n" + b"rest\nlast\n", gap=(9, 2_009))
    found = Drawing(log, WHOLE, most=most)

    assert [(1, "one"), (2, "half"), GAP, (3, "rest"), (4, "last")][-shown:] == told(found)


def test_reading_on_inside_a_gap_says_so_and_goes_on_behind_it() -> None:
    """The page was too slow: what it waited for was cut meanwhile."""
    found = Drawing(excerpt(b"last\n", gap=(8, 2_008)), WHOLE, place=Place(offset=100, number=7))

    assert [GAP, (7, "last")] == told(found)
    assert (2_013, 8) == (found.place.offset, found.place.number)


def test_each_line_has_the_time_of_its_first_byte() -> None:
    """Where that was noted."""
    found = Drawing(excerpt(b"one\ntwo\nthree\nfour\n"), WHOLE, [(4, 1_000), (6, 2_000)])

    assert [None, 1_000, 2_000, 2_000] == [line.at for line in drawn(found)]


def test_lines_stand_with_the_step_that_wrote_their_first_byte() -> None:
    """Each stretch of a step is a section, and so is what was written in none."""
    parts = [Part("Build", 0, 9), Part(None, 9, 10), Part("Migrate", 10, 11), Part("Build", 11, 20)]
    found = Drawing(excerpt(b"one\ntwo\nthree\nfour\n"), parts)

    sections = [(block.section, [line.number for line in block.lines]) for block in found.blocks()]

    assert [(Section(0, "Build", 1, 3), [1, 2, 3]), (Section(11, "Build", 4, 1), [4])] == sections
    assert Place(19, 5, section=11, first=4) == found.place


def test_a_section_that_goes_on_counts_what_it_had() -> None:
    """And is told of even where no line of it came."""
    parts = [Part("Build", 0, 8), Part("Migrate", 8, 14)]
    log = Drawing(excerpt(b"three\n"), parts, place=Place(offset=8, number=3, section=0, first=1))

    assert [Section(0, "Build", 1, 2), Section(8, "Migrate", 3, 1)] == [block.section for block in log.blocks()]


def test_blocks_have_so_many_lines_however_they_came() -> None:
    """One that was drawn half goes on under its number; only a full one will never change."""
    log = b"x\n" * 125
    first = Drawing(excerpt(log[: 75 * 2]), WHOLE)
    shape = [(block.index, len(block.lines), block.full) for block in first.blocks()]
    then = Drawing(excerpt(log[75 * 2 :]), WHOLE, place=first.place)

    assert [(0, 50, True), (1, 25, False)] == shape
    assert [(1, 25, True), (2, 25, False)] == [(block.index, len(block.lines), block.full) for block in then.blocks()]


@pytest.mark.parametrize(
    "text", ["", "1", "1.2.3.4", "1.2.3.4.x", "-1.2.3.4.", "1.2.3.4.5\n", "٣.2.3.4.", f"{10**18}.1.1.1."]
)
def test_a_place_that_nobody_was_given_is_refused(text: str) -> None:
    """It comes from the browser."""
    with pytest.raises(Invalid):
        loglines.place(text)


@pytest.mark.parametrize(("log", "shown"), [(b"", []), (b"\n", []), (b"one", ["one"]), (b"one\ntwo\n", ["one", "two"])])
def test_the_tail_is_the_last_lines_as_text(log: bytes, shown: list[str]) -> None:
    """However the last one ends."""
    assert shown == loglines.tail(log, 20)


def test_the_tail_is_no_longer_than_asked_for() -> None:
    """Twenty lines beside a failure."""
    assert ["9998", "9999"] == loglines.tail(b"".join(b"%d\n" % number for number in range(10_000)), 2)


def test_the_tail_has_the_colour_that_was_turned_on_before_it() -> None:
    """As the log itself."""
    assert [Line(0, [("two", RED)]), Line(0, [("three", PLAIN)])] == loglines.last(b"\x1b[31mone\ntwo\x1b[m\nthree", 2)


@pytest.mark.parametrize(
    ("offset", "end", "kept"), [(0, 8, b"one\nhalf"), (0, 4, b"one\n"), (0, 2_013, b"one\nhalfrest\n"), (4, 9, b"half")]
)
def test_what_was_kept_before_a_place_is_known_with_gaps(offset: int, end: int, kept: bytes) -> None:
    """The failed step may be anywhere."""
    log = excerpt(b"one\nhalfrest\nlast\n"[offset:], gap=(8, 2_008))

    assert kept == loglines.before(log, offset, end)


LOG = st.lists(
    st.one_of(st.binary(max_size=9), st.sampled_from([b"\n", b"\r", b"\x1b[31m", b"\x1b[0m", b"\x1b[1;44m"]))
)


@given(LOG.map(b"".join), st.integers(0, 99), st.integers(0, 99))
def test_lines_read_in_parts_are_those_read_at_once(log: bytes, cut: int, edge: int) -> None:
    """The page that follows a log and the page that is opened later look the same."""
    parts = [
        part for part in (Part("Build", 0, min(edge, len(log))), Part(None, edge, len(log))) if part.start < part.end
    ]
    first = Drawing(excerpt(log[:cut]), parts)
    before = [(block.section.id, line) for block in first.blocks() for line in block.lines]
    place = loglines.place(str(first.place))
    then = Drawing(excerpt(log[place.offset :]), parts, place=place)
    after = [(block.section.id, line) for block in then.blocks() for line in block.lines]
    whole = Drawing(excerpt(log), parts)
    kept = [(section, line) for section, line in before if line.number < place.number]

    assert [(block.section.id, line) for block in whole.blocks() for line in block.lines] == kept + after
    assert str(whole.place) == str(then.place)
