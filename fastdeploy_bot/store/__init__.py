"""The store: rows on disk, and the only room that knows which database engine keeps them."""

from fastdeploy_bot.store.database import (
    DatabaseError,
    at_end,
    check,
    connect,
    copy,
    disconnect,
    faults,
    migrate,
    pending,
    read,
    release,
    require_schema,
    size,
    when_changed,
    write,
)
from fastdeploy_bot.store.prepared import Insert, Prepared, at_hand

__all__ = [
    "DatabaseError",
    "Insert",
    "Prepared",
    "at_end",
    "at_hand",
    "check",
    "connect",
    "copy",
    "disconnect",
    "faults",
    "migrate",
    "pending",
    "read",
    "release",
    "require_schema",
    "size",
    "when_changed",
    "write",
]
