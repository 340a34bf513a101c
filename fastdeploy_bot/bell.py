"""The bell: wakes whoever waits for rows, in this process and in every other one of this host.

A listener is a datagram socket in the bell's folder; ringing sends each of them one empty datagram. Rings that
nobody has picked up yet melt into one, and a listener whose process died is swept away by the next ring.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

log = logging.getLogger(__name__)

SETTLED: Final = 50_000_000
"""Nanoseconds after which another change of a folder shows in its time; two within a tick of the clock do not."""

_Stamp = tuple[int, int, int]
"""What changes when somebody begins or ceases to listen: device and inode of the folder, and its time."""

_KIND: Final = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
_sender: Final = socket.socket(socket.AF_UNIX, _KIND)
"""All bells of the process ring with it: each push does, and to make one takes longer than to send with it."""


class Bell:
    """One host's bell; `folder` is its meeting place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: tuple[_Stamp, list[str]] | None = None
        """The listeners' names, and what the folder looked like that had them."""

    def ring(self) -> int:
        """Wake every listener; answers how many there were. Never raises: who is not woken looks once a second."""
        try:
            return self._ring()
        except FileNotFoundError:
            return 0  # nobody ever listened
        except OSError as error:
            log.warning("the bell cannot be rung", extra={"why": str(error)})
            return 0

    def _ring(self) -> int:
        with _opened(self.folder) as directory:
            return sum(_wake(directory, name) for name in self._names(directory))

    def _names(self, directory: int) -> list[str]:
        """Whoever listens; the folder is read again where it may have changed."""
        status = os.fstat(directory)
        stamp, known = (status.st_dev, status.st_ino, status.st_mtime_ns), self._known
        if known is not None and known[0] == stamp:
            return known[1]
        settled = time.time_ns() - status.st_mtime_ns > SETTLED
        names = os.listdir(directory)
        self._known = (stamp, names) if settled else None
        return names

    def listen(self) -> Listener:
        """Begin to hear rings; close the listener when done."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Listener(self.folder)


class Listener:
    """One pair of ears. Use as a context manager, from one thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / uuid4().hex
        self._socket = socket.socket(socket.AF_UNIX, _KIND)
        with _opened(folder) as directory:
            self._socket.bind(_address(directory, self._path.name))
        self._news = select.poll()  # `select` takes no descriptor above 1023, and a server has a thousand clients
        self._news.register(self._socket, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, at most `seconds`; answers whether there was one since the last call."""
        if not self._news.poll(max(0.0, seconds * 1_000)):
            return False

        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
        return True

    def close(self) -> None:
        """Stop hearing."""
        self._path.unlink(missing_ok=True)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield directory
    finally:
        os.close(directory)


def _address(directory: int, name: str) -> str:
    """A socket's address by way of the open folder: the folder's own path may be longer than the 107 bytes allowed."""
    return f"/proc/self/fd/{directory}/{name}"


def _send(address: str) -> None:
    """Ring at one address; nothing, where its queue is full of rings already."""
    try:
        _sender.sendto(b"!", address)
    except BlockingIOError:
        # Or the sender's own room is taken by rings that others have not picked up: one of its own has room.
        with socket.socket(socket.AF_UNIX, _KIND) as another, contextlib.suppress(BlockingIOError):
            another.sendto(b"!", address)


def _wake(directory: int, name: str) -> bool:
    try:
        _send(_address(directory, name))
    except ConnectionRefusedError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        return False
    except FileNotFoundError:
        return False
    return True
