"""Few: what only so many of a process do at the same time; whoever else comes is told to come again shortly."""

from __future__ import annotations

import threading

from fastdeploy_bot.errors import Unavailable


class Busy(Unavailable):
    """As many do that at this moment as may."""


class Few:
    """So many at once, each from `take` to `leave` or within a `with`: other threads are left for other things."""

    def __init__(self, most: int, busy: str) -> None:
        self._busy = busy
        self._left = threading.BoundedSemaphore(most)

    def take(self) -> None:
        """Be one of them. Raises Busy, which says why, where there are as many already."""
        if not self._left.acquire(blocking=False):
            raise Busy(self._busy)

    def leave(self) -> None:
        """Let somebody else come."""
        self._left.release()

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.leave()
