"""Agents and teams compared (`/agents`), the page of an agent, and that of a customer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import NO_AGENT, CallFilters
from callpipeline.pipeline.reading.agents import AgentComparison, ComparedAgent, compare_agents
from callpipeline.storage.ports.analytics import AgentWork
from callpipeline.web.filters import (
    UNKNOWN_AGENT,
    FilterForm,
    NameParam,
    QueryFilters,
    filter_parameters,
    url_with_filters,
)
from callpipeline.web.pages.analytics import rate_title
from callpipeline.web.pages.insights.competitor import AnswerView
from callpipeline.web.pages.insights.moments import entry_context, moment_views, moments_url
from callpipeline.web.pages.rendering import page
from callpipeline.web.pages.status_view import list_rows
from callpipeline.web.state import AppState, State

router = APIRouter()

DEFAULT_DAYS = 28
MAX_ANSWERS = 5
MAX_MOMENTS = 5
MAX_CALLS = 200
COLUMNS: Mapping[str, str] = {
    "completed": "Completed calls",
    "talk_share": "Agent talks",
    "raised": "Raised by agent",
    "asked": "Raised by customers",
    "answered": "Answered",
}
SortColumn = Annotated[str, Query(pattern=f"^({'|'.join(['name', 'team', *COLUMNS])})$")]
AgentName = Annotated[NameParam, Query(min_length=1, description="The agent, ignoring case")]


@dataclass(frozen=True, slots=True)
class AgentSorting:
    """Sorting of the table of agents: by a column, ascending or descending."""

    sort: SortColumn = "completed"
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc"

    def link(self, filters: CallFilters, column: str) -> str:
        """Return the link that sorts by a column, or turns its order around."""
        first = "asc" if column in ("name", "team") else "desc"
        other = {"asc": "desc", "desc": "asc"}[self.order]
        order = other if column == self.sort else first
        return url_with_filters("/agents", filters, sort=column, order=order)

    def direction(self, column: str) -> str | None:
        """Return the value of `aria-sort`."""
        if column != self.sort:
            return None
        return "ascending" if self.order == "asc" else "descending"

    def sorted(self, agents: list[ComparedAgent]) -> list[ComparedAgent]:
        """Return the agents in order; those without a value come last."""
        known = [each for each in agents if _value(each, self.sort) is not None]
        missing = [each for each in agents if _value(each, self.sort) is None]
        known.sort(key=lambda each: _value(each, self.sort), reverse=self.order == "desc")
        return known + missing


def _value(agent: ComparedAgent, column: str) -> Any:
    work = agent.work
    values: Mapping[str, Any] = {
        "name": (agent.name or "").casefold() or None,
        "team": agent.team and agent.team.casefold(),
        "completed": work.completed,
        "talk_share": work.talk_share,
        "raised": work.raised_rate.per_100,
        "asked": work.asked_rate.per_100,
        "answered": work.answered_share,
    }
    return values[column]


@router.get("/agents")
def agents(
    request: Request, state: State, filters: QueryFilters, sort: SortColumn = "completed",
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
) -> HTMLResponse:  # fmt: skip
    """Compare all agents and teams, by default of the last four weeks."""
    found, sorting = _compare(state, filters), AgentSorting(sort, order)
    return page(
        request,
        "agents.html",
        found=found,
        agents=sorting.sorted(list(found.agents)),
        sorting=sorting,
        form=_form(state, "/agents", found.filters),
        **_shared(),
    )


@router.get("/agent")
def agent(request: Request, state: State, filters: QueryFilters, name: AgentName) -> HTMLResponse:
    """Show an agent beside the team and all: talk, mentions raised and answered, and quotes."""
    found = _compare(state, replace(filters, agent=None, name=""))
    key = NO_AGENT if name == UNKNOWN_AGENT else name
    own = found.agent(key) or _without_calls(state, key)
    of_agent = replace(found.filters, agent=own.name or NO_AGENT).in_state(CallState.COMPLETED)
    asked = replace(of_agent, speaker=Speaker.CUSTOMER)
    insights, analytics = state.storage.insights, state.storage.analytics
    raised = replace(of_agent, speaker=Speaker.AGENT)
    return page(
        request,
        "agent.html",
        agent=own,
        found=found,
        team=found.team(own.team),
        calls_link=url_with_filters("/calls", of_agent),
        raised=raised,
        asked=asked,
        newest=analytics.mentions(raised, limit=MAX_MOMENTS).mentions,
        answers=[AnswerView(each) for each in insights.answers(asked, limit=MAX_ANSWERS)],
        form=_form(state, "/agent", found.filters, (("name", name),)),
        **_shared(),
        **entry_context(request),
    )


@router.get("/customer")
def customer(
    request: Request,
    state: State,
    name: Annotated[NameParam, Query(min_length=1, description="The customer, ignoring case")],
) -> HTMLResponse:
    """List the calls of a customer, newest first, and what they say about competitors."""
    storage = state.storage
    found = storage.insights.calls_of_customer(name, limit=MAX_CALLS + 1)
    calls = storage.calls.by_id(found[:MAX_CALLS])
    if not calls:
        raise HTTPException(404, "No call has this customer.")
    ordered = sorted(calls, key=lambda each: found.index(each.call_id))
    return page(
        request,
        "customer.html",
        customer=ordered[0].metadata.get("customer", name),
        count=len(ordered),
        has_more=len(found) > MAX_CALLS,
        rows=list_rows(state.tracker.track(ordered), state.links),
        this_page=f"/customer?{urlencode({'name': name})}",
    )


def _compare(state: AppState, filters: CallFilters) -> AgentComparison:
    if filters.from_day is None and filters.to_day is None:
        today = state.today()
        first = today - timedelta(days=DEFAULT_DAYS - 1)
        filters = replace(filters, from_day=first, to_day=today)
    return compare_agents(state.storage.insights, filters, state.teams())


def _without_calls(state: AppState, key: str) -> ComparedAgent:
    """Return an agent whose calls are of other days. Raises HTTPException (404)."""
    names = [each for each in state.filter_choices().agents if each.casefold() == key.casefold()]
    if key != NO_AGENT and not names:
        raise HTTPException(404, "No agent has this name.")
    name = key if key in names else next(iter(names), None)
    return ComparedAgent((name or NO_AGENT).lower(), name, state.teams().of(key), AgentWork())


def _form(
    state: AppState, path: str, filters: CallFilters, extras: tuple[tuple[str, str], ...] = ()
) -> FilterForm:
    return FilterForm(path, filters, state.filter_choices(), state.today(), extra_params=extras)


def _shared() -> dict[str, Any]:
    return {
        "columns": COLUMNS,
        "rate_title": rate_title,
        "moments_url": moments_url,
        "moment_views": moment_views,
        "agent_url": agent_url,
        "replace": replace,
        "speakers": Speaker,
        "states": CallState,
    }


def agent_url(name: str | None, filters: CallFilters) -> str:
    """Return the link to the page of an agent with the days of the filters."""
    parameters = [("name", name or UNKNOWN_AGENT)]
    parameters += [each for each in filter_parameters(filters) if each[0] in ("from", "to")]
    return f"/agent?{urlencode(parameters)}"
