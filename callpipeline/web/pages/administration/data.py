"""Retention and erasure (`/admin/retention`), each with a dry run, for admins."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from callpipeline.domain.access import Scope
from callpipeline.domain.calls.call import RetentionClass
from callpipeline.errors import UnknownCall
from callpipeline.storage.calls.saved_views import NamedText
from callpipeline.storage.erasure import ErasureCandidate, RetentionStore
from callpipeline.storage.postgres.database import sanitize_text
from callpipeline.web.access import require
from callpipeline.web.api.administration.data import (
    MAX_ERASED,
    TOO_MANY,
    CallNames,
    begin_erasure,
    retention_plan,
)
from callpipeline.web.pages.rendering import page
from callpipeline.web.services.audit import name_calls_in_audit
from callpipeline.web.state import AppState, State
from callpipeline.wiring.administration import find_erasable

router = APIRouter(
    prefix="/admin/retention",
    dependencies=[Depends(require(Scope.ADMIN, page=True, action="erase calls"))],
)

HISTORY = timedelta(days=30)
MAX_OPEN = 50
CLASS_LABELS = {
    RetentionClass.RECORDINGS: ("Recordings", "recordings_days"),
    RetentionClass.AUDIO: ("Audio of channels", "audio_days"),
    RetentionClass.TRANSCRIPTS: ("Transcripts", "transcripts_days"),
    RetentionClass.RESULTS: ("Whole calls with their results", "results_days"),
    RetentionClass.NOTIFICATIONS: ("Notifications", "notifications_days"),
    RetentionClass.AUDIT: ("Audit log", "audit_days"),
    RetentionClass.DAGSTER: ("Dagster's records of runs", "dagster_days"),
}


@router.get("")
def retention(request: Request, state: State) -> Response:
    """Show retention periods, what is due, what was deleted, and open erasures."""
    return _page(request, state)


@router.post("/preview")
def preview(
    request: Request,
    state: State,
    calls: Annotated[str, Form(max_length=20_000)] = "",
    customer: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Show which calls an erasure would delete; nothing is deleted."""
    names = [sanitize_text(line.strip()) for line in calls.splitlines() if line.strip()]
    entered = {"calls": calls, "customer": customer}
    whose = sanitize_text(customer.strip()) or None
    if bool(names) == bool(whose):
        problem = "Enter either calls or a customer."
        return _page(request, state, problem=problem, entered=entered, status=422)
    try:
        wanted, begun = find_erasable(state.storage, names[:MAX_ERASED], customer=whose)
    except UnknownCall as refusal:
        return _page(request, state, problem=str(refusal), entered=entered, status=422)
    if len(wanted) > MAX_ERASED or len(names) > MAX_ERASED:
        return _page(request, state, problem=TOO_MANY, entered=entered, status=422)
    named = state.storage.views.naming(whose) if whose else []
    if not (wanted or named):
        problem = "These calls are erased already." if begun else "No calls of that customer."
        return _page(request, state, problem=problem, entered=entered, status=422)
    return _page(request, state, plan=(wanted, named), entered=entered)


@router.post("/erase")
def erase(
    request: Request,
    state: State,
    call_id: CallNames = [],  # noqa: B006
    customer: Annotated[str, Form(max_length=200)] = "",
    because: Annotated[str, Form(max_length=200)] = "",
    keep_recording: Annotated[bool, Form()] = False,
) -> Response:
    """Erase the calls that the preview showed, and no others."""
    erased = begin_erasure(
        state,
        call_id,
        because=because.strip(),
        keep_recording=keep_recording,
        customer=sanitize_text(customer.strip()) or None,
    )
    name_calls_in_audit(request, erased)
    return RedirectResponse("/admin/retention#erasures", 303)


def _page(
    request: Request,
    state: AppState,
    *,
    problem: str = "",
    entered: dict[str, str] | None = None,
    plan: tuple[Sequence[ErasureCandidate], Sequence[NamedText]] = ((), ()),
    status: int = 200,
) -> Response:
    now = datetime.now(UTC)
    due, periods = retention_plan(state, now)
    counts = {each.what: each.items for each in due}
    return page(
        request,
        "admin/retention.html",
        status,
        classes=[
            (label, f"CALLPIPELINE_KEEP_{name.upper()}", periods.days.get(each), counts.get(each))
            for each, (label, name) in CLASS_LABELS.items()
        ],
        history=RetentionStore(state.storage.database).history(now - HISTORY),
        erasures=state.storage.erasures.open(limit=MAX_OPEN),
        problem=problem,
        entered=entered or {"calls": "", "customer": ""},
        found=plan[0],
        named=plan[1],
    )
