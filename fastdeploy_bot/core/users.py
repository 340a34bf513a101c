"""Users: who may sign in, with which role."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from werkzeug.security import check_password_hash, generate_password_hash

from fastdeploy_bot import store
from fastdeploy_bot.errors import Conflict, Invalid, NotFound, Unauthenticated
from fastdeploy_bot.store.models import Token, User
from fastdeploy_bot.words import LOCAL, Role

SHORTEST_PASSWORD: Final = 8
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NOBODY: Final = lru_cache(lambda: generate_password_hash("nobody"))
"""Checked for names that do not exist, so that they take as long as those that do."""


def add(username: str, password: str, role: Role, *, now: int) -> User:
    """A new user. Raises Invalid for a name or password that cannot be, Conflict where the name is taken."""
    if not _NAME.fullmatch(username) or username == LOCAL.name:
        raise Invalid(f"user name {username!r}: expected letters, digits, '.', '_' or '-', and not '{LOCAL.name}'")
    hashed = _hashed(password)

    def insert() -> bool:
        query = User.insert(username=username, password=hashed, role=role, created=now)
        return bool(query.on_conflict_ignore().as_rowcount().execute())

    if not store.write(insert):
        raise Conflict(f"there is already a user {username}: `fastdeploy user passwd {username}` sets a new password")
    return find(username)


def set_password(username: str, password: str, *, now: int) -> None:
    """Replace a user's password, and end all that was signed in with the old one. Raises NotFound, Invalid."""
    user = find(username)
    hashed = _hashed(password)

    def replace() -> None:
        User.update(password=hashed).where(User.id == user.id).execute()
        Token.update(revoked=now).where(Token.user == user, Token.revoked.is_null()).execute()

    store.write(replace)


def find(username: str) -> User:
    """The user of that name. Raises NotFound."""
    user = User.get_or_none(User.username == username)
    if user is None:
        raise NotFound(f"there is no user {username!r}: `fastdeploy user list` lists them")
    return user


def everyone() -> list[User]:
    """All users, by name."""
    return list(User.select().order_by(User.username))


def identify(username: str, password: str) -> User:
    """The user whose name and password these are. Raises Unauthenticated, alike for a wrong name and password."""
    user = User.get_or_none(User.username == username)
    right = check_password_hash(_NOBODY() if user is None else user.password, password)
    if user is None or not right:
        raise Unauthenticated("user name or password is wrong")
    return user


def _hashed(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise Invalid(f"password: expected at least {SHORTEST_PASSWORD} characters")
    return generate_password_hash(password)
