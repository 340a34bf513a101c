"""The catalogue: every service file of this host, read again when it has changed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from fastdeploy_bot.core.files import servicefile
from fastdeploy_bot.core.files.servicefile import BadServiceFile, ServiceFile, Visibility
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.sharing import Shared
from fastdeploy_bot.watching import Watch, native

Stamp = tuple[int, int, int]
"""What changes when a file does: inode, size, time of change in nanoseconds."""

Basis = tuple[Stamp, bool]
"""What an entry follows from: its file, and whether GitHub can be told."""

UNREADABLE: Final = (0, 0, 0)
"""The stamp of a file that cannot even be looked at."""
LARGEST: Final = 1024 * 1024
"""More bytes than any service has to say of itself."""
SECOND: Final = 1.0
"""How long a look may hold that nothing has happened to: mounts, for one, are not told."""


class Entry(msgspec.Struct, frozen=True):
    """One service's folder as it is now: either a good file or the problem with it."""

    name: str
    file: ServiceFile | None
    problem: str = ""
    report: tuple[str, ...] = ()
    """The kinds of reports that GitHub is owed of its deployments; none where the bot cannot tell GitHub anything."""
    asks: bool = False
    """Whether GitHub can be asked about its repository."""
    named: str = ""
    """The repository that a file names which cannot be used; empty where not even that can be read."""

    @property
    def visibility(self) -> Visibility:
        """What somebody sees of it who has not signed in; nothing while its file cannot be used."""
        return Visibility.PRIVATE if self.file is None else self.file.visibility


class _Lasting(msgspec.Struct, frozen=True):
    """What a look at all files followed from; while that is so, another one would find the same."""

    tells: bool
    until: float
    folder: tuple[int, int]
    """Device and inode."""
    untold: dict[str, Stamp | None]
    """Of whose files the kernel does not tell each change."""


class Catalogue:
    """What `services/` holds. Any thread may ask; an unchanged file is not read again, nor mostly looked at."""

    def __init__(self, folder: Path, *, tells: Callable[[], bool] = lambda: False) -> None:
        """`tells` says whether GitHub can be told and asked at this moment."""
        self.folder = folder
        self._tells = tells
        self._root = str(folder)
        self._known: dict[str, tuple[Basis, Entry]] = {}
        self._found: Mapping[str, Entry] = {}
        self._looked = Shared(self._look)
        self._watch = Watch()
        self._lasts: _Lasting | None = None

    def entries(self) -> Mapping[str, Entry]:
        """Every service by name, as the files say at this moment: the very same mapping while they say the same."""
        return self._looked()

    def get(self, name: str) -> Entry | None:
        """One service, or None where there is no such file."""
        return self.entries().get(name)

    def _look(self) -> Mapping[str, Entry]:
        tells = self._tells()
        if self._lasts is None or not self._holds(self._lasts, tells):
            self._look_at_all(tells)
        return self._found

    def _holds(self, last: _Lasting, tells: bool) -> bool:
        """Whether a look at every file would find what the last one did."""
        return (
            last.tells == tells
            and time.monotonic() < last.until
            and not self._watch.told()
            and last.folder == self._identity()
            and all(self._stamp(name) == stamp for name, stamp in last.untold.items())
        )

    def _look_at_all(self, tells: bool) -> None:
        known, self._lasts = self._known, None
        until = time.monotonic() + SECOND
        self._watch.begin()  # before the look: what happens meanwhile will be told
        folder = self._identity()
        watched = folder is not None and native(self._root) and self._watch.add_folder(f"{self._root}/")
        device = folder[0] if folder is not None and watched else None
        seen = [(name, *self._see(name, device)) for name in self._names()]
        self._watch.end()
        fresh = {name: self._entry(name, (stamp, tells), known.get(name)) for name, stamp, _ in seen if stamp}
        if fresh != known:
            self._known, self._found = fresh, {entry.name: entry for _, entry in fresh.values()}
        if folder is not None and watched:
            self._lasts = _Lasting(tells, until, folder, {name: stamp for name, stamp, told in seen if not told})

    def _see(self, name: str, device: int | None) -> tuple[Stamp | None, bool]:
        """The stamp of a service's file, and whether the kernel will tell of everything that happens to it.

        It will not where a link leads elsewhere, or another file system is mounted.
        """
        path = f"{self._root}/{name}"
        if device is not None and self._watch.add_folder(path, only="service.toml"):
            # The file itself, too: it may have other names, and be changed by them.
            added = self._watch.add(f"{path}/service.toml")
            try:
                status = os.lstat(f"{path}/service.toml")
                if added and status.st_dev == device and not stat.S_ISLNK(status.st_mode):
                    return _stamp(status), True
            except FileNotFoundError:
                return None, _is_on(path, device)
            except OSError:
                pass  # looked at anew each time
        return self._stamp(name), False

    def _identity(self) -> tuple[int, int] | None:
        """Which folder the path leads to at this moment: one above it may be moved, too."""
        try:
            status = os.stat(self._root)  # noqa: PTH116 - at every push
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []

    def _stamp(self, name: str) -> Stamp | None:
        try:
            status = os.stat(f"{self._root}/{name}/service.toml")  # noqa: PTH116 - of every service
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return UNREADABLE if servicefile.NAME.fullmatch(name) else None  # reading it says why
        return _stamp(status)

    def _entry(self, name: str, basis: Basis, known: tuple[Basis, Entry] | None) -> tuple[Basis, Entry]:
        return known if known is not None and known[0] == basis else (basis, self._read(name, tells=basis[1]))

    def _read(self, folder: str, *, tells: bool) -> Entry:
        name = os.fsencode(folder).decode(errors="backslashreplace")  # of other bytes, a name that is refused
        try:
            file = servicefile.parse(name, _content(f"{self._root}/{folder}/service.toml"))
            return Entry(name, file, report=file.report if tells else (), asks=tells)
        except BadServiceFile as error:
            return Entry(name, None, "; ".join(error.problems), named=error.repository)
        except OSError as error:
            return Entry(name, None, f"services/{name}/service.toml: cannot be read: {error.strerror or error}")
        except SettingsError as error:
            return Entry(name, None, str(error))


def _content(path: str) -> bytes:
    """What a file holds. Raises OSError for what is none: a pipe would be waited for, and a device has no end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no file")
        if len(data := file.read(LARGEST + 1)) > LARGEST:
            raise OSError(f"it has more than {LARGEST} bytes")
        return data


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_ctime_ns


def _is_on(path: str, device: int) -> bool:
    try:
        return os.lstat(path).st_dev == device
    except OSError:
        return False
