"""Handing recordings over: the command ingest."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from callpipeline.cli.opening import complain, console, opened
from callpipeline.cli.services import is_operated
from callpipeline.config import settings
from callpipeline.domain.call import Lane
from callpipeline.errors import MissingObject
from callpipeline.pipeline.discovery import recordings_below
from callpipeline.pipeline.ingest import Ingested
from callpipeline.pipeline.ingest import ingest as ingest_file
from callpipeline.pipeline.registration import LIVE_BURST
from callpipeline.wiring import Storage

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Recordings, or folders with recordings.")],
    as_json: AsJson = False,
) -> None:
    """Hand recordings over: copies each into the recordings store and enters it into the ledger.

    Of a folder, files are taken whose names end like audio; of single files, any.
    The same bytes are one call, however often they are ingested. `callpipeline up` processes what
    waits. Exit code 1 when a path does not exist or holds no recording.
    """
    missing = [path for path in paths if not path.exists()]
    for path in missing:
        complain(f"{path} does not exist.")
    files = list(recordings_below(path for path in paths if path.exists()))
    if not files and not missing:
        complain("No recordings there: give files, or folders of them.")
    with opened() as storage:
        done = list(_ingested(files, storage))
    if as_json:
        rows = [{"path": str(d.path), "call_id": d.call_id, "new": d.is_new} for d in done]
        print(json.dumps(rows, indent=2))
    for each in done if not as_json else ():
        note = "" if each.is_new else "  (known already)"
        line = f"{each.call_id}  {each.path}{note}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not as_json and any(each.is_new for each in done) and not is_operated(settings().home):
        console.print("They wait for `callpipeline up`.", highlight=False)
    raise typer.Exit(0 if files and not missing and len(done) == len(files) else 1)


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
