"""Commands for whoever operates an installation: migrate and doctor."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.findings import Finding, Level
from callpipeline.cli.opening import console
from callpipeline.config import settings
from callpipeline.errors import SettingsInvalid

COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "red"}


def migrate() -> None:
    """Bring the database to the newest schema, from empty or any earlier version."""
    from callpipeline.storage.migrations import migrate as migrate_database

    with wiring.open_database_url(settings()) as url:
        revision = migrate_database(url)
    console.print(f"The database is at schema version {revision}.", highlight=False)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for monitors.")] = False,
) -> None:
    """Examine the installation: settings, stores, engines, database, calls that wait, Dagster.

    Each finding is ok, warn (it works, and somebody should look) or bad (calls are not processed
    as they should be). Exit code 1 when one is bad, else 0; with --json a list of objects with
    `name`, `level` and `detail`.
    """
    findings = _examined()
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        _print(findings)
    raise typer.Exit(1 if any(finding.level is Level.BAD for finding in findings) else 0)


def _examined() -> list[Finding]:
    from callpipeline.cli.checkup import examine

    try:
        return list(examine(settings()))
    except SettingsInvalid as error:
        return [Finding("settings", Level.BAD, str(error))]


def _print(findings: Sequence[Finding]) -> None:
    table = present.grid("", "what", "found")
    for finding in findings:
        mark = f"[{COLOURS[finding.level]}]{finding.level}[/]"
        table.add_row(mark, finding.name, present.escape(finding.detail))
    console.print(table)
