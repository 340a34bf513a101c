"""Seats: how many websockets a process holds, and how many of them belong to nobody it knows."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from threading import Lock


class Kind(StrEnum):
    """Who sits there."""

    KNOWN = "known"
    WAITING = "waiting"
    """Somebody who may still show who they are."""
    VISITOR = "visitor"


class Seats:
    """So many seats; at most half of them are visitors'."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: Counter[Kind] = Counter()
        self.guard = Lock()

    def take(self, kind: Kind) -> Seat | None:
        """A seat, if there is one. Who waits is counted with the visitors, but one there may always be."""
        with self.guard:
            strangers = self.taken[Kind.WAITING] + self.taken[Kind.VISITOR]
            full = self.taken.total() >= self.most
            if full or (kind is not Kind.KNOWN and strangers >= max(1, self.most // 2)):
                return None
            self.taken[kind] += 1
            return Seat(self, kind)


class Seat:
    """One of them, until it is left."""

    def __init__(self, seats: Seats, kind: Kind) -> None:
        self._seats = seats
        self.kind = kind

    def turn(self, kind: Kind) -> bool:
        """Whether who sits there may be that from now on."""
        seats = self._seats
        with seats.guard:
            if kind is Kind.VISITOR and seats.taken[Kind.VISITOR] >= seats.most // 2:
                return False
            seats.taken[self.kind] -= 1
            seats.taken[kind] += 1
            self.kind = kind
            return True

    def leave(self) -> None:
        """Let somebody else have it."""
        with self._seats.guard:
            self._seats.taken[self.kind] -= 1
