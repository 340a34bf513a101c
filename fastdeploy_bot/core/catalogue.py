"""The catalogue: every service file of this host, read again when it has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from fastdeploy_bot.core import servicefile
from fastdeploy_bot.core.servicefile import BadServiceFile, ServiceFile, Visibility
from fastdeploy_bot.errors import SettingsError
from fastdeploy_bot.sharing import Shared

Stamp = tuple[int, int, int]
"""What changes when a file does: inode, size, time of change in nanoseconds."""

Basis = tuple[Stamp, bool]
"""What an entry follows from: its file, and whether GitHub can be told."""

UNREADABLE: Final = (0, 0, 0)
"""The stamp of a file that cannot even be looked at."""


LONG: Final = 0.001
"""Seconds of the processor; a look at the files that takes more, as at some hundred of them, is good for a while:"""
TIMES: Final = 20
"""for so many times as long. Each push looks, and with a thousand services it would do little else."""


class Entry(msgspec.Struct, frozen=True):
    """One service's folder as it is now: either a good file or the problem with it."""

    name: str
    file: ServiceFile | None
    problem: str = ""
    report: tuple[str, ...] = ()
    """The kinds of reports that GitHub is owed of its deployments; none where the bot cannot tell GitHub anything."""
    asks: bool = False
    """Whether GitHub can be asked about its repository."""

    @property
    def visibility(self) -> Visibility:
        """What somebody sees of it who has not signed in; nothing while its file cannot be used."""
        return Visibility.PRIVATE if self.file is None else self.file.visibility


class Catalogue:
    """What `services/` holds. Any thread may ask; an unchanged file is not read again."""

    def __init__(self, folder: Path, *, tells: Callable[[], bool] = lambda: False) -> None:
        """`tells` says whether GitHub can be told and asked at this moment."""
        self.folder = folder
        self._tells = tells
        self._root = str(folder)
        self._known: dict[str, tuple[Basis, Entry]] = {}
        self._looked = Shared(self._look)
        self._good: tuple[float, Mapping[str, Entry]] = (0.0, {})
        """What a long look found, and until when that is good."""

    def entries(self) -> Mapping[str, Entry]:
        """Every service by name, as the files say at this moment; where there are hundreds, some 0.1 s ago at most."""
        until, found = self._good
        return found if time.monotonic() < until else self._looked()

    def get(self, name: str) -> Entry | None:
        """One service, or None where there is no such file."""
        return self.entries().get(name)

    def _look(self) -> Mapping[str, Entry]:
        known, tells, began = self._known, self._tells(), time.thread_time()
        stamps = self._stamps()
        took = time.thread_time() - began  # without what has changed: reading that takes long once
        fresh = {name: self._entry(name, (stamp, tells), known.get(name)) for name, stamp in stamps}
        self._known = fresh
        found = {entry.name: entry for _, entry in fresh.values()}
        if took > LONG:
            self._good = (time.monotonic() + took * TIMES, found)
        return found

    def _stamps(self) -> list[tuple[str, Stamp]]:
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        return [(name, stamp) for name in names if (stamp := self._stamp(name)) is not None]

    def _stamp(self, name: str) -> Stamp | None:
        try:
            status = os.stat(f"{self._root}/{name}/service.toml")  # noqa: PTH116 - of every service, at every push
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return UNREADABLE if servicefile.NAME.fullmatch(name) else None  # reading it says why
        return status.st_ino, status.st_size, status.st_ctime_ns

    def _entry(self, name: str, basis: Basis, known: tuple[Basis, Entry] | None) -> tuple[Basis, Entry]:
        return known if known is not None and known[0] == basis else (basis, self._read(name, tells=basis[1]))

    def _read(self, folder: str, *, tells: bool) -> Entry:
        name = os.fsencode(folder).decode(errors="backslashreplace")  # of other bytes, a name that is refused
        try:
            data = (self.folder / folder / "service.toml").read_bytes()
            file = servicefile.parse(name, data)
            return Entry(name, file, report=file.report if tells else (), asks=tells)
        except BadServiceFile as error:
            return Entry(name, None, "; ".join(error.problems))
        except OSError as error:
            return Entry(name, None, f"services/{name}/service.toml: cannot be read: {error.strerror}")
        except SettingsError as error:
            return Entry(name, None, str(error))
