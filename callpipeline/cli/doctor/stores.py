"""Examine the disk, the object stores and the database."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from callpipeline import wiring
from callpipeline.cli.doctor.findings import DoctorFinding, FindingLevel, run_examination
from callpipeline.config import Settings
from callpipeline.domain.calls.sources import Source
from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.objects.folder_walk import PARTIAL_PREFIX
from callpipeline.storage.objects.urls import local_folder
from callpipeline.storage.postgres import dumps

LEAST_FREE_BYTES = 1024**3
OLDEST_POSTGRES = 14
CLOCK_TOLERANCE_S = 5.0
DAGSTER_TABLES = ("runs", "event_logs", "instigators", "job_ticks", "daemon_heartbeats")


def disk(options: Settings) -> str:
    home = options.home
    home.mkdir(parents=True, exist_ok=True)
    if shortage := wiring.disk_shortage(options):
        raise SettingsInvalid(shortage)
    free = shutil.disk_usage(home).free
    if free < LEAST_FREE_BYTES:
        raise SettingsInvalid(f"only {free // 1024**2} MiB free below {home}: make room")
    return f"{free / 1024**3:.0f} GiB free below {home}"


def private_files(options: Settings) -> list[DoctorFinding] | str:
    """Check that other users of this machine cannot read the data folder."""
    home = options.home
    if not home.is_dir() or not home.stat().st_mode & 0o077:
        return f"only their owner can read {home}"
    open_ones = [path for path in sorted(home.iterdir()) if path.stat().st_mode & 0o077]
    if not open_ones:
        return f"only their owner can read the files in {home}"
    detail = (
        f"other users of this machine can read {open_ones[0]}: older versions created files for "
        f"everyone; run `chmod -R go= {home}`"
    )
    return [DoctorFinding("files", FindingLevel.WARN, detail)]


def recordings(options: Settings) -> Iterator[DoctorFinding]:
    """Check that each source can be listed, and that the home source can be written."""
    for problem in wiring.source_problems(options):
        yield DoctorFinding("sources", FindingLevel.BAD, problem)
    for source in wiring.load_sources(options):
        name = "recordings" if source.name == wiring.HOME_SOURCE else f"source {source.name}"
        yield from run_examination(name, lambda source=source: _source(options, source))


def _source(options: Settings, source: Source) -> str:
    folder, is_home = local_folder(source.url), source.name == wiring.HOME_SOURCE
    if folder and not is_home and not folder.is_dir():
        raise SettingsInvalid(f"there is no folder {folder}: is its disk mounted?")
    store = wiring.open_source(options, source)
    empty = ", and is empty" if next(store.pages(), None) is None else ""
    if folder is None:
        return f"{source.url} can be read{empty}"
    if _is_writable(folder):
        return f"{folder} can be read and written{empty}"
    if is_home:
        raise SettingsInvalid(f"{folder} is not writable: no recordings can be added")
    return f"{folder} can be read, but not written{empty}"


def _is_writable(folder: Path) -> bool:
    """Create a file to find out: the file system may be read-only in spite of the permissions."""
    try:
        tempfile.TemporaryFile(dir=folder, prefix=os.fsdecode(PARTIAL_PREFIX)).close()
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
        # The first line has the reason; the driver leaves the password out.
        raise DatabaseUnavailable(f"no answer: {str(error).partition(chr(10))[0]}") from None
    assert row
    return fit(major, off_s=abs((datetime.now(UTC) - row[0]).total_seconds()))


def fit(major: int, *, off_s: float) -> str:
    """Raise SettingsInvalid if Postgres is too old or its clock differs from this machine's."""
    if major < OLDEST_POSTGRES:
        raise SettingsInvalid(
            f"PostgreSQL {major} is too old: version {OLDEST_POSTGRES} or newer is needed"
        )
    if off_s > CLOCK_TOLERANCE_S:
        raise SettingsInvalid(f"its clock differs from this machine's by {off_s:.0f} s")
    return f"PostgreSQL {major}"


def schema(url: str, *, embedded: bool) -> str:
    """Check the schema version; the embedded database is migrated first, as by every command."""
    from callpipeline.storage.postgres.migrations import migrate, pending

    if embedded:
        migrate(url)
    present, newest = pending(url)
    if present != newest:
        raise SettingsInvalid(
            f"version {present or 'none'}, version {newest} is needed: run `callpipeline migrate`"
        )
    return f"version {present}, the newest"


def analysts(url: str) -> list[DoctorFinding] | str:
    """Check that the role of analysts can read the views, and nothing else."""
    if problem := dumps.analyst_problem(url):
        return [DoctorFinding("analysts", FindingLevel.WARN, problem)]
    return f"{dumps.ANALYST} can read the views in the schema analytics, and nothing else"


def has_dagster_tables(url: str) -> bool:
    """Return True if Dagster has created its tables in this database."""
    names = [f"public.{table}" for table in DAGSTER_TABLES]
    with psycopg.connect(url, connect_timeout=5) as connection:
        query = "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS name"
        return connection.execute(query, [names]).fetchone() == (True,)
