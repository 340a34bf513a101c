"""Checks of `fastdeploy doctor`: each is a function of a patient, and tells what it finds.

To add one, write it in the module of its kind and name it in `fastdeploy_bot.cli.examining`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from fastdeploy_bot.settings import Settings

MOUNTS: Final = Path("/proc/self/mounts")
UNITS: Final = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What a check found: what is so, why that matters, and the mend to type. It never holds a secret."""

    check: str
    level: Level
    what: str
    why: str = ""
    mend: str = ""


class Patient(msgspec.Struct, frozen=True, kw_only=True):
    """A bot's host as the checks see it; each source may be another one."""

    settings: Settings
    environ: Mapping[str, str]
    user: int
    """The number of the user who asks."""
    mounts: str
    """What is mounted, as /proc/self/mounts says it."""
    units: tuple[Path, ...]
    """Where systemd's units are, the strongest first."""
    room: Callable[[Path], os.statvfs_result] = os.statvfs
    clock: Callable[[], float] = time.time


Check = Callable[[Patient], Iterator[Finding]]
"""Yields what it found; at least one finding of its own level, so that its silence is no health."""


def here(settings: Settings) -> Patient:
    """The bot of this host."""
    user = Path("~/.config/systemd/user").expanduser()
    return Patient(
        settings=settings,
        environ=os.environ,
        user=os.geteuid(),
        mounts=MOUNTS.read_text(errors="surrogateescape"),
        units=(*(Path(folder) for folder in UNITS), user),
    )


def ok(what: str) -> Finding:
    """All is well."""
    return Finding("", Level.OK, what)


def warn(what: str, why: str, mend: str) -> Finding:
    """It works, and may not for long."""
    return Finding("", Level.WARN, what, why, mend)


def fail(what: str, why: str, mend: str) -> Finding:
    """It does not work, or is not safe."""
    return Finding("", Level.FAIL, what, why, mend)
