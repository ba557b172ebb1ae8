"""New databases for tests, and SQL that bypasses callpipeline."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from callpipeline.storage.postgres.sql import SCHEMA

CLEARED_TABLES = (
    "sentiment_patterns",
    "audit_log",
    "calls",
    "runs",
    "rematches",
    "catalog_files",
    "catalog_changes",
    "catalog_versions",
    "deletions",
    "discovery",
    "outages",
    "api_keys",
    "web_sessions",
    "idempotent_requests",
    "daily_calls",
    "daily_competitors",
    "daily_agents",
)


@contextmanager
def new_database(postgres: str, template: str = "template1") -> Iterator[str]:
    name = f"new_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {template}'.encode())
        yield postgres.rsplit("/", 1)[0] + "/" + name
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def clear_database(url: str) -> str:
    """Delete all rows of a migrated database; ten times faster than a new one."""
    outbox = "notification_events, deliveries, notifications, outbox, incidents, disabled_receivers"
    outbox += ", alert_rules"
    clear = [f"DELETE FROM {table}" for table in outbox.split(", ")]
    execute_sql(url, "; ".join([*clear, *(f"DELETE FROM {t}" for t in CLEARED_TABLES)]))
    return url


def execute_sql(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, options=f"-c search_path={SCHEMA}") as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
