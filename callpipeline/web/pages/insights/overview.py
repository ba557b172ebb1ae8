"""The overview (`/`): what changed, which customers are at risk, and what needs review."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.pipeline.reading.overview import PERIODS_DAYS, OverviewPage, load_overview
from callpipeline.pipeline.rematch.planning import RematchStatus
from callpipeline.web.filters import url_with_filters
from callpipeline.web.pages.analytics import change_title, rate_title
from callpipeline.web.pages.insights.moments import entry_context, moment_views, moments_url
from callpipeline.web.pages.rendering import page
from callpipeline.web.services.monitoring import HealthReport
from callpipeline.web.state import AppState, State

router = APIRouter()

DEFAULT_DAYS = 28
OPEN_STATES = (CallState.PENDING, CallState.PROCESSING)
DEPENDENCY_LABELS = {
    "database": "the database",
    "results": "the store of results",
    "recordings": "the store of recordings",
    "disk": "the disk",
    "sources": "a source",
}


@router.get("/")
async def overview(
    request: Request,
    state: State,
    days: Annotated[int, Query(ge=1, le=366)] = DEFAULT_DAYS,
) -> HTMLResponse:
    found, health = await asyncio.gather(
        run_in_threadpool(_load, state, days), state.health_checker.health()
    )
    results, waiting, failed, first_day, rematch = found
    filters = results.filters
    return page(
        request,
        "overview.html",
        results=results,
        is_empty=first_day is None and not results.rates.completed,
        periods=[(each, f"/?days={each}") for each in PERIODS_DAYS],
        waiting=waiting,
        waiting_link=url_with_filters("/calls", CallFilters(states=OPEN_STATES)),
        failed=failed,
        failed_link=url_with_filters("/calls", filters.in_state(CallState.FAILED)),
        completed_link=url_with_filters("/calls", filters.in_state(CallState.COMPLETED)),
        naming_link=moments_url(replace(filters, named=True).in_state(CallState.COMPLETED)),
        down=_down(health),
        moments_url=moments_url,
        moment_views=moment_views,
        rate_title=rate_title,
        change_title=change_title,
        rematch_status=rematch,
        **entry_context(request),
    )


def _load(
    state: AppState, days: int
) -> tuple[OverviewPage, int, int, date | None, RematchStatus | None]:
    """Return the page's numbers, calls that wait and that failed, first day, and the rematch."""
    storage = state.storage
    results = load_overview(
        storage.analytics,
        storage.insights,
        storage.reviews,
        today=state.today(),
        days=days,
    )
    waiting = storage.calls.count(CallFilters(states=OPEN_STATES))
    failed = storage.calls.count(results.filters.in_state(CallState.FAILED))
    return results, waiting, failed, state.filter_choices().first_day, state.rematch_status()


def _down(health: HealthReport) -> Sequence[str]:
    """Name what is down, without its details, which name hosts."""
    names = [name for name, each in health.dependencies.items() if each.state == "down"]
    return [DEPENDENCY_LABELS.get(name, name) for name in names]
