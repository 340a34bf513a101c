"""Glimpses: what somebody who has not signed in sees of a thing that the feed told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.core.telling.views import ToldStep
from fastdeploy_bot.words import EventType

_STATUS_FIELDS: Final = ("service", "state", "created", "started", "finished")
_FOR_VISITORS: Final = {
    (Visibility.STATUS, EventType.DEPLOYMENT): _STATUS_FIELDS,
    (Visibility.STATUS, EventType.SERVICE): ("name", "removed"),
    (Visibility.PUBLIC, EventType.DEPLOYMENT): (
        "id",
        *_STATUS_FIELDS,
        "sha",
        "ref",
        "title",
        "exit_status",
        "signal",
        "eta",
        "progress",
        "longer",
    ),
    (Visibility.PUBLIC, EventType.SERVICE): ("name", "removed"),
    (Visibility.PUBLIC, EventType.STEP): tuple(ToldStep.__struct_fields__),
}
"""State and age for all; of a public service also commits, steps and numbers. Never people, hosts or reasons."""


def of(kind: EventType, told: Mapping[str, Any], visibility: Visibility) -> dict[str, Any] | None:
    """What visitors see of a thing that was told; None where it is nothing.

    An earlier version may have told less.
    """
    fields = _FOR_VISITORS.get((visibility, kind))
    return None if fields is None else {name: told[name] for name in fields if name in told}
