"""Lists of calls and their progress. No segment is read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

from callpipeline.domain.audio import Channel, Flag, QualityFlag, Speaker
from callpipeline.domain.calls.call import CallState, Lane, Stage, Throughput, estimate_remaining_s
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.transcripts import MAX_UNHEARD_S, Segment
from callpipeline.storage.ports.calls import CallSummary, ChannelObjects, CompetitorMentions
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.reading.call_detail import (
    CallDetail,
    SentimentResult,
    load_deletions,
    load_detail,
    load_segments,
    load_sentiment_results,
)
from callpipeline.storage.reading.filtered import (
    ALL,
    decode_cursor,
    encode_cursor,
    resolve_competitors,
    select,
)

LIST = "calls"

SAMPLE_SIZE = 200
"""Number of recent calls that the durations of stages are taken from."""


@dataclass(frozen=True, slots=True)
class CallPage:
    """A page of calls; `after` is the cursor of the next page, None for the last."""

    calls: tuple[CallSummary, ...]
    after: str | None


class TranscriptDoubts(NamedTuple):
    """Reasons to doubt a call's transcripts; `unheard_s` is of channels above the limit only."""

    is_wordless: bool
    is_unreliable: bool
    unheard_s: float


class AttemptTimes(NamedTuple):
    """Due times of the first and the last delayed call of a lane."""

    first_at: datetime
    last_at: datetime


class CallReader:
    """Lists of calls, and single calls with their results."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self,
        filters: CallFilters = ALL,
        *,
        limit: int = 50,
        after: str | None = None,
        skip: int = 0,
    ) -> CallPage:
        """Return a page of calls, newest first, after a cursor or an offset.

        With a cursor no call is repeated or missed while new ones arrive. Raises CursorInvalid.
        """
        at, call_id = decode_cursor(after, LIST)[:2] if after else (None, None)
        page = {"after_at": at, "after_id": call_id, "limit": limit + 1, "skip": skip}
        resolved = resolve_competitors(self._database, filters)
        rows = select(self._database, "reading/list_calls", resolved, page)
        calls = _summaries(self._database, rows[:limit])
        if len(rows) <= limit or not calls:
            return CallPage(calls, None)
        return CallPage(calls, encode_cursor(LIST, calls[-1].created_at, calls[-1].call_id))

    def count(self, filters: CallFilters = ALL) -> int:
        resolved = resolve_competitors(self._database, filters)
        [row] = select(self._database, "reading/count_calls", resolved)
        return row["calls"]

    def by_id(self, call_ids: Iterable[str]) -> tuple[CallSummary, ...]:
        """Return these calls, newest first, including erased ones; unknown ids are left out."""
        return summaries_by_id(self._database, call_ids)

    def find(self, call_id: str) -> CallDetail | None:
        """Return everything about a call but its text, or None if the id is unknown."""
        summaries = self.by_id([call_id])
        return load_detail(self._database, summaries[0]) if summaries else None

    def segments(self, call_id: str) -> tuple[Segment, ...]:
        """Return the segments of a call in order of time, without words."""
        return load_segments(self._database, call_id)

    def deletions(self, call_id: str) -> dict[Stage, datetime]:
        """Return when retention deleted stages; those that are stored are left out."""
        return load_deletions(self._database, call_id)

    def untrusted_transcripts(self, call_ids: Collection[str]) -> dict[str, TranscriptDoubts]:
        """Return the calls whose transcripts are unreliable, incomplete or empty, with reasons."""
        wanted = {"call_ids": [*call_ids], "max_unheard_s": MAX_UNHEARD_S}
        rows = self._database.rows("results/untrusted_transcripts", wanted)
        return {row.pop("call_id"): TranscriptDoubts(**row) for row in rows}

    def next_attempts(self) -> dict[Lane, AttemptTimes]:
        """Return when the first and the last delayed call of each lane are due."""
        rows = self._database.rows("calls/next_attempts")
        return {Lane(row.pop("lane")): AttemptTimes(**row) for row in rows}

    def sentiment_results(
        self, call_ids: Sequence[str]
    ) -> Mapping[str, tuple[SentimentResult, ...]]:
        """Return the judged mentions of calls in the shape of the API, by call."""
        return load_sentiment_results(self._database, call_ids)


def summaries_by_id(database: Database, call_ids: Iterable[str]) -> tuple[CallSummary, ...]:
    """Return these calls, newest first, including erased ones; unknown ids are left out."""
    rows = database.rows("reading/calls_by_id", {"call_ids": list(call_ids)})
    return _summaries(database, rows)


def _summaries(database: Database, rows: Sequence[Row]) -> tuple[CallSummary, ...]:
    """Add competitors and channels with two more queries, whatever the number of calls."""
    if not rows:
        return ()
    ids = {"call_ids": [row["call_id"] for row in rows]}
    competitors = _by_call(database.rows("reading/competitors_of_calls", ids))
    channels = _by_call(database.rows("reading/list_channels", ids))
    return tuple(
        _summary(row, competitors.get(row["call_id"], []), channels.get(row["call_id"], []))
        for row in rows
    )


def _by_call(rows: Iterable[Row]) -> dict[str, list[Row]]:
    return {call_id: [*group] for call_id, group in groupby(rows, key=lambda row: row["call_id"])}


def _summary(row: Row, competitors: Sequence[Row], channels: Sequence[Row]) -> CallSummary:
    typed: dict[str, Any] = {
        "state": CallState(row["state"]),
        "lane": Lane(row["lane"]),
        "stages": tuple(Stage(stage) for stage in row["stages"]),
        "flags": tuple(map(_flag, row["flags"])),
        "competitors": tuple(_competitors(competitors)),
        "channels": tuple(map(_channel, channels)),
    }
    return CallSummary(**(row | typed))


def _flag(flag: Row) -> QualityFlag:
    channel = flag["channel"]
    return QualityFlag(Flag(flag["flag"]), flag["detail"], Channel(channel) if channel else None)


def _channel(row: Row) -> ChannelObjects:
    channel, speaker = Channel(row["channel"]), Speaker(row["speaker"])
    return ChannelObjects(channel, speaker, row["object_key"], row["transcript_key"])


def _competitors(rows: Sequence[Row]) -> Iterable[CompetitorMentions]:
    """Rows are in order of time, so the first of each competitor has its first mention."""
    for competitor in dict.fromkeys(row["competitor"] for row in rows):
        own = [row for row in rows if row["competitor"] == competitor]
        mentions = {
            (Speaker(row["speaker"]), MentionSentiment(row["stance"])): int(row["mentions"])
            for row in own
        }
        yield CompetitorMentions(competitor, mentions, own[0]["first_s"])


@dataclass(frozen=True, slots=True)
class QueueEstimate:
    """Queue position (1 is next) and estimated seconds until a call is done; None if unknown."""

    position: int | None
    done_in_s: float | None


NO_ESTIMATE = QueueEstimate(None, None)


@dataclass(frozen=True, slots=True)
class CallChange:
    """Change marker of a call: a different `mark` means that the call may have changed.

    `is_new` marks the newest calls.
    """

    call_id: str
    mark: str
    is_open: bool
    is_new: bool


@dataclass(frozen=True, slots=True)
class TrackedCall:
    """A call with its estimate and the run that claimed it or stored its last stage."""

    call: CallSummary
    estimate: QueueEstimate = NO_ESTIMATE
    run_id: str | None = None


class CallTracker:
    """Reads what lists and the header of a call's page show of calls in progress."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def changes(self, call_ids: Collection[str], *, newest: int) -> list[CallChange]:
        """Return the markers of these calls and the newest ones, newest first, by one query."""
        parameters = {"call_ids": list(call_ids), "newest": newest}
        rows = self._database.rows("reading/list_changes", parameters)
        return [CallChange(r["call_id"], r["mark"], r["is_open"], r["is_new"]) for r in rows]

    def by_id(self, call_ids: Collection[str]) -> list[TrackedCall]:
        """Return these calls, newest first; unknown ids are left out."""
        return self.track(summaries_by_id(self._database, call_ids)) if call_ids else []

    def track(self, calls: Sequence[CallSummary]) -> list[TrackedCall]:
        """Add estimates and runs to calls, in the order given."""
        if not calls:
            return []
        estimates = self.estimates(calls)
        ids = {"call_ids": [call.call_id for call in calls]}
        rows = self._database.rows("reading/runs_of_calls", ids)
        runs = {row["call_id"]: row["run_id"] for row in rows}
        return [
            TrackedCall(call, estimates.get(call.call_id, NO_ESTIMATE), runs.get(call.call_id))
            for call in calls
        ]

    def estimates(
        self, calls: Iterable[CallSummary], *, now: datetime | None = None
    ) -> Mapping[str, QueueEstimate]:
        """Return the estimates of those calls that have not ended, with one query of the queue."""
        open_calls = [call for call in calls if not call.state.is_final]
        if not open_calls:
            return {}
        pending = [call.call_id for call in open_calls if call.state is CallState.PENDING]
        ids = {"call_ids": pending}
        rows = self._database.rows("reading/queue_positions", ids) if pending else []
        ahead = {row["call_id"]: int(row["ahead"]) for row in rows}
        recent, now = self._throughput(), now or datetime.now(UTC)
        return {c.call_id: _estimate(c, ahead.get(c.call_id), recent, now) for c in open_calls}

    def _throughput(self) -> Throughput:
        sample = {"stages": [str(stage) for stage in Stage], "recent": SAMPLE_SIZE}
        rows = self._database.rows("reading/throughput", sample)
        took_s = {Stage(row["stage"]): float(row["took_s"]) for row in rows}
        return Throughput(rows[0]["ended"] if rows else 0, took_s)


def _estimate(
    call: CallSummary, ahead: int | None, recent: Throughput, now: datetime
) -> QueueEstimate:
    if call.unavailable_service and ahead is None:
        return NO_ESTIMATE  # unknown until the service is available
    due_at = call.next_attempt_at or now
    waits_s = max((due_at - now).total_seconds(), 0.0)
    done_in_s = estimate_remaining_s(
        call.state, call.stages, recent, ahead=ahead or 0, waits_s=waits_s
    )
    return QueueEstimate(None if ahead is None else ahead + 1, done_in_s)
