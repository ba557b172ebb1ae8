"""The command search, and the command group export: results as files."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from callpipeline.cli import present
from callpipeline.cli.session import (
    MOMENT_HELP,
    AsJson,
    console,
    errors,
    name_calls,
    open_storage_migrated,
    parse_moment,
    report_errors,
)
from callpipeline.config import settings
from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.reading.documents import CallFormat, download
from callpipeline.storage.reading.export import Dataset, ExportFormat, write_export
from callpipeline.storage.reading.export import open_export as opened_table
from callpipeline.storage.reading.search import BEGIN, END, SearchHit, SearchRequest
from callpipeline.wiring import open_links

app = typer.Typer(
    name="export",
    help="Export calls, segments and mentions as files, or one call as subtitles or JSON.",
    no_args_is_help=True,
)

Since = Annotated[
    str | None, typer.Option(help=f"Only calls since then: {MOMENT_HELP}", metavar="WHEN")
]
Until = Annotated[str | None, typer.Option(help="Only calls before then.", metavar="WHEN")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Output file; standard output by default.")
]
Competitor = Annotated[
    list[str] | None, typer.Option(help="Only calls that mention it; can be repeated.")
]
Agent = Annotated[str | None, typer.Option(help="Only calls of this agent.")]
Spoken = Annotated[
    MentionSentiment | None,
    typer.Option("--sentiment", help="Only calls with this sentiment towards a competitor."),
]
Said = Annotated[
    Speaker | None, typer.Option("--speaker", help="Only mentions, or segments, of this speaker.")
]
As = Annotated[ExportFormat, typer.Option("--format", help="json is one document per line.")]


def search(  # noqa: PLR0913, PLR0917 - each is an option of the command
    words: Annotated[
        str, typer.Argument(help="Words, '\"a phrase\"', or, -without, as in a web search.")
    ],
    competitor: Annotated[
        str | None, typer.Option(help="Only calls that mention this competitor.")
    ] = None,
    sentiment: Annotated[
        Sentiment | None, typer.Option(help="Only calls with this sentiment towards a competitor.")
    ] = None,
    speaker: Annotated[Speaker | None, typer.Option(help="Only segments of this speaker.")] = None,
    since: Annotated[
        str | None, typer.Option(help=f"Only calls since then: {MOMENT_HELP}", metavar="WHEN")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only calls before then.", metavar="WHEN")
    ] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of results.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """Search the transcripts, best results first.

    `cancel` also finds cancelled and cancelling. Exits with 1 if nothing is found.
    """
    now = datetime.now(UTC)
    wanted = SearchRequest(words, competitor, speaker, sentiment, limit=limit)
    wanted = replace(wanted, since=parse_moment(since, now) if since else None)
    wanted = replace(wanted, until=parse_moment(until, now, "--until") if until else None)
    with open_storage_migrated() as storage:
        hits = storage.search.best(wanted)
        common = not hits and storage.search.has_only_stop_words(words)
    if as_json:
        print(json.dumps([_as_json(hit) for hit in hits], indent=2))
    elif hits:
        console.print(_table(hits))
    else:
        why = " Those words are too common to search for." if common else ""
        console.print(f"No results.{why}", highlight=False)
    raise typer.Exit(0 if hits else 1)


def _as_json(hit: SearchHit) -> dict[str, Any]:
    return asdict(hit) | {"took_place_at": hit.took_place_at.isoformat()}


def _table(hits: Sequence[SearchHit]) -> Table:
    table = present.grid("call", "time", "speaker", "text")
    for hit in hits:
        table.add_row(hit.call_id, present.clock(hit.start_s), hit.speaker, _marked(hit.marked))
    return table


def _marked(text: str) -> Text:
    """Return the text with the matching words in bold."""
    shown = Text()
    for piece in present.plain(text).split(BEGIN):
        found, mark, rest = piece.partition(END)
        shown.append(found, style="bold" if mark else "")
        shown.append(rest)
    return shown


def calls(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = None,
    until: Until = None,
    competitor: Competitor = None,
    agent: Agent = None,
    sentiment: Spoken = None,
    speaker: Said = None,
    format: As = ExportFormat.CSV,
    output: Output = None,
) -> None:
    """Export calls: time, agent, duration and state."""
    filters = _filters(competitor, agent, sentiment, speaker)
    _export(Dataset.CALLS, since, until, filters, format, output)


def segments(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = None,
    until: Until = None,
    competitor: Competitor = None,
    agent: Agent = None,
    sentiment: Spoken = None,
    speaker: Said = None,
    format: As = ExportFormat.CSV,
    output: Output = None,
) -> None:
    """Export the transcripts, one row per segment."""
    filters = _filters(competitor, agent, sentiment, speaker)
    _export(Dataset.SEGMENTS, since, until, filters, format, output)


def mentions(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = None,
    until: Until = None,
    competitor: Competitor = None,
    agent: Agent = None,
    sentiment: Spoken = None,
    speaker: Said = None,
    format: As = ExportFormat.CSV,
    output: Output = None,
) -> None:
    """Export competitor mentions with their sentiment, including dismissed ones (see status)."""
    filters = _filters(competitor, agent, sentiment, speaker)
    _export(Dataset.MENTIONS, since, until, filters, format, output)


def call(
    call: Annotated[
        str, typer.Argument(metavar="CALL", help="A call's id, its beginning, or a file's name.")
    ],
    format: Annotated[
        CallFormat, typer.Option("--format", help="Output format.")
    ] = CallFormat.JSON,
    output: Output = None,
) -> None:
    """Export one call: the transcript as subtitles or a table, or everything as JSON."""
    with open_storage_migrated() as storage, _file(output) as file:
        record = storage.ledger.find(call)
        name_calls([record.call_id])
        for piece in download(storage, record, format):
            file.write(piece)


def _filters(
    competitor: list[str] | None,
    agent: str | None,
    sentiment: MentionSentiment | None,
    speaker: Speaker | None,
) -> CallFilters:
    return CallFilters(
        agent=agent, competitors=tuple(competitor or ()), sentiment=sentiment, speaker=speaker
    )


def _export(
    what: Dataset,
    since: str | None,
    until: str | None,
    filters: CallFilters,
    format: ExportFormat,
    output: Path | None,
) -> None:
    now = datetime.now(UTC)
    begin = parse_moment(since, now) if since else None
    end = parse_moment(until, now, "--until") if until else None
    is_binary = format in (ExportFormat.PARQUET, ExportFormat.XLSX)
    if is_binary and output is None and sys.stdout.isatty():
        raise SettingsInvalid(f"{format} is a binary format: write it to a file with --output.")
    base_url = open_links(settings()).app_url
    with (
        open_storage_migrated() as storage,
        opened_table(
            storage.database, what, begin, end, filters=filters, base_url=base_url
        ) as table,
        _file(output) as file,
    ):
        count = write_export(table, format, file)
    if output:
        errors.print(f"{count:,} {what} in {output}", highlight=False, soft_wrap=True)


@contextmanager
def _file(output: Path | None) -> Iterator[IO[bytes]]:
    """Open the output file, which appears only when it is complete, or standard output."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(output)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


COMMANDS = {"calls": calls, "segments": segments, "mentions": mentions, "call": call}
for name, command in COMMANDS.items():
    app.command(name)(report_errors(command))
