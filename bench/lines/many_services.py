"""Line 12: what a push costs the server's processors with 1,000 services, beside ten; each has a repository.

As it comes, where more of the many services' deployments begin, as fewer are replaced before; and deploying nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from bench.lines.accepted import BOT, IDLE, of_bot
from bench.table import Line, Row, Side, at_most

MANY: Final = Side("fastdeploy_bot, 1,000 services", partial(of_bot, services=1_000))
MANY_IDLE: Final = Side(
    "fastdeploy_bot, 1,000 services, deploying nothing", partial(of_bot, services=1_000, deploys=False)
)
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
        Row("the same, deploying nothing", "server's µs/push", MANY_IDLE, IDLE),
    ),
)
