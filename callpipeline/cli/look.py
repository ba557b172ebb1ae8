"""Commands that look at calls: status and show."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from callpipeline import wiring
from callpipeline.cli import overview, present, readiness
from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import console, opened
from callpipeline.config import settings
from callpipeline.domain.call import CallState
from callpipeline.pipeline.documents import call_document, record_as_json


def a_state(text: str) -> CallState:
    """A state as people write it, in small letters or capitals."""
    try:
        return CallState(text.upper())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(CallState)}.") from None


def status(
    state: Annotated[
        list[CallState] | None,
        typer.Option(help="Only these states.", parser=a_state, metavar="STATE"),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many calls to list.", min=0)] = 20,
    as_json: AsJson = False,
) -> None:
    """How many calls are in each state, what waits, and the newest ones with their reasons."""
    with opened() as storage:
        counts = storage.ledger.count()
        lanes = overview.lanes(storage)
        away = storage.outages.all()
        records = storage.ledger.calls(states=state, limit=limit)
        ids = [record.call_id for record in records]
        doubts, unjudged = overview.doubts(storage, ids), overview.unjudged(storage, ids)
        missing = storage.unjudged.count()
    lack = readiness.trouble(settings())
    more = sum(counts.get(s, 0) for s in set(state or CallState)) - len(records)
    if as_json:
        listed = [
            record_as_json(record) | {"doubt": doubts.get(id_), "unjudged": unjudged.get(id_)}
            for id_, record in zip(ids, records, strict=True)
        ]
        waiting = [lane.as_json() for lane in lanes]
        document = {"counts": counts, "waiting": waiting, "calls": listed, "more": max(more, 0)}
        document["away"] = [overview.outage_as_json(outage) for outage in away]
        document["recogniser"] = asdict(wiring.choose_recogniser(settings()))
        document["engines_lack"] = lack
        document |= {"unjudged": overview.unjudged_as_json(missing)}
        print(json.dumps(document, indent=2))
        return
    console.print(overview.counts_line(counts))
    console.print(overview.recogniser_line(settings()), soft_wrap=True)
    if lack:
        console.print(f"[red]calls cannot be taken: {escape(lack)}[/red]", highlight=False)
    for lane in lanes:
        console.print(overview.lane_line(lane))
    for outage in away:
        console.print(overview.outage_line(outage), highlight=False)
    if line := overview.unjudged_line(missing):
        console.print(line)
    if records:
        console.print(overview.status_table(records, doubts, unjudged))
    if more > 0:
        console.print(f"and {more} more: --limit shows as many as you like", highlight=False)


def show(
    call: Annotated[
        str, typer.Argument(metavar="CALL", help="A call's id, its beginning, or a file's name.")
    ],
    as_json: AsJson = False,
) -> None:
    """One call: its state, what was said by whom, the competitors named, and the sentiment."""
    with opened() as storage:
        document = call_document(storage, storage.ledger.find(call))
    if as_json:
        print(json.dumps(document, indent=2))
        return
    for part in present.call_page(document):
        console.print(part, highlight=False)
