"""What a script says: its output, masked and in bounded segments, and its steps, masked and with times."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator

from fastdeploy_bot.masking import Masker
from fastdeploy_bot.runner.folder import RunFolder

SMALLEST_SEGMENT = 64 * 1024
LONGEST_LINE = 1024 * 1024
LONGEST_NAME = 200
LONGEST_MESSAGE = 4096
MOST_STEPS = 10_000
HELD = 0.1
"""Seconds that bytes which could become a secret may wait for more, until somebody looks: a prompt should show."""
READS = 4
"""How many times in a row the steps file is read: a script that floods it must not keep the child from its work."""
LAST_READS = 256
"""The same for the last look: all that is there is taken, but nobody can keep it growing for ever."""
CLOSEST = 0.02
"""Seconds between marks of the time, as long as a run is young: pages show no shorter ones."""
PRECISION = 10_000
"""Later, marks are at least this part of the run's age apart: so there are never too many."""
BURST = 50
"""How many marks may come closer than that after a pause: then a step told by HTTP is found by its time."""
STATES = ("pending", "running", "success", "failure", "skipped")


def now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Log:
    """Keeps the first half and at least the last half of `limit` bytes; what lies between is dropped as it ages.

    Nothing is written, counted or numbered before it is masked.
    """

    def __init__(self, folder: RunFolder, limit: int, masker: Masker) -> None:
        self.end = 0
        """How many bytes there were, kept or not."""
        self.dropped = 0
        """How many of them the disk did not take."""
        self._folder = folder
        self._masker = masker
        self._times = Times(folder)
        self._waits_since = 0.0
        self._head = limit // 2
        self._tail = limit - self._head
        self._size = max(SMALLEST_SEGMENT, self._tail // 4)
        self._starts: list[int] = []
        self._file = -1

    @property
    def place(self) -> int:
        """How many bytes there were with those that still wait; should they become a secret, about so many."""
        return self.end + self._masker.pending

    def write(self, data: bytes, at: int) -> None:
        """Take output that was read at that moment; never raises, a full disk costs the bytes and nothing else."""
        if not data:
            return
        waited = self._masker.pending
        masked = self._masker.feed(data)
        if self._masker.pending <= len(data):
            self._waits_since = time.monotonic()
        self._times.note(self.end + min(waited, len(masked)), at)  # first, so that no byte is there without its time
        self._keep(masked)

    def settle(self) -> None:
        """Write what has waited long enough for what would make a secret of it."""
        if self._masker.pending and time.monotonic() >= self._waits_since + HELD:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._keep(self._masker.flush())

    def say(self, text: str) -> None:
        """Add a line of the bot's own."""
        self.flush()
        self._times.note(self.end, now())
        self._keep(self._masker.text(f"fastdeploy: {text}\n").encode())

    def _keep(self, masked: bytes) -> None:
        view = memoryview(masked)
        while view:
            try:
                written = self._write(view)
            except OSError:
                self._abandon()
                written = len(view)
                self.dropped += written
            self.end += written
            view = view[written:]

    def _write(self, view: memoryview) -> int:
        if self._file < 0 or self.end >= self._segment_end():
            self._next()
        return os.write(self._file, view[: self._segment_end() - self.end])

    def _segment_end(self) -> int:
        start = self._starts[-1]
        return self._head if start < self._head else start + self._size

    def _next(self) -> None:
        self._close()
        path = self._folder.segment(self.end)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._starts.append(self.end)
        self._forget()

    def _forget(self) -> None:
        """Drop the segments that lie wholly between the head and the tail."""
        while (
            len(middle := [start for start in self._starts if start >= self._head]) > 1
            and middle[1] <= self.end - self._tail
        ):
            self._starts.remove(middle[0])
            _unlink(self._folder.segment(middle[0]))

    def _abandon(self) -> None:
        """Leave the segment that could not be written on; an empty one leaves no trace."""
        self._close()
        if self._starts and self._starts[-1] == self.end:
            _unlink(self._folder.segment(self._starts.pop()))

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


class Times:
    """Notes when which byte of the log was read, for the supervisor to read: `[offset, ms]`, one a line."""

    def __init__(self, folder: RunFolder) -> None:
        self._path = folder.file("times")
        self._begun = time.monotonic()
        self._free = 0.0
        """When marks may come again, were there no bursts."""
        self._last = (-1, -1)

    def note(self, place: int, at: int) -> None:
        """The bytes from that place on were read at that moment, or so soon after the last ones that it is the same."""
        if place <= self._last[0] or at == self._last[1]:
            return
        here = time.monotonic()
        apart = max(CLOSEST, (here - self._begun) / PRECISION)
        self._free = max(self._free, here - BURST * apart)
        if here < self._free:
            return
        self._free += apart
        self._last = (place, at)
        with contextlib.suppress(OSError):  # a full disk costs the time and nothing else
            _append(self._path, b"[%d, %d]\n" % self._last)


class Lines:
    """Cuts a stream into lines; one that is too long is left out whole."""

    def __init__(self, place: int = 0) -> None:
        self._rest = b""
        self._place = place
        """Where the rest begins in the stream."""
        self._skipping = False

    def feed(self, data: bytes) -> list[tuple[bytes, int]]:
        """The lines that are complete now, each with the place behind its end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = []
        for line in lines:
            self._place += len(line) + 1
            found.append((line, self._place))
        if self._skipping and lines:
            del found[0]
            self._skipping = False
        if len(self._rest) > LONGEST_LINE:
            self._place += len(self._rest)
            self._rest, self._skipping = b"", True
        return found

    def flush(self) -> list[tuple[bytes, int]]:
        """The last line, if it had no end."""
        rest, self._rest = self._rest, b""
        self._place += len(rest)
        return [(rest, self._place)] if rest and not self._skipping else []


class Told:
    """A step that a script told of."""

    __slots__ = ("message", "name", "output", "state", "taken")

    def __init__(self, name: str, state: str, message: str, output: int | None) -> None:
        self.name = name
        self.state = state
        self.message = message
        self.output = output
        """How much the script had printed by then, masked or not, if it knew."""
        self.taken: list[int] | None = None
        """The steps file's inode, and the place behind the step in it, if it came from there."""


class Journal:
    """The step journal: what was said of steps, checked, masked and with times, for the supervisor to read."""

    def __init__(
        self, folder: RunFolder, masker: Masker, say: Callable[[str], None], clock: Callable[[], int] = now
    ) -> None:
        self.count = 0
        """How many steps were told."""
        self._masker = masker
        self._say = say
        """Tells people of what is amiss."""
        self._clock = clock
        self._path = folder.file("steps.log")
        self._complained = False
        self._last: tuple[int, int | None] = (clock(), 0)
        """When, and where in the log, the last step was told."""
        self._taken = [0, 0]
        """The place in the steps file up to which its steps stand here."""

    def from_file(self, line: bytes, inode: int, behind: int) -> Told | None:
        """The step in a line of the steps file; a line that is none is told once."""
        told = _step(line)
        if told is not None:
            told.taken = [inode, behind]
            return self._masked(told)
        if line.strip() and not self._complained:
            self._complained = True
            self._say(
                "a line of the steps file is not a step and was passed over: "
                f"{self._masker.text(line.decode(errors='replace'))[:80]!r}; "
                'write {"name": …, "state": "running", "success" or "failure"}'
            )
        return None

    def from_output(self, line: bytes) -> Told | None:
        """The step in a line of output; most are just that."""
        told = _step(line) if line.startswith(b"{") else None
        return None if told is None else self._masked(told)

    def add(self, step: Told, place: int | None) -> None:
        """Write a step down that was told at that place in the log; one in the output began with the one before it."""
        self._taken = step.taken or self._taken
        started, begun = self._last if step.taken is None else (None, None)
        self._last = (self._clock(), place)
        entry = {
            "at": self._last[0],
            "place": place,
            "started": started,
            "begun": begun,
            "name": step.name,
            "state": step.state,
            "message": step.message,
            "taken": self._taken,
        }
        try:
            _append(self._path, (json.dumps(entry) + "\n").encode())
        except OSError:
            self._say("a step could not be written down: no space left")

    def _masked(self, told: Told) -> Told | None:
        """The step without secrets, cut only then, or it might end in the middle of one; None for one too many."""
        self.count += 1
        if self.count > MOST_STEPS:
            return None
        told.name = self._masker.text(told.name)[:LONGEST_NAME]
        told.message = self._masker.text(told.message)[:LONGEST_MESSAGE]
        return told


class StepsFile:
    """Follows the file that the script appends its steps to, whatever the script does to it."""

    def __init__(self, folder: RunFolder, journal: Journal, inode: int = 0, offset: int = 0) -> None:
        self._path = folder.file("steps")
        self._journal = journal
        self._lines = Lines(offset)
        self._offset = offset
        self._inode = inode

    def poll(self, *, last: bool = False) -> Iterator[Told]:
        """The steps that were added; at the end of the script, also one whose line has no end."""
        for _ in range(LAST_READS if last else READS):
            data = self._read()
            if not data:
                break
            yield from self._steps(self._lines.feed(data))
        yield from self._steps(self._lines.flush() if last else [])

    def _steps(self, lines: list[tuple[bytes, int]]) -> Iterator[Told]:
        for line, behind in lines:
            step = self._journal.from_file(line, self._inode, behind)
            if step is not None:
                yield step

    def _read(self) -> bytes:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode) or self._journal.count > MOST_STEPS:
                return b""
            if about.st_size < self._offset or about.st_ino != self._inode:
                self._inode, self._offset, self._lines = about.st_ino, 0, Lines()
            data = os.pread(file, LONGEST_LINE, self._offset)
        finally:
            os.close(file)
        self._offset += len(data)
        return data


def take_rest(folder: RunFolder, masker: Masker) -> None:
    """Journal the steps in the steps file that a child which is dead did not come to; those that it took, not again.

    They happened at the latest when the file was last written to.
    """
    match last := folder.last_step():
        case {"taken": [int(inode), int(offset)]}:
            pass
        case {} if not last:
            inode = offset = 0
        case _:  # no journal to go on with, or one of a child that did not note how far it came
            return
    try:
        written = os.stat(folder.file("steps"), follow_symlinks=False).st_mtime_ns // 1_000_000
    except OSError:
        return
    journal = Journal(folder, masker, _to_nobody, lambda: written)
    for step in StepsFile(folder, journal, inode, offset).poll(last=True):
        journal.add(step, None)


def _to_nobody(_text: str) -> None:
    """Where a run's own log has ended, nothing more can be said in it."""


def _step(line: bytes) -> Told | None:
    """A step, in the API's form or in that of ephes/fastdeploy; None where it is no step."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    name, state = value.get("name"), value.get("state")
    message = value.get("error_message") or value.get("message") or ""
    if not isinstance(name, str) or not isinstance(state, str) or not isinstance(message, str):
        return None
    if not name.strip() or len(name) > LONGEST_NAME or "\0" in name or state not in STATES:
        return None
    output = value.get("output_bytes")
    return Told(_mended(name), state, _mended(message), output if type(output) is int else None)


def _mended(text: str) -> str:
    """Text without what JSON can say and no row can hold: NUL, and halves of surrogate pairs."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def _append(path: str, data: bytes) -> None:
    """Append the data, all of it or nothing; what a script put in the file's place neither leads astray nor blocks."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    size = os.fstat(file).st_size
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        os.ftruncate(file, size)
        raise
    finally:
        os.close(file)


def _unlink(path: str) -> None:
    """Take a file away, unless somebody else has."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
