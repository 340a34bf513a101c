"""What finds old rows, and what refers to them, without looking at every row."""

from __future__ import annotations

from typing import Any

SCHEMA = """
CREATE INDEX deployment_ended ON deployment (finished, id) WHERE finished IS NOT NULL;
CREATE INDEX deployment_of_parent ON deployment (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX deployment_of_delivery ON deployment (delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX delivery_received ON delivery (received, id);
CREATE INDEX delivery_with_body ON delivery (received, id) WHERE body IS NOT NULL;
CREATE INDEX delivery_again ON delivery (duplicate_of_id) WHERE duplicate_of_id IS NOT NULL;
CREATE INDEX verdict_of_deployment ON verdict (deployment_id) WHERE deployment_id IS NOT NULL;
CREATE INDEX report_of_deployment ON report (deployment_id);
CREATE INDEX audit_at ON audit (at)
"""


def up(_migrator: Any, database: Any) -> None:  # playhouse ships no types
    """Make the indexes."""
    for statement in SCHEMA.split(";"):
        database.execute_sql(statement)
