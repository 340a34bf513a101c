"""Sharing: what many threads want at the same time is done once for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """A look at something: whoever wants one gets the answer of one that began after they asked for it."""

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._one_at_a_time = threading.Lock()
        self._begun = 0
        """How many looks have begun."""
        self._last: tuple[int, T] | None = None
        """The number of the last look that found something, and what that was."""

    def __call__(self) -> T:
        """What one's own look would find. Raises what that raises; then the next one looks anew."""
        before = self._begun
        with self._one_at_a_time:
            if self._last is None or self._last[0] <= before:
                self._begun += 1
                self._last = (self._begun, self._look())
            return self._last[1]
