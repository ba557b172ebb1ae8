"""The old system's formats, for the documents where they differ from ours.

CALLPIPELINE_WEB_API=legacy chooses them; docs/migrating.md lists the differences. There, job ids
are UUIDs, with our id beside them as `call_id`, and numbers are strings.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from callpipeline.domain.calls.legacy import (
    OldTranscriptPath,
    detection_method,
    job_uuid,
    mention_uuid,
)
from callpipeline.http_server.responses import etag_response

Document = dict[str, Any]

JOB_COLUMNS = (
    *("id", "call_id", "filename", "status", "error_message", "left_channel_url"),
    *("right_channel_url", "left_transcript_path", "right_transcript_path", "competitors_found"),
    *("current_step", "progress_percentage", "total_competitors", "completed_competitors"),
    *("created_at", "updated_at", "completed_at"),
)
"""Columns of the old table `jobs`, with our id."""
STORED = "The document was read."


def submitted_document(job: Mapping[str, Any]) -> Document:
    """Convert the response to an upload or an announcement."""
    return _with_uuid(job, job_uuid(job["job_id"]))


def retried_document(result: Mapping[str, Any], uuid: str) -> Document:
    """Convert the response to a retry."""
    return _with_uuid(result, uuid)


def job_document(job: Mapping[str, Any]) -> Document:
    """Convert a job; `uuid` stays, so that both formats have it."""
    uuid = job["uuid"]
    sides = ("left", "right")
    paths = {f"{side}_transcript_path": OldTranscriptPath(uuid, side) for side in sides}
    return {
        **job,
        **{name: str(path) if job[name] else None for name, path in paths.items()},
        "id": uuid,
        "progress_percentage": f"{job['progress_percentage']}%",
        "total_competitors": str(job["total_competitors"]),
        "completed_competitors": str(job["completed_competitors"]),
        "sentiment_results": [mention_document(each, uuid) for each in job["sentiment_results"]],
    }


def mention_document(mention: Mapping[str, Any], uuid: str | None = None) -> Document:
    """Convert a judged mention; `uuid` is that of its job, if it isn't the one of the call id."""
    call_id, rule = mention["job_id"], mention["detection_details"]
    method = detection_method(mention["detection_method"], rule)
    return {
        **mention,
        "id": mention_uuid(call_id, mention["id"].removeprefix(f"{call_id}.")),
        "job_id": uuid or job_uuid(call_id),
        "call_id": call_id,
        "detection_method": method if mention["detection_method"] else "",
        "engine": mention["detection_method"],
        "segment_id": str(mention["segment_id"]),
        "start_time": _number(mention["start_time"]),
        "end_time": _number(mention["end_time"]),
    }


def table_document(table: str, rows: Sequence[Mapping[str, Any]]) -> Document:
    """Return rows as the old system's view of its database."""
    return {"table": table, "count": len(rows), "rows": list(rows)}


def stored_document(path: str, content: bytes) -> Response:
    """Wrap a document that was read."""
    wrapped = {"success": True, "object_path": path, "data": json.loads(content)}
    return JSONResponse(
        wrapped | {"message": STORED}, headers={"Cache-Control": "private, no-store"}
    )


def etag_json_response(request: Request, document: Document) -> Response:
    """Respond with a converted document, or with 304 if the client has it."""
    return etag_response(request, json.dumps(document, ensure_ascii=False).encode())


def _with_uuid(document: Mapping[str, Any], uuid: str) -> Document:
    return {**document, "job_id": uuid, "call_id": document["job_id"]}


def _number(value: float) -> str:
    return f"{value:g}" if value == int(value) else str(round(value, 3))
