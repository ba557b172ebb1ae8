"""What `status` tells: how many calls there are, who waits until when, what is doubtful."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from rich.table import Table
from rich.text import Text

from callpipeline.cli.present import COLOURS, clock, coloured, grid, moment, printable
from callpipeline.config import Settings
from callpipeline.domain.call import CallState, Stage
from callpipeline.storage.ledger import CallRecord
from callpipeline.storage.outages import KnownOutage
from callpipeline.storage.queue import Waiting
from callpipeline.storage.unjudged import MissingCounts
from callpipeline.wiring import Storage, choose_recogniser

WORDLESS = "no words in its transcripts"
UNRELIABLE = "its transcript is unreliable"
RARE = frozenset({CallState.DUPLICATE, CallState.ERASED})
"""States that are counted only where there are such calls."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """What waits in a lane; of calls that wait for their next try, when the first and last may."""

    waiting: Waiting
    first_at: datetime | None = None
    last_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        times = {"next_try_at": self.first_at, "last_try_at": self.last_at}
        return asdict(self.waiting) | {n: at and at.isoformat() for n, at in times.items()}


def lanes(storage: Storage) -> list[LaneView]:
    """The lanes in which calls wait."""
    tries = {row["lane"]: row for row in storage.database.rows("calls/next_tries")}
    views: list[LaneView] = []
    for waiting in storage.queue.waiting():
        found = tries.get(waiting.lane, {})
        views.append(LaneView(waiting, found.get("first_at"), found.get("last_at")))
    return views


def doubts(storage: Storage, call_ids: Sequence[str]) -> dict[str, str]:
    """Why the transcripts of some of these calls are not to be trusted."""
    rows = storage.database.rows("results/doubtful", {"call_ids": list(call_ids)})
    return {row["call_id"]: WORDLESS if row["is_wordless"] else UNRELIABLE for row in rows}


def unjudged(storage: Storage, call_ids: Sequence[str]) -> dict[str, str]:
    """How many mentions of some of these calls are not judged, and why the first is not."""
    missing = storage.unjudged.of_calls(call_ids)
    counts = Counter(one.call_id for one in missing)
    first = {one.call_id: one.reason for one in reversed(missing)}
    return {
        call_id: f"{_mentions(count)} not judged: {first[call_id]}"
        for call_id, count in counts.items()
    }


def unjudged_as_json(counts: MissingCounts) -> dict[str, Any]:
    """The same in plain types, with `next_try_at`."""
    document = asdict(counts)
    next_at = document.pop("next_at")
    return document | {"next_try_at": next_at and next_at.isoformat()}


def unjudged_line(counts: MissingCounts) -> Text | None:
    """What waits to be judged, and what will not be; None where all is judged."""
    said: list[str] = []
    if counts.waiting and counts.next_at:
        at = moment(counts.next_at)
        said.append(
            f"{_mentions(counts.waiting)} of {_calls(counts.waiting_calls)} to be judged "
            f"again, the first at {at}"
        )
    if counts.given_up:
        said.append(
            f"{_mentions(counts.given_up)} of {_calls(counts.given_up_calls)} could not be "
            "judged: `callpipeline retry CALL` tries again"
        )
    return Text("; ".join(said), style="yellow") if said else None


def _mentions(count: int) -> str:
    return "1 mention" if count == 1 else f"{count:,} mentions"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"


def counts_line(counts: Mapping[CallState, int]) -> Text:
    """All states with their numbers, also those without a call."""
    shown = [state for state in CallState if counts.get(state) or state not in RARE]
    return Text("   ").join(Text(f"{counts.get(s, 0)} {s}", style=COLOURS[s]) for s in shown)


def lane_line(lane: LaneView) -> Text:
    """What waits in a lane, and until when."""
    waiting = lane.waiting
    line = f"lane {waiting.lane}: {waiting.calls} wait"
    if waiting.oldest_s is not None:
        line += f", the oldest for {clock(waiting.oldest_s)}"
    if lane.first_at and lane.last_at:
        first, last = moment(lane.first_at), moment(lane.last_at)
        until = first if first == last else f"{first} to {last}"
        line += f"; {waiting.later} of them for their next try, at {until}"
    return Text(line, style="yellow")


def outage_line(outage: KnownOutage) -> Text:
    """A service that is away, and until when nobody asks it."""
    is_due = outage.again_at <= datetime.now(UTC)
    again = "by the next call" if is_due else f"at {moment(outage.again_at)}"
    told = f"{outage.service} is away since {moment(outage.since)}, tried again {again}, and calls "
    return Text(f"{told}that wait for it go on by themselves: {outage.reason}", style="red")


def outage_as_json(outage: KnownOutage) -> dict[str, Any]:
    times = {"since": outage.since.isoformat(), "again_at": outage.again_at.isoformat()}
    return {"service": outage.service, "reason": outage.reason, "calls": outage.calls} | times


def recogniser_line(options: Settings) -> Text:
    """Who hears the calls, and why."""
    chosen = choose_recogniser(options)
    return Text(f"recogniser: {chosen.name} ({chosen.why})", style="dim")


def status_table(
    records: Sequence[CallRecord], doubts: Mapping[str, str], unjudged: Mapping[str, str]
) -> Table:
    """The calls; `doubts` says of some what is wrong with their transcripts, `unjudged` which
    mentions have no judgement."""
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
                    _remarks(record, doubts.get(record.call_id), unjudged.get(record.call_id))
                )
            ),
        )
    return table


def _remarks(record: CallRecord, *others: str | None) -> Iterator[str]:
    """What a person wants to know of a call besides its state."""
    if record.duplicate_of:
        yield f"the same recording as {record.duplicate_of}"
    if record.error_message:
        yield record.error_message
    if record.not_before and record.not_before > datetime.now(UTC):
        yield f"next try at {moment(record.not_before)}"
    yield from filter(None, others)
    if not record.error_message:
        yield from (flag["detail"] for flag in record.flags)
