"""Weekly reports of saved views: the page's numbers, and the email that is sent with them.

Like alerts, events hold numbers and the ids of mentions, no words.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from callpipeline.domain.calls.filters import MomentId
from callpipeline.domain.calls.rates import Rate, RateChange
from callpipeline.domain.calls.saved_views import WEEK_DAYS, SavedView, reported_days
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationEvent,
    Severity,
)
from callpipeline.pipeline.reading.overview import OverviewPage, changes_of, load_overview
from callpipeline.storage.ports.analytics import AnalyticsReader, InsightReader, ListedMention
from callpipeline.storage.ports.results import DecisionCounter

MAX_QUOTES = 5
MAX_LISTED = 20
"""Competitors in the table of a report."""


@dataclass(frozen=True, slots=True)
class WeeklyReport:
    """Numbers of a view about the week before `day`; `changes` have the most mentioned first."""

    view: SavedView
    day: date
    overview: OverviewPage
    changes: Sequence[tuple[str, RateChange]]

    @property
    def first(self) -> date:
        return reported_days(self.day)[0]

    @property
    def last(self) -> date:
        return reported_days(self.day)[1]

    @property
    def naming(self) -> RateChange:
        """Return the completed calls that mention a competitor, now and the week before."""
        now, before = self.overview.rates, self.overview.before
        return RateChange(
            Rate(now.with_mention, now.with_mention, now.completed),
            Rate(before.with_mention, before.with_mention, before.completed),
        )

    @property
    def to_review(self) -> dict[str, int]:
        """Return the open questions about competitors of the view, or about all."""
        names = {name.casefold() for name in self.view.subject.competitors}
        pending = self.overview.to_review.items()
        return {name: count for name, count in pending if not names or name.casefold() in names}


def load_report(
    analytics: AnalyticsReader,
    insights: InsightReader,
    reviews: DecisionCounter,
    view: SavedView,
    day: date,
) -> WeeklyReport:
    """Load the report of a view that is sent on a day."""
    _, last = reported_days(day)
    overview = load_overview(
        analytics, insights, reviews, today=last, days=WEEK_DAYS, subject=view.subject
    )
    changes = changes_of(overview.rates, overview.before)
    listed = sorted(changes.items(), key=lambda each: (-each[1].now.events, each[0]))
    return WeeklyReport(view, day, overview, listed[:MAX_LISTED])


class ReportedViews(Protocol):
    """Shared views with a weekly report, and what was sent."""

    def with_report(self) -> Sequence[SavedView]: ...

    def report(self, view_id: int, day: date, report: NotificationEvent, now: datetime) -> bool: ...


class TimeZoneOfDays(Protocol):
    """The time zone in which days, and the hours of reports, are counted."""

    def get(self) -> ZoneInfo: ...


@dataclass(frozen=True, slots=True)
class ReportMonitor:
    """Adds the reports that are due to the outbox, each once."""

    views: ReportedViews
    analytics: AnalyticsReader
    insights: InsightReader
    reviews: DecisionCounter
    zone: TimeZoneOfDays

    def check(self, now: datetime) -> list[str]:
        """Report what is due; return the titles of new reports."""
        views, titles = self.views.with_report(), list[str]()
        zone = self.zone.get() if views else ZoneInfo("UTC")
        for view in views:
            day = view.report.due_day(now, zone) if view.report else None
            if day is None or view.view_id is None:
                continue
            report = load_report(self.analytics, self.insights, self.reviews, view, day)
            event = report_event(report)
            if self.views.report(view.view_id, day, event, now):
                titles.append(event.title)
        return titles


def report_path(view_id: int | None, day: date) -> str:
    """Return the path of the page of a report."""
    return f"/views/{view_id}/report?day={day}"


def report_event(report: WeeklyReport) -> NotificationEvent:
    """Return the event of a report, for email only: other channels are for news."""
    view = report.view
    key = f"{EventKind.WEEKLY_REPORT}:{view.view_id}:{report.day}"
    has_quotes = view.report is not None and view.report.has_quotes
    return NotificationEvent(
        EventKind.WEEKLY_REPORT,
        Severity.INFO,
        f"Weekly report: {view.name}, {report.first} to {report.last}",
        "\n\n".join(_parts(report)),
        group_key=key,
        subject=key,
        metadata={
            "path": report_path(view.view_id, report.day),
            "moments": [str(each) for each in _moments(report)] if has_quotes else [],
        },
        channels=(NotificationChannel.EMAIL,),
    )


def _moments(report: WeeklyReport) -> list[MomentId]:
    """Return the mentions to quote: customers at risk first, then those of movers."""
    overview = report.overview
    movers = (*overview.gainers, *overview.losers, *overview.first_heard)
    found: list[ListedMention] = [*overview.at_risk.newest]
    found += [quote for mover in movers for quote in mover.quotes]
    ids = (MomentId(each.call_id, each.detail.mention_id) for each in found)
    return list(dict.fromkeys(ids))[:MAX_QUOTES]


def _parts(report: WeeklyReport) -> Iterator[str]:
    """Yield the paragraphs of the message."""
    overview, naming = report.overview, report.naming
    if not naming.now.of:
        yield f"No completed calls in this week, {naming.before.of:,} in the week before."
    else:
        yield (
            f"{naming.now.of:,} completed calls ({naming.before.of:,} in the week before). "
            f"{_stated(naming, 'calls with a mention')}."
        )
    for title, movers in (
        ("Gaining by more than chance", overview.gainers),
        ("Losing by more than chance", overview.losers),
        ("Never heard before", overview.first_heard),
    ):
        if movers:
            yield "\n".join(
                [f"{title}:", *(f"- {each.name}: {_stated(each.change)}" for each in movers)]
            )
    if not (overview.gainers or overview.losers or overview.first_heard):
        yield "No competitor changed by more than chance."
    yield _risk(report)
    if pending := sum(report.to_review.values()):
        names = _listed(report.to_review, lambda name: f"{name} ({report.to_review[name]:,})")
        yield f"To review: {pending:,} possible mentions: {names}."


def _risk(report: WeeklyReport) -> str:
    count = report.overview.at_risk.count
    if not count.moments:
        return "No customer said that they leave for a competitor, or consider one."
    return (
        f"Customers at risk: {count.moments:,} moments in {count.calls:,} calls in which a "
        "customer leaves for a competitor, or considers one."
    )


def _listed(names: dict[str, int], shown: Callable[[str], str]) -> str:
    first = ", ".join(shown(name) for name in [*names][:5])
    return first if len(names) <= 5 else f"{first}, …"


def _stated(change: RateChange, what: str = "mentions") -> str:
    now, before = change.now, change.before
    low, high = now.interval or (0.0, 0.0)
    stated = f"{now.per_100 or 0.0:.1f} {what} per 100 completed calls"
    return (
        f"{stated} (95 %: {low:.1f} to {high:.1f}; {now.events:,} in {now.of:,}), "
        f"{before.per_100 or 0.0:.1f} before ({before.events:,} in {before.of:,})"
    )
