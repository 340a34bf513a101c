"""The stream: a script's output as it is read, and the steps told meanwhile, each at its place in the output."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from fastdeploy_bot.runner.folder import READING, RunFolder
from fastdeploy_bot.runner.output import Journal, Lines, Log, StepsFile, Told

CAPACITY = 1024 * 1024
"""Bytes that the pipe is to hold, and that are read at once."""
_IN_MODIFY = 2
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 16 * CAPACITY
"""Bytes; more than is in use for what is read at once."""
_libc = ctypes.CDLL(None)


class Pipe:
    """The reading end of what a script prints, and the count of what was read, for `fastdeploy step` to see."""

    def __init__(self, folder: RunFolder, output: int) -> None:
        self._output = output
        self._count = 0
        try:
            self._file = os.open(folder.file("pipe"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError:
            self._file = -1
        self._tell(os.fstat(output).st_ino, 0)
        self._tell(0, 8)

    def read(self, most: int) -> bytes | None:
        """What there is, at most so many bytes; None where there is nothing now, no bytes where nothing more comes."""
        self._tell(READING, 8)
        data = None
        try:
            data = os.read(self._output, most)
        except BlockingIOError:
            return None
        finally:
            self._count += len(data or b"")
            self._tell(self._count, 8)
        return data

    def _tell(self, number: int, place: int) -> None:
        if self._file < 0:
            return
        try:
            os.pwrite(self._file, number.to_bytes(8, "little", signed=True), place)
        except OSError:  # a full disk: places are then guessed by the order in which things are read
            os.close(self._file)
            self._file = -1


class Stream:
    """Takes output and steps, and puts each step where it belongs in the output."""

    def __init__(self, log: Log, journal: Journal, steps_file: StepsFile, lines: Lines | None) -> None:
        self._log = log
        self._journal = journal
        self._steps_file = steps_file
        self._lines = lines
        """Where steps are told in the output: its lines."""
        self._read = 0
        """How many bytes of output there were, before they were masked."""
        self._waiting: list[Told] = []
        """Steps told behind output that was not read yet."""

    def take(self, data: bytes, at: int, *, first: bool) -> None:
        """Take output that was read at that moment, and the steps that stand in the steps file by now.

        `first`: output had come when nothing had been written to the steps file. To be called when something has been
        read, and with nothing when nothing more is there.
        """
        begin, self._read = self._read, self._read + len(data)
        likely = self._read if first else begin
        told = [*self._by_file(begin, likely, wait=bool(data)), *self._by_output(data)]
        done = begin
        for place, step in sorted(told, key=lambda each: each[0]):
            self._log.write(data[done - begin : place - begin], at)
            self._journal.add(step, self._log.place)
            done = place
        self._log.write(data[done - begin :], at)

    def finish(self) -> None:
        """Take what waits, and the rest of the steps: nothing more comes."""
        self._log.flush()
        rest = self._lines.flush() if self._lines is not None else []
        told = [*self._waiting, *(self._journal.from_output(line) for line, _ in rest)]
        for step in told:
            if step is not None:
                self._journal.add(step, self._log.end)
        for step in self._steps_file.poll(last=True):
            self._journal.add(step, self._log.end)

    def _by_file(self, begin: int, likely: int, *, wait: bool) -> list[tuple[int, Told]]:
        """The steps of the steps file that belong before the end of what was read, with their places."""
        self._waiting += self._steps_file.poll()
        if not self._waiting:
            return []
        placed = list(zip(places(self._waiting, likely, begin, self._read), self._waiting, strict=True))
        ready = [each for each in placed if each[0] <= self._read or not wait]
        self._waiting = self._waiting[len(ready) :]
        return [(min(place, self._read), step) for place, step in ready]

    def _by_output(self, data: bytes) -> Iterator[tuple[int, Told]]:
        for line, behind in self._lines.feed(data) if self._lines is not None else []:
            step = self._journal.from_output(line)
            if step is not None:
                yield behind, step


def places(told: list[Told], likely: int, begin: int, end: int) -> list[int]:
    """Where in the output steps were told that were found together with the output from `begin` to `end`, in order.

    Some know it themselves; what is further ahead than a pipe can hold was made up. Of the others it can be said that
    they were told neither before what had been read at the last look nor after what comes next. Within those bounds
    steps begin at the `likely` place, and one that ends after the last of those has begun, ends behind the output.
    """
    last = max((number for number, step in enumerate(told) if step.state == "running"), default=-1)
    found: list[int] = []
    for number, step in enumerate(told):
        place = likely if number <= last else end
        if step.output is not None and step.output <= end + CAPACITY:
            place = step.output
        found.append(max(place, begin, *found[-1:]))
    return found


def keep_memory() -> None:
    """Use the same memory for all that is read: a page that is given back and taken again costs more than masking it.

    That is mallopt(3); a libc that has none goes on as it does.
    """
    for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD) if hasattr(_libc, "mallopt") else ():
        _libc.mallopt(option, _KEPT)


def watch(path: str) -> int:
    """A descriptor that can be read from when the file was written to; -1 where the host has none to give."""
    watching: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watching >= 0 and _libc.inotify_add_watch(watching, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(watching)
        return -1
    return watching
