"""Locks: who keeps a service from being deployed, why, and until when. The row decides; times are Unix milliseconds."""

from __future__ import annotations

from typing import Any

import msgspec
from peewee import ModelSelect

from fastdeploy_bot.store.models import Service


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a service from being deployed."""

    by: str
    reason: str
    since: int
    until: int | None
    """When it ends by itself; None where somebody has to end it."""

    @property
    def told(self) -> str:
        """What is said of whatever waits for its end."""
        return f"locked by {self.by}: {self.reason}"


def of(service: Service) -> Lock | None:
    """A service's lock, by its row."""
    if service.locked is None:
        return None
    return Lock(
        by=service.locked_by or "",
        reason=service.lock_reason or "",
        since=service.locked,
        until=service.lock_until,
    )


def put(service: Service, lock: Lock | None) -> None:
    """Write a lock, or that there is none, into a service's row. To be called inside a write."""
    fields: dict[str, Any] = {  # columns, each of its own type
        "locked": lock and lock.since,
        "locked_by": lock and lock.by,
        "lock_reason": lock and lock.reason,
        "lock_until": lock and lock.until,
    }
    Service.update(fields).where(Service.id == service.id).execute()


def locked() -> ModelSelect[Service]:
    """The services that are locked, by their ids; for queries."""
    return Service.select(Service.id).where(Service.locked.is_null(False))
