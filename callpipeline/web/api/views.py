"""`/saved-views`: filters of pages under a name, private or shared."""

from datetime import date, datetime, time
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, BaseModel, Field

from callpipeline.domain.calls.rates import Rate, RateChange
from callpipeline.domain.calls.saved_views import ReportSchedule, SavedView, ViewPage
from callpipeline.pipeline.notifications.reports import WeeklyReport
from callpipeline.web.access import Admin, Reader
from callpipeline.web.api.corrections import valid_unicode
from callpipeline.web.filters import DayParam
from callpipeline.web.pages.insights.reports import report_of
from callpipeline.web.problems import problems
from callpipeline.web.services.views import (
    MAX_QUERY_CHARS,
    ViewRights,
    keep_days,
    parse_view,
    valid_name,
    view_url,
)
from callpipeline.web.state import AppState, State

router = APIRouter(prefix="/saved-views", tags=["views"])
schedule_router = APIRouter(prefix="/saved-views", tags=["views"])

ViewName = Annotated[str, Field(max_length=400), AfterValidator(valid_unicode)]
ViewId = Annotated[int, Path(ge=1, le=2**62)]


class NewView(BaseModel):
    """Filters to save: a page and its query string, such as `competitor=EE&sentiment=negative`.

    With `days`, the view is about so many days up to the day it is opened, instead of `from` and
    `to`.
    """

    name: ViewName
    page: ViewPage
    query: Annotated[str, Field(max_length=MAX_QUERY_CHARS), AfterValidator(valid_unicode)] = ""
    days: Annotated[int, Field(ge=1, le=3660)] | None = None
    is_shared: bool = False


class ViewChange(BaseModel):
    """Changes of a view; the rest stays."""

    name: ViewName | None = None
    is_shared: bool | None = None


class ReportTime(BaseModel):
    """Day of the week (Monday is 1) and hour of a report, in the time zone of days."""

    weekday: Annotated[int, Field(ge=1, le=7)]
    at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["08:00"])]
    has_quotes: bool = False


class ViewDocument(BaseModel):
    """A saved view; `url` opens it, with the days of today if it has `days`."""

    view_id: int
    name: str
    page: ViewPage
    url: str
    days: int | None
    is_shared: bool
    is_own: bool
    made_by: str | None
    made_at: datetime | None
    report: ReportTime | None = None


class ViewList(BaseModel):
    """Views by name."""

    views: list[ViewDocument]


@router.get("", responses=problems(503))
def list_views(state: State, visitor: Reader) -> ViewList:
    """List your views and those that others share."""
    found = state.storage.views.list(visitor.visitor_id)
    return ViewList(views=[_document(state, visitor.visitor_id, each) for each in found])


@router.post("", status_code=201, responses=problems(403, 409, 422, 503))
def save_view(state: State, visitor: Reader, new: NewView) -> ViewDocument:
    """Save filters; sharing needs scope `upload` or `admin`. 409: you have a view of this name."""
    rights, parsed = ViewRights(visitor), parse_view(new.page, new.query)
    rights.check_sharing(new.is_shared)
    view = SavedView(
        name=valid_name(new.name),
        page=parsed.page,
        filters=parsed.filters,
        extras=parsed.extras,
        days=parsed.days,
        is_shared=new.is_shared,
        owner=visitor.visitor_id,
        made_by=visitor.name,
    )
    added = state.storage.views.add(keep_days(view, new.days))
    return _document(state, visitor.visitor_id, added)


@router.get("/{view_id}", responses=problems(404, 422, 503))
def get_view(state: State, visitor: Reader, view_id: ViewId) -> ViewDocument:
    """Return a view that is yours or shared."""
    found = state.storage.views.find(view_id, visitor.visitor_id)
    return _document(state, visitor.visitor_id, found)


@router.patch("/{view_id}", responses=problems(403, 404, 409, 422, 503))
def change_view(state: State, visitor: Reader, view_id: ViewId, wanted: ViewChange) -> ViewDocument:
    """Rename a view, or share it or not. 409: the name is taken, or the view is another's."""
    rights = ViewRights(visitor)
    rights.check_sharing(wanted.is_shared)
    name = None if wanted.name is None else valid_name(wanted.name)
    views, by = state.storage.views, visitor.visitor_id
    changed = views.change(
        view_id, by, is_admin=rights.is_admin, name=name, is_shared=wanted.is_shared
    )
    return _document(state, by, changed)


@router.delete("/{view_id}", status_code=204, responses=problems(404, 409, 422, 503))
def delete_view(state: State, visitor: Reader, view_id: ViewId) -> None:
    """Delete a view. 409: it is another's, and you are no admin."""
    rights = ViewRights(visitor)
    state.storage.views.delete(view_id, visitor.visitor_id, is_admin=rights.is_admin)


def _document(state: AppState, visitor_id: str, view: SavedView) -> ViewDocument:
    assert view.view_id
    return ViewDocument(
        view_id=view.view_id,
        name=view.name,
        page=view.page,
        url=view_url(view, state.today()),
        days=view.days,
        is_shared=view.is_shared,
        is_own=view.owner == visitor_id,
        made_by=view.made_by,
        made_at=view.made_at,
        report=_report_time(view.report),
    )


def _report_time(schedule: ReportSchedule | None) -> ReportTime | None:
    if schedule is None:
        return None
    return ReportTime(
        weekday=schedule.weekday, at=f"{schedule.at:%H:%M}", has_quotes=schedule.has_quotes
    )


# Weekly reports


class ReportedRate(BaseModel):
    """Events per 100 completed calls, with the 95 % interval; null without calls."""

    events: int
    completed_calls: int
    per_100: float | None
    low: float | None
    high: float | None


class ReportedChange(BaseModel):
    """A rate of the week and of the week before; `is_clear`: more than chance."""

    now: ReportedRate
    before: ReportedRate
    relative: float | None
    is_new: bool
    is_clear: bool


class ReportDocument(BaseModel):
    """Numbers of a view in a week; the names of gainers and losers are in `competitors`.

    `calls_with_mention` is the rate of completed calls that mention a competitor, `to_review` open
    questions by competitor.
    """

    view_id: int
    name: str
    first_day: date
    last_day: date
    calls_with_mention: ReportedChange
    competitors: dict[str, ReportedChange]
    gaining: list[str]
    losing: list[str]
    never_heard_before: list[str]
    moments_at_risk: int
    calls_at_risk: int
    to_review: dict[str, int]


@router.get("/{view_id}/report", responses=problems(404, 409, 422, 503))
def get_report(
    state: State,
    visitor: Reader,
    view_id: ViewId,
    day: Annotated[
        DayParam | None, Query(description="The report is about the week before; default: today")
    ] = None,
) -> ReportDocument:
    """Return the weekly report of a view: what changed, customers at risk, what needs review.

    409: the view searches for words, which have no report.
    """
    return _report_document(report_of(state, view_id, visitor.visitor_id, day))


@schedule_router.put("/{view_id}/schedule", responses=problems(404, 409, 422, 503))
def schedule_report(
    state: State, visitor: Admin, view_id: ViewId, wanted: ReportTime
) -> ViewDocument:
    """Send the report of a shared view by email every week. 409: the view is not shared."""
    at = time.fromisoformat(wanted.at)
    schedule = ReportSchedule(wanted.weekday, at, wanted.has_quotes, visitor.name)
    state.storage.views.schedule(view_id, visitor.visitor_id, schedule)
    return get_view(state, visitor, view_id)


@schedule_router.delete("/{view_id}/schedule", status_code=204, responses=problems(404, 422, 503))
def unschedule_report(state: State, visitor: Admin, view_id: ViewId) -> None:
    """Send the report of a view no more."""
    state.storage.views.schedule(view_id, visitor.visitor_id, None)


def _report_document(report: WeeklyReport) -> ReportDocument:
    overview = report.overview
    risk = overview.at_risk.count
    return ReportDocument(
        view_id=report.view.view_id or 0,
        name=report.view.name,
        first_day=report.first,
        last_day=report.last,
        calls_with_mention=_change(report.naming),
        competitors={name: _change(change) for name, change in report.changes},
        gaining=[each.name for each in overview.gainers],
        losing=[each.name for each in overview.losers],
        never_heard_before=[each.name for each in overview.first_heard],
        moments_at_risk=risk.moments,
        calls_at_risk=risk.calls,
        to_review=report.to_review,
    )


def _change(change: RateChange) -> ReportedChange:
    return ReportedChange(
        now=rate_document(change.now),
        before=rate_document(change.before),
        relative=change.relative,
        is_new=change.is_new,
        is_clear=change.is_clear,
    )


def rate_document(of: Rate) -> ReportedRate:
    """Return a rate with its interval."""
    low, high = of.interval or (None, None)
    return ReportedRate(
        events=of.events, completed_calls=of.of, per_100=of.per_100, low=low, high=high
    )
