"""Correction of what is known about a call, on its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from callpipeline.domain.calls.call import CallState
from callpipeline.storage.calls.descriptions import (
    STARTED_AT,
    CallDescription,
    Correction,
    Descriptions,
)
from callpipeline.storage.reading.call_detail import CallDetail
from callpipeline.web.access import Scope, require
from callpipeline.web.api.corrections import correct
from callpipeline.web.state import AppState, CallId, State

router = APIRouter()

USUAL_FIELDS = ("agent", "customer", "direction", "queue", "external_id")


@dataclass(frozen=True, slots=True)
class CorrectionField:
    """A field that may be corrected, with its value as text."""

    name: str
    label: str
    value: str
    hint: str = ""


def correction_fields(found: CallDescription) -> list[CorrectionField]:
    """Return the fields of a call to correct: the usual ones, and those that it has."""
    started = f"{found.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if found.started_at else ""
    names = dict.fromkeys([*USUAL_FIELDS, *found.metadata])
    others = (
        CorrectionField(name, name.replace("_", " ").capitalize(), found.metadata.get(name, ""))
        for name in names
        if name != STARTED_AT
    )
    return [CorrectionField(STARTED_AT, "Start (UTC)", started, "2026-03-02 10:15:00"), *others]


def corrections_view(descriptions: Descriptions, detail: CallDetail) -> dict[str, Any] | None:
    """Return the fields of the form and the history of corrections; None for an erased call."""
    if detail.state is CallState.ERASED:
        return None
    found = descriptions.find(detail.call_id)
    return {
        "fields": correction_fields(found),
        "history": [_in_words(each) for each in found.corrections],
    }


def _in_words(correction: Correction) -> str:
    at = f"{correction.corrected_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    by = f" by {correction.corrected_by}" if correction.corrected_by else ""
    return f"{', '.join(correction.fields)}: corrected {at}{by}"


@router.post(
    "/calls/{call_id}/metadata",
    dependencies=[Depends(require(Scope.UPLOAD, page=True, action="correct calls"))],
)
async def correct_details(state: State, request: Request, call_id: CallId) -> Response:
    """Correct what is known about a call; an empty field is removed, an unchanged one ignored."""
    form = await request.form()
    given = {name: value for name, value in form.items() if isinstance(value, str)}
    await run_in_threadpool(_correct, state, request, call_id, given)
    return RedirectResponse(f"/calls/{call_id}#metrics", 303)


def _correct(state: AppState, request: Request, call_id: str, given: Mapping[str, str]) -> None:
    fields = correction_fields(state.storage.descriptions.find(call_id))
    shown = {each.name: each.value for each in fields}
    changed: dict[str, str | None] = {
        name: given[name].strip() or None
        for name, value in shown.items()
        if name in given and given[name].strip() != value
    }
    if changed:
        correct(state, request, call_id, changed)
