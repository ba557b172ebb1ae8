"""`/notify`: notifications of other programs, in the old system's format."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from callpipeline.domain.calls.call import is_call_id
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationEvent,
    Severity,
)
from callpipeline.pipeline.notifications.dispatch import notify_now
from callpipeline.web.state import State
from callpipeline.wiring import Storage

notify_router = APIRouter(tags=["notifications"])

MAX_DEPTH = 30


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
    storage = state.storage
    delivery = notify_now(state.dispatcher, storage.notifications, _event(notification, storage))
    count = len(delivery.sent) + len(delivery.failed)
    return NotifyResult(
        success=not delivery.failed,
        message=f"Delivered to {len(delivery.sent)} of {count} channels.",
        channels_sent=list(delivery.sent),
        channels_failed=list(delivery.failed),
        details={"event_id": delivery.event_id, "answers": delivery.answers},
    )


@notify_router.get("/notify/history")
def history(
    state: State, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> dict[str, list[dict[str, Any]]]:
    """List the newest notifications with their state and the last response."""
    return {"notifications": list(state.storage.notifications.list(limit=limit))}


def _event(notification: NotifyRequest, storage: Storage) -> NotificationEvent:
    job_id = notification.job_id or ""
    calls = storage.ledger.calls(call_ids=[job_id]) if is_call_id(job_id) else []
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
