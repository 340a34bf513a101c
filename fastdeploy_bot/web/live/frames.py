"""Frames: events as websockets get them, one for all who see the same, and the window of those that came last."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.core.telling.feed import Told
from fastdeploy_bot.web.live import wire

KEPT_FRAMES: Final = 2_000
KEPT_BYTES: Final = 4 << 20
"""How far a reader may fall behind."""


class Frames:
    """An event as those see it who may see it."""

    def __init__(self, event: Told) -> None:
        self.event = event
        self.user = wire.text_frame(event.line())
        self._visitor: dict[Visibility, bytes] = {}

    def visitor(self, visibility: Visibility) -> bytes:
        """As visitors see it while its service has that visibility; empty where they do not."""
        if visibility not in self._visitor:
            line = feed.for_visitors(self.event, visibility)
            self._visitor[visibility] = b"" if line is None else wire.text_frame(line)
        return self._visitor[visibility]


class Window:
    """The events that came last, so many and so many bytes of them. For one thread at a time."""

    def __init__(self) -> None:
        self._frames: list[Frames] = []
        self._weight = 0
        """The bytes in it."""
        self.start = 0
        """The id of the event just before it."""
        self.end = 0
        """The id of its newest event, or of the newest before it was made."""

    def begin(self, newest: int) -> None:
        """Be empty, behind that event."""
        self._frames.clear()
        self._weight = 0
        self.start = self.end = newest

    def add(self, fresh: list[Frames]) -> None:
        """Take what is new, and let the oldest go where that is too much."""
        self._frames += fresh
        self._weight += sum(len(frames.user) for frames in fresh)
        self.end = fresh[-1].event.id
        over = max(0, len(self._frames) - KEPT_FRAMES)
        weight = self._weight - sum(len(frames.user) for frames in self._frames[:over])
        while weight > KEPT_BYTES:
            weight -= len(self._frames[over].user)
            over += 1
        if over:
            self.start = self._frames[over - 1].event.id
            del self._frames[:over]
        self._weight = weight

    def after(self, number: int) -> Iterator[Frames]:
        """The events that came after that id, oldest first."""
        first = bisect_right(self._frames, number, key=lambda frames: frames.event.id)
        return (self._frames[index] for index in range(first, len(self._frames)))
