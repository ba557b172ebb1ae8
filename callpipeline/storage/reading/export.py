"""Export of results as files for spreadsheets, notebooks and warehouses, in batches."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

from psycopg import Connection, Error
from psycopg.rows import tuple_row

from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.transcripts import escape_formula
from callpipeline.storage.postgres.database import Database, sanitize_text
from callpipeline.storage.reading.filtered import (
    DayZone,
    parameters,
    resolve_competitors,
    statement,
)

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_SIZE = 5_000
DECIMALS = 6
"""Enough for microseconds; means of floats would have sixteen."""
MAX_SHEET_ROWS = 1_048_576
MAX_CELL_CHARS = 32_767
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ExportRow = tuple[Any, ...]


class Dataset(StrEnum):
    """Data that can be exported."""

    CALLS = "calls"
    SEGMENTS = "segments"
    MENTIONS = "mentions"


class ExportFormat(StrEnum):
    """File formats; `json` is one document per line."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    XLSX = "xlsx"


@dataclass(frozen=True, slots=True)
class ExportTable:
    """A stream of rows, with the names and Postgres types of their columns.

    `cancel` ends the query from another thread. Times are written in `zone`.
    """

    columns: Sequence[str]
    types: Sequence[str]
    rows: Iterator[ExportRow]
    cancel: Callable[[], None]
    zone: tzinfo = UTC


@contextmanager
def open_export(  # noqa: PLR0913 (one for each way to narrow it)
    database: Database,
    what: Dataset,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    filters: CallFilters | None = None,
    words: str | None = None,
    base_url: str = "",
) -> Iterator[ExportTable]:
    """Stream the rows of calls of a period from one snapshot; links begin with `base_url`.

    With `filters` the rows are those that a list, or a search for `words`, shows: matching mentions
    and segments of the speaker in matching calls. Without filters, mentions that do not count are
    included.
    """
    known = resolve_competitors(database, filters or CallFilters())
    speaker = known.speaker and str(known.speaker)
    if what is Dataset.SEGMENTS:  # as in a search, any speaker may mention the competitor
        known = replace(known, speaker=None)
    more = {
        "since": since,
        "until": until,
        "segment_speaker": speaker,
        "of_mentions": known.requires_mention,
        "base_url": base_url.rstrip("/"),
    }
    values = parameters(known) | more | {"words": None if words is None else sanitize_text(words)}
    zone = DayZone(database).get()
    with (
        database.transaction() as connection,
        connection.cursor("export", row_factory=tuple_row) as cursor,
    ):
        cursor.itersize = BATCH_SIZE
        cursor.execute(statement(f"export/{what}", known), values)
        described = cursor.description or []
        names, types = [c.name for c in described], [c.type_display for c in described]
        yield ExportTable(names, types, iter(cursor), lambda: _cancel(connection), zone)


def _cancel(connection: Connection[Any]) -> None:
    with suppress(Error):  # the query has ended
        connection.cancel()


def write_export(table: ExportTable, format: ExportFormat, file: IO[bytes]) -> int:
    """Write all rows; return their number."""
    writers: dict[ExportFormat, Callable[[ExportTable, IO[bytes]], int]] = {
        ExportFormat.CSV: _write_csv,
        ExportFormat.JSON: _write_json,
        ExportFormat.PARQUET: _write_parquet,
        ExportFormat.XLSX: _write_xlsx,
    }
    return writers[format](table, file)


class _Utf8Writer:
    """Binary file that `csv` can write to, in UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def _write_csv(table: ExportTable, file: IO[bytes]) -> int:
    writer = csv.writer(_Utf8Writer(file))
    writer.writerow(table.columns)
    count = 0
    for row in table.rows:
        writer.writerow([escape_formula(_json_value(value, table.zone)) for value in row])
        count += 1
    return count


def _write_json(table: ExportTable, file: IO[bytes]) -> int:
    count = 0
    for row in table.rows:
        values = (_json_value(value, table.zone, nested=True) for value in row)
        document = dict(zip(table.columns, values, strict=True))
        file.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")
        count += 1
    return count


def _json_value(value: object, zone: tzinfo, *, nested: bool = False) -> object:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list) and not nested:
        return json.dumps(value, ensure_ascii=False)
    return value


def _write_parquet(table: ExportTable, file: IO[bytes]) -> int:
    import pyarrow as pa  # takes half a second
    import pyarrow.parquet as pq

    kinds = {
        "float8": pa.float64(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "bool": pa.bool_(),
        "timestamptz": pa.timestamp("us", tz=str(table.zone)),
        "date": pa.date32(),
    }
    fields = zip(table.columns, table.types, strict=True)
    schema = pa.schema([(name, kinds.get(kind, pa.string())) for name, kind in fields])
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _batches(table.rows):
            columns = [list(map(_arrow_value, column)) for column in zip(*batch, strict=True)]
            arrays = [
                pa.array(v, _storage_type(f.type)) for v, f in zip(columns, schema, strict=True)
            ]
            typed = [a.view(f.type) for a, f in zip(arrays, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(typed, schema=schema))
            count += len(batch)
    return count


def _write_xlsx(table: ExportTable, file: IO[bytes]) -> int:
    """Write sheets of at most a million rows; times are without their zone, which Excel lacks."""
    import xlsxwriter

    options = {
        "constant_memory": True,
        "use_zip64": True,
        "default_date_format": "yyyy-mm-dd hh:mm:ss",
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "nan_inf_to_errors": True,
    }
    count = 0
    book = xlsxwriter.Workbook(file, options)
    bold, sheet, at = book.add_format({"bold": True}), None, 0
    for row in chain([None], table.rows):
        if sheet is None or at >= MAX_SHEET_ROWS:
            sheet, at = book.add_worksheet(), 1
            sheet.freeze_panes(1, 0)
            sheet.write_row(0, 0, table.columns, bold)
        if row is not None:
            sheet.write_row(at, 0, [_excel_value(value, table.zone) for value in row])
            at, count = at + 1, count + 1
    book.close()  # only now: it writes the file, which takes as long as the rows
    return count


def _excel_value(value: object, zone: tzinfo) -> object:
    if isinstance(value, datetime):
        return value.astimezone(zone).replace(tzinfo=None)
    if isinstance(value, date):
        return value
    plain = _json_value(value, zone)
    return plain[:MAX_CELL_CHARS] if isinstance(plain, str) else plain


def _arrow_value(value: object) -> object:
    """Return times as numbers: given datetimes, Arrow loads pandas, which takes 60 MB."""
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, date):
        return (value - EPOCH.date()).days
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _storage_type(kind: "pa.DataType") -> "pa.DataType":
    """Return the integer type that stores the times of a column."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.int64()
    return pa.int32() if pa.types.is_date32(kind) else kind


def _batches(rows: Iterator[ExportRow]) -> Iterator[list[ExportRow]]:
    batch: list[ExportRow] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch
