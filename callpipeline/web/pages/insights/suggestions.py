"""The page of suggested aliases (`/competitors/suggestions`): what recognisers wrote for a name."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Header, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, field_validator

from callpipeline.errors import CatalogConflict, CatalogInvalid, UnknownCatalog
from callpipeline.pipeline.rematch.suggestions import (
    AliasMiner,
    AliasQuote,
    SuggestionReport,
)
from callpipeline.storage.catalog.editing import (
    cleaned_aliases,
    listed_competitor,
    with_sounds_like,
)
from callpipeline.storage.catalog.versions import NewChange
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.storage.postgres.database import sanitize_text
from callpipeline.web.access import Admin, Scope, Visitor, require
from callpipeline.web.pages.insights.moments import clip_url
from callpipeline.web.pages.rendering import page
from callpipeline.web.services.catalog import catalog_in_force
from callpipeline.web.state import AppState, State
from callpipeline.wiring import open_sound_finder

router = APIRouter(prefix="/competitors/suggestions")

CALLS = (30, 100, 300)
"""Choices of how many calls are read: a person waits for them, about 50 ms each."""
QUOTE_S = 2.0
NO_STORE = {"Cache-Control": "no-store"}
may_change = Depends(require(Scope.ADMIN, page=True, action="change the competitor list"))


class AliasDecision(BaseModel):
    """Form of a decision on a suggestion."""

    competitor: str = Field(max_length=200)
    alias: str = Field(max_length=200)
    decision: Literal["accept", "refuse"]

    @field_validator("competitor", "alias")
    @classmethod
    def _storable(cls, value: str) -> str:
        return sanitize_text(value)


@dataclass(frozen=True, slots=True)
class Search:
    """A search for aliases, and its result if there is one."""

    name: str = ""
    calls: int = CALLS[1]
    report: SuggestionReport | None = None
    problem: str = ""


@router.get("", dependencies=[may_change])
async def suggestions(
    request: Request,
    state: State,
    name: Annotated[str, Query(max_length=200)] = "",
    calls: Annotated[int, Query(ge=0, le=max(CALLS))] = 0,
) -> Response:
    """Show the form, and with a number of calls also what was heard in the newest ones."""
    report, problem = None, ""
    if calls:
        try:
            async with state.competitors.searches:
                report = await asyncio.to_thread(_mine, state, sanitize_text(name), calls)
        except UnknownCatalog:
            problem = "This name is no longer on the list."
    search = Search(name, calls or CALLS[1], report, problem)
    status = 404 if problem else 200
    return await asyncio.to_thread(_suggestions_page, request, state, search, status)


def _suggestions_page(
    request: Request,
    state: AppState,
    search: Search,
    status: int,
) -> Response:
    return page(
        request,
        "competitors/suggestions.html",
        status,
        headers=NO_STORE,
        search=search,
        names=[each.name for each in catalog_in_force(state).competitors],
        choices=CALLS,
        clip=_clip,
    )


def _clip(quote: AliasQuote) -> str:
    return clip_url(quote.call_id, quote.start_s, quote.start_s + QUOTE_S)


def _mine(state: AppState, name: str, calls: int) -> SuggestionReport:
    catalog = catalog_in_force(state)
    only = listed_competitor(catalog, name).name if name else None
    options = state.options
    miner = AliasMiner(state.storage.suggestions, lambda forms: open_sound_finder(options, forms))
    return miner.mine(catalog, only=only, max_calls=calls)


@router.post("", dependencies=[may_change])
def decide(
    request: Request,
    state: State,
    decision: Annotated[AliasDecision, Form()],
    visitor: Admin,
    hx_request: Annotated[str | None, Header()] = None,
) -> Response:
    """Accept an alias, which past calls follow in a rematch, or never propose it again."""
    problem = ""
    try:
        _decide(state, decision, visitor)
    except (CatalogInvalid, CatalogConflict, UnknownCatalog) as error:
        problem = str(error)
    if hx_request is None:
        if problem:
            return _suggestions_page(request, state, Search(problem=problem), 409)
        return RedirectResponse("/competitors/suggestions", 303)
    return page(
        request,
        "competitors/suggestion_decided.html",
        409 if problem else 200,
        headers=NO_STORE,
        decided=decision,
        problem=problem,
    )


def _decide(state: AppState, decision: AliasDecision, visitor: Visitor) -> None:
    """Apply a decision. Raises CatalogInvalid, CatalogConflict, UnknownCatalog."""
    catalog = catalog_in_force(state)
    named = listed_competitor(catalog, decision.competitor)
    aliases = cleaned_aliases([decision.alias])
    refusals = state.storage.suggestions
    if decision.decision == "refuse":
        refusals.refuse(named.name, aliases, visitor.name)
        return
    changed = with_sounds_like(catalog, named, aliases)
    note = f"{named.name} is heard as {aliases[0]}"
    change = NewChange(ChangeOrigin.PAGE, visitor.name, note, catalog.version)
    state.storage.catalogs.apply(changed, change)
    refusals.forget_refusals(named.name, aliases)
