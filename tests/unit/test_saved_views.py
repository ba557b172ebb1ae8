"""Saved views: their filters survive storing, and links restore them."""

from datetime import date

import pytest
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment, MomentId
from callpipeline.domain.calls.saved_views import ViewPage, filters_document, filters_of
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.web.filters import url_with_filters
from callpipeline.web.services.views import days_until, keep_days, page_of, parse_view, view_url

TODAY = date(2026, 3, 31)
CALL = "2026-03-02-0123456789ab"
NAMES = st.text("EÉ 3&=+%é", max_size=8).map(str.strip)
FILTERS = st.builds(
    CallFilters,
    from_day=st.none() | st.dates(date(1970, 1, 1), date(2026, 1, 1)),
    to_day=st.none() | st.dates(date(2026, 1, 1), date(2199, 12, 31)),
    agent=st.none() | NAMES,
    source=st.none() | NAMES.filter(bool),
    competitors=st.lists(NAMES.filter(bool), unique=True).map(tuple),
    sentiment=st.none() | st.sampled_from(MentionSentiment),
    speaker=st.none() | st.sampled_from(Speaker),
    named=st.booleans(),
    states=st.sampled_from([None, (), (CallState.FAILED,), (CallState.COMPLETED,)]),
    name=NAMES,
    switching=st.lists(st.sampled_from(SwitchingIntent), unique=True).map(tuple),
    moments=st.sampled_from([(), (MomentId(CALL, "left-3"),)]),
)


@given(FILTERS)
def test_filters_survive_storing(filters: CallFilters) -> None:
    assert filters_of(filters_document(filters)) == filters


@given(FILTERS)
def test_a_view_opens_the_page_that_was_saved(filters: CallFilters) -> None:
    shown = url_with_filters("/moments", filters)
    view = parse_view(ViewPage.MOMENTS, shown.partition("?")[2])
    assert view.filters == filters
    assert view_url(view, TODAY) == shown


@pytest.mark.parametrize(
    ("page", "query", "opened"),
    [
        (ViewPage.OVERVIEW, "", "/?days=28"),
        (ViewPage.OVERVIEW, "days=7", "/?days=7"),
        (ViewPage.SEARCH, "words=cancel+my&agent=Ann", "/search?words=cancel+my&agent=Ann"),
        (ViewPage.COMPETITORS, "sort=mentions&order=desc", "/competitors?sort=mentions&order=desc"),
        (ViewPage.COMPETITOR, "name=EE&from=2026-01-01", "/competitor?name=EE&from=2026-01-01"),
        (ViewPage.ANALYTICS, "line=EE&line=O2&agent=A", "/analytics?line=EE&line=O2&agent=A"),
        (ViewPage.CALLS, "after=xyz&state=FAILED&from=", "/calls?state=FAILED"),
    ],
)
def test_each_page_keeps_its_own_parameters_and_not_the_place_in_a_list(
    page: ViewPage, query: str, opened: str
) -> None:
    assert view_url(parse_view(page, query), TODAY) == opened


@pytest.mark.parametrize(
    ("page", "query", "problem"),
    [
        (ViewPage.CALLS, "colour=red", "colour: there is no such filter."),
        (ViewPage.CALLS, "from=2026-13-01", "from: "),
        (ViewPage.CALLS, "from=2026-02-01&to=2026-01-01", "The start date must be before"),
        (ViewPage.MOMENTS, "moment=nonsense", "this is not the ID of a moment"),
        (ViewPage.OVERVIEW, "days=400", "days, 1 to 366"),
        (ViewPage.OVERVIEW, "agent=Ann", "The overview has one parameter"),
        (ViewPage.COMPETITORS, "agent=Ann", "agent: the page competitors has no such parameter"),
        (ViewPage.COMPETITOR, "from=2026-01-01", "say which competitor"),
        (ViewPage.SEARCH, f"words={'x' * 401}", "longer than 400"),
        (ViewPage.CALLS, "x" * 8001, "longer than 8,000"),
    ],
)
def test_parameters_that_a_page_does_not_have_are_refused(
    page: ViewPage, query: str, problem: str
) -> None:
    with pytest.raises(HTTPException) as refused:
        parse_view(page, query)
    assert refused.value.status_code == 422
    assert problem in refused.value.detail


def test_the_last_days_move_with_the_day_on_which_a_view_is_opened() -> None:
    view = parse_view(ViewPage.MOMENTS, "from=2026-03-02&to=2026-03-31&agent=Ann")
    assert days_until(view, TODAY) == 30
    assert days_until(view, date(2026, 4, 1)) is None
    kept = keep_days(view, 30)
    assert view_url(kept, date(2026, 5, 1)) == "/moments?from=2026-04-02&to=2026-05-01&agent=Ann"
    assert view_url(view, date(2026, 5, 1)) == "/moments?from=2026-03-02&to=2026-03-31&agent=Ann"


def test_pages_without_filters_of_calls_have_no_views() -> None:
    assert [page_of(path) for path in ("/", "/calls", "/competitor")] == [
        ViewPage.OVERVIEW, ViewPage.CALLS, ViewPage.COMPETITOR
    ]  # fmt: skip
    assert page_of("/audit") is page_of("/calls/x") is page_of("/views") is None
