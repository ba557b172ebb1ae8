"""Saved views: the filters of a page under a name, and when their weekly reports are sent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment, MomentId
from callpipeline.domain.switching import SwitchingIntent

MAX_NAME_CHARS = 100
MAX_VIEWS = 500
"""Views of one person."""
WEEK_DAYS = 7


class ViewPage(StrEnum):
    """Page whose filters are saved."""

    OVERVIEW = "overview"
    CALLS = "calls"
    ANALYTICS = "analytics"
    MOMENTS = "moments"
    SEARCH = "search"
    COMPETITORS = "competitors"
    COMPETITOR = "competitor"

    @property
    def path(self) -> str:
        return "/" if self is ViewPage.OVERVIEW else f"/{self}"


@dataclass(frozen=True, slots=True)
class ReportSchedule:
    """Day of the week (Monday is 1) and hour at which the report of a view is sent.

    `set_at` is when the schedule was made, `reported_on` the day of the last report.
    """

    weekday: int
    at: time
    has_quotes: bool = False
    set_by: str | None = None
    set_at: datetime | None = None
    reported_on: date | None = None

    def due_day(self, now: datetime, zone: ZoneInfo) -> date | None:
        """Return the day of the report that is due; None if it was sent, or is not due yet.

        A report that was missed while nothing ran is due until the next one. Where clocks leave
        out the hour, it is due at the next one.
        """
        day = self._latest_day(now.astimezone(zone))
        is_sent = self.reported_on is not None and self.reported_on >= day
        if is_sent or (self.set_at and self.set_at > datetime.combine(day, self.at, zone)):
            return None
        return day

    def _latest_day(self, local: datetime) -> date:
        """Return the last day whose hour has passed."""
        back = (local.isoweekday() - self.weekday) % WEEK_DAYS
        if back == 0 and local.time() < self.at:
            back = WEEK_DAYS
        return local.date() - timedelta(days=back)


def reported_days(day: date) -> tuple[date, date]:
    """Return the first and the last day of a report: the week before the day it is sent."""
    return day - timedelta(days=WEEK_DAYS), day - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SavedView:
    """Filters of a page; with `days`, they are about the last days whenever it is opened.

    `extras` are parameters of the page other than filters, such as the words of a search. `owner`
    is the ID of the visitor who saved it; only shared views are shown to others. `report` is when
    its weekly report is sent.
    """

    name: str
    page: ViewPage
    filters: CallFilters = field(default_factory=CallFilters)
    extras: tuple[tuple[str, str], ...] = ()
    days: int | None = None
    is_shared: bool = False
    owner: str = ""
    made_by: str | None = None
    made_at: datetime | None = None
    view_id: int | None = None
    report: ReportSchedule | None = None

    def filters_on(self, today: date) -> CallFilters:
        """Return the filters of the view when it is opened on a day."""
        if self.days is None:
            return self.filters
        return replace(self.filters, from_day=today - timedelta(days=self.days - 1), to_day=today)

    @property
    def searches_words(self) -> bool:
        """Return whether the view is about words that were said, which have no rates."""
        return any(name == "words" and value.strip() for name, value in self.extras)

    @property
    def subject(self) -> CallFilters:
        """Return which calls and mentions the view is about, on any day."""
        filters = replace(self.filters, from_day=None, to_day=None)
        if self.page is not ViewPage.COMPETITOR:
            return filters
        return replace(filters, competitors=tuple(v for n, v in self.extras if n == "name"))


def filters_document(filters: CallFilters) -> dict[str, Any]:
    """Return the filters as they are stored, without those that match all."""
    days = {"from_day": filters.from_day, "to_day": filters.to_day}
    document: dict[str, Any] = {name: day.isoformat() for name, day in days.items() if day}
    for name in ("agent", "source", "sentiment", "speaker"):
        value = getattr(filters, name)
        document |= {} if value is None else {name: str(value)}
    document |= {"named": True} if filters.named else {}
    document |= {"name": filters.name} if filters.name else {}
    for name in ("competitors", "states", "switching", "moments"):
        values: Iterable[object] | None = getattr(filters, name)
        if values or (values is not None and name == "states"):
            document[name] = [str(each) for each in values]
    return document


def filters_of(document: Mapping[str, Any]) -> CallFilters:
    """Return the filters of `filters_document`."""
    first, last = (document.get(name) for name in ("from_day", "to_day"))
    sentiment, speaker = document.get("sentiment"), document.get("speaker")
    states = document.get("states")
    return CallFilters(
        from_day=date.fromisoformat(first) if first else None,
        to_day=date.fromisoformat(last) if last else None,
        agent=document.get("agent"),
        source=document.get("source"),
        competitors=tuple(document.get("competitors", ())),
        sentiment=MentionSentiment(sentiment) if sentiment else None,
        speaker=Speaker(speaker) if speaker else None,
        named=document.get("named", False),
        states=None if states is None else tuple(map(CallState, states)),
        name=document.get("name", ""),
        switching=tuple(map(SwitchingIntent, document.get("switching", ()))),
        moments=tuple(map(MomentId.parse, document.get("moments", ()))),
    )
