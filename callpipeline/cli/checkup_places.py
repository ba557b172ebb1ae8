"""What the doctor finds of the places where things are kept: disk, stores, database."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from callpipeline import wiring
from callpipeline.cli.findings import Finding, found
from callpipeline.config import Settings
from callpipeline.domain.source import Source
from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.folder_walk import UNFINISHED
from callpipeline.storage.objects import folder_at

LEAST_FREE_BYTES = 1024**3
OLDEST_POSTGRES = 14
CLOCK_TOLERANCE_S = 5.0
DAGSTER_TABLES = ("runs", "event_logs", "instigators", "job_ticks", "daemon_heartbeats")


def disk(options: Settings) -> str:
    home = options.home
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < LEAST_FREE_BYTES:
        raise SettingsInvalid(f"only {free // 1024**2} MiB free below {home}: make room")
    return f"{free / 1024**3:.0f} GiB free below {home}"


def recordings(options: Settings) -> Iterator[Finding]:
    """Of each source whether it can be listed, and of what people hand over also written."""
    for source in wiring.load_sources(options):
        name = "recordings" if source.name == wiring.HOME_SOURCE else f"source {source.name}"
        yield from found(name, lambda source=source: _source(options, source))


def _source(options: Settings, source: Source) -> str:
    folder, is_home = folder_at(source.url), source.name == wiring.HOME_SOURCE
    if folder and not is_home and not folder.is_dir():
        raise SettingsInvalid(f"there is no folder {folder}: is a disk not mounted?")
    store = wiring.open_source(options, source)
    empty = ", and is empty" if next(store.pages(), None) is None else ""
    if folder is None:
        return f"{source.url} can be read{empty}"
    if _is_writable(folder):
        return f"{folder} can be read and written{empty}"
    if is_home:
        raise SettingsInvalid(f"{folder} cannot be written: recordings cannot be handed over")
    return f"{folder} can be read, not written{empty}"


def _is_writable(folder: Path) -> bool:
    """Tried, since rights alone do not tell: the file system may be read-only."""
    try:
        tempfile.TemporaryFile(dir=folder, prefix=os.fsdecode(UNFINISHED)).close()
    except OSError:
        return False
    return True


def results_store(options: Settings) -> str:
    store = wiring.open_results_store(options)
    key = f"doctor/{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as folder:
        store.put(key, b"callpipeline")
        store.fetch(key, Path(folder) / "back")
        store.delete(key)
    return f"{store.name} can be written, read and deleted from"


def database(url: str) -> str:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("SELECT now()").fetchone()
            major = connection.info.server_version // 10_000
    except psycopg.OperationalError as error:
        # The first line says why; the driver leaves the password out of it.
        raise DatabaseUnavailable(f"no answer: {str(error).partition(chr(10))[0]}") from None
    assert row
    return fit(major, off_s=abs((datetime.now(UTC) - row[0]).total_seconds()))


def fit(major: int, *, off_s: float) -> str:
    """Raises SettingsInvalid for a Postgres that is too old, or whose clock is another one."""
    if major < OLDEST_POSTGRES:
        raise SettingsInvalid(f"PostgreSQL {major} is too old: {OLDEST_POSTGRES} is needed")
    if off_s > CLOCK_TOLERANCE_S:
        raise SettingsInvalid(f"its clock differs from this machine's by {off_s:.0f} s")
    return f"PostgreSQL {major}"


def schema(url: str, *, embedded: bool) -> str:
    """The embedded database is migrated by whatever uses it, so also here."""
    from callpipeline.storage.migrations import migrate, pending

    if embedded:
        migrate(url)
    present, newest = pending(url)
    if present != newest:
        raise SettingsInvalid(
            f"version {present or 'none'}, {newest} is needed: run `callpipeline migrate`"
        )
    return f"version {present}, the newest"


def has_dagster_tables(url: str) -> bool:
    """Whether Dagster has worked on this database."""
    names = [f"public.{table}" for table in DAGSTER_TABLES]
    with psycopg.connect(url, connect_timeout=5) as connection:
        asked = "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS name"
        return connection.execute(asked, [names]).fetchone() == (True,)
