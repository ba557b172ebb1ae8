"""Everything that a database and folders hold, as text, to look for what must not be there."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

_TABLES = """
SELECT schemaname, tablename FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""


def rows(url: str, *schemas: str) -> Iterator[tuple[str, str]]:
    """Table and text of each row, of these schemas or all; binary columns as their bytes."""
    with psycopg.connect(url) as connection:
        for schema, table in connection.execute(_TABLES).fetchall():
            if schemas and schema not in schemas:
                continue
            place = sql.Identifier(schema, table)
            found = connection.execute(sql.SQL("SELECT * FROM {}").format(place))
            for row in found:
                yield f"{schema}.{table}", " ".join(map(_text, row))


def _text(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return _unpacked(bytes(value)).decode(errors="replace")
    return str(value)


def _unpacked(content: bytes) -> bytes:
    """Dagster's snapshots are compressed."""
    import zlib

    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


def in_database(url: str, words: Sequence[str], *schemas: str) -> list[str]:
    """The tables, once a row, in which one of the words stands."""
    return [table for table, text in rows(url, *schemas) if any(word in text for word in words)]


def in_files(folder: Path, words: Sequence[str]) -> list[str]:
    """Files whose names or contents have one of the words in them."""
    files = [path for path in folder.rglob("*") if path.is_file() or path.is_dir()]
    found = [path for path in files if any(word in path.name for word in words)]
    found += [
        path
        for path in files
        if path.is_file() and any(word.encode() in path.read_bytes() for word in words)
    ]
    return sorted({str(path.relative_to(folder)) for path in found})
