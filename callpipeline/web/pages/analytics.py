"""The analytics page: totals, charts and tables; every number links to the calls behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.rates import Rate, RateChange
from callpipeline.pipeline.reading.analytics import AnalyticsPage, load_analytics
from callpipeline.storage.ports.analytics import AgentNumbers, CompetitorNumbers
from callpipeline.web.filters import (
    DownloadLinks,
    FilterForm,
    NameParam,
    QueryFilters,
    filter_parameters,
    url_with_filters,
)
from callpipeline.web.pages.insights.charts import (
    charted_names,
    sentiment_chart,
    share_of_voice_chart,
)
from callpipeline.web.pages.insights.moments import entry_context, moment_views
from callpipeline.web.pages.rendering import page, rate
from callpipeline.web.state import State

router = APIRouter()

PATH = "/analytics"
MAX_PICKED = 10
"""Competitors that a user can add to the chart."""
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


CompetitorKey = Literal[
    "competitor", "mentions", "calls", "by_agent", "by_customer",
    "positive", "neutral", "negative", "mixed", "customer_score", "agent_score", "change",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableSorting:
    """Query parameters of the tables: by agent, and by competitor."""

    sort: SortKey = "mentions"
    order: Order = "down"
    agents: Literal["all"] | None = None
    by: CompetitorKey = "mentions"
    by_order: Order = "down"


@dataclass(frozen=True, slots=True)
class AgentTable:
    """Agents in the requested order, and the links of the table headers."""

    results: AnalyticsPage
    sorting: TableSorting
    lines: Sequence[str] = ()
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

    def _link(self, to: TableSorting) -> str:
        return f"{_sorted_url(self.results.filters, to, self.lines)}#agents"


@dataclass(frozen=True, slots=True)
class CompetitorTable:
    """Competitors in the requested order, and the links of the table headers."""

    results: AnalyticsPage
    sorting: TableSorting
    lines: Sequence[str] = ()

    @property
    def competitors(self) -> Sequence[CompetitorNumbers]:
        """Return the competitors; those without a value come last."""
        keyed = [(self._key(each), each) for each in self.results.competitors]
        known = [pair for pair in keyed if pair[0] is not None]
        known.sort(key=lambda pair: pair[0], reverse=self.sorting.by_order == "down")
        return [each for _, each in known] + [each for key, each in keyed if key is None]

    def direction(self, key: CompetitorKey) -> str | None:
        """Return the value of `aria-sort`, if the table is sorted by this column."""
        if key != self.sorting.by:
            return None
        return "ascending" if self.sorting.by_order == "up" else "descending"

    def link(self, key: CompetitorKey) -> str:
        """Return the link that sorts by this column, or reverses the order."""
        is_reversed = key == self.sorting.by and self.sorting.by_order == "down"
        order: Order = "up" if is_reversed or (key == "competitor" != self.sorting.by) else "down"
        to = replace(self.sorting, by=key, by_order=order)
        return f"{_sorted_url(self.results.filters, to, self.lines)}#competitors"

    def _key(self, of: CompetitorNumbers) -> Any:
        match self.sorting.by:
            case "competitor":
                return of.name.casefold()
            case "calls":
                return of.calls
            case "change":
                change = self.results.change(of)
                return change and change.relative
            case column:
                return getattr(of.counts, column)


def _sorted_url(filters: CallFilters, to: TableSorting, lines: Sequence[str]) -> str:
    params = {"sort": to.sort, "order": to.order, "agents": to.agents}
    params |= {"by": to.by, "by_order": to.by_order}
    picked = urlencode([("line", each) for each in lines])
    return url_with_filters(PATH, filters, **params) + (f"&{picked}" if picked else "")


@router.get(PATH)
def analytics(
    request: Request,
    filters: QueryFilters,
    state: State,
    sorting: Annotated[TableSorting, Depends()],
    line: Annotated[list[NameParam], Query(max_length=MAX_PICKED)] = [],  # noqa: B006
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> HTMLResponse:
    today = state.today()
    results = load_analytics(
        state.storage.analytics, filters, state.filter_choices(), today=today, after=after
    )
    context = analytics_context(results, today, sorting, line) | entry_context(request)
    newest = moment_views(results.newest.mentions) if results.newest else []
    status = state.rematch_status()
    return page(request, "analytics.html", moments=newest, rematch_status=status, **context)


def analytics_context(
    results: AnalyticsPage, today: date, sorting: TableSorting, picked: Sequence[str]
) -> dict[str, Any]:
    filters = results.filters
    names = [each.name for each in results.competitors]
    charted = charted_names(results.mentions_of_all, names, picked)
    return {
        "results": results,
        "form": FilterForm(PATH, filters, results.choices, today),
        "table": AgentTable(results, sorting, picked),
        "competitor_table": CompetitorTable(results, sorting, picked),
        "chart_params": [
            *filter_parameters(filters),
            *(("line", name) for name in charted if name in picked),
        ],
        "pickable": [name for name in names if name not in charted],
        "charts": [
            share_of_voice_chart(results.mentions_of_all, names, filters, charted),
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
    if change.relative is None and not change.is_new:
        return f"{both} ({counts})"
    return f"{both} ({counts}); {'more than chance' if change.is_clear else 'may be chance'}"
