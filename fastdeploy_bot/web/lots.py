"""Lots: webhooks, and reports of steps, that have come by the same time are handled together, and share a commit.

One thread has them all: many with one each would spend as much again on handing Python's lock to each other.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from select import POLLIN, poll
from typing import Any, Final

from fastdeploy_bot import store
from fastdeploy_bot.web.exchanges import fits_a_lot, has_read_ahead

# gunicorn ships no types: its workers and connections are Any.

MOST: Final = 64
"""How many there are in a lot: the first of them is answered when all are written."""
FOLLOW_MS: Final = 1
"""How long the next ones on the connections at hand are waited for, before these are given back."""
SILENT_SECONDS: Final = 0.1
"""How long one of them may say nothing while others keep the thread busy, before it is given back."""
PATIENCE: Final = 6.0
"""For how many seconds the database is waited for after something has come: GitHub gives up after 10."""


class Lots:
    """What one worker handles in lots, in one thread."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, "lots", store.expect_writes)
        self._come: deque[tuple[Any, float]] = deque()
        """The connections on which something has come for a lot, each with when it had."""
        self._busy = False
        self._looked = 0.0
        """When was last seen what had come on the connections at hand."""

    # --- in the main thread

    def add(self, conn: Any) -> None:
        """Something for a lot has come on a connection."""
        self._come.append((conn, time.monotonic()))

    def begin(self) -> None:
        """Have what has come handled, where the thread is not at it: then it takes that, too."""
        if self._come and not self._busy:
            self._busy = True
            done = self._thread.submit(self._handle)
            done.add_done_callback(lambda _: self._worker.method_queue.defer(self._finish, done))

    def _finish(self, done: Future[Iterable[Any]]) -> None:
        self._busy = False
        for conn in done.result():
            self._worker.take_back(conn)
        self.begin()

    # --- in the thread

    def _handle(self) -> Iterable[Any]:
        """Handle lot after lot, for as long as there is one; the connections that were at hand in the end."""
        hand: dict[Any, float] = {}  # and when each was heard last, in that order
        while lot := self._next(hand):
            for conn, (goes_on, rest) in self._worker.handle_together(lot).items():
                if goes_on and not rest and not has_read_ahead(conn):
                    hand[conn] = self._looked
                else:
                    self._worker.take_back(conn, goes_on, rest)
        return hand

    def _next(self, hand: dict[Any, float]) -> Sequence[Any]:
        """The next lot. Connections on which something else has come are given back, as are those silent for long."""
        looked, self._looked = self._looked, time.monotonic()
        if self._worker.alive:
            for conn in _readable(hand, 0 if self._come else FOLLOW_MS):
                del hand[conn]
                if fits_a_lot(conn):
                    self._come.append((conn, looked))
                else:
                    self._worker.take_back(conn)
        self._let_go(hand, looked - SILENT_SECONDS)
        come = [self._come.popleft() for _ in range(min(len(self._come), MOST))]
        store.write_by(min((since for _, since in come), default=math.inf) + PATIENCE)
        return [conn for conn, _ in come]

    def _let_go(self, hand: dict[Any, float], since: float) -> None:
        """Give those back that have been silent since then: the main thread knows for how long they may be."""
        while hand and hand[conn := next(iter(hand))] < since:
            del hand[conn]
            self._worker.take_back(conn)


def _readable(conns: Iterable[Any], milliseconds: int) -> list[Any]:
    """The connections of these on which something has come."""
    waiting, by_number = poll(), {conn.sock.fileno(): conn for conn in conns}
    for number in by_number:
        waiting.register(number, POLLIN)
    return [by_number[number] for number, _ in waiting.poll(milliseconds)] if by_number else []
