"""Contents of databases and folders as text, to search for personal data."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

_TABLES = """
SELECT schemaname, tablename FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""


def rows(url: str, *schemas: str) -> Iterator[tuple[str, str]]:
    """Yield the table and text of each row; binary columns are decoded."""
    with psycopg.connect(url) as connection:
        for schema, table in connection.execute(_TABLES).fetchall():
            if schemas and schema not in schemas:
                continue
            identifier = sql.Identifier(schema, table)
            found = connection.execute(sql.SQL("SELECT * FROM {}").format(identifier))
            for row in found:
                yield f"{schema}.{table}", " ".join(map(_text, row))


def _text(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return _decompress(bytes(value)).decode(errors="replace")
    return str(value)


def _decompress(content: bytes) -> bytes:
    """Decompress snapshots of Dagster; return other content unchanged."""
    import zlib

    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


def in_database(url: str, words: Sequence[str], *schemas: str) -> list[str]:
    """Return the table of each row that contains one of the words."""
    return [table for table, text in rows(url, *schemas) if any(word in text for word in words)]


def in_files(folder: Path, words: Sequence[str]) -> list[str]:
    """Return the files whose name or content contains one of the words."""
    files = [path for path in folder.rglob("*") if path.is_file() or path.is_dir()]
    found = [path for path in files if any(word in path.name for word in words)]
    found += [
        path
        for path in files
        if path.is_file() and any(word.encode() in path.read_bytes() for word in words)
    ]
    return sorted({str(path.relative_to(folder)) for path in found})
