"""Saved views in links: from the parameters of a page to what is stored, and back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import parse_qsl, urlencode

from fastapi import HTTPException
from pydantic import ValidationError, validate_call

from callpipeline.domain.access import Scope
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.saved_views import MAX_NAME_CHARS, SavedView, ViewPage
from callpipeline.http_server.responses import validation_message
from callpipeline.web.access import Visitor
from callpipeline.web.filters import filter_parameters, query_filters

MAX_QUERY_CHARS = 8_000
MAX_EXTRA_CHARS = 400
SORTING = ("sort", "order", "agents", "by", "by_order")
EXTRAS: Mapping[ViewPage, tuple[str, ...]] = {
    ViewPage.OVERVIEW: (),
    ViewPage.CALLS: (),
    ViewPage.ANALYTICS: ("line", *SORTING),
    ViewPage.MOMENTS: (),
    ViewPage.SEARCH: ("words",),
    ViewPage.COMPETITORS: ("sort", "order"),
    ViewPage.COMPETITOR: ("name",),
}
"""Parameters of pages other than filters."""
WITHOUT_FILTERS = (ViewPage.OVERVIEW, ViewPage.COMPETITORS)
LISTS = ("competitor", "state", "switching", "moment")
PASSING = ("after",)
"""Parameters that are not saved: the place in a list."""
OVERVIEW_DAYS = 28
SHARING = (Scope.UPLOAD, Scope.ADMIN)
"""Scopes of which one is needed to share a view: of those who change what others see."""

_parse_filters = validate_call(query_filters)


def page_of(path: str) -> ViewPage | None:
    """Return the page that can be saved, by its path."""
    return next((page for page in ViewPage if page.path == path), None)


def parse_view(page: ViewPage, query: str) -> SavedView:
    """Return a view without a name, of a page's query string. Raises HTTPException (422)."""
    if len(query) > MAX_QUERY_CHARS:
        raise HTTPException(422, f"The filters are longer than {MAX_QUERY_CHARS:,} characters.")
    given = [(name, value) for name, value in parse_qsl(query) if name not in PASSING]
    extras = tuple((name, value) for name, value in given if name in EXTRAS[page])
    others = [each for each in given if each not in extras]
    if any(len(value) > MAX_EXTRA_CHARS for _, value in extras):
        raise HTTPException(422, f"A parameter is longer than {MAX_EXTRA_CHARS} characters.")
    if page is ViewPage.COMPETITOR and "name" not in dict(extras):
        raise HTTPException(422, "name: say which competitor the view is about.")
    if page is ViewPage.OVERVIEW:
        return SavedView("", page, days=_overview_days(others))
    if page in WITHOUT_FILTERS and others:
        raise HTTPException(422, f"{others[0][0]}: the page {page} has no such parameter.")
    return SavedView("", page, _filters(others), extras)


def _overview_days(given: list[tuple[str, str]]) -> int:
    for name, value in given:
        if name != "days" or not (value.isascii() and value.isdigit() and 1 <= int(value) <= 366):
            raise HTTPException(422, "The overview has one parameter: days, 1 to 366.")
        return int(value)
    return OVERVIEW_DAYS


def _filters(given: list[tuple[str, str]]) -> CallFilters:
    values: dict[str, str | list[str]] = {}
    for name, value in given:
        if name in LISTS:
            values[name] = [*values.get(name, []), value]
        else:
            values[name] = value
    try:
        return _parse_filters(**values)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        problems = error.errors(include_url=False)
        unknown = [each["loc"][0] for each in problems if each["type"] == _UNKNOWN]
        if unknown:
            raise HTTPException(422, f"{unknown[0]}: there is no such filter.") from None
        raise HTTPException(422, validation_message(problems)) from None


_UNKNOWN = "unexpected_keyword_argument"


def keep_days(view: SavedView, days: int | None) -> SavedView:
    """Let a view be about the last days whenever it is opened; the overview always is."""
    if view.page is ViewPage.OVERVIEW or view.page in WITHOUT_FILTERS or days is None:
        return view
    return replace(view, days=days, filters=replace(view.filters, from_day=None, to_day=None))


def days_until(view: SavedView, today: date) -> int | None:
    """Return the number of filtered days if they end today."""
    first, last = view.filters.from_day, view.filters.to_day
    return (last - first).days + 1 if first and last and last == today else None


def view_url(view: SavedView, today: date) -> str:
    """Return the link to the page with the filters of the view."""
    parameters = [*view.extras, *filter_parameters(view.filters_on(today))]
    if view.page is ViewPage.OVERVIEW:
        parameters = [("days", str(view.days or OVERVIEW_DAYS))]
    elif view.page in WITHOUT_FILTERS:
        parameters = list(view.extras)
    return f"{view.page.path}?{urlencode(parameters)}" if parameters else view.page.path


def valid_name(name: str) -> str:
    """Return the name of a view without spaces around it. Raises HTTPException (422)."""
    plain = " ".join(name.split())
    if not plain or len(plain) > MAX_NAME_CHARS or not plain.isprintable():
        raise HTTPException(422, f"name: use 1 to {MAX_NAME_CHARS} printable characters.")
    return plain


@dataclass(frozen=True, slots=True)
class ViewRights:
    """Permissions of a visitor: all who can read have private views, some share them."""

    visitor: Visitor

    @property
    def may_share(self) -> bool:
        return self.visitor.may(*SHARING)

    @property
    def is_admin(self) -> bool:
        return self.visitor.may(Scope.ADMIN)

    def may_change(self, view: SavedView) -> bool:
        return view.owner == self.visitor.visitor_id or (view.is_shared and self.is_admin)

    def check_sharing(self, is_shared: bool | None) -> None:
        """Raise HTTPException (403) if the visitor may not share views."""
        if is_shared and not self.may_share:
            raise HTTPException(403, "You don't have permission to share views. Ask an admin.")
