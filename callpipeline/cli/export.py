"""The commands below `export`: results as files."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated

import typer

from callpipeline.cli.opening import errors, explained, opened
from callpipeline.cli.times import HELP, moment_of
from callpipeline.domain.audio import Speaker
from callpipeline.domain.filters import Filters, Stance
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.downloads import CallFormat, download
from callpipeline.storage.export import Format, What, write
from callpipeline.storage.export import opened as opened_table

app = typer.Typer(
    name="export",
    help="Calls, what was said, and mentions as files; one call as subtitles or JSON.",
    no_args_is_help=True,
)

Since = Annotated[str | None, typer.Option(help=f"Calls since then: {HELP}", metavar="WHEN")]
Until = Annotated[str | None, typer.Option(help="Calls before then.", metavar="WHEN")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="A file; without it, standard output.")
]
Competitor = Annotated[
    list[str] | None, typer.Option(help="Of calls in which it is named; may be given again.")
]
Agent = Annotated[str | None, typer.Option(help="Calls of this agent.")]
Spoken = Annotated[
    Stance | None, typer.Option("--sentiment", help="Of calls in which one is spoken of so.")
]
Said = Annotated[
    Speaker | None, typer.Option("--speaker", help="Who named it; of segments, who said it.")
]
As = Annotated[Format, typer.Option("--format", help="json is a document a line.")]


def calls(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = None,
    until: Until = None,
    competitor: Competitor = None,
    agent: Agent = None,
    sentiment: Spoken = None,
    speaker: Said = None,
    format: As = Format.CSV,
    output: Output = None,
) -> None:
    """Calls: when, who, how long, in what state."""
    filters = _filters(competitor, agent, sentiment, speaker)
    _export(What.CALLS, since, until, filters, format, output)


def segments(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = None,
    until: Until = None,
    competitor: Competitor = None,
    agent: Agent = None,
    sentiment: Spoken = None,
    speaker: Said = None,
    format: As = Format.CSV,
    output: Output = None,
) -> None:
    """What was said, by whom and when: a row for each stretch of speech."""
    filters = _filters(competitor, agent, sentiment, speaker)
    _export(What.SEGMENTS, since, until, filters, format, output)


def mentions(  # noqa: PLR0913, PLR0917 - each is an option of the command
    since: Since = None,
    until: Until = None,
    competitor: Competitor = None,
    agent: Agent = None,
    sentiment: Spoken = None,
    speaker: Said = None,
    format: As = Format.CSV,
    output: Output = None,
) -> None:
    """Mentions of competitors with their sentiment, also those that do not count (see status)."""
    filters = _filters(competitor, agent, sentiment, speaker)
    _export(What.MENTIONS, since, until, filters, format, output)


def call(
    call: Annotated[
        str, typer.Argument(metavar="CALL", help="A call's id, its beginning, or a file's name.")
    ],
    format: Annotated[CallFormat, typer.Option("--format", help="As what.")] = CallFormat.JSON,
    output: Output = None,
) -> None:
    """One call: its conversation as subtitles or a table, or all that is known of it as JSON."""
    with opened() as storage, _file(output) as file:
        for piece in download(storage, storage.ledger.find(call), format):
            file.write(piece)


def _filters(
    competitor: list[str] | None,
    agent: str | None,
    sentiment: Stance | None,
    speaker: Speaker | None,
) -> Filters:
    return Filters(
        agent=agent, competitors=tuple(competitor or ()), sentiment=sentiment, speaker=speaker
    )


def _export(
    what: What,
    since: str | None,
    until: str | None,
    filters: Filters,
    format: Format,
    output: Path | None,
) -> None:
    now = datetime.now(UTC)
    begin = moment_of(since, now) if since else None
    end = moment_of(until, now, "--until") if until else None
    if format is Format.PARQUET and output is None and sys.stdout.isatty():
        raise SettingsInvalid("Parquet is nothing to read in a terminal: name a file by --output.")
    with (
        opened() as storage,
        opened_table(storage.database, what, begin, end, filters=filters) as table,
        _file(output) as file,
    ):
        count = write(table, format, file)
    if output:
        errors.print(f"{count:,} {what} in {output}", highlight=False, soft_wrap=True)


@contextmanager
def _file(output: Path | None) -> Iterator[IO[bytes]]:
    """The file, which is there only when it is whole; or standard output."""
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
    app.command(name)(explained(command))
