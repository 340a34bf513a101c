"""Pace: how fast GitHub is told things. Pure: moments in, waiting times out.

GitHub takes 80 requests a minute and 500 an hour that make or change something.
Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

SECOND: Final = 1_000
HOUR: Final = 3_600 * SECOND
BURST: Final = 10
"""How many calls may be made at once after a silence; then one a second: at most 70 a minute."""
HOURLY: Final = 450
NEWS: Final = 300
"""From how many calls in an hour on only changes of state are told."""


class Pace:
    """Moments are Unix milliseconds; `calls` are those of earlier calls. A clock that is set makes nobody wait."""

    def __init__(self, calls: Iterable[int] = ()) -> None:
        self._calls = deque(sorted(calls))
        """The calls of the last hour, oldest first."""
        self._left = float(BURST)
        self._at = 0

    def wait(self, *, now: int) -> float:
        """For how many seconds nothing may be told; 0.0: a call may be made now."""
        self._forget(now)
        if len(self._calls) >= HOURLY:
            return (self._calls[-HOURLY] + HOUR - now) / SECOND
        left = self._refilled(now)
        return 0.0 if left >= 1 else 1 - left

    def takes_news(self, *, now: int) -> bool:
        """Whether there is room for what changes no state."""
        self._forget(now)
        return len(self._calls) < NEWS

    def note(self, *, now: int) -> None:
        """A call is made."""
        self._left, self._at = self._refilled(now) - 1, now
        self._calls.append(now)

    def _refilled(self, now: int) -> float:
        return min(float(BURST), self._left + max(0, now - self._at) / SECOND)

    def _forget(self, now: int) -> None:
        """Calls of more than an hour ago, and those to come: they are of a clock that was set back."""
        while self._calls and self._calls[0] <= now - HOUR:
            self._calls.popleft()
        while self._calls and self._calls[-1] > now:
            self._calls.pop()
