"""Cloaks: what stands in a page for a deployment's number, before those who see no more than states.

Numbers count the deployments of everybody. A cloak says nothing, and of the same number is the same one each time, so
that an open page knows again what it shows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from flask import Flask

from fastdeploy_bot.core.looks.standing import Run, Sight
from fastdeploy_bot.web import context

_BYTES: Final = 8
"""Of a number."""
_LENGTH: Final = 32
"""Characters of a cloak."""


def register(app: Flask) -> None:
    """Give templates this word as a filter."""
    app.jinja_env.filters.update(mark=mark)


def mark(run: Run) -> str:
    """What a deployment is known by in a page: its number, where the reader may know it."""
    return cloak(run.id) if run.sight is Sight.STATE else str(run.id)


def cloak(number: int) -> str:
    """What stands for a number."""
    return base64.urlsafe_b64encode(_ciphers()[0].encrypt(number.to_bytes(_BYTES), None)).decode()


def uncloak(text: str) -> int | None:
    """The number that a text stands for; None where it is no cloak of this bot's."""
    if len(text) != _LENGTH or not text.isascii():
        return None
    for cipher in _ciphers():
        try:
            return int.from_bytes(cipher.decrypt(base64.urlsafe_b64decode(text), None))
        except (InvalidTag, binascii.Error):
            continue
    return None


def _ciphers() -> list[AESSIV]:
    """One for each of the bot's keys: the first cloaks. Source: RFC 5297."""
    keys = context.bot().settings.keys
    return [AESSIV(hashlib.sha256(f"fastdeploy deployment number {key}".encode()).digest()) for key in keys]
