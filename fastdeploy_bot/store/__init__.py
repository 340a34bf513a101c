"""The store: rows on disk, and the only room that knows which database engine keeps them."""

from fastdeploy_bot.store.database import (
    DatabaseError,
    check,
    connect,
    disconnect,
    migrate,
    pending,
    read,
    require_schema,
    write,
)

__all__ = ["DatabaseError", "check", "connect", "disconnect", "migrate", "pending", "read", "require_schema", "write"]
