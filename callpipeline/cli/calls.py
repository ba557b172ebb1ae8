"""Commands about calls: ingest, status, show."""

import json
from pathlib import Path
from typing import Annotated

import typer

from callpipeline.cli import present
from callpipeline.cli.opening import console, errors, opened
from callpipeline.config import settings
from callpipeline.domain.call import CallState
from callpipeline.pipeline.discovery import recordings_below
from callpipeline.pipeline.ingest import ingest as ingest_file

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Recordings, or folders with recordings.")],
    as_json: AsJson = False,
) -> None:
    """Hand recordings over: copies each into the recordings store and enters it into the ledger.

    The same bytes are one call, however often they are ingested. `callpipeline up` processes what
    waits. Exit code 1 when a path does not exist or holds no recording.
    """
    missing = [path for path in paths if not path.exists()]
    for path in missing:
        errors.print(f"[red]error:[/red] {path} does not exist.", soft_wrap=True)
    files = list(recordings_below(path for path in paths if path.exists()))
    if not files and not missing:
        errors.print("[red]error:[/red] No recordings there: give files, or folders of them.")
    with opened() as storage:
        channel = settings().agent_channel
        done = [
            ingest_file(file, storage.recordings, storage.ledger, agent_channel=channel)
            for file in files
        ]
    if as_json:
        rows = [{"path": str(d.path), "call_id": d.call_id, "new": d.is_new} for d in done]
        print(json.dumps(rows, indent=2))
    for each in done if not as_json else ():
        note = "" if each.is_new else "  (known already)"
        console.print(f"{each.call_id}  {each.path}{note}", highlight=False, soft_wrap=True)
    raise typer.Exit(0 if files and not missing else 1)


def status(
    state: Annotated[list[CallState] | None, typer.Option(help="Only these states.")] = None,
    limit: Annotated[int, typer.Option(help="How many calls to list.", min=0)] = 20,
    as_json: AsJson = False,
) -> None:
    """How many calls are in each state, and the newest ones with their stages and reasons."""
    with opened() as storage:
        counts = storage.ledger.count()
        records = storage.ledger.calls(states=state, limit=limit)
    if as_json:
        listed = [present.record_as_json(record) for record in records]
        print(json.dumps({"counts": counts, "calls": listed}, indent=2))
        return
    console.print(present.counts_line(counts))
    if records:
        console.print(present.status_table(records))


def show(
    call_id: Annotated[str, typer.Argument(metavar="CALL", help="A call's id, or its beginning.")],
    as_json: AsJson = False,
) -> None:
    """One call: its state, what was said by whom, the competitors named, and the sentiment."""
    with opened() as storage:
        document = present.call_document(storage, storage.ledger.find(call_id))
    if as_json:
        print(json.dumps(document, indent=2))
        return
    for part in present.call_page(document):
        console.print(part, highlight=False)
