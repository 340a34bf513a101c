"""Line 2: how many pushes are accepted in a second, on 16 connections, beside probot with one durable row for each.

And beside octokit's receiver alone, with the same row.
"""

from __future__ import annotations

from typing import Final

from bench.lines.accepted import BOT, measured
from bench.peers import node
from bench.table import Figures, Line, Row, Run, Side, at_least


def of_probot(run: Run) -> Figures:
    """Those of probot."""
    return _of(run, node.PROBOT)


def of_octokit(run: Run) -> Figures:
    """Those of octokit's receiver."""
    return _of(run, node.OCTOKIT)


def _of(run: Run, program: tuple[str, ...]) -> Figures:
    with node.started(run.folder, program) as receiver:
        sender = receiver.sender()
        figures = measured(run, sender, [receiver.pid])
        sender.require(receiver.kept())
        return figures


PROBOT: Final = Side("probot", of_probot)
OCTOKIT: Final = Side("octokit", of_octokit)
LINE: Final = Line(
    number=2,
    rows=(
        Row("durable accepted pushes", "pushes/s", BOT, PROBOT, must=at_least(0.4), goal=at_least(1.0)),
        Row("the same", "pushes/s", BOT, OCTOKIT),
    ),
)
