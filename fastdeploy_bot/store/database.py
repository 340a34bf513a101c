"""One database for the process: connecting, writing, migrating."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import peewee
from playhouse.migrations import Runner

from fastdeploy_bot.errors import Unavailable
from fastdeploy_bot.store import dialects
from fastdeploy_bot.store.models import Lease, proxy
from fastdeploy_bot.store.turns import Turns

log = logging.getLogger(__name__)

T = TypeVar("T")

DatabaseError = peewee.DatabaseError
"""What a read may raise when the database is away."""

AWAY: Final = (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError)
"""What the driver raises where nothing can be written now: gone, locked, full, read-only, restarted in the middle."""

UNWRITTEN: Final = "the database cannot be written"
UNHEARD: Final = "the database broke off at a commit, and it may have been made"

MOMENT: Final = 0.25
"""How many seconds a write waits for the lock at least, whenever it has its turn."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class _Ends(threading.local):
    """What this thread's present write has yet to do at its end; None outside of one."""

    wanted: dict[Hashable, Callable[[], None]] | None = None


_ends = _Ends()
_heralds: list[Callable[[], object]] = []


class StoreUnavailable(Unavailable):
    """The database cannot be written now."""


class SchemaOutdated(Unavailable):
    """The database's schema is not this version's."""


def connect(url: str) -> None:
    """Use the database at `url` (`sqlite:///path`, `postgresql://…`) from now on.

    Each thread gets a connection when it needs one. What this thread has put off for another database is not written.
    Raises SettingsError for a URL that names no such database.
    """
    _put_off.parts.clear()
    proxy.initialize(dialects.named(url).database(url))


def release() -> None:
    """End a unit of work, such as a request: where connections are few, others may have this thread's now."""
    _dialect().release(proxy.obj)


def disconnect() -> None:
    """Let go of this thread's connection, at the thread's end or before a fork."""
    _dialect().close(proxy.obj)


def expect_writes() -> None:
    """Let this thread's connections be ready for most of what will be written; none is opened yet."""
    _dialect().expect_writes(proxy.obj)


def write(fn: Callable[[], T]) -> T:
    """Run `fn` in a transaction that holds the database's write lock, and answer what it answers.

    What `fn` wrote is on disk when this returns, and undone when it raises. It does no I/O of its own and may be run
    more than once, in another thread: writes that wait for the lock at the same time share one commit. Raises
    StoreUnavailable where the database is locked for long, full or read-only: what it waits for its turn, for the lock,
    and again where others of its lot raised, is BUSY_SECONDS in all, and a moment.
    """
    part = _Part(fn)
    _share([part])
    return part.answer()


def later(fn: Callable[[], T], then: Callable[[], object] | None = None) -> Later[T]:
    """A write that is put off until this thread asks for the answer of any that it has put off.

    Then all of them are written, in the order in which they were put off, and share one commit. `then` is called after
    that, once for all of a commit that have the same.
    """
    return Later(_Part(fn, then), _put_off.parts)


def write_by(until: float) -> None:
    """Let no write of this thread's wait for the lock beyond that moment of `time.monotonic`."""
    _put_off.until = until


class Later(Generic[T]):
    """What a write that was put off will answer. For the thread that put it off alone."""

    def __init__(self, part: _Part[T], lot: list[_Part[Any]]) -> None:
        self._part = part
        self._lot = lot
        lot.append(part)

    def answer(self) -> T:
        """What its function answered; all of it is on disk. Raises as `write` does."""
        if self._part in self._lot:
            lot = self._lot.copy()
            self._lot.clear()
            _share(lot)
        return self._part.answer()

    def forget(self) -> None:
        """Do not write it, where that has not been done."""
        if self._part in self._lot:
            self._lot.remove(self._part)


class _PutOff(threading.local):
    """What this thread has put off writing, and until when that may wait."""

    def __init__(self) -> None:
        self.parts: list[_Part[Any]] = []
        self.until = math.inf


_put_off = _PutOff()


class _Part(Generic[T]):
    """One of the writes that share a commit."""

    def __init__(self, fn: Callable[[], T], then: Callable[[], object] | None = None) -> None:
        self._fn = fn
        self._context = copy_context()
        self.then = then
        self._found: T | None = None
        self._problem: Exception | None = StoreUnavailable("the write was broken off: try again shortly")
        self.changed = False
        """Whether anybody is to be told of it."""

    def run(self) -> None:
        """Do it, in whatever thread; it is undone by whoever ends the transaction."""
        self._found, self.changed = self._context.run(_whole, self._fn)

    def settle(self, problem: Exception | None) -> None:
        """It is on disk; or it is undone, for that reason."""
        self._problem = problem

    def answer(self) -> T:
        """What its function answered. Raises why nothing was written."""
        if self._problem is not None:
            raise self._problem
        return cast("T", self._found)


class _Lot(NamedTuple):
    """What one thread wants written."""

    parts: Sequence[_Part[Any]]
    until: float
    """How long it waits, by `time.monotonic`."""


def _share(parts: Sequence[_Part[Any]]) -> None:
    """Have these written, with those of other threads that wait for the lock at the same time."""
    release()  # whoever waits for its turn does not keep a connection from the one whose turn it is
    now = time.monotonic()
    until = min(now + _dialect().BUSY_SECONDS, _put_off.until)
    if not _writers.take(_Lot(parts, until), timeout=max(0.0, until - now)):
        for part in parts:
            part.settle(StoreUnavailable("the database is busy: try again shortly"))


def _write_lots(lots: Sequence[_Lot]) -> None:
    """Write them together; the longest wait of one is up first."""
    _together([part for lot in lots for part in lot.parts], until=min(lot.until for lot in lots))


def _together(parts: Sequence[_Part[Any]], *, until: float) -> Exception | None:
    """Write them in one transaction; where one of them raises, it is written apart from the others, and undoes none.

    Answers why the lock was not to be had; None where it was.
    """
    begun, ran = False, 0
    try:
        with _dialect().writing(proxy.obj, max(MOMENT, until - time.monotonic())):
            begun = True
            for part in parts:
                part.run()
                ran += 1
    except Exception as error:  # noqa: BLE001 - raised again, in the thread whose write it is
        unheard = ran == len(parts) and _dialect().is_lost(proxy.obj)
        if begun and not unheard and len(parts) > 1:
            _apart(parts, ran, until=until)
        else:
            _tell(parts, error, UNHEARD if unheard else UNWRITTEN)
        return None if begun else error
    for part in parts:
        part.settle(None)
    wanted = [part.then for part in parts if part.then is not None]
    for each in dict.fromkeys([*wanted, *(_heralds if any(part.changed for part in parts) else ())]):
        each()
    return None


def _apart(parts: Sequence[_Part[Any]], wrong: int, *, until: float) -> None:
    """Write the one that raised, those before it, and those behind it; each for itself where it was the commit.

    Where one does not get the lock any more, what is behind it does not wait for that either.
    """
    lots = [parts[:wrong], parts[wrong : wrong + 1], parts[wrong + 1 :]]
    if wrong == len(parts):
        lots = [[part] for part in parts]
    lots = [lot for lot in lots if lot]
    for number, lot in enumerate(lots, start=1):
        error = _together(lot, until=until)
        if error is not None:
            for other in lots[number:]:
                _tell(other, error, UNWRITTEN)
            return


def _tell(parts: Sequence[_Part[Any]], error: Exception, what: str) -> None:
    """Nothing of these was written, for that reason."""
    for part in parts:
        part.settle(_problem(error, what))


def _problem(error: Exception, what: str) -> Exception:
    """What whoever wanted to write is told."""
    if not isinstance(error, AWAY):
        return error
    problem = StoreUnavailable(f"{what}: {_first(error)}; try again shortly")
    problem.__cause__ = error
    return problem


_writers: Final = Turns[_Lot](_write_lots)


def _first(error: BaseException) -> BaseException:
    """What went wrong first: a full disk undoes a transaction by itself, and undoing it once more fails, too."""
    found, earlier = error, error.__context__
    while earlier is not None:
        found, earlier = earlier if isinstance(earlier, AWAY) else found, earlier.__context__
    return found


def at_end(key: Hashable, fn: Callable[[], None]) -> None:
    """Run `fn` at the end of this thread's present write, in its transaction; once for all calls with that key.

    The order is that of the last calls. Raises RuntimeError outside of a write.
    """
    if _ends.wanted is None:
        raise RuntimeError(f"{key} is to be told at the end of a write, but none is under way")
    _ends.wanted.pop(key, None)
    _ends.wanted[key] = fn


def when_changed(herald: Callable[[], object] | None) -> None:
    """Call `herald` after each write that had something to do at its end; None: call nobody any more."""
    _heralds[:] = [] if herald is None else [herald]


def _whole(fn: Callable[[], T]) -> tuple[T, bool]:
    """What `fn` answers, with all that was wanted at its end done, and whether there was anything."""
    ends: dict[Hashable, Callable[[], None]] = {}
    _ends.wanted = ends
    try:
        result = fn()
        _ends.wanted = None
        for end in ends.values():
            end()
        return result, bool(ends)
    finally:
        _ends.wanted = None


def read(fn: Callable[[], T]) -> T:
    """Run `fn`, which only reads, on one snapshot of the database."""
    with _dialect().reading(proxy.obj):
        return fn()


def copy(path: Path) -> None:
    """Write all rows, as they are at one moment, into a new SQLite file, while others write on.

    Raises Unavailable where that cannot be, or where what was written is not sound.
    """
    try:
        _dialect().copy(proxy.obj, path)
    except (sqlite3.Error, peewee.DatabaseError) as error:
        raise StoreUnavailable(f"the database cannot be copied: {error}") from error


def check() -> None:
    """Raise unless the database has this version's schema and takes a row: its lock is had on a full disk, too."""
    require_schema()
    write(_mark)


def _mark() -> None:
    mine = Lease.name == "check"
    if not Lease.update(until=Lease.until + 1).where(mine).execute():
        Lease.create(name="check", holder="", until=0)


def require_schema() -> None:
    """Raise unless the database has this version's schema."""
    if names := pending():
        raise SchemaOutdated(f"the schema lacks {', '.join(names)}: run `fastdeploy migrate`")


def pending() -> list[str]:
    """The migrations not applied yet, in order. Raises SchemaOutdated where a newer version has been here."""
    try:
        rows = _runner().status()
    except peewee.DatabaseError as error:
        raise StoreUnavailable(f"the database {_dialect().name(proxy.obj)} cannot be read: {error}") from error
    if unknown := [row.name for row in rows if row.path is None]:
        raise SchemaOutdated(f"a newer version applied {', '.join(unknown)}: run that version, or restore a backup")
    return [row.name for row in rows if not row.applied]


def migrate() -> list[str]:
    """Bring the schema up to date, one process at a time; answers the names applied."""
    try:
        with _dialect().migrating(proxy.obj):
            applied: list[str] = _runner().up() if pending() else []
    except (peewee.DatabaseError, OSError) as error:
        raise StoreUnavailable(f"the schema cannot be brought up to date: {error}") from error
    if applied:
        log.info("schema migrated", extra={"migrations": applied})
    return applied


def faults() -> list[str]:
    """What is broken in the database, or set so that a commit may not last. Raises DatabaseError."""
    return _dialect().faults(proxy.obj)


def size() -> int:
    """How many bytes the database takes."""
    return _dialect().size(proxy.obj)


def _dialect() -> dialects.Dialect:
    return dialects.of(proxy.obj)


def _runner() -> Runner:
    return Runner(proxy.obj, directory=str(MIGRATIONS))
