"""Saved views (`/views`): list, open, save, rename, share and delete them."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from callpipeline.domain.calls.saved_views import SavedView, ViewPage
from callpipeline.errors import ViewRefused
from callpipeline.web.access import Reader, Visitor
from callpipeline.web.pages.rendering import page as rendered
from callpipeline.web.services.views import (
    MAX_QUERY_CHARS,
    WITHOUT_FILTERS,
    ViewRights,
    days_until,
    keep_days,
    parse_view,
    valid_name,
    view_url,
)
from callpipeline.web.state import AppState, State

router = APIRouter(prefix="/views")

PAGE_LABELS = {
    ViewPage.OVERVIEW: "Overview",
    ViewPage.CALLS: "Calls",
    ViewPage.ANALYTICS: "Analytics",
    ViewPage.MOMENTS: "Moments",
    ViewPage.SEARCH: "Search",
    ViewPage.COMPETITORS: "Competitors",
    ViewPage.COMPETITOR: "Competitor",
}
QueryText = Annotated[str, Field(max_length=MAX_QUERY_CHARS)]
FormId = Annotated[int, Form(ge=1, le=2**62)]


class ViewForm(BaseModel):
    """Form of a new view; `keep_days` keeps its length instead of its dates."""

    name: Annotated[str, Field(max_length=400)]
    page: ViewPage
    query: QueryText = ""
    keep_days: bool = False
    is_shared: bool = False


@router.get("")
def views(
    request: Request,
    state: State,
    visitor: Reader,
    page: ViewPage | None = None,
    query: Annotated[str, Query(max_length=MAX_QUERY_CHARS)] = "",
) -> Response:
    """List the views, with a form to save the filters of a page if there are any."""
    return _page(request, state, visitor, parse_view(page, query) if page else None, query)


@router.post("")
def save(
    request: Request, state: State, visitor: Reader, form: Annotated[ViewForm, Form()]
) -> Response:
    """Save the filters of a page, and show them again under their name."""
    ViewRights(visitor).check_sharing(form.is_shared)
    parsed = replace(
        parse_view(form.page, form.query),
        name=form.name,
        is_shared=form.is_shared,
        owner=visitor.visitor_id,
        made_by=visitor.name,
    )
    days = days_until(parsed, state.today()) if form.keep_days else None
    try:
        view = keep_days(replace(parsed, name=valid_name(form.name)), days)
        state.storage.views.add(view)
    except (ViewRefused, HTTPException) as error:
        problem = error.detail if isinstance(error, HTTPException) else str(error)
        status = error.status_code if isinstance(error, HTTPException) else 409
        return _page(request, state, visitor, parsed, form.query, problem, status)
    return RedirectResponse("/views", 303)


@router.get("/{view_id}")
def open_view(
    state: State, visitor: Reader, view_id: Annotated[int, Path(ge=1, le=2**62)]
) -> RedirectResponse:
    """Open the page with the filters of a view; its last days are those of today."""
    view = state.storage.views.find(view_id, visitor.visitor_id)
    return RedirectResponse(view_url(view, state.today()), 303)


@router.post("/rename")
def rename(
    request: Request,
    state: State,
    visitor: Reader,
    view_id: FormId,
    name: Annotated[str, Form(max_length=400)],
) -> Response:
    """Rename a view."""
    rights = ViewRights(visitor)
    try:
        state.storage.views.change(
            view_id, visitor.visitor_id, is_admin=rights.is_admin, name=valid_name(name)
        )
    except ViewRefused as error:
        return _page(request, state, visitor, None, "", str(error), 409)
    return RedirectResponse("/views", 303)


@router.post("/share")
def share(
    state: State, visitor: Reader, view_id: FormId, is_shared: Annotated[bool, Form()]
) -> RedirectResponse:
    """Share a view with all who can read, or keep it to its owner."""
    rights = ViewRights(visitor)
    rights.check_sharing(is_shared)
    state.storage.views.change(
        view_id, visitor.visitor_id, is_admin=rights.is_admin, is_shared=is_shared
    )
    return RedirectResponse("/views", 303)


@router.post("/delete")
def delete(state: State, visitor: Reader, view_id: FormId) -> RedirectResponse:
    """Delete a view."""
    rights = ViewRights(visitor)
    state.storage.views.delete(view_id, visitor.visitor_id, is_admin=rights.is_admin)
    return RedirectResponse("/views", 303)


def _page(  # noqa: PLR0913, PLR0917 (the form as it was sent, with its problem)
    request: Request,
    state: AppState,
    visitor: Visitor,
    new: SavedView | None,
    query: str,
    problem: str = "",
    status: int = 200,
) -> Response:
    today = state.today()
    return rendered(
        request,
        "views.html",
        status,
        views=state.storage.views.list(visitor.visitor_id),
        rights=ViewRights(visitor),
        new=new,
        query=query,
        days=days_until(new, today) if new and new.page not in WITHOUT_FILTERS else None,
        new_url=view_url(new, today) if new else "",
        problem=problem,
        labels=PAGE_LABELS,
        describe=describe,
    )


def describe(view: SavedView) -> str:
    """Return the filters of a view in words."""
    filters = view.filters
    parts = [", ".join(filters.competitors), dict(view.extras).get("name", "")]
    words = dict(view.extras).get("words")
    parts += [f"“{words}”" if words else "", filters.name]
    parts += [str(each or "") for each in (filters.sentiment, filters.speaker, filters.source)]
    parts += ["unknown agent" if filters.agent == "" else filters.agent or ""]
    parts += [str(each).replace("_", " ") for each in filters.switching]
    parts += [str(each).lower() for each in filters.states or ()]
    parts += ["with mentions" if filters.named else ""]
    parts += [f"{len(filters.moments)} moments" if filters.moments else ""]
    if view.days:
        parts.append("last day" if view.days == 1 else f"last {view.days} days")
    elif filters.from_day or filters.to_day:
        parts.append(f"{filters.from_day or '…'} to {filters.to_day or '…'}")
    return " · ".join(part for part in parts if part) or "All"
