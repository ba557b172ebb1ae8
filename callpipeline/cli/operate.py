"""Commands for whoever operates an installation: migrate and doctor."""

import json
from typing import Annotated

import typer

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.checkup import Finding, examine
from callpipeline.cli.opening import console
from callpipeline.config import settings


def migrate() -> None:
    """Bring the database to the newest schema, from empty or any earlier version."""
    from callpipeline.storage.migrations import migrate as migrate_database

    with wiring.open_database_url(settings()) as url:
        revision = migrate_database(url)
    console.print(f"The database is at schema version {revision}.", highlight=False)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for monitors.")] = False,
) -> None:
    """Examine the installation: database, stores, competitor list, engines, disk, waiting calls.

    Exit code 1 when something keeps calls from being processed.
    """
    findings = examine(settings())
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        _print(findings)
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


def _print(findings: list[Finding]) -> None:
    table = present.grid("", "what", "found")
    for finding in findings:
        mark = "[green]ok[/green]" if finding.well else "[red]bad[/red]"
        table.add_row(mark, finding.name, present.escape(finding.detail))
    console.print(table)
