"""Connections to Postgres, pooled; errors that another try may cure become DatabaseUnavailable."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import stamina
from psycopg import Connection, Error, InterfaceError, OperationalError
from psycopg.errors import (
    IdleInTransactionSessionTimeout,
    ProgramLimitExceeded,
    ReadOnlySqlTransaction,
)
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.sql import SCHEMA, query

Row = dict[str, Any]
Found = TypeVar("Found")

TRIES = 5
"""Of a transaction that is cut: waits of 0.2, 0.6, 1.8 and 5 s, in which a server restarts."""

FRESH_S = 1.0


# By default it prints each try to standard output, where commands print their results.
stamina.instrumentation.set_on_retry_hooks([])


class Database:
    """A pool of connections whose search path is our schema.

    Those of a run carry its id in their name: what it left open can be cut when it is gone.
    """

    def __init__(
        self,
        url: str,
        *,
        run_id: str | None = None,
        max_connections: int = 8,
        patience_s: float = 30.0,
    ) -> None:
        self.url = url
        self.run_id = run_id
        self._used: WeakKeyDictionary[Connection[DictRow], float] = WeakKeyDictionary()
        self.application_name = name_of_run(run_id) if run_id else "callpipeline"
        self._pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            open=False,
            timeout=patience_s,
            configure=_use_our_schema,
            # A connection that a restart of Postgres cut is found before it is used; one that
            # worked just now is not asked, since asking costs as much as many a query.
            check=self._check,
            reset=self._note_use,
            kwargs={"row_factory": dict_row, "application_name": self.application_name},
        )

    def __enter__(self) -> "Database":
        self._pool.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def _note_use(self, connection: Connection[DictRow]) -> None:
        self._used[connection] = time.monotonic()

    def _check(self, connection: Connection[DictRow]) -> None:
        """Raises what the pool takes for a dead connection; an empty query costs 0.1 ms."""
        if time.monotonic() - self._used.get(connection, 0.0) > FRESH_S:
            connection.execute("")
            connection.rollback()

    def apart(self, *, patience_s: float) -> "Database":
        """One more connection, for what must not wait until one of the pool is free."""
        return Database(self.url, run_id=self.run_id, max_connections=1, patience_s=patience_s)

    @contextmanager
    def transaction(self) -> Iterator[Connection[DictRow]]:
        """One connection; what is written inside is committed together, or not at all."""
        with _translated(), self._pool.connection() as connection:
            yield connection

    def patiently(self, work: Callable[[Connection[DictRow]], Found]) -> Found:
        """`work` in a transaction of its own, made again where the connection is cut.

        It may have been committed before the cut: `work` must be such that twice is like once.
        """
        tries = stamina.retry_context(
            on=_is_cut, attempts=TRIES, timeout=None, wait_initial=0.2, wait_max=5, wait_exp_base=3
        )
        with _translated():
            for attempt in tries:
                with attempt, self._pool.connection() as connection:
                    return work(connection)
        raise AssertionError("the last try returns or raises")

    def rows(self, name: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Run a named query in a transaction of its own and return its rows."""
        return self.patiently(lambda c: c.execute(query(name), parameters).fetchall())


def name_of_run(run_id: str) -> str:
    """How Postgres knows the connections of a run (`pg_stat_activity.application_name`)."""
    return f"callpipeline run {run_id}"


def storable(text: str) -> str:
    """As Postgres takes it: a decoder may quote zero bytes, a file name half a character."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def storable_json(value: Any) -> Any:
    """A JSON document as jsonb takes it, which knows fewer texts and numbers than JSON does."""
    match value:
        case str():
            return storable(value)
        case float():
            return value if isfinite(value) else str(value)
        case Mapping():
            return {storable(str(name)): storable_json(each) for name, each in value.items()}
        case list() | tuple():
            return [storable_json(each) for each in value]
        case _:
            return value


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Error as error:
        if not _is_away(error):
            raise
        # The driver's text may carry the failing row, so only its kind is told.
        raise DatabaseUnavailable(f"Postgres did not answer ({type(error).__name__}).") from None


def _is_cut(error: Exception) -> bool:
    """Whether a connection was lost in the middle; without a server, the pool waited already."""
    return _is_away(error) and not isinstance(error, PoolTimeout)


def _is_away(error: Exception) -> bool:
    """Whether it is the server's trouble; the driver's classes tell that nearly right."""
    # After a failover, and where the server ends transactions in which nothing happens.
    also = isinstance(error, ReadOnlySqlTransaction | IdleInTransactionSessionTimeout)
    # A value that is too large for an index stays so.
    trouble = isinstance(error, OperationalError | InterfaceError)
    return also or (trouble and not isinstance(error, ProgramLimitExceeded))


def _use_our_schema(connection: Connection[DictRow]) -> None:
    connection.execute(f"SET search_path TO {SCHEMA}".encode())
    connection.commit()
