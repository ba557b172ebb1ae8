"""`callpipeline demo`: the sample calls from sound to sentiment, on whatever is configured."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from callpipeline import wiring
from callpipeline.cli import present, readiness
from callpipeline.cli.opening import console, opened
from callpipeline.cli.score import Score, compare
from callpipeline.cli.services import Services, is_operated, sole_operator
from callpipeline.config import settings
from callpipeline.domain.call import CallState, Stage
from callpipeline.errors import EngineUnavailable, SettingsInvalid
from callpipeline.pipeline.documents import call_document
from callpipeline.pipeline.ingest import Ingested, ingest
from callpipeline.storage.catalog_file import read_catalog
from callpipeline.storage.ledger import CallRecord
from callpipeline.storage.operator import sole_operator_of


def demo() -> None:
    """Process the sample calls and show what they say about the competitors.

    Runs Dagster, Postgres and a speech recogniser on this machine; nothing leaves it, unless the
    settings name engines elsewhere. What was processed before is not processed again.
    """
    samples = wiring.sample_recordings()
    if not samples.is_dir():
        raise SettingsInvalid("The samples come with a checkout of the repository only.")
    options = settings()
    if wiring.load_catalog(options).version != read_catalog(samples / "competitors.yaml").version:
        console.print("note: the samples' truth is told by samples/competitors.yaml, not your list")
    with ExitStack() as stack:
        alone = stack.enter_context(sole_operator(options.home))
        if alone:  # raises what the engines lack, before calls are given to them
            readiness.described(options)
        console.print("starting Postgres …", highlight=False)
        storage = stack.enter_context(opened())
        if alone:
            stack.enter_context(sole_operator_of(storage.database.url))
        taken = [
            ingest(file, storage.inbox, storage.ledger, storage.home) for file in _samples(samples)
        ]
        new = sum(each.is_new for each in taken)
        console.print(f"{len(taken)} sample calls, {new} of them new", highlight=False)
        _process(storage, [each.call_id for each in taken], alone=alone)
        # One of the samples is no audio: an installation that is set up later is not to hear of it.
        storage.outbox.keep_quiet([each.call_id for each in taken])
        documents = _documents(storage, taken)
    unexpected = _report(documents)
    raise typer.Exit(1 if unexpected else 0)


def _samples(folder: Path) -> Iterator[Path]:
    """The recordings beside which lies what was truly said in them."""
    for truth in sorted(folder.glob("*.truth.json")):
        yield folder / json.loads(truth.read_text())["recording"]


def _process(storage: wiring.Storage, call_ids: Sequence[str], *, alone: bool) -> None:
    """Run what waits; where `callpipeline up` is at work, its sensors do."""
    options = settings()
    if not alone:
        console.print("`callpipeline up` is running and processes them", highlight=False)
        _watch(storage, call_ids, busy=lambda: is_operated(options.home))
        return
    from callpipeline.defs.runs import take_back, waiting_runs

    shutil.rmtree(wiring.workspace(options))
    take_back(storage.claims, nobody_else=options.database_url is None)
    folder, ran = wiring.workspace(options), set[str]()
    # More may wait than is asked for at a time; a batch that is there again after it ran is lost.
    while runs := waiting_runs(storage.queue, options.batch_size, folder, but=ran):
        for batch_id, command in runs.items():
            with Services(options.home / "logs", {}) as services:
                run = services.start("demo", command)
                _watch(storage, call_ids, busy=lambda run=run: run.poll() is None)
                run.wait()
            ran.add(batch_id)
    left = [r for r in storage.ledger.calls(call_ids=call_ids) if not r.state.is_final]
    if left:
        _refuse_to_wait(storage, left)
        log = options.home / "logs" / "demo.log"
        raise EngineUnavailable(
            f"The run ended before {len(left)} calls were processed; {log} says why. Nothing is "
            "lost: the same command goes on where it ended."
        )


def _refuse_to_wait(storage: wiring.Storage, left: Sequence[CallRecord]) -> None:
    """Raises EngineUnavailable where calls wait for a service; `up` would wait for it."""
    away = storage.outages.all()
    times = [record.not_before for record in left if record.not_before]
    if away and times:
        raise EngineUnavailable(
            f"{away[0].reason} {len(left)} calls wait for it, and none is lost: the same command "
            f"goes on from {present.moment(max(times))}, `callpipeline up` by itself."
        )


def _watch(storage: wiring.Storage, call_ids: Sequence[str], busy: Callable[[], bool]) -> None:
    """Show progress until every call is final, or nothing is busy any more."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} stages"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("processing", total=len(call_ids) * len(Stage))
        while True:
            records = storage.ledger.calls(call_ids=call_ids)
            done = sum(_stages_done(record) for record in records)
            final = sum(record.state.is_final for record in records)
            described = f"{final} of {len(call_ids)} calls done"
            progress.update(task, completed=done, description=described)
            if final == len(call_ids) or not busy():
                return
            time.sleep(0.5)


def _stages_done(record: CallRecord) -> int:
    return len(Stage) if record.state.is_final else len(record.stages)


def _documents(storage: wiring.Storage, taken: Sequence[Ingested]) -> list[dict[str, Any]]:
    """Each sample's call with what is truly said in it."""
    documents: list[dict[str, Any]] = []
    for each in sorted(taken, key=lambda taken: taken.path):
        document = call_document(storage, storage.ledger.find(each.call_id))
        truth = json.loads(each.path.with_suffix(".truth.json").read_text())
        counted = [m for m in document["mentions"] if m["sentiment"]]
        score = compare(counted, truth["mentions"])
        documents.append(document | {"truth": truth, "counted": counted, "score": score})
    return documents


def _report(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Print the tables; returns the calls that did not end as their sample is meant to."""
    _print_calls(documents)
    _print_mentions(documents)
    completed = [d for d in documents if d["state"] == CallState.COMPLETED]
    total = sum((document["score"] for document in completed), Score())
    console.print(
        f"against what was truly said: {total.spoken} mentions spoken, {total.found} found, "
        f"{total.true} of them true, {total.found - total.true} false\n"
        f"recall {total.recall:.2f}   precision {total.precision:.2f}   "
        f"sentiment right for {total.agreed} of the {total.true} true ones",
        highlight=False,
    )
    unexpected = [d["call_id"] for d in documents if d["state"] != d["truth"]["expected"]]
    for call_id in unexpected:
        console.print(f"[red]{call_id} did not end as this sample is meant to[/red]")
    console.print("next: `make up`, or `callpipeline show CALL`", highlight=False)
    return unexpected


def _print_calls(documents: Sequence[dict[str, Any]]) -> None:
    table = present.grid("call", "recording", "length", "competitors and sentiment", "state")
    for document in documents:
        stances = present.overall_by_competitor(document["counted"])
        line = present.joined(f"{name}: {stance}" for name, stance in stances.items())
        table.add_row(
            document["call_id"],
            escape(Path(document["key"]).name),
            present.clock(document["duration_s"]),
            line if stances else escape(document["error_message"] or "none named"),
            present.coloured(document["state"]),
        )
    console.print(table)


def _print_mentions(documents: Sequence[dict[str, Any]]) -> None:
    table = present.grid("recording", "time", "speaker", "competitor", "sentiment", "words heard")
    for document in documents:
        for mention in document["counted"]:
            judged = mention["sentiment"]
            table.add_row(
                escape(Path(document["key"]).stem),
                present.clock(mention["start_s"]),
                mention["speaker"],
                escape(mention["competitor"]),
                present.coloured(judged["sentiment"]),
                escape(judged["quote"]),
            )
    console.print(table)
