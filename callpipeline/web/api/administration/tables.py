"""`/admin`: the tables and files that the old web client shows.

Rows have the columns of the old tables `jobs` and `sentiment_results`, and are read from ours.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel

from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.web import legacy_format
from callpipeline.web.api.analytics import legacy_mentions, mention_item
from callpipeline.web.api.jobs import legacy_jobs, list_jobs
from callpipeline.web.problems import problems
from callpipeline.web.state import State

router = APIRouter(prefix="/admin", tags=["admin"])

MAX_ROWS = 2000
Limit = Annotated[
    int,
    Query(ge=1, le=1_000_000, description=f"At most {MAX_ROWS:,} are returned."),
    AfterValidator(lambda limit: min(limit, MAX_ROWS)),
]

JUDGED = tuple(each for each in MentionSentiment if each is not MentionSentiment.UNJUDGED)
RESULT_COLUMNS = (
    *("id", "job_id", "call_id", "competitor_name", "segment_text", "sentiment"),
    *("detection_method", "detection_details", "segment_id", "start_time", "end_time", "context"),
    *("created_at", "metadata_json"),
)
"""Columns of the old table `sentiment_results`, with our id."""


class AdminTable(BaseModel):
    """The newest rows of a table; `count` is their number."""

    table: str
    count: int
    rows: list[dict[str, Any]]


class StoredFile(BaseModel):
    """An object of the store."""

    object_name: str
    size: int
    last_modified: datetime


class StoredFiles(BaseModel):
    """The newest transcripts, and documents of other programs."""

    objects: list[StoredFile]
    count: int


@router.get("/database/jobs", responses=problems(422, 503))
def jobs_table(state: State, limit: Limit = 100) -> AdminTable:
    """List the newest jobs, in the format of `/jobs`."""
    page = state.storage.calls.list(CallFilters(), limit=limit)
    jobs = list_jobs(state, page.calls, with_sentiment=False)
    if state.options.web_is_legacy:
        rows = legacy_jobs(jobs)
    else:
        rows = [each.model_dump(mode="json") for each in jobs]
    return _table("jobs", rows, legacy_format.JOB_COLUMNS)


@router.get("/database/sentiment_results", responses=problems(422, 503))
def sentiment_table(state: State, limit: Limit = 100) -> AdminTable:
    """List the judged mentions of the newest calls, in the format of `/jobs`."""
    page = state.storage.analytics.mentions(CallFilters(), limit=limit)
    judged = [each for each in page.mentions if each.sentiment in JUDGED]
    judged_at = _judged_at(state, {each.call_id for each in judged})
    if state.options.web_is_legacy:
        rows = legacy_mentions(state, judged)
    else:
        rows = [mention_item(each).model_dump(mode="json") for each in judged]
        rows = [row | {"call_id": row["job_id"]} for row in rows]
    kept = ("score", "confidence", "speaker", "agent", "at_s", "took_place_at")
    completed = [
        row
        | {"metadata_json": {name: row[name] for name in kept}}
        | {"created_at": judged_at.get(row["call_id"])}
        for row in rows
    ]
    return _table("sentiment_results", completed, RESULT_COLUMNS)


@router.get("/storage/files", responses=problems(422, 503))
def files(state: State, limit: Limit = 200) -> StoredFiles:
    """List the newest transcripts by their paths in the old system, then other documents."""
    objects = [
        StoredFile(
            object_name=each.path,
            size=each.recording.size_bytes,
            last_modified=each.recording.last_modified,
        )
        for each in state.documents.newest(limit)
    ]
    return StoredFiles(objects=objects, count=len(objects))


def _judged_at(state: State, call_ids: set[str]) -> dict[str, str]:
    """Return when calls ended, which is just after their mentions were judged."""
    calls = state.storage.calls.by_id(call_ids)
    return {call.call_id: (call.completed_at or call.updated_at).isoformat() for call in calls}


def _table(name: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> AdminTable:
    shown = [{column: row.get(column) for column in columns} for row in rows]
    return AdminTable(**legacy_format.table_document(name, shown))
