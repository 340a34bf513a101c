"""Tokens: three narrow kinds, kept as SHA-256 only. The row decides; a signature merely filters.

A user token (`fdu_…`) may do what the user's role may, a service token (`fds_…`) may start and read the deployments
of one service, a deployment token (a JWT) may report on one deployment for as long as its row is running.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import jwt
import msgspec

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import audit
from fastdeploy_bot.errors import Invalid, NotFound, Unauthenticated, Unavailable
from fastdeploy_bot.store.models import Deployment, Service, Token, User
from fastdeploy_bot.words import DeploymentState, Principal, PrincipalKind, Role

log = logging.getLogger(__name__)

USER_PREFIX: Final = "fdu_"
SERVICE_PREFIX: Final = "fds_"
USER_LIFE: Final = 12 * 3_600 * clock.SECOND
SERVICE_DAYS: Final = 90
MOST_SERVICE_DAYS: Final = 366
LONGEST_NAME: Final = 60
SOON: Final = 14 * clock.DAY
"""How long before its end a token is said to end soon."""
USED_EVERY: Final = 60 * clock.SECOND
"""How far back the moment may lie at which a token in use is said to have been shown last."""
ALGORITHM: Final = "HS256"
KNOWN: Final = 64
"""How many deployment tokens are kept as they were made or read: a script shows its own again and again."""

_OF_DEPLOYMENT: Final = store.Prepared[Deployment](
    lambda number, digest: (
        Deployment.select(Deployment.state, Service.name)
        .join(Service)
        .where(Deployment.id == number, Deployment.token_hash == digest)
    )
)


class Issued(msgspec.Struct, frozen=True):
    """A new token; the only moment at which its text is known."""

    id: int
    token: str
    expires: int


def digest(token: str) -> str:
    """How a token is stored: SHA-256, as hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def for_user(user: User, *, now: int) -> Issued:
    """A token with the rights of the user's role, for 12 hours. To be called inside a write."""
    return _issue(USER_PREFIX, PrincipalKind.USER, now, now + USER_LIFE, user=user)


def for_service(service: Service, *, days: int = SERVICE_DAYS, name: str = "", by: Principal, now: int) -> Issued:
    """A token that may start and read the service's deployments, called `name` by whoever makes it.

    To be called inside a write; raises Invalid, NotFound.
    """
    name = name.strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise Invalid(f"name: expected at most {LONGEST_NAME} characters, in one line")
    if not 1 <= days <= MOST_SERVICE_DAYS:
        raise Invalid(f"days: expected 1 to {MOST_SERVICE_DAYS}, got {days}")
    if service.removed is not None:
        raise NotFound(f"service {service.name} was removed: put its service.toml back first")
    issued = _issue(SERVICE_PREFIX, PrincipalKind.SERVICE, now, now + days * clock.DAY, service=service, name=name)
    told = [f"service {service.name}", "1 day" if days == 1 else f"{days} days", *([f"“{name}”"] if name else [])]
    audit.note(by, "create", f"token {issued.id}", now=now, detail=", ".join(told))
    return issued


@lru_cache(maxsize=KNOWN)
def for_deployment(deployment: int, run: str, *, key: str) -> str:
    """A token for one run of one deployment. Neither `iat` nor `exp`: clocks have no say in it."""
    claims = {"kind": PrincipalKind.DEPLOYMENT.value, "deployment": deployment, "run": run}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def of_service(service: Service) -> list[Token]:
    """The service's tokens, newest first."""
    return list(Token.select().where(Token.service == service).order_by(Token.id.desc()))


def of_services() -> list[Token]:
    """The tokens of all services, by the services' names and newest first."""
    rows = Token.select(Token, Service).join(Service).where(Token.kind == PrincipalKind.SERVICE)
    return list(rows.order_by(Service.name, Token.id.desc()))


def revoke(service: Service, token: int, *, by: Principal, now: int) -> None:
    """End a service token. Raises NotFound where the service has no such token."""

    def end() -> None:
        mine = (Token.id == token) & (Token.service == service)
        if not Token.select().where(mine).exists():
            raise NotFound(f"service {service.name} has no token {token}")
        if Token.update(revoked=now).where(mine, Token.revoked.is_null()).execute():
            audit.note(by, "revoke", f"token {token}", now=now, detail=f"service {service.name}")

    store.write(end)


def revoke_all(service: Service, *, now: int) -> None:
    """End every token of the service. To be called inside a write."""
    Token.update(revoked=now).where(Token.service == service, Token.revoked.is_null()).execute()


def revoke_of_user(user: User, *, now: int) -> int:
    """End every token of the user; answers how many there were. To be called inside a write."""
    return int(Token.update(revoked=now).where(Token.user == user, Token.revoked.is_null()).execute())


def principal(bearer: str, *, keys: Sequence[str], now: int) -> Principal:
    """Whom a bearer token speaks for. Raises Unauthenticated where it is malformed, unknown, expired or revoked."""
    if bearer.startswith((USER_PREFIX, SERVICE_PREFIX)):
        return _opaque(bearer, now)
    return _deployment(bearer, keys)


def note_used(bearer: str, *, now: int) -> None:
    """Write down that a user or service token was shown, where that was not done a minute ago.

    Whoever shows it does not wait for this: a busy database only has the next request tell.
    """
    if not bearer.startswith((USER_PREFIX, SERVICE_PREFIX)):
        return
    stale = (Token.hash == digest(bearer)) & (Token.used.is_null() | (Token.used < now - USED_EVERY))
    try:
        if Token.select().where(stale).exists():
            store.write(lambda: Token.update(used=now).where(stale).execute())
    except (store.DatabaseError, Unavailable):
        log.debug("the use of a token was not written down: the database is busy")


def _issue(
    prefix: str,
    kind: PrincipalKind,
    now: int,
    expires: int,
    *,
    user: User | None = None,
    service: Service | None = None,
    name: str = "",
) -> Issued:
    token = prefix + secrets.token_urlsafe(32)
    row = Token.create(
        hash=digest(token), kind=kind, user=user, service=service, created=now, expires=expires, name=name
    )
    return Issued(row.id, token, expires)


def _opaque(bearer: str, now: int) -> Principal:
    row = Token.get_or_none(Token.hash == digest(bearer))
    if row is None:
        raise Unauthenticated("this token is not known")
    if row.revoked is not None:
        raise Unauthenticated("this token was revoked")
    if row.expires <= now:
        raise Unauthenticated("this token has expired: ask for a new one")
    if row.kind == PrincipalKind.SERVICE:
        return Principal(PrincipalKind.SERVICE, row.service.name, service=row.service.name)
    return Principal(PrincipalKind.USER, row.user.username, role=Role(row.user.role))


def _deployment(bearer: str, keys: Sequence[str]) -> Principal:
    number = _claimed(bearer, tuple(keys))
    found = _OF_DEPLOYMENT.tuples(number, digest(bearer))
    if not found:
        raise Unauthenticated("this deployment token is not known any more")
    [(state, service)] = found
    return Principal(
        PrincipalKind.DEPLOYMENT,
        str(number),
        service=service,
        deployment=number,
        running=state == DeploymentState.RUNNING,
    )


@lru_cache(maxsize=KNOWN)
def _claimed(bearer: str, keys: tuple[str, ...]) -> int:
    for key in keys:
        try:
            claims = jwt.decode(bearer, key, algorithms=[ALGORITHM])
        except jwt.InvalidTokenError:
            continue
        if claims.get("kind") == PrincipalKind.DEPLOYMENT and isinstance(claims.get("deployment"), int):
            return int(claims["deployment"])
    raise Unauthenticated("this is not a token of this bot")
