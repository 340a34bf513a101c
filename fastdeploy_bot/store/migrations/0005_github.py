"""What GitHub is told beside commit statuses, and what it is asked: checks, missed pushes, what changed."""

from __future__ import annotations

from typing import Any

from fastdeploy_bot.store import dialects

SCHEMA = """
ALTER TABLE report ADD COLUMN kind TEXT NOT NULL DEFAULT 'status';
ALTER TABLE report ADD COLUMN external BIGINT;
ALTER TABLE report ADD COLUMN refused TEXT;
DROP INDEX report_context;
CREATE UNIQUE INDEX report_context ON report (repository, sha, context) WHERE kind = 'status';
CREATE UNIQUE INDEX report_of_kind ON report (deployment_id, kind) WHERE kind <> 'status';
CREATE INDEX report_of_sha ON report (repository, sha, context);
ALTER TABLE deployment ADD COLUMN wanted TEXT;
CREATE INDEX deployment_wanting ON deployment (sha) WHERE wanted IS NOT NULL;
ALTER TABLE delivery ADD COLUMN reconciled BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE delivery ADD COLUMN paths TEXT;
CREATE INDEX delivery_reconciled ON delivery (repository_id, ref, after) WHERE reconciled;
ALTER TABLE service ADD COLUMN watched TEXT;
ALTER TABLE session ADD COLUMN setup BIGINT;
CREATE TABLE question (
    id {id},
    kind TEXT NOT NULL,
    repository TEXT NOT NULL,
    service_id BIGINT REFERENCES service,
    delivery_id BIGINT REFERENCES delivery,
    deployment_id BIGINT REFERENCES deployment,
    data TEXT NOT NULL,
    asked BIGINT NOT NULL,
    due BIGINT NOT NULL,
    until BIGINT,
    attempts INTEGER NOT NULL,
    answered BIGINT,
    answer TEXT,
    problem TEXT NOT NULL
);
CREATE INDEX question_open ON question (due) WHERE answered IS NULL;
CREATE INDEX question_of_delivery ON question (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX question_of_deployment ON question (deployment_id) WHERE deployment_id IS NOT NULL;
CREATE TABLE watch (
    id {id},
    repository TEXT NOT NULL UNIQUE,
    looked BIGINT NOT NULL,
    problem TEXT NOT NULL,
    deaf TEXT NOT NULL
);
CREATE TABLE recovery (
    id {id},
    at BIGINT NOT NULL,
    away BIGINT NOT NULL,
    pushes INTEGER NOT NULL,
    redelivered INTEGER NOT NULL
);
"""


def up(_migrator: Any, database: Any) -> None:  # playhouse ships no types
    """Add the columns and make the tables."""
    for statement in SCHEMA.format_map(dialects.of(database).TYPES).split(";"):
        if statement.strip():
            database.execute_sql(statement)
