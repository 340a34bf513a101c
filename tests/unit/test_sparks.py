"""Sparks: the last runs as bars, and in words."""

from __future__ import annotations

import re

import pytest

from fastdeploy_bot.core.telling.history import Past
from fastdeploy_bot.web.drawing import sparks
from fastdeploy_bot.words import DeploymentState


def past(*runs: tuple[str, float]) -> list[Past]:
    """Runs by how they ended and how many seconds they took, oldest first."""
    return [
        Past(number, DeploymentState(state), 0, round(1_000 * seconds))
        for number, (state, seconds) in enumerate(runs, start=1)
    ]


def heights(*runs: tuple[str, float]) -> list[str]:
    """How high the bars of these successes are, of 20 pixels."""
    (bars,) = sparks.draw(past(*runs)).bars
    return re.findall(r"v-(\d+)h6", bars.path)


def test_the_last_runs_in_words() -> None:
    """Each outcome that there was, and the usual time."""
    runs = past(*[("success", 72)] * 10, ("failure", 3), ("failure", 4))

    assert "last 12: 10 succeeded, 2 failed; usually 1m 12s" == sparks.ran(runs, 72.0)
    assert "last 2: 1 lost, 1 cancelled" == sparks.ran(past(("lost", 1), ("cancelled", 1)), None)


def test_a_bar_is_as_high_as_its_run_took_long() -> None:
    """The longest fills the drawing, and the shortest can still be seen."""
    assert ["20", "10", "4"] == heights(("success", 100), ("success", 50), ("success", 0.1))


def test_runs_that_take_alike_are_no_wall() -> None:
    """The usual one leaves room for what takes longer, and a little difference stays little."""
    assert ["13"] * 4 == heights(*[("success", 9)] * 4)
    assert ["13", "13", "15"] == heights(("success", 60), ("success", 60), ("success", 66))
    assert ["10", "10", "20"] == heights(("success", 60), ("success", 60), ("success", 120))


def test_each_outcome_has_a_shape_of_its_own() -> None:
    """Colours are not all that tells them apart: full, hollow, a line."""
    drawn = sparks.draw(past(("success", 9), ("failure", 9), ("lost", 9), ("cancelled", 9))).bars

    assert ["success", "failure", "lost", "cancelled"] == [each.state for each in drawn]
    assert 3 == len({re.sub(r"^M[\d.]+", "", each.path) for each in drawn})


@pytest.mark.parametrize(("count", "width"), [(1, 6), (2, 14), (12, 94)])
def test_a_drawing_is_as_wide_as_its_runs_are_many(count: int, width: int) -> None:
    """The oldest at its left edge, the newest at the right one."""
    drawn = sparks.draw(past(*[("success", 9)] * count))

    lefts = re.findall(r"M(\d+) ", drawn.bars[0].path)
    assert (width, "0", str(width - sparks.BAR)) == (drawn.width, lefts[0], lefts[-1])


@pytest.mark.parametrize("runs", [[], [("failure", 0.0)]])
def test_what_took_no_time_is_drawn_nonetheless(runs: list[tuple[str, float]]) -> None:
    """No division by nothing."""
    assert len(runs) == len(sparks.draw(past(*runs)).bars)
