"""Sparks: the last runs as bars, and in words."""

from __future__ import annotations

import re

import pytest

from fastdeploy_bot.core.history import LAST, Past
from fastdeploy_bot.web import sparks
from fastdeploy_bot.words import DeploymentState


def past(*runs: tuple[str, float]) -> list[Past]:
    """Runs by how they ended and how many seconds they took, oldest first."""
    return [
        Past(number, DeploymentState(state), 0, round(1_000 * seconds))
        for number, (state, seconds) in enumerate(runs, start=1)
    ]


def test_the_last_runs_in_words() -> None:
    """Each outcome that there was, and the usual time."""
    runs = past(*[("success", 72)] * 10, ("failure", 3), ("failure", 4))

    assert "last 12: 10 succeeded, 2 failed; usually 1m 12s" == sparks.ran(runs, 72.0)
    assert "last 2: 1 lost, 1 cancelled" == sparks.ran(past(("lost", 1), ("cancelled", 1)), None)


def test_a_bar_is_as_high_as_its_run_took_long() -> None:
    """The longest fills the drawing, and the shortest can still be seen."""
    (bars,) = sparks.bars(past(("success", 100), ("success", 50), ("success", 0.1)))

    assert ["20", "10", "4"] == re.findall(r"v-(\d+)h6", bars.path)


def test_each_outcome_has_a_shape_of_its_own() -> None:
    """Colours are not all that tells them apart: full, hollow, a line."""
    drawn = sparks.bars(past(("success", 9), ("failure", 9), ("lost", 9), ("cancelled", 9)))

    assert ["success", "failure", "lost", "cancelled"] == [each.state for each in drawn]
    assert 3 == len({re.sub(r"^M[\d.]+", "", each.path) for each in drawn})


def test_the_newest_run_is_at_the_right_edge() -> None:
    """However few there are."""
    (bars,) = sparks.bars(past(("success", 9)))

    assert bars.path.startswith(f"M{sparks.WIDTH - sparks.BAR} ")
    assert sparks.bars(past(*[("success", 9)] * LAST))[0].path.startswith("M0 ")


@pytest.mark.parametrize("runs", [[], [("failure", 0.0)]])
def test_what_took_no_time_is_drawn_nonetheless(runs: list[tuple[str, float]]) -> None:
    """No division by nothing."""
    assert len(runs) == len(sparks.bars(past(*runs)))
