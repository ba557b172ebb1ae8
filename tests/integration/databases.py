"""New databases for tests, and SQL that bypasses callpipeline."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from callpipeline.storage.postgres.sql import SCHEMA

CLEARED_TABLES = (
    "saved_views",
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
    "web_users",
    "source_scans",
    "idempotent_requests",
    "daily_calls",
    "daily_competitors",
    "daily_agents",
)


@contextmanager
def new_database(postgres: str, template: str = "template1") -> Iterator[str]:
    name = f"new_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            f'CREATE DATABASE "{name}" TEMPLATE {template} STRATEGY FILE_COPY'.encode()
        )
        yield postgres.rsplit("/", 1)[0] + "/" + name
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def clear_database(url: str) -> str:
    """Delete all rows of a migrated database; ten times faster than a new one."""
    outbox = "notification_events, deliveries, notifications, outbox, incidents, disabled_receivers"
    outbox += ", reported_alerts, alert_rules"
    clear = [f"DELETE FROM {table}" for table in outbox.split(", ")]
    execute_sql(url, "; ".join([*clear, *(f"DELETE FROM {t}" for t in CLEARED_TABLES)]))
    return url


def execute_sql(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, options=f"-c search_path={SCHEMA}") as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def move_clock(url: str, seconds: float) -> None:
    """Set the clock forth, or back: move all stored times, of Dagster too, the other way."""
    columns = execute_sql(
        url,
        "SELECT table_schema, table_name, array_agg(column_name::text)"
        " FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name)"
        f" WHERE table_type = 'BASE TABLE' AND is_generated = 'NEVER'"
        f" AND (table_schema = '{SCHEMA}' AND data_type = 'timestamp with time zone'"
        "  OR table_schema = 'public' AND data_type LIKE 'timestamp%' AND table_name IN"
        "   ('runs', 'event_logs', 'job_ticks', 'daemon_heartbeats'))"
        " GROUP BY 1, 2",
    )
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        for schema, table, names in columns:
            moved = ", ".join(f"{name} = {name} - interval '{seconds} seconds'" for name in names)
            connection.execute(f"UPDATE {schema}.{table} SET {moved}".encode())
        if connection.execute("SELECT to_regclass('public.instigators')").fetchone() != (None,):
            _move_ticks(connection, seconds)


def _move_ticks(connection: psycopg.Connection[Any], seconds: float) -> None:
    """Move what Dagster remembers of the last ticks of sensors and schedules, in JSON."""
    for number, body in connection.execute("SELECT id, instigator_body FROM public.instigators"):
        moved = re.sub(
            r'("last_\w+_timestamp": )([\d.]+)',
            lambda found: f"{found[1]}{float(found[2]) - seconds}",
            body,
        )
        connection.execute(
            "UPDATE public.instigators SET instigator_body = %s WHERE id = %s", (moved, number)
        )
