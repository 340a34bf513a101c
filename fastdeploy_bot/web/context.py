"""What every route needs: the bot it belongs to, and who asks."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar, cast

import msgspec
from flask import current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from fastdeploy_bot.bell import Bell
from fastdeploy_bot.core import clock, tokens
from fastdeploy_bot.core.catalogue import Catalogue
from fastdeploy_bot.errors import Invalid, Malformed, Unauthenticated
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.words import Principal

T = TypeVar("T")

EXTENSION = "fastdeploy"
LONGEST_NUMBER = 19


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
    """Who asks. Raises Unauthenticated."""
    return tokens.principal(bearer(), keys=bot().settings.keys, now=clock.now())


def raw_body(largest: int) -> bytes:
    """The request's body as it was sent, read once. Raises RequestEntityTooLarge for one of more bytes."""
    request.max_content_length = largest
    data = request.get_data(cache=False)
    # A chunked body tells no length, and is cut off at the bound without a word.
    if len(data) == largest and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    return data


def body(shape: type[T]) -> T:
    """The request's JSON body as a typed value; no body is an empty object. Raises Malformed, Invalid."""
    try:
        # In two steps: JSON that ends early is malformed, whatever stands before that.
        return msgspec.convert(msgspec.json.decode(request.get_data() or b"{}"), shape)
    except msgspec.ValidationError as error:
        raise Invalid(f"body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"body: not valid JSON: {error}") from error


def number(name: str, default: int, *, least: int, most: int) -> int:
    """A whole number among the query parameters. Raises Invalid."""
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > LONGEST_NUMBER or not least <= int(text) <= most:
        raise Invalid(f"{name}: expected a whole number from {least} to {most}, got {text[:40]!r}")
    return int(text)


def choice(name: str, among: type[StrEnum]) -> StrEnum:
    """A word among the query parameters. Raises Invalid for one that is none of those known."""
    try:
        return among(request.args[name])
    except ValueError as error:
        raise Invalid(f"{name}: expected {', '.join(among)}, got {request.args[name][:40]!r}") from error
