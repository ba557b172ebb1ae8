"""The answer to whoever hands a recording over: its call, and how that stands."""

from enum import StrEnum
from typing import Any

from fastapi import HTTPException
from pydantic import BaseModel, Field

from callpipeline.domain.call import CallState
from callpipeline.storage.ledger import Ledger

NEW = "The recording was taken in. It is processed when its turn comes."
KNOWN = "The same recording, byte for byte, was taken in before: this is its call."
FAILED = f"{KNOWN} It failed; retry it where the reason has gone."
ERASED = (
    "This recording was erased, and is kept from coming back. Who wants it in again lifts that "
    "with `callpipeline erase --lift`."
)


class JobStatus(StrEnum):
    """The states of the contract, which has four."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Taken(BaseModel):
    """The call that a recording has become, or was already."""

    job_id: str = Field(examples=["2026-03-02-0123456789ab"])
    message: str
    status: JobStatus


def taken(ledger: Ledger, call_id: str, *, is_new: bool) -> dict[str, Any]:
    """A `Taken` as a document. Raises HTTPException (409) for what was erased."""
    [record] = ledger.calls(call_ids=[call_id])
    if record.state is CallState.DUPLICATE and record.duplicate_of:
        return taken(ledger, record.duplicate_of, is_new=False)
    if record.state is CallState.ERASED:
        raise HTTPException(409, ERASED)
    known = FAILED if record.state is CallState.FAILED else KNOWN
    message = NEW if is_new else known
    return Taken(job_id=record.call_id, message=message, status=_status(record.state)).model_dump()


def _status(state: CallState) -> JobStatus:
    return JobStatus.COMPLETED if state is CallState.DUPLICATE else JobStatus(state)
