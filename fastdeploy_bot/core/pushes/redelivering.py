"""Redelivering: which of the deliveries that failed are worth having repeated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.pushes import reconciling
from fastdeploy_bot.core.signals import events
from fastdeploy_bot.store.models import Delivery, Service

KEPT: Final = 3 * clock.DAY
"""For so long GitHub repeats what it once delivered."""
BETWEEN: Final = 3_600 * clock.SECOND
"""Between two attempts that we ask for."""
MOST_ATTEMPTS: Final = 5
"""After so many in vain there will be no other."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to deliver something to us."""

    id: int
    guid: str
    event: str
    action: str | None
    repository_id: int | None
    at: int
    """Unix milliseconds, by GitHub's clock."""
    again: bool
    """Whether somebody had asked for it."""
    arrived: bool
    """Whether it was answered well."""


def worth_repeating(attempts: Iterable[Attempt], *, now: int) -> list[Attempt]:
    """Of each delivery that never arrived and that something would act upon, the last attempt; the oldest first."""
    by_guid: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_guid.setdefault(attempt.guid, []).append(attempt)
    ours = {row.repository_id for row in Service.select(Service.repository_id).where(Service.removed.is_null())}
    last = [max(each, key=lambda attempt: attempt.at) for each in by_guid.values() if _is_open(each, now)]
    wanted = [each for each in last if _matters(each) and each.repository_id in {None, *ours}]
    arrived = _arrived(each.guid for each in wanted)
    return sorted((each for each in wanted if each.guid not in arrived), key=lambda each: (each.at, each.id))


def note_repeated(*, away: int, now: int) -> None:
    """GitHub was asked for one of them."""
    store.write(lambda: reconciling.note_recovered(redelivered=1, away=away, now=now))


def _is_open(attempts: list[Attempt], now: int) -> bool:
    """Whether another attempt may be asked for now."""
    first, last = min(each.at for each in attempts), max(attempts, key=lambda each: each.at)
    if any(each.arrived for each in attempts) or len(attempts) >= MOST_ATTEMPTS:
        return False
    return now - first < KEPT and not (last.again and now - last.at < BETWEEN)


def _matters(attempt: Attempt) -> bool:
    return attempt.event == "push" or events.heeded(attempt.event, attempt.action)


def _arrived(guids: Iterable[str]) -> set[str]:
    """Those that are on disk, whatever their answer was."""
    return {row.guid for row in Delivery.select(Delivery.guid).where(Delivery.guid.in_(list(guids)))}
