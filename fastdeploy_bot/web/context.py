"""What every route needs: the bot it belongs to, and who asks."""

from __future__ import annotations

from typing import cast

import msgspec
from flask import Response, after_this_request, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from fastdeploy_bot import store
from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.catalogue import Catalogue
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.errors import Unauthenticated
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.words import Principal

EXTENSION = "fastdeploy"


class Bot(msgspec.Struct, frozen=True):
    """What an app is made of."""

    settings: Settings
    catalogue: Catalogue
    bell: Bell


def bot() -> Bot:
    """The bot whose app answers this request."""
    return cast("Bot", current_app.extensions[EXTENSION])


def bearer() -> str:
    """The request's bearer token. Raises Unauthenticated; cookies and query parameters are never looked at."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("send a token as `Authorization: Bearer …`")
    return token.strip()


def principal() -> Principal:
    """Who asks, by their bearer token. Raises Unauthenticated."""
    shown = bearer()
    who = tokens.principal(shown, keys=bot().settings.keys, now=clock.now())
    after_this_request(lambda answer: _note_used(answer, shown))
    return msgspec.structs.replace(who, peer=peer())


def peer() -> str:
    """The address from which the request comes."""
    return request.remote_addr or ""


def _note_used(answer: Response, shown: str) -> Response:
    """Have the token's use written down once the answer is sent: nobody waits for that."""

    def note() -> None:
        try:
            tokens.note_used(shown, now=clock.now())
        finally:
            store.release()

    answer.call_on_close(note)
    return answer


def raw_body(largest: int) -> bytes:
    """The request's body as it was sent, read once. Raises RequestEntityTooLarge for one of more bytes."""
    request.max_content_length = largest
    data = request.get_data(cache=False)
    # A chunked body tells no length, and is cut off at the bound without a word.
    if len(data) == largest and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    return data
