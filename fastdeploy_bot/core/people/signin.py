"""Signing in: a name and a password for a session or a token. All who ask wait and fail alike."""

from __future__ import annotations

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.people import audit, passwords, sessions, throttle, tokens, users
from fastdeploy_bot.core.people.sessions import Begun
from fastdeploy_bot.core.people.throttle import Entered
from fastdeploy_bot.core.people.tokens import Issued
from fastdeploy_bot.errors import Unauthenticated
from fastdeploy_bot.store.models import User
from fastdeploy_bot.words import Principal, PrincipalKind, Role


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody shows who wants to sign in."""

    username: str
    password: str
    peer: str
    """The address from which they ask."""

    def __repr__(self) -> str:
        return f"Given({self.username!r}, ********, {self.peer!r})"


class _Identified(msgspec.Struct, frozen=True):
    user: User
    entered: Entered


def begin_session(given: Given, *, agent: str, now: int) -> Begun:
    """A session for a browser. Raises Unauthenticated, TooMany, Busy."""
    found = _identify(given, now)

    def begin() -> Begun:
        user = _confirmed(found)
        begun = sessions.begin(user, peer=given.peer, agent=agent, now=now)
        audit.note(_principal(user, given), "sign in", f"session {begun.id}", now=now)
        return begun

    return store.write(begin)


def issue_token(given: Given, *, now: int) -> Issued:
    """A user token for a program. Raises Unauthenticated, TooMany, Busy."""
    found = _identify(given, now)

    def issue() -> Issued:
        user = _confirmed(found)
        issued = tokens.for_user(user, now=now)
        audit.note(_principal(user, given), "sign in", f"token {issued.id}", now=now)
        return issued

    return store.write(issue)


def confirm(given: Given, *, now: int) -> None:
    """Look whether it is still they who signed in once. Raises Unauthenticated, TooMany, Busy."""
    found = _identify(given, now)
    store.write(lambda: _confirmed(found))


def _identify(given: Given, now: int) -> _Identified:
    throttle.check(given.username, given.peer, now=now)
    with passwords.turn():
        entered = store.write(lambda: throttle.enter(given.username, given.peer, now=now))
        user = users.named(given.username)
        store.release()
        right = passwords.is_right(given.password, None if user is None else user.password)
    if user is None or not right:
        _note_the_last(given, user, entered, now)
        raise Unauthenticated("user name or password is wrong")
    return _Identified(user, entered)


def _confirmed(found: _Identified) -> User:
    """The user as they are now, their slips forgiven. To be called inside a write.

    Raises Unauthenticated where the password was changed since it was looked at: what began with the old one ends.
    """
    user = users.named(found.user.username)
    if user is None or (user.id, user.password) != (found.user.id, found.user.password):
        raise Unauthenticated("user name or password is wrong")
    throttle.forgive(found.entered)
    return user


def _note_the_last(given: Given, user: User | None, entered: Entered, now: int) -> None:
    """Write down that somebody has failed too often; of names only those that exist: others may be passwords."""
    if not entered.last:
        return
    visitor = Principal(PrincipalKind.VISITOR, "", peer=given.peer)
    thing = "an unknown name" if user is None else f"user {user.username}"
    store.write(lambda: audit.note(visitor, "fail to sign in", thing, now=now, detail="refused for a while"))


def _principal(user: User, given: Given) -> Principal:
    return Principal(PrincipalKind.USER, user.username, role=Role(user.role), peer=given.peer)
