"""The page of the competitor list (`/competitors`): its numbers, changes, and their rematch."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, Form, Header, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.background import BackgroundTask

from callpipeline.errors import CatalogConflict
from callpipeline.pipeline.reading.competitors import TREND_WEEKS, load_competitors
from callpipeline.pipeline.rematch.planning import RematchPhase
from callpipeline.pipeline.rematch.previews import QUOTE_CHARS
from callpipeline.storage.ports.rematch import ChangeOrigin
from callpipeline.web.access import Admin, Scope, require
from callpipeline.web.pages.analytics import change_title
from callpipeline.web.pages.competitors_view import (
    MAX_FORM_TEXT,
    ORIGIN_LABELS,
    SPARKLINE_SIZE,
    ListSorting,
    ProposalForm,
    ProposalView,
    entry_form,
    history_rows,
    proposal_view,
    propose,
    sparkline,
    text_form,
)
from callpipeline.web.pages.rendering import page
from callpipeline.web.services import catalog as service
from callpipeline.web.services.catalog import catalog_in_force, current_status
from callpipeline.web.state import AppState, State

router = APIRouter(prefix="/competitors")

Result = TypeVar("Result")
HISTORY_SIZE = 30
MAX_HISTORY = 500
Name = Annotated[str, Query(max_length=200)]
HxRequest = Annotated[str | None, Header()]
Proposal = Annotated[ProposalForm, Form()]
View = Literal["list", "numbers"]
may_change = Depends(require(Scope.ADMIN, page=True, action="change the competitor list"))


@router.get("")
def competitors(
    request: Request, state: State, sorting: Annotated[ListSorting, Depends()]
) -> Response:
    catalog = catalog_in_force(state)
    today = state.today()
    current = state.storage.catalogs.current()
    overview = load_competitors(state.storage.analytics, state.storage.reviews, catalog, today)
    return page(
        request,
        "competitors.html",
        listed=sorting.sorted(overview.competitors),
        sorting=sorting,
        problem="" if current else service.list_problem(state),
        current=current,
        origin=ORIGIN_LABELS[current.origin] if current else "",
        files=state.storage.catalogs.files(),
        watched=state.options.catalog_path.name,
        rematch_status=current_status(state),
        sparkline=sparkline,
        sparkline_size=SPARKLINE_SIZE,
        weeks=TREND_WEEKS,
        change_title=change_title,
    )


@router.get("/status")
def status(
    request: Request, state: State, was: RematchPhase = RematchPhase.CURRENT, view: View = "list"
) -> Response:
    """Render the banner of the rematch again, and say so when the rematch has ended."""
    found = state.rematch_status()
    is_over = found is not None and found.phase is RematchPhase.CURRENT is not was
    headers = {"HX-Trigger": "rematched"} if is_over else None
    return page(
        request,
        "competitors/status.html",
        headers=headers,
        rematch_status=found,
        view=view,
        is_over=is_over,
    )


@router.get("/history")
def history(
    request: Request,
    state: State,
    limit: Annotated[int, Query(ge=1, le=MAX_HISTORY)] = HISTORY_SIZE,
) -> Response:
    rows = history_rows(state.storage.catalogs, limit + 1)
    more = min(10 * limit, MAX_HISTORY) if len(rows) > limit < MAX_HISTORY else None
    return page(request, "competitors/history.html", rows=rows[:limit], more=more)


@router.get("/edit", dependencies=[may_change])
def edit(request: Request, state: State, name: Name = "") -> Response:
    """Show the form of a competitor, or an empty one."""
    catalog = catalog_in_force(state)
    form = ProposalForm(base=catalog.version)
    if name:
        listed = {each.name: each for each in catalog.competitors}
        if name not in listed:
            raise HTTPException(404, "This name is no longer on the list.")
        form = entry_form(listed[name], catalog.version)
    return _empty_form(request, form)


@router.get("/remove", dependencies=[may_change])
async def remove(request: Request, state: State, name: Name) -> Response:
    """Show what removing a competitor changes."""

    def work() -> ProposalView:
        base = catalog_in_force(state).version
        return proposal_view(state, ProposalForm(kind="remove", base=base, replaces=name))

    return _proposal_page(request, await _in_turn(state, work))


@router.get("/restore", dependencies=[may_change])
async def restore(
    request: Request, state: State, version: Annotated[str, Query(max_length=64)]
) -> Response:
    """Show what an earlier version changes."""

    def work() -> ProposalView:
        base = catalog_in_force(state).version
        return proposal_view(state, ProposalForm(kind="restore", base=base, version=version))

    return _proposal_page(request, await _in_turn(state, work))


@router.get("/text", dependencies=[may_change])
def text(request: Request, state: State) -> Response:
    """Show the whole list as text."""
    form = text_form(catalog_in_force(state))
    if len(form.text) > MAX_FORM_TEXT:
        raise HTTPException(
            413,
            "The list is too long for a form. Download it as YAML, and apply the edited file with "
            "`callpipeline catalog apply`.",
        )
    return _empty_form(request, form)


@router.post("/preview", dependencies=[may_change])
async def preview(
    request: Request, state: State, form: Proposal, hx_request: HxRequest = None
) -> Response:
    """Show what a change does; as a part of the page for scripts, else as a page."""
    view = await _in_turn(state, lambda: proposal_view(state, form))
    if hx_request is None:
        return _proposal_page(request, view)
    return page(
        request, "competitors/effect.html", change=view, is_partial=True, quote_chars=QUOTE_CHARS
    )


@router.post("/apply", dependencies=[may_change])
async def apply(request: Request, state: State, form: Proposal, visitor: Admin) -> Response:
    """Put a change in force; past calls follow in the rematch that the sensor requests."""

    def work() -> ProposalView | None:
        proposal = propose(state, form)
        if proposal.catalog is None:
            return ProposalView(form, proposal)
        origin = ChangeOrigin.REVERT if form.kind == "restore" else ChangeOrigin.PAGE
        try:
            service.apply(state, proposal, visitor, origin, form.note)
        except CatalogConflict:
            return proposal_view(state, form)
        return None

    refused = await _in_turn(state, work)
    if refused is None:
        return RedirectResponse("/competitors", 303)
    return _proposal_page(request, refused, 409 if refused.problem else 422)


@router.post("/rematch", dependencies=[may_change])
def rematch(
    request: Request,
    state: State,
    visitor: Admin,
    action: Annotated[Literal["cancel", "resume"], Form()],
    hx_request: HxRequest = None,
) -> Response:
    """Stop the rematch, or continue it and retry failed calls."""
    if action == "cancel":
        state.storage.rematches.pause(True, visitor.name)
    else:
        state.storage.rematches.resume()
    if hx_request is None:
        return RedirectResponse("/competitors", 303)
    found = current_status(state)
    return page(
        request, "competitors/status.html", rematch_status=found, view="list", is_over=False
    )


async def _in_turn(state: AppState, work: Callable[[], Result]) -> Result:
    """Work in a thread, beside few other searches."""
    async with state.competitors.searches:
        return await asyncio.to_thread(work)


def _empty_form(request: Request, form: ProposalForm) -> Response:
    """Show a form without a change yet; while a person types, load what its preview needs."""
    response = _proposal_page(request, ProposalView(form))
    response.background = BackgroundTask(service.prepare_previews)
    return response


def _proposal_page(request: Request, view: ProposalView, status: int = 200) -> Response:
    return page(
        request,
        "competitors/propose.html",
        status,
        change=view,
        is_partial=False,
        quote_chars=QUOTE_CHARS,
    )
