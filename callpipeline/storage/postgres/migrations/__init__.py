"""Alembic migrations of the database schema."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import NullPool

from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.postgres.sql import SCHEMA

_LOCK = 7_216_001
"""Key of the advisory lock that allows one migration at a time."""


def migrate(url: str, to: str = "head") -> str | None:
    """Migrate the schema to revision `to`, and return the revision.

    Raises SettingsInvalid for the database of the old system.
    """
    with _connected(url) as connection:
        _refuse_old_system(connection)
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        connection.execute(text(f"SET LOCAL search_path TO {SCHEMA}"))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        return _revision(connection)


def pending(url: str) -> tuple[str | None, str | None]:
    """Return the revision of the database (None if it is empty) and the newest revision.

    Raises SettingsInvalid for the database of the old system.
    """
    with _connected(url) as connection:
        _refuse_old_system(connection)
        newest = cast(str | None, ScriptDirectory.from_config(_config()).get_current_head())
        return _revision(connection), newest


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """Connect in a transaction. Raises DatabaseUnavailable, or SettingsInvalid for a bad URL."""
    try:
        with create_engine(_sqlalchemy_url(url), poolclass=NullPool).begin() as connection:
            yield connection
    except (ArgumentError, ValueError) as error:
        raise SettingsInvalid("DATABASE_URL must look like postgresql://user@host/name.") from error
    except OperationalError as error:
        reason = str(error.orig).partition("\n")[0]
        raise DatabaseUnavailable(f"Postgres did not respond: {reason}.") from error


def _refuse_old_system(connection: Connection) -> None:
    """Refuse a database whose table `jobs` is the old system's: one of Dagster's has its name."""
    is_old = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.jobs')"
            " AND attname = 'left_transcript_path')"
        )
    )
    if is_old.scalar_one():
        raise SettingsInvalid(
            "DATABASE_URL names the database of the system that callpipeline replaces. Create one "
            "for callpipeline, name it in CALLPIPELINE_DATABASE_URL, and bring the old calls over "
            "with `callpipeline import-legacy` (docs/migrating.md)."
        )


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    return context.get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _sqlalchemy_url(url: str) -> str:
    address, is_postgres = re.subn(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)
    if not is_postgres:
        raise ValueError("not a Postgres URL")
    return address
