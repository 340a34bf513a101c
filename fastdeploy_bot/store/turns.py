"""Turns: threads that want the same thing get it one at a time, in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A lock that is handed to whoever waits longest: an ordinary one may pass somebody over for seconds."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, *, timeout: float) -> bool:
        """Wait for our turn, at most so many seconds; answers whether it came."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        return gate.acquire(timeout=timeout) or not self._left(gate)

    def release(self) -> None:
        """Let the next one have it."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

    def _left(self, gate: threading.Lock) -> bool:
        """Whether we gave up in time: otherwise our turn came in the last instant, and is ours."""
        with self._guard:
            if gate in self._waiting:
                self._waiting.remove(gate)
                return True
        return False
