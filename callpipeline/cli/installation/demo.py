"""The command demo, and the comparison of its results with the samples' ground truth."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.engines import describe_engines
from callpipeline.cli.installation.model import fetch_model
from callpipeline.cli.installation.services import Services, is_operated, sole_operator
from callpipeline.cli.session import console, open_storage_migrated
from callpipeline.config import settings
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline.ingest.registration import IngestResult, ingest_file
from callpipeline.pipeline.reading.documents import call_document
from callpipeline.storage.catalog.files import read_catalog
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.storage.postgres.locks import hold_operator_lock


def demo() -> None:
    """Process the sample calls and print their competitor mentions.

    Runs Dagster, Postgres and a speech recogniser on this machine; no data leaves it unless the
    settings name remote engines. Calls that are already processed are not processed again.
    """
    samples = wiring.sample_recordings()
    options = settings()
    with ExitStack() as stack:
        alone = stack.enter_context(sole_operator(options.home))
        if alone:  # fail before any call is registered
            fetch_model(options)
            describe_engines(options)
        console.print("starting Postgres …", highlight=False)
        storage = stack.enter_context(open_storage_migrated())
        if alone:
            stack.enter_context(hold_operator_lock(storage.database.url))
        own = wiring.load_catalog(options, storage.catalogs)
        if own.version != read_catalog(samples / "competitors.yaml").catalog.version:
            console.print(
                "note: the samples are scored for samples/competitors.yaml, not for your list"
            )
        ingested = [
            ingest_file(file, storage.inbox, storage.ledger, storage.home)
            for file in _samples(samples)
        ]
        new = sum(each.is_new for each in ingested)
        console.print(f"{len(ingested)} sample calls, {new} of them new", highlight=False)
        _process(storage, [each.call_id for each in ingested], alone=alone)
        # One sample is not audio; its failure must not be reported once notifications are set up.
        storage.outbox.suppress([each.call_id for each in ingested])
        documents = _documents(storage, ingested)
    unexpected = _report(documents)
    raise typer.Exit(1 if unexpected else 0)


def _samples(folder: Path) -> Iterator[Path]:
    """Yield the recordings that have a ground truth beside them."""
    for truth in sorted(folder.glob("*.truth.json")):
        yield folder / json.loads(truth.read_text())["recording"]


def _process(storage: wiring.Storage, call_ids: Sequence[str], *, alone: bool) -> None:
    """Run the waiting calls; if `callpipeline up` is running, its sensors do."""
    options = settings()
    if not alone:
        console.print("`callpipeline up` is running and processes them", highlight=False)
        _watch(storage, call_ids, busy=lambda: is_operated(options.home))
        return
    from callpipeline.defs.jobs.process_calls import reclaim_abandoned, waiting_run_commands

    shutil.rmtree(wiring.workspace(options))
    reclaim_abandoned(storage.claims, exclusive=options.database_url is None)
    folder, ran = wiring.workspace(options), set[str]()
    # There may be several batches; one that is still open after its run is not started again.
    while runs := waiting_run_commands(storage.queue, options.batch_size, folder, exclude=ran):
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
            f"The run ended before {len(left)} calls were processed; see {log}. Nothing is "
            "lost: run the same command to continue."
        )


def _refuse_to_wait(storage: wiring.Storage, left: Sequence[CallSummary]) -> None:
    """Raise EngineUnavailable if calls wait for a service; only `up` waits for it."""
    outages = storage.outages.all()
    times = [record.next_attempt_at for record in left if record.next_attempt_at]
    if outages and times:
        raise EngineUnavailable(
            f"{outages[0].reason} {len(left)} calls wait for it, and none is lost. Run the same "
            f"command after {present.moment(max(times))}, or `callpipeline up`, to continue."
        )


def _watch(storage: wiring.Storage, call_ids: Sequence[str], busy: Callable[[], bool]) -> None:
    """Show progress until every call is final or the processing has ended."""
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
            description = f"{final} of {len(call_ids)} calls done"
            progress.update(task, completed=done, description=description)
            if final == len(call_ids) or not busy():
                return
            time.sleep(0.5)


def _stages_done(record: CallSummary) -> int:
    return len(Stage) if record.state.is_final else len(record.stages)


def _documents(storage: wiring.Storage, ingested: Sequence[IngestResult]) -> list[dict[str, Any]]:
    """Return each sample's call document with its ground truth and score."""
    documents: list[dict[str, Any]] = []
    for each in sorted(ingested, key=lambda ingested: ingested.path):
        document = call_document(storage, storage.ledger.find(each.call_id))
        truth = json.loads(each.path.with_suffix(".truth.json").read_text())
        counted = [m for m in document["mentions"] if m["sentiment"]]
        score = compare(counted, truth["mentions"])
        documents.append(document | {"truth": truth, "counted": counted, "score": score})
    return documents


def _report(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Print the tables; returns the calls that ended in another state than expected."""
    console.print(_call_table(documents))
    console.print(_mention_table(documents))
    for line in score_lines(documents):
        console.print(line, highlight=False)
    unexpected = [d["call_id"] for d in documents if d["state"] != d["truth"]["expected"]]
    for call_id in unexpected:
        console.print(f"[red]{call_id} ended in an unexpected state[/red]")
    console.print("next: `make up`, or `callpipeline show CALL`", highlight=False)
    return unexpected


def score_lines(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the figures of each group of samples, and of all if there are several groups."""
    scores: dict[str, DemoScore] = {}
    for document in documents:
        if document["state"] == CallState.COMPLETED:
            group = document["truth"]["group"]
            scores[group] = scores.get(group, DemoScore()) + document["score"]
    if len(scores) > 1:
        scores["all samples"] = sum(scores.values(), DemoScore())
    for group, score in scores.items():
        yield (
            f"{group}: {score.spoken} mentions spoken, {score.found} found: {score.true} correct, "
            f"{score.found - score.true} false\n"
            f"  recall {score.recall:.2f}   precision {score.precision:.2f}   "
            f"sentiment correct for {score.agreed} of {score.true}"
        )


def _call_table(documents: Sequence[dict[str, Any]]) -> Table:
    """Return the table of calls, by the names of their recordings; fits 80 columns."""
    table = present.grid("call", "length", "competitors and sentiment", "state")
    for document in documents:
        sentiments = present.stance_by_competitor(document["counted"])
        lines = present.joined(f"{name}: {each}" for name, each in sentiments.items())
        table.add_row(
            escape(Path(document["key"]).stem),
            present.clock(document["duration_s"]),
            lines if sentiments else escape(document["error_message"] or "no mentions"),
            present.coloured(document["state"]),
        )
    return table


def _mention_table(documents: Sequence[dict[str, Any]]) -> Table:
    """Return the table of mentions; the number that a sample's name begins with is its call."""
    table = present.grid("call", "time", "speaker", "competitor", "sentiment", "words")
    for document in documents:
        number = Path(document["key"]).stem.partition("-")[0]
        for mention in document["counted"]:
            judged = mention["sentiment"]
            table.add_row(
                escape(number),
                present.clock(mention["start_s"]),
                mention["speaker"],
                escape(mention["competitor"]),
                present.coloured(judged["sentiment"]),
                escape(judged["quote"]),
            )
        table.add_section()
    return table


TOLERANCE_S = 3.0
"""Tolerance of mention times; the ground truth spreads the words evenly over each turn."""

MentionRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DemoScore:
    """Counts over one or more calls; `agreed` counts true mentions with the right sentiment."""

    spoken: int = 0
    found: int = 0
    true: int = 0
    agreed: int = 0

    def __add__(self, other: "DemoScore") -> "DemoScore":
        return DemoScore(
            self.spoken + other.spoken,
            self.found + other.found,
            self.true + other.true,
            self.agreed + other.agreed,
        )

    @property
    def recall(self) -> float:
        return self.true / self.spoken if self.spoken else 1.0

    @property
    def precision(self) -> float:
        return self.true / self.found if self.found else 1.0


def compare(found: Sequence[MentionRow], truth: Sequence[MentionRow]) -> DemoScore:
    """Match each spoken mention with the nearest found one of its competitor and channel."""
    left = list(found)
    true = agreed = 0
    for spoken in truth:
        near = [mention for mention in left if _same(mention, spoken)]
        if not near:
            continue
        match = min(near, key=lambda mention: _distance_s(mention, spoken))
        left.remove(match)
        true += 1
        agreed += match["sentiment"]["sentiment"] == spoken["sentiment"]
    return DemoScore(len(truth), len(found), true, agreed)


def _same(mention: MentionRow, spoken: MentionRow) -> bool:
    here = mention["competitor"] == spoken["competitor"] and mention["channel"] == spoken["channel"]
    return here and _distance_s(mention, spoken) <= TOLERANCE_S


def _distance_s(mention: MentionRow, spoken: MentionRow) -> float:
    return abs(mention["start_s"] - spoken["start_s"])
