"""Line 12: what a push costs the server's processors with 1,000 services, beside ten; each has a repository."""

from __future__ import annotations

from functools import partial
from typing import Final

from bench.lines.accepted import BOT, of_bot
from bench.table import Line, Row, Side, at_most

MANY: Final = Side("fastdeploy_bot, 1,000 services", partial(of_bot, services=1_000))
LINE: Final = Line(
    number=12,
    rows=(
        Row(
            "cost of a push with 1,000 services",
            "server's µs/push",
            MANY,
            BOT,
            must=at_most(1.2),
            goal=at_most(1.05),
        ),
    ),
)
