"""The audit: who did what, to what, when and from where."""

from __future__ import annotations

from fastdeploy_bot.store.models import Audit
from fastdeploy_bot.words import Principal


def note(who: Principal, action: str, thing: str, *, now: int, detail: str = "") -> None:
    """Write down what somebody does. To be called inside the write that does it.

    `thing` names what it was done to: `deployment 7`, `service shop`, `user anna`.
    """
    Audit.create(at=now, who=who.name or str(who.kind), action=action, object=thing, detail=detail, peer=who.peer)
