"""Bulk operations on rows in the caller's transaction."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache

from psycopg import Connection, sql
from psycopg.rows import DictRow

from callpipeline.storage.postgres.database import Row


def replace(
    connection: Connection[DictRow], table: str, by: str, keys: Collection[str], rows: Iterable[Row]
) -> int:
    """Replace the rows whose column `by` is in `keys`; return the number of new rows.

    Uses COPY. All rows must have the same columns.
    """
    connection.execute(_delete(table, by), [list(keys)])
    return insert(connection, table, list(rows))


def insert(connection: Connection[DictRow], table: str, rows: Sequence[Row]) -> int:
    """Insert rows with COPY; return their number. All must have the same columns."""
    if not rows:
        return 0
    columns = tuple(rows[0])
    with connection.cursor() as cursor, cursor.copy(_copy(table, columns)) as copy:
        for row in rows:
            copy.write_row([row[column] for column in columns])
    return len(rows)


def upsert(
    connection: Connection[DictRow], table: str, key: Sequence[str], rows: Sequence[Row]
) -> None:
    """Insert rows, or update existing ones with the same columns `key`."""
    if not rows:
        return
    columns = list(rows[0])
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(_name(column)) for column in columns
    )
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}").format(
        _name(table),
        _names(columns),
        sql.SQL(", ").join(sql.Placeholder(column) for column in columns),
        _names(key),
        changes,
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def select(
    connection: Connection[DictRow], table: str, by: str, keys: Collection[str]
) -> list[Row]:
    """Return the rows whose column `by` is in `keys`, in the order of the primary key."""
    # Orders by the whole row, whose first columns are the key; the alias must not be a column name.
    statement = sql.SQL("SELECT * FROM {} whole_row WHERE {} = ANY(%s) ORDER BY whole_row").format(
        _name(table), _name(by)
    )
    return connection.execute(statement, [list(keys)]).fetchall()


def columns(connection: Connection[DictRow], table: str) -> list[str]:
    """Return the names of a table's columns, in order."""
    cursor = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(_name(table)))
    return [column.name for column in cursor.description or ()]


def lock(connection: Connection[DictRow], table: str) -> None:
    """Lock a table against writes of other transactions until this one ends."""
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(_name(table)))


def transaction_time(connection: Connection[DictRow]) -> datetime:
    """Return the start of the transaction by the clock of the database."""
    row = connection.execute("SELECT now() AS began_at").fetchone()
    assert row
    return row["began_at"]


# Cached: composing takes longer than running many of the statements.


@cache
def _delete(table: str, by: str) -> bytes:
    statement = sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)")
    return statement.format(_name(table), _name(by)).as_bytes()


@cache
def _copy(table: str, columns: tuple[str, ...]) -> bytes:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(_name(table), _names(columns)).as_bytes()


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))


def _names(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(_name, names))
