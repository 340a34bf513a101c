"""What commands print: clean, in columns, and readable."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdeploy_bot.cli import printing


@given(st.text())
def test_what_is_cleaned_is_one_line_that_steers_nothing(text: str) -> None:
    """Whatever somebody put into a commit's title."""
    cleaned = printing.clean(text)

    assert len(text) == len(cleaned)
    assert len(cleaned.splitlines()) <= 1
    assert not set("\x1b\x07\r\n\x9b\u202e\u2066") & set(cleaned)


def test_ordinary_text_is_left_as_it_is() -> None:
    """In every script, with marks and symbols."""
    text = "Fix “überall” — 修正 ✓ 👍 e\u0301"

    assert text == printing.clean(text)


@given(st.text())
def test_json_says_the_same_and_steers_nothing(text: str) -> None:
    """Control characters are escaped, so that what is read is what was there."""
    with redirect_stdout(StringIO()) as output:
        printing.show({"title": text})
    written = output.getvalue()

    assert {"title": text} == json.loads(written)
    assert not set("\x1b\x07\r\x7f\x9b\u202e\u2066") & set(written)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (0.9, "0s"), (41.2, "41s"), (60, "1m 0s"), (72, "1m 12s"), (3_599, "59m 59s"), (7_380, "2h 3m")],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    """The two units that matter."""
    assert shown == printing.duration(seconds)


@pytest.mark.parametrize(
    ("begin", "end", "shown"),
    [
        ("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:12.500Z", "1m 12s"),
        ("2026-01-01T00:00:01.000Z", "2026-01-01T00:00:00.000Z", "0s"),
        (None, "2026-01-01T00:00:00.000Z", ""),
        ("2026-01-01T00:00:00.000Z", None, ""),
    ],
)
def test_the_time_between_two_moments(begin: str | None, end: str | None, shown: str) -> None:
    """Never less than none, and nothing where one is missing."""
    assert shown == printing.between(begin, end)


@given(st.text(), st.integers(0, 40))
def test_what_fits_is_a_beginning_that_is_not_too_wide(text: str, most: int) -> None:
    """Wide letters count twice."""
    fitting = printing.fitting(text, most)

    assert text.startswith(fitting)
    assert printing.width(fitting) <= most


def test_wide_letters_take_two_columns() -> None:
    """And what is put above a letter takes none."""
    assert (4, 1, 3) == (printing.width("修正"), printing.width("e\u0301"), printing.width("a✓b"))


def test_a_table_has_columns_where_output_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """However wide, so that programs can cut it; without blanks at the end, and cleaned."""
    printing.table(("NAME", "WHY"), [("修正", "x" * 200), ("b", ""), ("c\x1b[2J", "\n")])

    lines = capsys.readouterr().out.splitlines()
    assert ["NAME   WHY", f"修正   {'x' * 200}", "b", "c�[2J  �"] == lines
