"""The first schema."""

from __future__ import annotations

from typing import Any

from fastdeploy_bot.store import dialects

SCHEMA = """
CREATE TABLE service (
    id {id},
    name TEXT NOT NULL UNIQUE,
    repository TEXT NOT NULL,
    repository_id BIGINT,
    problem TEXT NOT NULL,
    created BIGINT NOT NULL,
    removed BIGINT
);
CREATE TABLE delivery (
    id {id},
    guid TEXT NOT NULL UNIQUE,
    push_key TEXT UNIQUE,
    event TEXT NOT NULL,
    action TEXT,
    repository_id BIGINT,
    repository TEXT,
    default_branch TEXT,
    ref TEXT,
    before TEXT,
    after TEXT,
    "commit" TEXT,
    pushed_at BIGINT,
    duplicate_of_id BIGINT REFERENCES delivery,
    reason TEXT NOT NULL,
    peer TEXT NOT NULL,
    headers TEXT NOT NULL,
    body {bytes},
    received BIGINT NOT NULL
);
CREATE INDEX delivery_newest ON delivery (repository_id, ref, pushed_at);
CREATE TABLE deployment (
    id {id},
    service_id BIGINT NOT NULL REFERENCES service,
    state TEXT NOT NULL,
    origin TEXT NOT NULL,
    sha TEXT NOT NULL,
    ref TEXT NOT NULL,
    before TEXT NOT NULL,
    repository TEXT NOT NULL,
    actor TEXT NOT NULL,
    title TEXT NOT NULL,
    context TEXT NOT NULL,
    delivery_id BIGINT REFERENCES delivery,
    parent_id BIGINT REFERENCES deployment,
    taken_over_by_id BIGINT REFERENCES deployment,
    created BIGINT NOT NULL,
    started BIGINT,
    finished BIGINT,
    exit_status INTEGER,
    signal INTEGER,
    reason TEXT NOT NULL,
    host TEXT,
    run TEXT,
    definition TEXT,
    token_hash TEXT,
    cancelled_by TEXT,
    reported_state TEXT,
    reported_message TEXT NOT NULL,
    steps_read BIGINT NOT NULL
);
CREATE UNIQUE INDEX deployment_one_running ON deployment (service_id) WHERE state = 'running';
CREATE INDEX deployment_open ON deployment (state, id) WHERE state IN ('queued', 'waiting', 'running');
CREATE INDEX deployment_of_service ON deployment (service_id, id);
CREATE INDEX deployment_of_sha ON deployment (sha);
CREATE TABLE step (
    id {id},
    deployment_id BIGINT NOT NULL REFERENCES deployment,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    started BIGINT,
    finished BIGINT,
    message TEXT NOT NULL
);
CREATE UNIQUE INDEX step_name ON step (deployment_id, name);
CREATE TABLE verdict (
    id {id},
    delivery_id BIGINT NOT NULL REFERENCES delivery,
    service_id BIGINT NOT NULL REFERENCES service,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    counts BOOLEAN NOT NULL,
    deployment_id BIGINT REFERENCES deployment,
    decided BIGINT NOT NULL
);
CREATE INDEX verdict_of_delivery ON verdict (delivery_id, service_id);
CREATE TABLE log_chunk (
    id {id},
    deployment_id BIGINT NOT NULL REFERENCES deployment,
    "offset" BIGINT NOT NULL,
    data {bytes} NOT NULL
);
CREATE UNIQUE INDEX log_chunk_offset ON log_chunk (deployment_id, "offset");
CREATE TABLE "user" (
    id {id},
    username TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    role TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE TABLE token (
    id {id},
    hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    user_id BIGINT REFERENCES "user",
    service_id BIGINT REFERENCES service,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    revoked BIGINT
);
CREATE TABLE answer (
    id {id},
    principal TEXT NOT NULL,
    "key" TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body {bytes} NOT NULL,
    created BIGINT NOT NULL
);
CREATE UNIQUE INDEX answer_key ON answer (principal, "key");
"""


def up(_migrator: Any, database: Any) -> None:  # playhouse ships no types
    """Make every table."""
    for statement in SCHEMA.format_map(dialects.of(database).TYPES).split(";"):
        if statement.strip():
            database.execute_sql(statement)
