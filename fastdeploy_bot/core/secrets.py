"""The secret store: `<home>/secrets/<service>/<NAME>`, one file a secret, readable by the bot's user alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import uuid4

from fastdeploy_bot.core import servicefile
from fastdeploy_bot.errors import Invalid, NotFound, SettingsError

SHORTEST: Final = 6
"""Bytes; anything shorter could not be masked without masking half the log."""
LARGEST: Final = 64 * 1024


class BadSecret(SettingsError):
    """A service's secret cannot be used."""


def put(root: Path, service: str, name: str, value: str) -> None:
    """Keep a secret, in place of an earlier one. Raises Invalid."""
    path = _path(root, service, name)
    _check(name, value)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid4().hex}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(file, "w", encoding="utf-8", newline="") as out:
        out.write(value)
        out.flush()
        os.fsync(file)
    draft.rename(path)


def names(root: Path, service: str) -> list[str]:
    """The names of a service's secrets."""
    folder = _path(root, service, "NAME").parent
    found = os.listdir(folder) if folder.is_dir() else []
    return sorted(name for name in found if servicefile.VARIABLE.fullmatch(name))


def remove(root: Path, service: str, name: str) -> None:
    """Forget a secret. Raises NotFound."""
    try:
        _path(root, service, name).unlink()
    except FileNotFoundError as error:
        raise NotFound(f"service {service} has no secret {name}") from error


def read(root: Path, service: str, wanted: Iterable[str]) -> dict[str, str]:
    """The secrets of those names. Raises BadSecret where one is missing, too short or open to other users."""
    return {name: _read(root, service, name) for name in wanted}


def _read(root: Path, service: str, name: str) -> str:
    path = _path(root, service, name)
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise BadSecret(f"secret {name} is not set: `fastdeploy secret set {service} {name}`") from error
    except OSError as error:
        raise BadSecret(f"secret {name} cannot be read: {error.strerror}") from error
    with open(file, encoding="utf-8", newline="") as content:
        if stat.S_IMODE(os.fstat(file).st_mode) & 0o077:
            raise BadSecret(f"secret {name} is open to other users: chmod 600 {path}")
        value = content.read().rstrip("\r\n")
    try:
        _check(name, value)
    except Invalid as error:
        raise BadSecret(str(error)) from error
    return value


def _path(root: Path, service: str, name: str) -> Path:
    servicefile.check_name(service)
    if not servicefile.VARIABLE.fullmatch(name):
        raise Invalid(f"secret {name!r}: expected a name that a variable can have, such as DB_PASSWORD")
    if name.startswith(servicefile.RESERVED):
        raise Invalid(f"secret {name}: names that begin with {servicefile.RESERVED} are the bot's own")
    return root / service / name


def _check(name: str, value: str) -> None:
    size = len(value.encode())
    if size < SHORTEST:
        raise Invalid(
            f"secret {name} has {size} bytes: at least {SHORTEST} are needed, so that it can be masked"
        )
    if size > LARGEST or "\0" in value:
        raise Invalid(f"secret {name}: expected at most {LARGEST} bytes of text without NUL")
