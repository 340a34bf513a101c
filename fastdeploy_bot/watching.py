"""Watching: what the kernel tells of changed files (Linux' inotify), so that an unchanged one need not be looked at."""

from __future__ import annotations

import ctypes
import os
import struct
import weakref
from collections.abc import Callable, Iterator
from typing import Final

# See inotify(7). Everything that may change what a path leads to, what is in the file there, or its status.
_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED = 0x2, 0x4, 0x8, 0xC0
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_ONLYDIR, _DONT_FOLLOW = 0x0100_0000, 0x0200_0000
_MASK: Final = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _DONT_FOLLOW
_EVENT: Final = struct.Struct("iIII")
_MUCH: Final = 65_536
"""Bytes to read at once."""
_NATIVE: Final = frozenset(
    {
        0x0000_EF53,  # ext2, ext3, ext4
        0x5846_5342,  # xfs
        0x9123_683E,  # btrfs
        0xF2F5_2010,  # f2fs
        0x2FC1_2FC1,  # zfs
        0x0102_1994,  # tmpfs
        0x794C_7630,  # overlayfs
    }
)
"""The file systems, by `statfs(2)`, that only this kernel writes to. Of others it may not hear of each change."""
_STATFS: Final = 256
"""Bytes that hold what `statfs(2)` tells; its type is the first number."""
_libc: Final = ctypes.PyDLL(None, use_errno=True)
"""Keeps Python's lock: a call takes a microsecond, and to get the lock back takes more."""


class Watch:
    """Tells whether anything has happened to some paths. Not for several threads at once.

    Begun anew, it watches nothing of what it did before. A fork's child has to begin its own: see `told`.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._process = 0
        self._close: Callable[[], object] = _nothing
        self._known: set[int] = set()
        self._now: set[int] = set()
        self._only: dict[int, bytes] = {}

    def begin(self) -> None:
        """From here on, `add` says what to watch; all that was told until now is forgotten."""
        if self._process != os.getpid():
            self._open()
        if self._file is not None:
            while self._read():
                pass
        self._known, self._now, self._only = self._known | self._now, set(), {}

    def add(self, path: str) -> bool:
        """Watch what is at a path, be it a link. Answers whether what happens to it will be told.

        It will not be where nothing is there that may be read, or the kernel has no watches, or none left.
        """
        return self._add(path, _MASK) is not None

    def add_folder(self, path: str, *, only: str = "") -> bool:
        """Watch what is in a folder, too, or what has but one name there; a link to a folder is none."""
        before = len(self._now)
        number = self._add(path, _MASK | _ONLYDIR)
        if only and number is not None and len(self._now) > before:  # or it is another one as well, by a mount
            self._only[number] = os.fsencode(only)
        return number is not None

    def _add(self, path: str, mask: int) -> int | None:
        number = -1 if self._file is None else _libc.inotify_add_watch(self._file, os.fsencode(path), mask)
        if number < 0:
            return None
        self._now.add(number)
        return int(number)

    def end(self) -> None:
        """Nothing more is to be watched: let go of what was watched before, and is not now."""
        if self._file is not None:
            for number in self._known - self._now:
                _libc.inotify_rm_watch(self._file, number)
        self._known = set()

    def told(self) -> bool:
        """Whether anything has happened since `begin`, or may have: too much for the kernel to keep, or in a fork."""
        return self._file is None or self._process != os.getpid() or self._read()

    def _read(self) -> bool:
        """Whether there was anything that matters; if not, all is read."""
        while self._file is not None:
            try:
                data = os.read(self._file, _MUCH)
            except BlockingIOError:
                return False
            if any(self._only.get(number, name) == name or not name for number, name in _events(data)):
                return True
        return False

    def _open(self) -> None:
        self._close()  # a fork's child has a descriptor of its own for what is its parent's
        self._file, self._process, self._close = None, os.getpid(), _nothing
        self._known, self._now, self._only = set(), set(), {}
        opened = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(_libc, "inotify_init1") else -1
        if opened >= 0:
            self._file = opened
            closing = weakref.finalize(self, os.close, opened)
            closing.atexit = False
            self._close = closing


def _events(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Of each event the number of the watch, and the name in its folder; none where it is about the watched itself."""
    place = 0
    while place < len(data):
        number, _, _, length = _EVENT.unpack_from(data, place)
        place += _EVENT.size + length
        yield number, data[place - length : place].rstrip(b"\0")


def native(path: str) -> bool:
    """Whether only this kernel writes to the file system there, so that it hears of each change."""
    told = (ctypes.c_long * (_STATFS // ctypes.sizeof(ctypes.c_long)))()
    found = _libc.statfs(os.fsencode(path), told) if hasattr(_libc, "inotify_init1") else -1
    return bool(found == 0 and told[0] & 0xFFFF_FFFF in _NATIVE)


def _nothing() -> None:
    """There is nothing to close."""
