"""Pooled connections to Postgres, with retries of lost connections."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from callpipeline.storage.postgres.sql import SCHEMA, query

Row = dict[str, Any]
T = TypeVar("T")

TRANSACTION_ATTEMPTS = 5
"""Attempts of a transaction; waits of 0.2, 0.6, 1.8 and 5 s cover a restart of the server."""

CHECK_AFTER_S = 1.0
RECONNECT_S = 5.0


# By default stamina prints each retry to standard output, where commands print their results.
stamina.instrumentation.set_on_retry_hooks([])


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """Limits of waiting for a connection, and a function that forbids to try while it is true."""

    timeout_s: float = 30.0
    is_away: Callable[[], bool] = lambda: False


class Database:
    """Connection pool whose search path is the schema of callpipeline.

    Connections of a run have its id in their application name, so that they can be terminated when
    the run is dead.
    """

    def __init__(
        self,
        url: str,
        *,
        run_id: str | None = None,
        max_connections: int = 8,
        limits: DatabaseLimits = DatabaseLimits(),
    ) -> None:
        self.url = url
        self._limits = limits
        self.run_id = run_id
        self._used: WeakKeyDictionary[Connection[DictRow], float] = WeakKeyDictionary()
        self.application_name = run_application_name(run_id) if run_id else "callpipeline"
        self._pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            open=False,
            timeout=limits.timeout_s,
            # Then the next request for a connection starts over, without the waits between attempts
            # that have grown meanwhile.
            reconnect_timeout=RECONNECT_S,
            configure=_configure,
            # Finds connections that a restart of Postgres closed. One that was used just now is
            # not checked, since a check costs as much as many queries.
            check=self._check,
            reset=self._record_use,
            kwargs={"row_factory": dict_row, "application_name": self.application_name},
        )

    def __enter__(self) -> "Database":
        self._pool.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def _record_use(self, connection: Connection[DictRow]) -> None:
        self._used[connection] = time.monotonic()

    def _check(self, connection: Connection[DictRow]) -> None:
        """Raise an error if the connection is closed; the empty query costs 0.1 ms."""
        if time.monotonic() - self._used.get(connection, 0.0) > CHECK_AFTER_S:
            connection.execute("")
            connection.rollback()

    def dedicated_connection(self, *, timeout_s: float) -> "Database":
        """Return a database with a separate connection, for work that must not wait."""
        return Database(
            self.url,
            run_id=self.run_id,
            max_connections=1,
            limits=replace(self._limits, timeout_s=timeout_s),
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection[DictRow]]:
        """Yield a connection in a transaction."""
        with _translate_errors(), self._connection() as connection:
            yield connection

    def with_retry(self, work: Callable[[Connection[DictRow]], T]) -> T:
        """Run `work` in a transaction; retry it if the connection is lost.

        The lost transaction may have been committed: `work` must be idempotent. Raises
        DatabaseUnavailable.
        """
        attempts = stamina.retry_context(
            on=_is_connection_lost,
            attempts=TRANSACTION_ATTEMPTS,
            timeout=None,
            wait_initial=0.2,
            wait_max=5,
            wait_exp_base=3,
        )
        with _translate_errors():
            for attempt in attempts:
                with attempt, self._connection() as connection:
                    return work(connection)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _connection(self) -> Iterator[Connection[DictRow]]:
        if self._limits.is_away():
            raise DatabaseUnavailable("Postgres did not respond.")
        with self._pool.connection() as connection:
            yield connection

    def rows(self, name: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Run a named statement in a transaction and return its rows."""
        return self.with_retry(lambda c: c.execute(query(name), parameters).fetchall())


def run_application_name(run_id: str) -> str:
    """Return the `application_name` of a run's connections, as in `pg_stat_activity`."""
    return f"callpipeline run {run_id}"


def sanitize_text(text: str) -> str:
    """Replace what Postgres cannot store in text: zero bytes and lone surrogates."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def sanitize_json(value: Any) -> Any:
    """Replace what jsonb cannot store: texts as in `sanitize_text`, infinite and NaN numbers."""
    match value:
        case str():
            return sanitize_text(value)
        case float():
            return value if isfinite(value) else str(value)
        case Mapping():
            return {sanitize_text(str(name)): sanitize_json(each) for name, each in value.items()}
        case list() | tuple():
            return [sanitize_json(each) for each in value]
        case _:
            return value


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except Error as error:
        if not _is_unavailable(error):
            raise
        # The driver's message may contain the failing row.
        raise DatabaseUnavailable(f"Postgres did not respond ({type(error).__name__}).") from None


def _is_connection_lost(error: Exception) -> bool:
    """Return whether a retry is useful; after a PoolTimeout the pool has waited already."""
    return _is_unavailable(error) and not isinstance(error, PoolTimeout)


def _is_unavailable(error: Exception) -> bool:
    """Return whether an error is caused by the server or the connection."""
    # After a failover, and when the server ends idle transactions.
    is_failover = isinstance(error, ReadOnlySqlTransaction | IdleInTransactionSessionTimeout)
    is_operational = isinstance(error, OperationalError | InterfaceError)
    # Permanent, although it is an OperationalError: for example a value too large for an index.
    is_permanent = isinstance(error, ProgramLimitExceeded)
    return is_failover or (is_operational and not is_permanent)


def _configure(connection: Connection[DictRow]) -> None:
    """Set the search path; and the cost of a random read, if it is still the default.

    The default of 4 is meant for disks with heads. With it, Postgres reads and sorts whole tables
    where a covering index has the rows in order, which takes four times as long.
    """
    connection.execute(
        f"""SELECT set_config('search_path', '{SCHEMA}', false),
            CASE WHEN current_setting('random_page_cost') = '4'
                 THEN set_config('random_page_cost', '1.1', false) END""".encode()
    )
    connection.commit()
