"""The audit log, for admins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.requests import Request
from fastapi.responses import HTMLResponse

from callpipeline.domain.access import AuditAction
from callpipeline.storage.access import AUDIT_PAGE
from callpipeline.web.access import Scope, require
from callpipeline.web.pages.rendering import page
from callpipeline.web.state import State

router = APIRouter()


@dataclass(frozen=True, slots=True)
class PageStart:
    """The last entry of the page before: its id, and its time `before`."""

    before: datetime | None = None
    after: UUID | None = None


@router.get(
    "/audit",
    dependencies=[Depends(require(Scope.ADMIN, page=True, action="view the audit log"))],
)
def audit_page(
    state: State,
    request: Request,
    start: Annotated[PageStart, Depends()],
    action: Annotated[str, Query(max_length=40)] = "",
    actor: Annotated[str, Query(max_length=200)] = "",
    call: Annotated[str, Query(max_length=60)] = "",
) -> HTMLResponse:
    """Show who did what, newest first, a page at a time."""
    actions = [each for each in AuditAction if each == action]
    found = state.storage.audit.page(
        action=actions[0] if actions else None,
        actor=actor.strip() or None,
        target=call.strip() or None,
        before=start.before,
        after_id=str(start.after) if start.after else None,
        limit=AUDIT_PAGE + 1,
    )
    shown = found[:AUDIT_PAGE]
    chosen = {"action": action, "actor": actor, "call": call}
    further = {name: value for name, value in chosen.items() if value}
    more = None
    if len(found) > AUDIT_PAGE:
        more = {**further, "before": shown[-1].at.isoformat(), "after": shown[-1].entry_id}
    return page(
        request,
        "admin/audit.html",
        entries=shown,
        actions=list(AuditAction),
        chosen=chosen,
        more_link=f"/audit?{urlencode(more)}" if more else None,
        days=state.options.keep_audit_days,
    )
