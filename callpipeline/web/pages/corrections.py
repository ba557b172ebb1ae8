"""Correction of what is known about a call, on its page, and of its transcript."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.sources import parse_started_at
from callpipeline.domain.transcripts import interleave
from callpipeline.errors import CatalogConflict, CorrectionOutdated
from callpipeline.storage.calls.descriptions import (
    STARTED_AT,
    CallDescription,
    Correction,
    Descriptions,
)
from callpipeline.storage.postgres.database import sanitize_text
from callpipeline.storage.reading.call_detail import CallDetail
from callpipeline.web.access import Scope, require
from callpipeline.web.api.corrections import correct, correct_segment, recognised_text
from callpipeline.web.pages.mentions_view import SPEAKER_LABELS
from callpipeline.web.pages.rendering import in_page_zone, page, page_zone
from callpipeline.web.state import AppState, CallId, State, call_detail

router = APIRouter()

may_correct = Depends(require(Scope.UPLOAD, page=True, action="correct calls"))
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
    at = found.started_at
    started = f"{in_page_zone(at):%Y-%m-%d %H:%M:%S}" if at else ""
    names = dict.fromkeys([*USUAL_FIELDS, *found.metadata])
    others = (
        CorrectionField(name, name.replace("_", " ").capitalize(), found.metadata.get(name, ""))
        for name in names
        if name != STARTED_AT
    )
    label = f"Start ({page_zone.get().name})"
    return [CorrectionField(STARTED_AT, label, started, "2026-03-02 10:15:00"), *others]


def corrections_view(descriptions: Descriptions, detail: CallDetail) -> dict[str, Any] | None:
    """Return the fields of the form and the history of corrections; None for an erased call."""
    if detail.state is CallState.ERASED:
        return None
    found = descriptions.find(detail.call_id)
    return {
        "fields": correction_fields(found),
        "version": found.version,
        "history": [_in_words(each) for each in found.corrections],
    }


def _in_words(correction: Correction) -> str:
    at = f"{in_page_zone(correction.corrected_at):%Y-%m-%d %H:%M} {page_zone.get().name}"
    by = f" by {correction.corrected_by}" if correction.corrected_by else ""
    return f"{', '.join(correction.fields)}: corrected {at}{by}"


@router.post(
    "/calls/{call_id}/metadata",
    dependencies=[may_correct],
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
    if entered := changed.get(STARTED_AT):
        # Times without an offset are in the zone that the form shows; invalid ones are refused.
        zone = page_zone.get().name
        at = parse_started_at({STARTED_AT: entered}, zone, datetime.now(UTC))
        changed[STARTED_AT] = at.isoformat() if at else entered
    version = given.get("version", "")
    seen = int(version) if version.isdecimal() and len(version) <= 18 else None
    if changed:
        correct(state, request, call_id, changed, seen)


@dataclass(frozen=True, slots=True)
class SegmentPlace:
    """The segment that is corrected: its channel and its index, None for none yet."""

    channel: Channel | None = None
    index: Annotated[int | None, Query(ge=0, le=1_000_000)] = None


@router.get("/calls/{call_id}/transcript", dependencies=[may_correct])
def edit_transcript(
    state: State, request: Request, call_id: CallId, place: Annotated[SegmentPlace, Depends()]
) -> Response:
    """List the segments of a call, and show a form for one of them."""
    return _transcript_page(state, request, call_id, place)


class SegmentForm(BaseModel):
    """Form of a segment: its place, the right text, and the text that was shown."""

    channel: Channel
    index: Annotated[int, Field(ge=0, le=1_000_000)]
    text: Annotated[str, Field(max_length=5000)]
    seen: Annotated[str, Field(max_length=20_000)]


@router.post("/calls/{call_id}/transcript", dependencies=[may_correct])
def save_transcript(
    state: State, request: Request, call_id: CallId, form: Annotated[SegmentForm, Form()]
) -> Response:
    """Correct the words of a segment; if someone else did meanwhile, say so and keep the text."""
    place = SegmentPlace(form.channel, form.index)
    # Browsers send line breaks as CR LF, also those of a hidden field.
    text, seen = (sanitize_text(each.replace("\r\n", "\n")) for each in (form.text, form.seen))
    try:
        correct_segment(state, request, call_id, (form.channel, form.index), text, seen)
    except (CorrectionOutdated, CatalogConflict) as error:
        return _transcript_page(state, request, call_id, place, problem=str(error), entered=text)
    return RedirectResponse(f"/calls/{call_id}/transcript#{form.channel}.{form.index}", 303)


def _transcript_page(
    state: AppState,
    request: Request,
    call_id: str,
    place: SegmentPlace,
    *,
    problem: str = "",
    entered: str | None = None,
) -> Response:
    detail, wanted = call_detail(state, call_id), (place.channel, place.index)
    transcripts = state.storage.results.transcripts(call_id)
    conversation = interleave(transcripts)
    found = (each for each in conversation if (each.channel, each.index) == wanted)
    chosen = next(found, None)
    recognised = state.storage.results.recognised(call_id)
    original = {(s.channel, s.index): s.text for t in recognised for s in t.segments}
    return page(
        request,
        "call/edit_transcript.html",
        409 if problem else 200,
        call_id=call_id,
        is_correctable=detail.state is CallState.COMPLETED,
        lines=[(each, original.get((each.channel, each.index), "")) for each in conversation],
        speakers=SPEAKER_LABELS,
        chosen=chosen,
        original=recognised_text(recognised, chosen) if chosen else "",
        entered=entered,
        problem=problem,
        history=list(reversed(state.storage.words.history(call_id))),
    )
