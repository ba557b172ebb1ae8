"""The weekly report of a saved view: its page, which prints well, and when it is sent."""

from collections.abc import Mapping
from datetime import date, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, BeforeValidator, Field

from callpipeline.domain.calls.saved_views import ReportSchedule
from callpipeline.domain.notifications import NotificationChannel
from callpipeline.pipeline.notifications.reports import WeeklyReport, load_report, report_path
from callpipeline.storage.calls.saved_views import check_reportable
from callpipeline.web.access import Admin, Reader, Scope, require
from callpipeline.web.filters import DayParam
from callpipeline.web.pages.analytics import change_title, rate_title
from callpipeline.web.pages.insights.moments import entry_context, moment_views, moments_url
from callpipeline.web.pages.insights.views import describe
from callpipeline.web.pages.rendering import page
from callpipeline.web.services.views import view_url
from callpipeline.web.state import AppState, State

router = APIRouter(prefix="/views")

WEEKDAYS: Mapping[int, str] = dict(
    enumerate(
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"), start=1
    )
)
may_schedule = Depends(require(Scope.ADMIN, page=True, action="send reports"))
BlankAsNone = BeforeValidator(lambda value: None if value == "" else value)


class ScheduleForm(BaseModel):
    """Form of when a report is sent; without a day of the week, it is not."""

    view_id: Annotated[int, Field(ge=1, le=2**62)]
    weekday: Annotated[int | None, BlankAsNone, Field(ge=1, le=7)] = None
    at: Annotated[time | None, BlankAsNone] = None
    has_quotes: bool = False

    def schedule(self, by: str) -> ReportSchedule | None:
        """Return the schedule. Raises HTTPException (422) for a day without an hour."""
        if self.weekday is None:
            return None
        if self.at is None or self.at.tzinfo:
            raise HTTPException(422, "at: use a time such as 08:00.")
        at = self.at.replace(second=0, microsecond=0)
        return ReportSchedule(self.weekday, at, self.has_quotes, by)


@router.get("/{view_id}/report")
def report(
    request: Request,
    state: State,
    visitor: Reader,
    view_id: Annotated[int, Path(ge=1, le=2**62)],
    day: Annotated[DayParam | None, Query()] = None,
) -> HTMLResponse:
    """Show the week before a day, by default before today."""
    shown = report_of(state, view_id, visitor.visitor_id, day)
    after = shown.day + timedelta(days=7)
    return page(
        request,
        "report.html",
        report=shown,
        results=shown.overview,
        view_url=view_url(shown.view, state.today()),
        described=describe(shown.view),
        earlier=report_path(view_id, shown.day - timedelta(days=7)),
        later=report_path(view_id, after) if after <= state.today() else None,
        weekdays=WEEKDAYS,
        emails=NotificationChannel.EMAIL in state.dispatcher.policy.routing.configured,
        may_quote=NotificationChannel.EMAIL in state.dispatcher.policy.quote_channels,
        moments_url=moments_url,
        moment_views=moment_views,
        rate_title=rate_title,
        change_title=change_title,
        **entry_context(request),
    )


def report_of(state: AppState, view_id: int, visitor_id: str, day: date | None) -> WeeklyReport:
    """Return the report of a view that the visitor may see. Raises UnknownView, ViewRefused."""
    storage = state.storage
    view, today = storage.views.find(view_id, visitor_id), state.today()
    check_reportable(view)
    if day and day > today:
        raise HTTPException(422, f"day: the week before {day} is not over yet.")
    return load_report(storage.analytics, storage.insights, storage.reviews, view, day or today)


@router.post("/schedule", dependencies=[may_schedule])
def schedule_report(
    state: State, visitor: Admin, form: Annotated[ScheduleForm, Form()]
) -> RedirectResponse:
    """Set when the report of a shared view is sent by email, or send it no more."""
    wanted = form.schedule(visitor.name)
    state.storage.views.schedule(form.view_id, visitor.visitor_id, wanted)
    return RedirectResponse(f"/views/{form.view_id}/report", 303)
