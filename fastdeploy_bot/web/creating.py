"""Creating: what must not happen twice because an answer was lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec
from flask import request

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.people import idempotency
from fastdeploy_bot.core.people.idempotency import Answered
from fastdeploy_bot.errors import Malformed
from fastdeploy_bot.web import context
from fastdeploy_bot.web.answers import Answer
from fastdeploy_bot.words import Principal

T = TypeVar("T")


def by_form(
    who: Principal, fields: Sequence[str], create: Callable[[], bytes], *, before: Callable[[], None] = lambda: None
) -> bytes:
    """Create something that a form asks for, or give the first answer again where the same form came before.

    The form is known by its field `nonce` and by what it says in those fields. `before` is what has to happen first,
    outside of the transaction. Raises Malformed without a nonce.
    """
    nonce = request.form.get("nonce", "")
    if not nonce:
        raise Malformed("nonce: the form lacks the field by which it is known: reload its page, and try again")
    content = "\n".join([nonce, request.path, *(request.form.get(field, "") for field in fields)]).encode()
    asked = idempotency.Request(
        principal=f"{who.kind} {who.name}",
        key=f"form {hashlib.sha256(content).hexdigest()}",
        content=content,
        secrets=context.bot().settings.keys,
    )
    if idempotency.recall(asked, now=clock.now()) is None:
        before()
    answered = idempotency.once(asked, lambda: Answered(HTTPStatus.OK, create()), now=clock.now())
    context.bot().bell.ring()
    return answered.body


def once(
    who: Principal,
    create: Callable[[], T],
    status: int = HTTPStatus.CREATED,
    *,
    before: Callable[[], None] = lambda: None,
) -> Answer[T]:
    """Create something, or give the first answer again where the same request came before.

    `before` is what has to happen first, outside of the transaction.
    """
    asked = _asked(who)
    if asked is None or idempotency.recall(asked, now=clock.now()) is None:
        before()
    answered = idempotency.once(asked, lambda: Answered(status, msgspec.json.encode(create())), now=clock.now())
    context.bot().bell.ring()
    return Answer(answered.body, answered.status, mimetype=Answer.media)


def _asked(who: Principal) -> idempotency.Request | None:
    """The request as one that may come again; None where it does not say so."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    content = b" ".join([request.method.encode(), request.full_path.encode(), request.get_data()])
    return idempotency.Request(
        principal=f"{who.kind} {who.name}", key=key, content=content, secrets=context.bot().settings.keys
    )
