"""Installations: our GitHub App was installed somewhere, taken away, or may do something else than before.

Then nothing that was known of that holds, and what GitHub refused to hear of may be another matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.commits import questions
from fastdeploy_bot.core.signals.notices import Notice
from fastdeploy_bot.core.telling import outbox
from fastdeploy_bot.store.models import Question
from fastdeploy_bot.words import Installation, QuestionKind

RECENT: Final = clock.DAY
"""How old a deployment may be of which GitHub is told what it refused to hear of before."""
NAMED: Final = 3
"""How many repositories are named before the rest are counted."""

_HAPPENED: Final[Mapping[str, str]] = {
    "installation.created": "the GitHub App was installed on {account}",
    "installation.deleted": "the GitHub App was taken away from {account}: it may do nothing there any more",
    "installation.suspend": "the GitHub App was suspended on {account}: it may do nothing there until that ends",
    "installation.unsuspend": "the GitHub App is suspended on {account} no longer",
    "installation.new_permissions_accepted": "the GitHub App got other permissions on {account}",
    "installation_repositories.added": "the GitHub App was given {repositories}",
    "installation_repositories.removed": "the GitHub App lost {repositories}: it may do nothing there any more",
}
EVENTS: Final = tuple(_HAPPENED)
"""The events, each with its action, that `change` acts upon."""
_GIVING: Final = frozenset(EVENTS) - {
    "installation.deleted",
    "installation.suspend",
    "installation_repositories.removed",
}
"""Those after which our App may do more than before."""


class Change(msgspec.Struct, frozen=True):
    """What has changed: all that is kept of it until it is heeded."""

    account: str
    more: bool
    """Whether our App may do more than before."""


def change(notice: Notice) -> str:
    """An installation has changed; answers what came of it. Inside the write that keeps the event."""
    webhook, about = notice.webhook, notice.webhook.about
    if not isinstance(about, Installation):
        return "nothing is done: its payload says too little"
    if not about.app & notice.ours:
        return "nothing is done: it is not this bot's GitHub App"
    happened = f"{webhook.event}.{webhook.action}"
    changed = Change(about.account, happened in _GIVING)
    questions.ask(QuestionKind.INSTALLED, about.account, changed, now=notice.now, delivery=notice.delivery.id)
    told = _HAPPENED[happened].format(account=about.account, repositories=_named(about))
    return f"{told}; what GitHub refused to hear of in the last day is told again" if changed.more else told


def heed(question: Question, *, now: int) -> None:
    """Once it is forgotten what was known, let GitHub be told what it refused. To be called inside a write."""
    changed = msgspec.json.decode(question.data, type=Change)
    if changed.more:
        outbox.owe_again(changed.account, since=now - RECENT, now=now)


def _named(installation: Installation) -> str:
    """The repositories that a change is about."""
    names = installation.repositories
    if not names:
        return f"repositories of {installation.account}"
    further = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return " and ".join(filter(None, [", ".join(names[:NAMED]), *further]))
