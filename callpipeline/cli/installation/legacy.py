"""The command import-legacy."""

import json
import re
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from callpipeline import wiring
from callpipeline.cli.session import AsJson, console, errors, open_storage_migrated, print_note
from callpipeline.config import settings
from callpipeline.pipeline.ingest.legacy_import import ImportReport
from callpipeline.storage.ports.imports import ImportOutcome

OldDatabaseUrl = Annotated[
    str,
    typer.Argument(
        metavar="DATABASE_URL",
        help="The old database: postgresql://user@host:5432/name. The password may be in "
        "PGPASSWORD.",
    ),
]
OldBucket = Annotated[
    str | None,
    typer.Option(
        "--bucket",
        help="Where the old transcripts are: a bucket (its MINIO_* variables apply, else the S3 "
        "settings), s3://bucket/prefix, or a folder.",
    ),
]


def import_legacy(
    database_url: OldDatabaseUrl, bucket: OldBucket = None, as_json: AsJson = False
) -> None:
    """Import jobs, transcripts and sentiment from the system that callpipeline replaces.

    The old database is only read. Run it again at any time: what was imported isn't imported twice,
    and what has changed here since is kept. Rows that can't be read are listed on stderr, and the
    exit code is then 3. Recordings aren't imported.
    """
    plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", database_url)
    options = settings()
    with (
        open_storage_migrated() as storage,
        wiring.open_legacy_import(options, storage, plain, bucket) as (importer, database),
        _progress() as bar,
    ):
        task = bar.add_task("jobs", total=database.count())
        report = importer.run(database, lambda current: bar.update(task, completed=current.jobs))
    for problem in report.problems:
        print_note(problem)
    if as_json:
        print(json.dumps(_as_json(report), indent=2))
    else:
        _print(report, has_bucket=bucket is not None)
    if report.problems:
        raise typer.Exit(3)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=errors, transient=True)


def _as_json(report: ImportReport) -> dict[str, object]:
    return {
        "jobs": report.jobs,
        "calls": {str(outcome): report.calls[outcome] for outcome in ImportOutcome},
        "transcripts": report.transcripts,
        "sentiment_results": report.results,
        "repeated_sentiment_results": report.repeated_results,
        "unfinished_jobs": report.unfinished,
        "problems": report.problems,
    }


def _print(report: ImportReport, *, has_bucket: bool) -> None:
    counts = ", ".join(f"{report.calls[each]} {each}" for each in ImportOutcome)
    lines = [f"{report.jobs} jobs read: {counts}."]
    stored = f"{report.transcripts} transcripts and {report.results} sentiment results stored"
    lines.append(f"{stored}; {report.repeated_results} repeated results merged.")
    if report.unfinished:
        lines.append(f"{report.unfinished} jobs hadn't ended: upload their recordings again.")
    if not has_bucket:
        lines.append("Transcripts were left out: name their bucket with --bucket.")
    if report.problems:
        lines.append(f"{len(report.problems)} rows or files can't be read; they are listed above.")
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
