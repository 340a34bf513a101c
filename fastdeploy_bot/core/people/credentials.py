"""Credentials: what a token or a session that was shown once is worth by now."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any

import msgspec

from fastdeploy_bot.store.models import Session, Token, User
from fastdeploy_bot.words import Principal, PrincipalKind, Role


class Proof(StrEnum):
    """What was shown."""

    TOKEN = "token"  # noqa: S105 - a word, not a secret
    SESSION = "session"


class Credential(msgspec.Struct, frozen=True):
    """A user token or a session, by the SHA-256 under which it is stored."""

    proof: Proof
    hash: str


class Stay(msgspec.Struct, frozen=True):
    """A user, until that moment."""

    principal: Principal
    until: int


def worth(credentials: Collection[Credential], *, now: int) -> dict[Credential, Stay]:
    """What each of them is worth now; those that are unknown, expired, revoked or ended are missing."""
    return {
        **_worth(credentials, Proof.TOKEN, Token, Token.revoked.is_null(), now),
        **_worth(credentials, Proof.SESSION, Session, Session.ended.is_null(), now),
    }


def _worth(
    credentials: Collection[Credential], proof: Proof, table: type[Token] | type[Session], lasts: Any, now: int
) -> dict[Credential, Stay]:
    """Any: a condition on the table's rows has no better type."""
    hashes = sorted({each.hash for each in credentials if each.proof is proof})
    if not hashes:
        return {}
    rows = table.select(table, User).join(User).where(table.hash.in_(hashes), lasts, table.expires > now)
    return {Credential(proof, row.hash): Stay(_principal(row.user), row.expires) for row in rows}


def _principal(user: User) -> Principal:
    return Principal(PrincipalKind.USER, user.username, role=Role(user.role))
