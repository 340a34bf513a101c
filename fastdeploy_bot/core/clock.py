"""Time as the rows keep it: Unix milliseconds, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
DAY: Final = 86_400 * SECOND


def now() -> int:
    """This moment in Unix milliseconds."""
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=256)  # what happens together is told with one moment, more than once
def text(moment: int | None) -> str | None:
    """A moment as RFC 3339 in UTC with milliseconds and `Z`."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment / SECOND, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
