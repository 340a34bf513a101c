"""Guests: people whom GitHub vouches for, known by GitHub's id of them and never by their name.

Whom an admin has given a password is a user of the bot's own, to whom GitHub only opens the door: their role stays as
it is. All others live by GitHub's word, which is asked each time they sign in: it lets them in, lowers their role, or
shuts them out. It never raises a role, and makes nobody an admin.
"""

from __future__ import annotations

from typing import Final

import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core.people import audit, sessions, throttle, users
from fastdeploy_bot.core.people.sessions import Begun
from fastdeploy_bot.core.people.throttle import Entered
from fastdeploy_bot.errors import Forbidden
from fastdeploy_bot.store.models import Service, User
from fastdeploy_bot.words import Person, Principal, PrincipalKind, Role


class Deployed(msgspec.Struct, frozen=True, order=True):
    """A repository that is deployed here."""

    name: str
    """`owner/name`, in lower case."""
    id: int | None
    """GitHub's id of it; None where it was not seen yet."""

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.name.partition("/")[0]


class Given(msgspec.Struct, frozen=True):
    """What repositories give somebody."""

    role: Role | None
    """None: nothing."""
    repository: str = ""
    """Which of them gives no more."""
    why: str = ""
    unseen: bool = False
    """Whether it gives nothing because our App does not see it, so that nobody can say who may what there."""

    @property
    def rank(self) -> int:
        """The least first."""
        return -1 if self.role is None else self.role.rank


NOTHING: Final = Given(None)
TOO_LITTLE: Final = (
    "GitHub gives you too little here: it takes permission to read every private repository that this bot "
    "deploys, and to write to every public one; else ask an admin for a user name"
)
UNSEEN: Final = (
    "GitHub cannot say what you may do here: this bot's GitHub App does not see every repository that is deployed; "
    "ask an admin to install it on all of them, or for a user name"
)


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who came back from GitHub."""

    person: Person
    given: Given
    """What their permissions come to; nothing, too, where they were not asked for."""
    entered: tuple[Entered, ...]
    peer: str
    """The address from which they come."""
    agent: str


def repositories() -> list[Deployed]:
    """All that is deployed here, by name; a service whose file never told its repository deploys nothing."""
    told = (Service.removed.is_null()) & (Service.repository != "")
    rows = Service.select(Service.repository, Service.repository_id).where(told)
    return sorted({Deployed(row.repository, row.repository_id) for row in rows}, key=lambda each: each.name)


def enter(peer: str, *, now: int) -> Entered:
    """Count somebody who came back from GitHub, before it is asked who that is. Raises TooMany."""
    return store.write(lambda: throttle.enter_from(peer, now=now))


def enter_as(person: Person, *, now: int) -> Entered:
    """Count them once more, now that it is known who they are. Raises TooMany."""
    return store.write(lambda: throttle.enter_as(f"github {person.id}", now=now))


def lives_by_github(person: Person) -> bool:
    """Whether their role is for GitHub to say, and not for an admin alone."""
    user = _found(person)
    return user is None or not user.password


def begin_session(visit: Visit, *, now: int) -> Begun:
    """A session for somebody whom GitHub vouches for, who becomes a user where they were none.

    Raises Forbidden where GitHub gives them nothing, Conflict where no name is free or the last admin would go.
    """

    def decide() -> Begun | None:
        user = _found(visit.person)
        if user is None or not user.password:
            user = _admitted(visit, user, now)
        return None if user is None else _begun(visit, user, now)

    begun = store.write(decide)
    if begun is None:
        raise Forbidden(UNSEEN if visit.given.unseen else TOO_LITTLE)
    return begun


def _admitted(visit: Visit, user: User | None, now: int) -> User | None:
    """Somebody who lives by GitHub's word, as that is by now; None where it shuts them out."""
    role = visit.given.role
    if role is None:
        if user is not None:
            why = "GitHub cannot say what they may do" if visit.given.unseen else "GitHub gives them too little"
            users.shut_out(user, why, now=now)
        _note_the_last(visit, now)
        return None
    if user is None:
        return users.add_guest(visit.person, role, peer=visit.peer, now=now)
    if role.rank < _most(Role(user.role)).rank:
        users.lower(user, role, "as GitHub says", now=now)
    return users.find(user.username)


def _most(role: Role) -> Role:
    """The most that GitHub can say of somebody with that role: of admins, too, no more than that they may write."""
    return min(role, Role.DEPLOYER, key=lambda each: each.rank)


def _begun(visit: Visit, user: User, now: int) -> Begun:
    for entered in visit.entered:
        throttle.forgive(entered)
    User.update(github_login=visit.person.login).where(User.id == user.id).execute()
    begun = sessions.begin(user, peer=visit.peer, agent=visit.agent, now=now)
    who = Principal(PrincipalKind.USER, user.username, role=Role(user.role), peer=visit.peer)
    audit.note(who, "sign in", f"session {begun.id}", now=now, detail=f"as {visit.person.login} on GitHub")
    return begun


def _note_the_last(visit: Visit, now: int) -> None:
    """Write down that somebody was refused too often to be asked for again."""
    if any(entered.last for entered in visit.entered):
        visitor = Principal(PrincipalKind.VISITOR, "", peer=visit.peer)
        name = f"{visit.person.login} on GitHub"
        audit.note(visitor, "fail to sign in", name, now=now, detail="refused for a while")


def _found(person: Person) -> User | None:
    found: User | None = User.get_or_none(User.github_id == person.id)
    return found
