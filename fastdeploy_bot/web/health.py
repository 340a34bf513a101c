"""Health: is the process there, and can it do its work."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from fastdeploy_bot import store
from fastdeploy_bot.web import answers

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """The process answers."""
    return answers.as_json({"status": "ok"})


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """The database can be written and its schema is this version's; otherwise 503 with the reason."""
    store.check()
    return answers.as_json({"status": "ready"})
