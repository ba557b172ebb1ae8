"""Status of a call: its row in lists and the header of its page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlencode

from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.pipeline.notifications.composing import Links
from callpipeline.storage.objects import keys
from callpipeline.storage.ports.calls import CallSummary
from callpipeline.storage.reading.calls import CallReader, TrackedCall
from callpipeline.web.live.watch import CallFragments, Fragment, fragment
from callpipeline.web.pages.rendering import render_fragment
from callpipeline.web.problems import advice

STATE_LABELS: Mapping[CallState, str] = {
    CallState.PENDING: "Queued",
    CallState.PROCESSING: "Processing",
    CallState.COMPLETED: "Completed",
    CallState.FAILED: "Failed",
    CallState.DUPLICATE: "Duplicate",
    CallState.ERASED: "Erased",
}
FAILURES: Mapping[str, str] = {
    Stage.CHANNEL_AUDIO: "Couldn't split the recording into speakers:",
    Stage.CALL_METRICS: "Couldn't measure talk time:",
    Stage.TRANSCRIPTS: "Couldn't transcribe the call:",
    Stage.COMPETITOR_MENTIONS: "Couldn't find competitor mentions:",
    Stage.COMPETITOR_SENTIMENT: "Couldn't determine sentiment:",
    "run": "The processing run failed:",
}
"""Introduce the reason, by the stage that the ledger records."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """Status of a call in words.

    `retry_at` is the next attempt of a queued call. `queue_position`, `time_left` and `run_url`
    are None where they are unknown or do not apply.
    """

    call: CallSummary
    file_name: str
    folder: str
    label: str
    percentage: int
    step: str
    advice: str | None
    retry_at: datetime | None
    queue_position: str | None
    time_left: str | None
    run_url: str | None
    partition_url: str

    @property
    def is_open(self) -> bool:
        return not self.call.state.is_final

    @property
    def title(self) -> str:
        return "Erased call" if self.call.state is CallState.ERASED else self.file_name

    @property
    def shows_progress(self) -> bool:
        return self.is_open and (self.call.state is CallState.PROCESSING or self.percentage > 0)

    @property
    def failure(self) -> str:
        """Return the sentence that introduces the error message."""
        failure = FAILURES.get(self.call.error_stage or "", "Processing failed:")
        is_final = self.call.state is CallState.FAILED
        return failure if is_final else f"Last attempt failed. {failure}"

    @property
    def may_retry_help(self) -> bool:
        """Return false if the advice is to do something else, as for a file that is not audio."""
        return self.retry_at is not None or "retry" in (self.advice or "").lower()

    @property
    def can_retry(self) -> bool:
        return self.call.state is CallState.FAILED or self.retry_at is not None


def status_view(followed: TrackedCall, links: Links, now: datetime | None = None) -> StatusView:
    call, now = followed.call, now or datetime.now(UTC)
    is_backing_off = call.state is CallState.PENDING and (call.next_attempt_at or now) > now
    progress, left_s = call.progress, followed.estimate.done_in_s
    return StatusView(
        call=call,
        file_name=call.file_name or call.key,
        folder=keys.source_folder(call.key),
        label=STATE_LABELS[call.state],
        percentage=progress.percentage,
        step=progress.step[:1].upper() + progress.step[1:],
        advice=advice(call.error_class) if call.state is CallState.FAILED else None,
        retry_at=call.next_attempt_at if is_backing_off else None,
        queue_position=_queue_position(followed.estimate.position),
        time_left=None if left_s is None else _time_left(left_s),
        run_url=links.run(followed.run_id) if followed.run_id else None,
        partition_url=links.partition(call.call_id, call.error_stage),
    )


def _queue_position(position: int | None) -> str | None:
    if position is None:
        return None
    return "Next in queue" if position == 1 else f"No. {position:,} in queue"


def _time_left(seconds: float) -> str:
    """Round coarsely: estimates are rough, and the text should not change all the time."""
    if seconds < 45:
        return "less than a minute left"
    minutes = round(seconds / 60)
    if minutes < 55:
        rounded = max(1, minutes if minutes < 10 else round(minutes / 5) * 5)
        return f"about {rounded} {'minute' if rounded == 1 else 'minutes'} left"
    hours = round(seconds / 3600)
    return f"about {hours} {'hour' if hours <= 1 else 'hours'} left"


def row_fragment(status: StatusView) -> Fragment:
    """Render a row of a list."""
    return fragment(render_fragment("calls/row.html", status=status))


def header_fragment(status: StatusView) -> Fragment:
    """Render the header of the call's page."""
    return fragment(render_fragment("call/header.html", status=status))


def call_fragments(status: StatusView) -> CallFragments:
    return CallFragments(row_fragment(status), header_fragment(status), status.call.state.is_final)


@dataclass(frozen=True, slots=True)
class CallHeader:
    """Context of `call/live_header.html`; `stream` is None once the call has ended."""

    status: StatusView
    fragment: Fragment
    stream: str | None


def call_header(followed: TrackedCall, links: Links) -> CallHeader:
    status = status_view(followed, links)
    header = header_fragment(status)
    call_id = followed.call.call_id
    stream = f"/events/calls/{call_id}?mark={header.mark}" if status.is_open else None
    return CallHeader(status, header, stream)


@dataclass(frozen=True, slots=True)
class ListRow:
    """A call in a list."""

    status: StatusView
    fragment: Fragment


def list_rows(calls: Sequence[TrackedCall], links: Links) -> list[ListRow]:
    views = [status_view(call, links) for call in calls]
    return [ListRow(view, row_fragment(view)) for view in views]


def stream_url(path: str, rows: Sequence[ListRow], **params: str) -> str:
    """Return the URL of the event stream for a page that shows these rows."""
    marks = [("row", f"{row.status.call.call_id}.{row.fragment.mark}") for row in rows]
    return f"{path}?{urlencode([*marks, *params.items()])}"


class HasCallId(Protocol):
    """Mention, search hit or anything else inside a call."""

    @property
    def call_id(self) -> str: ...


def calls_by_id(calls: CallReader, items: Iterable[HasCallId]) -> dict[str, CallSummary]:
    """Return the calls that contain these items."""
    return {call.call_id: call for call in calls.by_id({item.call_id for item in items})}
