"""`/calls/{call_id}`: one call, live while it is worked on; then to listen to and to read."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callpipeline.domain.call import Stage
from callpipeline.storage.conversation import conversation
from callpipeline.storage.reading.one_call import CallSeen
from callpipeline.web.compact import compact
from callpipeline.web.opened import Here, Opened
from callpipeline.web.pages.head import head_of
from callpipeline.web.pages.rendering import page
from callpipeline.web.pages.shown_call import shown_call
from callpipeline.web.places_of_calls import CallId, seen

router = APIRouter()

PERSONAL = {"Cache-Control": "no-store"}


@router.get("/calls/{call_id}")
def call(here: Here, request: Request, call_id: CallId, t: str = "") -> Response:
    found = seen(here, call_id)
    shown = {"begin_s": _second(t), **_found_out(here, found)}
    html = page(request, "call.html", head=head_of(here, found.call), **shown)
    return compact(request, bytes(html.body), "text/html; charset=utf-8", PERSONAL)


def _found_out(here: Opened, found: CallSeen) -> dict[str, Any]:
    """What is below the head of the page."""
    call_id = found.call.call_id
    said = conversation(here.storage.database, call_id)
    decided = here.storage.reviews.holding(call_id)
    return shown_call(found, said, _deleted(here, call_id), decided)


def _deleted(here: Opened, call_id: str) -> dict[Stage, datetime]:
    """Since when stages are not kept any more."""
    found: dict[Stage, datetime] = {}
    for stage in (Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS):
        wanted = {"call_id": call_id, "what": stage}
        [row] = here.storage.database.rows("retention/deleted_on", wanted)
        if row["at"]:
            found[stage] = row["at"]
    return found


def _second(t: str) -> float | None:
    """The second to begin at; what is none begins at the beginning."""
    try:
        second = float(t)
    except ValueError:
        return None
    return round(second, 3) if 0 < second < 1e7 else None
