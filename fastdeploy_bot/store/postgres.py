"""PostgreSQL: the second dialect. It offers the names that `sqlite` offers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import peewee
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from fastdeploy_bot.errors import SettingsError, Unavailable

PREFIX: Final = "postgresql://"

BUSY_SECONDS: Final = 4
"""How long a write waits for others, in this process or another, on whatever host. GitHub waits 10 s for an answer."""

CONNECTIONS: Final = 10
"""How many a process holds at most; its threads take turns."""

LOCK: Final = 0x666173746465706C
"""The advisory lock that every write and every migration takes; its number spells `fastdepl`."""

PARAMETERS: Final = {
    "application_name": "fastdeploy",
    "connect_timeout": 4,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "options": "-c synchronous_commit=on -c idle_in_transaction_session_timeout=20s",
}
"""What the URL may say otherwise: a commit is on disk, a network that went silent is noticed, and so is, by the
server, a host that vanished in the middle of a transaction: it would keep everybody from writing."""

TYPES: Final = {"id": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "bytes": "BYTEA"}
"""How this dialect writes what the dialects write differently; an identity never comes back."""


class _Pool(PooledPostgresqlDatabase):  # type: ignore[misc] # playhouse ships no types
    """peewee's pool; it looks whether a connection is alive before it gives it out."""

    def connect(self, reuse_if_open: bool = False) -> bool:
        try:
            return bool(super().connect(reuse_if_open))
        except MaxConnectionsExceeded as error:
            raise peewee.OperationalError("every connection is in use") from error

    def cursor(self, named_cursor: bool | None = None) -> Any:  # the driver's
        """A cursor; of another connection where this thread's was cut off since."""
        if not self.is_closed() and self.connection().closed and not self.in_transaction():
            self.close()
        return super().cursor(named_cursor)


def database(url: str) -> _Pool:
    """The database that `url` names; its connections are opened when needed. Raises SettingsError without psycopg."""
    if getattr(peewee, "psycopg", None) is None:
        raise SettingsError("database_url: PostgreSQL needs psycopg: pip install 'fastdeploy_bot[postgres]'")
    told = parse_qs(urlsplit(url).query)
    parameters = {name: value for name, value in PARAMETERS.items() if name not in told}
    return _Pool(url, max_connections=CONNECTIONS, timeout=BUSY_SECONDS, prefer_psycopg3=True, **parameters)


def name(base: _Pool) -> str:
    """How a message calls the database, without its password."""
    parts = urlsplit(base.database)
    return f"{parts.path.removeprefix('/')} on {parts.hostname or 'this host'}"


def release(base: _Pool) -> None:
    """Give this thread's connection back to the pool."""
    if not base.is_closed():
        base.close()


def expect_writes(base: _Pool) -> None:
    """Nothing: what is at hand is the server's."""


def close(base: _Pool) -> None:
    """Give this thread's connection back, and close all that nobody uses."""
    release(base)
    base.close_idle()


@contextlib.contextmanager
def writing(base: _Pool, seconds: float) -> Iterator[None]:
    """A transaction that waits at its start until no other one writes, on whatever host, and sees all that they did."""
    with base.atomic("READ COMMITTED"):
        cursor = base.execute_sql(
            f"SET LOCAL lock_timeout = {int(seconds * 1_000)};"
            f"SELECT pg_advisory_xact_lock({LOCK}), current_setting('transaction_read_only')"
        )
        cursor.nextset()
        if cursor.fetchone()[1] == "on":
            raise peewee.OperationalError("it is read-only now")
        yield


def is_lost(base: _Pool) -> bool:
    """Whether this thread's connection broke: then nobody heard whether a commit on it was made."""
    return base.is_closed() or bool(base.connection().closed)


@contextlib.contextmanager
def reading(base: _Pool) -> Iterator[None]:
    """A transaction that sees the rows as they were at its first look, and keeps nobody from writing."""
    with base.atomic("REPEATABLE READ READ ONLY"):
        yield


def copy(base: _Pool, path: Path) -> None:  # noqa: ARG001 - the other dialect's names
    """Not here: PostgreSQL has a program for it. Raises Unavailable, which names it."""
    raise Unavailable(
        f"the database {name(base)} is PostgreSQL's: back it up by pg_dump, and the rest by `backup --without-database`"
    )


@contextlib.contextmanager
def migrating(base: _Pool) -> Iterator[None]:
    """Hold back every other process that would migrate the same database, and all that would write to it."""
    base.execute_sql(f"SELECT pg_advisory_lock({LOCK})")
    try:
        yield
    finally:
        base.execute_sql(f"SELECT pg_advisory_unlock({LOCK})")


def faults(base: _Pool) -> list[str]:
    """What the server has set so that a commit may not last."""
    needed = ("fsync", "full_page_writes", "synchronous_commit")
    return [f"{name} is off" for name in needed if base.execute_sql(f"SHOW {name}").fetchone()[0] == "off"]


def size(base: _Pool) -> int:
    """How many bytes the database takes on the server."""
    return int(base.execute_sql("SELECT pg_database_size(current_database())").fetchone()[0])
