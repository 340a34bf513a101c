"""The secret store: `<home>/secrets/<service>/<NAME>`, one file a secret, for the bot's user alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from fastdeploy_bot.core.files import servicefile
from fastdeploy_bot.errors import Invalid, NotFound, SettingsError

SHORTEST: Final = 6
"""Bytes; anything shorter could not be masked without masking half the log."""
LARGEST: Final = 64 * 1024

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class BadSecret(SettingsError):
    """A service's secret cannot be used."""


def put(root: Path, service: str, name: str, value: str | bytes) -> None:
    """Keep a secret, in place of an earlier one; newlines at its end are no part of it. Raises Invalid, BadSecret."""
    _check_names(service, name)
    data = _data(name, value)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root / service).mkdir(mode=0o700, exist_ok=True)
        with _folder(root, service) as folder:
            _write(folder, name, data)
    except OSError as error:
        raise BadSecret(f"secret {name} cannot be kept in {root / service}: {error.strerror}") from error


def names(root: Path, service: str) -> list[str]:
    """The names of a service's secrets."""
    servicefile.check_name(service)
    try:
        with _folder(root, service) as folder:
            return sorted(name for name in os.listdir(folder) if servicefile.VARIABLE.fullmatch(name))
    except FileNotFoundError:
        return []


def remove(root: Path, service: str, name: str) -> None:
    """Forget a secret. Raises NotFound."""
    _check_names(service, name)
    try:
        with _folder(root, service) as folder:
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)
    except FileNotFoundError as error:
        raise NotFound(f"service {service} has no secret {name}") from error


def read(root: Path, service: str, wanted: Iterable[str]) -> dict[str, str]:
    """The secrets of those names. Raises BadSecret where one is missing, too short or open to other users."""
    return {name: _read(root, service, name) for name in wanted}


def readable(root: Path, service: str, wanted: Iterable[str]) -> list[str]:
    """The values of those of the secrets that can be read."""
    values = []
    for name in wanted:
        with suppress(BadSecret):
            values.append(_read(root, service, name))
    return values


def _read(root: Path, service: str, name: str) -> str:
    _check_names(service, name)
    try:
        with _folder(root, service) as folder:
            data = _contents(folder, name, root / service / name)
    except FileNotFoundError as error:
        raise BadSecret(f"secret {name} is not set: `fastdeploy secret set {service} {name}`") from error
    except OSError as error:
        raise BadSecret(f"secret {name} cannot be read: {error.strerror}") from error
    try:
        return _data(name, data).decode()
    except Invalid as error:
        raise BadSecret(str(error)) from error


@contextmanager
def _folder(root: Path, service: str) -> Iterator[int]:
    """The service's folder, opened so that no link leads out of the store. Raises BadSecret."""
    try:
        folder = os.open(root / service, _FOLDER)
    except NotADirectoryError as error:
        raise BadSecret(f"{root / service} is no folder (a link to one is not followed)") from error
    try:
        yield folder
    finally:
        os.close(folder)


def _write(folder: int, name: str, data: bytes) -> None:
    draft = f".{uuid4().hex}"
    try:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with os.fdopen(file, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(file)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except BaseException:
        _forget(folder, draft)
        raise


def _forget(folder: int, draft: str) -> None:
    """Leave no half-written secret behind."""
    try:
        os.unlink(draft, dir_fd=folder)
    except FileNotFoundError:
        return


def _contents(folder: int, name: str, path: Path) -> bytes:
    # Without O_NONBLOCK a named pipe in a secret's place would be waited for.
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(file, "rb") as content:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            raise BadSecret(f"secret {name} is no file: {path}")
        if stat.S_IMODE(mode) & 0o077:
            raise BadSecret(f"secret {name} is open to other users: chmod 600 {path}")
        return content.read(LARGEST + 3)


def _check_names(service: str, name: str) -> None:
    servicefile.check_name(service)
    if not servicefile.VARIABLE.fullmatch(name):
        raise Invalid(f"secret {name!r}: expected a name that a variable can have, such as DB_PASSWORD")
    if name.startswith(servicefile.RESERVED):
        raise Invalid(f"secret {name}: names that begin with {servicefile.RESERVED} are the bot's own")


def _data(name: str, value: str | bytes) -> bytes:
    """The secret's bytes as they are kept. Raises Invalid, which never shows any of them."""
    try:
        data = (value.encode() if isinstance(value, str) else value).rstrip(b"\r\n")
        data.decode()
    except UnicodeError:
        # Without its cause: that would carry the value.
        raise Invalid(f"secret {name}: expected text in UTF-8") from None
    if len(data) < SHORTEST:
        raise Invalid(f"secret {name} has {len(data)} bytes: at least {SHORTEST} are needed, to mask it in logs")
    if len(data) > LARGEST or b"\0" in data:
        raise Invalid(f"secret {name}: expected at most {LARGEST} bytes of text without NUL")
    return data
