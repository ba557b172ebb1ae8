"""The commands catalog suggest, accept and refuse: aliases of names that recognisers misheard."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Annotated, Any

import typer

from callpipeline.cli.catalog import Note
from callpipeline.cli.present import clock, escape, plain
from callpipeline.cli.rematching import NoWait, progress_of_calls, report_change
from callpipeline.cli.session import (
    AsJson,
    console,
    current_user,
    open_storage_migrated,
    print_note,
)
from callpipeline.config import settings
from callpipeline.pipeline.rematch.suggestions import (
    AliasMiner,
    AliasQuote,
    AliasSuggestion,
    SuggestionReport,
)
from callpipeline.storage.catalog.editing import (
    cleaned_aliases,
    listed_competitor,
    with_sounds_like,
)
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.wiring import load_catalog, open_links, open_sound_finder

DEFAULT_CALLS = 1000

Named = Annotated[str, typer.Argument(metavar="COMPETITOR", help="A name of the list.")]
Aliases = Annotated[list[str], typer.Argument(metavar="ALIAS...", help="As `suggest` shows them.")]


def suggest(
    competitor: Annotated[
        str | None, typer.Option(help="Only for this name.", metavar="NAME")
    ] = None,
    calls: Annotated[
        int, typer.Option(help="Read the newest N calls.", metavar="N", min=1, max=100_000)
    ] = DEFAULT_CALLS,
    as_json: AsJson = False,
) -> None:
    """Propose aliases: what recognisers wrote in stored calls instead of a name. Changes nothing.

    Words that sound like a name are scored by where they are said. Automatic ones are seldom wrong;
    up to five for each name are yours to decide.
    """
    options = settings()
    with open_storage_migrated() as storage:
        catalog = load_catalog(options, storage.catalogs)
        only = listed_competitor(catalog, competitor).name if competitor else None
        miner = AliasMiner(storage.suggestions, lambda forms: open_sound_finder(options, forms))
        with progress_of_calls("reading calls") as (progress, task):

            def on_call(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            report = miner.mine(catalog, only=only, max_calls=calls, on_call=on_call)
    app_url = open_links(options).app_url
    if as_json:
        print(json.dumps(_as_json(report, app_url), indent=2))
        return
    for line in _lines(report, app_url):
        console.print(line, highlight=False, soft_wrap=True)


def accept(competitor: Named, aliases: Aliases, note: Note = "", no_wait: NoWait = False) -> None:
    """Add sounds-like aliases to a name, and rematch the completed calls that have them."""
    with open_storage_migrated() as storage:
        before = storage.catalogs.current()
        catalog = load_catalog(settings(), storage.catalogs)
        named = listed_competitor(catalog, competitor)
        cleaned = cleaned_aliases(aliases)
        reason = note or f"{named.name} is heard as {', '.join(cleaned)}"
        change = NewChange(ChangeOrigin.COMMAND, current_user(), reason)
        made = storage.catalogs.apply(with_sounds_like(catalog, named, cleaned), change)
        storage.suggestions.forget_refusals(named.name, cleaned)
        if storage.catalogs.files():
            print_note(
                "the list in force differs from its file now: before you edit the file, write the "
                "list to it with `callpipeline catalog show --yaml`."
            )
        report_change(storage, before, made, wait=not no_wait)


def refuse(competitor: Named, aliases: Aliases) -> None:
    """Never propose these aliases of a name again; `accept` still takes them."""
    with open_storage_migrated() as storage:
        catalog = load_catalog(settings(), storage.catalogs)
        named = listed_competitor(catalog, competitor)
        cleaned = cleaned_aliases(aliases)
        storage.suggestions.refuse(named.name, cleaned, current_user())
    listed = ", ".join(cleaned)
    console.print(f"Refused for {named.name}: {listed}.", markup=False, highlight=False)


COMMANDS: list[Callable[..., None]] = [suggest, accept, refuse]
"""Commands below `catalog`."""


def _as_json(report: SuggestionReport, app_url: str) -> dict[str, Any]:
    document = asdict(report)
    for suggestion in document["suggestions"]:
        for quote in suggestion["quotes"]:
            quote["url"] = _url(app_url, quote)
    return document


def _url(app_url: str, quote: Mapping[str, Any]) -> str:
    return f"{app_url}/calls/{quote['call_id']}?t={quote['start_s']}"


def _lines(report: SuggestionReport, app_url: str) -> Iterator[str]:
    yield (
        f"Read {report.words_read:,} words of {report.calls_read:,} of {report.calls_stored:,} "
        f"calls, the newest; sounds by {report.sounds}."
    )
    if report.sounds != "espeak-ng":
        yield "Install espeak-ng for better suggestions: without it, spelling gives the sounds."
    if not report.suggestions:
        yield "No suggestions."
    for (name, tier), group in groupby(report.suggestions, key=lambda s: (s.competitor, s.tier)):
        yield f"\n[bold]{escape(name)}[/bold]  {tier}"
        for suggestion in group:
            yield from _described(suggestion, app_url)
    if report.suggestions:
        yield "\n`callpipeline catalog accept COMPETITOR ALIAS...` adds them; `refuse` drops them."


def _described(suggestion: AliasSuggestion, app_url: str) -> Iterator[str]:
    places = _counted(suggestion.occurrences, "place")
    calls, new = _counted(suggestion.calls, "call"), _counted(suggestion.new_mentions, "mention")
    yield f'  [bold]"{escape(suggestion.alias)}"[/bold]  {places} in {calls}; adds {new}'
    yield f"    {escape('; '.join(suggestion.evidence))}"
    for quote in suggestion.quotes:
        yield f"    {_quoted(quote)}  {_url(app_url, asdict(quote))}"


def _quoted(quote: AliasQuote) -> str:
    before, text, after = (escape(plain(part)) for part in (quote.before, quote.text, quote.after))
    return f"{clock(quote.start_s)}  …{before}[bold]{text}[/bold]{after}…"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
