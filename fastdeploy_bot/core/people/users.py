"""Users: who may sign in, with which role. Whatever is changed about one ends all that they are signed in with."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, cast

import msgspec
import peewee

from fastdeploy_bot import store
from fastdeploy_bot.core.people import audit, idempotency, passwords, sessions, tokens
from fastdeploy_bot.errors import Conflict, Invalid, NotFound
from fastdeploy_bot.store.models import Session, Token, User
from fastdeploy_bot.words import BOT, LOCAL, Person, Principal, PrincipalKind, Role

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_RESERVED: Final = frozenset({LOCAL.name, BOT.name, PrincipalKind.VISITOR.value})
"""Names by which the audit tells of others than users."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A user, and how they sign in."""

    username: str
    role: Role
    created: int
    password: bool
    """Whether they have one."""
    github_id: int | None
    """GitHub's id of the account that signs in as this user."""
    github_login: str
    """What that account was called when it signed in last."""
    signed_in: int | None
    """When they signed in last; None where no row tells that any more."""


def add(username: str, password: str, role: Role, *, by: Principal, now: int) -> User:
    """A new user. Raises Invalid for a name or password that cannot be, Conflict where the name is taken.

    A name that differs from another by its case alone is taken: people would take one for the other.
    """
    if not _NAME.fullmatch(username) or username.lower() in _RESERVED:
        names = ", ".join(sorted(_RESERVED))
        raise Invalid(f"user name {username!r}: expected letters, digits, '.', '_' or '-', and none of {names}")
    hashed = passwords.hashed(password)

    def insert() -> User:
        alike = User.get_or_none(peewee.fn.LOWER(User.username) == username.lower())
        query = User.insert(username=username, password=hashed, role=role, created=now)
        if alike is not None or not query.on_conflict_ignore().as_rowcount().execute():
            taken = username if alike is None else alike.username
            raise Conflict(f"there is already a user {taken}: give them a new password, or choose another name")
        audit.note(by, "add", f"user {username}", now=now, detail=role)
        return find(username)

    return store.write(insert)


def set_password(username: str, password: str, *, by: Principal, now: int) -> None:
    """Replace a user's password. Raises NotFound, Invalid."""
    find(username)
    hashed = passwords.hashed(password)

    def replace(user: User) -> None:
        User.update(password=hashed).where(User.id == user.id).execute()
        audit.note(by, "set password", f"user {username}", now=now)

    _change(username, replace, now)


def add_guest(person: Person, role: Role, *, peer: str, now: int) -> User:
    """A new user whom GitHub vouches for, by a name that nobody has. To be called inside a write; raises Conflict."""
    username = _free_name(person)
    User.create(username=username, password="", role=role, created=now, github_id=person.id, github_login=person.login)
    who = Principal(PrincipalKind.USER, username, role=role, peer=peer)
    audit.note(who, "add", f"user {username}", now=now, detail=f"{role}, as GitHub says")
    return find(username)


def link(username: str, github_id: int, *, by: Principal, now: int) -> None:
    """Let an account of GitHub's sign in as that user. Raises NotFound, Conflict where it is somebody else already."""

    def open_door(user: User) -> None:
        other = User.get_or_none(User.github_id == github_id, User.id != user.id)
        if other is not None:
            raise Conflict(f"that account of GitHub's is {other.username} already: remove that user first")
        User.update(github_id=github_id, github_login=None).where(User.id == user.id).execute()
        audit.note(by, "link", f"user {username}", now=now, detail=f"GitHub account {github_id}")

    _change(username, open_door, now)


def unlink(username: str, *, by: Principal, now: int) -> None:
    """Let nobody sign in as that user by GitHub. Raises NotFound, Conflict where they could not sign in any more."""

    def close_door(user: User) -> None:
        if not user.password:
            raise Conflict(f"{username} signs in by GitHub alone: give them a password first, or remove them")
        User.update(github_id=None, github_login=None).where(User.id == user.id).execute()
        audit.note(by, "unlink", f"user {username}", now=now)

    _change(username, close_door, now)


def lower(user: User, role: Role, why: str, *, now: int) -> None:
    """Take rights away from a user, and end all that they are signed in with. Inside a write; raises Conflict."""
    _require_another_admin(user)
    _end_all(user, now)
    User.update(role=role).where(User.id == user.id).execute()
    audit.note(BOT, "set role", f"user {user.username}", now=now, detail=f"{user.role} → {role}, {why}")


def shut_out(user: User, why: str, *, now: int) -> None:
    """End all that a user is signed in with. To be called inside a write."""
    if _end_all(user, now):
        audit.note(BOT, "sign out everywhere", f"user {user.username}", now=now, detail=why)


def set_role(username: str, role: Role, *, by: Principal, now: int) -> None:
    """Give a user another role. Raises NotFound, Conflict for the last admin."""

    def replace(user: User) -> None:
        if user.role == role:
            raise Conflict(f"{username} is {role} already")
        _require_another_admin(user)
        User.update(role=role).where(User.id == user.id).execute()
        audit.note(by, "set role", f"user {username}", now=now, detail=f"{user.role} → {role}")

    _change(username, replace, now)


def remove(username: str, *, by: Principal, now: int) -> None:
    """Take a user away; what they did stays written down. Raises NotFound, Conflict for the last admin."""

    def take_away(user: User) -> None:
        _require_another_admin(user)
        for rows in (Session, Token):
            rows.delete().where(rows.user == user).execute()
        idempotency.forget(f"user {username}")
        User.delete().where(User.id == user.id).execute()
        audit.note(by, "remove", f"user {username}", now=now)

    _change(username, take_away, now)


def sign_out_everywhere(username: str, *, by: Principal, now: int) -> None:
    """End a user's sessions and tokens, and change nothing else. Raises NotFound."""
    _change(username, lambda _user: audit.note(by, "sign out everywhere", f"user {username}", now=now), now)


def end_session(username: str, number: int, *, by: Principal, now: int) -> None:
    """End one of a user's sessions. Raises NotFound where they have none of that id."""

    def end() -> None:
        if not sessions.end(find(username), number, now=now):
            raise NotFound(f"{username} has no session {number}")
        audit.note(by, "sign out", f"session {number}", now=now)

    store.write(end)


def find(username: str) -> User:
    """The user of that name. Raises NotFound."""
    user = named(username)
    if user is None:
        raise NotFound(f"there is no user {username!r}: `fastdeploy user list` lists them")
    return user


def named(username: str) -> User | None:
    """The user of that name, if there is one; what is no name is nobody's."""
    found: User | None = User.get_or_none(User.username == username) if _NAME.fullmatch(username) else None
    return found


def everyone() -> list[User]:
    """All users, by name."""
    return list(User.select().order_by(User.username))


def is_anybody_there() -> bool:
    """Whether there is a user at all."""
    return bool(User.select().exists())


def accounts() -> list[Account]:
    """All users as an admin sees them, by name."""
    last = _signed_in()
    return [
        Account(
            username=row.username,
            role=Role(row.role),
            created=row.created,
            password=bool(row.password),
            github_id=row.github_id,
            github_login=row.github_login or "",
            signed_in=last.get(row.id),
        )
        for row in everyone()
    ]


def _signed_in() -> dict[int, int]:
    """When each user signed in last, by their ids, as far as that is still known."""
    last: dict[int, int] = {}
    for rows in (Session, Token):
        mine = rows.select(rows.user, peewee.fn.MAX(rows.created).alias("newest")).where(rows.user.is_null(False))
        found = cast("list[tuple[int, int]]", list(mine.group_by(rows.user).tuples()))
        last |= {user: max(moment, last.get(user, 0)) for user, moment in found}
    return last


def _change(username: str, change: Callable[[User], None], now: int) -> None:
    """Change a user, and end all that they are signed in with, in one transaction."""

    def act() -> None:
        user = find(username)
        _end_all(user, now)
        change(user)

    store.write(act)


def _end_all(user: User, now: int) -> bool:
    """End what a user is signed in with; answers whether that was anything."""
    ended = sessions.end_all(user, now=now)
    return bool(tokens.revoke_of_user(user, now=now) + ended)


def _free_name(person: Person) -> str:
    """What to call somebody of GitHub's: never as somebody else of ours is called, in whatever case."""
    taken = {each.username.lower() for each in everyone()} | _RESERVED
    for name in (person.login, f"{person.login}.{person.id}"):
        if _NAME.fullmatch(name) and name.lower() not in taken:
            return name
    raise Conflict(f"{person.login} cannot be a user's name here: ask an admin for another one")


def _require_another_admin(user: User) -> None:
    others = User.select().where(User.role == Role.ADMIN, User.id != user.id)
    if user.role == Role.ADMIN and not others.exists():
        raise Conflict(f"{user.username} is the last admin: make somebody else one first")
