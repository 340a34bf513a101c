"""Creating: what must not happen twice because an answer was lost."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, request

from fastdeploy_bot.core import clock, idempotency
from fastdeploy_bot.core.idempotency import Answered
from fastdeploy_bot.web import context
from fastdeploy_bot.words import Principal


def once(who: Principal, create: Callable[[], Any], status: int = HTTPStatus.CREATED) -> Response:
    """Create something, or give the first answer again where the same request came before."""
    key = request.headers.get("Idempotency-Key")
    content = b" ".join([request.method.encode(), request.full_path.encode(), request.get_data()])
    asked = idempotency.Request(
        principal=f"{who.kind} {who.name}", key=key or "", content=content, secrets=context.bot().settings.keys
    )
    answered = idempotency.once(
        asked if key is not None else None,
        lambda: Answered(status, msgspec.json.encode(create())),
        now=clock.now(),
    )
    context.bot().bell.ring()
    return Response(answered.body, answered.status, mimetype="application/json")
