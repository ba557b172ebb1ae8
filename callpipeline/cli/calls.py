"""Handing recordings over: the command ingest."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from callpipeline.cli.announcing import announced, is_url
from callpipeline.cli.opening import complain, console, opened
from callpipeline.cli.services import is_operated
from callpipeline.config import settings
from callpipeline.domain.call import CallState, Lane
from callpipeline.errors import MissingObject
from callpipeline.pipeline.discovery import recordings_below
from callpipeline.pipeline.ingest import Ingested
from callpipeline.pipeline.ingest import ingest as ingest_file
from callpipeline.pipeline.registration import LIVE_BURST
from callpipeline.wiring import Storage

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def ingest(
    paths: Annotated[
        list[str],
        typer.Argument(help="Recordings, folders with recordings, or addresses of recordings."),
    ],
    as_json: AsJson = False,
) -> None:
    """Hand recordings over: copies each into the recordings store and enters it into the ledger.

    Of a folder, files are taken whose names end like audio; of single files, any.
    The same bytes are one call, however often they are ingested. What begins with https:// or
    http:// is entered at once and fetched when it is processed; it may be a signed address.
    `callpipeline up` processes what waits. Exit code 1 when a path does not exist or holds no
    recording, an address cannot be taken, or when the call of a recording that is known already
    has failed or was erased.
    """
    urls = [path for path in paths if is_url(path)]
    given = [Path(path) for path in paths if not is_url(path)]
    missing = [path for path in given if not path.exists()]
    for path in missing:
        complain(f"{path} does not exist.")
    files = list(recordings_below(path for path in given if path.exists()))
    if not files and not missing and not urls:
        complain("No recordings there: give files, or folders of them.")
    with opened() as storage:
        done = [*_ingested(files, storage), *announced(urls, storage)]
        failed = _failed(done, storage)
    if as_json:
        print(json.dumps([_row(each, failed) for each in done], indent=2))
    for each in done if not as_json else ():
        line = f"{each.call_id}  {each.path}{_note(each, failed)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not as_json and any(each.is_new for each in done) and not is_operated(settings().home):
        console.print("They wait for `callpipeline up`.", highlight=False)
    whole = done and not missing and len(done) == len(files) + len(urls) and not failed
    raise typer.Exit(0 if whole else 1)


def _failed(done: Sequence[Ingested], storage: Storage) -> dict[str, CallState]:
    """The calls of recordings known already that nobody is going to process, and how they ended."""
    known = {each.call_id for each in done if not each.is_new}
    ended = (CallState.FAILED, CallState.ERASED)
    records = storage.ledger.calls(call_ids=known, states=ended) if known else []
    return {record.call_id: record.state for record in records}


def _row(each: Ingested, ended: Mapping[str, CallState]) -> dict[str, object]:
    state = None if each.is_new else ended.get(each.call_id)
    told = {"path": str(each.path), "call_id": each.call_id, "new": each.is_new}
    return {**told, "failed": state is CallState.FAILED, "erased": state is CallState.ERASED}


def _note(each: Ingested, ended: Mapping[str, CallState]) -> str:
    if each.is_new:
        return ""
    state = ended.get(each.call_id)
    if state is CallState.ERASED:
        return (
            f"  (it was erased; `callpipeline erase --lift {each.call_id}` lets it come in again)"
        )
    if state is CallState.FAILED:
        return f"  (known already: it failed; `callpipeline retry {each.call_id}` tries it again)"
    return "  (known already)"


def _ingested(files: Sequence[Path], storage: Storage) -> Iterator[Ingested]:
    """The files that could be taken; of each other one is told why not."""
    lane = Lane.BULK if len(files) > LIVE_BURST else None
    for file in files:
        try:
            yield ingest_file(file, storage.inbox, storage.ledger, storage.home, lane=lane)
        except OSError as error:
            complain(f"{file} cannot be read ({error.strerror}).")
        except MissingObject as error:
            complain(f"{file}: {error}")
