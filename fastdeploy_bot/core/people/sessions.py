"""Sessions: browsers that signed in. The row decides; the cookie is known by its SHA-256 only.

A session lasts 12 hours, prolonged by what its owner does, never by what they read, and at most 30 days; a guest's
of GitHub at most a day.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.errors import Unauthenticated
from fastdeploy_bot.store.models import Session, User
from fastdeploy_bot.words import Principal, PrincipalKind, Role

LIFE: Final = 12 * 3_600 * clock.SECOND
LONGEST: Final = 30 * clock.DAY
"""How old a session can become, however often it is prolonged."""
LONGEST_OF_GUEST: Final = clock.DAY
"""How old one of somebody can become who lives by GitHub's word, which is asked when they sign in."""
LONGEST_AGENT: Final = 200
_FIND: Final = store.Prepared[Session](
    lambda digest: (
        Session.select(
            *(Session.id, Session.created, Session.expires, Session.ended), User.username, User.role, User.password
        )
        .join(User)
        .where(Session.hash == digest)
    )
)
_WORTHWHILE: Final = 60 * clock.SECOND
"""A session that would gain less than this is left as it is."""


class Begun(msgspec.Struct, frozen=True):
    """A new session; the only moment at which its cookie is known."""

    id: int
    cookie: str
    expires: int


class Found(msgspec.Struct, frozen=True):
    """A session that lasts."""

    principal: Principal
    """Its user, without the address from which they ask."""
    id: int
    created: int
    expires: int
    longest: int = LONGEST
    """How old it can become."""


def begin(user: User, *, peer: str, agent: str, now: int) -> Begun:
    """A session of the user's. To be called inside a write."""
    Session.delete().where(old(now)).execute()
    cookie = secrets.token_urlsafe(32)
    row = Session.create(
        hash=tokens.digest(cookie),
        user=user,
        created=now,
        expires=now + LIFE,
        peer=peer,
        agent="".join(filter(str.isprintable, agent))[:LONGEST_AGENT],
    )
    return Begun(row.id, cookie, row.expires)


def find(cookie: str, *, now: int) -> Found:
    """The session that a cookie speaks for. Raises Unauthenticated where it is unknown, expired or ended."""
    rows = _FIND.tuples(tokens.digest(cookie))
    if not rows:
        raise Unauthenticated("this session is not known")
    [(number, created, expires, ended, username, role, password)] = rows
    if ended is not None:
        raise Unauthenticated("this session was ended")
    if expires <= now:
        raise Unauthenticated("this session has expired: sign in again")
    who = Principal(PrincipalKind.USER, username, role=Role(role))
    return Found(who, number, created, expires, LONGEST if password else LONGEST_OF_GUEST)


def prolong(found: Found, *, now: int) -> Found:
    """The session as it lasts 12 hours from now, as far as it is not too old for that."""
    expires = min(now + LIFE, found.created + found.longest)
    if expires - found.expires < _WORTHWHILE:
        return found
    mine = (Session.id == found.id) & Session.ended.is_null()
    store.write(lambda: Session.update(expires=expires).where(mine).execute())
    return msgspec.structs.replace(found, expires=expires)


def of_user(user: User, *, now: int) -> list[Session]:
    """The user's sessions that last, newest first."""
    return list(Session.select().where(_lasting(user, now)).order_by(Session.id.desc()))


def end(user: User, number: int, *, now: int) -> bool:
    """End one of the user's sessions; False where there is none of that id. To be called inside a write."""
    return bool(Session.update(ended=now).where(_lasting(user, now), Session.id == number).execute())


def end_all(user: User, *, now: int) -> int:
    """End every session of the user; answers how many there were. To be called inside a write."""
    return int(Session.update(ended=now).where(_lasting(user, now)).execute())


def old(now: int) -> Any:
    """Which rows are of no use any more. Any: peewee's."""
    return Session.created <= now - LONGEST


def peers(username: str) -> set[str]:
    """From where the user of that name has signed in within the last 30 days; nowhere where there is no such user."""
    rows = Session.select(Session.peer).join(User).where(User.username == username).distinct()
    return {row.peer for row in rows}


def _lasting(user: User, now: int) -> object:
    return (Session.user == user) & Session.ended.is_null() & (Session.expires > now)
