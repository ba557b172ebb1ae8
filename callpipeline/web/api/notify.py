"""`/notify`: what others want people to be told, as the old system's users ask for it."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from callpipeline.domain.notification import EventKind, NotificationChannel, Occurrence, Severity
from callpipeline.pipeline.telling import tell_now
from callpipeline.web.opened import Here
from callpipeline.wiring import Storage

CALL_ID = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{12}", re.ASCII)

router = APIRouter(tags=["notifications"])


DEEPEST = 30


def _not_deep(value: Any) -> Any:
    """Lists within lists without end are nothing that anybody reads, nor that JSON can write."""
    layer = [value]
    for _ in range(DEEPEST):
        layer = [each for outer in layer for each in _within(outer)]
        if not layer:
            return value
    raise ValueError(f"it is nested deeper than {DEEPEST}")


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class Wish(BaseModel):
    """What to tell. `job_id` is a call's id; of a call that is not known here it is passed on."""

    type: Literal["job_failed", "job_completed", "task_failed", "system_error", "custom"]
    severity: Severity = Severity.INFO
    title: Annotated[str, Field(min_length=1, max_length=300)]
    message: Annotated[str, Field(max_length=10_000)] = ""
    job_id: Annotated[str | None, Field(max_length=100)] = None
    job_filename: Annotated[str | None, Field(max_length=1024)] = None
    error_message: Annotated[str | None, Field(max_length=10_000)] = None
    stack_trace: Annotated[str | None, Field(max_length=50_000)] = None
    metadata: Annotated[dict[str, Any], AfterValidator(_not_deep)] = Field(default_factory=dict)
    channels: Annotated[list[NotificationChannel] | None, Field(min_length=1)] = None


class Reply(BaseModel):
    """What became of it: `success` where every channel took it; one that did not is tried again."""

    success: bool
    message: str
    channels_sent: list[NotificationChannel]
    channels_failed: list[NotificationChannel]
    details: dict[str, Any]


@router.post("/notify")
def notify(wish: Wish, here: Here) -> Reply:
    """Tell people by the channels that are asked for, or that the rules name for `custom`."""
    storage = here.storage
    answered = tell_now(here.dispatcher, storage.notifications, _occurrence(wish, storage))
    count = len(answered.sent) + len(answered.failed)
    return Reply(
        success=not answered.failed,
        message=f"{len(answered.sent)} of {count} channels took it.",
        channels_sent=list(answered.sent),
        channels_failed=list(answered.failed),
        details={"event_id": answered.event_id, "answers": answered.answers},
    )


@router.get("/notify/history")
def history(
    here: Here, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> dict[str, list[dict[str, Any]]]:
    """The newest messages, each with its state and the last answer."""
    return {"notifications": here.storage.notifications.listed(limit=limit)}


def _occurrence(wish: Wish, storage: Storage) -> Occurrence:
    is_id = wish.job_id is not None and CALL_ID.fullmatch(wish.job_id)
    known = storage.ledger.calls(call_ids=[wish.job_id or ""]) if is_id else []
    passed_on = {} if known else {"job_id": wish.job_id, "job_filename": wish.job_filename}
    own = {"type": wish.type, "stack_trace": wish.stack_trace, **passed_on}
    return Occurrence(
        EventKind.CUSTOM,
        wish.severity,
        wish.title,
        wish.message,
        call_id=known[0].call_id if known else None,
        error_message=wish.error_message,
        metadata=wish.metadata | {name: value for name, value in own.items() if value},
        channels=None if wish.channels is None else tuple(wish.channels),
    )
