"""What makes the bot visible: the feed, what GitHub is owed, sessions, and who did what."""

from __future__ import annotations

from typing import Any

from fastdeploy_bot.store import dialects

SCHEMA = """
CREATE TABLE event (
    id {id},
    type TEXT NOT NULL,
    service TEXT,
    deployment_id BIGINT,
    data TEXT NOT NULL,
    created BIGINT NOT NULL
);
ALTER TABLE deployment ADD COLUMN report TEXT NOT NULL DEFAULT '[]';
CREATE INDEX deployment_by_outcome ON deployment (service_id, state, id);
CREATE INDEX deployment_taken_over ON deployment (taken_over_by_id) WHERE taken_over_by_id IS NOT NULL;
DROP INDEX deployment_open;
CREATE INDEX deployment_queued ON deployment (id) WHERE state = 'queued';
CREATE INDEX deployment_waiting ON deployment (id) WHERE state = 'waiting';
CREATE INDEX deployment_running ON deployment (id) WHERE state = 'running';
CREATE INDEX delivery_of_event ON delivery (event);
CREATE INDEX verdict_of_service ON verdict (service_id, verdict);
CREATE TABLE report (
    id {id},
    repository TEXT NOT NULL,
    sha TEXT NOT NULL,
    context TEXT NOT NULL,
    deployment_id BIGINT NOT NULL REFERENCES deployment,
    changes BIGINT NOT NULL,
    told BIGINT NOT NULL,
    due BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT,
    description TEXT,
    told_at BIGINT,
    problem TEXT NOT NULL
);
CREATE UNIQUE INDEX report_context ON report (repository, sha, context);
CREATE INDEX report_owed ON report (due) WHERE changes > told;
CREATE TABLE lease (
    id {id},
    name TEXT NOT NULL UNIQUE,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);
CREATE TABLE session (
    id {id},
    hash TEXT NOT NULL UNIQUE,
    user_id BIGINT NOT NULL REFERENCES "user",
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    ended BIGINT,
    peer TEXT NOT NULL,
    agent TEXT NOT NULL
);
CREATE INDEX session_of_user ON session (user_id);
CREATE TABLE attempt (
    id {id},
    "key" TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX attempt_key ON attempt ("key", at);
CREATE TABLE audit (
    id {id},
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    peer TEXT NOT NULL
);
CREATE TABLE refusal (
    id {id},
    at BIGINT NOT NULL,
    peer TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL
);
"""


def up(_migrator: Any, database: Any) -> None:  # playhouse ships no types
    """Make the tables."""
    for statement in SCHEMA.format_map(dialects.of(database).TYPES).split(";"):
        if statement.strip():
            database.execute_sql(statement)
