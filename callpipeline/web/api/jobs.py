"""`/jobs`: calls as the old system's users ask for them, and more of each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, Field

from callpipeline.domain.audio import Channel
from callpipeline.domain.call import CallState
from callpipeline.domain.call_ids import is_call_id
from callpipeline.storage.reading.calls import CallRow, ChannelKept
from callpipeline.storage.reading.one_call import SentimentResult
from callpipeline.storage.reading.waiting import Outlook
from callpipeline.web.access import Scope, visitor_of
from callpipeline.web.etags import tagged
from callpipeline.web.filters import Asked
from callpipeline.web.opened import Here
from callpipeline.web.problems import problems

router = APIRouter(tags=["jobs"])
reading = APIRouter(tags=["jobs"])
changing = APIRouter(tags=["jobs"])

Status = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED"]

JobId = Annotated[str, Path(description="The call's id.")]


UNTOLD: Mapping[str, Any] = {
    "left_channel_url": None,
    "right_channel_url": None,
    "left_transcript_path": None,
    "right_transcript_path": None,
    "competitors_found": [],
    "current_step": "",
    "total_competitors": 0,
    "completed_competitors": 0,
}
"""What a job tells of the words of its call, in place of that: steps name competitors too."""


class Sentence(BaseModel):
    """A mention that is judged, with the segment it was said in; times are seconds."""

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
    """A call. A duplicate shows what became of the call that has its bytes, `duplicate_of`.

    `left_channel_url` is below this server; `left_transcript_path` is for `/storage/download`. A
    mono recording has its only channel on the left. `queue_place` is 1 for the call that is taken
    next; `done_in_s` is an estimate from recent calls.
    """

    id: str
    filename: str
    status: Status
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
    sentiment_results: list[Sentence]
    duplicate_of: str | None
    agent: str | None
    took_place_at: datetime
    duration_s: float | None
    error_class: str | None
    next_try_at: datetime | None
    queue_place: int | None
    done_in_s: float | None


class Jobs(BaseModel):
    """Newest first; `next` is for `after`, and null on the last page."""

    total: int
    jobs: list[Job]
    next: str | None


class Retried(BaseModel):
    """Whether the call is tried again; it is not where it has neither failed nor waits."""

    job_id: str
    retried: bool


@reading.get("/jobs", responses=problems(422), response_model=Jobs)
def jobs(  # noqa: PLR0913, PLR0917 (as many as an address has)
    request: Request,
    here: Here,
    filters: Asked,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    with_sentiment: Annotated[
        bool, Query(description="Fill `sentiment_results`, which are empty in lists otherwise.")
    ] = False,
) -> Response:
    """Calls, newest first: by `skip`, or better by `after`, which never misses one.

    Erased calls are not listed.
    """
    page = here.reading.calls(filters, limit=limit, after=after, skip=skip)
    total = here.reading.count(filters)
    shown = _jobs(here, page.calls, with_sentiment=with_sentiment)
    document = Jobs(total=total, jobs=shown, next=page.after)
    return tagged(request, document.model_dump_json().encode())


@router.get("/jobs/{job_id}", responses=problems(404), response_model=Job)
def job(request: Request, here: Here, job_id: JobId) -> Response:
    """One call. 404: there is none, or it was erased.

    Who may upload but not read is told how far it is, and not what was found in it.
    """
    visitor = visitor_of(request)
    may_read = visitor is not None and visitor.may(Scope.READ)
    [found] = _jobs(here, [_known(here, job_id)], with_sentiment=may_read)
    if not may_read:
        found = found.model_copy(update=UNTOLD)
    return tagged(request, found.model_dump_json().encode())


@changing.post("/jobs/{job_id}/retry", responses=problems(404), status_code=202)
def retry(here: Here, job_id: JobId) -> Retried:
    """Try a call again that failed, or waits for its next try; what is stored is kept."""
    call = _known(here, job_id)
    return Retried(job_id=job_id, retried=call.call_id in here.storage.ledger.retry([job_id]))


def _known(here: Here, job_id: str) -> CallRow:
    found = here.reading.rows([job_id]) if is_call_id(job_id) else ()
    if not found:
        raise HTTPException(404, "There is no call with this id.")
    if found[0].state is CallState.ERASED:
        raise HTTPException(404, "This call was erased.")
    return found[0]


def _jobs(here: Here, calls: Sequence[CallRow], *, with_sentiment: bool) -> list[Job]:
    firsts = _firsts(here, calls)
    owners = [firsts.get(call.duplicate_of or "", call) for call in calls]
    ids = [owner.call_id for owner in owners]
    said = here.reading.sentiment_results(ids) if with_sentiment else {}
    ahead = here.reading.outlooks(owners)
    return [
        _job(call, owner, said.get(owner.call_id, ()), ahead.get(owner.call_id))
        for call, owner in zip(calls, owners, strict=True)
    ]


def _firsts(here: Here, calls: Iterable[CallRow]) -> Mapping[str, CallRow]:
    """The calls of which some are duplicates."""
    ids = {call.duplicate_of for call in calls if call.duplicate_of}
    return {call.call_id: call for call in here.reading.rows(ids)}


def _job(
    call: CallRow, owner: CallRow, said: Iterable[SentimentResult], outlook: Outlook | None
) -> Job:
    """The call with the results of the `owner` of its bytes, which is mostly itself."""
    channels = {channel.channel: channel for channel in owner.channels}
    left = channels.get(Channel.LEFT) or channels.get(Channel.MIXED)
    right = channels.get(Channel.RIGHT)
    status, reason = _status(owner)
    return Job(
        id=call.call_id,
        filename=call.file_name,
        status=status,
        error_message=reason,
        left_channel_url=left and _sound(owner, left),
        right_channel_url=right and _sound(owner, right),
        left_transcript_path=left and left.transcript_key,
        right_transcript_path=right and right.transcript_key,
        competitors_found=list(owner.competitors_found),
        current_step=owner.progress.step,
        progress_percentage=owner.progress.percentage,
        total_competitors=owner.total_competitors,
        completed_competitors=owner.completed_competitors,
        created_at=call.created_at,
        updated_at=max(call.updated_at, owner.updated_at),
        completed_at=owner.completed_at,
        sentiment_results=[Sentence.model_validate(each, from_attributes=True) for each in said],
        duplicate_of=call.duplicate_of,
        agent=call.agent,
        took_place_at=call.took_place_at,
        duration_s=owner.duration_s,
        error_class=owner.error_class,
        next_try_at=owner.not_before,
        queue_place=outlook and outlook.place,
        done_in_s=outlook and outlook.done_in_s,
    )


def _sound(owner: CallRow, channel: ChannelKept) -> str:
    return f"/calls/{owner.call_id}/audio.wav?channel={channel.channel}"


def _status(owner: CallRow) -> tuple[Status, str | None]:
    """In the words of the contract, which has no duplicates and nothing erased."""
    match owner.state:
        case CallState.DUPLICATE:
            return "FAILED", "The call that has the same recording is not there any more."
        case CallState.ERASED:
            return "FAILED", "The call that has the same recording was erased."
        case state:
            return state.value, owner.error_message
