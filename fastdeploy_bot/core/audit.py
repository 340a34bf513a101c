"""The audit: who did what, to what, when and from where."""

from __future__ import annotations

from fastdeploy_bot.store.models import Audit
from fastdeploy_bot.words import Principal, PrincipalKind


def note(who: Principal, action: str, thing: str, *, now: int, detail: str = "") -> None:
    """Write down what somebody does. To be called inside the write that does it.

    `thing` names what it was done to: `deployment 7`, `service shop`, `user anna`. Never a password or a token.
    """
    name = who.name if who.kind is PrincipalKind.USER else f"{who.kind} {who.name}".strip()
    Audit.create(at=now, who=name, action=action, object=thing, detail=detail, peer=who.peer)


def trail(*, before: int, limit: int) -> list[Audit]:
    """What was done, the newest first, from before that row on."""
    return list(Audit.select().where(Audit.id < before).order_by(Audit.id.desc()).limit(limit))
