"""The command search: where words were said."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from callpipeline.cli import present
from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import console, opened
from callpipeline.cli.times import HELP, moment_of
from callpipeline.domain.audio import Speaker
from callpipeline.domain.sentiment import Sentiment
from callpipeline.storage.search import BEGIN, END, Hit, Wanted, is_too_common
from callpipeline.storage.search import search as search_segments


def search(  # noqa: PLR0913, PLR0917 - each is an option of the command
    words: Annotated[
        str, typer.Argument(help="As in a web search: words, '\"a phrase\"', or, -without.")
    ],
    competitor: Annotated[
        str | None, typer.Option(help="Only calls in which this competitor is named.")
    ] = None,
    sentiment: Annotated[
        Sentiment | None, typer.Option(help="Only calls in which one is spoken of so.")
    ] = None,
    speaker: Annotated[Speaker | None, typer.Option(help="Only what this one said.")] = None,
    since: Annotated[
        str | None, typer.Option(help=f"Calls since then: {HELP}", metavar="WHEN")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Calls before then.", metavar="WHEN")] = None,
    limit: Annotated[int, typer.Option(help="How many to list.", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """Where words were said, best first: who said it, when in which call, in which words.

    `cancel` finds cancelled and cancelling too. Exit code 1 where nothing is found.
    """
    now = datetime.now(UTC)
    wanted = Wanted(words, competitor, speaker, sentiment, limit=limit)
    wanted = replace(wanted, since=moment_of(since, now) if since else None)
    wanted = replace(wanted, until=moment_of(until, now, "--until") if until else None)
    with opened() as storage:
        hits = search_segments(storage.database, wanted)
        common = not hits and is_too_common(storage.database, words)
    if as_json:
        print(json.dumps([_as_json(hit) for hit in hits], indent=2))
    elif hits:
        console.print(_table(hits))
    else:
        why = " These words are too common to look for." if common else ""
        console.print(f"Nothing was found.{why}", highlight=False)
    raise typer.Exit(0 if hits else 1)


def _as_json(hit: Hit) -> dict[str, Any]:
    return asdict(hit) | {"took_place_at": hit.took_place_at.isoformat()}


def _table(hits: Sequence[Hit]) -> Table:
    table = present.grid("call", "time", "speaker", "said")
    for hit in hits:
        table.add_row(hit.call_id, present.clock(hit.start_s), hit.speaker, _marked(hit.marked))
    return table


def _marked(text: str) -> Text:
    """The words that were looked for, in bold."""
    shown = Text()
    for piece in present.plain(text).split(BEGIN):
        found, mark, rest = piece.partition(END)
        shown.append(found, style="bold" if mark else "")
        shown.append(rest)
    return shown
