"""The host: its clock, its disk, what home lies on, and the programs that are needed."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastdeploy_bot import values
from fastdeploy_bot.cli.checks import Finding, Patient, fail, ok, warn
from fastdeploy_bot.runner import tools

SECONDS: Final = 5.0
"""How long another clock is waited for."""
SKEW_WARN, SKEW_FAIL = 30.0, 300.0
MIB: Final = 1 << 20
BYTES_WARN, BYTES_FAIL = 1024 * MIB, 100 * MIB
INODES_WARN, INODES_FAIL = 10_000, 1_000
REMOTE: Final = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.glusterfs",
)
IN_MEMORY: Final = ("tmpfs", "ramfs")
OLDEST_GIT: Final = (2, 31)
"""Takes configuration from its environment."""


def clock(patient: Patient) -> Iterator[Finding]:
    """This host's clock beside GitHub's."""
    theirs = _date(patient.settings.github_api_url)
    if theirs is None:
        yield ok("the clock could not be compared: GitHub does not answer from here")
        return
    skew = patient.clock() - theirs
    where = f"the clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} GitHub's"
    why = "a GitHub App cannot sign in, sessions end at the wrong time, and times shown are wrong"
    if abs(skew) >= SKEW_FAIL:
        yield fail(where, why, "timedatectl set-ntp true")
    elif abs(skew) >= SKEW_WARN:
        yield warn(where, why, "timedatectl set-ntp true")
    else:
        yield ok("the clock agrees with GitHub's")


def disk(patient: Patient) -> Iterator[Finding]:
    """Room for rows, output and run folders."""
    home = patient.settings.home
    found = patient.room(home)
    free, inodes = found.f_bavail * found.f_frsize, found.f_favail if found.f_files else INODES_WARN
    why = "on a full disk no push can be accepted and no deployment begin"
    mend = f"make room, or move home: df -h {home}; df -i {home}"
    what = f"{free // MIB} MiB and {inodes} files are free where {home} lies"
    if free < BYTES_FAIL or inodes < INODES_FAIL:
        yield fail(f"only {what}", why, mend)
    elif free < BYTES_WARN or inodes < INODES_WARN:
        yield warn(f"only {what}", why, mend)
    else:
        yield ok(f"{free // MIB} MiB are free")


def filesystem(patient: Patient) -> Iterator[Finding]:
    """Home lies on a disk of this host, from which programs may be run."""
    home = patient.settings.home.resolve()
    kind, options = _mounted(patient.mounts, home)
    if kind in REMOTE:
        yield fail(
            f"{home} lies on a network file system ({kind})",
            "locks and SQLite do not hold there: a script may run twice, and the database may break",
            "move home to a disk of this host; several hosts share a PostgreSQL: docs/settings.md, database_url",
        )
    elif kind in IN_MEMORY:
        yield fail(
            f"{home} lies in memory ({kind})",
            "all of it is gone after a restart of the host",
            "move home to a disk: stop the bot, mv the folder, set FASTDEPLOY_HOME",
        )
    elif kind == "overlay":
        yield warn(
            f"{home} lies in a container's own layer",
            "all of it is gone when the container is replaced",
            "mount a volume there",
        )
    elif "noexec" in options:
        yield fail(
            f"{home} lies on a file system mounted with noexec",
            "scripts there cannot be run",
            f"mount it without noexec, or move home: findmnt -T {home}",
        )
    else:
        yield ok(f"home lies on {kind or 'a file system of its own'}")


def git(patient: Patient) -> Iterator[Finding]:
    """The program that checks out commits."""
    found = shutil.which("git", path=patient.environ.get("PATH"))
    why = "services with checkout = true, and scripts that fetch the commit, need it"
    if found is None:
        yield warn("there is no git", why, "apt install git")
        return
    said = tools.said([found, "--version"], SECONDS) or ""
    version = tuple(int(part) for part in re.findall(r"[0-9]+", said)[:2])
    if version < OLDEST_GIT:
        yield warn(f"git does not work, or is old: {said.strip() or 'it says nothing'}", why, "apt install git")
    else:
        yield ok(said.strip())


def _date(url: str) -> float | None:
    """The time by the clock of whoever answers there, whatever the answer; None where nobody does."""
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "fastdeploy"})  # noqa: S310 - a setting
    loopback = values.is_loopback(urlsplit(url).hostname or "")
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if loopback else []))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            told = answer.headers["Date"]
    except urllib.error.HTTPError as error:
        with error:
            told = error.headers["Date"]
    except OSError:
        return None
    try:
        return parsedate_to_datetime(told).timestamp()
    except (TypeError, ValueError):
        return None


def _mounted(mounts: str, path: Path) -> tuple[str, list[str]]:
    """The kind and the options of the file system that a path lies on."""
    best, found = "", ("", "")
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place)
        if path.is_relative_to(place) and len(place) >= len(best):  # a later one hides an earlier one
            best, found = place, (kind, options)
    return found[0], found[1].split(",")
