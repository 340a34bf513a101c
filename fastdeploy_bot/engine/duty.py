"""A duty that one process has at a time: one of a host by a lock that dies with it, one host by a lease."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastdeploy_bot.core import clock, leases

LEASE: Final = 120 * clock.SECOND
RENEWED: Final = 90 * clock.SECOND
"""How much of a lease is left at least when something is begun: more than it can take."""
SKEW: Final = 600 * clock.SECOND
"""How far apart the clocks of two hosts may be; what a lease lasts beyond that, it lasts because a clock was set."""
LOOK_SECONDS: Final = 1.0
"""After how long to look again whether another process of this host has let go."""


class HostLock:
    """What one process of a host has until it lets go or dies."""

    def __init__(self, path: Path) -> None:
        """`path` is a file of this host's own."""
        self._path = path
        self._lock: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process has it."""
        return self._lock is not None

    def take(self) -> bool:
        """Whether this process has it now, as it had before or as nobody else did."""
        if self._lock is None:
            lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
        return True

    def let_go(self) -> None:
        """Let whoever looks next have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class Duty:
    """To be used from one thread."""

    def __init__(self, name: str, *, lock: Path, host: str, guests: Mapping[str, int] | None = None) -> None:
        """`lock` is a file of this host's own, `host` its name for itself.

        `guests` are those to whom it is handed over, each with the longest time that it has it for.
        """
        self._name = name
        self._lock = HostLock(lock)
        self._host = host
        self._guests = guests or {}
        self._since = 0
        self._until = 0

    def busy(self, *, now: int) -> float:
        """For how many seconds at least somebody else has the duty; 0.0: it is ours now."""
        # Whoever of this host had the lease before is gone once the lock is ours.
        if not self._lock.take():
            return LOOK_SECONDS
        if self._since <= now < self._until - RENEWED:
            return 0.0
        theirs = leases.held(self._name, by_others_than=self._host)
        longest = LEASE if theirs is None else self._guests.get(theirs.holder, LEASE)
        beyond = now + longest + SKEW
        if theirs is not None and now < theirs.until <= beyond:
            return float(theirs.until - now) / clock.SECOND
        if not leases.take(self._name, self._host, until=now + LEASE, beyond=beyond, now=now):
            return LOOK_SECONDS
        self._since, self._until = now, now + LEASE
        return 0.0

    def hand_over(self, to: str, *, until: int) -> None:
        """Let somebody else have it until then; nobody of ours does meanwhile, not after a restart either."""
        self._until = 0
        leases.hand_over(self._name, self._host, to, until=until)

    def let_go(self) -> None:
        """Let whoever looks next have it."""
        if not self._lock.is_held:
            return
        try:
            leases.hand_over(self._name, self._host, self._host, until=0)
        finally:
            self._lock.let_go()
            self._until = 0
