"""The audit: who did what, to what, when and from where."""

from __future__ import annotations

from typing import Any

import msgspec

from fastdeploy_bot.store.models import Audit
from fastdeploy_bot.words import Principal, PrincipalKind


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows somebody wants to see; what is empty is not asked for."""

    who: str = ""
    """Exactly so: `anna`, `service shop`."""
    action: str = ""
    about: str = ""
    """A thing as it was written down, its name or number alone, or the service that it belongs to."""
    since: int | None = None


def note(who: Principal, action: str, thing: str, *, now: int, detail: str = "") -> None:
    """Write down what somebody does. To be called inside the write that does it.

    `thing` names what it was done to: `deployment 7`, `service shop`, `user anna`. Never a password or a token.
    """
    name = who.name if who.kind is PrincipalKind.USER else f"{who.kind} {who.name}".strip()
    Audit.create(at=now, who=name, action=action, object=thing, detail=detail, peer=who.peer)


def trail(wanted: Wanted, *, before: int, limit: int) -> list[Audit]:
    """What was done, the newest first, from before that row on."""
    rows = Audit.select().where(Audit.id < before, *_conditions(wanted))
    return list(rows.order_by(Audit.id.desc()).limit(limit))


def _conditions(wanted: Wanted) -> list[Any]:  # Any: a condition on rows has no better type
    found: list[Any] = []
    if wanted.who:
        found.append(Audit.who == wanted.who)
    if wanted.action:
        found.append(Audit.action == wanted.action)
    if wanted.about:
        found.append(_is_about(wanted.about))
    if wanted.since is not None:
        found.append(Audit.at >= wanted.since)
    return found


def _is_about(name: str) -> Any:  # Any: as above
    service = f"service {name.removeprefix('service ')}"
    whose = (Audit.detail == service) | Audit.detail.startswith(f"{service},")
    return (Audit.object == name) | Audit.object.endswith(f" {name}") | whose
