"""The App file: the GitHub App that the set-up page keeps in `<home>/github-app.json`, read again when it changes."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from fastdeploy_bot import facts, values
from fastdeploy_bot.errors import SettingsError

log = logging.getLogger(__name__)

FILE: Final = "github-app.json"
LARGEST: Final = 64 * 1024

Stamp = tuple[int, int, int, int]
"""What changes when a file does: inode, size, mode, time of change in nanoseconds."""


class BadAppFile(SettingsError):
    """The file of the GitHub App cannot be used."""


class App(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A GitHub App as the file keeps it, with GitHub's names. Moments are in Unix milliseconds."""

    id: int
    client_id: str
    pem: str
    slug: str = ""
    name: str = ""
    owner: str = ""
    html_url: str = ""
    client_secret: str = ""
    created: int = 0
    webhook_secret: str = ""
    earlier_secret: str = ""
    """What GitHub signed with before, and may sign with still."""
    earlier_until: int | None = None
    """Until when that one is believed; None: until GitHub has signed with the new one."""

    def __repr__(self) -> str:
        return f"App({self.id}, {self.slug!r}, …)"

    @property
    def issuer(self) -> str:
        """What it calls itself where it signs in."""
        return self.client_id or str(self.id)

    @property
    def secrets(self) -> list[str]:
        """All that nobody may see of it."""
        return [self.pem, *self.words]

    @property
    def words(self) -> list[str]:
        """What of that cannot be known by its looks, as a key can."""
        return [each for each in (self.client_secret, self.webhook_secret, self.earlier_secret) if each]

    def believed(self, *, now: int) -> list[str]:
        """What a webhook may be signed with now, the latest secret last: who signs as GitHub does takes the first."""
        late = self.earlier_until is not None and self.earlier_until <= now
        return [each for each in ("" if late else self.earlier_secret, self.webhook_secret) if each]

    def without_earlier(self) -> App:
        """The App with its latest webhook secret alone."""
        return msgspec.structs.replace(self, earlier_secret="", earlier_until=None)


def found(home: Path) -> App | None:
    """The App that the file holds at this moment; None without a file, and where it cannot be used: see `problem`."""
    known = _known(home)
    return known if isinstance(known, App) else None


def problem(home: Path) -> str:
    """What is wrong with the file; empty where nothing is, or where there is none."""
    known = _known(home)
    return str(known) if isinstance(known, BadAppFile) else ""


def keep(home: Path, app: App) -> None:
    """Write the file, for the bot's user alone; when this returns, it is on disk. Raises BadAppFile."""
    draft = home / f".{FILE}.{uuid4().hex}"
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(app)) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        draft.replace(home / FILE)
        _sync(home)
    except OSError as error:
        raise BadAppFile(f"{home / FILE} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def change(home: Path, make: Callable[[App], App]) -> App | None:
    """Put what `make` makes of the App in its place, one process at a time; None where there is no App.

    Raises BadAppFile.
    """
    with _alone(home):
        before = found(home)
        if before is None:
            return None
        after = make(before)
        if after != before:
            keep(home, after)
        return after


def note_signed(home: Path, secret: str) -> None:
    """GitHub has signed with that secret: if it is the latest, an earlier one is forgotten. Raises BadAppFile."""
    change(home, lambda app: app.without_earlier() if app.webhook_secret == secret else app)


# --- inside

_read: Final[dict[Path, tuple[Stamp, App | BadAppFile]]] = {}
"""What was read last, by home, and of which file."""


def _known(home: Path) -> App | BadAppFile | None:
    path = f"{home}/{FILE}"
    try:
        stamp = _stamp(os.stat(path))  # noqa: PTH116 - several times at every push
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return BadAppFile(f"{path} cannot be read: {error.strerror}")
    kept = _read.get(home)
    if kept is None or kept[0] != stamp:
        kept = _read[home] = (stamp, _fresh(Path(path)))
    return kept[1]


def _fresh(path: Path) -> App | BadAppFile:
    """What a file holds that has changed; from now on, the log shows none of its secrets."""
    try:
        app = _parsed(path)
    except BadAppFile as error:
        log.warning("the file of the github app cannot be used", extra={"problem": str(error)})
        return error
    facts.hide_too(app.secrets)
    return app


def _parsed(path: Path) -> App:
    try:
        app = msgspec.json.decode(_contents(path), type=App)
    except OSError as error:
        raise BadAppFile(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        # Without its cause, which may show what stands there.
        raise BadAppFile(f"{path} is not as the set-up page writes it: restore it, or make another App") from error
    try:
        return msgspec.structs.replace(app, pem=values.private_key(app.pem))
    except ValueError as error:
        raise BadAppFile(f"{path}: pem: expected {error}") from error


def _contents(path: Path) -> bytes:
    # Without O_NONBLOCK a named pipe in its place would be waited for.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise BadAppFile(f"{path} is no file")
        if stat.S_IMODE(mode) & 0o077:
            raise BadAppFile(f"{path} is open to other users: chmod 600 {path}")
        return file.read(LARGEST)


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mode, status.st_ctime_ns


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold a lock of this home's own: none of its files, because the App's is another one after each change."""
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            os.close(folder)
