"""Health: is the process there, and can it do its work."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final, Literal, cast

import msgspec
from flask import Blueprint, Flask, current_app

from fastdeploy_bot import store
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.web import answers, context
from fastdeploy_bot.web.answers import Answer
from fastdeploy_bot.web.operations import operation

bp = Blueprint("health", __name__)

EXTENSION: Final = "fastdeploy.readiness"
SECONDS: Final = 1.0
"""How long what was found holds: anybody may ask, and a look costs a write."""
LEAST_FREE: Final = 8 << 20
"""How much room a home needs at least: for run folders, and for what scripts say."""


class Health(msgspec.Struct, frozen=True):
    """How the bot is."""

    status: Literal["ok", "ready"]


class DiskFull(Unavailable):
    """There is no room left on the disk."""


class Readiness:
    """What was found when somebody asked last."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._looked = -SECONDS
        self._problem: Unavailable | None = None

    def require(self, home: Path) -> None:
        """Raise Unavailable unless the bot can do its work. Whoever asks while somebody looks is told the same."""
        with self._guard:
            if time.monotonic() - self._looked >= SECONDS:
                self._problem = _problem(home)
                self._looked = time.monotonic()
        if self._problem is not None:
            raise self._problem


def register(app: Flask) -> None:
    """Give the app a memory of what was found."""
    app.extensions[EXTENSION] = Readiness()


@bp.get("/healthz")
@operation()
def healthz() -> Answer[Health]:
    """The process answers."""
    return answers.as_json(Health("ok"))


@bp.get("/readyz")
@operation(errors=[Unavailable])
def readyz() -> Answer[Health]:
    """The database has this version's schema and takes rows, and the disk has room; else 503 with the reason."""
    cast("Readiness", current_app.extensions[EXTENSION]).require(context.bot().settings.home)
    return answers.as_json(Health("ready"))


def _problem(home: Path) -> Unavailable | None:
    try:
        _require_room(home)
        store.check()
    except Unavailable as error:
        return error
    return None


def _require_room(home: Path) -> None:
    try:
        disk = os.statvfs(home)
    except OSError as error:
        raise Unavailable(f"{home} cannot be looked at: {error.strerror}") from error
    free = disk.f_bavail * disk.f_frsize
    if free < LEAST_FREE:
        raise DiskFull(f"no room on the disk of {home}: {free >> 10} KiB are free, {LEAST_FREE >> 10} are needed")
