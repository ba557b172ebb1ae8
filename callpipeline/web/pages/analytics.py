"""The analytics page: totals, charts and tables; every number links to the calls behind it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.calls.rates import Rate, RateChange
from callpipeline.domain.time_buckets import BucketSize, TimeBucket
from callpipeline.pipeline.reading.analytics import AnalyticsPage, load_analytics
from callpipeline.storage.ports.analytics import AgentNumbers, MentionTrend
from callpipeline.web.filters import DownloadLinks, FilterForm, QueryFilters, url_with_filters
from callpipeline.web.pages.insights.moments import entry_context, moment_views, moments_url
from callpipeline.web.pages.rendering import SENTIMENT_LABELS, page, rate
from callpipeline.web.state import State

router = APIRouter()

PATH = "/analytics"
MAX_AGENTS = 25
"""Rows of the agent table, unless all are requested."""

SortKey = Literal[
    "agent", "calls", "named", "mentions", "positive", "negative", "score", "own_score"
]
Order = Literal["up", "down"]
SORT_KEYS: Mapping[str, Callable[[AgentNumbers], Any]] = {
    "agent": lambda of: (of.name or "").casefold(),
    "calls": lambda of: of.calls,
    "named": lambda of: of.calls_with_mention,
    "mentions": lambda of: of.counts.mentions,
    "positive": lambda of: of.counts.positive,
    "negative": lambda of: of.counts.negative,
    "score": lambda of: of.counts.customer_score,
    "own_score": lambda of: of.counts.agent_score,
}
HEADERS: Sequence[tuple[SortKey, str]] = (
    ("agent", "Agent"),
    ("calls", "Calls"),
    ("named", "Calls with mentions"),
    ("mentions", "Mentions"),
    ("positive", "Positive"),
    ("negative", "Negative"),
    ("score", "Customers' score"),
    ("own_score", "Agent's score"),
)


@dataclass(frozen=True, slots=True)
class AgentSorting:
    """Query parameters of the agent table."""

    sort: SortKey = "mentions"
    order: Order = "down"
    agents: Literal["all"] | None = None


@dataclass(frozen=True, slots=True)
class AgentTable:
    """Agents in the requested order, and the links of the table headers."""

    results: AnalyticsPage
    sorting: AgentSorting
    headers = HEADERS

    @property
    def agents(self) -> Sequence[AgentNumbers]:
        key = SORT_KEYS[self.sorting.sort]
        with_value = [each for each in self.results.agents if key(each) is not None]
        without_value = [each for each in self.results.agents if key(each) is None]
        ordered = sorted(with_value, key=key, reverse=self.sorting.order == "down")
        ordered += without_value
        return ordered if self.sorting.agents else ordered[:MAX_AGENTS]

    @property
    def hidden_count(self) -> int:
        return len(self.results.agents) - len(self.agents)

    @property
    def show_all_link(self) -> str:
        return self._link(replace(self.sorting, agents="all"))

    def link(self, header: SortKey) -> str:
        """Return the link that sorts by this column, or reverses the order."""
        if header == self.sorting.sort:
            order: Order = "down" if self.sorting.order == "up" else "up"
        else:
            order = "up" if header == "agent" else "down"
        return self._link(replace(self.sorting, sort=header, order=order))

    def _link(self, to: AgentSorting) -> str:
        params = {"sort": to.sort, "order": to.order, "agents": to.agents}
        return f"{url_with_filters(PATH, self.results.filters, **params)}#agents"


MAX_LINES = 6
"""Competitors with their own line; all others share one."""

OTHERS = "All others"
COLOURS = {
    MentionSentiment.POSITIVE: 3,
    MentionSentiment.NEUTRAL: 7,
    MentionSentiment.NEGATIVE: 2,
    MentionSentiment.MIXED: 4,
    MentionSentiment.UNJUDGED: 5,
}


@dataclass(frozen=True, slots=True)
class ChartLine:
    """Line of a chart: values to draw and mentions per bucket, selected by `filters`.

    `colour` is a number of the style sheet, 1 to 7. `days` are the line's own buckets, where they
    are not those of the chart.
    """

    name: str
    values: Sequence[float | None]
    counts: Sequence[int]
    filters: CallFilters
    colour: int
    days: Sequence[TimeBucket] = ()

    @property
    def link(self) -> str:
        """Return the link to its moments; scripts add the days of a point."""
        return moments_url(self.filters)

    def bucket_link(self, index: int, bucket: TimeBucket) -> str:
        own = self.days[index] if index < len(self.days) else bucket
        return moments_url(self.filters.between(own.first, own.last))


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over time; the page also shows them as a table."""

    name: str
    title: str
    unit: str
    step: BucketSize
    buckets: Sequence[TimeBucket]
    lines: Sequence[ChartLine]

    def data(self) -> dict[str, Any]:
        """Return the JSON data for charts.js."""
        return {
            "title": self.title,
            "unit": self.unit,
            "step": self.step,
            "buckets": [_days(each) for each in self.buckets],
            "lines": [
                {
                    "name": line.name,
                    "values": line.values,
                    "link": line.link,
                    "colour": line.colour,
                    "buckets": [_days(each) for each in line.days],
                }
                for line in self.lines
            ],
        }

    def rows(self) -> Iterator[tuple[TimeBucket, list[tuple[str, float | None, int]]]]:
        """Yield the buckets with mentions, newest first: link, value and count of each line."""
        for index in reversed(range(len(self.buckets))):
            bucket = self.buckets[index]
            cells = [
                (line.bucket_link(index, bucket), line.values[index], line.counts[index])
                for line in self.lines
            ]
            if any(count for *_, count in cells):
                yield bucket, cells


@router.get(PATH)
def analytics(
    request: Request,
    filters: QueryFilters,
    state: State,
    sorting: Annotated[AgentSorting, Depends()],
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> HTMLResponse:
    today = datetime.now(UTC).date()
    results = load_analytics(
        state.storage.analytics, filters, state.filter_choices(), today=today, after=after
    )
    context = analytics_context(results, today, sorting) | entry_context(request)
    newest = moment_views(results.newest.mentions) if results.newest else []
    status = state.rematch_status()
    return page(request, "analytics.html", moments=newest, rematch_status=status, **context)


def analytics_context(results: AnalyticsPage, today: date, sorting: AgentSorting) -> dict[str, Any]:
    filters = results.filters
    names = [each.name for each in results.competitors]
    return {
        "results": results,
        "form": FilterForm(PATH, filters, results.choices, today),
        "table": AgentTable(results, sorting),
        "charts": [
            share_of_voice_chart(results.mentions_of_all, names, filters),
            sentiment_chart(results.over_time, filters),
        ],
        "url_with_filters": url_with_filters,
        "replace": replace,
        "rate_title": rate_title,
        "change_title": change_title,
        "states": CallState,
        "downloads": [
            DownloadLinks("mentions", filters.mentioning_any()),
            DownloadLinks("calls", filters.counted()),
        ],
    }


def rate_title(of: Rate) -> str:
    """Explain a rate: its interval and the calls it is based on."""
    interval = of.interval
    if interval is None:
        return f"{of.events:,} in {of.of:,} completed calls"
    low, high = map(rate, interval)
    return f"{of.events:,} in {of.of:,} completed calls; 95 %: {low} to {high} per 100"


def change_title(change: RateChange) -> str:
    """Explain a change: both rates, and whether it is more than chance."""
    both = f"{rate(change.before.per_100)} per 100 calls before, {rate(change.now.per_100)} now"
    counts = f"{change.before.of:,} and {change.now.of:,} completed calls"
    if change.relative is None:
        return f"{both} ({counts})"
    return f"{both} ({counts}); {'more than chance' if change.is_clear else 'may be chance'}"


def share_of_voice_chart(trend: MentionTrend, names: Sequence[str], filters: CallFilters) -> Chart:
    """Chart the share of all mentions of the most mentioned of these competitors."""
    names = [name for name in trend.by_competitor if name in names]
    lines = [
        ChartLine(
            name,
            trend.share(name),
            trend.by_competitor[name],
            filters.with_competitor(name),
            number,
        )
        for number, name in enumerate(names[:MAX_LINES], start=1)
    ]
    if others := names[MAX_LINES:]:
        lines.append(_others_line(trend, others, filters))
    return Chart("share", "Share of voice", "percent", trend.step, trend.buckets, lines)


def sentiment_chart(trend: MentionTrend, filters: CallFilters) -> Chart:
    """Chart the number of mentions by sentiment."""
    counts = {each: trend.by_sentiment.get(each, ()) for each in MentionSentiment}
    lines = [
        ChartLine(
            SENTIMENT_LABELS[each],
            counts[each],
            counts[each],
            filters.with_sentiment(each),
            COLOURS[each],
        )
        for each in MentionSentiment
        if any(counts[each])
    ]
    return Chart("sentiment", "Sentiment", "mentions", trend.step, trend.buckets, lines)


def _others_line(trend: MentionTrend, names: Sequence[str], filters: CallFilters) -> ChartLine:
    columns = zip(*(trend.by_competitor[name] for name in names), strict=True)
    counts = [sum(column) for column in columns]
    shares = [n / of if of else None for n, of in zip(counts, trend.mentions, strict=True)]
    selected = replace(filters.mentioning_any(), competitors=tuple(names))
    return ChartLine(OTHERS, shares, counts, selected, MAX_LINES + 1)


def _days(bucket: TimeBucket) -> list[str]:
    return [bucket.first.isoformat(), bucket.last.isoformat()]
