"""Results as files for spreadsheets, notebooks and warehouses, a piece at a time."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from psycopg import Connection, Error
from psycopg.rows import tuple_row

from callpipeline.domain.filters import Filters
from callpipeline.storage.database import Database, storable
from callpipeline.storage.reading.asking import named_as_known, parameters_of, text_of

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 5_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula, and may run."""

Row = tuple[Any, ...]


class What(StrEnum):
    """What can be exported."""

    CALLS = "calls"
    SEGMENTS = "segments"
    MENTIONS = "mentions"


class Format(StrEnum):
    """`json` is a document a line."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they come, with the names of their columns and the types that Postgres has.

    `cut` ends the query from another thread, whatever it is at.
    """

    columns: Sequence[str]
    types: Sequence[str]
    rows: Iterator[Row]
    cut: Callable[[], None]


@contextmanager
def opened(
    database: Database,
    what: What,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    filters: Filters | None = None,
    words: str | None = None,
) -> Iterator[Table]:
    """The rows of calls of a time, read a piece at a time, all of one moment's state.

    With `filters` only those that a list, or a search for `words`, shows: of the calls that they
    let through the mentions that they want, and what `speaker` said. Without any the mentions that
    do not count are there too.
    """
    known = named_as_known(database, filters or Filters())
    said_by = known.speaker and str(known.speaker)
    if what is What.SEGMENTS:  # as in a search, whoever named the competitor
        known = replace(known, speaker=None)
    more = {"since": since, "until": until, "said_by": said_by, "of_mentions": known.wants_mention}
    asked = parameters_of(known) | more | {"words": None if words is None else storable(words)}
    with (
        database.transaction() as connection,
        connection.cursor("export", row_factory=tuple_row) as cursor,
    ):
        cursor.itersize = AT_ONCE
        cursor.execute(text_of(f"export/{what}", known), asked)
        described = cursor.description or []
        names, types = [c.name for c in described], [c.type_display for c in described]
        yield Table(names, types, iter(cursor), lambda: _cut(connection))


def _cut(connection: Connection[Any]) -> None:
    with suppress(Error):  # it is over already
        connection.cancel()


def write(table: Table, format: Format, file: IO[bytes]) -> int:
    """Write all rows; returns how many."""
    writers: dict[Format, Callable[[Table, IO[bytes]], int]] = {
        Format.CSV: _write_csv,
        Format.JSON: _write_json,
        Format.PARQUET: _write_parquet,
    }
    return writers[format](table, file)


class _Text:
    """What `csv` writes, as bytes of UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def _write_csv(table: Table, file: IO[bytes]) -> int:
    writer = csv.writer(_Text(file))
    writer.writerow(table.columns)
    count = 0
    for row in table.rows:
        writer.writerow([guarded(_plain(value)) for value in row])
        count += 1
    return count


def guarded(value: object) -> object:
    """A text that a spreadsheet would take for a formula, with an apostrophe before it.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _write_json(table: Table, file: IO[bytes]) -> int:
    count = 0
    for row in table.rows:
        values = (_plain(value, nested=True) for value in row)
        document = dict(zip(table.columns, values, strict=True))
        file.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")
        count += 1
    return count


def _plain(value: object, *, nested: bool = False) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict | list) and not nested:
        return json.dumps(value, ensure_ascii=False)
    return value


def _write_parquet(table: Table, file: IO[bytes]) -> int:
    import pyarrow as pa  # half a second
    import pyarrow.parquet as pq

    kinds = {
        "float8": pa.float64(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "bool": pa.bool_(),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }
    fields = zip(table.columns, table.types, strict=True)
    schema = pa.schema([(name, kinds.get(kind, pa.string())) for name, kind in fields])
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for piece in _pieces(table.rows):
            columns = [list(map(_counted, column)) for column in zip(*piece, strict=True)]
            arrays = [pa.array(v, _raw(f.type)) for v, f in zip(columns, schema, strict=True)]
            typed = [a.view(f.type) for a, f in zip(arrays, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(typed, schema=schema))
            count += len(piece)
    return count


def _counted(value: object) -> object:
    """Times as numbers: Arrow loads pandas, 60 MB, where it is given datetimes."""
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, date):
        return (value - EPOCH.date()).days
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _raw(kind: "pa.DataType") -> "pa.DataType":
    """The numbers that a column's times are counted in."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.int64()
    return pa.int32() if pa.types.is_date32(kind) else kind


def _pieces(rows: Iterator[Row]) -> Iterator[list[Row]]:
    piece: list[Row] = []
    for row in rows:
        piece.append(row)
        if len(piece) == AT_ONCE:
            yield piece
            piece = []
    if piece:
        yield piece
