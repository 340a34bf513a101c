"""Idempotency: a request that comes again with the same key gets the first answer again.

Answers are kept sealed with the bot's own key, since some of them show a new token: the database alone tells none.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.errors import Conflict, Invalid
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
    key: str
    """The Idempotency-Key."""
    content: bytes
    """Method, path and body: all that must be the same when it comes again."""
    secrets: Sequence[str]
    """The bot's keys: the first one seals, any may have sealed."""


def once(request: Request | None, act: Callable[[], Answered], *, now: int) -> Answered:
    """Carry out `act` in one transaction, unless the same request was answered within a day: then answer that again.

    Raises Invalid where the key came with another request, Conflict where the answer cannot be unsealed any more.
    Without a request, `act` is just carried out.
    """
    if request is None:
        return store.write(act)
    _check(request)
    return store.write(lambda: _once(request, act, now))


def recall(request: Request, *, now: int) -> Answered | None:
    """What the same request was answered with within a day; None where it was not. Raises as `once` does."""
    _check(request)
    mine = (Answer.principal == request.principal, Answer.key == request.key, ~old(now))
    earlier = Answer.get_or_none(*mine)
    return None if earlier is None else _again(request, earlier)


def forget(principal: str) -> None:
    """Forget all answers to somebody: whoever has the name next is somebody else. To be called inside a write."""
    Answer.delete().where(Answer.principal == principal).execute()


def old(now: int) -> Any:
    """Which rows are kept no longer. Any: peewee's."""
    return Answer.created < now - KEPT


def _once(request: Request, act: Callable[[], Answered], now: int) -> Answered:
    Answer.delete().where(old(now)).execute()
    earlier = Answer.get_or_none(Answer.principal == request.principal, Answer.key == request.key)
    if earlier is None:
        answered = act()
        _keep(request, answered, now)
        return answered
    return _again(request, earlier)


def _again(request: Request, earlier: Answer) -> Answered:
    if earlier.fingerprint != _fingerprint(request):
        raise Invalid("Idempotency-Key: it was used for another request before; take a new key for a new request")
    return Answered(earlier.status, _unsealed(request, bytes(earlier.body)))


def _check(request: Request) -> None:
    if not 1 <= len(request.key) <= LONGEST_KEY:
        raise Invalid(f"Idempotency-Key: expected 1 to {LONGEST_KEY} characters, got {len(request.key)}")


def _fingerprint(request: Request) -> str:
    return hashlib.sha256(request.content).hexdigest()


def _keep(request: Request, answered: Answered, now: int) -> None:
    Answer.create(
        principal=request.principal,
        key=request.key,
        fingerprint=_fingerprint(request),
        status=answered.status,
        body=_seal(request).encrypt(answered.body),
        created=now,
    )


def _unsealed(request: Request, body: bytes) -> bytes:
    try:
        return _seal(request).decrypt(body)
    except InvalidToken as error:
        raise Conflict(
            "Idempotency-Key: this request was carried out, but with another secret_key; look, and take a new key"
        ) from error


def _seal(request: Request) -> MultiFernet:
    digests = [hashlib.sha256(f"answer {request.principal} {secret}".encode()).digest() for secret in request.secrets]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
