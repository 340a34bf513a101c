"""Refusals: the last webhooks that came with a signature and were refused, so that somebody can see why."""

from __future__ import annotations

import threading
from typing import Final

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.store.models import Refusal

KEPT: Final = 20
LONGEST: Final = 300
"""Characters of what is kept of each text."""
PER_SECOND: Final = 1


class Meter:
    """Lets through `PER_SECOND`, and `KEPT` at once after a rest: under a flood most refusals are not written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = float(KEPT)
        self._at = 0

    def passes(self, now: int) -> bool:
        """Whether there is room for one more."""
        with self._lock:
            rested = max(0, now - self._at) * PER_SECOND / clock.SECOND
            self._left, self._at = min(float(KEPT), self._left + rested), now
            if self._left < 1:
                return False
            self._left -= 1
            return True


meter = Meter()


def note(*, peer: str, event: str, reason: str, now: int) -> store.Later[None] | None:
    """Have a refusal kept, once that is asked for; None where there are too many of them at this moment.

    It is written together with what else the thread has put off: many, while nothing can be written, wait once.
    """
    return store.later(lambda: _keep(peer, event, reason, now)) if meter.passes(now) else None


def latest() -> list[Refusal]:
    """The last refusals, the newest first."""
    return list(Refusal.select().order_by(Refusal.id.desc()).limit(KEPT))


def _keep(peer: str, event: str, reason: str, now: int) -> None:
    Refusal.create(at=now, peer=peer, event=_plain(event), reason=_plain(reason))
    kept = [row.id for row in latest()]
    Refusal.delete().where(Refusal.id < kept[-1]).execute()


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text[:LONGEST])
