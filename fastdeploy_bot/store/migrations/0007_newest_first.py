"""What finds the newest pushes of a ref, and of a service, without sorting all that ever came."""

from __future__ import annotations

from typing import Any

from fastdeploy_bot.store import dialects, postgres

SCHEMA = """
DROP INDEX delivery_newest;
CREATE INDEX delivery_newest ON delivery (repository_id, ref, pushed_at DESC NULLS LAST, id DESC);
DROP INDEX verdict_of_service;
CREATE INDEX verdict_of_service ON verdict (service_id, verdict, id)
"""


def up(_migrator: Any, database: Any) -> None:  # playhouse ships no types
    """Make them anew where they are not in that order already: SQLite's end in the id, and NULL is its least value."""
    if dialects.of(database) is postgres:
        for statement in SCHEMA.split(";"):
            database.execute_sql(statement)
