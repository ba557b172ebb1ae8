"""Alembic migrations of schema `callpipeline`, and the two calls that use them."""

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
from callpipeline.storage.sql import SCHEMA

_LOCK = 7_216_001
"""Key of the advisory lock that lets one process migrate at a time."""


def migrate(url: str, to: str = "head") -> str | None:
    """Bring the schema to revision `to`, from empty or any earlier one; returns the revision."""
    with _connected(url) as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        connection.execute(text(f"SET LOCAL search_path TO {SCHEMA}"))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        return _revision(connection)


def pending(url: str) -> tuple[str | None, str | None]:
    """The revision that the database has (None when empty) and the newest one."""
    with _connected(url) as connection:
        newest = cast(str | None, ScriptDirectory.from_config(_config()).get_current_head())
        return _revision(connection), newest


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """A transaction. Raises DatabaseUnavailable, or SettingsInvalid for what is no such URL."""
    try:
        with create_engine(_sqlalchemy_url(url), poolclass=NullPool).begin() as connection:
            yield connection
    except (ArgumentError, ValueError) as error:
        raise SettingsInvalid("DATABASE_URL is not like postgresql://user@host/name.") from error
    except OperationalError as error:
        why = str(error.orig).partition("\n")[0]
        raise DatabaseUnavailable(f"Postgres did not answer: {why}.") from error


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
        raise ValueError("another kind of database")
    return address
