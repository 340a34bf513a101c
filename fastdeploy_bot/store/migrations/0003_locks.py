"""What keeps a service from being deployed: a lock, and the commit that it was rolled back from."""

from __future__ import annotations

from typing import Any

COLUMNS = (
    ("service", "locked BIGINT"),
    ("service", "locked_by TEXT"),
    ("service", "lock_reason TEXT"),
    ("service", "lock_until BIGINT"),
    ("service", "held_back TEXT"),
    ("service", "held_back_by TEXT"),
    ("deployment", "waits_for TEXT"),
)


def up(_migrator: Any, database: Any) -> None:  # playhouse ships no types
    """Add the columns."""
    for table, column in COLUMNS:
        database.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column}")
