"""`/notify`: notifications of other programs, in the old system's format."""

import asyncio
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from callpipeline import wiring
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationEvent,
    Severity,
)
from callpipeline.http_server.responses import validation_message
from callpipeline.pipeline.notifications.dispatch import notify_now
from callpipeline.web.problems import problems
from callpipeline.web.state import AppState, State, resolve_call_id

notify_router = APIRouter(tags=["notifications"])

MAX_DEPTH = 30

OldKind = Literal["job-failed", "job-completed", "task-failed", "system-error"]
OLD_KINDS = {
    "job_failed": (Severity.ERROR, "Job failed"),
    "job_completed": (Severity.INFO, "Job completed"),
    "task_failed": (Severity.ERROR, "Task failed"),
    "system_error": (Severity.CRITICAL, "System error"),
}
"""Severities and titles of notifications that give none."""
OLD_BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}


def _limit_depth(value: Any) -> Any:
    """Reject values that are nested too deep to be serialized."""
    layer = [value]
    for _ in range(MAX_DEPTH):
        layer = [each for outer in layer for each in _children(outer)]
        if not layer:
            return value
    raise ValueError(f"it is nested deeper than {MAX_DEPTH}")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class NotifyRequest(BaseModel):
    """A notification. An unknown `job_id` is passed on as metadata."""

    type: Literal["job_failed", "job_completed", "task_failed", "system_error", "custom"]
    severity: Severity = Severity.INFO
    title: Annotated[str, Field(min_length=1, max_length=300)]
    message: Annotated[str, Field(max_length=10_000)] = ""
    job_id: Annotated[str | None, Field(max_length=100)] = None
    job_filename: Annotated[str | None, Field(max_length=1024)] = None
    error_message: Annotated[str | None, Field(max_length=10_000)] = None
    stack_trace: Annotated[str | None, Field(max_length=50_000)] = None
    metadata: Annotated[dict[str, Any], AfterValidator(_limit_depth)] = Field(default_factory=dict)
    channels: Annotated[list[NotificationChannel] | None, Field(min_length=1)] = None


class NotifyResult(BaseModel):
    """Result of the delivery: `success` if all channels accepted it. Failed ones are retried."""

    success: bool
    message: str
    channels_sent: list[NotificationChannel]
    channels_failed: list[NotificationChannel]
    details: dict[str, Any]


@notify_router.post("/notify")
def notify(notification: NotifyRequest, state: State) -> NotifyResult:
    """Send a notification to the given channels, or to those of the rules for `custom`."""
    delivery = notify_now(
        state.dispatcher, state.storage.notifications, _event(notification, state)
    )
    count = len(delivery.sent) + len(delivery.failed)
    return NotifyResult(
        success=not delivery.failed,
        message=f"Delivered to {len(delivery.sent)} of {count} channels.",
        channels_sent=list(delivery.sent),
        channels_failed=list(delivery.failed),
        details={"event_id": delivery.event_id, "answers": delivery.answers},
    )


@notify_router.post("/notify/{kind}", responses=problems(422), openapi_extra=OLD_BODY)
async def notify_of(kind: OldKind, request: Request, state: State) -> NotifyResult:
    """Send a notification of the given kind, as services of the old system do.

    Fields are those of `/notify`, in the query or a JSON body (which takes precedence), all
    optional; `filename` and `error` are understood as well, and others become metadata.
    """
    fields = _old_fields(kind, dict(request.query_params) | await _sent_object(request))
    try:
        notification = NotifyRequest.model_validate(fields)
    except ValidationError as error:
        raise HTTPException(422, validation_message(error.errors())) from None
    return await asyncio.to_thread(notify, notification, state)


@notify_router.get("/config")
def notification_config(state: State) -> dict[str, Any]:
    """Return the settings of notifications, without any secret."""
    options = state.options
    enabled = wiring.configured_channels(options)
    return {
        "channels": {channel: {"enabled": channel in enabled} for channel in NotificationChannel}
        | {
            NotificationChannel.EMAIL: {
                "enabled": NotificationChannel.EMAIL in enabled,
                "smtp_host": options.smtp_host,
                "smtp_port": options.smtp_port,
                "smtp_security": options.smtp_security,
                "from": options.email_from,
                "to": list(options.email_to or ()),
            }
        },
        **{f"enable_{channel}": channel in enabled for channel in NotificationChannel},
        "rules": {kind: list(channels) for kind, channels in options.notify_rules.items()},
        "timezone": options.message_zone,
        "quiet_hours": options.notify_quiet_hours,
    }


@notify_router.get("/notify/history")
def history(
    state: State, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> dict[str, list[dict[str, Any]]]:
    """List the newest notifications with their state and the last response."""
    return {"notifications": list(state.storage.notifications.list(limit=limit))}


def _old_fields(kind: str, sent: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `/notify` for a notification of the old system."""
    wire_type = kind.replace("-", "_")
    for ours, theirs in {"job_filename": "filename", "error_message": "error"}.items():
        if theirs in sent:
            sent.setdefault(ours, sent.pop(theirs))
    known = {name: sent.pop(name) for name in tuple(sent) if name in NotifyRequest.model_fields}
    severity, title = OLD_KINDS[wire_type]
    about = known.get("job_filename") or sent.get("task_name") or known.get("job_id")
    metadata = known.get("metadata")
    if metadata is None or isinstance(metadata, dict):
        known["metadata"] = sent | (metadata or {})
    defaults: dict[str, Any] = {
        "severity": severity,
        "title": f"{title}: {about}"[:300] if about else title,
        "message": str(known.get("error_message") or "")[:10_000],
    }
    return defaults | {n: v for n, v in known.items() if v is not None} | {"type": wire_type}


async def _sent_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body, which may be empty. Raises HTTPException (422)."""
    content = await request.body()
    if not content.strip():
        return {}
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise HTTPException(422, "The body must be a JSON object, or empty.")
    return document


def _event(notification: NotifyRequest, state: AppState) -> NotificationEvent:
    call_id = resolve_call_id(state, notification.job_id or "")
    calls = state.storage.ledger.calls(call_ids=[call_id]) if call_id else []
    unknown_job = (
        {} if calls else {"job_id": notification.job_id, "job_filename": notification.job_filename}
    )
    fields = {"type": notification.type, "stack_trace": notification.stack_trace, **unknown_job}
    return NotificationEvent(
        EventKind.CUSTOM,
        notification.severity,
        notification.title,
        notification.message,
        call_id=calls[0].call_id if calls else None,
        error_message=notification.error_message,
        metadata=notification.metadata | {name: value for name, value in fields.items() if value},
        channels=None if notification.channels is None else tuple(notification.channels),
    )
