"""Round trips: a way to another site's page that comes back to the session in which it began, once, within an hour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people.macs import is_genuine, mac
from fastdeploy_bot.core.people.sessions import Found
from fastdeploy_bot.errors import Forbidden
from fastdeploy_bot.store.models import Session

LONGEST: Final = 3_600 * clock.SECOND
_PURPOSE: Final = "round trip"


def begin(session: Found, *, key: str, now: int) -> str:
    """A state to send along. Nothing is written: each page may carry one."""
    return f"{now}-{mac(_PURPOSE, _told(session, now), key)}"


def end(session: Found, state: str, *, keys: Iterable[str], now: int) -> None:
    """Take back a state of this session's: that one, and those from before it, are good for nothing any more.

    Raises Forbidden.
    """
    begun, _, signature = state.partition("-")
    known = begun.isascii() and begun.isdigit() and len(begun) < 19
    if not (known and is_genuine(signature, _PURPOSE, _told(session, int(begun)), keys)):
        raise Forbidden("this way back did not begin in your session: open /setup, and begin there")
    if not int(begun) <= now < int(begun) + LONGEST:
        raise Forbidden("this way back took longer than an hour: open /setup, and begin again")
    unused = Session.setup.is_null() | (Session.setup < int(begun))
    mine = (Session.id == session.id) & Session.ended.is_null() & unused
    if not store.write(lambda: Session.update(setup=int(begun)).where(mine).execute()):
        raise Forbidden("this way back was taken before: open /setup, and look what came of it")


def _told(session: Found, begun: int) -> str:
    return f"{session.id} {session.created} {begun}"
