"""The feed: what changed, as events in the order of the commits, each seen once by everyone who reads on.

Events are written by `core.telling.changes` in the transaction of the change; the last `KEPT` of them stay.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.core.telling import glimpses
from fastdeploy_bot.errors import Gone
from fastdeploy_bot.store.models import Event
from fastdeploy_bot.words import EventType

KEPT: Final = 10_000
PAGE: Final = 500
"""How many events one look answers at most."""
_PRUNE_EVERY: Final = 100
_SINCE: Final = store.Prepared[Event](
    lambda number, limit: Event.select().where(Event.id > number).order_by(Event.id).limit(limit)
)
_PRUNE: Final = store.Prepared[Event](lambda number: Event.delete().where(Event.id <= number))
_APPEND: Final = store.Insert(Event, "type", "service", "deployment_id", "data", "created")


class Told(msgspec.Struct, frozen=True):
    """An event, with its object as a user sees it."""

    id: int
    type: EventType
    service: str | None
    deployment: int | None
    data: str
    """JSON."""

    def line(self, data: str | None = None) -> str:
        """The event as readers get it: one JSON object; with `data`, that in its object's place."""
        return f'{{"id":{self.id},"type":"{self.type}","{self.type}":{self.data if data is None else data}}}'


def append(kind: EventType, value: Any, *, service: str | None, deployment: int | None, now: int) -> None:
    """Write an event; `value` is a view of what changed. To be called last in a write."""
    data = msgspec.json.encode(value).decode()
    number = _APPEND.number(type=kind, service=service, deployment_id=deployment, data=data, created=now)
    if number % _PRUNE_EVERY == 0:
        _PRUNE.run(number - KEPT)


def newest() -> int:
    """The id of the newest event; 0 before the first one."""
    last = Event.select(Event.id).order_by(Event.id.desc()).limit(1).first()
    return 0 if last is None else int(last.id)


def since(number: int, *, limit: int = PAGE) -> list[Told]:
    """The events that came after that id, oldest first.

    Raises Gone where some of them are no longer kept, or that id was never given out.
    """
    return store.read(lambda: _since(number, limit))


def for_visitors(event: Told, visibility: Visibility) -> str | None:
    """The event's line as somebody sees it who has not signed in; None where it is not theirs to see."""
    if event.service is None:
        return None
    shown = glimpses.of(event.type, msgspec.json.decode(event.data), visibility)
    return None if shown is None else event.line(msgspec.json.encode(shown).decode())


def _since(number: int, limit: int) -> list[Told]:
    rows = _SINCE.all(number, limit)
    last = rows[-1].id if rows else newest()
    first = rows[0].id if rows else number + 1
    if number > last or (first != number + 1 and _lost_after(number)):
        raise Gone(f"the events after {number} are no longer kept: begin with the present state")
    return [Told(row.id, EventType(row.type), row.service, row.deployment_id, row.data) for row in rows]


def _lost_after(number: int) -> bool:
    """Whether events after that id were pruned. A write that was undone leaves a gap, too, and that is no loss."""
    first = Event.select(Event.id).order_by(Event.id).limit(1).first()
    return first is not None and number < newest() - KEPT and number + 1 < first.id
