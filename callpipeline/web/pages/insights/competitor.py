"""The page of a competitor (`/competitor?name=…`): its trend, why, who, and its list settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import zip_longest
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.pipeline.reading.competitor import CompetitorPage, load_competitor
from callpipeline.storage.ports.analytics import AgentAnswer, FilterChoices, MentionTrend
from callpipeline.web.filters import FilterForm, QueryFilters, url_with_filters
from callpipeline.web.pages.analytics import change_title, rate_title
from callpipeline.web.pages.insights.charts import Chart, ChartLine, sentiment_chart
from callpipeline.web.pages.insights.moments import (
    clip_url,
    entry_context,
    moment_views,
    moments_url,
)
from callpipeline.web.pages.rendering import page
from callpipeline.web.services.catalog import catalog_in_force
from callpipeline.web.state import State

router = APIRouter()

PATH = "/competitor"


@dataclass(frozen=True, slots=True)
class AnswerView:
    """A customer's words about the competitor and the agent's answer, to play together."""

    answer: AgentAnswer

    @property
    def clip(self) -> str:
        return clip_url(self.answer.call_id, self.answer.start_s, self.answer.end_s)

    @property
    def element_id(self) -> str:
        return f"a-{self.answer.call_id}-{self.answer.start_s:.1f}"


@router.get(PATH)
def competitor(
    request: Request,
    state: State,
    filters: QueryFilters,
    name: Annotated[str, Query(min_length=1, max_length=200)],
) -> HTMLResponse:
    """Show a competitor of the list, or one that is mentioned in calls."""
    catalog, choices = catalog_in_force(state), state.filter_choices()
    exact = _exact_name(name, catalog, choices.competitors)
    if exact is None:
        raise HTTPException(404, "No competitor has this name. It may have been renamed.")
    today = state.today()
    wanted = replace(filters, name="")  # here, the parameter is the competitor's name
    results = load_competitor(
        state.storage.analytics, state.storage.insights, exact, wanted, today=today
    )
    return page(
        request,
        "competitor.html",
        entry=_entry(exact, catalog),
        form=_form(results, choices, today),
        **_context(results),
        **entry_context(request),
    )


def _form(results: CompetitorPage, choices: FilterChoices, today: date) -> FilterForm:
    return FilterForm(
        PATH,
        replace(results.filters, competitors=()),
        choices,
        today,
        extra_params=(("name", results.name),),
        has_competitors=False,
    )


def _context(results: CompetitorPage) -> dict[str, Any]:
    return {
        "results": results,
        "charts": [trend_chart(results), sentiment_chart(results.trend, results.filters)],
        "praised_and_blamed": (
            ("praised", "Praised for", results.praised, MentionSentiment.POSITIVE),
            ("blamed", "Blamed for", results.blamed, MentionSentiment.NEGATIVE),
        ),
        "answers": [AnswerView(each) for each in results.answers],
        "moments_url": moments_url,
        "moment_views": moment_views,
        "url_with_filters": url_with_filters,
        "replace": replace,
        "rate_title": rate_title,
        "change_title": change_title,
    }


def trend_chart(results: CompetitorPage) -> Chart:
    """Chart the mentions of the period, and those of the previous one in the same place."""
    now, before = results.trend, results.trend_before
    pairs = list(zip_longest(now.mentions, before.mentions, fillvalue=0))[: len(now.buckets)]
    lines = [
        _line("This period", [pair[0] for pair in pairs], results.filters, 1, now),
        _line("Period before", [pair[1] for pair in pairs], results.earlier, 7, before),
    ]
    return Chart("trend", "Mentions", "mentions", now.step, now.buckets, lines)


def _line(
    name: str, counts: Sequence[int], filters: CallFilters, colour: int, trend: MentionTrend
) -> ChartLine:
    return ChartLine(name, counts, counts, filters.mentioning_any(), colour, trend.buckets)


def _exact_name(name: str, catalog: Catalog, mentioned: Sequence[str]) -> str | None:
    known = dict.fromkeys([*(each.name for each in catalog.competitors), *mentioned])
    if name in known:
        return name
    return next((each for each in known if each.casefold() == name.casefold()), None)


def _entry(name: str, catalog: Catalog) -> Competitor | None:
    return next((each for each in catalog.competitors if each.name == name), None)
