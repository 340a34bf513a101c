"""The spare: a child that already waits for its job, so that a script need not wait for Python to start."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, cast

ROOM: Final = Path(__file__).parent


class Spare:
    """At most one child of this process that waits; it runs the code that a child started now would run."""

    def __init__(self, spawn: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._spawn = spawn
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._code: list[tuple[object, ...]] = []

    def keep(self) -> None:
        """Have a child wait; one that died, or whose code changed, is replaced. Raises OSError where none can be."""
        with self._lock:
            if self._is_fit():
                return
            self._drop()
            self._code = code()  # before the child reads it: what changes meanwhile is seen at the next look
            self._child = self._spawn()

    def take(self) -> subprocess.Popen[bytes] | None:
        """The child that waits; None where there is none that would do."""
        with self._lock:
            if not self._is_fit():
                self._drop()
            child, self._child = self._child, None
            return child

    def dismiss(self) -> None:
        """Have no child wait any more."""
        with self._lock:
            self._drop()

    def _is_fit(self) -> bool:
        return self._child is not None and self._child.poll() is None and self._code == code()

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()  # it has no job
            child.wait()
            cast("IO[bytes]", child.stdin).close()


def code() -> list[tuple[object, ...]]:
    """What tells the code of a child from another: its files' names, sizes, times and inodes."""
    return sorted(_stamps())


def _stamps() -> Iterator[tuple[object, ...]]:
    for folder in (ROOM, ROOM.parent):
        for name in os.listdir(folder):
            if not name.endswith(".py"):
                continue
            path = f"{folder}/{name}"
            try:
                about = os.stat(path)  # while a deployment waits to begin
            except FileNotFoundError:  # an upgrade takes it away just now
                continue
            yield path, about.st_size, about.st_mtime_ns, about.st_ino
