"""Backups: all that makes a bot what it is, in one archive that unpacks into a home."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

from fastdeploy_bot import sources, store
from fastdeploy_bot.core import clock
from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.settings import FILE, Settings

DATABASE: Final = "fastdeploy.db"
PLAIN: Final = ".tar"
PACKED: Final = (".tar.gz", ".tgz")
FILES: Final = (FILE, "github-app.json", "host-id")
"""Files of the home, where they are there; those that settings are read from come on top."""


class BackupFailed(Unavailable):
    """The backup could not be made."""

    exit_status = 1


def write(settings: Settings, where: Path, *, with_database: bool, now: int) -> Path:
    """Write an archive, or one with the moment in its name where a folder is given; answers its path.

    The database in it is a copy of one moment, while the bot works on. What stood there under that name is replaced
    when all of it is on disk, and not before. Raises BackupFailed.
    """
    target = where / _name(now) if where.is_dir() else where
    if not target.name.endswith((PLAIN, *PACKED)):  # most likely a folder: each night's archive would replace the last
        raise BackupFailed(
            f"no backup {where}: there is no such folder; make it, or name a file that ends in .tar or .tgz"
        )
    try:
        with _whole(target) as out, _archive(out, packed=target.name.endswith(PACKED)) as archive:
            if with_database:
                _add_database(archive, target.parent)
            _add_files(archive, settings)
    except OSError as error:
        what = f" {error.filename}:" if error.filename else ""
        raise BackupFailed(f"no backup {target}:{what} {error.strerror or error}") from error
    return target


def _name(now: int) -> str:
    moment = datetime.fromtimestamp(now / clock.SECOND, UTC)
    return f"fastdeploy-{moment:%Y-%m-%dT%H%M%SZ}{PLAIN}"


@contextmanager
def _whole(target: Path) -> Iterator[IO[bytes]]:
    """A file that has its name once it is whole and on disk; readable by its owner alone."""
    draft = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink(missing_ok=True)


def _archive(out: IO[bytes], *, packed: bool) -> tarfile.TarFile:
    return tarfile.open(fileobj=out, mode="w:gz" if packed else "w")


def _add_database(archive: tarfile.TarFile, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=folder) as drafts:
        copy = Path(drafts) / DATABASE
        store.copy(copy)
        archive.add(copy, DATABASE)


def _add_files(archive: tarfile.TarFile, settings: Settings) -> None:
    for name in dict.fromkeys((*FILES, *sources.files_named(settings.home))):
        if (settings.home / name).is_file():
            archive.add((settings.home / name).resolve(), name)
    for folder in (settings.services_dir, settings.secrets_dir):
        if folder.is_dir():  # perhaps by a link, to a checkout elsewhere for example
            archive.add(folder.resolve(), folder.name)
