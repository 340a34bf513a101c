"""Sparks: the last runs of a service as a small drawing, and in words. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec
from flask import Flask

from fastdeploy_bot.core.telling.history import Past
from fastdeploy_bot.web.drawing import display
from fastdeploy_bot.words import DeploymentState

BAR: Final = 6
"""How wide a bar is, in pixels,"""
GAP: Final = 2
"""and how much is between two."""
HEIGHT: Final = 20
LOWEST: Final = 4
"""How high a bar is at least."""
USUAL: Final = 2 / 3
"""How much of the drawing the usual run fills at most: runs that are alike are no wall, and a longer one stands out."""
_ENDINGS: Final = {
    DeploymentState.SUCCESS: "succeeded",
    DeploymentState.FAILURE: "failed",
    DeploymentState.LOST: "lost",
    DeploymentState.CANCELLED: "cancelled",
}


class Bars(msgspec.Struct, frozen=True):
    """The bars of one outcome, as the path of an SVG."""

    state: DeploymentState
    path: str


class Spark(msgspec.Struct, frozen=True):
    """A drawing, as wide as its runs are many."""

    width: int
    height: int
    bars: Sequence[Bars]


def register(app: Flask) -> None:
    """Give templates these words as filters."""
    app.jinja_env.filters.update(spark=draw, ran=ran)


def draw(past: Sequence[Past]) -> Spark:
    """A bar for each run, oldest first, as high as it took long."""
    whole = _whole([each.took for each in past])
    paths: dict[DeploymentState, str] = {}
    for place, each in enumerate(past):
        height = max(LOWEST, round(HEIGHT * each.took / whole))
        paths[each.state] = paths.get(each.state, "") + _bar(each.state, place * (BAR + GAP), height)
    width = max(0, len(past) * (BAR + GAP) - GAP)
    return Spark(width, HEIGHT, [Bars(state, path) for state, path in paths.items()])


def ran(past: Sequence[Past], usual: float | None) -> str:
    """The same in words: `last 12: 10 succeeded, 2 failed; usually 1m 12s`."""
    states = [each.state for each in past]
    counts = [f"{states.count(state)} {word}" for state, word in _ENDINGS.items() if state in states]
    usually = f"; usually {display.duration(usual)}" if usual is not None else ""
    return f"last {len(past)}: {', '.join(counts)}{usually}"


def _whole(took: Sequence[float]) -> float:
    """How many seconds a bar stands for that fills the drawing."""
    return max((*took, statistics.median(took) / USUAL)) or 1.0 if took else 1.0


def _bar(state: DeploymentState, left: int, height: int) -> str:
    """Each outcome has a shape of its own: full, hollow, or a thin line."""
    if state is DeploymentState.SUCCESS:
        return f"M{left} {HEIGHT}v-{height}h{BAR}v{height}z"
    if state is DeploymentState.CANCELLED:
        return f"M{left + 2} {HEIGHT}v-{height}h2v{height}z"
    return f"M{left}.5 {HEIGHT - 0.5}v-{height - 1}h{BAR - 1}v{height - 1}z"
