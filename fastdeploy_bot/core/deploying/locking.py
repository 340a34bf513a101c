"""Locking: what a lock, its end and its expiry do to a service and to what is queued for it. One write each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock, locks
from fastdeploy_bot.core.deploying import deployments, services
from fastdeploy_bot.core.files.catalogue import Entry
from fastdeploy_bot.core.files.servicefile import OnLost
from fastdeploy_bot.core.locks import Lock
from fastdeploy_bot.core.people import audit
from fastdeploy_bot.core.telling import changes
from fastdeploy_bot.errors import Conflict, Invalid
from fastdeploy_bot.store.models import Deployment, Service
from fastdeploy_bot.words import BOT, Principal

LONGEST_REASON: Final = 200
LATEST: Final = 253_402_300_799_999
"""The last moment of the year 9999, after which none can be told."""
_EXPIRED: Final = store.Prepared[Service](lambda now: Service.select().where(Service.lock_until <= now))


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    reason: str
    until: int | None = None
    """Unix milliseconds; None: until somebody unlocks it."""
    over: int | None = None
    """When the lock began that this one may replace, 0 where there is to be none; None: whichever there is."""


def lock(name: str, entries: Mapping[str, Entry], wish: Wish, *, by: Principal, now: int) -> Service:
    """Lock a service, or give its lock another reason and end; what is queued for it waits from now on.

    Raises NotFound, Conflict where the service was removed or has another lock than the one that may be replaced,
    Invalid for a reason or an end that cannot be used.
    """
    store.write(lambda: hold(name, entries, wish, by=by, now=now))
    return services.find(name)


def hold(name: str, entries: Mapping[str, Entry], wish: Wish, *, by: Principal, now: int) -> None:
    """Do what `lock` does. To be called inside a write."""
    lock = Lock(by=by.name, reason=_reason(wish.reason), since=now, until=_end(wish.until, now))
    service = services.named(name, entries, now=now)
    if service.removed is not None:
        raise Conflict(f"service {name} was removed: there is nothing to lock")
    held = locks.of(service)
    if held is not None and wish.over not in (None, held.since):
        raise _another(held)
    _lock(service, lock)
    end = "" if lock.until is None else f", until {clock.text(lock.until)}"
    audit.note(by, "lock", f"service {name}", now=now, detail=lock.reason + end)


def unlock(name: str, entries: Mapping[str, Entry], *, by: Principal, now: int, since: int | None = None) -> bool:
    """End a service's lock; what waited for that is queued again, in its order. False where there was none.

    With `since`, only the lock that began then. Raises NotFound; Conflict where there is another one by now.
    """

    def write() -> bool:
        service = services.named(name, entries, now=now)
        held = locks.of(service)
        if held is None:
            return False
        if since not in (None, held.since):
            raise _another(held)
        _unlock(service)
        audit.note(by, "unlock", f"service {name}", now=now, detail=held.told)
        return True

    return store.write(write)


def expire(*, now: int) -> None:
    """End the locks whose time is over."""
    if _EXPIRED.all(now):
        store.write(partial(_expire, now))


def after_loss(number: int, *, now: int) -> None:
    """Where the service wants that, lock it because a deployment of it was lost. To be called inside a write."""
    row = Deployment.get_by_id(number)
    if json.loads(row.definition or "{}").get("on_lost") != OnLost.HOLD:
        return
    held = locks.of(row.service)
    rest = "" if held is None else f" (before that {held.told})"
    reason = f"deployment {number} was lost: see what it left behind, then unlock{rest}"
    _lock(row.service, Lock(by=BOT.name, reason=reason, since=now, until=None))
    audit.note(BOT, "lock", f"service {row.service.name}", now=now, detail=reason)


def _another(held: Lock) -> Conflict:
    return Conflict(f"there is another lock by now: {held.told}")


def _expire(now: int) -> None:
    for service in _EXPIRED.all(now):
        _unlock(service)
        audit.note(BOT, "unlock", f"service {service.name}", now=now, detail="its time was over")


def _lock(service: Service, lock: Lock) -> None:
    locks.put(service, lock)
    changes.of_service(service.id)
    deployments.place(service, lock)


def _unlock(service: Service) -> None:
    locks.put(service, None)
    changes.of_service(service.id)
    deployments.place(service, None)


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise Invalid(f"reason: expected 1 to {LONGEST_REASON} characters that say why, got {len(reason)}")
    return reason


def _end(until: int | None, now: int) -> int | None:
    if until is not None and not now < until <= LATEST:
        raise Invalid("until: expected a moment to come; without one the lock lasts until somebody unlocks the service")
    return until
