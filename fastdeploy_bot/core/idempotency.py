"""Idempotency: a request that comes again with the same key gets the first answer again.

Answers are kept sealed with a key made of the caller's own token, since some of them show a new token.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.fernet import Fernet

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.errors import Invalid
from fastdeploy_bot.store.models import Answer

KEPT: Final = clock.DAY
LONGEST_KEY: Final = 255


class Answered(msgspec.Struct, frozen=True):
    """What a request was answered with."""

    status: int
    body: bytes


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request that must not be carried out twice."""

    principal: str
    bearer: str
    key: str
    """The Idempotency-Key."""
    content: bytes
    """Method, path and body: all that must be the same when it comes again."""


def once(request: Request | None, act: Callable[[], Answered], *, now: int) -> Answered:
    """Carry out `act` in one transaction, unless the same request was answered within a day: then answer that again.

    Raises Invalid where the key came with another request. Without a request, `act` is just carried out.
    """
    if request is None:
        return store.write(act)
    if not 1 <= len(request.key) <= LONGEST_KEY:
        raise Invalid(f"Idempotency-Key: expected 1 to {LONGEST_KEY} characters, got {len(request.key)}")
    return store.write(lambda: _once(request, act, now))


def _once(request: Request, act: Callable[[], Answered], now: int) -> Answered:
    Answer.delete().where(Answer.created < now - KEPT).execute()
    fingerprint = hashlib.sha256(request.content).hexdigest()
    earlier = Answer.get_or_none(Answer.principal == request.principal, Answer.key == request.key)
    if earlier is None:
        answered = act()
        _keep(request, fingerprint, answered, now)
        return answered
    if earlier.fingerprint != fingerprint:
        raise Invalid("Idempotency-Key: it was used for another request before; take a new key for a new request")
    return Answered(earlier.status, _seal(request).decrypt(bytes(earlier.body)))


def _keep(request: Request, fingerprint: str, answered: Answered, now: int) -> None:
    Answer.create(
        principal=request.principal,
        key=request.key,
        fingerprint=fingerprint,
        status=answered.status,
        body=_seal(request).encrypt(answered.body),
        created=now,
    )


def _seal(request: Request) -> Fernet:
    key = hashlib.sha256(f"answer {request.key} {request.bearer}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
