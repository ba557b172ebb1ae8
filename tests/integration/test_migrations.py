"""Migrations of the database schema."""

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from callpipeline.domain.calls.call import Registration
from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.migrations import migrate, pending
from callpipeline.storage.postgres.sql import SCHEMA, SCHEMA_PAGE
from tests.builders import a_recording
from tests.integration.databases import execute_sql, new_database

NEWEST = "0052"


@pytest.fixture
def empty_url(postgres: str) -> Iterator[str]:
    with new_database(postgres) as url:
        yield url


def test_an_empty_database_is_migrated_to_the_newest_revision(empty_url: str):
    assert pending(empty_url) == (None, NEWEST)
    assert migrate(empty_url) == NEWEST
    assert pending(empty_url) == (NEWEST, NEWEST)


def test_migrating_again_changes_nothing(empty_url: str):
    migrate(empty_url)
    before = describe(empty_url, SCHEMA)
    assert migrate(empty_url) == NEWEST
    assert describe(empty_url, SCHEMA) == before


def test_concurrent_migrations_are_serialized(empty_url: str):
    results: list[str | Exception | None] = []
    barrier = threading.Barrier(4)

    def migrate_together() -> None:
        barrier.wait()
        try:
            results.append(migrate(empty_url))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=migrate_together) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [NEWEST] * 4


def test_the_schema_page_equals_the_migrations(empty_url: str):
    migrate(empty_url)
    page = SCHEMA_PAGE.read_bytes()
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE SCHEMA page")
        connection.execute("SET search_path TO page")
        connection.execute(page)
    migrated, on_page = describe(empty_url, SCHEMA), describe(empty_url, "page")
    assert on_page == [line for line in migrated if "alembic_version" not in line]
    assert len(on_page) > 100


def test_an_operators_own_view_keeps_its_days(empty_url: str):
    migrate(empty_url, "0042")
    own = "SELECT (now() AT TIME ZONE 'Europe/London')::date AS day"
    execute_sql(empty_url, f"CREATE VIEW analytics.own_days AS {own}")
    text = "SELECT pg_get_viewdef('analytics.own_days'::regclass)"
    before = execute_sql(empty_url, text)
    migrate(empty_url, "0047")
    assert execute_sql(empty_url, text) == before


INCONSISTENT = (
    "state = 'PENDING', duplicate_of = call_id",
    "state = 'DUPLICATE', duplicate_of = '2026-03-02-ffffffffffff'",
    "state = 'COMPLETED', error_message = 'why'",
    "state = 'DUPLICATE', error_message = 'why'",
    "state = 'FAILED', error_message = NULL",
    "state = 'PROCESSING'",
    "claimed_by = 'run-1'",
    "state = 'DONE'",
    "lane = 'fast'",
    "duplicates = 'drop'",
)


def test_inconsistent_call_states_are_rejected(database_url: str):
    with Database(database_url) as database:
        Ledger(database).register([Registration(a_recording())])
    for change in INCONSISTENT:
        with pytest.raises(psycopg.errors.IntegrityError):
            execute_sql(database_url, f"UPDATE calls SET {change}")


def test_nothing_is_created_outside_our_schema(empty_url: str):
    migrate(empty_url)
    assert describe(empty_url, "public") == []


@pytest.mark.parametrize("operation", [migrate, pending])
def test_a_database_that_does_not_respond_is_unavailable(operation: Callable[[str], object]):
    with pytest.raises(DatabaseUnavailable, match="Connection refused") as raised:
        operation("postgresql://nobody:hunter2@127.0.0.1:9/nothing?connect_timeout=2")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["", "somewhere", "mysql://user@host/name", "postgresql://host:port/x"]
)
def test_an_invalid_database_url_is_rejected(url: str):
    with pytest.raises(SettingsInvalid, match="DATABASE_URL"):
        migrate(url)


DESCRIPTION = """
SELECT format('column %%s.%%s %%s %%s %%s %%s', c.relname, a.attname,
              format_type(a.atttypid, a.atttypmod), a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)) AS line
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = %(schema)s::text::regnamespace AND c.relkind IN ('r', 'v', 'p', 'm')
UNION ALL
SELECT format('table %%s %%s %%s', relname, relkind, obj_description(oid, 'pg_class'))
FROM pg_class
WHERE relnamespace = %(schema)s::text::regnamespace AND relkind IN ('r', 'v', 'p', 'm')
UNION ALL
SELECT format('constraint %%s %%s %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = %(schema)s::text::regnamespace AND contype <> 'n'
UNION ALL
SELECT format('index %%s', indexdef) FROM pg_indexes WHERE schemaname = %(schema)s::text
UNION ALL
SELECT format('view %%s %%s', viewname, definition)
FROM pg_views WHERE schemaname = %(schema)s::text
UNION ALL
SELECT format('function %%s %%s', proname, prosrc)
FROM pg_proc WHERE pronamespace = %(schema)s::text::regnamespace
UNION ALL
SELECT format('sequence %%s', sequence_name) FROM information_schema.sequences
WHERE sequence_schema = %(schema)s::text
UNION ALL
SELECT format('trigger %%s on %%s', tgname, tgrelid::regclass)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT tgisinternal AND c.relnamespace = %(schema)s::text::regnamespace
"""


def describe(url: str, schema: str) -> list[str]:
    """Describe columns, constraints, indexes, comments, … of a schema without its name."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", [schema])
        rows = connection.execute(DESCRIPTION, {"schema": schema}).fetchall()
    return sorted(row[0].replace(f"{schema}.", "") for row in rows)
