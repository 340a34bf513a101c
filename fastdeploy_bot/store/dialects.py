"""Dialects: which engine a URL names, and what the store asks of each."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import peewee

from fastdeploy_bot.store import postgres, sqlite


class Dialect(Protocol):
    """What `sqlite` and `postgres` both offer. Any: each has a database class of its own."""

    @property
    def BUSY_SECONDS(self) -> float:  # noqa: N802 - a module's constant
        """How long a write waits for all others."""

    @property
    def TYPES(self) -> Mapping[str, str]:  # noqa: N802 - a module's constant
        """The words of a schema that each engine has of its own."""

    def database(self, url: str) -> Any:
        """The database that a URL names."""

    def name(self, base: Any) -> str:
        """How a message calls the database."""

    def release(self, base: Any) -> None:
        """End a unit of work of this thread."""

    def expect_writes(self, base: Any) -> None:
        """This thread will write much."""

    def close(self, base: Any) -> None:
        """Let go of this thread's connection."""

    def writing(self, base: Any, seconds: float) -> AbstractContextManager[None]:
        """A transaction that nobody else writes beside; whoever does is waited for at most about so long."""

    def is_lost(self, base: Any) -> bool:
        """Whether this thread's connection broke: then nobody heard whether a commit on it was made."""

    def reading(self, base: Any) -> AbstractContextManager[None]:
        """A transaction on one snapshot."""

    def copy(self, base: Any, path: Path) -> None:
        """Write all rows, as they are at one moment, into a new file. Raises Unavailable where that cannot be."""

    def migrating(self, base: Any) -> AbstractContextManager[None]:
        """Alone in changing the schema."""

    def faults(self, base: Any) -> list[str]:
        """What is broken in it, or set so that a commit may not last."""

    def size(self, base: Any) -> int:
        """How many bytes it takes."""


def named(url: str) -> Dialect:
    """The dialect of a URL; what is no URL of PostgreSQL is SQLite's to judge."""
    return postgres if url.startswith(postgres.PREFIX) else sqlite


def of(database: peewee.Database) -> Dialect:
    """The dialect that a database speaks."""
    return postgres if isinstance(database, peewee.PostgresqlDatabase) else sqlite
