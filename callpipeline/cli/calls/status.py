"""The commands status and show."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from callpipeline.cli import present
from callpipeline.cli.engines import missing_requirement
from callpipeline.cli.present import COLOURS, clock, coloured, grid, moment, printable
from callpipeline.cli.session import AsJson, console, name_calls, open_storage_migrated, parse_state
from callpipeline.config import Settings, settings
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.pipeline.reading.documents import call_document, record_as_json
from callpipeline.pipeline.rematch.planning import count_stale
from callpipeline.storage.calls.queue import LaneBacklog, OutageStatus
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.storage.ports.rematch import Staleness
from callpipeline.storage.reading.calls import TranscriptDoubts
from callpipeline.storage.results.unjudged import UnjudgedCounts
from callpipeline.wiring import Storage, choose_recogniser


def status(
    state: Annotated[
        list[CallState] | None,
        typer.Option(help="Only these states.", parser=parse_state, metavar="STATE"),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many calls to list.", min=0)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show how many calls are in each state, the queue, and the newest calls with their reasons."""
    with open_storage_migrated() as storage:
        overview = _overview(storage, state, limit)
    if as_json:
        print(json.dumps(overview.as_json(), indent=2))
        return
    for line in overview.lines():
        console.print(line, highlight=False, soft_wrap=isinstance(line, Text))


@dataclass(frozen=True, slots=True)
class StatusOverview:
    """Everything that `status` shows; `warnings` and `unjudged` are remarks by call id."""

    counts: Mapping[CallState, int]
    lanes: Sequence["LaneView"]
    outages: Sequence[OutageStatus]
    records: Sequence[CallSummary]
    warnings: Mapping[str, str]
    unjudged: Mapping[str, str]
    unjudged_counts: UnjudgedCounts
    missing_requirement: str | None
    more: int
    staleness: Staleness | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the overview as plain types."""
        calls = [
            record_as_json(record)
            | {
                "doubt": self.warnings.get(record.call_id),
                "unjudged": self.unjudged.get(record.call_id),
            }
            for record in self.records
        ]
        return {
            "counts": self.counts,
            "waiting": [lane.as_json() for lane in self.lanes],
            "calls": calls,
            "more": max(self.more, 0),
            "away": [outage_as_json(outage) for outage in self.outages],
            "recogniser": _recogniser_as_json(settings()),
            "engines_lack": self.missing_requirement,
            "unjudged": unjudged_as_json(self.unjudged_counts),
            "on_an_older_list": self.staleness.calls if self.staleness else 0,
        }

    def lines(self) -> Iterator[RenderableType]:
        """Yield what the terminal shows, line by line."""
        yield counts_line(self.counts)
        yield recogniser_line(settings())
        if self.missing_requirement:
            yield Text(f"calls can't be processed: {self.missing_requirement}", style="red")
        yield from map(lane_line, self.lanes)
        yield from map(outage_line, self.outages)
        if line := unjudged_line(self.unjudged_counts):
            yield line
        if self.staleness and self.staleness.calls:
            yield Text(self.staleness.describe(), style="yellow")
        if self.records:
            yield status_table(self.records, self.warnings, self.unjudged)
        if self.more > 0:
            yield f"and {self.more} more; use --limit to list them"


def _overview(storage: Storage, states: Sequence[CallState] | None, limit: int) -> StatusOverview:
    counts = storage.ledger.count()
    records = storage.ledger.calls(states=states, limit=limit)
    ids = [record.call_id for record in records]
    return StatusOverview(
        counts=counts,
        lanes=lane_views(storage),
        outages=storage.outages.all(),
        records=records,
        warnings=transcript_warnings(storage, ids),
        unjudged=unjudged_mentions(storage, ids),
        unjudged_counts=storage.unjudged.count(),
        missing_requirement=missing_requirement(settings()),
        more=sum(counts.get(s, 0) for s in set(states or CallState)) - len(records),
        staleness=count_stale(storage.catalogs, storage.rematches),
    )


def show(
    call: Annotated[
        str, typer.Argument(metavar="CALL", help="A call's id, its beginning, or a file's name.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show one call: state, transcript, competitor mentions and sentiment."""
    with open_storage_migrated() as storage:
        record = storage.ledger.find(call)
        name_calls([record.call_id])
        document = call_document(storage, record)
    if as_json:
        print(json.dumps(document, indent=2))
        return
    for part in present.call_page(document):
        console.print(part, highlight=False)


WORDLESS = "transcripts contain no words"
UNRELIABLE = "transcript is unreliable"
RARE = frozenset({CallState.DUPLICATE, CallState.ERASED})
"""States that are listed only if calls are in them."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """Backlog of a lane, with the times of the first and the last delayed attempt."""

    waiting: LaneBacklog
    first_at: datetime | None = None
    last_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        times = {"next_try_at": self.first_at, "last_try_at": self.last_at}
        return asdict(self.waiting) | {n: at and at.isoformat() for n, at in times.items()}


def lane_views(storage: Storage) -> list[LaneView]:
    """Return the lanes that have waiting calls."""
    times = storage.calls.next_attempts()
    return [
        LaneView(backlog, *times.get(backlog.lane, (None, None)))
        for backlog in storage.queue.backlog()
    ]


def transcript_warnings(storage: Storage, call_ids: Sequence[str]) -> dict[str, str]:
    """Return a warning for each of these calls whose transcripts are empty or can't be trusted."""
    found = storage.calls.untrusted_transcripts(call_ids)
    return {call_id: "; ".join(_warnings(doubts)) for call_id, doubts in found.items()}


def _warnings(doubts: TranscriptDoubts) -> Iterator[str]:
    if doubts.is_wordless:
        yield WORDLESS
    elif doubts.is_unreliable:
        yield UNRELIABLE
    if doubts.unheard_s:
        yield f"{doubts.unheard_s:.0f} s of speech without words"


def unjudged_mentions(storage: Storage, call_ids: Sequence[str]) -> dict[str, str]:
    """Return, for each call with unjudged mentions, how many there are and the first reason."""
    missing = storage.unjudged.of_calls(call_ids)
    counts = Counter(one.call_id for one in missing)
    first = {one.call_id: one.reason for one in reversed(missing)}
    return {
        call_id: f"{_mentions(count)} not judged: {first[call_id]}"
        for call_id, count in counts.items()
    }


def unjudged_as_json(counts: UnjudgedCounts) -> dict[str, Any]:
    """Return the counts as plain types."""
    document = asdict(counts)
    next_at = document.pop("next_at")
    return document | {"next_try_at": next_at and next_at.isoformat()}


def unjudged_line(counts: UnjudgedCounts) -> Text | None:
    """Summarise unjudged mentions; None if there are none."""
    said: list[str] = []
    if counts.waiting and counts.next_at:
        at = moment(counts.next_at)
        said.append(
            f"{_mentions(counts.waiting)} in {_calls(counts.waiting_calls)} waiting for another "
            f"judgement, the first at {at}"
        )
    if counts.given_up:
        said.append(
            f"{_mentions(counts.given_up)} in {_calls(counts.given_up_calls)} couldn't be judged; "
            "run `callpipeline retry CALL` to try again"
        )
    return Text("; ".join(said), style="yellow") if said else None


def _mentions(count: int) -> str:
    return "1 mention" if count == 1 else f"{count:,} mentions"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"


def counts_line(counts: Mapping[CallState, int]) -> Text:
    """Return the number of calls in each state, including zeros for the main states."""
    shown = [state for state in CallState if counts.get(state) or state not in RARE]
    return Text("   ").join(Text(f"{counts.get(s, 0)} {s}", style=COLOURS[s]) for s in shown)


def lane_line(lane: LaneView) -> Text:
    """Describe the backlog of a lane."""
    waiting = lane.waiting
    line = f"lane {waiting.lane}: {waiting.calls} waiting"
    if waiting.oldest_s is not None:
        line += f", the oldest for {clock(waiting.oldest_s)}"
    if lane.first_at and lane.last_at:
        first, last = moment(lane.first_at), moment(lane.last_at)
        until = first if first == last else f"{first} to {last}"
        line += f"; {waiting.delayed} of them for the next attempt at {until}"
    return Text(line, style="yellow")


def outage_line(outage: OutageStatus) -> Text:
    """Describe an outage and its next probe."""
    is_due = outage.retry_at <= datetime.now(UTC)
    probe = "with the next call" if is_due else f"at {moment(outage.retry_at)}"
    line = f"{outage.service} unavailable since {moment(outage.since)}, next attempt {probe}; "
    return Text(f"{line}waiting calls continue automatically: {outage.reason}", style="red")


def outage_as_json(outage: OutageStatus) -> dict[str, Any]:
    times = {"since": outage.since.isoformat(), "retry_at": outage.retry_at.isoformat()}
    return {"service": outage.service, "reason": outage.reason, "calls": outage.calls} | times


def recogniser_line(options: Settings) -> Text:
    """Describe the chosen recogniser and why it was chosen."""
    chosen = choose_recogniser(options)
    return Text(f"recogniser: {chosen} ({chosen.reason})", style="dim")


def _recogniser_as_json(options: Settings) -> dict[str, Any]:
    chosen = choose_recogniser(options)
    return asdict(chosen) | {"word_errors": chosen.word_errors}


def status_table(
    records: Sequence[CallSummary],
    transcript_warnings: Mapping[str, str],
    unjudged_mentions: Mapping[str, str],
) -> Table:
    """Return the table of calls, with transcript warnings and unjudged mentions by call id."""
    table = grid("call", "recording", "length", "state", "stages", "reason")
    for record in records:
        table.add_row(
            record.call_id,
            printable(PurePosixPath(record.key).name),
            clock(record.duration_s),
            coloured(record.state),
            f"{len(record.stages)}/{len(Stage)}",
            printable(
                "; ".join(
                    _remarks(
                        record,
                        transcript_warnings.get(record.call_id),
                        unjudged_mentions.get(record.call_id),
                    )
                )
            ),
        )
    return table


def _remarks(record: CallSummary, *others: str | None) -> Iterator[str]:
    """Yield remarks on a call besides its state."""
    if record.duplicate_of:
        yield f"same recording as {record.duplicate_of}"
    if record.error_message:
        yield record.error_message
    if record.next_attempt_at and record.next_attempt_at > datetime.now(UTC):
        yield f"next attempt at {moment(record.next_attempt_at)}"
    yield from filter(None, others)
    if not record.error_message:
        yield from (flag.detail for flag in record.flags)
