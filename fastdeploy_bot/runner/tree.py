"""Process trees, as /proc shows them."""

from __future__ import annotations

import os
import signal

COOKIE = "FASTDEPLOY_RUN"
"""The environment variable by which every process of a run is known, whatever session it made for itself."""
_ENDED = (b"Z", b"X")
"""The states of processes that only wait to be reaped; by then they have let go of their locks."""


def descendants(root: int) -> list[int]:
    """Every process below `root`, also those that only wait to be reaped: threads of theirs may still run."""
    below = {root}
    table = [(pid, parent) for pid in _pids() if (parent := _parent(pid)) is not None]
    grown = True
    while grown:
        more = {pid for pid, parent in table if parent in below and pid not in below}
        below |= more
        grown = bool(more)
    return sorted(below - {root})


def carrying(cookie: str) -> list[int]:
    """Every living process, but this one, that was started with the run's cookie in its environment."""
    mark = f"{COOKIE}={cookie}".encode()
    return [pid for pid in _pids() if pid != os.getpid() and mark in _content(pid, "environ").split(b"\0")]


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None where it has ended. Tells a pid that came back."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in _ENDED else None


def boot() -> str:
    """This run of the host's own name; another one after each of its starts. Source: random(4)."""
    return _content_of("/proc/sys/kernel/random/boot_id").decode().strip()


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process, if it is still there and ours."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[bytes]:
    """The fields behind the name, which itself may hold spaces and parentheses. Source: proc(5)."""
    return _content(pid, "stat").rpartition(b")")[2].split()


def _content(pid: int, name: str) -> bytes:
    return _content_of(f"/proc/{pid}/{name}")


def _content_of(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
