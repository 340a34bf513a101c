"""Health: is the process there, and can it do its work."""

from __future__ import annotations

from typing import Literal

import msgspec
from flask import Blueprint

from fastdeploy_bot import store
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.web import answers
from fastdeploy_bot.web.answers import Answer
from fastdeploy_bot.web.operations import operation

bp = Blueprint("health", __name__)


class Health(msgspec.Struct, frozen=True):
    """How the bot is."""

    status: Literal["ok", "ready"]


@bp.get("/healthz")
@operation()
def healthz() -> Answer[Health]:
    """The process answers."""
    return answers.as_json(Health("ok"))


@bp.get("/readyz")
@operation(errors=[Unavailable])
def readyz() -> Answer[Health]:
    """The database can be written and its schema is this version's; otherwise 503 with the reason."""
    store.check()
    return answers.as_json(Health("ready"))
