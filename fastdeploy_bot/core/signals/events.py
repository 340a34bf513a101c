"""Events: which room acts upon what GitHub tells that is no push."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastdeploy_bot.core.signals import buttons, checking, installations, moves
from fastdeploy_bot.core.signals.notices import Handler, Notice


def act(notice: Notice) -> str:
    """Do what follows from an event; answers what came of it. To be called inside the write that keeps it."""
    event, action = notice.webhook.event, notice.webhook.action
    handler = _HANDLERS.get(f"{event}.{action}") or _HANDLERS.get(event)
    return f"event {event} is kept; nothing acts on it" if handler is None else handler(notice)


def heeded(event: str, action: str | None) -> bool:
    """Whether more follows from such an event than that it is kept."""
    handler = _HANDLERS.get(f"{event}.{action}") or _HANDLERS.get(event)
    return handler not in (None, _pong)


def _pong(_notice: Notice) -> str:
    return "pong: the webhook reaches this bot"


_HANDLERS: Final[Mapping[str, Handler]] = {
    "ping": _pong,
    "check_run.requested_action": buttons.press,
    "check_run.rerequested": buttons.run_again,
    "check_suite.rerequested": buttons.run_all_again,
    **dict.fromkeys(installations.EVENTS, installations.change),
    "repository.renamed": moves.follow,
    "repository.transferred": moves.follow,
    "check_run.completed": checking.hear,
    "check_suite.completed": checking.hear,
    "status": checking.hear,
    "workflow_run.completed": checking.hear,
}
"""By `event.action`, or by the event alone where it has one for all actions."""
