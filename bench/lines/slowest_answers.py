"""Line 3: how soon 99 of 100 pushes are answered, on 16 connections, beside Debian's `webhook`."""

from __future__ import annotations

from typing import Final

from bench.lines.accepted import BOT, WEBHOOK
from bench.table import Line, Row, at_most

LINE: Final = Line(3, (Row("p99 of the answer", "ms p99", BOT, WEBHOOK, must=at_most(1.0), goal=at_most(0.5)),))
