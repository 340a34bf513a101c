"""What the page tells beside states: what a push brought, when output came, who uses tokens, who comes from GitHub."""

from __future__ import annotations

from typing import Any

from fastdeploy_bot.store import dialects

SCHEMA = """
ALTER TABLE delivery ADD COLUMN commits TEXT;
ALTER TABLE delivery ADD COLUMN size INTEGER;
ALTER TABLE service ADD COLUMN newest BIGINT;
ALTER TABLE service ADD COLUMN gap TEXT;
UPDATE service SET newest = (
    SELECT verdict.id FROM verdict JOIN delivery ON delivery.id = verdict.delivery_id
    WHERE verdict.service_id = service.id AND verdict.counts AND verdict.verdict <> 'stale'
    ORDER BY delivery.pushed_at IS NULL, delivery.pushed_at DESC, verdict.id DESC LIMIT 1
);
ALTER TABLE log_chunk ADD COLUMN times TEXT NOT NULL DEFAULT '[]';
ALTER TABLE step ADD COLUMN log_from BIGINT;
ALTER TABLE step ADD COLUMN log_to BIGINT;
ALTER TABLE token ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE token ADD COLUMN used BIGINT;
ALTER TABLE "user" ADD COLUMN github_id BIGINT;
ALTER TABLE "user" ADD COLUMN github_login TEXT;
CREATE INDEX delivery_of_commit ON delivery ("commit") WHERE "commit" IS NOT NULL;
CREATE UNIQUE INDEX user_github ON "user" (github_id) WHERE github_id IS NOT NULL;
"""


def up(_migrator: Any, database: Any) -> None:  # playhouse ships no types
    """Add the columns."""
    for statement in SCHEMA.format_map(dialects.of(database).TYPES).split(";"):
        if statement.strip():
            database.execute_sql(statement)
