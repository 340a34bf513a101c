"""Turns: threads that want the same kind of thing done wait in one line; whoever is first does it for all of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

J = TypeVar("J")

MOST: Final = 64
"""How much is done in one go: the first of a lot is answered when all of it is done."""


class Turns(Generic[J]):
    """A line of jobs. One lot of them is done at a time, in the order in which they came."""

    def __init__(self, work: Callable[[Sequence[J]], None]) -> None:
        """`work` does a lot; it runs in the thread of the one whose job came first."""
        self._work = work
        self._guard = threading.Lock()
        self._working = False
        self._waiting: deque[_Place[J]] = deque()

    def take(self, job: J, *, timeout: float) -> bool:
        """Have a job done, with those of others; False where its turn did not come within so many seconds.

        Raises what `work` raises, if that ran in this thread: for the others, `work` has to leave word in their jobs.
        """
        place = _Place(job)
        with self._guard:
            if self._working:
                self._waiting.append(place)
            else:
                self._working = True
                place.gate.release()
        if not place.gate.acquire(timeout=timeout):
            if self._left(place):
                return False
            place.gate.acquire()  # it is being done
        if not place.done:
            self._lead(place)
        return True

    def _lead(self, first: _Place[J]) -> None:
        """Do the first job and what waits behind it, then let the next one in the line lead."""
        with self._guard:
            others = [self._waiting.popleft() for _ in range(min(MOST - 1, len(self._waiting)))]
        try:
            self._work([first.job, *(each.job for each in others)])
        finally:
            with self._guard:
                if self._waiting:
                    self._waiting.popleft().gate.release()
                else:
                    self._working = False
            for each in others:
                each.done = True
                each.gate.release()

    def _left(self, place: _Place[J]) -> bool:
        """Whether we gave up in time: otherwise our turn came in the last instant, and is ours."""
        with self._guard:
            if place in self._waiting:
                self._waiting.remove(place)
                return True
        return False


class _Place(Generic[J]):
    """A place in the line; its gate opens when its turn has come, or its job is done."""

    def __init__(self, job: J) -> None:
        self.job = job
        self.done = False
        self.gate = threading.Lock()
        self.gate.acquire()
