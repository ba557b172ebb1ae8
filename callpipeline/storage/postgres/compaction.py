"""Removal of deleted rows from the files of Postgres.

A deleted row stays in its table's file until the space is reused, in samples of the planner's
statistics, and in the write-ahead log. Rewriting the tables and removing the old log ends that.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import Connection, sql
from psycopg.errors import InsufficientPrivilege, LockNotAvailable
from psycopg.rows import TupleRow

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.postgres.sql import SCHEMA

LOCK_WITHIN_S = 20
SCHEMAS = (SCHEMA, "public")
"""Our tables and Dagster's. Daily marts have no words of calls."""
STATISTICS = ("pg_catalog", "pg_statistic")
CHECKPOINTS = 3
"""The log that precedes the last but one checkpoint is removed."""

_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = ANY(%s) AND pg_has_role(c.relowner, 'MEMBER')
ORDER BY pg_total_relation_size(c.oid)
"""
_FORGET_SAMPLES = """
DELETE FROM pg_statistic s USING pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE s.starelid = c.oid AND n.nspname = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Compaction:
    """The number of rewritten tables, and sentences about what could not be done."""

    tables: int
    problems: tuple[str, ...]


def compact(url: str) -> Compaction:
    """Rewrite all tables without their deleted rows, and remove the old write-ahead log.

    Each table is locked while it is rewritten, and needs its size as free space. Can be repeated.
    Raises DatabaseUnavailable.
    """
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(f"SET lock_timeout TO '{LOCK_WITHIN_S * 1000:.0f}ms'".encode())
            connection.execute("SET statement_timeout TO 0")
            found = connection.execute(_TABLES, [list(SCHEMAS)]).fetchall()
            problems = [*_rewrite(connection, found), *_renew_log(connection)]
    except psycopg.OperationalError as error:
        name = type(error).__name__
        raise DatabaseUnavailable(f"Postgres could not be compacted ({name}).") from None
    return Compaction(len(found), tuple(problems))


def _rewrite(connection: Connection[TupleRow], tables: list[TupleRow]) -> Iterator[str]:
    with suppress(InsufficientPrivilege):  # an empty table would keep its old samples
        connection.execute(_FORGET_SAMPLES, [list(SCHEMAS)])
    # The statistics last: until a table is analysed again, they have samples of deleted rows.
    for schema, table in (*tables, STATISTICS):
        options = sql.SQL("FULL" if (schema, table) == STATISTICS else "FULL, ANALYZE")
        statement = sql.SQL("VACUUM ({}) {}").format(options, sql.Identifier(schema, table))
        try:
            connection.execute(statement)
        except LockNotAvailable:
            yield f"{table} was in use for {LOCK_WITHIN_S} s: run this again when less is going on."
        except InsufficientPrivilege:
            yield f"{table} belongs to another user: run VACUUM FULL on it as that user."


def _renew_log(connection: Connection[TupleRow]) -> Iterator[str]:
    """Switch to a new file of the log and remove the old ones, which needs some privileges."""
    try:
        for _ in range(CHECKPOINTS):
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
    except InsufficientPrivilege:
        yield (
            "The write-ahead log keeps deleted rows until it is overwritten: let an administrator "
            "of the server run CHECKPOINT and SELECT pg_switch_wal() a few times."
        )
