"""The command doctor, and the order of its examinations."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Annotated

import typer

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.doctor import operations, stores
from callpipeline.cli.doctor import settings as checkup_settings
from callpipeline.cli.doctor.findings import (
    DoctorFinding,
    Examination,
    FindingLevel,
    run_examination,
)
from callpipeline.cli.engines import describe_engines
from callpipeline.cli.session import console
from callpipeline.config import Settings, settings
from callpipeline.errors import CallpipelineError, SettingsInvalid
from callpipeline.storage.postgres.database import Database
from callpipeline.wiring.recognisers import POCKETSPHINX

ENGINE_PACKAGES = ("av", "soundfile", "soxr", "onnxruntime", "faster_whisper")


def examine(options: Settings) -> Iterator[DoctorFinding]:
    """Yield the findings as they are made."""
    without_database = {
        "settings": checkup_settings.examine,
        "engines": _engines,
        "recogniser": _recogniser,
        "disk": stores.disk,
        "files": stores.private_files,
        "recordings": stores.recordings,
        "storage": stores.results_store,
        "notifications": operations.channels,
        "retention": _retention,
    }
    for name, examination in without_database.items():
        yield from run_examination(name, partial(examination, options))
    yield from _of_database(options)


def _of_database(options: Settings) -> Iterator[DoctorFinding]:
    """Stop at the first bad finding, since each examination builds on the one before it."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(wiring.open_database_url(options))
        except CallpipelineError as error:
            yield DoctorFinding("database", FindingLevel.BAD, str(error))
            return
        embedded = options.database_url is None
        examinations: dict[str, Examination] = {
            "database": lambda: stores.database(url),
            "schema": lambda: stores.schema(url, embedded=embedded),
        }
        for name, examination in examinations.items():
            findings = list(run_examination(name, examination))
            yield from findings
            if any(finding.level is FindingLevel.BAD for finding in findings):
                return
        yield from run_examination("analysts", lambda: stores.analysts(url))
        database = stack.enter_context(Database(url))
        yield from run_examination("time zone", lambda: operations.time_zone(options, database))
        yield from run_examination("competitors", lambda: operations.competitors(options, database))
        yield from run_examination("calls on the list", lambda: operations.outdated_calls(database))
        yield from run_examination("waiting calls", lambda: operations.waiting(database))
        yield from run_examination("services", lambda: operations.services(database))
        yield from run_examination("runs", lambda: operations.silent_runs(database))
        yield from run_examination("erasures", lambda: operations.erasures(database))
        yield from run_examination("outbox", lambda: operations.outbox(options, database))
        yield from run_examination("dagster", lambda: _dagster(options, url))


def _engines(options: Settings) -> str:
    for package in ENGINE_PACKAGES:
        if find_spec(package) is None:
            raise SettingsInvalid(f"the package {package} is missing: reinstall callpipeline")
    return describe_engines(options)


def _recogniser(options: Settings) -> list[DoctorFinding]:
    chosen = wiring.choose_recogniser(options)
    level = FindingLevel.WARN if chosen.name == POCKETSPHINX else FindingLevel.OK
    return [DoctorFinding("recogniser", level, f"{chosen} ({chosen.reason})")]


def _retention(options: Settings) -> str:
    days = {str(kept): days for kept, days in wiring.retention_periods(options).days.items()}
    periods = [f"{kept} {each} days" for kept, each in days.items() if each]
    return f"keep: {', '.join(periods) or 'forever'}"


def _dagster(options: Settings, url: str) -> list[DoctorFinding] | str:
    """Skip Dagster before its first start: opening its instance would create its tables."""
    if not stores.has_dagster_tables(url):
        return "not started yet; run `callpipeline up`"
    wiring.enter_dagster_environment(options, url)
    # Deferred: importing Dagster takes two seconds.
    from callpipeline.defs.dagster_internals.health import dagster_health

    return [
        DoctorFinding(name, FindingLevel(level), detail) for name, level, detail in dagster_health()
    ]


COLOURS = {FindingLevel.OK: "green", FindingLevel.WARN: "yellow", FindingLevel.BAD: "red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for monitoring.")] = False,
) -> None:
    """Check settings, stores, engines, database, queue, notifications and Dagster.

    Each finding is ok, warn (works, but needs attention) or bad (calls are not processed
    properly). Exits with 1 if one is bad. --json prints a list of objects with `name`, `level` and
    `detail`.
    """
    findings = _examined()
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        _print(findings)
    raise typer.Exit(1 if any(finding.level is FindingLevel.BAD for finding in findings) else 0)


def _examined() -> list[DoctorFinding]:
    try:
        return list(examine(settings()))
    except SettingsInvalid as error:
        return [DoctorFinding("settings", FindingLevel.BAD, str(error))]


def _print(findings: Sequence[DoctorFinding]) -> None:
    table = present.grid("", "check", "result")
    for finding in findings:
        mark = f"[{COLOURS[finding.level]}]{finding.level}[/]"
        table.add_row(mark, finding.name, present.escape(finding.detail))
    console.print(table)
