"""Connections to Postgres, pooled; errors that another try may cure become DatabaseUnavailable."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.migrations import SCHEMA
from callpipeline.storage.sql import query

Row = dict[str, Any]


class Database:
    """A pool of connections whose search path is our schema."""

    def __init__(self, url: str, *, max_connections: int = 8, patience_s: float = 30.0) -> None:
        self.url = url
        self._pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            open=False,
            timeout=patience_s,
            configure=_use_our_schema,
            # A connection that a restart of Postgres cut is found before it is used.
            check=_check,
            kwargs={"row_factory": dict_row, "application_name": "callpipeline"},
        )

    def __enter__(self) -> "Database":
        self._pool.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection[DictRow]]:
        """One connection; what is written inside is committed together, or not at all."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except (OperationalError, PoolTimeout) as error:
            # The driver's text may carry the failing row, so only its kind is told.
            raise DatabaseUnavailable(
                f"Postgres did not answer ({type(error).__name__})."
            ) from None

    def rows(self, name: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Run a named query in its own transaction and return its rows."""
        with self.transaction() as connection:
            return connection.execute(query(name), parameters).fetchall()


def _check(connection: Connection[DictRow]) -> None:
    """Raises what the pool takes for a dead connection; an empty query costs 0.1 ms."""
    connection.execute("")
    connection.rollback()


def _use_our_schema(connection: Connection[DictRow]) -> None:
    connection.execute(f"SET search_path TO {SCHEMA}".encode())
    connection.commit()
