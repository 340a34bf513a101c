"""SQLite: the first dialect. `postgres` offers the same names."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import peewee

from fastdeploy_bot.errors import SettingsError, Unavailable

PREFIX: Final = "sqlite:///"

BUSY_SECONDS: Final = 4
"""How long a write waits for others, in this process or another. GitHub waits 10 s for an answer."""

LITTLE: Final = 0.25
"""How many seconds more or less of that are all the same."""

PRAGMAS: Final = {
    "journal_mode": "wal",
    "synchronous": "full",
    "foreign_keys": 1,
    "journal_size_limit": 64 << 20,
    "cache_size": -512,
    "temp_store": 2,
}
"""WAL lets readers go on beside a writer; FULL means a commit is on disk, also after a power cut. The log's file is cut
to its limit when all of it is in the database, after a long look kept it growing. The cache is in KiB, of each thread's
connection: there are hundreds, and what others write makes it worthless anyway. What would undo half of a statement is
kept in memory (2): in a file it would be as many writes again as a push makes."""
WRITERS_CACHE: Final = -4096
"""Of the connection on which most is written: a lot of webhooks makes a hundred pages, and a page that has no room is
written twice."""

TYPES: Final = {"id": "INTEGER PRIMARY KEY AUTOINCREMENT", "bytes": "BLOB"}
"""How this dialect writes what the dialects write differently; AUTOINCREMENT never reuses an id."""


class _Thread(threading.local):
    """What is expected of a thread."""

    writes = False


_thread: Final = _Thread()


class SqliteDatabase(peewee.SqliteDatabase):
    """peewee's, with a shorter way to the driver: its own goes through five functions, which took as long as a look."""

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Any:
        """The driver's cursor after that statement. Raises peewee's errors. Any: as peewee has it."""
        state = self._state  # type: ignore[attr-defined]  # not in its stubs
        connection = self.connection() if state.closed else state.conn  # type: ignore[no-untyped-call]  # peewee's stubs
        try:
            return connection.execute(sql, params or ())
        except sqlite3.Error:
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]  # not in its stubs
                raise

    def _initialize_connection(self, conn: sqlite3.Connection) -> None:
        """A hook of peewee's."""
        if _thread.writes:
            conn.execute(f"PRAGMA cache_size = {WRITERS_CACHE}")


def database(url: str) -> SqliteDatabase:
    """The database file that `url` names; it is made when first opened."""
    if not url.startswith(PREFIX):
        raise SettingsError(f"database_url: expected sqlite:///<path> or postgresql://…, got {url.split(':', 1)[0]}:…")
    return SqliteDatabase(url.removeprefix(PREFIX), pragmas=PRAGMAS, timeout=BUSY_SECONDS)


def name(base: peewee.SqliteDatabase) -> str:
    """How a message calls the database."""
    return str(base.database)


def release(base: peewee.SqliteDatabase) -> None:
    """Nothing: a thread keeps its connection, since opening one anew costs most of a request."""


def expect_writes(base: peewee.SqliteDatabase) -> None:
    """Keep more of the file at hand for this thread, from its next connection on."""
    _thread.writes = True
    close(base)


def close(base: peewee.SqliteDatabase) -> None:
    """Close this thread's connection."""
    if not base.is_closed():
        base.close()


@contextlib.contextmanager
def writing(base: peewee.SqliteDatabase, seconds: float) -> Iterator[None]:
    """A transaction that takes the write lock at its start, so that it can never fail in its middle for want of it.

    It is waited for so many seconds at most, or a little longer: each connection waits for BUSY_SECONDS by itself, and
    to tell it otherwise takes as long as a look.
    """
    hurry = seconds < BUSY_SECONDS - LITTLE
    if hurry:
        _wait_for(base, seconds)
    try:
        with base.atomic("IMMEDIATE"):
            yield
    finally:
        if hurry:
            _wait_for(base, BUSY_SECONDS)


def _wait_for(base: peewee.SqliteDatabase, seconds: float) -> None:
    base.pragma("busy_timeout", int(seconds * 1_000))


def is_lost(base: peewee.SqliteDatabase) -> bool:  # noqa: ARG001 - the other dialect's names
    """Never: a commit that fails was not made."""
    return False


@contextlib.contextmanager
def reading(base: peewee.SqliteDatabase) -> Iterator[None]:
    """A transaction that sees the rows as they were at its first look, and keeps nobody from writing."""
    with base.atomic("DEFERRED"):
        yield


def copy(base: peewee.SqliteDatabase, path: Path) -> None:
    """Write all rows, as they are at one moment, into a new file of one piece, and look whether it is sound.

    In one step: between two, the next write of the bot's would have it begin anew. It keeps nobody from writing.
    """
    if not Path(base.database).is_file():  # it would be made, and be empty
        raise Unavailable(f"there is no database {base.database}")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as target:
        base.connection().backup(target)  # type: ignore[no-untyped-call]  # peewee's stubs
        target.execute("PRAGMA journal_mode = delete")
        problems = [row[0] for row in target.execute("PRAGMA integrity_check")]
    if problems != ["ok"]:
        raise Unavailable(f"the database {base.database} is damaged: {'; '.join(problems[:3])}")


@contextlib.contextmanager
def migrating(base: peewee.SqliteDatabase) -> Iterator[None]:
    """Hold back every other process that would migrate the same file."""
    lock = os.open(Path(f"{base.database}.migrate"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def faults(base: peewee.SqliteDatabase) -> list[str]:
    """What is broken in the file, or set so that a commit may not last."""
    told = [str(row[0]) for row in peewee.RawQuery("PRAGMA quick_check(5)").tuples().execute(base)]
    mode = base.pragma("journal_mode")
    other = [f"its journal mode is {mode}, not wal"] if mode != "wal" else []
    return [each for each in told if each != "ok"] + other


def size(base: peewee.SqliteDatabase) -> int:
    """How many bytes the file has, without what is not yet taken over from the log beside it."""
    return Path(base.database).stat().st_size
