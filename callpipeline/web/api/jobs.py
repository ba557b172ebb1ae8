"""`/jobs`: calls with their state and results, in the old system's format with extensions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.calls.legacy import IMPORTED_BUCKET
from callpipeline.http_server.responses import etag_response
from callpipeline.storage.ports.calls import CallSummary, ChannelObjects
from callpipeline.storage.reading.call_detail import SentimentResult, StoredTranscripts
from callpipeline.storage.reading.calls import QueueEstimate
from callpipeline.web import legacy_format
from callpipeline.web.access import Scope, visitor_of
from callpipeline.web.filters import QueryFilters
from callpipeline.web.problems import problems
from callpipeline.web.state import AppState, State, resolve_call_id

job_router = APIRouter(tags=["jobs"])
read_router = APIRouter(tags=["jobs"])
write_router = APIRouter(tags=["jobs"])

NO_RECORDING = (
    "This call was imported from another system, without its recording. Upload the recording."
)

JobStatusName = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED"]

JobId = Annotated[str, Path(description="The call's id, or its UUID.")]


REDACTED: Mapping[str, Any] = {
    "left_channel_url": None,
    "right_channel_url": None,
    "left_transcript_path": None,
    "right_transcript_path": None,
    "competitors_found": [],
    "current_step": "",
    "total_competitors": 0,
    "completed_competitors": 0,
}
"""Fields that reveal the content of a call, as shown to visitors without scope READ."""


class JobSentiment(BaseModel):
    """Sentiment of a mention, with its segment; times are in seconds."""

    id: str
    job_id: str
    competitor_name: str
    segment_text: str
    sentiment: str
    detection_method: str
    detection_details: str
    segment_id: int
    start_time: float
    end_time: float
    context: str
    created_at: datetime | None


class Job(BaseModel):
    """A call. A duplicate has the results of the original call, `duplicate_of`.

    `left_channel_url` is relative to this server; `left_transcript_path` is for
    `/storage/download`. A mono recording has its channel on the left. `queue_place` is 1 for the
    next call; `done_in_s` is an estimate from recent calls. `uuid` identifies the call as well, in
    the form of the old system.
    """

    id: str
    call_id: str
    uuid: str
    filename: str
    status: JobStatusName
    error_message: str | None
    left_channel_url: str | None
    right_channel_url: str | None
    left_transcript_path: str | None
    right_transcript_path: str | None
    competitors_found: list[str]
    current_step: str
    progress_percentage: Annotated[int, Field(ge=0, le=100)]
    total_competitors: int
    completed_competitors: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    sentiment_results: list[JobSentiment]
    duplicate_of: str | None
    agent: str | None
    took_place_at: datetime
    duration_s: float | None
    error_class: str | None
    next_try_at: datetime | None
    queue_place: int | None
    done_in_s: float | None


class JobPage(BaseModel):
    """Jobs, newest first; `next` is the `after` of the next page, null on the last one."""

    total: int
    jobs: list[Job]
    next: str | None


class RetryResult(BaseModel):
    """`retried` is false if the call has neither failed nor waits for its next attempt."""

    job_id: str
    retried: bool


@read_router.get("/jobs", responses=problems(422), response_model=JobPage)
def jobs(  # noqa: PLR0913, PLR0917 (one for each query parameter)
    request: Request,
    state: State,
    filters: QueryFilters,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(description="`next` of the previous page.")] = None,
    with_sentiment: Annotated[
        bool, Query(description="Include `sentiment_results`, which lists omit by default.")
    ] = False,
) -> Response:
    """List calls, newest first; erased ones are omitted.

    Page with `after` rather than `skip`: it can't miss a call.
    """
    page = state.storage.calls.list(filters, limit=limit, after=after, skip=skip)
    total = state.storage.calls.count(filters)
    shown = list_jobs(state, page.calls, with_sentiment=with_sentiment)
    document = JobPage(total=total, jobs=shown, next=page.after)
    if state.options.web_is_legacy:
        converted = legacy_jobs(shown)
        return legacy_format.etag_json_response(
            request, {"total": total, "jobs": converted, "next": page.after}
        )
    return etag_response(request, document.model_dump_json().encode())


@job_router.get("/jobs/{job_id}", responses=problems(404), response_model=Job)
def job(request: Request, state: State, job_id: JobId) -> Response:
    """Return a call. 404 if it doesn't exist or was erased.

    Visitors who may upload but not read see its progress, but no results.
    """
    visitor = visitor_of(request)
    may_read = visitor is not None and visitor.may(Scope.READ)
    [found] = list_jobs(state, [_find_job(state, job_id)], with_sentiment=may_read)
    if not may_read:
        found = found.model_copy(update=REDACTED)
    if state.options.web_is_legacy:
        return legacy_format.etag_json_response(request, *legacy_jobs([found]))
    return etag_response(request, found.model_dump_json().encode())


@write_router.post(
    "/jobs/{job_id}/retry",
    responses=problems(404, 409),
    status_code=202,
    response_model=RetryResult,
)
def retry(state: State, job_id: JobId) -> Any:
    """Retry a call that failed, or that waits for its next attempt; stored stages are kept.

    409: the call was imported from another system, without its recording.
    """
    call = _find_job(state, job_id)
    if call.source == IMPORTED_BUCKET:
        raise HTTPException(409, NO_RECORDING)
    retried = call.call_id in state.storage.ledger.retry([call.call_id])
    result = RetryResult(job_id=call.call_id, retried=retried)
    if state.options.web_is_legacy:
        document = legacy_format.retried_document(result.model_dump(), call.job_uuid)
        return JSONResponse(document, 202)
    return result


def legacy_jobs(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return jobs in the old system's format."""
    return [legacy_format.job_document(each.model_dump(mode="json")) for each in jobs]


def _find_job(state: State, job_id: str) -> CallSummary:
    call_id = resolve_call_id(state, job_id)
    found = state.storage.calls.by_id([call_id]) if call_id else ()
    if not found:
        raise HTTPException(404, "Call not found. It may have been deleted.")
    if found[0].state is CallState.ERASED:
        raise HTTPException(404, "This call was erased.")
    return found[0]


def list_jobs(state: AppState, calls: Sequence[CallSummary], *, with_sentiment: bool) -> list[Job]:
    by_id = _originals(state, calls)
    originals = [by_id.get(call.duplicate_of or "", call) for call in calls]
    ids = [original.call_id for original in originals]
    sentiment = state.storage.calls.sentiment_results(ids) if with_sentiment else {}
    estimates = state.tracker.estimates(originals)
    jobs = [
        _job(
            call,
            original,
            sentiment.get(original.call_id, ()),
            estimates.get(original.call_id),
        )
        for call, original in zip(calls, originals, strict=True)
    ]
    return [_with_imported_transcripts(state, *each) for each in zip(calls, jobs, strict=True)]


def _with_imported_transcripts(state: AppState, call: CallSummary, job: Job) -> Job:
    """Add the paths of transcripts to an imported call, which has no channels."""
    if call.source != IMPORTED_BUCKET or Stage.TRANSCRIPTS not in call.stages:
        return job
    found = StoredTranscripts(state.storage.database).list_old(limit=2, call_id=call.call_id)
    sides = {"left_transcript_path": "/left_", "right_transcript_path": "/right_"}
    paths = {name: next((t.key for t in found if s in t.path), None) for name, s in sides.items()}
    return job.model_copy(update=paths)


def _originals(state: State, calls: Iterable[CallSummary]) -> Mapping[str, CallSummary]:
    """Return the originals of those calls that are duplicates."""
    ids = {call.duplicate_of for call in calls if call.duplicate_of}
    return {call.call_id: call for call in state.storage.calls.by_id(ids)}


def _job(
    call: CallSummary,
    original: CallSummary,
    sentiment: Iterable[SentimentResult],
    estimate: QueueEstimate | None,
) -> Job:
    """Return the call with the results of its original, which is the call itself if unique."""
    status, reason = _status(original)
    return Job(
        id=call.call_id,
        call_id=call.call_id,
        uuid=call.job_uuid,
        filename=call.file_name,
        status=status,
        error_message=reason,
        **_channel_fields(original),
        competitors_found=list(original.competitors_found),
        current_step=original.progress.step,
        progress_percentage=original.progress.percentage,
        total_competitors=original.total_competitors,
        completed_competitors=original.completed_competitors,
        created_at=call.created_at,
        updated_at=max(call.updated_at, original.updated_at),
        completed_at=original.completed_at,
        sentiment_results=[
            JobSentiment.model_validate(each, from_attributes=True) for each in sentiment
        ],
        duplicate_of=call.duplicate_of,
        agent=call.agent,
        took_place_at=call.took_place_at,
        duration_s=original.duration_s,
        error_class=original.error_class,
        next_try_at=original.next_attempt_at,
        queue_place=estimate and estimate.position,
        done_in_s=estimate and estimate.done_in_s,
    )


def _channel_fields(original: CallSummary) -> dict[str, str | None]:
    """Return the two channels of the contract; of more than two, the first ones."""
    channels = {channel.channel: channel for channel in original.channels}
    first, second = Channel("1"), Channel("2")
    left = next((channels[c] for c in (Channel.LEFT, Channel.MIXED, first) if c in channels), None)
    right = channels.get(Channel.RIGHT) or channels.get(second)
    return {
        "left_channel_url": left and _audio_url(original, left),
        "right_channel_url": right and _audio_url(original, right),
        "left_transcript_path": left and left.transcript_key,
        "right_transcript_path": right and right.transcript_key,
    }


def _audio_url(original: CallSummary, channel: ChannelObjects) -> str:
    return f"/calls/{original.call_id}/audio.wav?channel={channel.channel}"


def _status(original: CallSummary) -> tuple[JobStatusName, str | None]:
    """Map to the contract's states, which exclude duplicates and erased calls."""
    match original.state:
        case CallState.DUPLICATE:
            return "FAILED", "The original call no longer exists."
        case CallState.ERASED:
            return "FAILED", "The original call was erased."
        case state:
            return state.value, original.error_message
