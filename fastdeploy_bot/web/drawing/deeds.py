"""Deeds: the rows of the audit as sentences. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import msgspec

from fastdeploy_bot.store.models import Audit
from fastdeploy_bot.web.drawing.display import SHORT_SHA

VERBS: Final = {
    "add": "added",
    "backup": "made the backup",
    "cancel": "cancelled",
    "create": "created",
    "create app": "created",
    "fail to sign in": "failed to sign in as",
    "link": "let somebody on GitHub sign in as",
    "lock": "locked",
    "prune": "pruned",
    "remove": "removed",
    "replay": "replayed",
    "retry": "retried",
    "revoke": "revoked",
    "rollback": "rolled back",
    "rotate webhook secret": "changed the webhook secret of",
    "set": "set",
    "set password": "set the password of",
    "set role": "changed the role of",
    "sign in": "signed in with",
    "sign out": "signed out of",
    "sign out everywhere": "ended all sessions and tokens of",
    "start": "started",
    "sync": "synchronised",
    "unlink": "let nobody on GitHub sign in any more as",
    "unlock": "unlocked",
}
"""How each action is told, before what it was done to."""

_PAGES: Final = {
    "deployment": "/deployments/",
    "delivery": "/deliveries/",
    "service": "/services/",
}
_SHA: Final = re.compile(r"\b[0-9a-f]{40}\b")


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did, in the parts of a sentence."""

    at: int
    who: str
    did: str
    thing: str
    page: str
    """Where the thing is shown; empty where nowhere."""
    more: str
    """The rest of the sentence, with what is before it."""
    peer: str

    @property
    def sentence(self) -> str:
        """All of it."""
        return f"{self.who} {self.did} {self.thing}{self.more}"


def told(row: Audit) -> Deed:
    """A row as it is told."""
    return Deed(
        at=row.at,
        who=_who(row.who),
        did=VERBS.get(row.action, row.action),
        thing=row.object,
        page=_page(row.object),
        more=_more(row.detail),
        peer="the bot's host" if row.peer == "host" else row.peer,
    )


def _who(name: str) -> str:
    if name == "visitor":
        return "somebody"
    service = name.removeprefix("service ")
    return f"a token of {service}" if service != name else name


def _page(thing: str) -> str:
    kind, _, name = thing.partition(" ")
    return _PAGES[kind] + quote(name, safe="") if kind in _PAGES and name else ""


def _more(detail: str) -> str:
    service = detail.removeprefix("service ")
    text = _SHA.sub(lambda found: found[0][:SHORT_SHA], service)
    if not detail:
        return ""
    return f" of {text}" if service != detail else f": {text}"
