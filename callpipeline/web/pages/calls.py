"""`/calls`: the list of calls, by filters, and asking for another try of those that failed."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from callpipeline.domain.call import CallState
from callpipeline.domain.call_ids import is_call_id
from callpipeline.domain.filters import COUNTED, SHOWN
from callpipeline.storage.reading.reader import ALL
from callpipeline.web.access import Scope, needs
from callpipeline.web.filters import ALL_COUNTED, Asked, address
from callpipeline.web.opened import Here
from callpipeline.web.pages.exports import Saved
from callpipeline.web.pages.filter_form import FilterForm
from callpipeline.web.pages.rendering import page
from callpipeline.web.pages.rows import rows_of, stream_of
from callpipeline.web.pages.standing import WORDS

router = APIRouter()

PAGE = 50
MORE = frozenset({"state", "name"})
"""Filters that this list alone has fields for."""
MOST_RETRIED = 500
Cursor = Annotated[str | None, Query(max_length=200)]


@router.get("/calls")
def calls(request: Request, here: Here, filters: Asked, after: Cursor = None) -> HTMLResponse:
    """Newest first, a page at a time."""
    found = here.reading.calls(filters, limit=PAGE, after=after)
    rows = rows_of(here, here.following.followed(found.calls))
    top = {"top": rows[0].it.call.call_id} if rows and not after and filters == ALL else {}
    return page(
        request,
        "calls.html",
        rows=rows,
        filters=filters,
        no_filters=ALL,
        form=FilterForm("/calls", filters, here.choices(), _today(), more=MORE),
        saved=[Saved("calls", filters)],
        has_failed=any(row.it.call.state is CallState.FAILED for row in rows),
        states=[(str(state), WORDS[state]) for state in (*SHOWN, CallState.ERASED)],
        all_counted=ALL_COUNTED if filters.states == COUNTED else None,
        stream=stream_of("/events/calls", rows, **top) if rows else None,
        first=address("/calls", filters),
        further=address("/calls", filters, after=found.after) if found.after else None,
        is_first=after is None,
        here_again=address("/calls", filters, after=after),
    )


@router.post("/calls/retry", dependencies=[Depends(needs(Scope.ADMIN, page=True))])
def retry(
    here: Here,
    call_id: Annotated[list[str], Form(max_length=MOST_RETRIED)],
    back: Annotated[str, Form(max_length=4000)] = "/calls",
) -> RedirectResponse:
    """Let these calls be tried again, and lead back to the page that asked for it."""
    if not all(map(is_call_id, call_id)):
        raise HTTPException(422, "The request cannot be used. It names what is no call.")
    here.storage.ledger.retry(call_id)
    return RedirectResponse(_own(back), 303)


def _today() -> date:
    return datetime.now(UTC).date()


def _own(path: str) -> str:
    """A page of ours, whatever was sent: nobody is led elsewhere. Browsers read \\ as /."""
    is_own = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if is_own else "/calls"
