"""The run folder: one protocol, spoken by the child that owns a script and by the supervisor that follows it.

    run.json         who this is: format, deployment, cookie; no secrets
    lock             held (flock) by the child as long as it lives
    supervisor.lock  held by the one thread, of whichever process, that follows the run
    claim            made once, before the script: whoever makes it decides whether the script runs
    log.<offset>     output, cut into segments that are named by the offset of their first byte
    times            when which byte of it was read
    pipe             how much the child has read of what the script printed, for `fastdeploy step`
    steps            what the script appends; steps.log: what the child made of it, with times
    cancel, finish   requests of the supervisor, each followed by a SIGTERM to the child
    exit             the exit record: allocated beforehand and checksummed, so that a full disk cannot tear it

Liveness is the held lock and nothing else: process ids come back. This module is loaded by the child at its start,
so it imports little.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import zlib

from fastdeploy_bot.runner import removal

FORMAT = 1
EXIT_SIZE = 16 * 1024
"""Bytes allocated for the exit record: its reason is at most 1,000 characters, of at most 12 bytes each in JSON."""
STEPS_AT_ONCE = 50
"""How many entries are read together: they become rows in one write, and others wait for theirs."""
LONGEST_STEP = 128 * 1024
"""More bytes than any entry has: of a name and a message, each character takes at most 12 in JSON."""
MOST_TIMES = 4 * 1024 * 1024
"""More bytes than a child writes down of times in a year."""
BEGIN = b"begin\n"
"""What a child is told, behind its job, once it is to begin."""
READING = -1
"""Stands in `pipe` in place of a number while the child is about to change it."""
_NO_FILE = (errno.EISDIR, errno.ELOOP, errno.ENXIO)
"""What opening a folder, a link or a socket as a file comes to."""
_MAGIC = b"FDX1"
_HEADER = struct.Struct(">4sII")
_SEGMENT = "log."
LONGEST_OFFSET = 18
END_OF_TIME = 253_402_300_800_000
"""In Unix milliseconds: the year 10000, which no clock and no row of output comes to."""

ENDED, ALIVE, NOT_STARTED, LOST = "ended", "alive", "not started", "lost"


class RunFolder:
    """One run's folder, which may or may not still be there."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The folder's own name; it is also the cookie by which the run's processes are known."""
        return os.path.basename(self.path)

    def file(self, name: str) -> str:
        """The path of one of its files."""
        return os.path.join(self.path, name)

    def create(self, deployment: int, prepared: RunFolder | None = None) -> None:
        """Make the folder, of one beside it that is prepared, if there is one; on disk when this returns.

        Where the disk refuses, nothing is left of it.
        """
        draft = RunFolder(f"{self.path}.new") if prepared is None else prepared
        about = {"format": FORMAT, "deployment": deployment, "cookie": self.name}
        if prepared is None:
            draft.prepare()
        try:
            _write(draft.file("run.json"), json.dumps(about).encode(), synced=False)
            os.utime(draft.path)  # it may be an hour old, and would pass for one that was left behind
            os.rename(draft.path, self.path)
        except OSError:
            draft.remove()
            raise
        _sync_folder(os.path.dirname(self.path))

    def prepare(self) -> None:
        """Make a folder for a run that is not known yet; all but its name is on disk when this returns."""
        os.makedirs(self.path, mode=0o700)
        try:
            self._fill()
        except OSError:
            self.remove()
            raise
        _sync_folder(self.path)

    def _fill(self) -> None:
        """Make its files. That they are there is what has to last, and that is up to the folder: nobody waits for each.

        After a power cut nothing that they hold is asked for, and the room for the exit record is taken at once.
        """
        for name in ("run.json", "lock", "supervisor.lock", "steps", "steps.log", "child.err"):
            _write(self.file(name), b"", synced=False)
        exit_file = os.open(self.file("exit"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(exit_file, 0, EXIT_SIZE)
        finally:
            os.close(exit_file)

    def remove(self) -> None:
        """Take the folder, or what a script put in its place, away, if it is there."""
        try:
            removal.remove(self.path)
        except FileNotFoundError:  # another engine does so just now
            return

    # --- life and death ---

    def hold(self, name: str) -> int | None:
        """Take one of the two locks until the answered descriptor is closed; None where somebody else has it.

        None, too, where the folder is gone; a lock that a script took away, or put something in the place of, is put
        back.
        """
        try:
            lock = self._lock(name)
        except OSError:
            if os.path.isdir(self.path):
                raise
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    def _lock(self, name: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self.file(name), flags, 0o600)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
        removal.remove(self.file(name))
        return os.open(self.file(name), flags, 0o600)

    def claim(self, by: dict[str, object]) -> bool:
        """Decide, once and for all, who runs or does not run the script; only for who holds the lock.

        A claim that the disk refuses, OSError, was not made.
        """
        try:
            _write(self.file("claim"), json.dumps(by).encode(), os.O_EXCL)
        except FileExistsError:
            return False
        except OSError:
            removal.remove(self.file("claim"))
            raise
        _sync_folder(self.path)
        return True

    def take_claim(self) -> bool:
        """Make sure that no late child runs the script; False where one has claimed it or is about to."""
        lock = self.hold("lock")
        if lock is None:
            return False
        try:
            return self.claim({"taken": True}) or not self._begun()
        finally:
            os.close(lock)

    def claimed(self) -> dict[str, object] | None:
        """What the claim says, if it was made; nothing, where that cannot be read."""
        return self._json("claim") or ({} if os.path.lexists(self.file("claim")) else None)

    def _begun(self) -> bool:
        """Whether a child has claimed the script, so that it may have run."""
        claimed = self.claimed()
        return claimed is not None and "taken" not in claimed

    def alive(self) -> bool:
        """Whether the child lives."""
        try:
            lock = os.open(self.file("lock"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def judge(self) -> str:
        """What became of the run: ENDED (there is an exit record), ALIVE, NOT_STARTED or LOST."""
        # The order matters: a child locks before it claims, and leaves its record before it lets go of its lock.
        # So a claim seen before a free lock is a dead child's, and what that left is there by the time of the look.
        # A record beside a held lock is not the child's last word, and may be a script's.
        begun = self._begun()
        if self.alive():
            return ALIVE
        if self.exit_record() is not None:
            return ENDED
        return LOST if begun or not os.path.exists(self.file("lock")) else NOT_STARTED

    # --- the exit record ---

    def write_exit(self, record: dict[str, object]) -> None:
        """Write the exit record in place, on disk when this returns. Raises OSError where that is no file any more."""
        body = json.dumps(record).encode()
        data = _HEADER.pack(_MAGIC, len(body), zlib.crc32(body)) + body
        exit_file = os.open(self.file("exit"), os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.pwrite(exit_file, data, 0)
            os.fsync(exit_file)
        finally:
            os.close(exit_file)

    def exit_record(self) -> dict[str, object] | None:
        """The exit record; None where there is none or it was not written whole."""
        data = _read(self.file("exit"), 0, EXIT_SIZE)
        if data is None or len(data) < _HEADER.size:
            return None
        magic, length, checksum = _HEADER.unpack_from(data)
        body = data[_HEADER.size : _HEADER.size + length]
        if magic != _MAGIC or len(body) != length or zlib.crc32(body) != checksum:
            return None
        return _entry(body)

    # --- requests ---

    def request(self, name: str, details: dict[str, object]) -> None:
        """Leave a request, `cancel` or `finish`, for the child; the first one stands."""
        if self.requested(name) is not None:
            return
        draft = self.file(f"{name}.new")
        removal.remove(draft)
        _write(draft, json.dumps(details).encode(), os.O_EXCL)
        removal.remove(self.file(name))
        os.rename(draft, self.file(name))

    def requested(self, name: str) -> dict[str, object] | None:
        """What a request says, if it was left."""
        return self._json(name)

    # --- output and steps ---

    def segments(self) -> list[int]:
        """The offsets at which the log's segments begin, in order."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        offsets = [name[len(_SEGMENT) :] for name in names if name.startswith(_SEGMENT)]
        return sorted(int(offset) for offset in offsets if offset.isdecimal() and len(offset) <= LONGEST_OFFSET)

    def segment(self, offset: int) -> str:
        """The path of the segment that begins at `offset`."""
        return self.file(f"{_SEGMENT}{offset}")

    def read_log(self, offset: int, most: int) -> tuple[int, bytes]:
        """Output from `offset` on, at most so many bytes of it, and the offset it truly begins at.

        That is later than asked for where the bytes are no longer kept. No bytes: nothing more has come yet.
        """
        starts = self.segments()
        candidates = [start for start in starts if start <= offset][-1:] + [start for start in starts if start > offset]
        for start in candidates:
            place = max(start, offset)
            data = _read(self.segment(start), place - start, most)
            if data:
                return place, data
        return offset, b""

    def read_times(self, offset: int) -> tuple[list[tuple[int, int]], int]:
        """The next marks from `offset` in `times` on, each a place in the log and a time; and the offset behind them.

        What a script put there instead is passed over.
        """
        data = _read(self.file("times"), offset, MOST_TIMES) or b""
        lines = data.split(b"\n")[:-1]
        marks = [mark for line in lines if (mark := _mark(line)) is not None]
        return marks, offset + sum(len(line) + 1 for line in lines)

    def read_steps(self, offset: int) -> tuple[list[dict[str, object]], int]:
        """The step journal's next entries from `offset` on, and the offset behind them."""
        data = _read(self.file("steps.log"), offset, 1024 * 1024) or b""
        lines = data.split(b"\n")[:-1][:STEPS_AT_ONCE]
        entries = [entry for line in lines if (entry := _entry(line)) is not None]
        return entries, offset + sum(len(line) + 1 for line in lines)

    def last_step(self) -> dict[str, object] | None:
        """The step journal's last entry: {} where there is none yet, None where it is not there to be read or added to.

        What a child was writing when it died is taken away, so that the next entry stands on a line of its own.
        """
        path = self.file("steps.log")
        try:
            size = os.stat(path).st_size
        except OSError:
            return None
        *whole, torn = (_read(path, max(0, size - LONGEST_STEP), LONGEST_STEP) or b"").split(b"\n")
        if torn:
            os.truncate(path, size - len(torn))
        return _entry(whole[-1]) if whole else {}

    def _json(self, name: str) -> dict[str, object] | None:
        return _entry(_read(self.file(name), 0, EXIT_SIZE) or b"")


def _write(path: str, data: bytes, flags: int = os.O_TRUNC, *, synced: bool = True) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    try:
        while data:  # a disk that is nearly full takes a part, and refuses the rest with the error that says so
            data = data[os.write(file, data) :]
        if synced:
            os.fsync(file)
    finally:
        os.close(file)


def _read(path: str, offset: int, most: int) -> bytes | None:
    """Bytes of a file; None where it is gone, or a script put something else in its place."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.pread(file, most, offset)
    except OSError:
        return None
    finally:
        os.close(file)


def _entry(line: bytes) -> dict[str, object] | None:
    """An object in JSON; None for what a power cut, or a script, left there."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _mark(line: bytes) -> tuple[int, int] | None:
    try:
        place, at = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    if type(place) is not int or type(at) is not int or not (0 <= place < END_OF_TIME and 0 <= at < END_OF_TIME):
        return None
    return place, at


def _sync_folder(path: str) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
