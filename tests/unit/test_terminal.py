"""The terminal: colours are kept, and nothing else of what terminals obey is left."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.core.output import terminal
from fastdeploy_bot.core.output.terminal import PLAIN, Style

ESC = "\x1b"
PARAMETERS = st.lists(st.one_of(st.integers(0, 300).map(str), st.sampled_from(["", "38;5", "48;2", "38:2:"])))
SGR = PARAMETERS.map(lambda words: f"{ESC}[{';'.join(words)}m")
TEXT = st.text(st.sampled_from("ab<>&\"' é\u202e"), max_size=5)
ROW = st.lists(st.one_of(TEXT, SGR, st.sampled_from(["\r", f"{ESC}[K", f"{ESC}[2A", "\b", "\x07"]))).map("".join)


@pytest.mark.parametrize(
    ("said", "style"),
    [
        ("", PLAIN),
        ("0", PLAIN),
        ("1", Style(bold=True)),
        ("2", Style(faint=True)),
        ("3;4;9", Style(italic=True, underline=True, strike=True)),
        ("7", Style(inverse=True)),
        ("5;6;8", PLAIN),
        ("21", Style(underline=True)),
        ("4:3", Style(underline=True)),
        ("4;4:0", PLAIN),
        ("1;2;3;4;7;9;22;23;24;25;27;28;29", PLAIN),
        ("31", Style(fg=1)),
        ("97", Style(fg=15)),
        ("42", Style(bg=2)),
        ("107", Style(bg=15)),
        ("31;42;39;49", PLAIN),
        ("38;5;208", Style(fg=208)),
        ("48;5;17;1", Style(bg=17, bold=True)),
        ("38:5:208", Style(fg=208)),
        ("38;2;255;135;0", Style(fg=208)),
        ("38:2:255:135:0", Style(fg=208)),
        ("38:2::255:135:0:1", Style(fg=208)),
        ("58;5;3;1", Style(bold=True)),
        ("38;5;256;1", Style(bold=True)),
        ("38;2;1;2", PLAIN),
        ("38", PLAIN),
        ("123;1", Style(bold=True)),
        ("99999999999999999999", PLAIN),
        ("?1", PLAIN),
    ],
)
def test_a_style_is_told_by_numbers(said: str, style: Style) -> None:
    """Those of ECMA-48 and xterm; what nobody knows is passed over, and what follows it is obeyed."""
    assert ([("text", style)], style) == terminal.runs(f"{ESC}[{said}mtext", PLAIN)


def test_a_style_goes_on_until_it_is_ended() -> None:
    """In the next line, too."""
    first, style = terminal.runs(f"plain {ESC}[1;31mbad", PLAIN)
    second, _ = terminal.runs(f"worse{ESC}[0m fine", style)

    assert [("plain ", PLAIN), ("bad", Style(fg=1, bold=True))] == first
    assert [("worse", Style(fg=1, bold=True)), (" fine", PLAIN)] == second


def test_what_was_written_over_leaves_its_style() -> None:
    """As on a terminal: the colour was turned on before the line began anew."""
    assert [("100 %", Style(fg=2))] == terminal.runs(f"{ESC}[32m10 %\r100 %", PLAIN)[0]


@pytest.mark.parametrize("start", [f"{ESC}[G", f"{ESC}[1G", f"{ESC}[2K\r", f"\r{ESC}[K"])
def test_progress_is_at_its_last_state(start: str) -> None:
    """However the line is begun anew."""
    assert [("9 of 9", PLAIN)] == terminal.runs(f"1 of 9{start}9 of 9", PLAIN)[0]


@pytest.mark.parametrize(
    ("colour", "number"), [((0, 0, 0), 16), ((255, 255, 255), 231), ((128, 128, 128), 244), ((250, 130, 5), 208)]
)
def test_a_true_colour_becomes_the_nearest_that_has_a_number(colour: tuple[int, int, int], number: int) -> None:
    """Of 240: the first 16 are what the reader likes."""
    assert number == terminal.nearest(*colour)


@given(st.integers(16, 255))
def test_a_colour_with_a_number_is_nearest_to_itself(number: int) -> None:
    """Or to another of the same looks: some stand twice in the table."""
    assert terminal.rgb(number) == terminal.rgb(terminal.nearest(*terminal.rgb(number)))


@given(ROW)
def test_nothing_is_left_to_obey(row: str) -> None:
    """No control character, nothing that turns the direction, no empty piece."""
    runs, _ = terminal.runs(row, PLAIN)

    assert not any(set(text) & set("\x1b\r\b\x07\u202e") or not text for text, _ in runs)


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_plain_text_stays_as_it_is(row: str) -> None:
    """All of it."""
    assert [(row, PLAIN)] * bool(row) == terminal.runs(row, PLAIN)[0]


@given(ROW)
def test_a_line_is_joined_of_few_runs_that_look_alike(row: str) -> None:
    """Each character keeps its looks, but blanks that show none; and no run could be one with that before it."""
    runs, _ = terminal.runs(row, PLAIN)
    joined = terminal.joined(runs)

    before, after = ([(each, style) for text, style in found for each in text] for found in (runs, joined))
    unlike = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert all(a[0] == b[0] and a[0].isspace() and not (a[1].marks_blanks or b[1].marks_blanks) for a, b in unlike)
    assert all(one[1] != other[1] for one, other in pairwise(joined))


@pytest.mark.parametrize(
    ("row", "count"),
    [
        ("\x1b[31ma\x1b[0m \x1b[32mb\x1b[0m", 2),
        ("\x1b[31ma\x1b[0;31mb", 1),
        ("\x1b[4ma\x1b[0m \x1b[32mb", 3),
        ("  a", 1),
    ],
)
def test_blanks_take_no_run_of_their_own_where_nobody_sees_it(row: str, count: int) -> None:
    """An underlined one does."""
    assert count == len(terminal.joined(terminal.runs(row, PLAIN)[0]))


@given(st.lists(ROW), SGR)
def test_the_style_behind_lines_is_that_to_which_they_lead(rows: list[str], before: str) -> None:
    """Found by looking for colours alone, without the lines."""
    style = begin = terminal.runs(before, PLAIN)[1]
    for row in rows:
        style = terminal.runs(row, style)[1]

    assert style == terminal.after("\n".join(rows).encode(), begin)


@given(SGR, SGR)
def test_a_style_that_was_written_is_read_again(one: str, other: str) -> None:
    """So a page can be told in which style its log goes on."""
    style = terminal.runs(one + other, PLAIN)[1]

    assert style == terminal.read(terminal.written(style))
