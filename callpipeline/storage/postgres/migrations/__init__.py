"""Alembic migrations of the database schema."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import NullPool

from callpipeline.errors import DatabaseUnavailable, SettingsInvalid, StoreUnavailable
from callpipeline.storage.postgres.sql import SCHEMA

_LOCK = 7_216_001
"""Key of the advisory lock that allows one migration at a time."""


FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
"""Waits between attempts to reach the database."""

T = TypeVar("T")


def migrate(url: str, to: str = "head") -> str | None:
    """Migrate the schema to revision `to`, and return the revision.

    Raises SettingsInvalid for the database of the old system, or of a newer version.
    """
    state = examine(url)
    if state.is_newer:
        raise SettingsInvalid(_explain(state))
    with _connected(url) as connection:
        _refuse_unusable(connection)
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
    state = examine(url)
    return state.present, state.newest


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The revision of a database (None if it is empty), and the newest one known here.

    `oldest` is the oldest schema whose versions of callpipeline work with that of the database.
    """

    present: str | None
    newest: str
    is_known: bool
    oldest: str | None

    @property
    def is_newer(self) -> bool:
        """Return True if a newer version of callpipeline has migrated the database."""
        return self.present is not None and not self.is_known

    @property
    def works(self) -> bool:
        """Return True if this version can use the schema as it is."""
        if self.is_newer:
            return self.oldest is not None and self.newest >= self.oldest
        return self.present == self.newest


def examine(url: str) -> SchemaState:
    """Return the state of a database's schema.

    Raises SettingsInvalid for the database of the old system, or one that is not UTF-8.
    """
    scripts = ScriptDirectory.from_config(_config())
    newest, known = scripts.get_current_head(), {s.revision for s in scripts.walk_revisions()}
    assert newest
    with _connected(url) as connection:
        _refuse_unusable(connection)
        present = _revision(connection)
        has_table = connection.execute(text(f"SELECT to_regclass('{SCHEMA}.compatibility')"))
        oldest: str | None = None
        if has_table.scalar_one():
            row = connection.execute(text(f"SELECT oldest_schema FROM {SCHEMA}.compatibility"))
            oldest = row.scalar_one_or_none()
        return SchemaState(present, newest, present in known, oldest)


def check_schema(url: str) -> str | None:
    """Check that this version works with the schema; return a note if it is a newer one.

    Raises SettingsInvalid with what to do.
    """
    state = examine(url)
    if not state.works:
        raise SettingsInvalid(_explain(state))
    if state.is_newer:
        return f"{_is_newer(state)}, and works with it until you upgrade."
    return None


def _explain(state: SchemaState) -> str:
    if state.is_newer:
        return f"{_is_newer(state)}. Upgrade callpipeline, or restore a backup of the database."
    return (
        f"The database is at schema version {state.present or 'none'}, callpipeline needs "
        f"{state.newest}: run `callpipeline migrate`."
    )


def _is_newer(state: SchemaState) -> str:
    return (
        f"A newer callpipeline has migrated the database to schema version {state.present}; this "
        f"version has {state.newest}"
    )


def wait_until_available(
    attempt: Callable[[], T],
    report: Callable[[str], object],
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Return the result of `attempt`, repeated with backoff until database and store respond.

    Each new reason is reported once. Other errors are raised.
    """
    wait_s, reported = FIRST_WAIT_S, ""
    while True:
        try:
            return attempt()
        except (DatabaseUnavailable, StoreUnavailable) as error:
            if str(error) != reported:
                reported = str(error)
                report(f"{reported} Trying again until it does.")
        sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


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


def _refuse_unusable(connection: Connection) -> None:
    """Refuse a database that is not UTF-8, or the old system's.

    That has a table `jobs`, as one of Dagster's is named.
    """
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise SettingsInvalid(
            f"The database is encoded in {encoding}, which can't store every name and word: create "
            "one with ENCODING 'UTF8' TEMPLATE template0, and name it in DATABASE_URL."
        )
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
