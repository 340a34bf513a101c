"""Display: states, times and endings in words."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from fastdeploy_bot.cli import printing
from fastdeploy_bot.web.drawing import display
from fastdeploy_bot.words import GLYPHS, DeploymentState, StepState

SECOND = 1_000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (41, "41 s ago"), (59, "59 s ago"), (60, "1 min ago"), (7_199, "1 h ago"), (172_800, "2 d ago")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: int, words: str) -> None:
    """As people say it."""
    assert words == display.age(1_000, 1_000 + seconds * SECOND)


def test_a_moment_that_lies_ahead_is_just_now() -> None:
    """Clocks of several hosts differ a little."""
    assert "just now" == display.age(5_000, 1_000)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0, "0s"), (0.44, "0.4s"), (12, "12s"), (72, "1m 12s"), (3_600, "1h 00m"), (7_500, "2h 05m")],
)
def test_a_duration_is_told_in_two_units_at_most(seconds: float | None, words: str) -> None:
    """`1m 12s`."""
    assert words == display.duration(seconds)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (86_399, "23 hours"),
        (86_400, "1 day"),
        (13 * 86_400 + 5, "13 days"),
    ],
)
def test_what_remains_is_told_in_its_largest_unit(seconds: int, words: str) -> None:
    """Cut off: nobody reckons with a day that is not whole."""
    assert words == display.remaining(seconds)


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (40.2, "40 s"), (89, "89 s"), (100, "2 min")])
def test_what_is_left_is_rough(seconds: float, words: str) -> None:
    """Nobody needs the second of a minute."""
    assert words == display.left(seconds)


@pytest.mark.parametrize(
    ("exit_status", "signal", "words"),
    [
        (None, None, ""),
        (1, None, "exit status 1"),
        (127, None, "exit status 127: a command was not found"),
        (137, None, "exit status 137: a command was killed by SIGKILL (Killed)"),
        (None, 9, "killed by SIGKILL (Killed)"),
        (None, 4_000, "killed by signal 4000"),
    ],
)
def test_an_ending_is_told_in_words(exit_status: int | None, signal: int | None, words: str) -> None:
    """Numbers alone help nobody at night."""
    assert words == display.ending(exit_status, signal)


@pytest.mark.parametrize("state", [*DeploymentState, *StepState])
def test_every_state_has_a_glyph(state: str) -> None:
    """Never colour alone, and the same one on the page and in the terminal."""
    assert GLYPHS[state] == display.glyph(state)
    assert f"{GLYPHS[state]} shop" == printing.marked(state, "shop")


def test_an_icon_needs_no_request() -> None:
    """It is its own address, and nothing in it ends the attribute it stands in."""
    for icon in (display.icon("failure"), display.icon("waiting")):
        assert icon.startswith("data:image/svg+xml,")
        assert not set(icon) & set('"&#\\')


def test_the_icon_of_what_waits_is_drawn() -> None:
    """Many machines have no letter for it."""
    assert "⧖" not in unquote(display.icon("waiting"))
    assert "✗" in unquote(display.icon("failure"))
